"""What each kind of event asks of AWS: every call counted, and how many of them have to wait for one another.

The register function's own code on AWS in memory (testkit/aws/fakes.py), from the SQS record to the answer. Every call
takes 50 ms there, so that calls which overlap are seen to. An execution environment has worked before: it knows the CA
and the rules. What the first event of a new one asks more is told apart.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any

from testkit import pki
from testkit.aws.fakes import ARN, fake_world
from testkit.aws.world import Silent, World, listening

from bench import baseline
from bench.results import Result
from jitr.devicelists.rows import ListRow
from jitr.rules.conditions import AttributeCondition, CaCondition, Condition, Glob, ListCondition
from jitr.rules.model import AllowRule, Ca, DenyRule, Grant, Rules

_TAKES = 0.05  # seconds a call
_PLENTY = 60_000  # milliseconds left in the invocation

FACTORY = pki.ca("Factory of the bench")
_FIRST = FACTORY.usual_device("line-a-0000").issue()
_DEVICE = FACTORY.usual_device("line-a-0001").issue()
_RENEWED = FACTORY.usual_device("line-a-0001").key("P-256", "its next key").issue()

_POLICIES = Grant(iot_policies=("Sensor", "Other"))
_FULL = Grant(
    iot_policies=("Sensor", "Other"),
    thing="{common_name}",
    thing_type="Sensor",
    attributes={"line": "a"},
    thing_groups=("line-a", "all"),
)


@dataclass
class RecordedCalls:
    """The calls that were made, in their order, and when each was begun and answered."""

    takes: float
    spans: list[tuple[str, float, float]] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)

    def note(self, model: Any, **_context: Any) -> None:
        """Called by the client before each call."""
        begun = time.monotonic()
        time.sleep(self.takes)
        with self._lock:
            self.spans.append((f"{model.service_model.service_name}:{model.name}", begun, time.monotonic()))

    def of(self, service: str) -> list[str]:
        """The operations asked of a service."""
        return [name.partition(":")[2] for name, _, _ in self.spans if name.startswith(f"{service}:")]

    def turns(self, service: str | None = None) -> int:
        """How many calls were made one after the other: the most of them of which no two overlap."""
        turns, free_at = 0, 0.0
        for name, begun, answered in sorted(self.spans, key=lambda each: each[2]):
            if (service is None or name.startswith(f"{service}:")) and begun >= free_at:
                turns, free_at = turns + 1, answered
        return turns


@dataclass(frozen=True)
class Event:
    """A kind of event: what was there before it, and how often it comes at once."""

    name: str
    grant: Grant = _FULL
    before: Callable[[World], None] = lambda _world: None
    device: pki.Issued = _DEVICE
    on_list: bool = False
    rejected: bool = False
    times: int = 1


def _knocked(world: World) -> None:
    _deliver(world, _DEVICE)


def _knocked_long_ago(world: World) -> None:
    _knocked(world)
    world.later(minutes=2)


def _listed(world: World) -> None:
    world.put_on("line-a", ListRow(common_name="line-a-0001"))


def _held_then_listed(world: World) -> None:
    _knocked(world)
    _listed(world)


def _held_then_edited(world: World) -> None:
    _knocked(world)
    world.put_on("line-a", ListRow(common_name="another"))


def _second_key(world: World) -> None:
    _knocked(world)
    world.connect(_RENEWED)


EVENTS = (
    Event("admit: IoT policies", _POLICIES),
    Event("admit: and thing, type, two groups"),
    Event("admit: the same, on a device list", before=_listed, on_list=True),
    Event("renewal: coexist", replace(_FULL, renewal="coexist"), _second_key, _RENEWED),
    Event("renewal: replace", replace(_FULL, renewal="replace"), _second_key, _RENEWED),
    Event("hold", on_list=True),
    Event("reject", rejected=True),
    Event("knock of a held device", before=_knocked, on_list=True),
    Event("the same, more than a minute later: counted", before=_knocked_long_ago, on_list=True),
    Event("ten knocks of it in one batch", before=_knocked, on_list=True, times=10),
    Event("the same after an edit that does not help it", before=_held_then_edited, on_list=True),
    Event("the same after an edit that lets it in", before=_held_then_listed, on_list=True),
    Event("knock of an admitted device", before=_knocked),
    Event("ten knocks of it in one batch, admitted", before=_knocked, times=10),
)


def count(event: Event, *, warm: bool = True, takes: float = _TAKES) -> RecordedCalls:
    """The calls that one event asks for, each of which takes so many seconds."""
    with _world(event) as world:
        event.before(world)
        if warm:
            world.connect(_FIRST)
            _deliver(world, _FIRST)
        else:
            world.registrar = world.fresh_registrar()
        with _watched(world, takes) as made:
            _deliver(world, event.device, times=event.times)
    return made


def count_baseline(*, twice: bool = False, takes: float = _TAKES) -> RecordedCalls:
    """The calls that AWS's example asks for. Each knock of a device is the same to it as the first."""
    with _world(EVENTS[0]) as world:
        event = json.loads(world.event(_DEVICE.sha256, FACTORY.id))
        if twice:
            baseline.handle(event, world.iot, f"{ARN}:cert")
        with _watched(world, takes) as made:
            baseline.handle(event, world.iot, f"{ARN}:cert")
    return made


