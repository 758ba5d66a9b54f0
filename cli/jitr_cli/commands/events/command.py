"""``jitr events``: a registration event as the function gets it, wrapped in SQS, to try one out.

The event is what AWS IoT publishes at a first connection (AWS IoT Core Developer Guide, "Just-in-time registration"),
the wrapping what Lambda brings from a queue (AWS Lambda Developer Guide, "Using Lambda with Amazon SQS").
"""

import hashlib
import json
import os
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from jitr.decision.chain import verify_chain
from jitr.errors import InputError, Unreadable
from jitr.x509.certificate import CertificateReading, read_ca
from jitr_cli.console.options import aws_options
from jitr_cli.console.output import emit, json_option, note, warn
from jitr_operations.cas.issuers import IssuerLookup
from jitr_operations.deployment import Account, Choice
from jitr_operations.devices.registry import Registry, read_device_file
from jitr_operations.devices.which import find_one
from jitr_operations.files import read_bytes, staged

PENDING = "PENDING_ACTIVATION"
_ID = re.compile("[0-9a-f]{64}")
_ACCOUNT = re.compile("[0-9]{12}")
_ANY_REGION = "us-east-1"  # the function does not look at it


@dataclass(frozen=True, slots=True)
class _Knock:
    """The device, account and CA of a made-up event."""

    certificate_id: str
    ca_certificate_id: str
    account_id: str
    region: str


def registration_event(certificate_id: str, ca_certificate_id: str, account_id: str, at: datetime) -> dict[str, Any]:
    """Make the event that AWS IoT publishes when a device connects for the first time."""
    return {
        "certificateId": certificate_id,
        "caCertificateId": ca_certificate_id,
        "timestamp": int(at.timestamp() * 1000),
        "certificateStatus": PENDING,
        "awsAccountId": account_id,
        "certificateRegistrationTimestamp": None,
    }


def sqs_batch(bodies: Sequence[str], *, account_id: str, region: str, at: datetime) -> dict[str, Any]:
    """Wrap bodies as Lambda delivers them from the registration queue, each for the first time."""
    sent = str(int(at.timestamp() * 1000))
    return {
        "Records": [
            {
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
                "eventSourceARN": f"arn:aws:sqs:{region}:{account_id}:RegistrationQueue",
                "awsRegion": region,
            }
            for body in bodies
        ]
    }


@click.group("events", no_args_is_help=True)
def events() -> None:
    """Registration events to try the function with."""


def _account_id(_context: click.Context, _parameter: click.Parameter, text: str | None) -> str | None:
    if text is not None and _ACCOUNT.fullmatch(text) is None:
        raise click.BadParameter(f"{text!r}: an AWS account has 12 digits")
    return text


@events.command("make")
@click.argument("certificate", metavar="CERTIFICATE.pem|CERTIFICATE_ID")
@click.option(
    "--account", metavar="DIGITS", callback=_account_id, help="The account in the event; asked of AWS without."
)
@click.option("--ca", metavar="FILE|ID", help="Its CA: certificate file or caCertificateId; asked of AWS without.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="The file; standard output without.")
@click.option("--force", is_flag=True, help="Replace the file if it exists.")
@aws_options
@json_option
def make(
    certificate: str,
    account: str | None,
    ca: str | None,
    out: Path | None,
    force: bool,
    choice: Choice,
    as_json: bool,
) -> None:
    """Write the event of a device's first connection, as the function gets it. Nothing is sent.

    AWS is asked for the account and the certificate's CA; with both --account and --ca it is not.

    \b
    Examples:
      jitr events make snr-0001.pem --local --out event.json
      jitr events make snr-0001.pem --account 000000000000 --ca factory-a.pem
    """
    if account is not None and ca is not None:
        knock = _offline(certificate, account, ca, choice)
    else:
        knock = _online(certificate, account, ca, choice.account())
    now = datetime.now(UTC)
    body = json.dumps(registration_event(knock.certificate_id, knock.ca_certificate_id, knock.account_id, now))
    document = sqs_batch([body], account_id=knock.account_id, region=knock.region, at=now)
    if out is None:
        emit(True, document, "")
        return
    with staged(out.parent, [out.name], force=force) as stage:
        stage.write(out.name, (json.dumps(document, indent=2) + "\n").encode())
    written = {
        "file": out,
        "certificate_id": knock.certificate_id,
        "ca_certificate_id": knock.ca_certificate_id,
        "account_id": knock.account_id,
    }
    emit(as_json, written, f"Wrote {out}: certificate {knock.certificate_id}, CA {knock.ca_certificate_id}.")


def _offline(which: str, account_id: str, ca: str, choice: Choice) -> _Knock:
    """From files and ids alone."""
    reading = None if _is_id(which) else read_device_file(Path(which))
    certificate_id = reading.facts.certificate_sha256 if reading else which.lower()
    region = choice.region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or _ANY_REGION
    return _Knock(certificate_id, _named_ca(ca, reading), account_id, region)


def _online(which: str, account_id: str | None, ca: str | None, account: Account) -> _Knock:
    """With what is missing from AWS."""
    registry = Registry(account.client("iot"))
    reading = None if _is_id(which) or not Path(which).is_file() else read_device_file(Path(which))
    certificate_id = reading.facts.certificate_sha256 if reading else find_one(which, registry, None)
    found = registry.get(certificate_id)
    if found is None:
        note(f"AWS IoT knows no certificate {certificate_id[:12]}: the function puts back a message about it.")
    elif found.status != PENDING:
        note(f"Certificate {certificate_id[:12]} is {found.status}, and the function changes only pending ones.")
    if ca is not None:
        ca_id = _named_ca(ca, reading)
    elif found is not None and found.ca_certificate_id is not None:
        ca_id = found.ca_certificate_id
    else:
        ca_id = _signer(account, reading, which)
    return _Knock(certificate_id, ca_id, account_id or account.account_id, account.region)


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
        warn(f"{ca} did not sign the device's certificate: AWS IoT would never publish such an event")
    return reading.certificate_sha256


def _signer(account: Account, device: CertificateReading | None, which: str) -> str:
    """Return the registered CA that signed a certificate which AWS IoT does not know, or knows without a CA."""
    if device is not None:
        return IssuerLookup(account.client("iot")).of(device, Path(which)).id
    raise InputError(
        f"AWS IoT in account {account.account_id}, Region {account.region}, does not say which CA signed certificate "
        f"{which[:12]}: name it with --ca, or give the certificate's file"
    )


def _is_id(text: str) -> bool:
    return _ID.fullmatch(text.lower()) is not None
