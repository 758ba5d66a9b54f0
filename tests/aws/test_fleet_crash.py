"""`jitr fleet check` cut off anywhere, throttled anywhere, and with others at work: what it does, it does once.

The points come from the calls that a run without faults makes, so a new call is covered on its own. At each of them the
command is killed, interrupted by the person who gave it, throttled, or without an answer; then the same command is
given again. All of it is played on the clients in memory. ``JITR_SOAK_EXAMPLES`` sets the number of random histories.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import timedelta
from threading import get_ident
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from hypothesis import given, settings
from hypothesis import strategies as st
from testkit import pki
from testkit.aws.admission import FACTORY, rules
from testkit.aws.deployed import OPERATOR, deployment_of
from testkit.aws.faults import InjectedFault, Killed
from testkit.aws.fleet_in_memory import GRANT, MemoryFleet, an_hour_ago, nobody_waits
from testkit.aws.world import PENDING, listening
from testkit.knocks import allow, deny

from jitr.aws.dynamodb.by_hand import acts_of
from jitr.devicelists.rows import ListRow, RowKey
from jitr.errors import JitrError
from jitr.records import history
from jitr.records.by_hand import Act
from jitr.records.record import APPLYING, Record
from jitr.rules.model import Grant
from jitr.services.fleet.findings import may_be_cut_off, may_be_given_back
from jitr.services.lists.device_lists import DeviceLists
from jitr_operations.devices.by_hand import Hand
from jitr_operations.fleet.check import FleetChecked, check
from jitr_operations.fleet.mending import Mended, Mender
from jitr_operations.fleet.notebook import Notebook
from jitr_operations.fleet.selection import Selection
from jitr_operations.table import now

EXAMPLES = int(os.environ.get("JITR_SOAK_EXAMPLES", "15"))
CUT_OFF = ("killed before", "throttled", "interrupted before")  # what matters to who only reads
# Nobody kills a command after a while; and whoever is killed after a call is killed before the next one.
HOWS = (*CUT_OFF, "answer lost", "interrupted after")
ACTIVE, INACTIVE = "ACTIVE", "INACTIVE"
THROTTLED = (
    SimpleNamespace(status_code=400, headers={}),
    {"Error": {"Code": "ThrottlingException", "Message": "slow"}, "ResponseMetadata": {"HTTPStatusCode": 400}},
)
ALL = Selection(attachments=True)


@pytest.fixture(scope="module", autouse=True)
def _nobody_waits() -> Iterator[None]:
    """Waiting takes no time: a run can be played again."""
    with nobody_waits() as patch:
        patch.setattr(history, "MOST_DEVICES", 1)  # as in a fleet of which an entry cannot name all
        yield


# --- a fleet


@dataclass
class Fleet(MemoryFleet):
    """Devices that were let in an hour ago, by name."""

    devices: dict[str, pki.Issued] = field(default_factory=dict)

    def make(self, name: str, owner: str | None = None) -> pki.Issued:
        """A certificate, with a key of its own."""
        self.devices[owner or name] = FACTORY.usual_device(name).key("P-256", owner or name).issue()
        return self.devices[owner or name]

    def let_in(self, name: str, owner: str | None = None) -> None:
        """A device knocks, and is admitted."""
        self.admit(self.make(name, owner))

    @property
    def items(self) -> dict[tuple[str, str], dict[str, Any]]:
        """All that the table has."""
        return self.dynamodb.items

    def registry(self) -> Any:
        """All that AWS IoT has, in no order."""
        certificates = {
            each: (found.status, sorted(found.policies), sorted(found.things))
            for each, found in self.iot.certificates.items()
        }
        return certificates, deepcopy(self.iot.things)

    def kept(self) -> Any:
        """All that AWS IoT and the table have, to compare and to go back to."""
        return deepcopy((self.iot.certificates, self.iot.things, self.items))

    def go_back(self, kept: Any) -> None:
        """Have all as it was."""
        self.iot.certificates, self.iot.things, items = deepcopy(kept)
        self.dynamodb.items = items

    def certificate(self, name: str) -> Any:
        """A certificate as AWS IoT holds it."""
        return self.iot.certificates[self.id(name)]

    def id(self, name: str) -> str:
        return self.devices[name].sha256

    def record(self, name: str) -> Record:
        """A device's record, read by no call."""
        return Record.from_json(self.items[f"CERTIFICATE#{self.id(name)}", "DECISION"])

    def acts(self, name: str) -> tuple[Act, ...]:
        """What operators did to a device."""
        return acts_of(self.world.table, [self.id(name)]).get(self.id(name), ())

    def history(self, name: str) -> list[dict[str, Any]]:
        """The entries of the history that lead from a device."""
        mine = [sk for pk, sk in self.items if pk == f"CERTIFICATE#{self.id(name)}" and sk.startswith("HISTORY#")]
        return [self.items["HISTORY", each.removeprefix("HISTORY#")] for each in mine]


