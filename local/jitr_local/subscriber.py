"""A subscriber to the local stack's event bus: what it was told, against what was decided and changed."""

import json
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from jitr.records.record import APPLIED, Record
from jitr_local.stack import LocalStack

_NAME = "jitr-subscriber"


@dataclass
class Subscriber:
    """A queue that everything told on the bus comes to. ``events`` has each by its id, ``received`` counts repeats."""

    sqs: Any
    url: str
    events: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    received: int = 0

    def look(self) -> None:
        """Take all that came."""
        while messages := self.sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10).get("Messages", []):
            for message in messages:
                event = json.loads(message["Body"])
                self.events[event["detail"]["metadata"]["id"]] = event
                self.received += 1
                self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])


@contextmanager
def subscribed(stack: LocalStack) -> Iterator[Subscriber]:
    """Subscribe to the default bus while the block runs."""
    session = stack.session()
    events: Any = session.client("events")
    sqs: Any = session.client("sqs")
    url = sqs.create_queue(QueueName=_NAME)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events.put_rule(Name=_NAME, EventPattern=json.dumps({"source": ["jitr"]}))
    events.put_targets(Rule=_NAME, Targets=[{"Id": "1", "Arn": arn}])
    try:
        yield Subscriber(sqs, url)
    finally:
        events.remove_targets(Rule=_NAME, Ids=["1"])
        events.delete_rule(Name=_NAME)
        sqs.delete_queue(QueueUrl=url)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a subscriber was told, against what there was to tell. ``missing`` has a line for each difference."""

    devices: int  # those with a decision on record
    changes: int
    events: Mapping[str, int]  # by detail type, each counted once
    repeats: int
    missing: tuple[str, ...]

    def __str__(self) -> str:
        """Say it in one line."""
        told = ", ".join(f"{count} {kind}" for kind, count in sorted(self.events.items()))
        verdict = f"{len(self.missing)} OTHERWISE" if self.missing else "all of them"
        return (
            f"A subscriber was told of {self.devices} devices and {self.changes} changes, {verdict}: "
            f"{told or 'nothing'}; {self.repeats} repeated"
        )


def compare(records: Mapping[str, Record | None], changes: Collection[str], subscriber: Subscriber) -> Comparison:
    """Compare what a subscriber was told with decisions by certificate, and with the ids of changes in the history.

    Of each device the last event has to say what stands in its record; of one without, there must be none.
    """
    by_device: dict[str, list[Mapping[str, Any]]] = {}
    told_changes = set()
    for event in subscriber.events.values():
        data = event["detail"]["data"]
        if "decision" in data:
            by_device.setdefault(data["certificate_id"], []).append(event)
        told_changes.add(data.get("id"))
    missing = [problem for each, record in records.items() if (problem := _differs(record, by_device.get(each, [])))]
    missing += [f"change {each} was not told" for each in changes if each not in told_changes]
    counted = Counter(event["detail-type"] for event in subscriber.events.values())
    repeats = subscriber.received - len(subscriber.events)
    decided = sum(each is not None for each in records.values())
    return Comparison(decided, len(changes), counted, repeats, tuple(missing))


def wait_for(look: Callable[[], Comparison], seconds: float) -> Comparison:
    """Look until all is told, or the time is up."""
    deadline = time.monotonic() + seconds
    while (found := look()).missing and time.monotonic() < deadline:
        time.sleep(0.25)
    return found


def _differs(record: Record | None, events: list[Mapping[str, Any]]) -> str | None:
    """Return in words how the last event of a device is other than its record; None where it is not."""
    told = None
    if events:
        data = max(events, key=_revision)["detail"]["data"]
        told = {"decision": data["decision"], "reason": data["reason"]}
    if record is None:
        return None if told is None else f"{told} was told of a device that is not on record"
    if record.state == APPLIED and record.in_a_word == told:
        return None
    return f"{record.certificate_id}: {dict(record.in_a_word)} was not told, but {told or 'nothing'}"


def _revision(event: Mapping[str, Any]) -> int:
    return int(event["detail"]["metadata"]["id"].rpartition("#")[2])
