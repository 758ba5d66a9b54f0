"""Any history: events twice, late and out of order, edits, operators, crashes and other hands, in any order.

Hypothesis plays histories against the register and the recheck function and a model of what must be true after each
step. Two invocations at once are played for real: one runs inside the other, before any of its calls to AWS.

``JITR_SOAK_EXAMPLES`` sets the number of histories; ``make soak`` plays 10,000.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from testkit import lists as list_edits
from testkit import pki
from testkit.aws.admission import FACTORY, OTHER, rules
from testkit.aws.fakes import FakeDynamodb, fake_world
from testkit.aws.held import queued, recheck_of, stream_record
from testkit.aws.world import ACCOUNT, PENDING, Silent, World, listening, moto_world, new_clients
from testkit.knocks import allow, deny

from jitr.aws.dynamodb.changes import PARTITION as CHANGES
from jitr.aws.dynamodb.changes import change_item, everyone_wanted
from jitr.aws.dynamodb.held_devices import ASK_AGAIN
from jitr.aws.dynamodb.passes import LEASE
from jitr.aws.dynamodb.passes import PARTITION as PASSES
from jitr.aws.dynamodb.table import Item, certificate_key, from_item, heads_from, to_item
from jitr.aws.iot import Iot
from jitr.decision.chain import verify_chain
from jitr.decision.decide import Decision, OperatorWord, decide, lists_needed
from jitr.devicelists.rows import ListRow, membership_in, rows_by_key
from jitr.errors import InputError, Poison, Retry
from jitr.facts import Knock
from jitr.reasons import Verdict
from jitr.records.event import parse_event
from jitr.records.heads import Heads
from jitr.records.held import would_change
from jitr.records.knock import recorded_knock
from jitr.records.record import APPLIED, APPLYING, Record
from jitr.records.transitions import STATUS_FRESH
from jitr.rules.conditions import Window
from jitr.rules.model import Grant, Rules
from jitr.services.recheck.recheck import Recheck
from jitr.services.registration.delivery import Message
from jitr.services.registration.registrar import Registrar
from jitr.services.registration.reservations import Reservations
from jitr.times import rfc3339
from jitr.x509.certificate import read_ca, read_certificate

ACTIVE, INACTIVE, REVOKED = "ACTIVE", "INACTIVE", "REVOKED"

HISTORIES = int(os.environ.get("JITR_SOAK_EXAMPLES", "500"))
STEPS = 30

FUNCTION_TIMEOUT = timedelta(seconds=30)  # as in template.yaml
RECHECK_TIMEOUT = timedelta(seconds=60)
CA_STATUS_AGE = timedelta(seconds=60)  # jitr.aws.cas: how old the status of a CA may be


@dataclass(frozen=True)
class Device:
    """A certificate and the CA that registers it."""

    issued: pki.Issued
    ca: pki.CA
    knock: Knock = field(compare=False)

    @property
    def id(self) -> str:
        """The certificateId."""
        return self.issued.sha256

    @property
    def key(self) -> str:
        """What tells devices apart."""
        return self.knock.certificate.public_key_sha256


def _in_turn(works: Iterable[Callable[[], None]]) -> None:
    """Calls that may overlap, in their order: a history can be played again. Crash tests play them at once."""
    for each in works:
        each()


def _device(ca: pki.CA, draft: pki.CertificateDraft) -> Device:
    issued = draft.issue()
    reading = read_certificate(issued.pem)
    signer = read_ca(ca.pem, ca_certificate_id=ca.id, status=ACTIVE)
    return Device(issued, ca, Knock(reading.facts, ca.id, signer.facts, verify_chain(reading, signer)))


# One name with three keys and two CAs, a renewed certificate of the first key, and somebody with another name.
DEVICES = (
    _device(FACTORY, FACTORY.usual_device("snr-0001")),
    _device(OTHER, OTHER.usual_device("snr-0001", kind="P-384")),
    _device(FACTORY, FACTORY.usual_device("snr-0001").serial(0x2002)),
    _device(FACTORY, FACTORY.usual_device("snr-0002", kind="P-521")),
    _device(FACTORY, FACTORY.usual_device("snr-0001").key("P-256", "another")),
)
BY_ID = {each.id: each for each in DEVICES}

# --- what histories are made of


@dataclass(frozen=True)
class Spec:
    """Rules with one allow rule for each CA."""

    listed: bool = False
    thing: str | None = "{common_name}"
    renewal: str = "hold"
    following: tuple[str, ...] = ()  # renewal_from
    existing: str = "hold"
    policies: tuple[str, ...] = ("Sensor",)
    most: int | None = None
    name: str = "line-a"
    formerly: str | None = None
    opens: int | None = None  # days from the beginning
    denied: str | None = None
    default: Verdict = Verdict.HOLD

    def rules(self) -> Rules:
        """The rules themselves."""
        grant = Grant(
            iot_policies=self.policies,
            thing=self.thing,
            renewal=self.renewal,
            renewal_from=self.following,
            existing=self.existing,
        )
        matching: dict[str, Any] = {"lists": ("line",)} if self.listed else {}
        if self.opens is not None:
            opening = (pki.NOW + timedelta(days=self.opens)).date()
            matching["window"] = Window(opening, opening + timedelta(days=400))
        first = allow(self.name, grant=grant, max_devices=self.most, ca="factory-a", **matching)
        given: list[Any] = [
            replace(first, formerly=self.formerly),
            allow("line-b", grant=grant, max_devices=self.most, ca="factory-b", **matching),
        ]
        if self.denied == "listed":
            given.append(deny(lists=("recall",)))
        elif self.denied is not None:
            given.append(deny(common_name=self.denied, revoke=self.denied == "snr-0001"))
        return rules(*given, default=self.default)

    def __repr__(self) -> str:
        """Only what is not as usual."""
        usual = Spec.__dataclass_fields__
        told = {name: value for name, value in vars(self).items() if value != usual[name].default}
        return f"Spec({', '.join(f'{name}={value!r}' for name, value in told.items())})"


@dataclass(frozen=True)
class On:
    """A device's row on a list."""

    which: int
    exact: bool

    def row(self) -> ListRow:
        """The row itself: found by the key, or by the name that others have, too."""
        certificate = DEVICES[self.which].knock.certificate
        if self.exact:
            return ListRow(public_key_sha256=certificate.public_key_sha256)
        return ListRow(common_name=certificate.values("common_name")[0])


