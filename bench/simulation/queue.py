"""The registration queue, and Lambda in front of it.

Amazon SQS Developer Guide, standard queues: visibility timeout, receive count, redrive. AWS Lambda Developer Guide,
"Using Lambda with Amazon SQS": up to MaximumConcurrency batches of up to BatchSize messages at once, partial failures.
"""

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench.simulation.account import Timed
from bench.simulation.clock import EPOCH, Clock

VISIBILITY = 180.0
MOST_RECEIVES = 500
BATCH = 10
TIMEOUT = 30.0
# Between two invocations of one environment: Lambda's poller fetches a batch, invokes, deletes what is done.
BETWEEN_INVOCATIONS = 0.015
COLD_START = 1.0
_LOOKS_EVERY = 0.025  # Lambda polls without a pause


@dataclass(slots=True)
class _Message:
    number: int
    body: str
    about: str  # certificateId
    sent_at: float
    receives: int = 0
    visible_at: float = 0.0
    gone: bool = False


@dataclass
class Bill:
    """What Lambda and SQS charge for."""

    invocations: int = 0
    seconds: float = 0.0  # of all environments, while they are invoked
    requests: int = 0  # to SQS


class Queue(Timed):
    """A standard queue; messages come roughly in the order in which they became visible."""

    service = "sqs"

    def __init__(self, clock: Clock, bill: Bill, seed: int = 3) -> None:
        super().__init__(clock, seed)
        self._bill = bill
        self._messages: dict[int, _Message] = {}
        self._ready: deque[_Message] = deque()
        self._hidden: list[tuple[float, int, _Message]] = []
        self._number = 0
        self.failures: list[tuple[str, str]] = []  # bodies and reasons
        self.longest = 0
        self.undecided: Callable[[str], bool] = lambda _about: False
        self.waited_until = 0.0  # when a message about an undecided certificate was last handed over

    def send(self, body: str, about: str) -> None:
        """What the topic rule does."""
        self._number += 1
        self._bill.requests += 1
        message = _Message(self._number, body, about, self.clock.now)
        self._messages[self._number] = message
        self._ready.append(message)
        self.longest = max(self.longest, len(self._messages))

    def __len__(self) -> int:
        return len(self._messages)

    def take(self) -> list[dict[str, Any]]:
        """Up to a batch of messages that are visible now, as Lambda hands them over."""
        now = self.clock.now
        while self._hidden and self._hidden[0][0] <= now:
            _, _, message = heapq.heappop(self._hidden)
            if not message.gone and message.visible_at <= now:
                self._ready.append(message)
        taken: list[dict[str, Any]] = []
        while self._ready and len(taken) < BATCH:
            message = self._ready.popleft()
            message.receives += 1
            if message.receives > MOST_RECEIVES:
                self.failures.append((message.body, "receives"))
                self.delete(message.number)
            else:
                self._hide(message, VISIBILITY)
                taken.append(_record(message))
                if self.undecided(message.about):
                    self.waited_until = now
        self._bill.requests += bool(taken)  # one that finds nothing waits for up to 20 s, whoever comes or not
        return taken

    def visible(self) -> int:
        """Return how many messages could be received now, as ApproximateNumberOfMessagesVisible counts them."""
        return sum(each.visible_at <= self.clock.now for each in self._messages.values())

    def age(self) -> float | None:
        """Return the age of the oldest message, as ApproximateAgeOfOldestMessage tells it; None without messages.

        Amazon SQS Developer Guide, "Available CloudWatch metrics": one that was received three times does not count.
        """
        fresh = [each.sent_at for each in self._messages.values() if each.receives < 3]
        return self.clock.now - min(fresh) if fresh else None

    def delete(self, number: int) -> None:
        """Done with."""
        message = self._messages.pop(number, None)
        if message is not None:
            message.gone = True

    def _hide(self, message: _Message, seconds: float) -> None:
        message.visible_at = self.clock.now + seconds
        heapq.heappush(self._hidden, (message.visible_at, message.number, message))

    def _change_message_visibility(self, QueueUrl: str, ReceiptHandle: str, VisibilityTimeout: int) -> None:  # noqa: ARG002, N803
        self._bill.requests += 1
        self._hide(self._messages[int(ReceiptHandle)], VisibilityTimeout)

    def _send_message(self, QueueUrl: str, MessageBody: str, MessageAttributes: Any) -> None:  # noqa: ARG002, N803
        self._bill.requests += 1
        self.failures.append((MessageBody, MessageAttributes["reason"]["StringValue"]))


def _record(message: _Message) -> dict[str, Any]:
    sent = int((EPOCH.timestamp() + message.sent_at) * 1000)
    return {
        "messageId": f"m{message.number}",
        "receiptHandle": str(message.number),
        "body": message.body,
        "attributes": {"ApproximateReceiveCount": str(message.receives), "SentTimestamp": str(sent)},
    }


class Crashed(BaseException):
    """An invocation fails as a whole: the function's process is gone, or cannot be started."""


@dataclass
class Environments:
    """Lambda's execution environments for the queue: each handles one batch at a time, and keeps its memory."""

    clock: Clock
    queue: Queue
    bill: Bill
    # Makes the handler of one environment: a batch's records and what tells the milliseconds left, to its failures.
    make: Callable[[], Callable[[list[dict[str, Any]], Callable[[], int]], dict[str, list[dict[str, str]]]]]
    stopped: bool = False
    looks_every: float = _LOOKS_EVERY
    crashed: Callable[[], None] = lambda: None  # is told of each invocation that fails as a whole

    def start(self, count: int) -> None:
        """Begin to poll, with so many at once."""
        for _ in range(count):
            self.clock.start(self._one)

    def _one(self) -> None:
        handle = None
        while not self.stopped:
            records = self.queue.take()
            if not records:
                self.clock.sleep(self.looks_every)
                continue
            began = self.clock.now
            if handle is None:
                self.clock.sleep(COLD_START)
                handle = self.make()
            try:
                answer = handle(records, lambda began=began: round((began + TIMEOUT - self.clock.now) * 1000))  # type: ignore[misc]
            except Crashed:
                self.crashed()
                handle = None
                continue
            self.bill.invocations += 1
            self.bill.seconds += self.clock.now - began
            self.bill.requests += 1
            failed = {each["itemIdentifier"] for each in answer["batchItemFailures"]}
            for record in records:
                if record["messageId"] not in failed:
                    self.queue.delete(int(record["receiptHandle"]))
            self.clock.sleep(BETWEEN_INVOCATIONS)
