"""CAs as AWS IoT holds them: listed, described, and their devices counted."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from jitr.errors import InputError, Unreadable
from jitr.x509.names import rfc4514
from jitr_operations import telling
from jitr_operations.certificates import Certificate, read
from jitr_operations.issuing.subjects import subject_text

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient


@dataclass(frozen=True)
class RegisteredCa:
    """A CA as AWS IoT holds it."""

    id: str
    arn: str
    pem: str
    status: str
    auto_registration: str
    mode: str
    template: str | None  # a provisioning template, which activates certificates past the rules
    created: datetime | None = None

    @property
    def certificate(self) -> Certificate | None:
        """Its certificate, unless that cannot be read."""
        try:
            return read(self.pem.encode())
        except Unreadable:
            return None

    @property
    def problem(self) -> str | None:
        """Why its certificate cannot be read; None where it can."""
        try:
            read(self.pem.encode())
        except Unreadable as problem:
            return str(problem)
        return None

    def to_json(self) -> dict[str, Any]:
        """Return it as ``--json`` prints it."""
        certificate = self.certificate
        return {
            "ca_certificate_id": self.id,
            "arn": self.arn,
            "subject": rfc4514(certificate.subject) if certificate else None,
            "status": self.status,
            "auto_registration": self.auto_registration == "ENABLE",
            "mode": self.mode,
            "provisioning_template": self.template,
            "not_after": certificate.not_after if certificate else None,
        }

    @property
    def words(self) -> str:
        """Its id and subject, for a person."""
        certificate = self.certificate
        return f"{self.id} ({subject_text(certificate.subject)})" if certificate else self.id


def described(iot: "IoTClient", ca_id: str) -> RegisteredCa | None:
    """Return a CA as AWS IoT holds it; None if it holds none of that id."""
    from botocore.exceptions import ClientError

    try:
        answer = iot.describe_ca_certificate(certificateId=ca_id)
    except ClientError as problem:
        if problem.response["Error"]["Code"] == "ResourceNotFoundException":
            return None
        raise
    found = answer["certificateDescription"]
    configuration = answer.get("registrationConfig") or {}
    body = "one given in its registration" if configuration.get("templateBody") else None
    return RegisteredCa(
        id=found["certificateId"],
        arn=found["certificateArn"],
        pem=found["certificatePem"],
        status=found["status"],
        auto_registration=found.get("autoRegistrationStatus", "DISABLE"),
        mode=found.get("certificateMode", "DEFAULT"),
        template=configuration.get("templateName") or body,
        created=found.get("creationDate"),
    )


def all_ca_ids(iot: "IoTClient") -> list[str]:
    """Return the ids of all registered CAs."""
    pages = iot.get_paginator("list_ca_certificates").paginate(PaginationConfig={"PageSize": 250})
    return [each["certificateId"] for page in pages for each in page["certificates"]]


def require(iot: "IoTClient", ca_id: str) -> RegisteredCa:
    """Return a CA by its whole id. Raises InputError if AWS IoT holds none of that id."""
    found = described(iot, ca_id)
    if found is None:
        raise InputError(f"no CA {ca_id} is registered in this account and Region: `jitr ca ls` prints those that are")
    return found


def warn_of_template(registered: RegisteredCa) -> None:
    """Warn of a provisioning template: with it AWS IoT activates devices, and no rule is asked."""
    if registered.template is not None:
        telling.warn(
            f"the CA {registered.id} has a provisioning template attached ({registered.template}): it activates "
            "devices by itself, and the rules never see them"
        )


def devices_by_status(iot: "IoTClient", ca_id: str, advance: Callable[[int], None]) -> dict[str, int]:
    """Return how many device certificates a CA has registered, by status; ``advance`` is told of each page."""
    counts: Counter[str] = Counter()
    pages = iot.get_paginator("list_certificates_by_ca").paginate(
        caCertificateId=ca_id, PaginationConfig={"PageSize": 250}
    )
    for page in pages:
        counts.update(each["status"] for each in page["certificates"])
        advance(len(page["certificates"]))
    return dict(sorted(counts.items()))


def counts_text(counts: Mapping[str, int]) -> str:
    """Return ``devices_by_status`` in words."""
    return ", ".join(f"{count} {status}" for status, count in counts.items()) or "none"