RULES = st.builds(
    Spec,
    listed=st.booleans(),
    thing=st.sampled_from(["{common_name}", None, "shared"]),
    renewal=st.sampled_from(["hold", "coexist", "replace"]),
    following=st.sampled_from([(), (), ("factory-a",), ("factory-a", "factory-b")]),
    existing=st.sampled_from(["hold", "adopt"]),
    policies=st.sampled_from([("Sensor",), ("Other",), ("Sensor", "Late")]),
    most=st.sampled_from([None, 1, 2]),
    name=st.sampled_from(["line-a", "line-a", "line-x"]),
    formerly=st.sampled_from([None, None, "line-a", "line-x"]),
    opens=st.sampled_from([None, None, None, 1]),
    denied=st.sampled_from([None, None, None, None, "snr-0002", "snr-0001", "listed"]),
    default=st.sampled_from([Verdict.HOLD] * 5 + [Verdict.REJECT]),
)
WHICH = st.integers(0, len(DEVICES) - 1)
LIST = st.sampled_from(["line", "line", "recall"])
SPANS = st.sampled_from([{"seconds": 1}, {"seconds": 20}, {"seconds": 70}, {"minutes": 61}, {"days": 1}, {"days": 3}])


ROWS = st.builds(On, WHICH, st.booleans())


@dataclass(frozen=True)
class Act:
    """Something that other hands do: between deliveries, or before a call of one."""

    what: str
    arguments: tuple[Any, ...] = ()


ACTS = st.one_of(
    st.builds(Act, st.just("publish"), st.tuples(RULES)),
    st.builds(Act, st.just("add"), st.tuples(LIST, ROWS)),
    st.builds(Act, st.just("replace"), st.tuples(LIST, st.lists(ROWS, max_size=3).map(tuple))),
    st.builds(Act, st.just("set"), st.tuples(WHICH, st.sampled_from([ACTIVE, INACTIVE, REVOKED]))),
    st.builds(Act, st.just("delete"), st.tuples(WHICH)),
    st.builds(Act, st.just("ca"), st.tuples(st.integers(0, 1), st.booleans())),
    st.builds(Act, st.just("close"), st.tuples(WHICH)),
    st.builds(Act, st.just("word"), st.tuples(WHICH, st.sampled_from([None, "line-a", "line-b"]))),
    st.builds(Act, st.sampled_from(["reopen", "recheck"]), st.tuples(WHICH)),
    st.sampled_from([Act("late policy"), Act("foreign thing", (False,)), Act("foreign thing", (True,))]),
    st.just(Act("everyone")),
    st.builds(Act, st.just("recall"), st.tuples(ROWS, st.booleans())),
)
# What has held devices rechecked: the stream with all changes or with the first, and the schedule.
RECHECKS = st.sampled_from(["changes", "changes", "first change", "due"])


@dataclass(frozen=True)
class Plan:
    """What befalls an invocation, and before which of its calls to AWS."""

    how: str = ""  # before | after | throttled | meanwhile
    point: int = 0
    acts: tuple[Act, ...] = ()
    deliver: int | None = None  # another message, by its place in the queue
    knock: int | None = None  # a device, whose event is delivered at once
    takes: int = 0  # seconds
    recheck: str | None = None


POINTS = st.integers(1, 22)  # an admission makes up to so many calls
PLANS = st.one_of(
    st.just(Plan()),
    st.builds(Plan, st.sampled_from(["before", "after", "throttled"]), POINTS),
    st.builds(
        Plan,
        st.just("meanwhile"),
        POINTS,
        st.lists(ACTS, max_size=2).map(tuple),
        st.none() | st.integers(0, 5),
        st.none() | WHICH,
        st.sampled_from([0, 0, 4, 8]),
        st.none() | RECHECKS,
    ),
)


def _ours(record: Record) -> set[str]:
    """The statuses that are our own doing, going by what is on record."""
    found = {INACTIVE} if record.reopened is not None or record.withdrawn else set()
    cut_off = record.state == APPLYING and (record.decision is Verdict.ADMIT or record.withdrawn)
    return found | ({ACTIVE} if cut_off else set())


class Killed(BaseException):
    """The function's process is gone: nothing in it can catch this."""


class Alert(Silent):
    """Silent as well, but not about what the functions take for bugs of theirs and go on after."""

    def count(self, name: str, number: int = 1, *, reason: str | None = None) -> None:
        """Nothing."""
        assert name != "Bugs"


@dataclass(frozen=True)
class View:
    """What was in force at a moment."""

    rules: Rules
    lists: Mapping[str, tuple[ListRow, ...]]
    words: Mapping[str, OperatorWord]
    now: datetime


@dataclass
class Queued:
    """A message in the registration queue."""

    device: Device
    body: str
    sent_at: datetime
    knocked_at: datetime
    number: int
    deliveries: int = 0
    flying: bool = False


