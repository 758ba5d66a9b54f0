"""Events that the bus did not take, sent again."""

import json
from typing import Any

from jitr.errors import Retry
from jitr.records.history import HistoryKind
from jitr_operations import telling
from jitr_operations.deployment import Deployment
from jitr_operations.failures.messages import FailedMessage, FailureQueue
from jitr_operations.history import keeping

QUEUE = "NotifyFailures"


def resend(deployment: Deployment) -> tuple[int, int]:
    """Send the events that were put aside to the stack's bus; each leaves the queue once the bus has it.

    Return how many were sent, and how many messages are none: of what the stream gave up on, or what could not be made.
    Raises Retry where the bus does not take one.
    """
    bus = deployment.output("EventBusName")
    queue = FailureQueue(deployment.client("sqs"), deployment.output(f"{QUEUE}Url"), QUEUE)
    events, sent, others = deployment.client("events"), 0, 0
    with keeping.doing(deployment, HistoryKind.FAILURES, ("failures", "resend")) as doing:
        try:
            with telling.progress("Sending", None) as advance:
                for message in queue.messages():
                    entry = _entry(message)
                    if entry is None:
                        others += 1
                        continue
                    answer = events.put_events(Entries=[entry | {"EventBusName": bus}])
                    if answer["FailedEntryCount"]:
                        raise Retry("unavailable", f"the event bus {bus} does not take them: {answer['Entries'][0]}")
                    queue.delete(message)
                    sent += 1
                    doing.count("sent")
                    advance(1)
        finally:
            queue.let_go()
    return sent, others


def _entry(message: FailedMessage) -> dict[str, Any] | None:
    """Return the event in a message, as PutEvents takes it; None where there is none in it."""
    try:
        found = json.loads(message.body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and "DetailType" in found else None
