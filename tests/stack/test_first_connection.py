"""First connections end to end: devices, broker, topic rule, queue, function and table, with IAM enforced.

The tests run in the order in which they stand here, on one stack: the first sends a message that takes its time, and
the last waits for it.
"""

import json
import os
import subprocess
import sys
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from testkit.stack.connections import connected
from testkit.stack.plant import Plant, event, until

from jitr.aws.dynamodb.table import HEADS, to_item
from jitr.reasons import Verdict
from jitr.rules.conditions import AttributeCondition, Glob
from jitr.rules.model import AllowRule, Grant, Rules
from jitr.services.publishing.publication import publish
from jitr_local.device import CONNECT_TIMEOUT, Fate
from jitr_local.stack import CHECKOUT, LocalStack
from jitr_operations.rules.files import read_rules_file

pytestmark = pytest.mark.stack

PENDING = "PENDING_ACTIVATION"


@dataclass
class Failures:
    """What has come to RegistrationFailures: each message is taken off the queue and kept here."""

    stack: LocalStack
    seen: list[dict[str, str]] = field(default_factory=list)

    def reasons(self, body: str) -> list[str]:
        """The reason of each message that has this body."""
        self._take()
        return [each["reason"] for each in self.seen if each["body"] == body]

    def _take(self) -> None:
        sqs, url = self.stack.session().client("sqs"), self.stack.outputs["RegistrationFailuresUrl"]
        while messages := sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], WaitTimeSeconds=0
        ).get("Messages"):
            for each in messages:
                told = {name: value["StringValue"] for name, value in each["MessageAttributes"].items()}
                self.seen.append(told | {"body": each["Body"]})
                sqs.delete_message(QueueUrl=url, ReceiptHandle=each["ReceiptHandle"])


@pytest.fixture(scope="module")
def failures(local_stack: LocalStack) -> Failures:
    return Failures(local_stack)


@pytest.fixture(scope="module")
def stray(local_stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A message on the registration queue whose certificate AWS IoT does not know."""
    body = event("ab" * 32, Plant(local_stack, tmp_path_factory.mktemp("stray")).factory("stray").id)
    local_stack.session().client("sqs").send_message(
        QueueUrl=local_stack.outputs["RegistrationQueueUrl"], MessageBody=body
    )
    return body


def send(plant: Plant, *bodies: str) -> None:
    """Put messages on the registration queue, all at once."""
    plant.sqs.send_message_batch(
        QueueUrl=plant.stack.outputs["RegistrationQueueUrl"],
        Entries=[{"Id": str(number), "MessageBody": body} for number, body in enumerate(bodies)],
    )


# --- what can never be handled


def test_poison_is_put_aside_with_its_reason_and_moves_nothing(plant: Plant, failures: Failures, stray: str) -> None:
    """Not JSON, no certificateId, another account, another CA than AWS IoT names: to RegistrationFailures, each once,
    with its reason code. The certificate stays pending without a decision, and its real event still admits it.
    """
    bursa, other = plant.factory("bursa"), plant.factory("other")
    plant.publish(plant.rules(bursa, other))
    (made,) = plant.pending(bursa, "bursa-0001")
    poison = {
        "}{ this is not JSON": "event.not-json",
        json.dumps({"caCertificateId": bursa.id, "awsAccountId": "000000000000"}): "event.certificate-id",
        event(f"x{made.certificate_id[1:]}", bursa.id): "event.certificate-id",
        event(made.certificate_id, bursa.id, awsAccountId="123456789012"): "event.account",
        event(made.certificate_id, other.id): "event.ca-mismatch",
    }
    send(plant, *poison)
    until(lambda: all(failures.reasons(body) for body in poison), "poison in RegistrationFailures")
    assert {body: failures.reasons(body) for body in poison} == {body: [code] for body, code in poison.items()}
    assert (plant.status(made), plant.record(made)) == (PENDING, None)

    send(plant, event(made.certificate_id, bursa.id))
    until(lambda: plant.status(made) == "ACTIVE", "its real event admits it")


def test_a_forged_event_does_not_touch_the_record_of_a_held_device(
    plant: Plant, failures: Failures, stray: str
) -> None:
    """An event that names another CA than the device's is poison also where the device is on record already."""
    konya, other = plant.factory("konya"), plant.factory("other-2")
    plant.publish(plant.rules(konya, other))
    made = plant.device(konya, "no-konya-0001")
    with made.knocking():
        until(lambda: plant.record(made), "it is held")
    until(lambda: plant.under_way() == (0 if failures.reasons(stray) else 1), "its knocks are dealt with")
    held = plant.record(made)
    assert held is not None
    assert held.decision is Verdict.HOLD

    forged = event(made.certificate_id, other.id)
    send(plant, forged)
    until(lambda: failures.reasons(forged), "the forged event in RegistrationFailures")
    assert failures.reasons(forged) == ["event.ca-mismatch"]
    assert (plant.status(made), plant.record(made)) == (PENDING, held)


WIDE_POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]}