def _recalled(fleet: Fleet, name: str) -> None:
    fleet.world.put_on("recall", ListRow(common_name=name))


def _forgiven(fleet: Fleet, name: str) -> None:
    DeviceLists(fleet.world.table).remove("recall", RowKey("common_name", name), at="2026-03-01T00:00:00Z")


def _stripped(fleet: Fleet, name: str) -> None:
    fleet.certificate(name).policies.clear()


def _altered(fleet: Fleet, name: str) -> None:
    fleet.certificate(name).policies.remove("Sensor")
    thing = fleet.iot.things[name]
    thing.attributes["line"], thing.kind = "b", None
    thing.groups.clear()


def _altered_again(fleet: Fleet, name: str) -> None:
    if name in fleet.iot.things:
        fleet.iot.things[name].attributes["line"] = "z"


def _without_thing(fleet: Fleet, name: str) -> None:
    fleet.certificate(name).things.clear()
    del fleet.iot.things[name]


def _detached(fleet: Fleet, name: str) -> None:
    fleet.certificate(name).things.clear()


def _off(fleet: Fleet, name: str) -> None:
    fleet.certificate(name).status = INACTIVE


def _recalled_and_stripped(fleet: Fleet, name: str) -> None:
    _recalled(fleet, name)
    _stripped(fleet, name)


def _gone(fleet: Fleet, name: str) -> None:
    del fleet.iot.certificates[fleet.id(name)]


def _unknown(fleet: Fleet, name: str) -> None:
    """Another hand registered it: nothing was ever decided on it."""
    for key in [key for key in fleet.items if key[0] == f"CERTIFICATE#{fleet.id(name)}"]:
        del fleet.items[key]


def _fine(_fleet: Fleet, _name: str) -> None:
    pass


OUT = {"recalled": _recalled, "stranger": _unknown, "recalled-and-stripped": _recalled_and_stripped}
DRIFTED = {"stripped": _stripped, "altered": _altered, "thingless": _without_thing, "detached": _detached}
KINDS = {"fine": _fine, "off": _off, "gone": _gone, **OUT, **DRIFTED}


@contextmanager
def fleet_of(*kinds: str) -> Iterator[Fleet]:
    """A device of each kind, named after it."""
    with an_hour_ago() as world:
        fleet = Fleet(world)
        for place, each in enumerate(kinds):
            name = each if kinds.index(each) == place else f"{each}-{place}"
            fleet.let_in(name)
            KINDS[each](fleet, name)
        yield fleet


# --- the command


@dataclass
class Ran:
    """What one run of the command came to. ``cut_off`` is why it did not come to its end."""

    calls: int = 0
    shown_at: int = 0  # how many calls it had made when it showed what was found
    checked: FleetChecked | None = None
    mended: Mended | None = None
    cut_off: BaseException | None = None


