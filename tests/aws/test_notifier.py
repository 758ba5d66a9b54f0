"""The stream told on the bus: at least once, in order of each device, and nothing lost while the bus is away."""

import json
import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from testkit.aws.digests import held, stream_of
from testkit.aws.world import Silent
from testkit.knocks import OTHER_CA_ID
from tools.event_schemas import file_of

from jitr.aws.dynamodb.table import from_item, to_item
from jitr.errors import Retry
from jitr.reasons import Verdict
from jitr.records.notices import DETAIL_TYPES, NoticeOrigin, notice_of
from jitr.services.notifying.notifier import MOST_AT_ONCE, PATIENCE, Notifier

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@dataclass
class Bus:
    """An event bus, and what it was told. ``fails`` says which entry it refuses, or raises."""

    told: list[dict[str, Any]] = field(default_factory=list)
    calls: list[int] = field(default_factory=list)
    fails: Any = None

    def put_events(self, *, Entries: list[dict[str, Any]]) -> Any:  # noqa: N803 - botocore's name
        self.calls.append(len(Entries))
        results: list[dict[str, str]] = []
        for entry in Entries:
            if self.fails is not None and self.fails(entry):
                results.append({"ErrorCode": "InternalFailure", "ErrorMessage": "no"})
            else:
                self.told.append(entry)
                results.append({"EventId": "x"})
        return {"FailedEntryCount": sum("ErrorCode" in each for each in results), "Entries": results}

    @property
    def ids(self) -> list[str]:
        return [json.loads(each["Detail"])["metadata"]["id"] for each in self.told]


@dataclass
class Queue:
    bodies: list[Any] = field(default_factory=list)

    def send_message(self, *, MessageBody: str, **_rest: Any) -> None:  # noqa: N803
        self.bodies.append(json.loads(MessageBody))


HERE = NoticeOrigin("jitr", "aws", "eu-central-1", "123456789012")


def notifier(bus: Bus, queue: Queue | None = None, now: datetime = NOW) -> Notifier:
    aside: Any = queue or Queue()
    return Notifier(
        events=bus, bus="plant", sqs=aside, failures="q", origin=HERE, clock=lambda: now, telemetry=Silent()
    )


def act(device: int, revision: int, status: str = "INACTIVE") -> dict[str, Any]:
    """A record of the stream: an operator made a device's certificate INACTIVE."""
    acts = [{"status": status, "status_before": "ACTIVE", "by": "deniz", "at": "2026-03-01T12:00:00Z"}]
    key = {"pk": f"CERTIFICATE#{device:064x}", "sk": "BY_HAND"}
    image = to_item(key | {"acts": acts, "revision": revision, "format": 1})
    stream = {"Keys": to_item(key), "NewImage": image, "ApproximateCreationDateTime": NOW.timestamp()}
    return {"eventName": "MODIFY", "dynamodb": stream}


def id_of(device: int, revision: int) -> str:
    return f"{device:064x}#by-hand#{revision}"


def test_what_is_told_goes_to_the_bus_that_was_chosen_ten_at_a_time() -> None:
    bus = Bus()
    notifier(bus).handle([act(each, 1) for each in range(25)])
    assert bus.calls == [MOST_AT_ONCE, MOST_AT_ONCE, 5]
    assert {each["EventBusName"] for each in bus.told} == {"plant"}
    assert {each["Source"] for each in bus.told} == {"jitr"}


def test_two_events_of_one_device_are_never_in_one_request() -> None:
    """One of a request may be refused by itself: then the one after it would be told first."""
    bus = Bus()
    notifier(bus).handle([act(1, 1), act(2, 1), act(1, 2), act(1, 3)])
    assert bus.calls == [2, 1, 1]
    assert bus.ids == [id_of(1, 1), id_of(2, 1), id_of(1, 2), id_of(1, 3)]


def test_a_refused_event_brings_the_batch_back_before_anything_later_of_its_device_is_told() -> None:
    bus = Bus(fails=lambda entry: id_of(1, 1) in entry["Detail"])
    records = [act(1, 1), act(2, 1), act(1, 2)]
    with pytest.raises(Retry):
        notifier(bus).handle(records)
    assert bus.ids == [id_of(2, 1)]
    bus.fails = None
    notifier(bus).handle(records)
    assert [each for each in bus.ids if each.startswith(f"{1:064x}")] == [id_of(1, 1), id_of(1, 2)]
    assert bus.ids.count(id_of(2, 1)) == 2  # told twice, with one id


