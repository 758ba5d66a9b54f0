"""`jitr fleet check`: admitted devices decided again, page by page, as the table gives their records.

Hundreds of different devices, more than any cache here keeps, are gone through again and again. The table's answers
are in memory: what fetching them takes is not measured. Then 300,000 devices are looked at once, to see that memory
does not grow with them.
"""

import resource
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

from testkit.aws.fakes import FakeIot, FakeSqs
from testkit.aws.world import Calls, CrlFiles, Silent, World

from bench import prices
from bench.fleet import DEVICES, NOW, device, factory, rules
from bench.held_table import HeldTable
from bench.measure import compare
from bench.results import Result
from jitr.aws.crls import Crls
from jitr.aws.dynamodb.table import BATCH_GET, Table, from_item, record_item, to_item
from jitr.aws.iot import Iot
from jitr.aws.ocsp_responders import OcspResponders
from jitr.devicelists.rows import ListRow
from jitr.fleet.standing import ACTIVE
from jitr.records.record import Record
from jitr.services.fleet.examination import AsNow, Examined, Examiner

_KIND = "P-256"
_WANTED = 20_000  # records a second and core
_UNIT = 4096  # bytes: DynamoDB Developer Guide, "Read consistency", a strongly consistent read of an item
_PLACE = 250  # bytes of an entry of the index, of which a page is read eventually consistently, for half

Page = Sequence[dict[str, Any]]  # items as DynamoDB gives them