@dataclass
class _Process:
    """What befalls a command at a call. Once it is killed it makes no other."""

    fault: InjectedFault
    killed: bool = False

    def before(self, **context: Any) -> Any:
        return self._until_killed(lambda: self.fault.before(**context))

    def after(self, **context: Any) -> None:
        self._until_killed(lambda: self.fault.after(**context))

    def _until_killed(self, call: Callable[[], Any]) -> Any:
        if self.killed:
            raise Killed
        try:
            return call()
        except Killed:
            self.killed = True
            raise


def run(
    fleet: Fleet,
    does: str = "check",
    fault: InjectedFault | None = None,
    *,
    shown: Callable[[], None] = lambda: None,
    meanwhile: Callable[[int], None] | None = None,
) -> Ran:
    """`jitr fleet check`, with --deactivate or --reattach, in a process of its own.

    ``shown`` is what happens while a person looks at what was found, ``meanwhile`` before each call that is made then.
    """
    deployment, ran = deployment_of(fleet.world), Ran()
    fault = fault or InjectedFault(0, "none")
    process = _Process(fault)
    with ExitStack() as stack:
        for client in deployment._clients.values():
            stack.enter_context(listening(client, "before-call", process.before, first=True))
            stack.enter_context(listening(client, "after-call", process.after))
        try:
            ran.checked = check(deployment, ALL, Notebook(None))
            ran.shown_at = fault.calls
            _by_hand(fault, shown)
            if meanwhile is not None:
                begun = fault.calls
                hook = _around(fault, lambda: meanwhile(fault.calls - begun))
                for client in (fleet.world.iot, fleet.world.dynamodb):
                    stack.enter_context(listening(client, "before-call", hook))
            if does == "deactivate":
                found = [each for each in ran.checked.findings if may_be_cut_off(each)]
                ran.mended = Mender(deployment, ALL).deactivate(found)
            elif does == "reattach":
                found = [each for each in ran.checked.findings if may_be_given_back(each)]
                ran.mended = Mender(deployment, ALL).reattach(found)
        except (Killed, KeyboardInterrupt, JitrError, BotoCoreError, ClientError) as problem:
            ran.cut_off = problem
    ran.calls = fault.calls
    return ran


def _by_hand(fault: InjectedFault, does: Callable[[], None]) -> None:
    fault.by_hand = get_ident()
    does()
    fault.by_hand = None


def _around(fault: InjectedFault, does: Callable[[], None]) -> Callable[..., None]:
    def hook(**_context: Any) -> None:
        if fault.by_hand is None:
            _by_hand(fault, does)

    return hook


def found(ran: Ran) -> dict[str, set[str]]:
    """The devices found, by kind."""
    assert ran.checked is not None
    kinds: dict[str, set[str]] = {}
    for each in ran.checked.findings:
        kinds.setdefault(each["finding"], set()).add(each["common_name"])
    return kinds


def everywhere(calls: range, hows: tuple[str, ...] = HOWS) -> Iterator[InjectedFault]:
    """A fault of each kind at each of these calls."""
    return (InjectedFault(point, how) for point in calls for how in hows)


# --- a check


def test_a_check_changes_nothing_in_aws_iot_or_in_the_table_wherever_it_is_cut_off() -> None:
    with fleet_of(*KINDS) as fleet:
        before = fleet.kept()
        whole = run(fleet)
        assert found(whole) == {
            "reject": {"recalled", "recalled-and-stripped"},
            "unknown": {"stranger"},
            "gone": {"gone"},
            "changed": {"off"},
            "drift": {"recalled-and-stripped", *DRIFTED},
        }
        for fault in everywhere(range(1, whole.calls + 1), CUT_OFF):
            run(fleet, fault=fault)
            assert fleet.kept() == before, str(fault)
        assert found(run(fleet)) == found(whole)


# --- deactivate