@pytest.mark.parametrize(
    "problem",
    [
        ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "PutEvents"),
        ClientError({"Error": {"Code": "ThrottlingException", "Message": "no"}}, "PutEvents"),
        ClientError({"Error": {"Code": "ValidationException", "Message": "no"}}, "PutEvents"),
        EndpointConnectionError(endpoint_url="https://events"),
    ],
    ids=lambda problem: type(problem).__name__,
)
def test_a_bus_that_is_away_loses_nothing_and_after_an_hour_holds_up_nothing(problem: Exception) -> None:
    def away(_entry: Any) -> bool:
        raise problem

    bus, queue, records = Bus(fails=away), Queue(), [act(1, 1), act(1, 2)]
    with pytest.raises(Retry):
        notifier(bus, queue, NOW + PATIENCE - timedelta(seconds=1)).handle(records)
    assert queue.bodies == []
    notifier(bus, queue, NOW + PATIENCE).handle(records)
    assert [json.loads(each["Detail"])["metadata"]["id"] for each in queue.bodies] == [id_of(1, 1), id_of(1, 2)]
    assert {each["EventBusName"] for each in queue.bodies} == {"plant"}


@pytest.mark.parametrize("acts", [{"L": [{"M": {}}]}, {"SS": ["of a later version"]}, {"N": "0.5"}], ids=str)
def test_what_cannot_be_made_is_put_aside_and_keeps_nobody_from_being_told(acts: dict[str, Any]) -> None:
    bus, queue, broken = Bus(), Queue(), act(1, 1)
    broken["dynamodb"]["NewImage"]["acts"] = acts
    notifier(bus, queue).handle([broken, act(2, 1)])
    assert bus.ids == [id_of(2, 1)]
    assert queue.bodies == [{"Keys": {"pk": f"CERTIFICATE#{1:064x}", "sk": "BY_HAND"}}]


def test_what_is_deleted_tells_nothing() -> None:
    bus = Bus()
    notifier(bus).handle([{"eventName": "REMOVE", "dynamodb": {"Keys": {}, "ApproximateCreationDateTime": 0}}])
    assert bus.calls == []


# --- the files in events/notify, in the words of their README

EVENTS = Path(__file__).parents[2] / "events" / "notify"
TABLE = dict(re.findall(r"^\| \[([^\]]+)\]\([^)]+\) \| [^|]+ \| ([^|]+) \|$", (EVENTS / "README.md").read_text(), re.M))


def test_the_readme_tells_of_every_file() -> None:
    assert TABLE.keys() == {each.name for each in EVENTS.glob("*.json")}


@pytest.mark.parametrize("name", TABLE)
def test_what_the_readme_says_is_told_of_each_file(name: str) -> None:
    bus = Bus()
    notifier(bus).handle(json.loads((EVENTS / name).read_text()).get("Records", []))  # the schedule's has none
    assert [each["DetailType"] for each in bus.told] == ([] if TABLE[name] == "nothing" else [TABLE[name]])


# --- docs/events.md


PAGE = Path(__file__).parents[2] / "docs" / "events.md"


def told_of(item: dict[str, Any], origin: NoticeOrigin = HERE) -> dict[str, Any]:
    """The event made from an item, as a subscriber gets it."""
    notice = notice_of(item, origin)
    assert notice is not None
    sent = notice.entry("default")
    return {"source": sent["Source"], "detail-type": sent["DetailType"], "detail": json.loads(sent["Detail"])}


def decided(**changes: Any) -> dict[str, Any]:
    return told_of(from_item(stream_of([held(1, **changes)])[0]["dynamodb"]["NewImage"]))


def of_file(name: str, **changes: Any) -> dict[str, Any]:
    (record,) = json.loads((EVENTS / name).read_text())["Records"]
    return told_of(from_item(record["dynamodb"]["NewImage"]) | changes)


