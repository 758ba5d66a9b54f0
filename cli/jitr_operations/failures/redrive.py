"""Messages that could never be handled: seen, and put back on the registration queue."""

import time
from contextlib import ExitStack

from jitr.records.history import HistoryKind
from jitr.services.registration.batch import SENT_AT
from jitr_operations import telling
from jitr_operations.deployment import Deployment
from jitr_operations.failures.messages import QUEUES, FailedMessage, FailureQueue
from jitr_operations.history import keeping


def failed_messages(deployment: Deployment, *, reason: str | None, queue: str | None) -> list[FailedMessage]:
    """Return what lies in the failure queues, or in one of them, with a reason code if one is given."""
    return look(deployment, reason=reason, queue=queue)[0]


def look(deployment: Deployment, *, reason: str | None, queue: str | None) -> tuple[list[FailedMessage], int]:
    """Return what ``failed_messages`` does, and how many more another command holds."""
    found, in_flight = [], 0
    with ExitStack() as stack:
        for each in _queues(deployment, queue):
            stack.callback(each.let_go)
            found += [message for message in each.messages() if reason in (None, message.reason)]
            others = each.in_flight()
            _tell_in_flight(each.name, others)
            in_flight += others
    return found, in_flight


def redrive(deployment: Deployment, *, reason: str | None, queue: str | None, pace: float) -> tuple[int, int]:
    """Put failed messages back on the registration queue, ``pace`` a second.

    A message is taken off the failures only once the queue has it. Returns how many were put back, and how many another
    command holds.
    """
    chosen = (*(("--reason", reason) if reason else ()), *(("--queue", queue) if queue else ()))
    with keeping.doing(deployment, HistoryKind.FAILURES, ("failures", "redrive", *chosen)) as doing:
        return _redrive(deployment, reason, queue, pace, doing)


def _redrive(
    deployment: Deployment, reason: str | None, queue: str | None, pace: float, doing: keeping.Doing
) -> tuple[int, int]:
    target = deployment.output("RegistrationQueueUrl")
    sqs = deployment.client("sqs")
    count = in_flight = 0
    try:
        with ExitStack() as stack, telling.progress("Putting back", None) as advance:
            for each in _queues(deployment, queue):
                stack.callback(each.let_go)
                for message in each.messages():
                    if reason is not None and message.reason != reason:
                        continue
                    sqs.send_message(
                        QueueUrl=target,
                        MessageBody=message.body,
                        # Or a device that knocked in time would be too late for its window.
                        MessageAttributes={SENT_AT: {"DataType": "String", "StringValue": message.sent_at}},
                    )
                    each.delete(message)
                    count += 1
                    doing.count("put_back")
                    advance(1)
                    time.sleep(1 / pace)
                others = each.in_flight()
                _tell_in_flight(each.name, others)
                in_flight += others
    except BaseException:
        telling.note(f"{count} messages were put back; the others are where they were")
        raise
    return count, in_flight


def _queues(deployment: Deployment, only: str | None) -> list[FailureQueue]:
    names = QUEUES if only is None else (only,)
    return [FailureQueue(deployment.client("sqs"), deployment.output(f"{name}Url"), name) for name in names]


def _tell_in_flight(queue: str, number: int) -> None:
    if number:
        telling.note(
            f"About {number} more in {queue} cannot be seen: another command holds them, or one was cut off. They are "
            "seen again within five minutes; run this again then."
        )
