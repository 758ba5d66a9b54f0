"""The scheduled check over random fleets, cut off anywhere and with others at work: it finds what a command would.

All of it is played on the clients in memory, which list three devices a page. The points at which a pass is cut off
come from the calls that one without faults makes. ``JITR_SOAK_EXAMPLES`` sets the number of random fleets.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from testkit import pki
from testkit.aws.admission import FACTORY
from testkit.aws.deployed import deployment_of
from testkit.aws.faults import InjectedFault, Killed
from testkit.aws.fleet_check import fleet_check_of, plenty
from testkit.aws.fleet_in_memory import MemoryFleet, an_hour_ago, nobody_waits
from testkit.aws.world import listening

from jitr.aws.dynamodb.fleet_checks import DRIFT, LEASE, PARTITION, FleetChecks
from jitr.devicelists.rows import ListRow
from jitr.errors import Retry
from jitr.services.fleet import scheduled
from jitr_operations.fleet.check import check
from jitr_operations.fleet.notebook import Notebook
from jitr_operations.fleet.selection import Selection

EXAMPLES = int(os.environ.get("JITR_SOAK_EXAMPLES", "10"))
Found = dict[str, set[str]]  # certificates by kind


@pytest.fixture(scope="module", autouse=True)
def _nobody_waits() -> Iterator[None]:
    with nobody_waits():
        yield


# --- a fleet


@dataclass
class Fleet(MemoryFleet):
    """Devices that were let in an hour ago."""

    devices: list[pki.Issued] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)  # of their things

    def let_in(self, name: str, owner: str | None = None) -> pki.Issued:
        """A device knocks, and is admitted."""
        device = FACTORY.usual_device(name).key("P-256", owner or name).issue()
        self.admit(device)
        self.devices.append(device)
        self.names[device.sha256] = name
        return device

    def forget_checks(self) -> None:
        """Delete everything that checks wrote."""
        items = self.dynamodb.items
        for key in [each for each in items if each[0] in (PARTITION, DRIFT)]:
            del items[key]


def _lose_policy(fleet: Fleet, device: pki.Issued) -> None:
    fleet.iot.certificates[device.sha256].policies.pop()


def _lose_all_policies(fleet: Fleet, device: pki.Issued) -> None:
    fleet.iot.certificates[device.sha256].policies.clear()


def _get_policy(fleet: Fleet, device: pki.Issued) -> None:
    fleet.iot.certificates[device.sha256].policies.append("More")


def _leave_group(fleet: Fleet, device: pki.Issued) -> None:
    if (thing := fleet.iot.things.get(fleet.names[device.sha256])) is not None:
        thing.groups.clear()


def _change_thing(fleet: Fleet, device: pki.Issued) -> None:
    if (thing := fleet.iot.things.get(fleet.names[device.sha256])) is not None:
        thing.attributes["line"] = "b"


def _lose_thing(fleet: Fleet, device: pki.Issued) -> None:
    fleet.iot.certificates[device.sha256].things.clear()
    fleet.iot.things.pop(fleet.names[device.sha256], None)


def _be_cut_off(fleet: Fleet, device: pki.Issued) -> None:
    fleet.iot.certificates[device.sha256].status = "INACTIVE"


def _be_recalled(fleet: Fleet, device: pki.Issued) -> None:
    fleet.world.put_on("recall", ListRow(certificate_sha256=device.sha256))


def _be_deleted(fleet: Fleet, device: pki.Issued) -> None:
    del fleet.iot.certificates[device.sha256]


# What others do to a device; nothing can be done to what is deleted.
ACTS: Sequence[Callable[[Fleet, pki.Issued], None]] = (
    *(_lose_policy, _lose_all_policies, _get_policy, _leave_group, _change_thing, _lose_thing, _be_recalled),
    *(_be_cut_off, _be_deleted),
)
# The schedule does not know which of two devices with one thing is still in, and looks at the grant given last.
TAKES_OUT = range(len(ACTS) - 2, len(ACTS))


@contextmanager
def fleet_of(devices: int) -> Iterator[Fleet]:
    """So many devices, of which the first two have one name."""
    with an_hour_ago() as world:
        fleet = Fleet(world)
        fleet.iot.policies.add("More")
        fleet.iot.page = 3
        for number in range(devices):
            fleet.let_in(f"device-{max(1, number)}", owner=f"owner {number}")
        yield fleet


# --- checks


def checked(fleet: Fleet) -> Found:
    """What `jitr fleet check` finds."""
    return _by_kind(check(deployment_of(fleet.world), Selection(), Notebook(None)).findings, "finding")


def invoke(fleet: Fleet, fault: InjectedFault | None = None) -> int:
    """The function is invoked, and perhaps struck; how many calls it made."""
    fault = fault or InjectedFault(-1, "throttled")
    with ExitStack() as stack:
        for client in (fleet.world.iot, fleet.world.dynamodb):
            stack.enter_context(listening(client, "before-call", fault.before, first=True))
            stack.enter_context(listening(client, "after-call", fault.after))
        with suppress(Killed, Retry):
            fleet_check_of(fleet.world).handle({"fleet": "due"}, plenty)
    return fault.calls


def found(fleet: Fleet) -> Found:
    """What the last scheduled check found; of a few devices it shows all."""
    summary = FleetChecks(fleet.world.table).last()
    assert summary is not None
    shown = [each | {"kind": kind} for kind, examples in summary["examples"].items() for each in examples]
    kinds = _by_kind(shown, "kind")
    assert {kind: len(ids) for kind, ids in kinds.items()} == {
        kind: sum(reasons.values()) for kind, reasons in summary["counts"].items()
    }
    return kinds


def _by_kind(findings: Sequence[Any], name: str) -> Found:
    kinds: Found = {}
    for each in findings:
        kinds.setdefault(each[name], set()).add(each["certificate_id"])
    return kinds


FLEETS = st.lists(st.sets(st.sampled_from(range(len(ACTS))), max_size=3), min_size=1, max_size=7)


@given(fleet_acts=FLEETS)
@settings(max_examples=EXAMPLES, deadline=None)
def test_the_schedule_finds_exactly_what_jitr_fleet_check_finds(fleet_acts: list[set[int]]) -> None:
    with fleet_of(len(fleet_acts)) as fleet:
        fleet.world.later(hours=1)
        for device, acts in zip(fleet.devices, fleet_acts, strict=True):
            for act in sorted(acts - {*TAKES_OUT} if device in fleet.devices[:2] else acts):
                ACTS[act](fleet, device)
        invoke(fleet)
        assert found(fleet) == checked(fleet)


@pytest.mark.parametrize(
    ("how", "pages_a_write"), [("killed after", 1), ("killed after", 3), ("throttled", 3), ("answer lost", 1)]
)
def test_a_pass_cut_off_at_any_call_finds_the_same_as_one_that_is_not(
    how: str, pages_a_write: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is counted twice, and nothing left out: the next invocation brings it to its end."""
    monkeypatch.setattr(scheduled, "PAGES_A_WRITE", pages_a_write)
    with fleet_of(6) as fleet:
        fleet.world.later(hours=1)
        for device, act in zip(fleet.devices[2:], (_lose_policy, _lose_thing, _be_recalled, _be_deleted), strict=True):
            act(fleet, device)
        began, calls = fleet.world.now, invoke(fleet)
        whole = found(fleet)
        assert whole.keys() == {"gone", "drift", "reject"}
        for point in range(1, calls + 1):
            fleet.forget_checks()
            fleet.world.now = began
            invoke(fleet, InjectedFault(point, how))
            fleet.world.now += LEASE
            invoke(fleet)
            assert found(fleet) == whole, f"{how} at call {point} of {calls}"


@given(point=st.integers(1, 60), act=st.sampled_from(ACTS), comes=st.booleans())
@settings(max_examples=EXAMPLES, deadline=None)
def test_of_what_changes_while_a_pass_goes_on_nothing_else_is_told(
    point: int, act: Callable[[Fleet, pki.Issued], None], comes: bool
) -> None:
    """One device is changed by another hand at any moment, and another one let in: no other device is found."""
    with fleet_of(5) as fleet:
        fleet.world.later(hours=1)
        calls = 0

        def meanwhile(**_context: Any) -> None:
            nonlocal calls
            calls += 1
            if calls == point:
                act(fleet, fleet.devices[-1])
                if comes:
                    fleet.let_in("late")

        with ExitStack() as stack:
            for client in (fleet.world.iot, fleet.world.dynamodb):
                stack.enter_context(listening(client, "before-call", meanwhile))
            fleet_check_of(fleet.world).handle({"fleet": "due"}, plenty)
        assert set().union(*found(fleet).values()) <= {fleet.devices[4].sha256}
