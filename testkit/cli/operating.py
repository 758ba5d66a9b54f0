"""What operators have: two factories, rules, and held devices."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from jitr.aws.dynamodb.table import Table, record_item, record_writes, to_item
from jitr.records.event import RegistrationEvent
from jitr.records.heads import Heads
from jitr.records.knock import facts_json
from jitr.records.record import APPLIED, Record
from jitr.records.transitions import recorded
from testkit import pki as drafts
from testkit.knocks import CA_ID, NOW, decided, knock
from testkit.knocks import rules as made_rules

FACTORY = drafts.ca("Factory A")
OTHER = drafts.ca("Factory B")
RULES = f"""\
format: 1
cas:
  factory-a: {{ids: ["{CA_ID}"]}}
allow:
  - name: line-a
    ca: factory-a
    list: line-a
    grant: {{thing: "{{common_name}}", iot_policies: [Sensor]}}
tests:
  - name: a listed one gets in
    at: 2026-03-01
    device: {{ca: factory-a, common_name: snr-1}}
    lists: {{line-a: [{{common_name: snr-1}}]}}
    expect: {{decision: admit}}
"""


def hold(table: Table, number: int) -> None:
    """Put a held device on record, each later than the one before."""
    table.put_record(_held(table.heads(), number, NOW + timedelta(minutes=number)))


def hold_many(table: Table, numbers: Iterable[int], *, at_once: bool = False, found: bool = False) -> None:
    """Put many held devices on record, each later than the one before or all in the same second.

    Lists and searches find them where that is said (``found``).
    """
    heads = table.heads()
    records = (_held(heads, each, NOW if at_once else NOW + timedelta(minutes=each)) for each in numbers)
    if found:
        write_many(table, (write["Put"]["Item"] for each in records for write in record_writes(table.name, each)[1]))
    else:
        write_many(table, (to_item(record_item(replace(each, revision=1))) for each in records))


def write_many(table: Table, items: Iterable[Any]) -> None:
    """Put many items into the table, as DynamoDB has them, in few requests."""
    requests: list[Any] = [{"PutRequest": {"Item": each}} for each in items]
    for start in range(0, len(requests), 25):
        table.client.batch_write_item(RequestItems={table.name: requests[start : start + 25]})


def _held(heads: Heads, number: int, at: datetime) -> Record:
    device = knock(subject=(("common_name", f"snr-{number}\x1b[31m"),), certificate_sha256=f"{number:064x}")
    decision = decided(device, made_rules(), now=at)
    event = RegistrationEvent(f"{number:064x}", CA_ID, at)
    facts = facts_json(device)
    return recorded(decision, event=event, heads=heads, facts=facts, state=APPLIED, now=at, previous=None)


def register_ca(client: Any, ca: drafts.CA, *, active: bool = True) -> str:
    answer = client.register_ca_certificate(
        caCertificate=ca.pem.decode(), verificationCertificate=ca.pem.decode(), setAsActive=active
    )
    return str(answer["certificateId"])
