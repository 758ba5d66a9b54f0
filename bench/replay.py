"""Deciding again from recorded facts; and what finding the held devices that an edit concerns asks of the table.

The facts are as a record in the table has them. For the recheck 100,000 held devices are in a table in memory, which
answers in pages as DynamoDB does; every call is counted.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import cycle
from typing import Any, cast

from testkit import pki
from testkit.aws.fakes import FakeIot, FakeSqs
from testkit.aws.held import recheck_of, stream_record
from testkit.aws.world import Calls, Silent, World, listening

from bench.decision import DecisionLoop
from bench.fleet import NOW, factory, pems, rules
from bench.held_table import HeldTable
from bench.measure import Timings, compare
from bench.results import Result
from jitr.aws.dynamodb.changes import PARTITION
from jitr.aws.dynamodb.table import Table, hint_key, record_item, to_item
from jitr.decision.chain import verify_chain
from jitr.decision.decide import Decision, decide, lists_needed
from jitr.devicelists.rows import ListRow, Membership
from jitr.facts import Knock
from jitr.reasons import Verdict
from jitr.records.held import hints
from jitr.records.knock import facts_json, recorded_knock
from jitr.records.record import Record
from jitr.rules.conditions import AttributeCondition, CaCondition, Condition, Glob, ListCondition
from jitr.rules.model import AllowRule, Ca, Grant, Rules
from jitr.x509.certificate import read_ca, read_certificate

_WANTED = 20_000  # decisions a second
_PLENTY = 10_000_000  # milliseconds left in the invocation
_FACTORY = pki.ca("Factory of the bench")


class Replayer:
    """Decides devices one after the other, each from the facts in its record."""

    def __init__(self, kind: str, in_force: Rules, fleet: list[bytes]) -> None:
        self._rules = in_force
        ca = read_ca(factory(kind).pem, status="ACTIVE")
        self._facts = cycle([_recorded_facts(pem, ca) for pem in fleet])

    def __call__(self) -> Decision:
        """Decide the next device."""
        knock = recorded_knock(next(self._facts), self._rules)
        names = lists_needed(knock, self._rules, NOW)
        memberships: dict[str, Membership | None] = {name: Membership(ListRow()) for name in names}
        return decide(knock, self._rules, memberships, NOW, NOW, nearest=False)


def _recorded_facts(pem: bytes, ca: Any) -> dict[str, Any]:
    reading = read_certificate(pem)
    facts = ca.facts
    return facts_json(Knock(reading.facts, facts.ca_certificate_id, facts, verify_chain(reading, ca)))


def run(*, quick: bool) -> Result:
    """Measure it."""
    result = Result("replay")
    turns, count = (3, 40) if quick else (15, 600)
    rows = []
    for size in (10,) if quick else (10, 1_000, 10_000):
        for verdict in (Verdict.ADMIT, Verdict.HOLD):
            measured = _replayed(size, turns, pems("P-256", count, known=verdict is Verdict.ADMIT), verdict)
            rows.append(_row(size, verdict, measured))
            if size == (10 if quick else 1_000):
                _judge(result, size, verdict, measured)
    columns = ("rules", "decision", "from recorded facts, µs", "decisions a second", "from the PEM / from facts")
    result.table("decisions", columns, rows)
    _recheck(result, (100, 200) if quick else (1_000, 100_000))
    return result


def _replayed(size: int, turns: int, fleet: list[bytes], verdict: Verdict) -> Timings:
    in_force = rules(size)
    replayer = Replayer("P-256", in_force, fleet)
    for _ in fleet:
        assert replayer().verdict is verdict
    return compare({"facts": replayer, "PEM": DecisionLoop("P-256", in_force, fleet)}, turns=turns)


def _row(size: int, verdict: Verdict, measured: Timings) -> tuple[str, ...]:
    facts = measured.of("facts")
    return (
        f"{size:,}",
        verdict.value,
        facts.times(1e6).told(0),
        f"{1 / facts.median:,.0f}",
        measured.ratio("PEM", "facts").told(1),
    )


def _judge(result: Result, size: int, verdict: Verdict, measured: Timings) -> None:
    rate = 1 / measured.of("facts").median
    goal = f"Decisions a second and core from recorded facts, {size:,} rules: {verdict.value}"
    result.goal(goal, f"at least {_WANTED:,}", f"{rate:,.0f}", met=rate >= _WANTED)


# --- recheck


@dataclass(frozen=True)
class Requests:
    """What one invocation of the recheck function asked of AWS."""

    calls: Counter[str]
    given: int  # items that the table gave
    queued: int  # devices that were put on the registration queue

    @property
    def reads(self) -> int:
        """Requests that read."""
        return sum(self.calls[name] for name in ("BatchGetItem", "Query", "GetItem"))


def _recheck(result: Result, sizes: Sequence[int]) -> None:
    rows, by_edit = [], []
    for held in sizes:
        world = _world(held)
        for name, edit in (("one row", _one_row), ("the rules", _the_rules)):
            asked = _asked(world, edit)
            writes = asked.calls.total() - asked.reads
            rows.append((f"{held:,}", name, f"{asked.reads:,}", f"{asked.given:,}", f"{writes:,}", asked.queued))
            if edit is _one_row:
                by_edit.append(asked.reads)
            elif held == sizes[-1]:
                # A page of 100: the index, the records, the heads, and five keys of each device on the rules' lists.
                most = 8 * held / 100 + 100
                result.goal(
                    f"Table reads after an edit of the rules, {held:,} devices held",
                    "at most 8 for 100 held devices, nothing scanned",
                    f"{asked.reads:,}",
                    met=asked.reads <= most and asked.calls["Scan"] == 0,
                )
    columns = ("held devices", "edit", "table reads", "items read", "table writes", "put on the queue")
    result.table("recheck", columns, rows)
    result.goal(
        f"Table reads after an edit of one row, {sizes[0]:,} and {sizes[-1]:,} devices held",
        "as many, and at most 10",
        " and ".join(f"{each}" for each in by_edit),
        met=len(set(by_edit)) == 1 and by_edit[0] <= 10,
    )


def _asked(world: World, edit: Callable[[World], None]) -> Requests:
    """What an edit asks for that lets in one of the held devices."""
    world.later(minutes=5)
    before = {key for key in world.dynamodb.items if key[0] == PARTITION}  # type: ignore[attr-defined]
    edit(world)
    table = cast(HeldTable, world.dynamodb)
    images = [to_item(table.items[key]) for key in table.items if key[0] == PARTITION and key not in before]
    waiting = cast(FakeSqs, world.sqs).queues[world.queue_url]
    waiting.clear()
    calls, table.given = Calls(), 0
    with listening(world.dynamodb, "before-call", calls.note):
        recheck_of(world).handle({"Records": list(map(stream_record, images))}, lambda: _PLENTY)
    assert len(waiting) == 1, f"{len(waiting)} devices put on the queue"
    return Requests(Counter(calls.of("dynamodb")), table.given, len(waiting))


def _one_row(world: World) -> None:
    world.put_on("line-a", ListRow(common_name="line-a-0000000"))


def _the_rules(world: World) -> None:
    named = AttributeCondition("common_name", (Glob("line-a-0000000"),))
    world.publish(_rules(ListCondition(("line-a",)), named))


def _rules(listed: ListCondition, *more: Condition) -> Rules:
    """Who is on the list, or else fulfils other conditions, is let in."""
    ca, grant = CaCondition(("factory",)), Grant(iot_policies=("Sensor",))
    allow = [AllowRule("listed", 10, (ca, listed), grant)]
    allow += [AllowRule("named", 20, (ca, each), grant) for each in more]
    cas = {"factory": Ca("factory", (_FACTORY.id,), 3)}
    return Rules(source="admission.yaml", cas=cas, allow=tuple(allow))


def _world(held: int) -> World:
    holder: list[World] = []
    iot, dynamodb, sqs = FakeIot(), HeldTable(), FakeSqs(lambda: holder[0].now if holder else pki.NOW)
    urls = [sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("registration", "failures")]
    clients: tuple[Any, Any, Any] = (iot, dynamodb, sqs)
    world = World(*clients, Table(clients[1], "jitr"), urls[0], urls[1], Calls())
    holder.append(world)
    world.telemetry = Silent()
    world.registrar = world.fresh_registrar()
    world.register_ca(_FACTORY)
    world.publish(_rules(ListCondition(("line-a",))))
    world.put_on("line-a", ListRow(common_name="another"))
    device = _FACTORY.usual_device("line-a-0000000").issue()
    world.connect(device)
    world.knock(device, _FACTORY)
    first = world.record(device)
    assert first is not None
    for record in _like(first, held - 1):
        _put(dynamodb, record)
    return world


def _like(first: Record, count: int) -> Iterator[Record]:
    """Held devices like the first, with names, keys and serial numbers of their own, spread over an hour."""
    base = dict(first.facts or {})
    chain = base["chain"] | {"twin_sha256": None}
    others = [each for each in base["subject"] if each["name"] != "common_name"]
    for number in range(1, count + 1):
        name = f"line-a-{number:07d}"
        identifier = hashlib.sha256(name.encode()).hexdigest()
        named = {"name": "common_name", "value": name, "encoding": "UTF8String"}
        facts = base | {
            "certificate_sha256": identifier,
            "public_key_sha256": hashlib.sha256(identifier.encode()).hexdigest(),
            "serial_number": f"{0x100000 + number:x}",
            "chain": chain,
            "subject": [*others, named],
        }
        at = first.decided_at - timedelta(seconds=number % 3600)
        fresh = replace(first, certificate_id=identifier, facts=facts, decided_at=at, revision=1)
        yield replace(fresh, hints=(), search_keys=())


def _put(table: HeldTable, record: Record) -> None:
    found_by = hints(record)
    for item in (record_item(replace(record, hints=found_by)), *(hint_key(h, record.certificate_id) for h in found_by)):
        table.items[item["pk"], item["sk"]] = item