def test_a_deactivation_that_is_cut_off_anywhere_ends_as_once_through_when_given_again() -> None:
    """Each device is made INACTIVE, and it is written down once who did it and why; others are as they were.

    Where the command dies between AWS IoT's doing and writing that down, the history says who had begun it, and why.
    """
    with fleet_of("fine", "stripped", *OUT) as fleet:
        before = fleet.kept()
        whole = run(fleet, "deactivate")
        assert whole.mended is not None
        assert {fleet.id(each) for each in OUT} == set(whole.mended.done)
        for fault in everywhere(range(whole.shown_at + 1, whole.calls + 1)):
            fleet.go_back(before)
            cut = run(fleet, "deactivate", fault)
            again = run(fleet, "deactivate")
            assert again.cut_off is None
            assert _statuses(fleet) == {each: INACTIVE if each in OUT else ACTIVE for each in fleet.devices}, str(fault)
            assert [fleet.acts(each) for each in ("fine", "stripped")] == [(), ()], str(fault)
            unsaid = [each for each in OUT if not fleet.acts(each)]
            assert len(unsaid) <= isinstance(cut.cut_off, Killed), str(fault)
            for each in OUT:
                acts = [(act.status, act.status_before, act.message) for act in fleet.acts(each)]
                assert acts == ([] if each in unsaid else [(INACTIVE, ACTIVE, WHY[each])]), str(fault)
                assert acts or fleet.history(each), str(fault)
                assert all(WHY[each] in entry["why"] and OPERATOR in entry["by"] for entry in fleet.history(each))


_DENIED = "fleet check: would be rejected today: deny.rule (rule recalled)"
WHY = {
    "recalled": _DENIED,
    "recalled-and-stripped": _DENIED,
    "stranger": "fleet check: nobody let it in",
}


def _statuses(fleet: Fleet) -> dict[str, str]:
    return {each: fleet.certificate(each).status for each in fleet.devices}


def test_a_throttled_table_keeps_no_device_from_being_cut_off_nor_its_who_and_why_from_being_written() -> None:
    """What cannot be written when it is done is written once all is done; of the next devices it is at once."""
    with fleet_of(*["recalled"] * 4) as fleet:
        whole = run(fleet, "deactivate")
        refusals = [0]

        def throttled(**_context: Any) -> Any:
            refusals[0] += 1
            return THROTTLED if refusals[0] <= 2 else None

        for each in fleet.devices:
            fleet.certificate(each).status = ACTIVE
            fleet.items.pop((f"CERTIFICATE#{fleet.id(each)}", "BY_HAND"))
        with listening(fleet.world.dynamodb, "before-call.dynamodb.UpdateItem", throttled):
            assert run(fleet, "deactivate").cut_off is None
        assert whole.mended is not None
        assert refusals[0] == 6
        assert [[act.message for act in fleet.acts(each)] for each in fleet.devices] == [[_DENIED]] * 4


# --- reattach


def test_giving_back_that_is_cut_off_anywhere_ends_as_once_through_when_given_again() -> None:
    """All have what they were granted and no drift is found; who gave it is written down, and of no one else.

    A device that ought not to be in is given nothing.
    """
    lacking = ("altered", "thingless")
    with fleet_of("recalled-and-stripped", *lacking) as fleet:
        before = fleet.kept()
        whole = run(fleet, "reattach")
        assert whole.mended is not None
        assert {fleet.id(each) for each in lacking} == set(whole.mended.done)
        assert found(run(fleet)) == LEFT
        wanted = fleet.registry()
        for fault in everywhere(range(whole.shown_at + 1, whole.calls + 1)):
            fleet.go_back(before)
            run(fleet, "reattach", fault)
            again = run(fleet, "reattach")
            assert again.cut_off is None
            assert fleet.registry() == wanted, str(fault)
            for each in fleet.devices:
                acts = fleet.acts(each)
                assert bool(acts) is (each in lacking), (each, str(fault))
                assert len({act.message for act in acts}) == len(acts), str(fault)
                assert all((act.status, act.status_before) == (ACTIVE, ACTIVE) for act in acts)


