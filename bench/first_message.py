"""From a device's first connection to its first message, on the local stack: ours against AWS's example.

Real MQTT clients over mutual TLS that reconnect as the device SDKs do. The example's handler runs on the same stack, as
AWS's example does: the topic rule invokes it, its role may do all of AWS IoT. Both have worked before. They take turns:
while one is measured the other's topic rule is switched off.
"""

import io
import json
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from testkit.stack.plant import Factory, Plant, PlantDevice, until

from bench import baseline
from bench.measure import Spread, Timings
from bench.results import Result
from jitr_local.session import running_stack

_MOST = 1.2
_OURS, _EXAMPLE = "jitr", "AWS's example"
_LOOK_EVERY = 0.02  # seconds

_HANDLER = """
import boto3
from baseline import handle

iot = boto3.client("iot")

def handler(event, context):
    handle(event, iot, "arn:aws:iot:" + iot.meta.region_name + ":" + str(event["awsAccountId"]) + ":cert")
"""
_EVENTS = "SELECT * FROM '$aws/events/certificates/registered/#'"


def run(*, quick: bool) -> Result:
    """Measure it."""
    result = Result("first_message")
    turns, devices = (2, 1) if quick else (7, 3)
    with running_stack() as stack, TemporaryDirectory(prefix="jitr-bench-") as name:
        plant = Plant(stack, Path(name).resolve())
        factory = plant.factory("bench")
        plant.publish(plant.rules(factory))
        rules = {_OURS: plant.iot.list_topic_rules()["rules"][0]["ruleName"], _EXAMPLE: _deploy_example(plant)}
        message, active = _turns(plant, factory, rules, turns, devices)
    rows = [
        (each, message.of(each).told(2), message.ratio(each, _EXAMPLE).told(2), active.of(each).times(1000).told(0))
        for each in (_OURS, _EXAMPLE)
    ]
    columns = ("", "first connection to first message, s", "against the example", "first connection to ACTIVE, ms")
    result.table("times", columns, rows)
    ratio = message.ratio(_OURS, _EXAMPLE)
    goal = "First connection to first message, against AWS's example on the same stack"
    result.goal(goal, f"at most {_MOST} ×", f"{ratio.told(2)} ×", met=ratio.median <= _MOST)
    return result


def _turns(plant: Plant, factory: Factory, rules: dict[str, str], turns: int, devices: int) -> tuple[Timings, Timings]:
    """Seconds to the first message and to ACTIVE, the median of some devices a turn. The first turn warms up."""
    message: dict[str, list[float]] = {each: [] for each in rules}
    active: dict[str, list[float]] = {each: [] for each in rules}
    for turn in range(turns + 1):
        for number, name in enumerate(rules):
            with _alone(plant, rules, name):
                made = [plant.device(factory, f"bench-{turn}-{number}-{each}") for each in range(devices)]
                found = [_first_message(plant, each) for each in made]
            if turn:
                message[name].append(Spread.of([each for each, _ in found]).median)
                active[name].append(Spread.of([each for _, each in found]).median)
    return Timings(message), Timings(active)


def _first_message(plant: Plant, made: PlantDevice) -> tuple[float, float]:
    with made.knocking() as device:
        until(lambda: device.first_attempt, "it knocks")
        while plant.status(made) != "ACTIVE":
            assert device.first_attempt is not None
            assert time.monotonic() < device.first_attempt + 60, f"{device.name} is not let in"
            time.sleep(_LOOK_EVERY)
        active = time.monotonic()
        until(made.is_in, "its first message arrives")
    assert device.seconds is not None
    assert device.first_attempt is not None
    return device.seconds, active - device.first_attempt


@contextmanager
def _alone(plant: Plant, rules: dict[str, str], name: str) -> Iterator[None]:
    """Only this topic rule is on."""
    for each, rule in rules.items():
        (plant.iot.enable_topic_rule if each == name else plant.iot.disable_topic_rule)(ruleName=rule)
    yield
    until(lambda: plant.under_way() == 0, "all knocks are handled")


def _deploy_example(plant: Plant) -> str:
    """The example's function and its topic rule, which is off; the rule's name."""
    session = plant.stack.session()
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    may = {"Effect": "Allow", "Action": "iot:*", "Resource": "*"}
    iam = session.client("iam")
    role = iam.create_role(RoleName="example", AssumeRolePolicyDocument=_policy(trust))["Role"]["Arn"]
    iam.put_role_policy(RoleName="example", PolicyName="example", PolicyDocument=_policy(may))
    function = session.client("lambda").create_function(
        FunctionName="example",
        Runtime="python3.13",
        Role=role,
        Handler="example.handler",
        Timeout=30,
        MemorySize=512,
        Code={"ZipFile": _zipped()},
    )["FunctionArn"]
    session.client("lambda").add_permission(
        FunctionName="example", StatementId="iot", Action="lambda:InvokeFunction", Principal="iot.amazonaws.com"
    )
    plant.iot.create_topic_rule(
        ruleName="example",
        topicRulePayload={"sql": _EVENTS, "actions": [{"lambda": {"functionArn": function}}], "ruleDisabled": True},
    )
    return "example"


def _policy(statement: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def _zipped() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("example.py", _HANDLER)
        archive.write(str(baseline.__file__), "baseline.py")
    return packed.getvalue()