@contextmanager
def _world(event: Event) -> Iterator[World]:
    with fake_world() as world:
        world.telemetry = Silent()
        world.registrar = world.fresh_registrar()
        world.iot.create_thing_group(thingGroupName="all")
        world.register_ca(FACTORY)
        world.connect(_DEVICE)
        world.publish(_rules(event))
        world.put_on("line-a", ListRow(common_name="line-a-0000"))
        yield world


def _rules(event: Event) -> Rules:
    named: list[Condition] = [CaCondition(("factory",)), AttributeCondition("common_name", (Glob("line-a-*"),))]
    listed = [ListCondition(("line-a",))] if event.on_list else []
    deny = (DenyRule("recalled", 5, (named[0], AttributeCondition("common_name", (Glob("*-0001"),)))),)
    return Rules(
        source="admission.yaml",
        cas={"factory": Ca("factory", (FACTORY.id,), 3)},
        deny=deny if event.rejected else (),
        allow=(AllowRule("line-a", 10, (*named, *listed), event.grant),),
    )


@contextmanager
def _watched(world: World, takes: float) -> Iterator[RecordedCalls]:
    made = RecordedCalls(takes)
    with ExitStack() as stack:
        for client in (world.iot, world.dynamodb, world.sqs):
            stack.enter_context(listening(client, "before-call", made.note))
        yield made


def _deliver(world: World, device: pki.Issued, *, times: int = 1) -> None:
    """A batch of so many knocks of a device, as Lambda brings it."""
    at = str(int(world.now.timestamp() * 1000))
    records = [
        {
            "messageId": f"{device.sha256[:8]}-{at}-{number}",
            "receiptHandle": str(number),
            "body": world.event(device.sha256, FACTORY.id),
            "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": at},
        }
        for number in range(times)
    ]
    failed = world.batch().handle(records, lambda: _PLENTY)["batchItemFailures"]
    assert not failed, failed


def run(*, quick: bool) -> Result:
    """Count it."""
    result = Result("calls")
    takes = _TAKES / 5 if quick else _TAKES
    made = {event.name: count(event, takes=takes) for event in EVENTS}
    theirs = {
        "AWS's example: first knock": count_baseline(takes=takes),
        "AWS's example: each further knock": count_baseline(twice=True, takes=takes),
    }
    columns = ("event", "AWS IoT", "which", "table", "which", "one after the other")
    result.table("events", columns, [_row(name, each) for name, each in (made | theirs).items()])
    first = count(EVENTS[0], warm=False, takes=takes)
    more = Counter(name for name, _, _ in first.spans) - Counter(name for name, _, _ in made[EVENTS[0].name].spans)
    result.table("environment", ("asked once by each new execution environment", "calls"), more.items())
    result.data["events"] = {
        name: {service: each.of(service) for service in ("iot", "dynamodb", "sqs")} | {"turns": each.turns()}
        for name, each in (made | theirs).items()
    }
    _judge(result, made, theirs["AWS's example: first knock"])
    return result


def _judge(result: Result, made: Mapping[str, RecordedCalls], theirs: RecordedCalls) -> None:
    simple = made["admit: IoT policies"].of("iot")
    ours = len(simple) - (len(_POLICIES.iot_policies) - 1)  # the example attaches one IoT policy
    result.goal(
        "Calls to AWS IoT to admit a device with one IoT policy",
        f"at most the {len(theirs.of('iot'))} of AWS's example, which asks nothing",
        f"{ours}",
        met=ours <= len(theirs.of("iot")),
    )
    _needed(result, made, "hold", ["DescribeCertificate"])
    _needed(result, made, "reject", ["DescribeCertificate", "UpdateCertificate"])
    knocks = [each for name, each in made.items() if name.startswith(("knock of", "ten knocks", "the same, more"))]
    asked = max(len(each.of("iot")) for each in knocks)
    reads = max(sum(name in ("BatchGetItem", "GetItem", "Query") for name in each.of("dynamodb")) for each in knocks)
    result.goal(
        "Knocks of held and of admitted devices, one or ten in a batch",
        "no call to AWS IoT, at most one table read",
        f"{asked} calls, {reads} read",
        met=asked == 0 and reads <= 1,
    )
    full = made["admit: and thing, type, two groups"]
    turns = full.turns("iot")
    # Describe the certificate; look whether the thing is another's; make it; give it groups and certificate; ACTIVE.
    result.goal(
        f"Calls that need nothing of one another overlap: {len(full.of('iot'))} calls to AWS IoT to admit with a thing",
        "one after the other at most 5",
        f"{turns}",
        met=turns <= 5,
    )


def _needed(result: Result, made: Mapping[str, RecordedCalls], name: str, needed: list[str]) -> None:
    asked = made[name].of("iot")
    result.goal(f"Calls to AWS IoT: {name}", " and ".join(needed), " and ".join(asked), met=sorted(asked) == needed)


def _row(name: str, made: RecordedCalls) -> tuple[str, ...]:
    cells = [name]
    for service in ("iot", "dynamodb"):
        operations = Counter(made.of(service))
        told = ", ".join(each if times == 1 else f"{times} × {each}" for each, times in operations.items())
        cells += [str(operations.total()), told or "–"]
    return (*cells, str(made.turns()))