@dataclass
class Flight:
    """One invocation on its way: a delivery through the register function, or the recheck function."""

    message: Queued | None  # None: the recheck function
    plan: Plan
    started: datetime
    views: list[View]
    changeable: set[str] = field(default_factory=set)  # the statuses that it may change
    timeout: timedelta = FUNCTION_TIMEOUT
    read: dict[str, str] = field(default_factory=dict)  # statuses as this delivery last read them
    read_at: datetime = pki.NOT_AFTER
    calls: int = 0
    arguments: Mapping[str, Any] = field(default_factory=dict)
    striking: bool = False


class Life(RuleBasedStateMachine):
    """The register and the recheck function among devices, operators, other hands and faults."""

    backend: Callable[..., AbstractContextManager[World]] = staticmethod(fake_world)

    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        self.queue: list[Queued] = []
        self.flights: list[Flight] = []
        self.hands = 0
        self.sent = 0
        self.setter: dict[str, str] = {}  # who last set a certificate's status: us | hand
        self.replaced: set[str] = set()
        self.recalled: set[str] = set()  # denied, and made INACTIVE where ACTIVE: by an operator who is done
        self.lists: dict[str, tuple[ListRow, ...]] = {}
        self.words: dict[str, OperatorWord] = {}
        self.most: dict[str, int] = {}  # the largest max_devices that a rule ever had
        self.policies = {"Sensor", "Other"}
        self.ca_status = {FACTORY.id: ACTIVE, OTHER.id: ACTIVE}
        self.ca_changes: list[tuple[datetime, str, str]] = []  # when, which, what it was before
        self.told: set[str] = set()  # the changes that the stream is done with

    @initialize(published=RULES, takes_inactive=st.booleans())
    def begin(self, published: Spec, takes_inactive: bool) -> None:
        """An account with two CAs, rules, and nobody registered."""
        self.world = self._stack.enter_context(self._made(takes_inactive))
        self.world.telemetry = Alert()
        self.world.at_once = _in_turn
        self.registrars = [self.world.fresh_registrar(), self.world.fresh_registrar()]
        self.rechecks = [self._new_recheck(), self._new_recheck()]
        for client in (self.world.iot, self.world.dynamodb, self.world.sqs):
            self._stack.enter_context(listening(client, "before-parameter-build", self._asked))
            self._stack.enter_context(listening(client, "before-call", self._before, first=True))
            self._stack.enter_context(listening(client, "after-call", self._after))
        with self._by_hand():
            self.world.register_ca(FACTORY)
            self.world.register_ca(OTHER)
        self._act(Act("publish", (published,)))

    def _made(self, takes_inactive: bool) -> AbstractContextManager[World]:
        return fake_world(takes_inactive=takes_inactive)

    # --- steps

    @rule(which=WHICH, times=st.sampled_from([1, 1, 1, 2]), stamp=st.sampled_from(["", "", "", "old", "future"]))
    def knock(self, which: int, times: int, stamp: str) -> None:
        """A device connects; AWS IoT publishes an event, sometimes twice."""
        self._knock(DEVICES[which], times, stamp)

    @rule(which=WHICH, plan=PLANS)
    def knock_and_deliver(self, which: int, plan: Plan) -> None:
        """A device connects and its event is handled at once."""
        if self._knock(DEVICES[which]):
            self._deliver(self.queue[-1], plan)

    @rule(which=WHICH, point=POINTS, exact=st.booleans())
    def knock_and_be_recalled(self, which: int, point: int, exact: bool) -> None:
        """A device connects, and is recalled while its event is handled."""
        self.knock_and_deliver(which, Plan("meanwhile", point, (Act("recall", (On(which, exact), True)),)))

    @precondition(lambda self: self.queue)
    @rule(place=st.integers(0, 5), plan=PLANS)
    def deliver(self, place: int, plan: Plan) -> None:
        """Any message is handled."""
        self._deliver(self.queue[place % len(self.queue)], plan)

    @precondition(lambda self: self.queue)
    @rule(place=st.integers(0, 5))
    def duplicate(self, place: int) -> None:
        """A message comes twice."""
        original = self.queue[place % len(self.queue)]
        self._enqueue(replace(original, deliveries=0))

    @rule(act=ACTS)
    def somebody_acts(self, act: Act) -> None:
        """An operator, or another hand, changes something."""
        self._act(act)

    @rule(what=RECHECKS, plan=PLANS)
    def recheck(self, what: str, plan: Plan) -> None:
        """The table's stream brings changes, or a minute has passed."""
        self._recheck(what, plan)

    @rule(span=SPANS)
    def time_passes(self, span: dict[str, float]) -> None:
        """Nothing happens for a while."""
        self.world.later(**span)

    def teardown(self) -> None:
        """First nobody knocks, then everybody does until nothing changes any more; everybody is where they belong."""
        if hasattr(self, "world"):
            try:
                self._come_to_rest()
                self._check_all()
                self._settle()
                self._check_all()
                self._check_end()
            finally:
                self._stack.close()

    # --- what steps are made of

    def _knock(self, device: Device, times: int = 1, stamp: str = "") -> bool:
        status = self._status(device)
        if status is None:
            # Not while a delivery works on it: nobody deletes and registers a certificate anew within seconds.
            if self.ca_status[device.ca.id] != ACTIVE or device in self._devices_in_the_air():
                return False
            self._register(device)
        elif status != PENDING:
            return False
        self._send(device, times, stamp)
        return True

    def _devices_in_the_air(self) -> list[Device]:
        return [each.message.device for each in self.flights if each.message is not None]

    def _send(self, device: Device, times: int = 1, stamp: str = "") -> None:
        now = self.world.now
        stamps = {"": now, "old": now - timedelta(days=2), "future": now + timedelta(hours=2)}
        timestamp = int(stamps[stamp].timestamp() * 1000)
        body = self.world.event(device.id, device.ca.id, timestamp=timestamp)
        for _ in range(times):
            self._enqueue(Queued(device, body, now, now, 0))  # a time that is not near the queue's own does not count

    def _register(self, device: Device) -> None:
        with self._by_hand():
            self.world.iot.register_certificate(
                certificatePem=device.issued.pem.decode(),
                caCertificatePem=device.ca.pem.decode(),
                status=PENDING,  # type: ignore[arg-type]
            )
        self.setter.pop(device.id, None)
        self.replaced.discard(device.id)
        self.recalled.discard(device.id)

    def _enqueue(self, message: Queued) -> None:
        self.sent += 1
        self.queue.append(replace(message, number=self.sent, flying=False))

    def _deliver(self, message: Queued, plan: Plan = Plan()) -> None:
        """One delivery, which ends as the batch would have it end."""
        if message.flying:
            return
        depth = len(self._devices_in_the_air())
        message.flying, message.deliveries = True, message.deliveries + 1
        record = self._items()[0].get(message.device.id)
        changeable = {PENDING} | (set() if record is None else _ours(record))
        self.flights.append(Flight(message, plan, self.world.now, [self._view()], changeable))
        try:
            self._registrar(depth).handle(self._message(message))
        except Retry:
            pass
        except Poison as poison:
            if poison.code != "event.certificate-unknown":
                raise
            self.queue.remove(message)
        except Killed:
            self.registrars[depth] = self.world.fresh_registrar()
        else:
            self.queue.remove(message)
        finally:
            self.flights.pop()
            message.flying = False

    def _registrar(self, depth: int) -> Registrar:
        return self.registrars[depth]

    def _message(self, message: Queued) -> Message:
        remaining = self._remaining(FUNCTION_TIMEOUT)
        return Message(message.body, message.sent_at, message.deliveries, f"m{message.number}", remaining)

    def _remaining(self, timeout: timedelta) -> Callable[[], int]:
        end = self.world.now + timeout
        return lambda: int((end - self.world.now).total_seconds() * 1000)

    def _new_recheck(self) -> Recheck:
        return recheck_of(self.world, most_waiting=2)

    def _recheck(self, what: str, plan: Plan = Plan()) -> None:
        """One invocation of the recheck function, which ends as Lambda would have it end."""
        event: dict[str, Any] = {"recheck": what}
        changes: list[Item] = []
        if what != "due":
            changes = self._untold()[: 1 if what == "first change" else None]
            event = {"Records": [stream_record(to_item(each)) for each in changes]}
            if not changes:
                return
        depth = len(self.flights) - len(self._devices_in_the_air())
        self.flights.append(Flight(None, plan, self.world.now, [self._view()], timeout=RECHECK_TIMEOUT))
        try:
            self.rechecks[depth].handle(event, self._remaining(RECHECK_TIMEOUT))
        except Retry:
            pass
        except Killed:
            self.rechecks[depth] = self._new_recheck()
        else:
            self.told |= {each["sk"] for each in changes}
        finally:
            self.flights.pop()
            self._take_what_was_asked_for()

    def _untold(self) -> list[Item]:
        return [each for each in self._scan() if each["pk"] == CHANGES and each["sk"] not in self.told]

    def _take_what_was_asked_for(self) -> None:
        """Move what the recheck function put on the queue of SQS to the model's."""
        with self._by_hand():
            bodies = queued(self.world)
        for body in bodies:
            event = parse_event(body, account_id=ACCOUNT, sent_at=self.world.now)
            self._enqueue(Queued(BY_ID[event.certificate_id], body, self.world.now, event.knocked_at, 0))

    def _act(self, act: Act) -> None:
        with self._by_hand():
            getattr(self, "_act_" + act.what.replace(" ", "_"))(*act.arguments)
        for flight in self.flights:
            flight.views.append(self._view())
        self.recalled = {each for each in self.recalled if self._denied(BY_ID[each])}

    def _act_publish(self, spec: Spec) -> None:
        given = spec.rules()
        counted = {each.places for each in given.allow}
        try:
            self.world.publish(given)
        except InputError:
            gone = {name for name, taken in self._items()[2].items() if taken} - counted
            assert gone, "rules refused, and no count would begin anew"
            assert spec.most is not None, "rules refused for a count that they do not have"
            return
        self.spec, self.in_force = spec, given
        for name in counted:
            self.most[name] = max(self.most.get(name, 0), spec.most or 0)

    def _act_add(self, name: str, device: On) -> None:
        row = device.row()
        self.world.put_on(name, row)
        kept = tuple(each for each in self.lists.get(name, ()) if each.found_by() != row.found_by())
        self.lists[name] = (*kept, row)

    def _act_replace(self, name: str, devices: tuple[On, ...]) -> None:
        rows = [each.row() for each in devices]
        distinct = tuple({each.found_by(): each for each in rows}.values())
        list_edits.replace(self.world.table, name, *distinct, at=rfc3339(self.world.now))
        self.lists[name] = distinct

    def _act_set(self, which: int, status: str) -> None:
        device = DEVICES[which]
        if self._status(device) not in (None, REVOKED):
            with suppress(ClientError):  # from pending to INACTIVE, where AWS IoT does not take that
                iot: Any = self.world.iot
                iot.update_certificate(certificateId=device.id, newStatus=status)
                self.setter[device.id] = "hand"
                self.recalled.discard(device.id)

    def _act_recall(self, device: On, published: bool) -> None:
        """As an operator does: the row, a deny rule, and then INACTIVE whom the list names and who is ACTIVE."""
        self._act_add("recall", device)
        if published:
            self._act_publish(replace(self.spec, denied="listed"))
        rows = rows_by_key([device.row()])
        for each in DEVICES:
            if membership_in(each.knock, rows, self.world.now) is None:
                continue
            if self._status(each) == ACTIVE:
                self._act_set(DEVICES.index(each), INACTIVE)
            if self._denied(each):
                self.recalled.add(each.id)

    def _denied(self, device: Device) -> bool:
        decision = self._decided(device, self._view(), self.world.now, ACTIVE)
        return any(each.code == "deny.rule" for each in decision.reasons)

    def _act_delete(self, which: int) -> None:
        device = DEVICES[which]
        if self._status(device) is None:
            return
        iot: Any = self.world.iot
        iot.update_certificate(certificateId=device.id, newStatus=REVOKED)
        arn = self._arn(device)
        for name in self._policies(device):
            iot.detach_policy(policyName=name, target=arn)
        for name in self._things(device):
            iot.detach_thing_principal(thingName=name, principal=arn)
        iot.delete_certificate(certificateId=device.id)
        self.setter.pop(device.id, None)

    def _act_close(self, which: int) -> None:
        """As `jitr device delete --with-thing` does."""
        device = DEVICES[which]
        things = self._things(device) if self._status(device) is not None else set()
        self._act_delete(which)
        gone = {name for name in things if not self._principals(name)}
        for name in gone:
            self.world.iot.delete_thing(thingName=name)
        record = self._items()[0].get(device.id)
        if record is not None:
            name = (record.reservation or "").removeprefix("THING#")
            Reservations(self.world.table, Iot(self.world.iot)).close(record, thing_gone=name in gone)
            self.words.pop(device.id, None)

    def _act_word(self, which: int, rule_name: str | None) -> None:
        """As `jitr held admit` and `jitr held reject` do."""
        device = DEVICES[which]
        record = self._items()[0].get(device.id)
        if record is None or record.decision is not Verdict.HOLD:
            return
        verdict = Verdict.REJECT if rule_name is None else Verdict.ADMIT
        word = OperatorWord(verdict, "Ada", rfc3339(self.world.now), rule_name)
        self.world.table.put_record(replace(record, word=word.to_json(), due=self.world.now))
        self.words[device.id] = word
        self._send(device)

    def _act_reopen(self, which: int) -> None:
        """As `jitr decisions reopen` does."""
        device = DEVICES[which]
        record = self._items()[0].get(device.id)
        ours = record is not None and record.decision is Verdict.REJECT and record.state == APPLIED
        if record is None or not ours or self._status(device) in (None, ACTIVE, REVOKED):
            return
        self.world.table.put_record(replace(record, reopened={"by": "Ada", "at": rfc3339(self.world.now)}, word=None))
        self.words.pop(device.id, None)
        self._send(device)

    def _act_recheck(self, which: int) -> None:
        """As `jitr held recheck` does."""
        device = DEVICES[which]
        record = self._items()[0].get(device.id)
        if record is not None and record.decision is Verdict.HOLD:
            self.world.table.put_record(replace(record, due=self.world.now))
            self._send(device)

    def _act_everyone(self) -> None:
        """As `jitr held recheck --all` does."""
        self.world.table.put(change_item(everyone_wanted(rfc3339(self.world.now))))

    def _act_ca(self, which: int, active: bool) -> None:
        ca = (FACTORY, OTHER)[which]
        status = ACTIVE if active else INACTIVE
        self.ca_changes.append((self.world.now, ca.id, self.ca_status[ca.id]))
        self.world.iot.update_ca_certificate(certificateId=ca.id, newStatus=status)  # type: ignore[arg-type]
        self.ca_status[ca.id] = status

    def _act_late_policy(self) -> None:
        if "Late" not in self.policies:
            self.world.iot.create_policy(policyName="Late", policyDocument="{}")
            self.policies.add("Late")

    def _act_foreign_thing(self, exists: bool) -> None:
        name = "snr-0002"
        if exists and not self._thing_exists(name):
            self.world.iot.create_thing(thingName=name)
        elif not exists and self._thing_exists(name) and not self._principals(name):
            self.world.iot.delete_thing(thingName=name)

    def _come_to_rest(self) -> None:
        """Nobody knocks; changes are brought, time passes, and what is asked for is delivered."""
        for turn in range(20):  # the queue has room for two devices a time
            if turn > 1 and not (self._untold() or self._passes_wanted()):
                break
            self.world.now += LEASE  # whoever died on a pass is gone
            self._recheck("changes")
            self._recheck("due")
            self._drain()
        assert self._untold() == [], "changes that never come to an end"
        assert not self._passes_wanted(), "passes that never come to an end"

    def _settle(self) -> None:
        for span in (
            {"seconds": 70},
            {"minutes": 61},
            {"minutes": 61},
            {"hours": 25},
            {"minutes": 61},
            {"minutes": 61},
        ):
            self._drain()
            self.world.later(**span)
            for device in DEVICES:
                if self._status(device) == PENDING:
                    self._knock(device)
                elif self._status(device) == INACTIVE:
                    self._act_recheck(DEVICES.index(device))  # reopened, perhaps
        self._drain()

    def _drain(self) -> None:
        """Deliver what is in the queue, as often as it takes."""
        for _ in range(10):
            for message in list(self.queue):
                self._deliver(message)
            self.world.later(seconds=10)
        assert self.queue == [], "messages that never come to an end"

    # --- hooks around the function's calls

    @contextmanager
    def _by_hand(self) -> Iterator[None]:
        self.hands += 1
        try:
            yield
        finally:
            self.hands -= 1

    def _asked(self, params: Mapping[str, Any], model: Any, **_context: Any) -> None:
        if self.flights and not self.hands:
            flight = self.flights[-1]
            flight.arguments = params
            if model.name == "UpdateCertificate" and not self._withdrawing(flight):
                assert self.world.now - flight.read_at <= STATUS_FRESH, "a status changed that was read long ago"

    def _before(self, **context: Any) -> Any:
        if not self.flights or self.hands:
            return None
        flight, plan = self.flights[-1], self.flights[-1].plan
        if self.world.now - flight.started > flight.timeout:
            raise Killed
        flight.calls += 1
        if flight.calls == plan.point:
            match plan.how:
                case "before":
                    raise Killed
                case "after":
                    flight.striking = True
                case "throttled":
                    return _throttled()
                case "meanwhile":
                    self._meanwhile(plan)
        if flight.message is None:
            assert context["model"].service_model.service_name != "iot", "a recheck that asks AWS IoT"
        else:
            self._check_call(context["model"].name, flight, flight.message)
        return None

    def _meanwhile(self, plan: Plan) -> None:
        self.world.later(seconds=plan.takes)
        for act in plan.acts:
            self._act(act)
        if plan.deliver is not None and self.queue:
            self._deliver(self.queue[plan.deliver % len(self.queue)])
        if plan.knock is not None and self._knock(DEVICES[plan.knock]):
            self._deliver(self.queue[-1])
        if plan.recheck is not None:
            self._recheck(plan.recheck)

    def _after(self, parsed: Mapping[str, Any], **context: Any) -> None:
        if not self.flights or self.hands:
            return
        flight = self.flights[-1]
        self._note_answer(context["model"].name, parsed, flight)
        if flight.striking:
            flight.striking = False
            raise Killed

    def _note_answer(self, operation: str, parsed: Mapping[str, Any], flight: Flight) -> None:
        if operation == "DescribeCertificate" and "certificateDescription" in parsed:
            told = parsed["certificateDescription"]
            flight.read[told["certificateId"]] = told["status"]
            flight.read_at = self.world.now
        elif operation == "UpdateCertificate" and "Error" not in parsed:
            changed = flight.arguments["certificateId"]
            self.setter[changed] = "us"
            if flight.message is not None and changed != flight.message.device.id:
                self.replaced.add(changed)

    def _withdrawing(self, flight: Flight) -> bool:
        """Whether a status is set only to shut out a device whose admission is being taken back."""
        arguments = flight.arguments
        with self._by_hand():
            record = self._items()[0].get(arguments["certificateId"])
        return record is not None and record.withdrawn and arguments["newStatus"] != ACTIVE

    # --- what must be true of a call

    def _check_call(self, operation: str, flight: Flight, message: Queued) -> None:
        device, arguments = message.device, flight.arguments
        if operation in ("AttachPolicy", "AttachThingPrincipal"):
            assert flight.read.get(device.id) in flight.changeable, f"{operation} on one that was not pending"
        if operation != "UpdateCertificate":
            return
        changed, status = arguments["certificateId"], arguments["newStatus"]
        if changed != device.id:
            assert (flight.read.get(changed), status) == (ACTIVE, INACTIVE), "a predecessor that was not ACTIVE"
            return
        assert flight.read.get(changed) in flight.changeable, f"{status} over {flight.read.get(changed)}"
        if status == INACTIVE and self._withdrawing(flight):
            return
        verdict = Verdict.ADMIT if status == ACTIVE else Verdict.REJECT
        decisions = [each for each in self._decisions(flight, message) if each.verdict is verdict]
        assert decisions, f"{status} without {verdict} by anything in force since its gathering"
        if status == ACTIVE:
            with self._by_hand():
                attached = self._policies(device), self._things(device)
            grants = [each.grant for each in decisions if each.grant is not None]
            given = [(set(g.iot_policies), set() if g.thing is None else {g.thing}) for g in grants]
            assert attached in given, f"ACTIVE with {attached}, and granted was {given}"

    def _decisions(self, flight: Flight, message: Queued) -> list[Decision]:
        """What a decision could be, on anything that was in force while the delivery was on its way."""
        device = message.device
        since = flight.started - CA_STATUS_AGE
        earlier = {status for when, ca, status in self.ca_changes if ca == device.ca.id and when >= since}
        statuses = {self.ca_status[device.ca.id]} | earlier
        return [
            self._decided(device, view, message.knocked_at, status)
            for view in flight.views
            for status in sorted(statuses)
        ]

    def _decided(self, device: Device, view: View, knocked_at: datetime, ca_status: str) -> Decision:
        assert device.knock.ca is not None
        knock = replace(
            device.knock,
            ca=replace(device.knock.ca, status=ca_status),
            aliases=view.rules.aliases_of(device.ca.id),
        )
        return self._decided_under(view, knock, knocked_at, view.words.get(device.id))

    def _decided_under(self, view: View, knock: Knock, knocked_at: datetime, word: OperatorWord | None) -> Decision:
        memberships = {
            name: membership_in(knock, rows_by_key(view.lists.get(name, ())), view.now)
            for name in lists_needed(knock, view.rules, knocked_at, word)
        }
        return decide(knock, view.rules, memberships, view.now, knocked_at, word)

    def _view(self) -> View:
        return View(self.in_force, dict(self.lists), dict(self.words), self.world.now)

    # --- what must be true after each step

    @invariant()
    def holds(self) -> None:
        """Everything that must be true between deliveries."""
        if hasattr(self, "world"):
            self._check_all()

    def _check_all(self) -> None:
        records, reservations, places = self._items()
        self._check_places(reservations, places)
        statuses = self._statuses()
        for device in DEVICES:
            record, status = records.get(device.id), statuses.get(device.id)
            if status == ACTIVE and self.setter.get(device.id) == "us":
                self._check_active(device, record, reservations)
                self._check_recalled(device)
            if record is not None:
                self._check_record(device, record, status)
                self._check_no_edit_is_lost(device, record)
                if status == PENDING:
                    self._check_is_not_forgotten(device, record)
        self._check_names(records, statuses)

    def _check_places(self, reservations: Mapping[str, Any], places: Mapping[str, int]) -> None:
        """Every key that holds a name under a rule that counts takes a place; a successor shares its predecessor's."""
        live: dict[str, int] = dict.fromkeys(places, 0)
        for item in reservations.values():
            counted = [each for each in item["holders"].values() if "rule" in each]
            assert all(self._has_whose(each, counted) for each in counted if "shares" in each), "a place of nobody's"
            for each in counted:
                live[each["rule"]] = live.get(each["rule"], 0) + ("shares" not in each)
        assert places == live, "places taken are not the live keys"
        assert all(taken <= self.most[name] for name, taken in places.items()), "more devices than places"

    @staticmethod
    def _has_whose(sharing: Mapping[str, Any], holders: Iterable[Mapping[str, Any]]) -> bool:
        return any(each["rule"] == sharing["rule"] and "shares" not in each for each in holders)

    def _check_active(self, device: Device, record: Record | None, reservations: Mapping[str, Any]) -> None:
        """Whom we made ACTIVE has IoT policies and holds what it was granted."""
        assert self._policies(device), "ACTIVE by us without IoT policies"
        assert record is not None
        if record.withdrawn and record.state == APPLYING:  # the function was ended while it took the admission back
            assert any(each.device is device for each in self.queue), "to be taken back, and nobody does"
            return
        assert record.decision is Verdict.ADMIT, f"ACTIVE by us, and the record says {record.decision}"
        assert record.grant is not None
        if record.grant["thing"] is not None:
            assert record.reservation == f"THING#{record.grant['thing']}"
        if record.reservation is not None:
            holders = reservations[record.reservation]["keys"]
            assert device.id in holders.get(device.key, []), "ACTIVE by us without its reservation"

    def _check_recalled(self, device: Device) -> None:
        """Once a recall is done and everything is delivered, nobody whom it denies is ACTIVE."""
        if device.id in self.recalled:
            assert any(each.device is device for each in self.queue), "recalled, ACTIVE, and nobody looks again"

    def _check_record(self, device: Device, record: Record, status: str | None) -> None:
        if record.decision is not Verdict.ADMIT:
            assert record.grant is None
        if record.state == APPLIED and not record.waiting and self.setter.get(device.id) == "us":
            allowed = {Verdict.ADMIT: {ACTIVE}, Verdict.REJECT: {INACTIVE, REVOKED}}[record.decision]
            if device.id in self.replaced:
                allowed = {INACTIVE}
            assert status in allowed, f"{record.decision} was applied, and the certificate is {status}"
        if record.decision is Verdict.HOLD and status is not None and device.id not in self.replaced:
            reopened = status in _ours(record)
            assert reopened or self.setter.get(device.id) != "us", f"held, and yet we made it {status}"

    def _check_no_edit_is_lost(self, device: Device, record: Record) -> None:
        """Who waits on rules and lists alone, and for whom nothing changed, is one whom they still do not want."""
        codes = {each["code"] for each in record.reasons}
        windows = any(each.windows for each in self.in_force.allow)
        if record.decision is not Verdict.HOLD or windows or codes != {"allow.unmatched"}:
            return
        if record.unchanged(self._heads()) and not record.due_at(self.world.now):
            decision = self._decided(device, self._view(), self.world.now, ACTIVE)
            assert decision.verdict is Verdict.HOLD, "an edit was lost between a miss and a hold"

    def _check_is_not_forgotten(self, device: Device, record: Record) -> None:
        """A held device that would be decided otherwise need not knock: something brings it back."""
        held = record.decision is Verdict.HOLD and record.waiting and record.facts is not None
        if not held or record.facts is None or any(each.device is device for each in self.queue):
            return
        view = self._view()
        knock = recorded_knock(record.facts, view.rules)
        again = self._decided_under(view, knock, view.now, record.operator_word)
        if not would_change(record, again, view.now):
            return
        if record.due_at(view.now):
            (item,) = (each for each in self._scan() if certificate_key(device.id).items() <= each.items())
            assert item["due_at"] <= rfc3339(view.now + ASK_AGAIN), "due, and out of sight"
        else:
            assert self._untold() or self._passes_wanted(), "held, would not be now, and nobody looks"

    def _passes_wanted(self) -> bool:
        return any(each["pk"] == PASSES and each.get("done", 0) < each["wanted"] for each in self._scan())

    def _heads(self) -> Heads:
        return heads_from(next((each for each in self._scan() if each["pk"] == "HEADS"), None))

    def _check_names(self, records: Mapping[str, Record], statuses: Mapping[str, str]) -> None:
        """One thing name, one key of one CA, unless the grant of one that came later says coexist, or names the CA."""
        by_name: dict[str, list[tuple[Device, Record]]] = {}
        for device in DEVICES:
            record = records.get(device.id)
            by_us = statuses.get(device.id) == ACTIVE and self.setter.get(device.id) == "us"
            if by_us and record is not None and record.grant is not None and record.grant["thing"] is not None:
                by_name.setdefault(record.grant["thing"], []).append((device, record))
        for name, holders in by_name.items():
            if len({device.key for device, _ in holders}) > 1 and all(r.state == APPLIED for _, r in holders):
                assert any(r.grant and r.grant["renewal"] == "coexist" for _, r in holders), f"{name} has two keys"
            if len({device.ca.id for device, _ in holders}) > 1 and all(r.state == APPLIED for _, r in holders):
                named = any(r.grant and r.grant.get("renewal_from") for _, r in holders)
                assert named, f"{name} has keys of two CAs"

    # --- what must be true in the end

    def _check_end(self) -> None:
        records, reservations, places = self._items()
        for device in DEVICES:
            status, record = self._status(device), records.get(device.id)
            reopened = record is not None and status in _ours(record)
            if status == PENDING or (reopened and self.setter.get(device.id) == "us"):
                assert record is not None
                assert record.waiting, "pending, and nobody waits for anything"
                self._check_waiting(device, record, records, reservations, places)
            elif self.setter.get(device.id) == "us" and device.id not in self.replaced:
                assert record is not None
                assert record.state == APPLIED, "the work was never finished"

    def _check_waiting(
        self,
        device: Device,
        record: Record,
        records: Mapping[str, Record],
        reservations: Mapping[str, Any],
        places: Mapping[str, int],
    ) -> None:
        """A device that still waits is one whom the rules do not want, or one that a guard keeps out."""
        decision = self._decided(device, self._view(), self.world.now, self.ca_status[device.ca.id])
        if decision.verdict is Verdict.REJECT:
            assert record.stays_pending
            return
        assert record.decision is Verdict.HOLD
        if decision.verdict is Verdict.ADMIT:
            assert self._kept_out(device, decision, records, reservations, places), "eligible, and still waiting"

    def _kept_out(
        self,
        device: Device,
        decision: Decision,
        records: Mapping[str, Record],
        reservations: Mapping[str, Any],
        places: Mapping[str, int],
    ) -> bool:
        grant = decision.grant
        assert grant is not None
        if not self.policies.issuperset(grant.iot_policies):
            return True
        held = reservations.get(f"THING#{grant.thing}" if grant.thing else f"KEY#{device.key}", {"keys": {}})
        if self._name_is_another_s(device, grant, records, held):
            return True
        foreign = grant.thing is not None and not held.get("made", False) and self._thing_exists(grant.thing)
        if foreign and grant.existing == "hold":
            return True
        return decision.max_devices is not None and places.get(decision.places or "", 0) >= decision.max_devices

    def _name_is_another_s(
        self, device: Device, grant: Grant, records: Mapping[str, Record], held: Mapping[str, Any]
    ) -> bool:
        ids = {device.ca.id, *(each for alias in grant.renewal_from for each in self.in_force.cas[alias].ids)}
        others = set(held["keys"]) - {device.key}
        if not held["keys"]:
            left = held.get("ca")
            return left is not None and left not in ids and grant.thing is not None and self._thing_exists(grant.thing)
        for key in others:
            told = held["holders"][key]
            rule = self.in_force.allow_by_name.get(told.get("granted_by", ""))
            if "hold" in (grant.renewal, told["renewal"] if rule is None else rule.grant.renewal):
                return True
        if device.key in held["keys"] and grant.renewal == "coexist":
            return False
        return any(records[each].ca_certificate_id not in ids for key in others for each in held["keys"][key])

    # --- reads without side effects

    def _items(self) -> tuple[dict[str, Record], dict[str, Any], dict[str, int]]:
        records, reservations, places = {}, {}, {}
        for item in self._scan():
            if item["sk"] == "DECISION":
                record = Record.from_json(item)
                records[record.certificate_id] = record
            elif item["sk"] == "RESERVATION":
                reservations[item["pk"]] = item
            elif item["sk"] == "PLACES":
                places[item["pk"].removeprefix("PLACES#")] = item["taken"]
        return records, reservations, places

    def _scan(self) -> list[dict[str, Any]]:
        dynamodb: Any = self.world.dynamodb
        if isinstance(dynamodb, FakeDynamodb):
            return list(dynamodb.items.values())
        return [from_item(each) for each in dynamodb.scan(TableName="jitr", ConsistentRead=True)["Items"]]

    def _status(self, device: Device) -> str | None:
        return self._statuses().get(device.id)

    def _statuses(self) -> dict[str, str]:
        with self._by_hand():
            found = self.world.iot.list_certificates()["certificates"]
        return {each["certificateId"]: each["status"] for each in found}

    def _arn(self, device: Device) -> str:
        found = self.world.iot.describe_certificate(certificateId=device.id)["certificateDescription"]
        return found["certificateArn"]

    def _policies(self, device: Device) -> set[str]:
        with self._by_hand():
            attached = self.world.iot.list_attached_policies(target=self._arn(device))["policies"]
        return {each["policyName"] for each in attached}

    def _things(self, device: Device) -> set[str]:
        with self._by_hand():
            return set(self.world.iot.list_principal_things(principal=self._arn(device))["things"])

    def _thing_exists(self, name: str) -> bool:
        try:
            with self._by_hand():
                self.world.iot.describe_thing(thingName=name)
        except ClientError:
            return False
        return True

    def _principals(self, name: str) -> list[str]:
        with self._by_hand():
            return self.world.iot.list_thing_principals(thingName=name)["principals"]


def _throttled() -> Any:
    response = type("Response", (), {"status_code": 400, "headers": {}})()
    return response, {
        "Error": {"Code": "ThrottlingException", "Message": "slow down"},
        "ResponseMetadata": {"HTTPStatusCode": 400},
    }


_QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]

TestHistories = Life.TestCase
TestHistories.settings = settings(
    max_examples=HISTORIES, stateful_step_count=STEPS, deadline=None, suppress_health_check=_QUIET
)


class LifeOnMoto(Life):
    """The same on moto, so that the clients in memory are known to behave as it does."""

    def _made(self, takes_inactive: bool) -> AbstractContextManager[World]:
        return moto_world(CLIENTS)


CLIENTS = new_clients()
TestHistoriesOnMoto = LifeOnMoto.TestCase
TestHistoriesOnMoto.settings = settings(
    max_examples=max(3, HISTORIES // 200), stateful_step_count=STEPS, deadline=None, suppress_health_check=_QUIET
)
