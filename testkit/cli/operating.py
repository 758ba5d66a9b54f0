"""What operators have: two factories, rules, and held devices."""

from datetime import timedelta
from typing import Any

from jitr.aws.dynamodb.table import Table
from jitr.records.event import RegistrationEvent
from jitr.records.record import APPLIED, facts_json, recorded
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
    at = NOW + timedelta(minutes=number)
    device = knock(subject=(("common_name", f"snr-{number}\x1b[31m"),), certificate_sha256=f"{number:064x}")
    decision = decided(device, made_rules(), now=at)
    event = RegistrationEvent(f"{number:064x}", CA_ID, at)
    table.put_record(
        recorded(
            decision, event=event, heads=table.heads(), facts=facts_json(device), state=APPLIED, now=at, previous=None
        )
    )


def register_ca(client: Any, ca: drafts.CA, *, active: bool = True) -> str:
    answer = client.register_ca_certificate(
        caCertificate=ca.pem.decode(), verificationCertificate=ca.pem.decode(), setAsActive=active
    )
    return str(answer["certificateId"])
