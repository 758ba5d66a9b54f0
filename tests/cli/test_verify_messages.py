"""The parts of `jitr verify` that others notice: a message to a topic's subscribers, and calls above a quota."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError
from testkit.cli.command_line import REGION, Aws, Run

from jitr.aws.dynamodb.table import Table
from jitr_operations.accounts import Account
from jitr_operations.deployment import Choice, Deployment
from jitr_operations.local_state import LocalStackFile
from jitr_operations.verify import refusal, throttling
from jitr_operations.verify.assumptions import Seen
from jitr_operations.verify.refusal import RefusalCheck

RUN = "0a1b2c3d"
TEMPLATE = {
    "Resources": {
        "Bucket": {
            "Type": "AWS::S3::Bucket",
            "Properties": {"VersioningConfiguration": {"Status": "Enabled"}},
        },
        "Topic": {"Type": "AWS::SNS::Topic"},
    },
    "Outputs": {
        "TableName": {"Value": "none"},
        "ConfigurationBucketName": {"Value": {"Ref": "Bucket"}},
        "RefusalsTopicArn": {"Value": {"Ref": "Topic"}},
    },
}


@dataclass(frozen=True)
class Publisher:
    """A deployed stack, and its function that refuses: it does not see the first ``deaf`` files."""

    deployment: Deployment
    aws: Aws

    def refuse(self, deaf: int = 0) -> None:
        """Have each further upload refused, as the function does: a verdict beside it, and a message."""
        s3, sns = self.deployment.client("s3"), self.deployment.client("sns")
        uploads: list[str] = []

        def put(given: dict[str, Any]) -> Any:
            answer = self.aws.real(s3, "PutObject", given)
            uploads.append(given["Key"])
            if len(uploads) > deaf:
                self.aws.real(s3, "PutObject", given | {"Key": f"{given['Key']}.result.json"})
                sns.publish(
                    TopicArn=self.deployment.output("RefusalsTopicArn"), Message=f"REFUSED: {given['Key']}, version 1"
                )
            return answer

        self.aws.overrides["PutObject"] = put

    def there(self) -> set[str]:
        """Queues, subscriptions and versions of objects that there are."""
        found = {
            f"queue {each.rpartition('/')[2]}" for each in self.deployment.client("sqs").list_queues()["QueueUrls"]
        }
        for each in self.deployment.client("sns").list_subscriptions()["Subscriptions"]:
            found.add(f"subscription {each['Endpoint'].rpartition(':')[2]}")
        bucket = self.deployment.output("ConfigurationBucketName")
        versions = self.deployment.client("s3").list_object_versions(Bucket=bucket)
        return found | {
            f"object {each['Key']}" for kind in ("Versions", "DeleteMarkers") for each in versions.get(kind, [])
        }


@pytest.fixture
def publisher(aws: Aws, workdir: object) -> Publisher:
    """A stack with a topic, a bucket, and what others have there under names that are like those of a run."""
    cloudformation = boto3.client("cloudformation", region_name=REGION)
    cloudformation.create_stack(StackName="jitr", TemplateBody=json.dumps(TEMPLATE))
    deployment = Choice().deployment()
    sqs, sns = deployment.client("sqs"), deployment.client("sns")
    for name in ("mine", "jitr-verify-mine", f"jitr-verify-{RUN}-RegistrationQueue-1"):
        url = sqs.create_queue(QueueName=name)["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        sns.subscribe(TopicArn=deployment.output("RefusalsTopicArn"), Protocol="sqs", Endpoint=arn)
    for key in ("admission.yaml", "jitr-verify-mine/rows.csv", f"jitr-verify-{RUN}.txt.md"):
        deployment.client("s3").put_object(Bucket=deployment.output("ConfigurationBucketName"), Key=key, Body=b"")
    return Publisher(deployment, aws)


def test_a_message_of_a_refused_file_is_received_and_all_that_it_took_is_taken_away(publisher: Publisher) -> None:
    """Each version of the object and its verdict, the subscription and the queue; nothing of others."""
    before = publisher.there()
    publisher.refuse()
    check = RefusalCheck(publisher.deployment, RUN)
    so, told = check.look()
    assert (so, told) == (True, "arrived 0 s after the upload")
    assert {f"queue jitr-verify-{RUN}", f"subscription jitr-verify-{RUN}"} < publisher.there()
    assert (check.take_away(), publisher.there()) == ([], before)


def test_the_queue_takes_messages_of_that_topic_only(publisher: Publisher) -> None:
    """Anybody's topic could fill it otherwise."""
    publisher.refuse()
    RefusalCheck(publisher.deployment, RUN).look()
    given = publisher.aws.parameters("SetQueueAttributes")
    [statement] = json.loads(given["Attributes"]["Policy"])["Statement"]
    topic = publisher.deployment.output("RefusalsTopicArn")
    assert (statement["Action"], statement["Principal"], statement["Condition"]) == (
        "sqs:SendMessage",
        {"Service": "sns.amazonaws.com"},
        {"ArnEquals": {"aws:SourceArn": topic}},
    )


@pytest.mark.parametrize(("deaf", "so", "told"), [(1, True, "second upload"), (2, False, "no message within")])
def test_a_message_that_was_lost_is_asked_for_once_more(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch, deaf: int, so: bool, told: str
) -> None:
    """The policy of a queue that was just made may not count when the first message comes."""
    monkeypatch.setattr(refusal, "_HEARD_WITHIN", 0)
    publisher.refuse(deaf)
    check = RefusalCheck(publisher.deployment, RUN)
    found, detail = check.look()
    assert (found, told in detail) == (so, True), detail


