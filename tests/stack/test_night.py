"""What is read when something has gone wrong, typed as it stands: docs/back-up.md and docs/runbook.md."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from testkit.stack.plant import Plant, commands, event, until

from jitr_local.stack import LocalStack

pytestmark = [pytest.mark.stack, pytest.mark.docs]


@pytest.fixture
def empty(second_stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Plant:
    """An operator of the other account."""
    return Plant(second_stack, tmp_path_factory.mktemp("empty"))


def test_rules_and_lists_that_were_saved_let_the_same_devices_in_elsewhere(
    plant: Plant, empty: Plant, tmp_path: Path
) -> None:
    """The page's commands move them to an empty stack of another account, where the CA is registered as well.

    The rules name the CA by its file, as the tutorials do, and the file is not where they are restored.
    """
    factory = plant.factory("saved")
    rules = plant.rules(factory)
    rules.write_text(
        rules.read_text()
        .replace(f'ids: ["{factory.id}"]', f"certificate: {factory.ca.name}")
        .replace("    ca: saved\n", "    ca: saved\n    list: line-a-2026\n")
        .replace("      thing: ", '      attributes: {batch: "{attr.batch}"}\n      thing: ')
    )
    rows = tmp_path / "rows.csv"
    rows.write_text('common_name,attr.batch,note\nsaved-0001,7,"\'=first, of many"\nsaved-0002,8,\n')
    plant.jitr("lists", "import", "line-a-2026", rows)
    plant.publish(rules)
    made = plant.device(factory, "saved-0001")
    plant.knocks(made)
    save, restore = commands("back-up.md")
    saved = plant.type(save, tmp_path)
    assert saved.returncode == 0, saved.stdout + saved.stderr

    assert empty.registered("saved", factory.ca).id == factory.id
    restored = empty.type(restore, tmp_path)
    assert restored.returncode == 0, restored.stdout + restored.stderr
    elsewhere = empty.knocks(empty.made("saved-0001", made.device.certificate, made.device.key))
    assert elsewhere.certificate_id == made.certificate_id
    assert empty.iot.describe_thing(thingName="saved-0001")["attributes"]["batch"] == "7"
    stranger = empty.knocks(empty.device(factory, "saved-0003"), empty.record)
    record = empty.record(stranger)
    assert record is not None
    assert [each["code"] for each in record.reasons] == ["allow.unmatched"]


def test_every_command_of_the_runbook_is_typed_and_mends_what_its_entry_is_about(empty: Plant, tmp_path: Path) -> None:
    """In a stack with something to do for each: events in both failure queues, a held device, damaged rules."""
    factory = empty.factory("night")
    rules = empty.rules(factory)
    good = rules.read_text()
    spare = (good.replace("night-*", f"spare-{number}") for number in range(2))
    while len(empty.json("rules", "history")) < 2:
        rules.write_text(next(spare))
        empty.publish(rules)
    for text in (good, good.replace("night-*", "nobody")):  # the page goes back to version 3
        rules.write_text(text)
        empty.publish(rules)
    exhausted, bug, undelivered = empty.pending(factory, "night-1", "night-2", "night-3")
    put(empty, "RegistrationFailures", event(exhausted.certificate_id, factory.id))
    put(empty, "RegistrationFailures", event(bug.certificate_id, factory.id), reason="event.bug")
    payload = base64.b64encode(event(undelivered.certificate_id, factory.id).encode()).decode()
    failed = [{"failedAction": "SqsAction", "errorMessage": "Failed to send message. AccessDenied"}]
    put(empty, "RuleFailures", json.dumps({"base64OriginalPayload": payload, "failures": failed}))
    held = empty.knocks(empty.device(factory, "stranger"), empty.record)
    variables = f"CERTIFICATE={held.certificate_id}\nCA={factory.id}\n"
    for block in commands("runbook.md"):
        typed = empty.type(variables + block, tmp_path)
        # An explanation of a device that is not in is the answer "no".
        assert typed.returncode == (1 if "jitr explain" in block else 0), block + typed.stdout + typed.stderr
    put_back = (exhausted, bug, undelivered)
    until(lambda: {empty.status(made) for made in put_back} == {"ACTIVE"}, "who was put back is in")
    assert empty.json("failures", "ls") == []
    assert json.loads((tmp_path / "failures.json").read_text()) == []
    ca = empty.iot.describe_ca_certificate(certificateId=factory.id)["certificateDescription"]
    assert ca["status"] == "ACTIVE"
    assert empty.json("rules", "history")[0]["version"] == 5


def put(plant: Plant, queue: str, body: str, reason: str | None = None) -> None:
    """Put a message on one of the queues of failures."""
    told: Any = {} if reason is None else {"reason": {"DataType": "String", "StringValue": reason}}
    plant.sqs.send_message(QueueUrl=plant.stack.outputs[f"{queue}Url"], MessageBody=body, MessageAttributes=told)
