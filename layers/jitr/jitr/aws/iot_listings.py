"""What AWS IoT lists, a page at a time and at a pace: certificates, things, groups' things and policies' targets.

Whoever goes through a fleet asks for pages, not for devices: AWS IoT describes ten devices a second, and lists 250 on
a page.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar

from jitr.aws.errors import told_apart
from jitr.aws.pacing import Pace
from jitr.errors import Refused, Retry
from jitr.values import dataclass

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

T = TypeVar("T")

PAGE = 250  # the most that AWS IoT lists at once
MOST_POLICIES = 1_000  # whose targets are worth listing: accounts with one policy a device have far more
_ATTEMPTS = 8  # at a page while AWS IoT throttles; the pace waits a second after each


@dataclass(frozen=True, slots=True)
class ListedCertificate:
    """A device certificate as listings tell of it."""

    id: str
    status: str
    created: datetime | None


@dataclass(frozen=True, slots=True)
class ListedThing:
    """A thing as listings tell of it."""

    name: str
    thing_type: str | None
    attributes: Mapping[str, str]


class Listings:
    """AWS IoT's listings. Each method returns a page and the mark of the next one, None after the last.

    Every method raises Retry or Refused, as ``jitr.aws.errors`` tells them apart. A mark that AWS IoT no longer knows
    is refused with ``InvalidRequestException``.
    """

    def __init__(self, client: "IoTClient", pace: Pace) -> None:
        self._client = client
        self._pace = pace

    def certificates(self, mark: str | None) -> tuple[list[ListedCertificate], str | None]:
        """List all device certificates of the account."""
        return self._certificates("ListCertificates", self._client.list_certificates, _at(mark))

    def certificates_of(self, ca_certificate_id: str, mark: str | None) -> tuple[list[ListedCertificate], str | None]:
        """List the device certificates that a CA registered."""
        given = _at(mark) | {"caCertificateId": ca_certificate_id}
        return self._certificates("ListCertificatesByCA", self._client.list_certificates_by_ca, given)

    def cas(self, mark: str | None) -> tuple[list[str], str | None]:
        """List the ids of the CAs that are registered in the account."""
        answer = self._asked("ListCACertificates", self._client.list_ca_certificates, _at(mark))
        return [each["certificateId"] for each in answer["certificates"]], answer.get("nextMarker")

    def things(self, mark: str | None) -> tuple[list[ListedThing], str | None]:
        """List all things of the account, with their types and attributes."""
        answer = self._asked("ListThings", self._client.list_things, _next(mark))
        return [
            ListedThing(each["thingName"], each.get("thingTypeName"), each.get("attributes", {}))
            for each in answer["things"]
        ], answer.get("nextToken")

    def things_in(self, group: str, mark: str | None) -> tuple[list[str], str | None]:
        """List the names of a group's things; nothing where there is no such group."""
        given = _next(mark) | {"thingGroupName": group}
        answer = self._asked("ListThingsInThingGroup", self._client.list_things_in_thing_group, given, {"things": []})
        return list(answer["things"]), answer.get("nextToken")

    def policies(self, mark: str | None) -> tuple[list[str], str | None]:
        """List the names of the account's IoT policies."""
        answer = self._asked("ListPolicies", self._client.list_policies, _at(mark))
        return [each["policyName"] for each in answer["policies"]], answer.get("nextMarker")

    def few_policies(self) -> list[str] | None:
        """Return the names of all IoT policies, sorted; None where there are more than ``MOST_POLICIES``."""
        found: list[str] = []
        for names in pages(self.policies):
            found += names
            if len(found) > MOST_POLICIES:
                return None
        return sorted(found)

    def certificates_with(self, policy: str, mark: str | None) -> tuple[list[str], str | None]:
        """List the ids of the certificates that an IoT policy is attached to; nothing where there is no such policy."""
        given = _at(mark) | {"policyName": policy}
        answer = self._asked("ListTargetsForPolicy", self._client.list_targets_for_policy, given, {"targets": []})
        arns = [each for each in answer["targets"] if ":cert/" in each]
        return [each.rpartition("/")[2] for each in arns], answer.get("nextMarker")

    def things_of(self, arn: str) -> frozenset[str]:
        """Return the names of the things that a certificate is attached to."""

        def things(mark: str | None) -> tuple[list[str], str | None]:
            given = _next(mark) | {"principal": arn}
            answer = self._asked("ListPrincipalThings", self._client.list_principal_things, given, {"things": []})
            return list(answer["things"]), answer.get("nextToken")

        return frozenset(chain.from_iterable(pages(things)))

    def _certificates(
        self, operation: str, ask: Callable[..., Any], given: Mapping[str, Any]
    ) -> tuple[list[ListedCertificate], str | None]:
        answer = self._asked(operation, ask, given)
        return [
            ListedCertificate(each["certificateId"], each["status"], each.get("creationDate"))
            for each in answer["certificates"]
        ], answer.get("nextMarker")

    def _asked(self, operation: str, ask: Callable[..., Any], given: Mapping[str, Any], without: Any = None) -> Any:
        """Return AWS IoT's answer, ``without`` where what is asked about does not exist."""
        for attempt in range(_ATTEMPTS):
            self._pace.take(operation)
            try:
                with told_apart():
                    return ask(**given)
            except Retry as retry:
                if retry.cause != "throttled" or attempt == _ATTEMPTS - 1:
                    raise
                self._pace.throttled(operation)
            except Refused as refused:
                if without is None or refused.code != "ResourceNotFoundException":
                    raise
                return without
        raise AssertionError("the last attempt returns or raises")


def pages(listing: Callable[[str | None], tuple[list[T], str | None]]) -> Iterator[list[T]]:
    """Yield each page of a listing, from its beginning to its end."""
    mark: str | None = None
    while True:
        page, mark = listing(mark)
        yield page
        if mark is None:
            return


def _at(mark: str | None) -> dict[str, Any]:
    return {"pageSize": PAGE} | ({} if mark is None else {"marker": mark})


def _next(mark: str | None) -> dict[str, Any]:
    return {"maxResults": PAGE} | ({} if mark is None else {"nextToken": mark})