def test_what_cannot_be_taken_away_is_told_and_the_rest_goes(publisher: Publisher) -> None:
    publisher.refuse()
    check = RefusalCheck(publisher.deployment, RUN)
    check.look()

    def refused(_given: object) -> Any:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "DeleteObject")

    publisher.aws.overrides["DeleteObject"] = refused
    assert check.take_away() == [f"objects at jitr-verify-{RUN}/refused.txt"]
    assert not {f"queue jitr-verify-{RUN}", f"subscription jitr-verify-{RUN}"} & publisher.there()


def test_what_a_killed_run_left_of_queues_subscriptions_and_objects_is_found_by_its_name(
    publisher: Publisher, run: Run
) -> None:
    before = publisher.there()
    publisher.refuse()
    RefusalCheck(publisher.deployment, RUN).look()
    result = run("verify", "--clean")
    assert (result.exit_code, result.stdout) == (0, "Nothing of a verification is left.\n"), result.stderr
    assert publisher.there() == before


@pytest.mark.parametrize(
    ("operation", "code"),
    [
        ("ListSubscriptions", "AuthorizationError"),
        ("ListQueues", "AccessDenied"),
        ("ListObjectVersions", "AccessDenied"),
    ],
)
def test_one_who_may_not_look_for_all_of_it_is_told_and_has_the_rest_taken_away(
    publisher: Publisher, run: Run, operation: str, code: str
) -> None:
    before = publisher.there()
    publisher.refuse()
    RefusalCheck(publisher.deployment, RUN).look()
    kinds = {"ListSubscriptions": "subscription", "ListQueues": "queue", "ListObjectVersions": "object"}

    def denied(_given: object) -> Any:
        raise ClientError({"Error": {"Code": code, "Message": "no"}}, operation)

    publisher.aws.overrides[operation] = denied
    result = run("verify", "--clean")
    assert (result.exit_code, "is not known" in result.stderr) == (0, True), result.stderr
    del publisher.aws.overrides[operation]
    assert {each.split()[0] for each in publisher.there() - before} == {kinds[operation]}


# --- above a quota


@pytest.mark.parametrize(
    ("option", "told"),
    [("--throttle", "others' calls are throttled, too"), ("--refusal", "Whoever is subscribed gets the message, too")],
)
def test_what_others_notice_is_told_before_it_is_asked_and_nothing_made_without_a_yes(
    ready: Table, aws: Aws, run: Run, option: str, told: str
) -> None:
    result = run("verify", "--endpoint", "127.0.0.1:1", option)
    assert (result.exit_code, told in result.stderr) == (2, True), result.stderr
    assert not {"RegisterCACertificate", "DescribeCertificate", "CreateQueue"} & set(aws.operations)


class Body:
    """An answer's body, as a client reads it."""

    def __init__(self, text: str) -> None:
        self.text = text.encode()

    def stream(self) -> Any:
        """All of it."""
        yield self.text


def answering(account: Account, code: str | None, status: int, after: int = 0) -> list[str]:
    """Have AWS IoT answer with a code once ``after`` requests were answered; return the requests."""
    requests: list[str] = []
    response: Any = AWSResponse  # it takes any mapping for headers

    def answer(request: Any, **_about: Any) -> Any:
        requests.append(request.url)
        if code is None or len(requests) <= after:
            return response(request.url, 200, {}, Body("{}"))
        return response(request.url, status, {"x-amzn-ErrorType": code}, Body('{"message": "Rate exceeded"}'))

    account.listen("before-send.iot.DescribeCertificate", answer)
    return requests


@pytest.fixture
def account(aws: Aws, workdir: object) -> Account:
    """The account of the environment."""
    return Choice().account()


@pytest.mark.parametrize(
    ("code", "status", "seen", "told"),
    [
        ("ThrottlingException", 400, Seen.CONFIRMED, "ThrottlingException, HTTP status 400, taken for: throttled"),
        ("ThrottlingException", 429, Seen.CONFIRMED, "HTTP status 429"),
        ("ThrottlingException", 503, Seen.OTHERWISE, "HTTP status 503"),
        ("TooManyRequestsException", 429, Seen.OTHERWISE, "taken for: throttled"),
        ("LimitExceededException", 410, Seen.OTHERWISE, "taken for: refused for good"),
        ("AccessDeniedException", 403, Seen.OTHERWISE, "taken for: denied"),
    ],
)
def test_a_throttled_call_is_told_by_code_and_status_and_what_this_software_takes_it_for(
    account: Account, code: str, status: int, seen: Seen, told: str
) -> None:
    answering(account, code, status, after=3)
    found, detail = throttling.look(account, "0" * 64)
    assert (found, told in detail) == (seen, True), detail


def test_nothing_is_asked_again_of_what_was_throttled_and_no_more_than_is_under_way(account: Account) -> None:
    """A repeated request would hide the answer, and take more of others' quota."""
    requests = answering(account, "ThrottlingException", 400)
    _, detail = throttling.look(account, "0" * 64)
    assert len(requests) <= throttling.AT_ONCE
    assert f"; {len(requests)} calls" in detail


def test_the_local_stack_is_not_asked_at_all(account: Account) -> None:
    requests = answering(account, None, 200)
    local = LocalStackFile(
        Path("stack.json"), "http://127.0.0.1:1", REGION, account.account_id, "jitr", "key", "secret"
    )
    found = throttling.look(replace(account, local=local), "0" * 64)
    assert (found, requests) == ((Seen.NOT_TRIED, "the local stack has no quotas"), [])


def test_a_quota_that_is_higher_is_not_tried_any_further(account: Account) -> None:
    requests = answering(account, None, 200)
    found, detail = throttling.look(account, "0" * 64)
    assert (found, len(requests)) == (Seen.NOT_TRIED, throttling.CALLS)
    assert detail == f"{throttling.CALLS} calls were all answered: the quota here is higher"
