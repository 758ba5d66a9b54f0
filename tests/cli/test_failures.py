"""Messages that could never be handled: what, why, since when; and putting them back."""

import json
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.cli.stack import deploy
from tests.cli.test_operators import Run


class Queues:
    """The two queues of a deployed stack."""

    def __init__(self) -> None:
        outputs = boto3.client("cloudformation", region_name="eu-central-1").describe_stacks(StackName="jitr")
        self.urls = {each["OutputKey"]: each["OutputValue"] for each in outputs["Stacks"][0]["Outputs"]}
        self.sqs = boto3.client("sqs", region_name="eu-central-1")

    def fail(self, body: str, reason: str | None) -> None:
        """Put a message where failed ones lie."""
        attributes: Any = (
            {}
            if reason is None
            else {
                "reason": {"DataType": "String", "StringValue": reason},
                "message": {"DataType": "String", "StringValue": f"because of {reason}"},
            }
        )
        self.sqs.send_message(
            QueueUrl=self.urls["RegistrationFailuresUrl"], MessageBody=body, MessageAttributes=attributes
        )

    def count(self, name: str) -> int:
        """How many messages can be received from a queue."""
        answer = self.sqs.get_queue_attributes(
            QueueUrl=self.urls[f"{name}Url"], AttributeNames=["ApproximateNumberOfMessages"]
        )
        return int(answer["Attributes"]["ApproximateNumberOfMessages"])


@pytest.fixture
def queues(aws: Any, workdir: Path) -> Queues:
    """A deployed stack where three messages failed."""
    deploy()
    made = Queues()
    made.fail("not json", "event.not-json")
    made.fail(json.dumps({"certificateId": "ab" * 32}), "event.bug")
    made.fail(json.dumps({"certificateId": "cd" * 32}), None)
    return made


def test_failures_are_listed_with_what_why_and_since_when_and_stay_where_they_are(queues: Queues, run: Run) -> None:
    told = json.loads(run("failures", "ls", "--json").stdout)
    assert sorted(each["reason"] for each in told) == ["event.bug", "event.bug", "event.not-json"]
    assert {each["certificate_id"] for each in told} == {None, "ab" * 32, "cd" * 32}
    assert all(each["since"] and each["message"] for each in told)
    assert queues.count("RegistrationFailures") == 3


def test_they_are_filtered_by_reason(queues: Queues, run: Run) -> None:
    told = json.loads(run("failures", "ls", "--reason", "event.not-json", "--json").stdout)
    assert [each["body"] for each in told] == ["not json"]


def test_for_people_each_reason_is_told_with_its_remedy(queues: Queues, run: Run) -> None:
    text = run("failures", "ls").stdout
    assert "2 x event.bug" in text
    assert "redrive" in text


def test_redrive_by_reason_puts_back_only_those(queues: Queues, run: Run) -> None:
    result = run("failures", "redrive", "--reason", "event.bug", "--pace", 1000, "--yes", "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (0, {"put_back": 2})
    assert (queues.count("RegistrationQueue"), queues.count("RegistrationFailures")) == (2, 1)


def test_redrive_asks(queues: Queues, run: Run) -> None:
    assert run("failures", "redrive").exit_code == 2
    assert queues.count("RegistrationFailures") == 3


def test_a_message_that_cannot_be_put_back_stays(queues: Queues, run: Run, aws: Any) -> None:
    def refuse(_: Any) -> Any:
        gone: Any = {"Error": {"Code": "AWS.SimpleQueueService.NonExistentQueue", "Message": "gone"}}
        raise queues.sqs.exceptions.QueueDoesNotExist(gone, "SendMessage")

    aws.overrides["SendMessage"] = refuse
    assert run("failures", "redrive", "--yes").exit_code == 3
    aws.overrides.clear()
    answer = queues.sqs.get_queue_attributes(QueueUrl=queues.urls["RegistrationFailuresUrl"], AttributeNames=["All"])[
        "Attributes"
    ]
    total = int(answer["ApproximateNumberOfMessages"]) + int(answer["ApproximateNumberOfMessagesNotVisible"])
    assert total == 3


def test_nothing_failed(aws: Any, workdir: Path, run: Run) -> None:
    deploy()
    assert json.loads(run("failures", "ls", "--json").stdout) == []