ADMIT = {"decision": Verdict.ADMIT, "reasons": ({"code": "allow.rule", "message": "so"},), "rule": "line-a-sensors"}
WORD = {"decision": "admit", "by": "deniz", "at": "2026-03-01T12:00:00Z", "rule": "visitors"}
IN_BEFORE = {"told": {"decision": "admit", "reason": "allow.rule"}}
EXAMPLES = {
    "held": decided(),
    "of another CA": decided(ca=OTHER_CA_ID),
    "waits for a name": decided(reason="grant.thing-claimed"),
    "waits for a name at another CA": decided(reason="grant.thing-claimed", ca=OTHER_CA_ID, **IN_BEFORE),
    "let in": decided(**ADMIT),
    "let in as a press": decided(**ADMIT | {"rule": "presses", "grant": {"thing": "press-7"}}),
    "let in by hand": decided(**ADMIT | {"rule": "visitors", "word": WORD}),
    "rejected": decided(decision=Verdict.REJECT, reason="deny.rule"),
    "rejected after it was in": decided(decision=Verdict.REJECT, reason="deny.rule", **IN_BEFORE),
    "cut off": of_file("deactivated.json"),
    "rules": of_file("published.json"),
    "rules that failed": of_file("published.json", outcome="failed"),
    "rules of another stack": told_of(
        from_item(json.loads((EVENTS / "published.json").read_text())["Records"][0]["dynamodb"]["NewImage"]),
        replace(HERE, stack="plant-2"),
    ),
    "of somebody else": {"source": "aws.iot", "detail-type": "x", "detail": {"data": {"outcome": "failed"}}},
}
OF_US = EXAMPLES.keys() - {"of somebody else"}
WAITS = {"held", "of another CA", "waits for a name", "waits for a name at another CA"}
CHANGES = {"rules", "rules that failed", "rules of another stack"}
# What the page says in front of a pattern, and which of the examples it is to match.
USES: dict[str, Any] = {
    "Every device that begins to wait": WAITS,
    "Devices that wait because no rule matches them": {"held", "of another CA"},
    "Every decision on devices of one CA": OF_US
    - CHANGES
    - {"cut off", "of another CA", "waits for a name at another CA"},
    "Rejected devices": {"rejected", "rejected after it was in", "cut off"},
    "Devices that a rule lets in": {"let in"},
    "Devices that an operator let in": {"let in by hand"},
    "Devices that were in": {"rejected after it was in", "waits for a name at another CA"},
    "Things whose names begin alike": {"let in as a press"},
    "One stack's events": {"rules of another stack"},
    "What people change": CHANGES,
    "Changes that failed": {"rules that failed"},
}
PATTERNS = {
    said: json.loads(pattern)
    for said, pattern in re.findall(r"^(\S[^\n]*):\n\n```json pattern\n(.*?)^```$", PAGE.read_text(), re.M | re.S)
}


def fits(event: Any, pattern: Any) -> bool:
    """Return whether EventBridge's simple patterns match: every key, with one of the values; of arrays any element.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern.html
    """
    if isinstance(event, list):
        return any(fits(each, pattern) for each in event)
    if isinstance(pattern, dict):
        return isinstance(event, dict) and all(key in event and fits(event[key], each) for key, each in pattern.items())
    prefixes = tuple(each["prefix"] for each in pattern if isinstance(each, dict))
    return event in pattern or (isinstance(event, str) and event.startswith(prefixes))


def test_the_page_has_every_detail_type_and_its_schema() -> None:
    text = PAGE.read_text()
    assert set(re.findall(r"`((?:Device|Rules|List|Signer|CA|Upload) [A-Z][a-z]+)`", text)) == set(DETAIL_TYPES)
    assert {each.name for each in (PAGE.parent / "events").iterdir()} == {
        Path(file_of(each)).name for each in DETAIL_TYPES
    }


@pytest.mark.parametrize("said", PATTERNS)
def test_each_pattern_of_the_page_matches_what_the_page_says_and_nothing_else(said: str) -> None:
    """A property that no event has would match nothing, for ever, and nobody would hear of it."""
    (wanted,) = [each for use, each in USES.items() if said.startswith(use)]
    assert {name for name, each in EXAMPLES.items() if fits(each, PATTERNS[said])} == wanted


def test_every_pattern_of_the_page_is_tried() -> None:
    assert len(PATTERNS) == PAGE.read_text().count("```json pattern") == len(USES)
