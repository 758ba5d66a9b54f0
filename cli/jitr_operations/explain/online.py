"""The decision about a device under what is in force: rules, lists, CA and guards, as the function would find them.

Everything is read and nothing is changed.
"""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jitr.aws.dynamodb.table import Table
from jitr.aws.iot import Iot
from jitr.errors import InputError, Poison
from jitr.reasons import Verdict
from jitr.records.event import parse_event
from jitr_operations import telling
from jitr_operations.decisions.today import Today
from jitr_operations.deployment import Deployment
from jitr_operations.devices.registry import Registry
from jitr_operations.devices.replaced import replacement_of
from jitr_operations.devices.which import find_one
from jitr_operations.explain.explanation import Explanation
from jitr_operations.files import read_bytes
from jitr_operations.records import record_of
from jitr_operations.table import table_of


def explain_online(subject: str, deployment: Deployment) -> Explanation:
    """Explain a certificate file, a certificateId, a thing's name, a held device's common name or an event file."""
    iot, table = Iot(deployment.client("iot")), table_of(deployment)
    certificate_id = _certificate_id(subject, deployment, table)
    found = iot.certificate(certificate_id)
    if found is None:
        raise InputError(
            f"AWS IoT in account {deployment.account_id}, Region {deployment.region}, knows no certificate "
            f"{certificate_id[:12]}: it never connected there, or its CA was not registered. "
            "`jitr explain --rules FILE --certificate FILE --ca ALIAS=FILE` decides from files alone"
        )
    if found.ca_certificate_id is None:
        raise InputError(f"AWS IoT does not say which CA registered certificate {certificate_id[:12]}: rules are by CA")
    record = record_of(table, certificate_id)
    telling.note(f"Certificate {certificate_id} is {found.status}.")
    if record is None and found.status == "INACTIVE":
        telling.note("It was registered by hand, and no event will come: `jitr device activate` lets it in.")
    explanation = Today(deployment, table).explain(found.pem, found.ca_certificate_id, record, datetime.now(UTC))
    rejected = record is not None and record.decision is Verdict.REJECT
    return replace(
        explanation,
        knocks=rejected or found.status == "PENDING_ACTIVATION",
        status=found.status,
        replaced=replacement_of(table, record),
    )


def _certificate_id(subject: str, deployment: Deployment, table: Table) -> str:
    file = Path(subject)
    if file.is_file():
        data = read_bytes(file)
        if data.lstrip()[:1] == b"{":
            return _of_event(file, data, deployment)
    return find_one(subject, Registry(deployment.client("iot")), table)


def _of_event(file: Path, data: bytes, deployment: Deployment) -> str:
    """Return the certificate of an event as AWS IoT publishes it, or of the first in a batch from SQS."""
    try:
        event: Any = json.loads(data)
        body = event["Records"][0]["body"] if "Records" in event else json.dumps(event)
        return parse_event(body, account_id=deployment.account_id, sent_at=datetime.now(UTC)).certificate_id
    except Poison as poison:
        raise InputError(f"{file}: {poison.code}: {poison}") from None
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        raise InputError(f"{file}: this is neither a registration event nor a batch of them from SQS") from None