class _Table(HeldTable):
    """Gives items as DynamoDB does at once, and counts those that are asked for: each costs a unit, there or not."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self._typed: dict[tuple[str, str], Any] = {}

    def _put(self, item: dict[str, Any]) -> None:
        super()._put(item)
        self._typed.clear()

    def _batch_get_item(self, RequestItems: Any) -> Any:  # noqa: N803
        ((table, wanted),) = RequestItems.items()
        self.asked += len(wanted["Keys"])
        keys = [(key["pk"]["S"], key["sk"]["S"]) for key in wanted["Keys"]]
        found = [self._as_given(key) for key in keys if key in self.items]
        return {"Responses": {table: found}, "UnprocessedKeys": {}}

    def _as_given(self, key: tuple[str, str]) -> Any:
        if key not in self._typed:
            self._typed[key] = to_item(self.items[key])
        return self._typed[key]


@dataclass(frozen=True)
class _Fleet:
    """Devices on record as admitted, and who looks at them."""

    table: _Table
    examiner: Examiner
    pages: Sequence[Page]


def run(*, quick: bool) -> Result:
    """Measure it."""
    result = Result("fleet_check")
    fleet = _fleet(10 if quick else 1_000, 20 if quick else DEVICES)
    pages = [[Record.from_json(from_item(each)) for each in page] for page in fleet.pages]
    size = sum(map(len, pages))
    for page in pages:
        _look_at(fleet.examiner, page)
    found = compare(
        {
            "read": lambda: [Record.from_json(from_item(each)) for page in fleet.pages for each in page],
            "decided": lambda: [_look_at(fleet.examiner, page) for page in pages],
        },
        turns=3 if quick else 25,
    )
    rate = size / found.of("decided").median
    both = size / (found.of("decided").median + found.of("read").median)
    rows = [
        ("read: the table's answer becomes records", f"{size / found.of('read').median:,.0f}"),
        ("decided, and held against the certificate's status", f"{rate:,.0f}"),
        ("both", f"{both:,.0f}"),
    ]
    result.table("rates", ("of 1,000 rules", "records a second, of one core"), rows)
    goal = "Fleet check: records a second and core decided, 1,000 rules"
    result.goal(goal, f"at least {_WANTED:,}", f"{rate:,.0f}", met=rate >= _WANTED)
    _price(result, fleet, size)
    _many(result, fleet, (1_000, 2_000) if quick else (10_000, 300_000))
    return result


def _look_at(examiner: Examiner, page: Sequence[Record]) -> Examined:
    looked = examiner.look_at(page, dict.fromkeys((each.certificate_id for each in page), ACTIVE))
    assert looked.decided == len(page)
    assert not looked.findings, looked.findings[:1]
    return looked


def _many(result: Result, fleet: _Fleet, sizes: tuple[int, int]) -> None:
    """Look at so many different devices, and at the most memory that it took."""
    rows, most = [], []
    for size in sizes:
        seconds = 0.0
        for page in _different(fleet, size):
            before = time.process_time()
            _look_at(fleet.examiner, page)
            seconds += time.process_time() - before
        most.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)  # Linux tells it in KB
        rows.append((f"{size:,}", f"{size / seconds:,.0f}", f"{most[-1]:.0f}"))
    result.table("many", ("different devices", "records a second, of one core", "most memory, MB"), rows)
    result.goal(
        f"Memory of a fleet check, {sizes[0]:,} to {sizes[1]:,} records",
        "flat: at most 1.1 ×",
        f"{most[0]:.0f} to {most[1]:.0f} MB",
        met=most[1] <= 1.1 * most[0],
    )


def _different(fleet: _Fleet, size: int) -> Iterator[list[Record]]:
    """Make the records of so many devices, page by page: each with a certificate and a key of its own."""
    records = [Record.from_json(from_item(each)) for page in fleet.pages for each in page]
    for start in range(0, size, BATCH_GET):
        numbers = range(start, min(start + BATCH_GET, size))
        yield [_another(records[each % len(records)], each) for each in numbers]


def _another(record: Record, number: int) -> Record:
    """Make the record of a device with the same name, by which lists and rules know it."""
    digest = f"{number:064x}"
    facts = dict(record.facts or {}) | {"certificate_sha256": digest, "public_key_sha256": digest}
    return replace(record, certificate_id=digest, facts=facts)


def _price(result: Result, fleet: _Fleet, size: int) -> None:
    """Count what a million devices cost in read units: places in the index, records, and rows of lists."""
    before = fleet.table.asked
    for page in fleet.pages:
        _look_at(fleet.examiner, [Record.from_json(from_item(each)) for each in page])
    rows = (fleet.table.asked - before) / size
    records = sum(ceil(_bytes(each) / _UNIT) for page in fleet.pages for each in page) / size
    places = ceil(BATCH_GET * _PLACE / _UNIT) / 2 / BATCH_GET
    units = places + records + rows
    result.table(
        "price",
        ("read units a device: index, records, rows of lists", "US$ a million devices"),
        [(f"{places:.2f} + {records:.2f} + {rows:.2f}", f"{units * 1e6 * prices.DYNAMODB_READ_UNIT:.2f}")],
    )


def _bytes(item: Any) -> int:
    """Return about how large an item is for DynamoDB: its names and values (Developer Guide, "Item sizes")."""
    match item:
        case str():
            return len(item.encode())
        case bytes():
            return len(item)
        case dict():
            return sum(len(name) + _bytes(value) for name, value in item.items())
        case list():
            return sum(map(_bytes, item))
    return 1


# --- devices


def _fleet(own: int, count: int) -> _Fleet:
    table = _Table()
    world = _world(table)
    world.register_ca(factory(_KIND))
    world.publish(rules(own, kind=_KIND))
    chips = [device(_KIND, number) for number in range(count)]
    for line in (6, 7):  # the lines whose rules ask for a list
        name = f"line-{line:05d}"
        world.put_on(name, *(ListRow(common_name=f"{name}-{number:07d}") for number in range(line, count, 9)))
    world.iot.create_policy(policyName="Sensor", policyDocument="{}")
    for chip in chips:
        world.connect(chip)
        world.knock(chip, factory(_KIND))
    seen = AsNow(Iot(world.iot), Crls(CrlFiles()), OcspResponders(world.responders), lambda: world.now)
    world.later(hours=1)
    examiner = Examiner(world.table, seen, lambda: world.now, lambda every: every)
    items = [to_item(record_item(record)) for each in chips if (record := world.record(each)) is not None]
    pages = [items[start : start + BATCH_GET] for start in range(0, len(items), BATCH_GET)]
    return _Fleet(table, examiner, pages)


def _world(table: _Table) -> World:
    holder: list[World] = []
    clients: tuple[Any, Any, Any] = (FakeIot(), table, FakeSqs(lambda: holder[0].now if holder else NOW))
    urls = [clients[2].create_queue(QueueName=name)["QueueUrl"] for name in ("registration", "failures")]
    world = World(*clients, Table(clients[1], "jitr"), urls[0], urls[1], Calls())
    holder.append(world)
    world.telemetry = Silent()
    world.registrar = world.fresh_registrar()
    return world
