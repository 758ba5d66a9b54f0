"""Device certificates as AWS IoT holds them: which one a person means, how it stands, and what is attached to it."""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from jitr.errors import InputError, Unreadable
from jitr.iot_names import THING_NAME
from jitr.unseen import quote
from jitr.x509.certificate import CertificateReading, read_certificate
from jitr_operations import telling
from jitr_operations.files import read_bytes

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

    from jitr.aws.iot_listings import ListedCertificate

STATUSES = ("ACTIVE", "INACTIVE", "PENDING_ACTIVATION", "REVOKED", "PENDING_TRANSFER", "REGISTER_INACTIVE")
PAGE = 250  # the most that AWS IoT lists at once
SHORTEST = 8  # hex digits that may stand for a whole id

_ID = re.compile("[0-9a-f]{64}")
_BEGINNING = re.compile(f"[0-9a-f]{{{SHORTEST},63}}")
_NOTHING_FOUND = "see `jitr device ls`"


@dataclass(frozen=True, slots=True)
class DeviceCertificate:
    """One device certificate. ``ca_certificate_id`` is None where AWS IoT knows none: registered without a CA."""

    id: str
    arn: str
    pem: str
    status: str
    ca_certificate_id: str | None
    mode: str
    created: datetime | None

    def reading(self) -> CertificateReading | None:
        """Return what the certificate says, unless it cannot be read."""
        try:
            return read_certificate(self.pem.encode())
        except Unreadable:
            return None

    def problem(self) -> str | None:
        """Return why it cannot be read; None where it can."""
        try:
            read_certificate(self.pem.encode())
        except Unreadable as problem:
            return str(problem)
        return None


@dataclass(frozen=True, slots=True)
class Thing:
    """A thing, as far as a device concerns it."""

    name: str
    thing_type: str | None
    attributes: dict[str, str]
    groups: tuple[str, ...]
    inherited: tuple[str, ...]  # IoT policies that the groups bring

    def to_json(self) -> dict[str, object]:
        """Return it as ``--json`` prints it."""
        return {
            "thing": self.name,
            "thing_type": self.thing_type,
            "attributes": self.attributes,
            "thing_groups": list(self.groups),
            "inherited_iot_policies": list(self.inherited),
        }


class NothingFound(InputError):
    """Nothing that AWS IoT holds goes by the name that was given."""


def is_missing(problem: Exception) -> bool:
    """Return whether this is AWS IoT's answer for what it does not have."""
    from botocore.exceptions import ClientError

    return isinstance(problem, ClientError) and problem.response["Error"]["Code"] == "ResourceNotFoundException"


def read_device_file(path: Path) -> CertificateReading:
    """Return a device's certificate from its file, the first of a chain (a note says so). Raises InputError."""
    try:
        reading = read_certificate(read_bytes(path))
    except Unreadable as problem:
        raise InputError(f"{path}: {problem}") from None
    if reading.taken:
        telling.note(f"{path}: {reading.taken}")
    return reading


