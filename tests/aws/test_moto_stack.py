"""The stack on a second emulator: moto's CloudFormation deploys the transformed template, and devices knock."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError
from moto import mock_aws
from testkit import pki
from testkit.aws import moto_stack
from testkit.aws.moto_stack import LACKS, NOT_MADE, EventSourceMapping, Template
from testkit.aws.world import PENDING, REGION, Calls, World, new_clients
from testkit.transformed import deployed, transformed

from jitr.aws.dynamodb.table import Table
from jitr_operations.deployment import Choice
from jitr_operations.rules.publication import propose_text, publish

FACTORY = pki.ca("Factory A")
SENSOR, STRANGER = (FACTORY.usual_device(name).issue() for name in ("snr-0001", "new-0002"))
RULES = f"""\
format: 1
default: hold
cas:
  factory-a: {{ids: ["{FACTORY.id}"]}}
allow:
  - name: sensors
    ca: factory-a
    common_name: "snr-*"
    grant: {{thing: "{{common_name}}", iot_policies: [jitr-device]}}
"""

pytestmark = pytest.mark.filterwarnings("ignore:Tried to parse:UserWarning")


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An account in memory, and whoever deploys there."""
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION"):
        monkeypatch.setenv(name, REGION)
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE", "JITR_STACK"):
        monkeypatch.delenv(name, raising=False)
    with mock_aws():
        yield


@dataclass
class Stack:
    """The deployed stack: what commands, the function and AWS IoT see of it."""

    outputs: dict[str, str]
    world: World
    function: EventSourceMapping

    def published(self, rules: str) -> None:
        deployment = Choice(region=REGION).deployment()
        publish(deployment, propose_text(deployment, rules.encode(), "admission.yaml"), None)

    def knocks(self, device: pki.Issued, **changes: Any) -> None:
        """AWS IoT's part and the topic rule's: the event is on the queue, with what the rule's SQL adds."""
        event = json.loads(self.world.event(device.sha256, FACTORY.id, **changes)) | {"clientId": "snr"}
        self.world.sqs.send_message(QueueUrl=self.outputs["RegistrationQueueUrl"], MessageBody=json.dumps(event))


@pytest.fixture
def stack(account: None) -> Stack:
    outputs = moto_stack.deploy(moto_stack.template())
    urls = outputs["RegistrationQueueUrl"], outputs["RegistrationFailuresUrl"]
    iot, dynamodb, sqs = new_clients()
    table = Table(dynamodb, outputs["TableName"])
    world = World(iot, dynamodb, sqs, table, *urls, Calls(), now=datetime.now(UTC))
    world.register_ca(FACTORY)
    return Stack(outputs, world, EventSourceMapping.deployed(outputs["RegisterFunctionName"], urls[0]))


# --- what moto makes of the template


def test_all_of_the_template_is_made_but_what_moto_knows_nothing_of(stack: Stack) -> None:
    made = moto_stack.made_of()
    asked = moto_stack.template()["Resources"].keys() & deployed().keys()  # without what conditions leave out
    assert {deployed()[name]["Type"] for name in asked - made.keys()} == NOT_MADE
    assert {"RegisterFunction", "RegisterRole", "RegistrationQueue", "Table", "SensorPolicy"} <= made.keys()
    variables = stack.function.function["Environment"]["Variables"]
    assert variables["JITR_TABLE"] == stack.outputs["TableName"]
    assert variables["JITR_FAILURES_QUEUE_URL"] == stack.outputs["RegistrationFailuresUrl"]
    assert (stack.function.function["Timeout"], stack.function.mapping["BatchSize"]) == (30, 10)


def test_what_is_done_for_moto_is_all_that_keeps_the_template_from_being_as_it_is() -> None:
    removed = transformed()["Resources"].keys() - moto_stack.template()["Resources"].keys()
    assert removed == {"Dashboard", "Protection", "Cleanup", "NotifyFunctionWritten", "RecheckFunctionChanges"}


@pytest.mark.parametrize("lacks", LACKS, ids=lambda each: each.__name__.strip("_"))
def test_each_thing_that_is_done_for_moto_is_still_needed(account: None, lacks: Callable[[Template], None]) -> None:
    """One that is not goes: the nearer to what AWS gets, the more this emulator shows."""
    try:
        outputs = moto_stack.deploy(moto_stack.template(but=lacks))
        item: Any = {"pk": {"S": "a"}, "sk": {"S": "b"}, "blob": {"B": b"c"}}
        boto3.client("dynamodb", region_name=REGION).put_item(TableName=outputs["TableName"], Item=item)
    except (ClientError, ResponseParserError, KeyError, TypeError):
        return
    assert outputs["DevicePolicyName"] != "jitr-device", f"moto can do without {lacks.__name__} now: take it out"


# --- what the stack does


def test_a_device_that_the_rules_let_in_is_active_with_its_thing_and_its_policy(stack: Stack) -> None:
    """And one that they do not know waits, in the same batch."""
    stack.published(RULES)
    for device in (SENSOR, STRANGER):
        assert stack.world.connect(device, PENDING) == device.sha256
        stack.knocks(device)
    assert stack.function.run() == [{"batchItemFailures": []}]
    assert (stack.world.status(SENSOR), stack.world.status(STRANGER)) == ("ACTIVE", PENDING)
    assert stack.world.policies(SENSOR) == {stack.outputs["DevicePolicyName"]} == {"jitr-device"}
    principals = stack.world.iot.list_thing_principals(thingName="snr-0001")["principals"]
    assert [each.rpartition("/")[2] for each in principals] == [SENSOR.sha256]
    assert stack.world.codes(STRANGER) == ["allow.unmatched"]


def test_an_event_that_can_never_be_handled_is_put_aside_with_its_reason(stack: Stack) -> None:
    stack.published(RULES)
    stack.knocks(SENSOR, awsAccountId="999999999999")
    assert stack.function.run() == [{"batchItemFailures": []}]
    (failure,) = stack.world.failures()
    assert failure["MessageAttributes"]["reason"]["StringValue"] == "event.account"


def test_before_rules_are_published_events_come_back(stack: Stack) -> None:
    stack.world.connect(SENSOR, PENDING)
    stack.knocks(SENSOR)
    (answer,) = stack.function.run()
    assert len(answer["batchItemFailures"]) == 1
    assert stack.world.status(SENSOR) == PENDING