def test_what_each_kind_of_drift_lacks_is_given_back() -> None:
    with fleet_of(*DRIFTED) as fleet:
        assert found(run(fleet, "reattach")) == {"drift": set(DRIFTED)}
        assert found(run(fleet)) == {}


LEFT = {"reject": {"recalled-and-stripped"}, "drift": {"recalled-and-stripped"}}


# --- others at work


def _being_decided(fleet: Fleet, name: str) -> None:
    fleet.world.table.put_record(replace(fleet.record(name), state=APPLYING))


def _decided_otherwise(fleet: Fleet, name: str) -> None:
    grant = Grant(iot_policies=("Other",), thing=name, renewal="coexist").to_json()
    fleet.world.table.put_record(replace(fleet.record(name), grant=grant))


def _deleted(fleet: Fleet, name: str) -> None:
    _gone(fleet, name)
    _unknown(fleet, name)


def _let_in_by_hand(fleet: Fleet, name: str) -> None:
    Hand(deployment_of(fleet.world), fleet.world.table).did(fleet.id(name), ACTIVE, INACTIVE, "mended", ["deny.rule"])


MEANWHILE = {
    "deactivate": ("recalled", (_forgiven, _off, _being_decided, _deleted, _let_in_by_hand)),
    "reattach": ("altered", (_recalled, _off, _being_decided, _deleted, _decided_otherwise)),
}
CHANGES = [(does, device, change) for does, (device, changes) in MEANWHILE.items() for change in changes]


@pytest.mark.parametrize(("does", "name", "change"), CHANGES, ids=lambda value: getattr(value, "__name__", value))
def test_a_device_that_stands_otherwise_by_the_time_it_is_looked_at_is_left_alone_and_told(
    does: str, name: str, change: Callable[[Fleet, str], None]
) -> None:
    """Another hand changes one before each call that is made after devices were shown."""
    with fleet_of(name, name) as fleet:
        before, other = fleet.kept(), f"{name}-1"
        whole = run(fleet, does)
        for moment in range(whole.calls - whole.shown_at):
            fleet.go_back(before)
            looks: list[int] = []
            changed: list[Any] = []

            def meanwhile(call: int, moment: int = moment, changed: list[Any] = changed) -> None:
                if call > moment and not changed:
                    change(fleet, name)
                    changed.append(fleet.registry())

            with _looks_at(fleet, name, looks, changed):
                ran = run(fleet, does, meanwhile=meanwhile)
            assert ran.cut_off is None
            assert ran.mended is not None
            assert fleet.id(other) in ran.mended.done
            if looks[0]:
                assert fleet.id(name) in ran.mended.left_alone, moment
                assert fleet.id(name) not in ran.mended.done
                assert [act for act in fleet.acts(name) if act.message != "mended"] == [], moment
                assert _only(fleet, name, fleet.registry()) == _only(fleet, name, changed[0]), moment
            elif fleet.id(name) not in ran.mended.left_alone:
                assert len(fleet.acts(name)) <= 1 + (change is _let_in_by_hand)


@contextmanager
def _looks_at(fleet: Fleet, name: str, looks: list[int], changed: list[Any]) -> Iterator[None]:
    """Write down, whenever the record of a device is read by itself, whether it had been changed by then."""

    def look(params: Any, **_context: Any) -> None:
        ((_table, wanted),) = params["RequestItems"].items()
        if {each["pk"]["S"] for each in wanted["Keys"]} == {f"CERTIFICATE#{fleet.id(name)}", "HEADS"}:
            looks.append(len(changed))

    with listening(fleet.world.dynamodb, "before-parameter-build.dynamodb.BatchGetItem", look):
        yield


def _only(fleet: Fleet, name: str, registry: Any) -> Any:
    certificates, things = registry
    return certificates.get(fleet.id(name)), things.get(name)


