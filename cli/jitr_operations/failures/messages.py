"""The messages of a failure queue: each once, with what failed, why, and since when."""

import base64
import binascii
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, Any

from jitr.services.registration.batch import SENT_AT
from jitr.times import from_epoch_ms
from jitr_operations.http_date import read_http_date

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.literals import QueueAttributeNameType
    from mypy_boto3_sqs.type_defs import MessageTypeDef

QUEUES = ("RegistrationFailures", "RuleFailures")

# While a command looks at a message nobody else sees it; it lets go of each when it is done.
_VISIBILITY = 300  # seconds
_AT_ONCE = 10  # messages in one request, as SQS allows
_WAIT = 1  # seconds that a request waits for a message, and in which SQS asks all of its servers

_UNSEEN: "QueueAttributeNameType" = "ApproximateNumberOfMessages"
_IN_FLIGHT: "QueueAttributeNameType" = "ApproximateNumberOfMessagesNotVisible"

_EXHAUSTED = "event.exhausted"  # came here by the registration queue's own redrive policy, with no reason attached
_RULE_FAILED = "event.rule-failed"


@dataclass(frozen=True)
class FailedMessage:
    """One message, and what there is to say about it."""

    id: str
    handle: str
    queue: str
    raw: str  # the body as it lies in the queue
    body: str  # the registration event itself
    reason: str
    message: str
    since: datetime
    sent_at: str  # when the event came first, in epoch milliseconds

    @property
    def certificate_id(self) -> str | None:
        """Which certificate the event is about, if it says so."""
        found = _object(self.body).get("certificateId")
        return found if isinstance(found, str) else None

    def to_json(self) -> dict[str, Any]:
        """Return it as ``--json`` prints it."""
        return {
            "id": self.id,
            "queue": self.queue,
            "reason": self.reason,
            "message": self.message,
            "certificate_id": self.certificate_id,
            "since": self.since,
            "body": self.body,
        }


@dataclass(frozen=True)
class Others:
    """About how many messages of a queue were not gone through."""

    unseen: int  # in sight of everybody
    in_flight: int  # out of sight, because another command holds them


@dataclass
class FailureQueue:
    """A queue of failed messages, gone through once."""

    sqs: "SQSClient"
    url: str
    name: str
    began: datetime | None = None  # by the queue's own clock
    late: list[FailedMessage] = field(default_factory=list)  # seen, and come since then
    _handles: dict[str, str] = field(default_factory=dict)  # of the messages that nobody else sees meanwhile

    def messages(self, requests: int | None = None) -> Iterator[FailedMessage]:
        """Yield every message that was in the queue when this began, once; each stays hidden until it is let go of.

        What comes into the queue meanwhile does not count: a message that was put back may fail again at once. With
        ``requests``, no more than so many are sent, each for at most ten messages, and none waits once as many were
        read as the queue counts. The count may be a minute old (SQS API reference, GetQueueAttributes), and a request
        that does not wait asks only some of the servers (SQS Developer Guide, "Amazon SQS short and long polling"): a
        message that came in that minute may be left out, and ``others`` counts it once the queue does.
        """
        counted = None if requests is None else self.others().unseen
        for _ in count() if requests is None else range(requests):
            answer = self.sqs.receive_message(
                QueueUrl=self.url,
                MaxNumberOfMessages=_AT_ONCE,
                VisibilityTimeout=_VISIBILITY,
                WaitTimeSeconds=_WAIT if counted is None or len(self._handles) < counted else 0,
                MessageAttributeNames=["All"],
                MessageSystemAttributeNames=["SentTimestamp"],
            )
            self.began = self.began or _time_of(answer)
            received = answer.get("Messages", [])
            if not received:
                return
            fresh = [each for each in received if each["MessageId"] not in self._handles]
            self._handles |= {each["MessageId"]: each["ReceiptHandle"] for each in received}
            for each in fresh:
                found = _read(each, self.name)
                if found.since <= self.began:
                    yield found
                else:
                    self.late.append(found)

    def delete(self, message: FailedMessage) -> None:
        """Take a message off the queue."""
        self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=self._handles[message.id])
        del self._handles[message.id]

    def others(self) -> Others:
        """Return about how many more messages there are than were gone through."""
        answer = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=[_UNSEEN, _IN_FLIGHT])
        unseen, in_flight = (int(answer["Attributes"][name]) for name in (_UNSEEN, _IN_FLIGHT))
        return Others(unseen, max(0, in_flight - len(self._handles)))

    def let_go(self) -> None:
        """Let others see again what was not deleted."""
        from botocore.exceptions import BotoCoreError, ClientError

        handles = list(self._handles.values())
        for start in range(0, len(handles), _AT_ONCE):
            some = enumerate(handles[start : start + _AT_ONCE])
            # One that was held for longer than _VISIBILITY is back already, and its handle is void.
            with suppress(ClientError, BotoCoreError):
                self.sqs.change_message_visibility_batch(
                    QueueUrl=self.url,
                    Entries=[{"Id": str(place), "ReceiptHandle": each, "VisibilityTimeout": 0} for place, each in some],
                )
        self._handles.clear()


def _time_of(answer: Any) -> datetime:
    """When the queue answered, by its own clock, to the end of that second."""
    told = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    time = read_http_date(told) or datetime.now(UTC)
    return time.replace(microsecond=999_999)


def _read(message: "MessageTypeDef", queue: str) -> FailedMessage:
    raw = message["Body"]
    body, reason, told = _of_rule(raw) if queue == "RuleFailures" else _of_function(message)
    sent = message["Attributes"]["SentTimestamp"]
    return FailedMessage(
        id=message["MessageId"],
        handle=message["ReceiptHandle"],
        queue=queue,
        raw=raw,
        body=body,
        reason=reason,
        message=told,
        since=from_epoch_ms(int(sent)),
        sent_at=_attribute(message, SENT_AT, sent),
    )


def _of_function(message: "MessageTypeDef") -> tuple[str, str, str]:
    """Read what the function or the queue put aside: the event as it came, with the reason as attributes."""
    reason = _attribute(message, "reason", _EXHAUSTED)
    return message["Body"], reason, _attribute(message, "message", "it came back more often than the queue allows")


def _of_rule(raw: str) -> tuple[str, str, str]:
    """Read what the topic rule could not queue: the event is inside, in base64, beside the failures.

    AWS IoT Core Developer Guide, "Error handling (error action)": error action message format.
    """
    document = _object(raw)
    failures = document.get("failures")
    told = [
        str(each.get("errorMessage"))
        for each in (failures if isinstance(failures, list) else [])
        if isinstance(each, dict)
    ]
    try:
        body = base64.b64decode(document["base64OriginalPayload"], validate=True).decode()
    except (KeyError, TypeError, ValueError, binascii.Error):
        body = raw
    return body, _RULE_FAILED, "; ".join(told) or "the topic rule did not say why"


def _object(body: str) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _attribute(message: "MessageTypeDef", name: str, default: str) -> str:
    attributes = message.get("MessageAttributes", {})
    return attributes[name].get("StringValue", default) if name in attributes else default