def test_an_event_that_a_device_publishes_itself_counts_for_nothing(
    plant: Plant, failures: Failures, stray: str
) -> None:
    """By Basic Ingest, which a wide IoT policy allows: whatever it says, also of who published it, or of our mark."""
    factory = plant.factory("ingest")
    plant.publish(plant.rules(factory))
    insider = plant.knocks(plant.device(factory, "ingest-0001"))
    arn = plant.iot.describe_certificate(certificateId=insider.certificate_id)["certificateDescription"][
        "certificateArn"
    ]
    plant.iot.create_policy(policyName="wide", policyDocument=json.dumps(WIDE_POLICY))
    plant.iot.attach_policy(policyName="wide", target=arn)
    (victim,) = plant.pending(factory, "ingest-0002")
    rules = plant.iot.get_paginator("list_topic_rules").paginate(topic="$aws/events/certificates/registered/x")
    (rule,) = [each["ruleName"] for page in rules for each in page["rules"] if "egistration" in each["ruleName"]]
    forged = json.loads(event(victim.certificate_id, factory.id, timestamp=1_700_000_000_000))
    forged |= {"principal": "N/A", "clientId": "N/A", "decideAgain": True}
    with connected(insider, insider.device.name) as session:
        assert session is not None
        session.client.publish(f"$aws/rules/{rule}/$aws/events/certificates/registered/x", json.dumps(forged), qos=1)
        assert session.wait_for(session.published, CONNECT_TIMEOUT)
    taken = until(
        lambda: (failures.reasons(""), [each for each in failures.seen if victim.certificate_id in each["body"]])[1],
        "the forged event in RegistrationFailures",
    )
    assert [each["reason"] for each in taken] == ["event.forged"]
    assert json.loads(taken[0]["body"])["principal"] == insider.certificate_id
    assert (plant.status(victim), plant.record(victim)) == (PENDING, None)
    plant.iot.detach_policy(policyName="wide", target=arn)


# --- rules that are missing or cannot be read


def forget_rules(plant: Plant, _file: Path) -> None:
    """As on the first day: nothing was ever published."""
    client, name = plant.table.client, plant.table.name
    for version in plant.table.query("VERSIONS"):
        client.delete_item(TableName=name, Key=to_item({key: version[key] for key in ("pk", "sk")}))
    client.update_item(
        TableName=name, Key=to_item(HEADS), UpdateExpression="REMOVE #r", ExpressionAttributeNames={"#r": "rules"}
    )


