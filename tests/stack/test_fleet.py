"""`jitr fleet check` on devices that the deployed function admitted, with counts that are known beforehand.

``JITR_SOAK_FLEET`` says how many devices: 2,000 in ``make soak``.
"""

import json
import os
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from testkit import pki
from testkit.stack.plant import Factory, Plant, commands, until

from jitr.records.event import own_event
from jitr.x509.certificate import read_certificate

pytestmark = pytest.mark.stack

CA = pki.ca("Fleet Factory")
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
TIMES = max(1, DEVICES // 200)
_TROUBLE = {"recalled": 5, "unmatched": 4, "revoked": 3, "off": 2, "deleted": 2, "bare": 3, "stranger": 2}
TROUBLE = {kind: TIMES * count for kind, count in _TROUBLE.items()}
EXPIRED = 2 * TIMES


def _rules(plant: Plant, factory: Factory, *names: str) -> Path:
    file = plant.folder / "admission.yaml"
    told = ", ".join(f'"{each}"' for each in names)
    file.write_text(RULES.format(ca=factory.id, names=told, policy=plant.stack.outputs["DevicePolicyName"]))
    return file


def _factory(plant: Plant) -> Factory:
    """A CA that the tests can sign with as well: `jitr device issue` makes no certificates that end today."""
    file = plant.folder / "factory-a.pem"
    file.write_bytes(CA.pem)
    file.with_suffix(".key").write_bytes(CA.issued.private_pem)
    return plant.registered("factory-a", file)


def _issue(plant: Plant, factory: Factory, names: Sequence[str], seconds: float | None) -> None:
    """Certificates, which end in so many seconds."""
    if seconds is None:
        plant.jitr("device", "issue", *names, "--ca", factory.ca, "--out-dir", plant.folder)
        return
    end = datetime.now(UTC) + timedelta(seconds=seconds)
    for name in names:
        draft = CA.usual_device(name).key("P-256", name).valid(not_after=end.replace(microsecond=0))
        (plant.folder / f"{name}.pem").write_bytes(draft.issue().pem)


def _registered(
    plant: Plant, factory: Factory, names: Sequence[str], status: str, seconds: float | None = None
) -> dict[str, str]:
    """Certificates of these devices, registered by the CA as a first connection does; by name."""
    _issue(plant, factory, names, seconds)
    found = {}
    for name in names:
        pem = (plant.folder / f"{name}.pem").read_text()
        answer = plant.iot.register_certificate(
            certificatePem=pem, caCertificatePem=factory.ca.read_text(), status="INACTIVE"
        )
        plant.iot.update_certificate(certificateId=answer["certificateId"], newStatus=status)  # type: ignore[arg-type]
        found[name] = answer["certificateId"]
    return found


def _let_in(
    plant: Plant, factory: Factory, names: Sequence[str], seconds: float | None = None
) -> dict[str, str] | None:
    """Devices that the function admitted; None where they ended before it came to them."""
    ids = _registered(plant, factory, names, "PENDING_ACTIVATION", seconds)
    account = plant.stack.account_id
    for each in ids.values():
        body = own_event(each, factory.id, account, datetime.now(UTC))
        plant.sqs.send_message(QueueUrl=plant.stack.outputs["RegistrationQueueUrl"], MessageBody=body)

    def decided() -> set[str] | None:
        records = [each for start in range(0, len(ids), 100) for each in _records(plant, ids, start)]
        settled = [each.decision.value for each in records if each.state == "applied"]
        return set(settled) if len(settled) == len(ids) else None

    verdicts = until(decided, "all devices are decided", 60.0 + len(ids))
    return ids if verdicts == {"admit"} else None


def _let_in_for_a_moment(plant: Plant, factory: Factory, names: Sequence[str]) -> tuple[int, float]:
    """Devices that were let in and end soon: how many others ended before they got in, and when all of them have.

    A slow machine decides some too late: those come again with a certificate that lasts longer.
    """
    too_late = 0
    for name in names:
        for seconds in (10.0, 40.0, 160.0):
            if _let_in(plant, factory, [name], seconds) is not None:
                break
            too_late += 1
        else:
            raise AssertionError(f"{name} is not admitted within 160 s")
    ends = [read_certificate((plant.folder / f"{each}.pem").read_bytes()).facts.not_after.timestamp() for each in names]
    return too_late, max(ends) + 1.0  # time is counted in whole seconds, and a certificate is good until its last one


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


def _scheduled(plant: Plant, strangers: dict[str, str]) -> None:
    """Have the deployed function check the fleet, which finds the same devices.

    Of other tests' devices in this account it tells as well; those here were decided last, and are shown first.
    """
    answer = (
        plant.stack.session()
        .client("lambda")
        .invoke(FunctionName=plant.stack.outputs["FleetFunctionName"], Payload=json.dumps({"fleet": "now"}).encode())
    )
    assert "FunctionError" not in answer, answer["Payload"].read()
    last = plant.json("fleet", "last")
    unnamed = {certificate_id: name for name, certificate_id in strangers.items()}
    found: dict[str, Counter[str]] = {}
    for kind, examples in last["examples"].items():
        for each in examples:
            name = each["common_name"] or unnamed.get(each["certificate_id"], "")
            if name.startswith("fleet-"):
                found.setdefault(kind, Counter())[name.split("-")[1]] += 1
    expected = {
        "reject": {"recalled": TROUBLE["recalled"], "expired": EXPIRED},
        "hold": {"unmatched": TROUBLE["unmatched"]},
        "unknown": {"stranger": TROUBLE["stranger"]},
        "changed": {"revoked": TROUBLE["revoked"], "off": TROUBLE["off"]},
        "gone": {"deleted": TROUBLE["deleted"]},
        "drift": {"bare": TROUBLE["bare"]},
    }
    if TIMES == 1:  # else there are more than are shown
        assert {kind: counts for kind, counts in found.items() if kind != "expiring"} == expected
    for kind, counts in expected.items():
        assert sum(last["counts"][kind].values()) >= sum(counts.values())


def _of_the_page() -> list[str]:
    """What the page has one type, but for the roll-over, which needs a second CA."""
    rollover = commands("fleet.md", "A roll-over")
    assert rollover
    return [each for each in commands("fleet.md") if each not in rollover]


@pytest.mark.docs
def test_every_device_in_trouble_is_found_and_no_other_and_the_page_s_commands_take_them_out(plant: Plant) -> None:
    factory = _factory(plant)
    plant.jitr("lists", "add", "fleet-recall", "common_name=fleet-nobody")
    plant.publish(_rules(plant, factory, "fleet-*"))
    ending = [f"fleet-expired-{number}" for number in range(EXPIRED)]
    too_late, ended = _let_in_for_a_moment(plant, factory, ending)
    troubled = [
        f"fleet-{kind}-{number}" for kind, count in TROUBLE.items() if kind != "stranger" for number in range(count)
    ]
    fine = [f"fleet-fine-{number}" for number in range(DEVICES - EXPIRED - len(troubled))]
    ids = _let_in(plant, factory, [*troubled, *fine])
    assert ids is not None
    _trouble(plant, {name: ids[name] for name in troubled})
    strangers = _registered(
        plant, factory, [f"fleet-stranger-{number}" for number in range(TROUBLE["stranger"])], "ACTIVE"
    )
    recalled = [f"fleet-recalled-{number}\n" for number in range(TROUBLE["recalled"])]
    (plant.folder / "recalled.csv").write_text("".join(["common_name\n", *recalled]))
    plant.jitr("lists", "import", "fleet-recall", plant.folder / "recalled.csv", "--merge", "--yes")
    kinds = ("fine", "recalled", "revoked", "off", "deleted", "bare", "expired")
    plant.publish(_rules(plant, factory, *(f"fleet-{kind}-*" for kind in kinds)))

    until(lambda: time.time() > ended, "their certificates have ended", 200.0)
    began = time.monotonic()
    document = plant.json("fleet", "check", "--ca", "factory-a", code=1)
    print(f"{DEVICES} devices checked in {time.monotonic() - began:.1f} s: {document['counts']}")
    out = TROUBLE["revoked"] + TROUBLE["off"] + TROUBLE["deleted"]
    assert document["looked_at"] == DEVICES - out + TROUBLE["stranger"]
    left = {
        "hold": {"unmatched": TROUBLE["unmatched"]},
        "unknown": {"stranger": TROUBLE["stranger"]},
        "changed": {"revoked": TROUBLE["revoked"], "off": TROUBLE["off"]},
        "gone": {"deleted": TROUBLE["deleted"]},
    }
    assert _counts(document) == left | {
        "reject": {"recalled": TROUBLE["recalled"], "expired": EXPIRED},
        "drift": {"bare": TROUBLE["bare"]},
    }

    _scheduled(plant, strangers)
    done = plant.type("\n".join(_of_the_page()), plant.folder)
    assert done.returncode == 0, done.stdout + done.stderr
    suspects = (plant.folder / "suspects.csv").read_text("utf-8-sig")
    assert suspects.count("fleet-fine-") >= len(fine)
    plant.jitr("ca", "activate", factory.ca)
    document = plant.json("fleet", "check", "--ca", "factory-a", "--deactivate", "--yes", code=1)
    assert _counts(document) == left
    assert len(document["deactivated"]["certificate_ids"]) == TROUBLE["unmatched"] + TROUBLE["stranger"]
    pages = plant.iot.get_paginator("list_certificates_by_ca").paginate(caCertificateId=factory.id)
    statuses = Counter(each["status"] for page in pages for each in page["certificates"])
    taken_out = [TROUBLE[kind] for kind in ("recalled", "unmatched", "stranger", "off")]
    assert statuses["REVOKED"] == TROUBLE["revoked"]
    assert statuses["ACTIVE"] == len(fine) + TROUBLE["bare"]
    assert statuses["INACTIVE"] == sum(taken_out) + EXPIRED + too_late
