"""What the functions ask of AWS IoT Core.

Every method raises Retry or Refused, as ``jitr.aws.errors`` tells them apart.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from jitr.aws.errors import told_apart
from jitr.aws.pacing import Pace, unpaced
from jitr.decision.plan import (
    AddToGroup,
    AttachIotPolicy,
    AttachPrincipal,
    EnsureThing,
    Given,
    RemoveFromGroup,
    SetStatus,
    Step,
)
from jitr.errors import Refused, Retry
from jitr.values import dataclass

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient
    from mypy_boto3_iot.type_defs import CreateThingRequestTypeDef, UpdateThingRequestTypeDef


@contextmanager
def _may_be_missing() -> Iterator[None]:
    """Go on after the block where AWS IoT does not have what is asked about in it."""
    try:
        yield
    except Refused as refused:
        if refused.code != "ResourceNotFoundException":
            raise


@dataclass(frozen=True, slots=True)
class Description:
    """A device certificate as AWS IoT holds it."""

    arn: str
    pem: str
    status: str
    ca_certificate_id: str | None  # None: AWS IoT does not say (a certificate registered without a CA)


@dataclass(frozen=True, slots=True)
class CaDescription:
    """A registered CA as AWS IoT holds it."""

    pem: str
    status: str


class Iot:
    """AWS IoT Core's control plane, one method a question or step, at the pace that the account's quotas allow."""

    def __init__(self, client: "IoTClient", pace: Pace | None = None) -> None:
        self._client = client
        self.pace = pace or unpaced()

    def certificate(self, certificate_id: str) -> Description | None:
        """Return a device certificate, or None if AWS IoT knows none of that id."""
        with _may_be_missing(), self._asking("DescribeCertificate"):
            found = self._client.describe_certificate(certificateId=certificate_id)["certificateDescription"]
            return Description(
                found["certificateArn"], found["certificatePem"], found["status"], found.get("caCertificateId")
            )
        return None

    def ca(self, ca_certificate_id: str) -> CaDescription | None:
        """Return a registered CA, or None if it was deleted."""
        with _may_be_missing(), self._asking("DescribeCACertificate"):
            found = self._client.describe_ca_certificate(certificateId=ca_certificate_id)["certificateDescription"]
            return CaDescription(found["certificatePem"], found["status"])
        return None

    def thing_exists(self, name: str) -> bool:
        """Return whether there is a thing of that name."""
        return self._thing(name) is not None

    def given_to(self, thing: str) -> Given:
        """Return all groups, attributes and types that a thing has; nothing where there is no such thing."""
        found = self._thing(thing)
        if found is None:
            return Given()
        groups: list[str] = []
        with _may_be_missing(), self._asking("ListThingGroupsForThing"):
            for page in self._client.get_paginator("list_thing_groups_for_thing").paginate(thingName=thing):
                groups.extend(each["groupName"] for each in page["thingGroups"])
        kind = found.get("thingTypeName")
        types = frozenset[str]() if kind is None else frozenset({kind})
        return Given(frozenset(groups), frozenset(found.get("attributes", {})), types)

    def principals(self, thing: str) -> frozenset[str]:
        """Return the ids of all certificates attached to a thing."""
        arns: list[str] = []
        with self._asking("ListThingPrincipals"):
            for page in self._client.get_paginator("list_thing_principals").paginate(thingName=thing):
                arns.extend(page["principals"])
        return frozenset(arn.rpartition("/")[2] for arn in arns)

    def carry_out(self, step: Step, certificate_id: str, arn: str) -> None:
        """Carry out one step of a plan for a certificate. Twice is the same as once."""
        match step:
            case EnsureThing():
                self._ensure_thing(step)
            case AttachPrincipal(thing):
                with self._asking("AttachThingPrincipal"):
                    self._client.attach_thing_principal(thingName=thing, principal=arn)
            case AddToGroup(group, thing):
                with self._asking("AddThingToThingGroup"):
                    self._client.add_thing_to_thing_group(thingGroupName=group, thingName=thing)
            case RemoveFromGroup(group, thing):
                self._remove_from_group(group, thing)
            case AttachIotPolicy(name):
                with self._asking("AttachPolicy"):
                    self._client.attach_policy(policyName=name, target=arn)
            case SetStatus(status):
                self.set_status(certificate_id, status)

    def detach(self, arn: str, policies: Iterable[str], things: Iterable[str]) -> None:
        """Take IoT policies and things away from a certificate, those that it has."""
        for name in policies:
            with _may_be_missing(), self._asking("DetachPolicy"):
                self._client.detach_policy(policyName=name, target=arn)
        for thing in things:
            with _may_be_missing(), self._asking("DetachThingPrincipal"):
                self._client.detach_thing_principal(thingName=thing, principal=arn)

    def set_status(self, certificate_id: str, status: str) -> None:
        """Set a certificate's status."""
        with self._asking("UpdateCertificate"):
            self._client.update_certificate(certificateId=certificate_id, newStatus=status)  # type: ignore[arg-type]

    def _ensure_thing(self, step: EnsureThing) -> None:
        request: CreateThingRequestTypeDef = {"thingName": step.name}
        if step.thing_type is not None:
            request["thingTypeName"] = step.thing_type
        if step.attributes:
            request["attributePayload"] = {"attributes": dict(step.attributes)}
        try:
            with self._asking("CreateThing"):
                self._client.create_thing(**request)
        except Refused as refused:
            # The same name with another configuration: ours from an earlier grant, or adopted.
            if refused.code != "ResourceAlreadyExistsException":
                raise
            self._update_thing(step)

    def _update_thing(self, step: EnsureThing) -> None:
        """Give a thing what the step says, and take away what it says; all else that it has stays.

        "To remove an attribute, call UpdateThing with an empty attribute value": AWS IoT API reference,
        AttributePayload.
        """
        existing = self._thing(step.name) or {}
        attributes, kind = existing.get("attributes", {}), existing.get("thingTypeName")
        changes = {name: value for name, value in step.attributes.items() if attributes.get(name) != value}
        changes |= dict.fromkeys((step.without.attributes - step.attributes.keys()) & attributes.keys(), "")
        request: UpdateThingRequestTypeDef = {"thingName": step.name}
        if changes:
            request["attributePayload"] = {"attributes": changes, "merge": True}
        if step.thing_type not in (None, kind):
            request["thingTypeName"] = str(step.thing_type)
        elif step.thing_type is None and kind in step.without.thing_types:
            request["removeThingType"] = True
        if len(request) > 1:
            with self._asking("UpdateThing"):
                self._client.update_thing(**request)

    def _remove_from_group(self, group: str, thing: str) -> None:
        try:
            with _may_be_missing(), self._asking("RemoveThingFromThingGroup"):
                self._client.remove_thing_from_thing_group(thingGroupName=group, thingName=thing)
        except Refused as refused:
            # Of a dynamic group, which no grant can put a thing in: who is in it follows from its query.
            if refused.code != "InvalidRequestException":
                raise

    def _thing(self, name: str) -> Mapping[str, Any] | None:
        """Return the description of a thing, or None if there is none."""
        with _may_be_missing(), self._asking("DescribeThing"):
            return self._client.describe_thing(thingName=name)
        return None

    @contextmanager
    def _asking(self, operation: str) -> Iterator[None]:
        """Around a call: it waits for its turn, and its errors are told apart."""
        self.pace.take(operation)
        try:
            with told_apart():
                yield
        except Retry as retry:
            if retry.cause == "throttled":
                self.pace.throttled(operation)
            raise
