"""Decisions on record, and deciding a rejected device again."""

from collections.abc import Mapping
from datetime import datetime
from itertools import islice
from typing import Any

from jitr.aws.dynamodb.decisions import newest_of
from jitr.aws.dynamodb.table import Table
from jitr.errors import InputError
from jitr.reasons import Verdict
from jitr.records.by_hand import Act
from jitr.records.record import APPLIED, Record
from jitr_operations.decisions import words
from jitr_operations.decisions.filters import of_ca, with_reason
from jitr_operations.deployment import Deployment
from jitr_operations.devices.registry import Registry
from jitr_operations.table import now, now_text, operator, table_of


def decisions(
    table: Table,
    *,
    verdict: Verdict | None,
    rule: str | None,
    reason: str | None,
    ca: str | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
) -> list[Record]:
    """Return the decisions in force, the newest first: of a verdict, a rule, a reason, a CA, a span of time."""
    of_that_ca, with_that_reason = of_ca(table, ca), with_reason(reason)

    def wanted(record: Record) -> bool:
        return (
            (rule is None or record.rule == rule)
            and (until is None or record.decided_at <= until)
            and with_that_reason(record)
            and of_that_ca(record)
        )

    records = newest_of(table, Verdict if verdict is None else (verdict,), since)
    return list(islice(filter(wanted, records), limit))


def document(record: Record, acts: Mapping[str, tuple[Act, ...]]) -> dict[str, Any]:
    """Return a decision as JSON, with what operators did to the certificate's status since."""
    done = acts.get(record.certificate_id)
    return record.to_json() | ({"by_hand": [each.to_json() for each in done]} if done else {})


def rejected(deployment: Deployment, device: str) -> Record:
    """Return the record of a rejected device that can be decided again.

    Raises InputError where it was not rejected, is REVOKED, or was made ACTIVE by another hand.
    """
    record = words.decided(device, deployment, table_of(deployment))
    status = Registry(deployment.client("iot")).require(record.certificate_id).status
    short = record.certificate_id[:12]
    if record.decision is not Verdict.REJECT or record.state != APPLIED:
        raise InputError(f"certificate {short} was not rejected: the decision is {record.decision}")
    if status == "REVOKED":
        raise InputError(f"certificate {short} is REVOKED, and nobody can undo that: issue the device a new one")
    if status == "ACTIVE":
        raise InputError(f"certificate {short} is ACTIVE: another hand made it so after it was rejected")
    return record


def reopen(deployment: Deployment, record: Record) -> None:
    """Have a rejected device decided again now. Raises InputError where it was decided again meanwhile."""
    words.reopen(table_of(deployment), deployment, record, operator(deployment), now(), now_text())
