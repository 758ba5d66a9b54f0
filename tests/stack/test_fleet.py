"""`jitr fleet check` on devices that the deployed function admitted, with counts that are known beforehand.

``JITR_SOAK_FLEET`` says how many devices: 2,000 in ``make soak``.
"""

import os
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from testkit.stack.plant import Factory, Plant, commands, until

from jitr.records.event import own_event

pytestmark = pytest.mark.stack

DEVICES = int(os.environ.get("JITR_SOAK_FLEET", "30"))
RULES = """\
format: 1
default: hold
cas:
  factory-a: {{ids: ["{ca}"]}}
deny:
  - {{name: recalled-boards, list: fleet-recall}}
allow:
  - name: sensors
    ca: factory-a
    common_name: [{names}]
    grant: {{thing: "{{common_name}}", attributes: {{line: a}}, iot_policies: ["{policy}"]}}
"""
TROUBLE = {"recalled": 5, "unmatched": 4, "revoked": 3, "off": 2, "deleted": 2, "bare": 3, "stranger": 2}


def _rules(plant: Plant, factory: Factory, *names: str) -> Path:
    file = plant.folder / "admission.yaml"
    told = ", ".join(f'"{each}"' for each in names)
    file.write_text(RULES.format(ca=factory.id, names=told, policy=plant.stack.outputs["DevicePolicyName"]))
    return file


def _registered(plant: Plant, factory: Factory, names: Sequence[str], status: str) -> dict[str, str]:
    """Certificates of these devices, registered by the CA as a first connection does; by name."""
    plant.jitr("device", "issue", *names, "--ca", factory.ca, "--out-dir", plant.folder)
    found = {}
    for name in names:
        pem = (plant.folder / f"{name}.pem").read_text()
        answer = plant.iot.register_certificate(
            certificatePem=pem, caCertificatePem=factory.ca.read_text(), status="INACTIVE"
        )
        plant.iot.update_certificate(certificateId=answer["certificateId"], newStatus=status)  # type: ignore[arg-type]
        found[name] = answer["certificateId"]
    return found


def _let_in(plant: Plant, factory: Factory, names: Sequence[str]) -> dict[str, str]:
    ids = _registered(plant, factory, names, "PENDING_ACTIVATION")
    account = plant.stack.account_id
    for each in ids.values():
        body = own_event(each, factory.id, account, datetime.now(UTC))
        plant.sqs.send_message(QueueUrl=plant.stack.outputs["RegistrationQueueUrl"], MessageBody=body)

    def all_in() -> bool:
        records = [each for start in range(0, len(ids), 100) for each in _records(plant, ids, start)]
        return len(records) == len(ids) and {(each.decision.value, each.state) for each in records} == {
            ("admit", "applied")
        }

    until(all_in, "all devices are admitted", 60.0 + len(ids))
    return ids


def _records(plant: Plant, ids: dict[str, str], start: int) -> list[Any]:
    return list(plant.table.records(list(ids.values())[start : start + 100]))


def _trouble(plant: Plant, ids: dict[str, str]) -> None:
    """Do to each device what its name says, by another hand than ours."""
    iot, policy = plant.iot, plant.stack.outputs["DevicePolicyName"]
    for name, certificate_id in ids.items():
        kind = name.split("-")[1]
        arn = iot.describe_certificate(certificateId=certificate_id)["certificateDescription"]["certificateArn"]
        if kind in ("bare", "deleted"):
            iot.detach_policy(policyName=policy, target=arn)
        if kind == "deleted":
            iot.detach_thing_principal(thingName=name, principal=arn)
        if kind in ("off", "deleted"):
            iot.update_certificate(certificateId=certificate_id, newStatus="INACTIVE")
        if kind == "revoked":
            iot.update_certificate(certificateId=certificate_id, newStatus="REVOKED")
        if kind == "deleted":
            iot.delete_certificate(certificateId=certificate_id)


def _counts(document: Any) -> dict[str, Counter[str]]:
    """How many devices of each kind of trouble there are among the findings of each kind."""
    found: dict[str, Counter[str]] = {}
    for each in document["findings"]:
        found.setdefault(each["finding"], Counter())[each["common_name"].split("-")[1]] += 1
    return found


def _of_the_page() -> list[str]:
    """What the page has one type, but for the roll-over, which needs a second CA."""
    rollover = commands("fleet.md", "A roll-over")
    assert rollover
    return [each for each in commands("fleet.md") if each not in rollover]


@pytest.mark.docs
def test_every_device_in_trouble_is_found_and_no_other_and_the_page_s_commands_take_them_out(plant: Plant) -> None:
    factory = plant.factory("factory-a")
    plant.jitr("lists", "add", "fleet-recall", "common_name=fleet-nobody")
    plant.publish(_rules(plant, factory, "fleet-*"))
    troubled = [
        f"fleet-{kind}-{number}" for kind, count in TROUBLE.items() if kind != "stranger" for number in range(count)
    ]
    fine = [f"fleet-fine-{number}" for number in range(DEVICES - len(troubled))]
    ids = _let_in(plant, factory, [*troubled, *fine])
    _trouble(plant, {name: ids[name] for name in troubled})
    _registered(plant, factory, [f"fleet-stranger-{number}" for number in range(TROUBLE["stranger"])], "ACTIVE")
    for number in range(TROUBLE["recalled"]):
        plant.jitr("lists", "add", "fleet-recall", f"common_name=fleet-recalled-{number}")
    kinds = ("fine", "recalled", "revoked", "off", "deleted", "bare")
    plant.publish(_rules(plant, factory, *(f"fleet-{kind}-*" for kind in kinds)))

    document = plant.json("fleet", "check", "--ca", "factory-a", code=1)
    assert document["looked_at"] == DEVICES - 3 - 2 - 2 + TROUBLE["stranger"]
    assert _counts(document) == {
        "reject": {"recalled": 5},
        "hold": {"unmatched": 4},
        "unknown": {"stranger": 2},
        "changed": {"revoked": 3, "off": 2},
        "gone": {"deleted": 2},
        "drift": {"bare": 3},
    }

    done = plant.type("\n".join(_of_the_page()), plant.folder)
    assert done.returncode == 0, done.stdout + done.stderr
    suspects = (plant.folder / "suspects.csv").read_text("utf-8-sig")
    assert suspects.count("fleet-fine-") >= len(fine)
    plant.jitr("ca", "activate", factory.ca)
    document = plant.json("fleet", "check", "--ca", "factory-a", "--deactivate", "--yes", code=1)
    assert _counts(document) == {
        "hold": {"unmatched": 4},
        "unknown": {"stranger": 2},
        "changed": {"revoked": 3, "off": 2},
        "gone": {"deleted": 2},
    }
    assert len(document["deactivated"]["certificate_ids"]) == 6
    pages = plant.iot.get_paginator("list_certificates_by_ca").paginate(caCertificateId=factory.id)
    statuses = Counter(each["status"] for page in pages for each in page["certificates"])
    assert statuses == {"ACTIVE": len(fine) + 3, "INACTIVE": 5 + 4 + 2 + 2, "REVOKED": 3}
