"""Any history of the table's stream through the real notify function: cut off, repeated, reordered, and the bus away.

A shard brings what was written to its devices in order, as Lambda does: a batch that fails comes again by halves, and
one that succeeded may come again as well. Shards know nothing of each other. Whatever befalls the function, each event
is told, or put aside whole; those of a device are told in order; and an id tells a repeat.

``JITR_SOAK_EXAMPLES`` sets the number of histories.
"""

import importlib.util
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from testkit.aws.digests import PERIOD, FakeTopic, held, stream_of
from testkit.aws.fakes import FakeClient, FakeDynamodb, refusal
from testkit.aws.faults import Killed
from testkit.knocks import NOW

from jitr.aws import clients
from jitr.errors import Refused, Retry
from jitr.reasons import Verdict
from jitr.records.digests import LEASE
from jitr.services.notifying.notifier import PATIENCE

HISTORIES = int(os.environ.get("JITR_SOAK_EXAMPLES", "100"))
APP = Path(__file__).parents[2] / "functions/notify/app.py"
VARIABLES = {
    "AWS_REGION": "eu-central-1",
    "JITR_EVENT_BUS": "plant",
    "JITR_TABLE": "jitr",
    "JITR_NOTIFICATIONS_TOPIC": "arn:aws:sns:eu-central-1:123456789012:people",
    "JITR_NOTIFY_FAILURES_URL": "failures",
    "JITR_STACK": "jitr",
    "JITR_PARTITION": "aws",
    "JITR_ACCOUNT_ID": "123456789012",
    "POWERTOOLS_SERVICE_NAME": "jitr",
    "LOG_LEVEL": "CRITICAL",
}

# What befalls one call of the function, in the order in which it makes them; then all is well.
FAULTS = ("none", "killed before", "killed after", "throttled", "away", "refused in part")


class FakeBus(FakeClient):
    """An event bus. ``told`` has the ids in the order in which it took them; ``refuses`` some of the next request."""

    service = "events"

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []
        self.events: dict[str, Any] = {}
        self.refuses = False

    def _put_events(self, Entries: list[dict[str, Any]]) -> Any:  # noqa: N803 - botocore's name
        results = []
        for place, entry in enumerate(Entries):
            if self.refuses and place % 2 == 0:
                results.append({"ErrorCode": "InternalFailure"})
                continue
            detail = json.loads(entry["Detail"])
            self.told.append(detail["metadata"]["id"])
            before = self.events.setdefault(detail["metadata"]["id"], detail)
            assert before == detail, "one id, one event"
            results.append({"EventId": "x"})
        self.refuses = False
        return {"Entries": results}


class FakeQueue(FakeClient):
    """The failure queue."""

    service = "sqs"

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []

    def _send_message(self, MessageBody: str, **_more: Any) -> None:  # noqa: N803
        self.ids.append(json.loads(json.loads(MessageBody)["Detail"])["metadata"]["id"])


@dataclass
class Lambda:
    """The function, and what calls it. ``faults`` are those of the calls to come."""

    faults: list[str]
    now: datetime = NOW
    bus: FakeBus = field(default_factory=FakeBus)
    queue: FakeQueue = field(default_factory=FakeQueue)
    topic: FakeTopic = field(default_factory=FakeTopic)
    table: FakeDynamodb = field(default_factory=FakeDynamodb)

    def __post_init__(self) -> None:
        self.clients: dict[str, Any] = {
            "events": self.bus,
            "sqs": self.queue,
            "sns": self.topic,
            "dynamodb": self.table,
        }
        for client in self.clients.values():
            client.meta.events.register("before-call", self._before)
            client.meta.events.register("after-call", self._after)
        self.start()

    def start(self) -> None:
        """Start its process: nothing is remembered."""
        spec = importlib.util.spec_from_file_location("notify_app", APP)
        assert spec is not None
        assert spec.loader is not None
        app = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(app)
        app.datetime = _Clock(lambda: self.now)  # type: ignore[attr-defined]
        self._handler: Callable[[Any, Any], Any] = app.handler.__wrapped__
        self._strike = "none"

    def call(self, payload: Any) -> bool:
        """Invoke it; whether it came to its end."""
        try:
            self._handler(payload, None)
        except Killed:
            self.start()
            return False
        except (Retry, Refused):
            return False
        return True

    def _before(self, model: Any, **_context: Any) -> Any:
        self._strike = self.faults.pop(0) if self.faults else "none"
        self.bus.refuses = self._strike == "refused in part" and model.name == "PutEvents"
        if self._strike == "killed before":
            raise Killed
        if self._strike in ("throttled", "away"):
            code = "ThrottlingException" if self._strike == "throttled" else "InternalFailure"
            return type("Response", (), {"status_code": 500, "headers": {}})(), refusal(model.name, code, 500).response
        return None

    def _after(self, **_context: Any) -> None:
        if self._strike == "killed after":
            raise Killed


