"""The report of `jitr verify` ends with what the run used of AWS, as far as the command sees it."""

import json
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError
from testkit.cli.command_line import REGION, Aws, Run

from jitr.aws.dynamodb.table import Table
from jitr_operations.accounts import Account
from jitr_operations.deployment import Choice
from jitr_operations.verify.assumptions import Report
from jitr_operations.verify.usage import NOT_COUNTED, StackUsage, Usage, resources_of
from jitr_operations.verify.verification import Verification


@pytest.fixture
def account(aws: Aws, workdir: object) -> Account:
    """The account of the environment."""
    return Choice().account()


@dataclass
class Refusals:
    """AWS's answers to a call: so many refusals of the kind that botocore asks again after, then moto's."""

    left: int
    given: list[str] = field(default_factory=list)

    def __call__(self, request: Any, **_about: Any) -> Any:
        """Answer a request, or let it go on to moto."""
        if len(self.given) == self.left:
            return None
        self.given.append(request.url)
        response: Any = AWSResponse  # it takes any mapping for headers
        return response(request.url, 503, {"x-amzn-ErrorType": "ServiceUnavailableException"}, Body())


class Body:
    """An empty answer, as a client reads it."""

    def stream(self) -> Any:
        """All of it."""
        yield b"{}"


def test_calls_are_counted_by_service_of_clients_made_before_and_after(account: Account) -> None:
    """And none that was made before the run."""
    account.client("iot").list_things()
    usage = Usage.of(account)
    account.client("iot").list_things()
    account.client_without_retries("iot").list_policies()
    account.client("sqs").list_queues()
    assert usage.to_json()["calls"] == {"iot": {"calls": 2, "retries": 0}, "sqs": {"calls": 1, "retries": 0}}


def test_a_call_that_botocore_repeats_is_one_call_and_its_repetitions_are_told(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botocore.retries.standard.time.sleep", lambda _seconds: None)
    refusals: Any = Refusals(2)
    account.listen("before-send.iot.ListThings", refusals)
    usage = Usage.of(account)
    account.client("iot").list_things()
    assert usage.to_json()["calls"] == {"iot": {"calls": 1, "retries": 2}}
    assert usage.lines()[0] == "calls to AWS: 1 iot (and 2 again)"


def test_messages_are_counted_that_the_command_sent_and_received(account: Account) -> None:
    sqs = account.client("sqs")
    url = sqs.create_queue(QueueName="queue")["QueueUrl"]
    usage = Usage.of(account)
    for _ in range(2):
        sqs.send_message(QueueUrl=url, MessageBody="body")
    with pytest.raises(ClientError):
        sqs.send_message(QueueUrl=f"{url}-of-nobody", MessageBody="body")
    sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)
    sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)
    assert usage.to_json()["messages"] == {"sent": 2, "received": 2}


def test_resources_of_an_own_stack_are_counted_by_type(account: Account) -> None:
    types = {"A": "AWS::SQS::Queue", "B": "AWS::SQS::Queue", "C": "AWS::SNS::Topic"}
    resources = {name: {"Type": kind} for name, kind in types.items()}
    cloudformation = boto3.client("cloudformation", region_name=REGION)
    cloudformation.create_stack(StackName="own", TemplateBody=json.dumps({"Resources": resources}))
    assert resources_of(account, "own") == {"AWS::SQS::Queue": 2, "AWS::SNS::Topic": 1}


def test_a_report_is_not_given_up_where_the_resources_may_not_be_listed(account: Account, aws: Aws) -> None:
    def refuse(_parameters: Any) -> Any:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "ListStackResources")

    aws.overrides["ListStackResources"] = refuse
    assert resources_of(account, "own") == {}
    assert str(StackUsage("own", 60, {})) == "stack own and a bucket for its code, for 1.0 minutes: not listed"


def test_the_screen_and_the_json_tell_what_was_used(ready: Table, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def make(verification: Verification) -> Report:
        verification.deployment.client("iot").list_things()
        return verification.report

    monkeypatch.setattr(Verification, "make", make)
    shown = run("verify", "--endpoint", "127.0.0.1:1", "--yes")
    assert shown.stdout.endswith(
        "\nUsed by the run:\n  calls to AWS: 1 iot\n  connections by MQTT: 0\n"
        f"  messages in queues: 0 sent, 0 received\n{NOT_COUNTED}\n"
    ), shown.stderr
    told = json.loads(run("verify", "--endpoint", "127.0.0.1:1", "--yes", "--json").stdout)
    assert (told["used"]["calls"], told["used"]["stack"]) == ({"iot": {"calls": 1, "retries": 0}}, None)


def test_the_report_ends_with_what_was_used_and_what_is_not_counted() -> None:
    """The functions' own calls cost as well, and the command does not see them."""
    usage = Usage(connections=3, received=1, stack=StackUsage("own", 90, {"AWS::SQS::Queue": 2, "AWS::SNS::Topic": 1}))
    report = Report("here", "2026-03-01T12:00:00Z", "0a1b2c3d", usage)
    assert report.markdown().endswith(
        "\n\nUsed by the run:\n\n"
        "- calls to AWS: none\n"
        "- connections by MQTT: 3\n"
        "- messages in queues: 0 sent, 1 received\n"
        "- stack own and a bucket for its code, for 1.5 minutes: 1 AWS::SNS::Topic, 2 AWS::SQS::Queue\n"
        f"\n{NOT_COUNTED}\n"
    )
    assert report.to_json()["used"] == {
        "calls": {},
        "connections": 3,
        "messages": {"sent": 0, "received": 1},
        "stack": {"name": "own", "seconds": 90, "resources": {"AWS::SQS::Queue": 2, "AWS::SNS::Topic": 1}},
    }
