"""Events on the bus, end to end: record, stream, notify function, bus, and a subscriber that counts."""

import base64
import hmac
import json
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jsonschema
import pytest
from testkit.aws.web_servers import answering
from testkit.stack.plant import Plant, people, until
from testkit.stack.webhooks import webhooks
from tools.event_schemas import schema_of

from jitr_local.stack import CHECKOUT

pytestmark = pytest.mark.stack

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@dataclass
class Subscriber:
    """A queue that a rule on the default bus leads to."""

    plant: Plant
    url: str
    seen: list[dict[str, Any]]

    def about(self, certificate_id: str) -> list[str]:
        """The detail types told of a device, in the order in which they were sent."""
        self.look()
        return [each["detail-type"] for each in self.seen if certificate_id in json.dumps(each["resources"])]

    def look(self) -> None:
        """Take what came."""
        answer = self.plant.sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10)
        for message in answer.get("Messages", []):
            self.seen.append(json.loads(message["Body"]))
            self.plant.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])


@pytest.fixture
def subscriber(plant: Plant) -> Iterator[Subscriber]:
    """Everything that jitr tells on the bus."""
    events: Any = plant.stack.session().client("events")
    url = plant.sqs.create_queue(QueueName="subscriber")["QueueUrl"]
    names: Any = ["QueueArn"]
    arn = plant.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]["QueueArn"]
    events.put_rule(Name="subscriber", EventPattern=json.dumps({"source": ["jitr"]}))
    events.put_targets(Rule="subscriber", Targets=[{"Id": "1", "Arn": arn}])
    yield Subscriber(plant, url, [])
    events.remove_targets(Rule="subscriber", Ids=["1"])
    events.delete_rule(Name="subscriber")
    plant.sqs.delete_queue(QueueUrl=url)


def test_a_subscriber_is_told_of_each_change_of_a_device_once_and_in_order(
    plant: Plant, subscriber: Subscriber
) -> None:
    """Held, let in, cut off; its knocks meanwhile tell nothing. Each event is as its schema says."""
    factory = plant.factory("told")
    plant.jitr("lists", "add", "told-list", "common_name=told-other")
    file = plant.rules(factory)
    file.write_text(file.read_text().replace("    grant:", "    list: told-list\n    grant:"))
    plant.publish(file)
    made = plant.device(factory, "told-1")
    with made.knocking() as device:
        until(lambda: plant.record(made), "its first knock is decided")
        attempts = device.attempts
        until(lambda: device.attempts > attempts + 2, "it knocks in vain")
        plant.jitr("lists", "add", "told-list", "common_name=told-1")
        until(lambda: plant.status(made) == "ACTIVE", "it is let in")
    plant.jitr("device", "deactivate", made.certificate_id, "--yes")
    expected = ["Device Held", "Device Admitted", "Device Deactivated"]
    until(lambda: len(subscriber.about(made.certificate_id)) >= len(expected), "all of it is told")
    until(lambda: len([each for each in subscriber.seen if each["detail-type"] == "List Changed"]) >= 2, "so are edits")
    assert subscriber.about(made.certificate_id) == expected
    for each in subscriber.seen:
        jsonschema.validate(each, schema_of(each["detail-type"]))
    held = next(each for each in subscriber.seen if each["detail-type"] == "Device Held")
    events: Any = plant.stack.session().client("events")
    patterns = re.findall(r"^```json pattern\n(.*?)^```$", (CHECKOUT / "docs/events.md").read_text(), re.M | re.S)
    fit = [each for each in patterns if events.test_event_pattern(EventPattern=each, Event=json.dumps(held))["Result"]]
    assert [json.loads(each).get("detail-type") for each in fit] == [["Device Held"], ["Device Held"]]
    ids = [each["detail"]["metadata"]["id"] for each in subscriber.seen]
    assert len(ids) == len(set(ids))
    changes = {each["detail"]["data"]["id"] for each in subscriber.seen if each["detail"]["data"].get("tool")}
    assert changes <= {each["id"] for each in plant.json("history", "--limit", "1000")}


