"""Messages that could never be handled: seen, and put back on the registration queue."""

import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from jitr.errors import InputError
from jitr.records.history import HistoryKind
from jitr.services.registration.batch import SENT_AT
from jitr.text import counted
from jitr.unseen import quote
from jitr_operations import telling
from jitr_operations.deployment import Deployment
from jitr_operations.failures.messages import QUEUES, FailedMessage, FailureQueue
from jitr_operations.history import keeping

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


@dataclass(frozen=True)
class MessageChoice:
    """Which failed messages: all, or those with a reason code, of a queue, or with one of these ids."""

    reason: str | None = None
    queue: str | None = None
    ids: frozenset[str] | None = None

    def fits(self, message: FailedMessage) -> bool:
        """Return whether a message is one of them; the queue was chosen before."""
        return self.reason in (None, message.reason) and (self.ids is None or message.id in self.ids)

    @property
    def words(self) -> tuple[str, ...]:
        """The arguments by which the command names them."""
        return (
            *sorted(self.ids or ()),
            *(("--reason", self.reason) if self.reason else ()),
            *(("--queue", self.queue) if self.queue else ()),
        )


@dataclass
class FailuresFound:
    """Failed messages that were looked at, and about how many there are besides."""

    messages: list[FailedMessage] = field(default_factory=list)
    unseen: int = 0  # not looked at, because a bound was reached
    in_flight: int = 0  # held by another command


@dataclass
class Redriven:
    """The result of putting messages back."""

    put_back: int = 0
    failed_again: int = 0  # of those, as far as that was seen: they are left for the next time
    in_flight: int = 0  # held by another command
    left: dict[str, str] = field(default_factory=dict)  # why a message that was chosen is where it was, by its id


def look(deployment: Deployment, wanted: MessageChoice, requests: int | None = None) -> FailuresFound:
    """Return what lies in the failure queues.

    Each is read to its end, or with so many ``requests`` for ten messages each. What was read is in everybody's sight
    again afterwards.
    """
    found = FailuresFound()
    with _queues(deployment, wanted) as queues:
        for each in queues:
            found.messages += [message for message in each.messages(requests) if wanted.fits(message)]
            others = each.others()
            _tell_in_flight(each.name, others.in_flight)
            found.in_flight += others.in_flight
            found.unseen += 0 if requests is None else others.unseen
    return found


def with_ids(wanted: MessageChoice, found: FailuresFound, beginnings: Iterable[str]) -> MessageChoice:
    """Return what is wanted, with the ids of messages that were found, each by how it begins.

    Raises InputError where none or several begin so.
    """
    ids = set()
    for each in beginnings:
        fitting = [message.id for message in found.messages if message.id.startswith(each.lower())]
        if not fitting:
            raise InputError(
                f"no failed message has an id that begins with {quote(each)}: `jitr failures ls` shows them"
            )
        if len(fitting) > 1:
            raise InputError(f"{len(fitting)} failed messages have ids that begin with {quote(each)}: give more of it")
        ids.add(fitting[0])
    return replace(wanted, ids=frozenset(ids))


def redrive(deployment: Deployment, wanted: MessageChoice, pace: float) -> Redriven:
    """Put failed messages back on the registration queue, ``pace`` a second.

    A message is taken off the failures only once the queue has it. One that fails again meanwhile is left there. Where
    they are chosen by their ids, one that the queue refuses keeps no other from going back.
    """
    done = Redriven()
    with keeping.doing(deployment, HistoryKind.FAILURES, ("failures", "redrive", *wanted.words)) as doing:
        try:
            _redrive(deployment, wanted, pace, doing, done)
        except BaseException:
            telling.note(
                f"{counted(done.put_back, 'message was', 'messages were')} put back; the others are where they were"
            )
            raise
    return done


def _redrive(deployment: Deployment, wanted: MessageChoice, pace: float, doing: keeping.Doing, done: Redriven) -> None:
    target, sqs = deployment.output("RegistrationQueueUrl"), deployment.client("sqs")
    missing = set(wanted.ids or ())
    total = None if wanted.ids is None else len(wanted.ids)
    gone_back: set[int] = set()
    with _queues(deployment, wanted) as queues, telling.progress("Putting back", total) as advance:
        for each in reversed(queues):  # what the rule failed to deliver comes into the other queue if it fails again
            for message in each.messages():
                if _event(message) in gone_back:
                    done.failed_again += 1
                    continue
                if not wanted.fits(message):
                    continue
                missing.discard(message.id)
                if (problem := _put_back(sqs, target, message, each, keep_on=wanted.ids is not None)) is None:
                    done.put_back += 1
                    gone_back.add(_event(message))
                    doing.count("put_back")
                else:
                    done.left[message.id] = problem
                advance(1)
                time.sleep(1 / pace)
                if wanted.ids is not None and not missing:
                    return
            done.failed_again += sum(_event(message) in gone_back for message in each.late)
            others = each.others()
            _tell_in_flight(each.name, others.in_flight)
            done.in_flight += others.in_flight
    done.left |= dict.fromkeys(missing, "it lies there no more, or another command holds it")


def _event(message: FailedMessage) -> int:
    """Return what is the same of an event whenever it fails: a digest of its body and of when it came first.

    The queue's clock tells seconds, and within one of them a message can be put back and fail again.
    """
    return hash((message.body, message.sent_at))


def _put_back(
    sqs: "SQSClient", target: str, message: FailedMessage, queue: FailureQueue, *, keep_on: bool
) -> str | None:
    """Put one message back. With ``keep_on`` return why the queue refused it, where it did."""
    from botocore.exceptions import ClientError

    try:
        sqs.send_message(
            QueueUrl=target,
            MessageBody=message.body,
            # Or a device that knocked in time would be too late for its window.
            MessageAttributes={SENT_AT: {"DataType": "String", "StringValue": message.sent_at}},
        )
    except ClientError as problem:
        if not keep_on:
            raise
        return str(problem.response["Error"].get("Message") or problem)
    queue.delete(message)
    return None


@contextmanager
def _queues(deployment: Deployment, wanted: MessageChoice) -> Iterator[list[FailureQueue]]:
    """Give the queues to go through, and let go of their messages afterwards."""
    names = QUEUES if wanted.queue is None else (wanted.queue,)
    queues = [FailureQueue(deployment.client("sqs"), deployment.output(f"{name}Url"), name) for name in names]
    with ExitStack() as stack:
        for each in queues:
            stack.callback(each.let_go)
        yield queues


def _tell_in_flight(queue: str, number: int) -> None:
    if number:
        telling.note(
            f"About {number} more in {queue} cannot be seen: another command holds them, or one was cut off. They are "
            "seen again within five minutes; run this again then."
        )
