"""Whether AWS does what it is taken to do: tried on the local stack, cleaned up whatever happens."""

import json
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from testkit.stack.plant import Plant, until

from jitr.times import parse_time, rfc3339
from jitr_operations.verify import verification

pytestmark = pytest.mark.stack

COMMAND = [sys.executable, "-c", "from jitr_cli.main import run; run()", "verify", "--yes"]


def started(plant: Plant, *options: str) -> subprocess.Popen[str]:
    """A verification that is under way."""
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([*COMMAND, *options], cwd=plant.folder, env=plant.variables, **pipes)


def belongings(plant: Plant) -> list[str]:
    """What a verification made and is still there: CAs, devices, IoT policies."""
    cas = [each["subject"] or "" for each in plant.json("ca", "ls")["cas"]]
    policies = [each["policyName"] for each in plant.iot.list_policies()["policies"]]
    return [each for each in (*cas, *policies) if "jitr-verify" in each]


def devices_of_it(plant: Plant) -> list[Any]:
    """What is on record of the devices of a verification."""
    return [each for each in plant.json("decisions", "ls") if "jitr-verify" in json.dumps(each)]


def everything(plant: Plant) -> set[str]:
    """Whatever a verification might leave."""
    clients = plant.stack.session()
    found = {f"stack {each['StackName']}" for each in clients.client("cloudformation").describe_stacks()["Stacks"]}
    found |= {f"bucket {each['Name']}" for each in clients.client("s3").list_buckets()["Buckets"]}
    found |= {f"table {each}" for each in clients.client("dynamodb").list_tables()["TableNames"]}
    found |= {f"role {each['RoleName']}" for each in clients.client("iam").list_roles()["Roles"]}
    found |= {f"queue {each}" for each in clients.client("sqs").list_queues().get("QueueUrls", [])}
    subscriptions = clients.client("sns").list_subscriptions()["Subscriptions"]
    found |= {f"subscription {each['SubscriptionArn']}" for each in subscriptions}
    found |= {f"CA {each['certificateId']}" for each in plant.iot.list_ca_certificates()["certificates"]}
    found |= {f"certificate {each['certificateId']}" for each in plant.iot.list_certificates()["certificates"]}
    found |= {f"thing {each['thingName']}" for each in plant.iot.list_things()["things"]}
    return found | {f"IoT policy {each['policyName']}" for each in plant.iot.list_policies()["policies"]}


@pytest.fixture
def strangers_wait(plant: Plant) -> Plant:
    """Rules that let nobody in whom they do not know."""
    plant.publish(plant.rules(plant.factory("verify")))
    return plant


@pytest.fixture
def pauses_pass_at_once(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Knocks are counted once a minute: instead of waiting for it, those that were counted become so much older."""
    dynamodb = plant.stack.session().client("dynamodb")

    def sleep(seconds: float) -> None:
        (table,) = [each for each in dynamodb.list_tables()["TableNames"] if "jitr-verify" in each]
        aged = 0
        for item in dynamodb.scan(TableName=table)["Items"]:
            if "counted_at" in item:
                earlier = rfc3339(parse_time(item["counted_at"]["S"]) - timedelta(seconds=seconds))
                dynamodb.update_item(
                    TableName=table,
                    Key={name: item[name] for name in ("pk", "sk")},
                    UpdateExpression="SET counted_at = :at",
                    ExpressionAttributeValues={":at": {"S": earlier}},
                )
                aged += 1
        assert aged > 0

    monkeypatch.setattr(verification, "time", SimpleNamespace(monotonic=time.monotonic, sleep=sleep))


@pytest.mark.usefixtures("pauses_pass_at_once")
def test_each_assumption_is_looked_at_on_a_stack_of_its_own_and_nothing_is_left(plant: Plant, tmp_path: Path) -> None:
    """Beside a stack that gets no events meanwhile; beside one that does it refuses, and names it."""
    template = plant.stack.log.parent / "sam/build/template.yaml"
    own = ("--own-stack", "--template", template, "--yes")
    refused = plant.jitr("verify", *own, code=2).stderr
    assert f"of stack {plant.stack.stack_name} takes registration events, too" in refused
    report = tmp_path / "verified.md"
    before = everything(plant)
    with plant.topic_rule_resting():
        told = plant.json("verify", *own, "--throttle", "--report", report)
    seen = {each["code"]: each["seen"] for each in told["assumptions"]}
    assert {code for code, word in seen.items() if word != "confirmed"} == {"alarm.failures", "throttling.shape"}
    throttling = next(each for each in told["assumptions"] if each["code"] == "throttling.shape")
    assert throttling["detail"] == "60 calls were all answered: the quota here is higher"
    assert (told["left"], everything(plant) - before) == ([], set())
    assert json.loads(report.with_suffix(".json").read_text()) == told
    assert report.read_text().count("| confirmed |") == len(seen) - 2
    used = told["used"]
    assert {"cloudformation", "dynamodb", "iot", "s3", "sns", "sqs"} <= used["calls"].keys()
    assert used["calls"]["iot"]["calls"] > 60  # those above the quota are among them
    assert (used["connections"] > 5, used["messages"]) == (True, {"sent": 0, "received": 1})
    assert (used["stack"]["name"], used["stack"]["seconds"] > 0) == (f"jitr-verify-{told['run']}", True)
    assert used["stack"]["resources"]["AWS::DynamoDB::Table"] == 1
    assert f"- stack jitr-verify-{told['run']} and a bucket for its code" in report.read_text()


def test_one_that_is_interrupted_takes_away_what_it_made(strangers_wait: Plant) -> None:
    """Here when devices wait, and the decisions on them are in the table of a stack that stays."""
    plant = strangers_wait
    before = everything(plant)
    running = started(plant)
    until(lambda: len(devices_of_it(plant)) == 2, "both are held")
    running.send_signal(signal.SIGINT)
    _, told = running.communicate(timeout=60)
    assert (running.returncode, "Taking away what was made" in told) == (130, True), told
    assert (everything(plant) - before, devices_of_it(plant)) == (set(), [])


def test_what_one_that_was_killed_left_behind_is_taken_away_by_its_tag(strangers_wait: Plant) -> None:
    plant = strangers_wait
    running = started(plant)
    until(lambda: belongings(plant), "it has registered its CA")
    running.kill()
    running.communicate(timeout=60)
    assert len(belongings(plant)) == 1
    plant.jitr("verify", "--clean")
    assert belongings(plant) == []
    assert plant.json("ca", "ls")["cas"]  # those of others stay


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"    ca: verify\n": "", '"verify-*"': '"*"'}, "would let the devices of a verification in"),
        ({"default: hold": "default: reject"}, "reject the devices of a verification at once"),
    ],
    ids=["let in", "rejected"],
)
def test_it_connects_nothing_where_the_rules_would_not_have_it_wait(
    strangers_wait: Plant, changes: dict[str, str], told: str
) -> None:
    plant = strangers_wait
    rules = plant.folder / "admission.yaml"
    text = rules.read_text()
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    rules.write_text(text)
    plant.publish(rules)
    began = datetime.now(UTC)
    assert told in plant.jitr("verify", "--yes", code=2).stderr
    assert belongings(plant) == []
    # Events of a verification that was killed in an earlier test may still come back.
    first_knocks = [each["first_knock_at"] for each in plant.json("decisions", "ls")]
    assert [each for each in first_knocks if each is not None and parse_time(each) >= began] == []
