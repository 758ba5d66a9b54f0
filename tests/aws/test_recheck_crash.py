"""Crash anywhere in a recheck: whatever call it dies at, the next invocations bring the same end.

The points come from the calls that a run without faults makes, as in ``test_crash.py``.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from testkit import lists as list_edits
from testkit.aws.admission import DEVICE, FACTORY, FULL, OTHER, rules
from testkit.aws.fakes import fake_world
from testkit.aws.faults import InjectedFault, Killed
from testkit.aws.held import clones, hints_in, plenty, recheck_of, seed, stream_of
from testkit.aws.world import World, listening
from testkit.knocks import allow

from jitr.aws.dynamodb.passes import LEASE, PassKind
from jitr.devicelists.rows import ListRow
from jitr.errors import Retry

ROW = ListRow(common_name="snr-0001")


@dataclass(frozen=True)
class Scenario:
    """An edit, or the time, and what brings it to the function again and again until it is done."""

    name: str
    prepare: Callable[[World], None]
    event: Callable[[World], Any]


def _row(world: World) -> None:
    world.put_on("line-a", ROW)


def _list(world: World) -> None:
    list_edits.replace(world.table, "line-a", ROW, at="2026-03-01T12:05:00Z")


def _day(world: World) -> None:
    _row(world)
    world.later(hours=24)


SCENARIOS = [
    Scenario("a row", _row, stream_of),
    Scenario("a list", _list, stream_of),
    Scenario("due", _day, lambda _world: {"recheck": "due"}),
    Scenario("every", _row, lambda _world: {"recheck": "every"}),
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_crash_at_any_call_of_a_recheck_changes_nothing_about_the_end(scenario: Scenario) -> None:
    end, calls = _run(scenario, None)
    assert end["status"] == "ACTIVE"
    for point in range(1, calls + 1):
        for how in ("before", "after", "throttled"):
            fault = InjectedFault(point, how)
            after_fault, _ = _run(scenario, fault)
            assert after_fault == end, f"{how} {fault.struck} (call {point} of {calls})"


def _run(scenario: Scenario, fault: InjectedFault | None) -> tuple[dict[str, Any], int]:
    """The end of a scenario, and how many calls the invocation without a fault makes."""
    with fake_world() as world:
        world.register_ca(FACTORY)
        world.register_ca(OTHER)
        world.connect(DEVICE)
        world.publish(rules(allow(lists=("line-a",), grant=FULL)))
        world.knock(DEVICE, FACTORY)
        record = world.record(DEVICE)
        assert record is not None
        seed(world, clones(record, ("other-1", "other-2")))
        world.later(minutes=5)
        scenario.prepare(world)
        event = scenario.event(world)
        world.calls.made.clear()
        with ExitStack() as stack:
            if fault is not None:
                for client in (world.sqs, world.dynamodb):
                    stack.enter_context(listening(client, "before-call", fault.before, first=True))
                    stack.enter_context(listening(client, "after-call", fault.after))
            try:
                recheck_of(world).handle(event, plenty)
            except (Killed, Retry):
                pass
            else:
                event = {"recheck": "due"}
            calls = len(world.calls.made)
        world.now += LEASE  # whoever died held a pass
        recheck_of(world).handle(event, plenty)  # as the stream does, or the next minute
        recheck_of(world).handle({"recheck": "due"}, plenty)
        _deliver(world)
        return _end(world), calls


def _deliver(world: World) -> None:
    """Deliver what was asked for. The made-up devices are known to the table only."""
    queue: Any = world.sqs
    while taken := queue.take(world.queue_url):
        for each in taken:
            if DEVICE.sha256 in each["body"]:
                world.registrar.handle(world.message(each["body"]))
        queue.done(world.queue_url, taken, [])


def _end(world: World) -> dict[str, Any]:
    passes = {each["sk"]: each for each in world.table.query("RECHECK")}
    kinds = [passes.get(f"PASS#{kind.value}", {}) for kind in PassKind]
    return {
        "status": world.status(DEVICE),
        "hints": hints_in(world),
        "finished": [each.get("done") == each.get("wanted") and "running" not in each for each in kinds],
    }