class Registry:
    """AWS IoT's registry of device certificates. Errors are botocore's own: ``jitr`` tells them with what to do."""

    def __init__(self, iot: "IoTClient") -> None:
        self._iot = iot

    # --- certificates

    def get(self, certificate_id: str) -> DeviceCertificate | None:
        """Return the certificate, or None if AWS IoT knows none of that id."""
        from botocore.exceptions import ClientError

        try:
            found = self._iot.describe_certificate(certificateId=certificate_id)["certificateDescription"]
        except ClientError as problem:
            if is_missing(problem):
                return None
            raise
        return DeviceCertificate(
            id=found["certificateId"],
            arn=found["certificateArn"],
            pem=found["certificatePem"],
            status=found["status"],
            ca_certificate_id=found.get("caCertificateId"),
            mode=found.get("certificateMode", "DEFAULT"),
            created=found.get("creationDate"),
        )

    def require(self, certificate_id: str) -> DeviceCertificate:
        """Return the certificate. Raises InputError if AWS IoT knows none of that id."""
        found = self.get(certificate_id)
        if found is None:
            raise InputError(
                f"no certificate {certificate_id} is registered in this account and Region: {_NOTHING_FOUND}"
            )
        return found

    def all(self, ca_certificate_id: str | None = None) -> Iterator["ListedCertificate"]:
        """Return every certificate, or every one that a CA registered, page by page."""
        from jitr.aws.iot_listings import Listings, pages
        from jitr.aws.pacing import Pace

        listings = Listings(self._iot, Pace(None, time.monotonic, time.sleep))
        of_ca = partial(listings.certificates_of, ca_certificate_id) if ca_certificate_id is not None else None
        return chain.from_iterable(pages(of_ca or listings.certificates))

    # --- which one is meant

    def find(self, which: str) -> tuple[str, ...]:
        """Return the certificateIds meant by an id, the beginning of one, a thing's name or a file.

        Several only for a thing that has several. Raises NothingFound where there is none, InputError where there is
        no telling which.
        """
        if Path(which).is_file():
            return (read_device_file(Path(which)).facts.certificate_sha256,)
        digits = which.replace(":", "").lower()
        if _ID.fullmatch(digits):
            return (digits,)
        named = self.certificates_of(which)
        begun = self._beginning_with(digits) if _BEGINNING.fullmatch(digits) else []
        if named is not None and begun:
            raise InputError(
                f"{quote(which)} is a thing's name and the beginning of a certificateId: give the whole id"
            )
        if len(begun) > 1:
            raise InputError(f"{len(begun)} certificates have an id that begins with {which}: give more of it")
        if begun:
            return (begun[0],)
        if named is None:
            raise NothingFound(self._unknown(which))
        if not named:
            raise NothingFound(f"the thing {which} has no certificate: name the certificate itself")
        return named

    def _beginning_with(self, digits: str) -> list[str]:
        with telling.progress("Looking for the certificate", None) as advance:
            found = []
            for each in self.all():
                if each.id.startswith(digits):
                    found.append(each.id)
                advance(1)
        return found

    @staticmethod
    def _unknown(which: str) -> str:
        if re.fullmatch(f"[0-9a-f]{{1,{SHORTEST - 1}}}", which.lower()):
            return f"no thing is called {quote(which)}, and a certificateId takes {SHORTEST} digits or more"
        return (
            f"{quote(which)} is neither a file, nor a thing, nor the beginning of a certificateId in this account and "
            f"Region: {_NOTHING_FOUND}"
        )

    # --- what is attached to it

    def iot_policies(self, target: str) -> tuple[str, ...]:
        """Return the names of the IoT policies attached to a certificate or a thing group, by its ARN."""
        pages = self._iot.get_paginator("list_attached_policies").paginate(
            target=target, recursive=":thinggroup/" in target, PaginationConfig={"PageSize": PAGE}
        )
        return tuple(each["policyName"] for page in pages for each in page["policies"])

    def things(self, arn: str) -> tuple[str, ...]:
        """Return the names of the things that a certificate is attached to."""
        pages = self._iot.get_paginator("list_principal_things").paginate(principal=arn)
        return tuple(each for page in pages for each in page["things"])

    def may_connect(self, certificate: DeviceCertificate) -> bool:
        """Return whether any IoT policy is attached, to the certificate or to a group that one of its things is in."""
        if self.iot_policies(certificate.arn):
            return True
        return any(self.thing(each).inherited for each in self.things(certificate.arn))

    def certificates_of(self, thing: str) -> tuple[str, ...] | None:
        """Return the certificateIds attached to a thing; None if there is no such thing.

        What cannot be a thing's name is not asked for: AWS IoT refuses it, and a slash leads to another address.
        """
        from botocore.exceptions import ClientError

        if not THING_NAME.takes(thing):
            return None
        try:
            pages = list(self._iot.get_paginator("list_thing_principals").paginate(thingName=thing))
        except ClientError as problem:
            if is_missing(problem):
                return None
            raise
        arns = [each for page in pages for each in page["principals"] if ":cert/" in each]
        return tuple(each.rpartition("/")[2] for each in arns)

    def thing(self, name: str) -> Thing:
        """Return a thing with its groups and what these bring."""
        described = self._iot.describe_thing(thingName=name)
        pages = self._iot.get_paginator("list_thing_groups_for_thing").paginate(thingName=name)
        groups = [each for page in pages for each in page["thingGroups"]]
        inherited = [policy for each in groups for policy in self.iot_policies(each["groupArn"])]
        return Thing(
            name=name,
            thing_type=described.get("thingTypeName"),
            attributes=dict(described.get("attributes", {})),
            groups=tuple(each["groupName"] for each in groups),
            inherited=tuple(dict.fromkeys(inherited)),
        )

    # --- changes

    def set_status(self, certificate_id: str, status: str) -> None:
        """Set a certificate's status."""
        self._iot.update_certificate(certificateId=certificate_id, newStatus=status)  # type: ignore[arg-type]
