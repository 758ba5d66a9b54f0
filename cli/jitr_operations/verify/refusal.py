"""A file that is refused, and its message: a throwaway queue is subscribed to the topic and has to receive it."""

import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from jitr_operations import aws_answers, telling
from jitr_operations.accounts import Account
from jitr_operations.deployment import Deployment
from jitr_operations.verify.belongings import PREFIX, TAG, tried
from jitr_operations.verify.waiting import until

Belonging = tuple[str, Callable[[], object]]  # in words, and what deletes it

_RUN = re.compile(f"{re.escape(PREFIX)}[0-9a-f]{{8}}")
_GONE = ("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist")
# A queue's policy may take a minute to count: a message that was lost to it is asked for once more.
_HEARD_WITHIN = 75  # seconds
_UPLOADS = 2


@dataclass(slots=True)
class RefusalCheck:
    """One check of a run: what it made is taken away by ``take_away``, also where the check is cut short."""

    deployment: Deployment
    run: str
    _made: list[Belonging] = field(default_factory=list)

    def look(self) -> tuple[bool, str]:
        """Have a file refused; return whether its message arrived, and how soon. Raises botocore's errors."""
        bucket, key = self.deployment.output("ConfigurationBucketName"), f"{PREFIX}{self.run}/refused.txt"
        s3, queue = self.deployment.client("s3"), self._subscribe()
        self._made.append((f"objects at {key}", partial(_delete_objects, s3, bucket, f"{PREFIX}{self.run}/")))
        for uploads in range(1, _UPLOADS + 1):
            s3.put_object(Bucket=bucket, Key=key, Body=b"`jitr verify` has this file refused.\n")
            began = time.monotonic()
            if until(lambda: self._heard(queue, key), _HEARD_WITHIN, pause=0):
                again = "" if uploads == 1 else ", of the second upload"
                return True, f"arrived {time.monotonic() - began:.0f} s after the upload{again}"
        return False, f"no message within {_HEARD_WITHIN} s, of {_UPLOADS} uploads"

    def take_away(self) -> list[str]:
        """Delete what was made, the latest first, and return what could not be."""
        left = []
        while self._made:
            what, delete = self._made[-1]
            left += tried(what, delete)
            self._made.pop()
        return left

    def _subscribe(self) -> str:
        """Make a queue, subscribe it to the topic, and return its URL."""
        sqs, sns = self.deployment.client("sqs"), self.deployment.client("sns")
        name, topic = f"{PREFIX}{self.run}", self.deployment.output("RefusalsTopicArn")
        url = sqs.create_queue(QueueName=name, tags={TAG: self.run})["QueueUrl"]
        self._made.append((f"queue {name}", partial(_delete_queue, sqs, url)))
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        # https://docs.aws.amazon.com/sns/latest/dg/subscribe-sqs-queue-to-sns-topic.html
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": "sns.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": arn,
            "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
        subscription = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, ReturnSubscriptionArn=True)
        unsubscribe = partial(sns.unsubscribe, SubscriptionArn=subscription["SubscriptionArn"])
        self._made.append((f"subscription of queue {name}", unsubscribe))
        return url

    def _heard(self, queue: str, key: str) -> bool:
        sqs = self.deployment.client("sqs")
        found = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=1)
        return any(key in each["Body"] for each in found.get("Messages", []))


def remove_messages(account: Account) -> list[str]:
    """Delete subscriptions, queues and objects of every run, and return what could not be.

    The objects are in the bucket of a stack: where ``account`` is none, they went with it.
    """
    from botocore.exceptions import ClientError

    left = []
    for found in (_subscriptions, _queues, _objects):
        try:
            belongings = list(found(account))
        except ClientError as problem:
            if not aws_answers.is_denied(problem):
                raise
            telling.note(f"Whether a queue, subscription or object of a verification is left is not known: {problem}")
            continue
        for what, delete in belongings:
            left += tried(what, delete)
    return left


def _subscriptions(account: Account) -> Iterator[Belonging]:
    """Yield subscriptions of queues with a run's name."""
    sns = account.client("sns")
    for page in sns.get_paginator("list_subscriptions").paginate():
        for each in page["Subscriptions"]:
            queue = each["Endpoint"].rpartition(":")[2]
            if each["Protocol"] == "sqs" and _RUN.fullmatch(queue):
                yield (
                    f"subscription of queue {queue}",
                    partial(sns.unsubscribe, SubscriptionArn=each["SubscriptionArn"]),
                )


def _queues(account: Account) -> Iterator[Belonging]:
    """Yield queues with a run's name. A stack's own have more after it."""
    sqs = account.client("sqs")
    for page in sqs.get_paginator("list_queues").paginate(QueueNamePrefix=PREFIX):
        for url in page.get("QueueUrls", []):
            if _RUN.fullmatch(name := url.rpartition("/")[2]):
                yield f"queue {name}", partial(_delete_queue, sqs, url)


def _objects(account: Account) -> Iterator[Belonging]:
    """Yield every version of the objects of every run in a stack's bucket."""
    bucket = account.outputs.get("ConfigurationBucketName") if isinstance(account, Deployment) else None
    if bucket is not None:
        yield from _versions(account.client("s3"), bucket, PREFIX)


def _versions(s3: Any, bucket: str, prefix: str) -> Iterator[Belonging]:
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
        for each in (*page.get("Versions", []), *page.get("DeleteMarkers", [])):
            key, version = each["Key"], each["VersionId"]
            if _RUN.fullmatch(key.partition("/")[0]):
                yield f"object {key}", partial(s3.delete_object, Bucket=bucket, Key=key, VersionId=version)


def _delete_objects(s3: Any, bucket: str, prefix: str) -> None:
    for _, delete in list(_versions(s3, bucket, prefix)):
        delete()


def _delete_queue(sqs: Any, url: str) -> None:
    from botocore.exceptions import ClientError

    try:
        sqs.delete_queue(QueueUrl=url)
    except ClientError as problem:
        if problem.response["Error"]["Code"] not in _GONE:
            raise
