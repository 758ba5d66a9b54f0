"""Devices on record as rows for other tools: a row a device, made while it is read, at any size."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from jitr.aws.dynamodb.batch_writer import batched
from jitr.aws.dynamodb.decisions import newest_of
from jitr.aws.dynamodb.replacements import successors_of
from jitr.aws.dynamodb.rulebook import rules_in_force
from jitr.aws.dynamodb.table import BATCH_GET, Table
from jitr.devicelists.csv.cells import to_cell
from jitr.facts import CertificateFacts
from jitr.reasons import Verdict
from jitr.records.record import Record
from jitr.rules.model import Rules
from jitr.times import rfc3339
from jitr_operations.decisions.filters import of_ca
from jitr_operations.files import BYTE_ORDER_MARK

COLUMNS = (
    *("certificate_id", "common_name", "decision", "state", "replaced_by", "rule", "reasons", "since", "decided_at"),
    *("knocked_at", "first_knock_at", "knocks", "due", "ca_certificate_id", "ca", "subject", "issuer"),
    *("serial_number", "public_key_sha256", "key", "not_before", "not_after", "thing", "thing_type", "attributes"),
    *("thing_groups", "iot_policies"),
)

DeviceRow = dict[str, Any]


def device_rows(
    table: Table, *, verdicts: Iterable[Verdict], ca: str | None, rule: str | None, since: datetime | None
) -> Iterator[DeviceRow]:
    """Yield a row for each device on record, the newest decision first. Raises InputError for an unknown CA."""
    of_that_ca, rules = of_ca(table, ca), rules_in_force(table) or Rules("")
    records = newest_of(table, tuple(verdicts), since)
    wanted = (each for each in records if of_that_ca(each) and (rule is None or each.rule == rule))
    return _rows(table, wanted, rules)


def _rows(table: Table, records: Iterable[Record], rules: Rules) -> Iterator[DeviceRow]:
    for page in batched(records, BATCH_GET):
        successors = successors_of(table, page)
        for each in page:
            yield _row(each, rules) | {"replaced_by": list(successors.get(each.certificate_id, ()))}


def as_csv(rows: Iterable[DeviceRow]) -> Iterator[str]:
    """Write rows as CSV, a piece at a time. Spreadsheets show the cells as they are: none is run as a formula."""
    yield BYTE_ORDER_MARK + _line(COLUMNS)
    for row in rows:
        yield _line([to_cell(name, _cell(row[name])) for name in COLUMNS])


def as_json_lines(rows: Iterable[DeviceRow]) -> Iterator[str]:
    """Write rows as JSON, one object a line, in pure ASCII."""
    return (json.dumps(each) + "\n" for each in rows)


FORMATS: dict[str, Callable[[Iterable[DeviceRow]], Iterator[str]]] = {"csv": as_csv, "jsonl": as_json_lines}


def _row(record: Record, rules: Rules) -> DeviceRow:
    grant = record.grant or {}
    row: DeviceRow = dict.fromkeys(COLUMNS) | {
        "certificate_id": record.certificate_id,
        "decision": record.decision.value,
        "state": record.state,
        "rule": record.rule,
        "reasons": [each["code"] for each in record.reasons],
        "since": rfc3339(record.since),
        "decided_at": rfc3339(record.decided_at),
        "knocked_at": rfc3339(record.knocked_at),
        "first_knock_at": _time(record.first_knock_at),
        "knocks": record.knocks,
        "due": _time(record.due),
        "ca_certificate_id": record.ca_certificate_id,
        "ca": sorted(rules.aliases_of(record.ca_certificate_id)),
        "thing": grant.get("thing"),
        "thing_type": grant.get("thing_type"),
        "attributes": grant.get("attributes", {}),
        "thing_groups": list(grant.get("thing_groups", ())),
        "iot_policies": list(grant.get("iot_policies", ())),
    }
    return row if record.facts is None else row | _of_certificate(CertificateFacts.from_json(record.facts))


def _of_certificate(facts: CertificateFacts) -> DeviceRow:
    key = facts.key
    return {
        "common_name": ", ".join(facts.values("common_name")),
        "subject": [f"{each.name}={each.value}" for each in facts.subject],
        "issuer": [f"{each.name}={each.value}" for each in facts.issuer],
        "serial_number": facts.serial_number,
        "public_key_sha256": facts.public_key_sha256,
        "key": key.curve or " ".join(str(each) for each in (key.kind, key.bits) if each is not None),
        "not_before": rfc3339(facts.not_before),
        "not_after": rfc3339(facts.not_after),
    }


def _cell(value: Any) -> str:
    """Return a value as a cell has it: lists with semicolons, attributes as JSON."""
    match value:
        case None:
            return ""
        case list():
            return "; ".join(map(str, value))
        case dict():
            return json.dumps(value, sort_keys=True) if value else ""
    return str(value)


def _line(cells: Sequence[str]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue()


def _time(time: datetime | None) -> str | None:
    return None if time is None else rfc3339(time)