def test_people_are_mailed_which_devices_began_to_wait(plant: Plant) -> None:
    """Held at the door, counted from the stream, mailed as the schedule asks: who, why, and what to type.

    Its minute is not waited for: it is asked at once what the schedule asks.
    """
    url = plant.mailbox("mails", people(plant.stack))
    factory = plant.factory("mailed")
    plant.jitr("lists", "add", "mailed-list", "common_name=mailed-other")
    file = plant.rules(factory)
    file.write_text(file.read_text().replace("    grant:", "    list: mailed-list\n    grant:"))
    plant.publish(file)
    made = plant.device(factory, "mailed-1")
    mails: list[str] = []
    session = plant.stack.session()
    scheduler, name = session.client("scheduler"), plant.stack.outputs["NotifyFunctionName"]
    schedules = [
        scheduler.get_schedule(Name=each["Name"], GroupName=each["GroupName"])
        for each in scheduler.list_schedules()["Schedules"]
    ]
    (schedule,) = [each for each in schedules if each["Target"]["Arn"].endswith(f":{name}")]
    assert (schedule["State"], schedule["ScheduleExpression"]) == ("ENABLED", "rate(1 minute)")

    def mailed() -> bool:
        answer = session.client("lambda").invoke(FunctionName=name, Payload=schedule["Target"]["Input"])
        assert "FunctionError" not in answer
        for message in plant.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
            mails.append(json.loads(message["Body"])["Message"])
        return any(made.certificate_id in each for each in mails)

    with made.knocking():
        until(mailed, "a digest tells of it")
    (mail,) = [each for each in mails if made.certificate_id in each]
    assert "mailed-1" in mail
    assert "All that they lack is a row on the list mailed-list." in mail
    (command,) = [each for each in mail.splitlines() if "jitr held ls --reason" in each and factory.id in each]
    found = plant.json(*command.split()[1:-4])
    assert [each["certificate_id"] for each in found] == [made.certificate_id]


def test_the_template_for_webhooks_tells_slack_and_a_receiver_that_asks_who_sends(plant: Plant) -> None:
    token = secrets.token_hex(32)
    lines: list[str] = []
    received: list[dict[str, Any]] = []

    def slack(request: bytes) -> bytes:
        lines.append(json.loads(request.partition(b"\r\n\r\n")[2])["text"])
        return OK

    def receiver(request: bytes) -> bytes:
        head, _, body = request.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
        if not hmac.compare_digest({key.lower(): each for key, each in headers.items()}["x-jitr-token"], token):
            return b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"
        received.append(json.loads(body))
        return OK

    factory = plant.factory("hooked")
    plant.publish(plant.rules(factory))
    made = plant.device(factory, "stray-1")
    with answering(slack) as (slack_url, _), answering(receiver) as (url, _):
        values = {"JitrStack": plant.stack.stack_name, "EventBus": "default", "SlackUrl": slack_url, "WebhookUrl": url}
        with webhooks(plant, values | {"WebhookToken": token}), made.knocking():
            until(lambda: [each for each in lines if made.certificate_id in each], "Slack gets a line")
            until(lambda: [each for each in received if made.certificate_id in str(each)], "the receiver hears of it")
    (line,) = [each for each in lines if made.certificate_id in each]
    command = f"jitr explain {made.certificate_id} --stack {plant.stack.stack_name}"
    assert line == f"Device Held: allow.unmatched. For more: `{command}`"
    for each in received:
        jsonschema.validate(each, schema_of(each["detail-type"]))


def test_the_template_for_a_signed_webhook_is_deployed_and_its_receiver_verifies_what_comes(plant: Plant) -> None:
    session = plant.stack.session()
    key = secrets.token_bytes(24)
    named = {"Name": "signing", "SecretString": "whsec_" + base64.b64encode(key).decode()}
    secret = session.client("secretsmanager").create_secret(**named)["ARN"]
    verified: list[Any] = []

    def receiver(request: bytes) -> bytes:
        head, _, body = request.partition(b"\r\n\r\n")
        headers = {
            name.lower(): each for name, each in (line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
        }
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        signature = base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
        if hmac.compare_digest(headers["webhook-signature"], f"v1,{signature}"):
            verified.append(json.loads(body))
        return OK

    cloudformation = session.client("cloudformation")
    with answering(receiver) as (url, _):
        values = {"JitrStack": plant.stack.stack_name, "WebhookUrl": url, "SecretArn": secret}
        cloudformation.create_stack(
            StackName="signed",
            # Nothing here has a certificate for https.
            TemplateBody=(CHECKOUT / "docs/signed-webhook.yaml").read_text().replace("https://.+", "http://.+"),
            Parameters=[{"ParameterKey": name, "ParameterValue": each} for name, each in values.items()],
            Capabilities=["CAPABILITY_IAM"],
        )
        until(lambda: _status(cloudformation).endswith("_COMPLETE"), "the stack is there")
        assert _status(cloudformation) == "CREATE_COMPLETE"
        plant.jitr("lists", "add", "signed-list", "common_name=signed-1")
        until(lambda: [each for each in verified if "signed-list" in str(each)], "a signed event comes")
        cloudformation.delete_stack(StackName="signed")
    for each in verified:
        jsonschema.validate(each, schema_of(each["detail-type"]))


def _status(cloudformation: Any) -> str:
    (stack,) = cloudformation.describe_stacks(StackName="signed")["Stacks"]
    return str(stack["StackStatus"])
