"""A registration event as the function gets it, wrapped in SQS, to try one out.

The event is what AWS IoT publishes at a first connection (AWS IoT Core Developer Guide, "Just-in-time registration"),
the wrapping what Lambda brings from a queue (AWS Lambda Developer Guide, "Using Lambda with Amazon SQS").
"""

import hashlib
import json
import os
import re
import uuid
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from jitr.decision.chain import verify_chain
from jitr.errors import InputError, Unreadable
from jitr.x509.certificate import CertificateReading, read_ca
from jitr_operations import telling
from jitr_operations.accounts import Account
from jitr_operations.cas.issuers import IssuerLookup
from jitr_operations.devices.registry import Registry, read_device_file
from jitr_operations.devices.which import find_one
from jitr_operations.files import read_bytes

_PENDING = "PENDING_ACTIVATION"
_ID = re.compile("[0-9a-f]{64}")
_ANY_REGION = "us-east-1"  # the function does not look at it


@dataclass(frozen=True, slots=True)
class FirstConnection:
    """A device's first connection: the device, the CA, and the account and Region in which AWS IoT publishes it."""

    certificate_id: str
    ca_certificate_id: str
    account_id: str
    region: str

    def lambda_event(self, at: datetime) -> dict[str, Any]:
        """Return the event with which Lambda invokes the function: the registration event, from the queue."""
        return {"Records": [_sqs_record(json.dumps(_registration_event(self, at)), self, at)]}


def from_files(which: str, account_id: str, ca: str, region: str | None) -> FirstConnection:
    """Return a first connection from files and ids alone. Raises InputError for files that cannot be used."""
    reading = None if _is_id(which) else read_device_file(Path(which))
    certificate_id = reading.facts.certificate_sha256 if reading else which.lower()
    region = region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or _ANY_REGION
    return FirstConnection(certificate_id, _named_ca(ca, reading), account_id, region)


def from_account(which: str, account_id: str | None, ca: str | None, account: Account) -> FirstConnection:
    """Return a first connection; what is not said is asked of AWS. Raises InputError where AWS does not know."""
    registry = Registry(account.client("iot"))
    reading = None if _is_id(which) or not Path(which).is_file() else read_device_file(Path(which))
    certificate_id = reading.facts.certificate_sha256 if reading else find_one(which, registry, None)
    found = registry.get(certificate_id)
    if found is None:
        telling.note(f"AWS IoT knows no certificate {certificate_id[:12]}: the function puts back a message about it.")
    elif found.status != _PENDING:
        telling.note(
            f"Certificate {certificate_id[:12]} is {found.status}, and the function changes only pending ones."
        )
    if ca is not None:
        ca_id = _named_ca(ca, reading)
    elif found is not None and found.ca_certificate_id is not None:
        ca_id = found.ca_certificate_id
    else:
        ca_id = _signer(account, reading, which)
    return FirstConnection(certificate_id, ca_id, account_id or account.account_id, account.region)


def _named_ca(ca: str, device: CertificateReading | None) -> str:
    """Return the caCertificateId of a CA named by its id or its file."""
    if _is_id(ca):
        return ca.lower()
    try:
        reading = read_ca(read_bytes(Path(ca)), status="ACTIVE")
    except Unreadable as problem:
        raise InputError(f"{ca}: {problem}") from None
    if not reading.facts.is_ca:
        raise InputError(f"{ca} is not the certificate of a CA (basicConstraints CA:TRUE)")
    if device is not None and not verify_chain(device, reading).signature_valid:
        telling.warn(f"{ca} did not sign the device's certificate: AWS IoT would never publish such an event")
    return reading.certificate_sha256


def _signer(account: Account, device: CertificateReading | None, which: str) -> str:
    """Return the registered CA that signed a certificate which AWS IoT does not know, or knows without a CA."""
    if device is not None:
        return IssuerLookup(account).of(device, Path(which)).id
    raise InputError(
        f"AWS IoT in account {account.account_id}, Region {account.region}, does not say which CA signed certificate "
        f"{which[:12]}: name it with --ca, or give the certificate's file"
    )


def _is_id(text: str) -> bool:
    return _ID.fullmatch(text.lower()) is not None


# --- the event


def _registration_event(knock: FirstConnection, at: datetime) -> dict[str, Any]:
    """Return what AWS IoT publishes when a device connects for the first time."""
    return {
        "certificateId": knock.certificate_id,
        "caCertificateId": knock.ca_certificate_id,
        "timestamp": int(at.timestamp() * 1000),
        "certificateStatus": _PENDING,
        "awsAccountId": knock.account_id,
        "certificateRegistrationTimestamp": None,
    }


def _sqs_record(body: str, knock: FirstConnection, at: datetime) -> dict[str, Any]:
    """Wrap a body as Lambda delivers it from the registration queue, for the first time."""
    sent = str(int(at.timestamp() * 1000))
    return {
        "messageId": str(uuid.uuid4()),
        "receiptHandle": "made-up",
        "body": body,
        "attributes": {
            "ApproximateReceiveCount": "1",
            "SentTimestamp": sent,
            "SenderId": "made-up",
            "ApproximateFirstReceiveTimestamp": sent,
        },
        "messageAttributes": {},
        "md5OfBody": hashlib.md5(body.encode(), usedforsecurity=False).hexdigest(),
        "eventSource": "aws:sqs",
        "eventSourceARN": f"arn:aws:sqs:{knock.region}:{knock.account_id}:RegistrationQueue",
        "awsRegion": knock.region,
    }
