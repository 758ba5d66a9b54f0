"""What the functions ask of AWS IoT Core.

Every method raises Retry or Refused, as ``jitr.aws.errors`` tells them apart.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from jitr.aws.errors import told_apart
from jitr.aws.pacing import Pace, unpaced
from jitr.errors import Refused, Retry
from jitr.plan import AddToGroup, AttachIotPolicy, AttachPrincipal, EnsureThing, SetStatus, Step
from jitr.values import dataclass

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient
    from mypy_boto3_iot.type_defs import CreateThingRequestTypeDef

_MISSING = "ResourceNotFoundException"


@contextmanager
def _may_be_missing() -> Iterator[None]:
    try:
        yield
    except Refused as refused:
        if refused.code != _MISSING:
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
        """A device certificate, or None where AWS IoT knows none of that id."""
        try:
            with self._asking("DescribeCertificate"):
                found = self._client.describe_certificate(certificateId=certificate_id)["certificateDescription"]
        except Refused as refused:
            if refused.code == _MISSING:
                return None
            raise
        return Description(
            found["certificateArn"], found["certificatePem"], found["status"], found.get("caCertificateId")
        )

    def ca(self, ca_certificate_id: str) -> CaDescription | None:
        """A registered CA, or None where it was deleted."""
        try:
            with self._asking("DescribeCACertificate"):
                found = self._client.describe_ca_certificate(certificateId=ca_certificate_id)["certificateDescription"]
        except Refused as refused:
            if refused.code == _MISSING:
                return None
            raise
        return CaDescription(found["certificatePem"], found["status"])

    def thing_exists(self, name: str) -> bool:
        """Whether there is a thing of that name."""
        return self._thing(name) is not None

    def principals(self, thing: str) -> frozenset[str]:
        """The ids of all certificates attached to a thing."""
        arns: list[str] = []
        with self._asking("ListThingPrincipals"):
            for page in self._client.get_paginator("list_thing_principals").paginate(thingName=thing):
                arns.extend(page["principals"])
        return frozenset(arn.rpartition("/")[2] for arn in arns)

    def carry_out(self, step: Step, certificate_id: str, arn: str) -> None:
        """One step of a plan for one certificate. Doing it twice is doing it once."""
        match step:
            case EnsureThing():
                self._ensure_thing(step)
            case AttachPrincipal(thing):
                with self._asking("AttachThingPrincipal"):
                    self._client.attach_thing_principal(thingName=thing, principal=arn)
            case AddToGroup(group, thing):
                with self._asking("AddThingToThingGroup"):
                    self._client.add_thing_to_thing_group(thingGroupName=group, thingName=thing)
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
        existing = self._thing(step.name) or {}
        if any(existing.get(name) != value for name, value in step.attributes.items()):
            with self._asking("UpdateThing"):
                self._client.update_thing(
                    thingName=step.name, attributePayload={"attributes": dict(step.attributes), "merge": True}
                )
        if step.thing_type is not None:
            with self._asking("UpdateThing"):
                self._client.update_thing(thingName=step.name, thingTypeName=step.thing_type)

    def _thing(self, name: str) -> Mapping[str, str] | None:
        """The attributes of a thing, or None where there is none."""
        try:
            with self._asking("DescribeThing"):
                return self._client.describe_thing(thingName=name).get("attributes", {})
        except Refused as refused:
            if refused.code == _MISSING:
                return None
            raise

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