def damage_rules(plant: Plant, file: Path, data: bytes) -> None:
    """What the heads name is in force, and its compiled form is not what was published.

    It never was whole: a function that had read it before would rightly go on with it.
    """
    file.write_text(f"# never whole\n{file.read_text()}")
    digest = read_rules_file(file).digest
    plant.table.put({"pk": f"RULES#{digest}", "sk": "CHUNK#0000", "of": 1, "data": data})
    plant.table.client.update_item(
        TableName=plant.table.name,
        Key=to_item(HEADS),
        UpdateExpression="SET #r.digest = :d",
        ExpressionAttributeNames={"#r": "rules"},
        ExpressionAttributeValues=to_item({":d": digest}),
    )


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("missing", forget_rules),
        ("no-rules", lambda plant, file: damage_rules(plant, file, zlib.compress(b"{}"))),
        ("garbled", lambda plant, file: damage_rules(plant, file, b"not even compressed")),
    ],
    ids=["missing", "no-rules", "garbled"],
)
def test_without_rules_that_can_be_read_devices_wait_and_get_in_once_there_are(
    plant: Plant, name: str, spoil: Callable[[Plant, Path], None]
) -> None:
    """Nobody is admitted, held or rejected; messages are put back, a metric and `jitr status` say why. Publishing the
    rules (also the very file that is in force and damaged) lets the device in at its next knock.
    """
    factory = plant.factory(name)
    rules = plant.rules(factory)
    plant.publish(rules)
    spoil(plant, rules)
    made = plant.device(factory, f"{name}-0001")
    reported = len(plant.metrics("RulesUnavailable"))
    with made.knocking() as device:
        until(
            lambda: any(each.get("cause") == "rules" for each in plant.log(made.certificate_id)),
            "the function puts the message back",
        )
        assert {each["message"] for each in plant.log(made.certificate_id)} == {"put back"}
        assert (plant.status(made), plant.record(made), device.fate) == (PENDING, None, Fate.KNOCKING)
        until(lambda: len(plant.metrics("RulesUnavailable")) > reported, "the metric is written")
        if name == "missing":
            assert any(each.startswith("no rules are in force") for each in plant.json("status")["attention"])
        plant.publish(rules)
        until(lambda: device.fate is not Fate.KNOCKING, "it gets in")
    assert device.fate is Fate.PUBLISHED
    record = plant.record(made)
    assert record is not None
    assert (record.decision, record.rule, plant.status(made)) == (Verdict.ADMIT, name, "ACTIVE")
    # The log comes when the invocation ends; the device may be in before.
    admitted = until(
        lambda: [each for each in plant.log(made.certificate_id) if each["message"] == "admitted"], "it is logged"
    )
    assert len(admitted) == 1


# --- a device with AWS's own SDK