@pytest.mark.parametrize("does", ["deactivate", "reattach"])
def test_a_device_that_is_being_admitted_meanwhile_is_left_alone(does: str) -> None:
    """A whole check, and all that it does, comes between any two calls of the admission."""
    with fleet_of("fine", "recalled", "altered") as fleet:
        fleet.connect(fleet.make("newcomer"), PENDING)
        before = fleet.kept()
        fleet.world.calls.made.clear()
        fleet.world.knock(fleet.devices["newcomer"], FACTORY)
        calls, wanted = len(fleet.world.calls.made), _only(fleet, "newcomer", fleet.registry())
        assert fleet.certificate("newcomer").status == ACTIVE
        for point in range(calls):
            fleet.go_back(before)
            fleet.world.now, fleet.world.registrar = now(), fleet.world.fresh_registrar()
            left, ran = [point], list[Ran]()

            def between(left: list[int] = left, ran: list[Ran] = ran, **_context: Any) -> None:
                if left and left[0] == 0:
                    left.clear()
                    ran.append(run(fleet, does))
                elif left:
                    left[0] -= 1

            with ExitStack() as stack:
                for client in (fleet.world.iot, fleet.world.dynamodb):
                    stack.enter_context(listening(client, "before-call", between, first=True))
                fleet.world.knock(fleet.devices["newcomer"], FACTORY)
            assert ran, point
            assert ran[0].cut_off is None
            assert _only(fleet, "newcomer", fleet.registry()) == wanted, point
            assert fleet.acts("newcomer") == (), point
            assert fleet.certificate("recalled").status == (INACTIVE if does == "deactivate" else ACTIVE)


@pytest.mark.parametrize("does", ["deactivate", "reattach"])
def test_a_device_that_is_admitted_meanwhile_is_left_alone(does: str) -> None:
    """A whole admission comes between any two calls of the command, also after AWS IoT has listed it as pending."""
    with fleet_of("recalled", "altered") as fleet:
        fleet.connect(fleet.make("newcomer"), PENDING)
        before = fleet.kept()
        for point in range(run(fleet, does).calls):
            fleet.go_back(before)
            fleet.world.now, fleet.world.registrar = now(), fleet.world.fresh_registrar()
            left, wanted = [point], list[Any]()

            def between(left: list[int] = left, wanted: list[Any] = wanted, **_context: Any) -> None:
                if left and left[0] == 0:
                    left.clear()
                    fleet.world.knock(fleet.devices["newcomer"], FACTORY)
                    wanted.append(_only(fleet, "newcomer", fleet.registry()))
                elif left:
                    left[0] -= 1

            with ExitStack() as stack:
                for client in (fleet.world.iot, fleet.world.dynamodb):
                    stack.enter_context(listening(client, "before-call", between, first=True))
                ran = run(fleet, does)
            assert ran.checked is not None
            assert fleet.id("newcomer") not in {each["certificate_id"] for each in ran.checked.findings}, point
            assert fleet.acts("newcomer") == (), point
            assert wanted in ([], [_only(fleet, "newcomer", fleet.registry())]), point


def test_a_thing_that_a_later_certificate_got_meanwhile_keeps_what_that_was_granted() -> None:
    """What the earlier one was granted and lost is not written over it; its own IoT policies it gets."""
    later = replace(GRANT, attributes={"line": "c"}, thing_groups=())
    with fleet_of("altered") as fleet:
        before = fleet.kept()
        whole = run(fleet, "reattach")
        for moment in range(whole.calls - whole.shown_at):
            fleet.go_back(before)
            came: list[bool] = []
            looks: list[int] = []

            def meanwhile(call: int, moment: int = moment, came: list[bool] = came) -> None:
                if call > moment and not came:
                    came.append(True)
                    fleet.world.publish(rules(deny(lists=("recall",)), allow(grant=later)))
                    fleet.world.now, fleet.world.registrar = now(), fleet.world.fresh_registrar()
                    fleet.let_in("altered", "heir")

            with _looks_at(fleet, "altered", looks, came):
                assert run(fleet, "reattach", meanwhile=meanwhile).cut_off is None
            if looks[0]:
                assert fleet.iot.things["altered"].attributes == {"line": "c"}
                assert fleet.iot.things["altered"].groups == []
                assert found(run(fleet)) == {}, "the later one is left alone, and the earlier one has no drift of its"
            _some_time_passes(fleet, "heir")
            assert run(fleet, "reattach").cut_off is None
            assert fleet.iot.things["altered"].attributes == {"line": "c"}
            assert found(run(fleet)) == {}