class _Clock:
    """The module's ``datetime``, at the history's time."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now

    def now(self, _zone: Any) -> datetime:
        return self._now()


@dataclass
class Shard:
    """One shard of the stream, as Lambda reads it for one function."""

    records: list[Any]
    place: int = 0
    size: int = 4

    def deliver(self, function: Lambda, *, again: bool) -> None:
        """Bring the next batch; by halves where it failed. One that was handled may come again."""
        batch = self.records[self.place : self.place + self.size]
        if function.call({"Records": batch}) and not again:
            self.place += len(batch)
            self.size = 4
        elif not again:
            self.size = max(1, self.size // 2)

    @property
    def done(self) -> bool:
        """Whether nothing is left."""
        return self.place >= len(self.records)


@contextmanager
def running(faults: list[str]) -> Iterator[Lambda]:
    """The function in its environment."""
    made: list[Lambda] = []
    with (
        patch.dict(os.environ, VARIABLES),
        patch.object(clients, "client", lambda name, **_more: made[0].clients[name]),
    ):
        made.append(Lambda(list(faults)))
        yield made[0]


def _writes(device: int, verdicts: list[Verdict]) -> list[Any]:
    """Every write of a device's record that says another verdict than the one before."""
    before, records = None, []
    for revision, verdict in enumerate(verdicts):
        record = held(device, f"reason-{revision % 3}", decision=verdict, told=before, revision=revision)
        before = record.in_a_word
        records.append(record)
    return stream_of(records)


def _ids(records: list[Any]) -> list[str]:
    images = [each["dynamodb"]["NewImage"] for each in records]
    return [f"{each['certificate_id']['S']}#{each['revision']['N']}" for each in images]


VERDICTS = st.lists(st.sampled_from(list(Verdict)), max_size=4)
# Which shard is next, whether the batch that is handled comes again, and the minutes that pass.
STEPS = st.lists(st.tuples(st.integers(0, 1), st.booleans(), st.sampled_from([0, 1, 20, 61])), max_size=30)


@settings(max_examples=HISTORIES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    histories=st.lists(VERDICTS, min_size=1, max_size=5),
    mixed=st.randoms(use_true_random=False),
    faults=st.lists(st.sampled_from(FAULTS), max_size=25),
    steps=STEPS,
)
def test_whatever_befalls_the_stream_all_is_told_at_least_once_and_in_order_of_each_device(
    histories: list[list[Verdict]], mixed: Any, faults: list[str], steps: list[tuple[int, bool, int]]
) -> None:
    written = [_writes(device, verdicts) for device, verdicts in enumerate(histories)]
    shards = [Shard(_mixed(written[place::2], mixed)) for place in range(2)]
    with running(faults) as function:
        for place, again, minutes in steps:
            shards[place].deliver(function, again=again)
            function.call({"notify": "digest"})
            function.now += timedelta(minutes=minutes)
        while function.faults or not all(each.done for each in shards):
            for shard in shards:
                shard.deliver(function, again=False)
            function.call({"notify": "digest"})
        _digests_end(function)
    aside = set(function.queue.ids)
    event("put aside" if aside else "all told")
    event("repeated" if len(set(function.bus.told)) < len(function.bus.told) else "each once")
    for records in written:
        wanted = [each for each in _ids(records) if each not in aside or each in function.bus.told]
        assert list(dict.fromkeys(each for each in function.bus.told if each in wanted)) == wanted
    all_written = {each for records in written for each in _ids(records)}
    assert set(function.bus.told) | aside == all_written
    assert not aside or function.now >= NOW + PATIENCE
    _each_newly_held_device_is_mailed_once(function, histories)


def _digests_end(function: Lambda) -> None:
    """The schedule goes on until no digest is left."""
    for _ in range(4):
        function.now += max(PERIOD, LEASE)
        assert function.call({"notify": "digest"})


def _each_newly_held_device_is_mailed_once(function: Lambda, histories: list[list[Verdict]]) -> None:
    """A repeat of a mail has the number of the first, and the same text but for the line that says so."""
    by_number = {mail.number: mail.devices for mail in function.topic.mails}
    least = sum(1 for verdicts in histories if Verdict.HOLD in verdicts)
    most = sum(
        1
        for verdicts in histories
        for before, now in zip([None, *verdicts], verdicts, strict=False)
        if now is Verdict.HOLD and before is not Verdict.HOLD
    )
    # One that is held, let in and held again within a batch is counted once.
    assert least <= sum(by_number.values()) <= most
    for mail in function.topic.mails:
        first = next(each for each in function.topic.mails if each.number == mail.number)
        assert _but_for_the_repeat(mail.text) == _but_for_the_repeat(first.text)


def _but_for_the_repeat(text: str) -> list[str]:
    return [line for line in text.splitlines() if line and "broke off before" not in line]


def _mixed(devices: list[list[Any]], mixed: Any) -> list[Any]:
    """The writes of some devices in one order, in which those of each keep theirs."""
    left = [list(each) for each in devices if each]
    together = []
    while left:
        writes = mixed.choice(left)
        together.append(writes.pop(0))
        left = [each for each in left if each]
    return together