def test_aws_s_own_device_sdk_gets_in_by_its_own_backoff(plant: Plant) -> None:
    """It is hung up on at its first connection, reconnects by itself, publishes, stops, and its process ends."""
    factory = plant.factory("sdk")
    plant.publish(plant.rules(factory))
    made = plant.device(factory, "sdk-0001")
    broker = made.device.broker
    arguments = (made.device.name, made.device.certificate, made.device.key, broker.host, broker.port, broker.ca)
    ended = subprocess.run(
        [sys.executable, CHECKOUT / "testkit/stack/sdk_device.py", *map(str, arguments)],
        # On macOS the SDK would put the key into the login keychain otherwise.
        env={"PATH": os.environ.get("PATH", ""), "AWS_CRT_USE_NON_FIPS_TLS_13": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    story = json.loads(ended.stdout)
    assert story["stopped"]
    assert story["hang_ups"] >= 1
    assert story["attempts"] == story["hang_ups"] + 1
    assert plant.status(made) == "ACTIVE"


# --- what the roles may not do


class InRole:
    """Somebody who has taken on a role."""

    def __init__(self, stack: LocalStack, role: str) -> None:
        # The local stack enforces what a role may do, and not who may take it on.
        given = stack.session().client("sts").assume_role(RoleArn=role, RoleSessionName="tests")["Credentials"]
        keys = {"access_key_id": "AccessKeyId", "secret_access_key": "SecretAccessKey", "session_token": "SessionToken"}
        self._keys = {f"aws_{ours}": given[theirs] for ours, theirs in keys.items()}  # type: ignore[literal-required]
        self._stack = stack
        self._clients: dict[str, Any] = {}

    def answer(self, service: str, call: str, arguments: Mapping[str, Any]) -> str:
        """What AWS says to a call: an error's code, or "done"."""
        if service not in self._clients:
            self._clients[service] = self._stack.session().client(service, **self._keys)  # type: ignore[call-overload]
        try:
            getattr(self._clients[service], call)(**arguments)
        except ClientError as error:
            return error.response["Error"]["Code"]
        return "done"


CERTIFICATE = {"certificateId": "ab" * 32}

FORBIDDEN: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("iot", "delete_certificate", CERTIFICATE),
    ("iot", "create_policy", {"policyName": "all", "policyDocument": "{}"}),
    ("iot", "delete_policy", {"policyName": "jitr-device"}),
    ("iot", "update_ca_certificate", {**CERTIFICATE, "newStatus": "ACTIVE"}),
    ("iot", "delete_thing", {"thingName": "bursa-0001"}),
    ("dynamodb", "delete_table", {"TableName": "TableName"}),
    ("dynamodb", "scan", {"TableName": "TableName"}),
    ("sqs", "purge_queue", {"QueueUrl": "RegistrationQueueUrl"}),
    ("sqs", "receive_message", {"QueueUrl": "RegistrationFailuresUrl"}),
    ("sqs", "send_message", {"QueueUrl": "RegistrationQueueUrl", "MessageBody": "x"}),
    ("iam", "list_roles", {}),
)


def test_the_function_s_role_may_do_no_more_than_the_function_does(local_stack: LocalStack) -> None:
    """Least privilege, enforced: every other test here passes with this role, and none of these calls does."""
    outputs = local_stack.outputs
    function = (
        local_stack.session().client("lambda").get_function_configuration(FunctionName=outputs["RegisterFunctionName"])
    )
    role = InRole(local_stack, function["Role"])
    assert role.answer("iot", "describe_certificate", CERTIFICATE) == "ResourceNotFoundException"
    answers = {}
    for service, call, given in FORBIDDEN:
        arguments = {name: outputs.get(str(value), value) for name, value in given.items()}
        answers[f"{service}:{call}"] = role.answer(service, call, arguments)
    allowed = {
        name: answer for name, answer in answers.items() if answer not in ("AccessDenied", "AccessDeniedException")
    }
    assert allowed == {}


# --- what takes its time


def test_what_a_refused_attempt_attached_is_detached_by_the_function_s_own_role(plant: Plant) -> None:
    """A grant is corrected between two attempts: the role may take back what the first one attached."""
    name = "grant-corrected"
    made = plant.device(plant.factory(name), f"{name}-1")
    device_policy = plant.stack.outputs["DevicePolicyName"]
    plant.iot.create_policy(policyName="extra", policyDocument='{"Version": "2012-10-17", "Statement": []}')

    def grant(*policies: str) -> None:
        """Put rules in force past the command, which refuses an IoT policy that is not there."""
        condition = AttributeCondition("common_name", (Glob(made.device.name),))
        rule = AllowRule(name, 1, (condition,), Grant(iot_policies=policies, thing="{common_name}"))
        rules = Rules("admission.yaml", allow=(rule,))
        publish(plant.table, rules, b"", plant.table.heads(), at="2026-01-01T00:00:00Z", by="tests")

    grant("extra", "gone")
    with made.knocking():
        until(lambda: plant.record(made), "a decision")
        grant(device_policy)
        until(lambda: plant.status(made) == "ACTIVE", "ACTIVE")
    found = plant.iot.describe_certificate(certificateId=made.certificate_id)["certificateDescription"]
    attached = plant.iot.list_attached_policies(target=found["certificateArn"])["policies"]
    assert [each["policyName"] for each in attached] == [device_policy]


def test_a_certificate_that_aws_iot_does_not_know_is_waited_for_and_put_aside_in_the_end(
    plant: Plant, failures: Failures, stray: str
) -> None:
    """AWS IoT may not know it *yet*: it is poison only after five deliveries. Nothing is left on the queue then, and
    whatever came before, the function never met an exception that nobody declared.
    """
    until(lambda: failures.reasons(stray), "the unknown certificate's event in RegistrationFailures")
    assert failures.reasons(stray) == ["event.certificate-unknown"]
    put_back = [each for each in plant.log("ab" * 32) if each["message"] == "put back"]
    assert [each["deliveries"] for each in put_back][:4] == [1, 2, 3, 4]
    assert all(each["deliveries"] < 5 for each in put_back if each["cause"] == "unknown")
    until(lambda: plant.under_way() == 0, "the registration queue is empty")
    assert plant.metrics("Bugs") == []