def _some_time_passes(fleet: Fleet, name: str) -> None:
    record = fleet.record(name)
    fleet.world.table.put_record(replace(record, decided_at=record.decided_at - timedelta(minutes=5)))


def test_a_thing_that_two_share_and_that_is_gone_is_made_again_as_the_later_one_was_granted_it() -> None:
    with fleet_of("fine") as fleet:
        fleet.world.publish(rules(deny(lists=("recall",)), allow(grant=replace(GRANT, attributes={"line": "c"}))))
        fleet.world.later(minutes=5)
        fleet.world.registrar = fleet.world.fresh_registrar()
        fleet.let_in("fine", "heir")
        wanted = fleet.registry()
        for each in fleet.devices:
            fleet.certificate(each).things.clear()
        del fleet.iot.things["fine"]
        assert found(run(fleet, "reattach")) == {"drift": {"fine"}}
        assert fleet.registry() == wanted
        assert found(run(fleet)) == {}


# --- any history


@settings(max_examples=EXAMPLES, deadline=None, derandomize="JITR_SOAK_EXAMPLES" not in os.environ)
@given(st.data())
def test_however_often_it_is_cut_off_while_others_work_it_ends_where_the_fleet_as_it_stands_then_has_it(
    data: st.DataObject,
) -> None:
    """Any fleet, any faults one after the other, and any changes by other hands between and during the runs.

    In the end nobody is in who ought not to be, or nothing is missing that was granted; each device was taken out once,
    and no device that was in order all the time was touched.
    """
    does = data.draw(st.sampled_from(["deactivate", "reattach"]))
    kinds = data.draw(st.lists(st.sampled_from(list(KINDS)), min_size=1, max_size=4))
    with fleet_of(*kinds) as fleet:
        touched = {name for name, kind in zip(fleet.devices, kinds, strict=True) if kind != "fine"}
        for _ in range(data.draw(st.integers(0, 3))):
            fault = InjectedFault(data.draw(st.integers(20, 60)), data.draw(st.sampled_from(HOWS)))
            name, change = data.draw(st.sampled_from(list(fleet.devices))), data.draw(st.sampled_from(CHANGES_OF_ONE))
            moment, done = data.draw(st.integers(0, 30)), list[bool]()

            def meanwhile(
                call: int,
                name: str = name,
                change: Callable[[Fleet, str], None] = change,
                moment: int = moment,
                done: list[bool] = done,
            ) -> None:
                if call > moment and not done:
                    done.append(True)
                    touched.add(name)
                    if fleet.id(name) in fleet.iot.certificates:
                        change(fleet, name)

            run(fleet, does, fault, meanwhile=meanwhile)
        last = run(fleet, does)
        assert last.cut_off is None
        after = found(run(fleet))
        if does == "deactivate":
            assert not after.keys() & {"reject", "hold", "unknown"}
        else:
            assert after.get("drift", set()) <= after.get("reject", set())
        for name in fleet.devices:
            out = [act for act in fleet.acts(name) if act.status == INACTIVE]
            assert len(out) <= 1, name
            if name not in touched:
                assert (fleet.acts(name), fleet.certificate(name).status) == ((), ACTIVE)


CHANGES_OF_ONE = (_recalled, _forgiven, _off, _stripped, _altered_again, _gone)
