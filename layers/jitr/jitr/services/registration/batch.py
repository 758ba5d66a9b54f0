"""A batch of messages from the registration queue: each is handled on its own, and only what failed comes back."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from jitr.aws.pacing import TIME_FOR_ONE, NotYet
from jitr.aws.telemetry import Telemetry
from jitr.errors import Poison, Retry
from jitr.services.registration.delivery import Message
from jitr.times import from_epoch_ms

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

# A failure that nobody declared is a bug: after this many deliveries the message goes to the failure queue.
DELIVERIES_OF_A_BUG = 5

# Seconds until a message that could not be handled comes back. Twice as long each time, so that a fleet waiting out
# an outage costs little; at most five minutes, so that it is soon in afterwards.
_FIRST_WAIT, _LONGEST_WAIT = 2, 300
# Not a fault: somebody else was quicker, or edited something. The next try is likely to do; if the first few do not,
# they wait as well, or a slow day would use up the receives that the queue allows.
_AT_ONCE = frozenset({"conflict", "edited", "deadline"})
_TIMES_AT_ONCE = 8

_MOST_ATTRIBUTE = 1024
# The attribute of a message that tells when its event came first, in epoch milliseconds. Events have none: AWS IoT's
# topic rules send no attributes.
SENT_AT = "sent_at"


class Handler(Protocol):
    """A handler of one message."""

    def settle_known(self, messages: Sequence[Message]) -> list[Message]:
        """Settle the messages that need nothing, and return the others. Raises Retry."""
        ...

    def handle(self, message: Message) -> None:
        """Handle a message. Raises Retry or Poison; NotYet if it is impatient and would have to wait for its turn."""
        ...


class Batch:
    """Takes messages as Lambda brings them from SQS and answers which of them failed.

    AWS Lambda Developer Guide, "Reporting batch item failures".
    """

    def __init__(
        self,
        *,
        handler: Handler,
        sqs: Callable[[], "SQSClient"],
        queue_url: str,
        failures_url: str,
        telemetry: Telemetry,
        clock: Callable[[], datetime],
        jitter: Callable[[], float],
    ) -> None:
        self._handler = handler
        self._sqs = sqs  # asked where a message fails: most invocations need no client for it
        self._queue_url = queue_url
        self._failures_url = failures_url
        self._telemetry = telemetry
        self._clock = clock
        self._jitter = jitter  # a random number from 0 to 1

    def handle(
        self, records: Sequence[Mapping[str, Any]], remaining: Callable[[], int]
    ) -> dict[str, list[dict[str, str]]]:
        """Handle the messages: those that ask for nothing at a glance, then those that need not wait, then the others.

        ``remaining`` tells the milliseconds left before Lambda ends the function.
        """
        failed, waiting = [], []
        of = {each["messageId"]: each for each in records}
        for message in self._left([_message(each, remaining) for each in records], remaining):
            try:
                if not self._one(of[message.id], message, remaining):
                    failed.append(message.id)
            except NotYet:
                waiting.append(replace(message, patient=True, unseen=None))
        failed += [each.id for each in waiting if not self._one(of[each.id], each, remaining)]
        return {"batchItemFailures": [{"itemIdentifier": each} for each in failed]}

    def _left(self, messages: list[Message], remaining: Callable[[], int]) -> list[Message]:
        """Return the messages that ask for anything. A single one is not worth this extra look."""
        if len(messages) < 2 or remaining() < TIME_FOR_ONE:
            return messages
        try:
            return self._handler.settle_known(messages)
        except Retry as retry:
            self._telemetry.logger.warning("no glance", extra={"cause": retry.cause, "detail": str(retry)})
            return messages  # each says for itself what is wrong

    def _one(self, record: Mapping[str, Any], message: Message, remaining: Callable[[], int]) -> bool:
        """Whether the message is done with. Raises NotYet if it is impatient and would have to wait for its turn."""
        deliveries = message.deliveries
        if remaining() < TIME_FOR_ONE:
            self._put_back(
                record, Retry("deadline", "the batch ran out of time before this message was begun"), deliveries
            )
            return False
        try:
            self._handler.handle(message)
        except NotYet:
            raise
        except Poison as poison:
            return self._to_failures(record, poison)
        except Retry as retry:
            self._put_back(record, retry, deliveries)
            return False
        except Exception as bug:  # a bug must not take the other messages of the batch with it
            self._telemetry.logger.exception("bug")
            self._telemetry.count("Bugs")
            if deliveries < DELIVERIES_OF_A_BUG:
                self._comes_back(record, "bug")
                return False
            return self._to_failures(record, Poison("event.bug", f"{type(bug).__name__} in {deliveries} deliveries"))
        else:
            return True
        finally:
            self._telemetry.about_nothing()

    def _to_failures(self, record: Mapping[str, Any], poison: Poison) -> bool:
        """Move a message to the failure queue with its reason; it is done with once that queue has it."""
        self._telemetry.count("Poison", reason=poison.code)
        self._telemetry.logger.error("poison", extra={"reason": poison.code, "detail": str(poison)})
        attributes = {
            "reason": poison.code,
            "message": str(poison)[:_MOST_ATTRIBUTE],
            SENT_AT: str(int(_sent_at(record).timestamp() * 1000)),
        }
        try:
            self._sqs().send_message(
                QueueUrl=self._failures_url,
                MessageBody=record["body"],
                MessageAttributes={
                    name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
                },
            )
        except (ClientError, BotoCoreError):
            self._telemetry.logger.exception("poison could not be moved")
            self._comes_back(record, "failures")
            return False
        return True

    def _put_back(self, record: Mapping[str, Any], retry: Retry, deliveries: int) -> None:
        self._telemetry.count("Retries", reason=retry.cause)
        self._comes_back(record, retry.cause)
        if retry.cause == "rules":
            self._telemetry.count("RulesUnavailable")
        at_once = retry.cause in _AT_ONCE and deliveries <= _TIMES_AT_ONCE
        wait = 0 if at_once else self._backoff(deliveries)
        self._telemetry.logger.warning(
            "put back", extra={"cause": retry.cause, "detail": str(retry), "seconds": wait, "deliveries": deliveries}
        )
        try:
            self._sqs().change_message_visibility(
                QueueUrl=self._queue_url, ReceiptHandle=record["receiptHandle"], VisibilityTimeout=wait
            )
        except (ClientError, BotoCoreError):
            self._telemetry.logger.warning("it comes back only after the queue's own visibility timeout")

    def _comes_back(self, record: Mapping[str, Any], reason: str) -> None:
        """Record how old a message is that is not done with.

        SQS leaves one that was received three times out of ApproximateAgeOfOldestMessage (Amazon SQS Developer Guide,
        "Available CloudWatch metrics for Amazon SQS"): who comes back again and again is seen only here.
        """
        age = (self._clock() - _sent_at(record)).total_seconds()
        self._telemetry.seconds("RetryAge", max(0.0, age), reason=reason)

    def _backoff(self, deliveries: int) -> int:
        longest = min(_LONGEST_WAIT, _FIRST_WAIT << min(deliveries - 1, 10))
        return max(1, round(longest * (0.5 + self._jitter() / 2)))


def _message(record: Mapping[str, Any], remaining: Callable[[], int]) -> Message:
    deliveries = int(record["attributes"]["ApproximateReceiveCount"])
    return Message(record["body"], _sent_at(record), deliveries, record["messageId"], remaining, patient=False)


def _sent_at(record: Mapping[str, Any]) -> datetime:
    """When the message came from the topic rule; one that was put back from the failures tells it in an attribute."""
    sent = int(record["attributes"]["SentTimestamp"])
    told = record.get("messageAttributes", {}).get(SENT_AT, {}).get("stringValue", "")
    return from_epoch_ms(min(sent, int(told)) if told.isascii() and told.isdigit() and len(told) <= 15 else sent)
