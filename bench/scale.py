"""From ten devices to a hundred million: what binds, how long it takes, what it costs, and how keys spread.

The rate and the cost of one admission are those of the simulated burst (`bench.burst`); with higher quotas it is run
anew, as far as an account goes. How keys spread is counted in the table that the burst leaves.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bench import prices
from bench.burst import BurstOutcome, ours
from bench.results import Result
from bench.simulation.world import CONCURRENCY
from jitr.aws.dynamodb.table import row_key
from jitr.devicelists.rows import RowKey

# DynamoDB Developer Guide, "Best practices for designing and using partition keys": units a second of one key.
_KEY_READS, _KEY_WRITES = 3_000, 1_000
_ROWS = 200_000
# Seconds after the first knock: all environments are started, and what was not asked for meanwhile is made up for.
_STARTED = 2.0


@dataclass(frozen=True)
class Step:
    """A size, and how it is run: so many accounts and Regions, each with so many times the default quotas."""

    devices: int
    places: int
    quotas: int

    @property
    def environments(self) -> int:
        """MaximumConcurrency of each."""
        return min(1_000, CONCURRENCY * self.quotas)


STEPS = (
    Step(10, 1, 1),
    Step(10_000, 1, 1),
    Step(100_000, 1, 1),
    Step(1_000_000, 1, 1),
    Step(1_000_000, 1, 10),
    Step(10_000_000, 1, 10),
    Step(10_000_000, 4, 10),
    Step(100_000_000, 10, 10),
    Step(100_000_000, 10, 50),
)


def run(*, quick: bool) -> Result:
    """Count it."""
    result = Result("scale")
    first = ours(100 if quick else 2_000)
    bursts = ((2, 60, 2.0),) if quick else ((10, 6_000, 30.0), (50, 12_000, 12.0))
    higher = [ours(size, CONCURRENCY * times, times, within=within) for times, size, within in bursts]
    rate = first.used(first.world.queue.waited_until) * 10
    result.table("quotas", _QUOTAS, map(_quota, [first, *higher]))
    for one in higher:
        until = one.world.queue.waited_until
        used, told = one.used(until, _STARTED), f"{one.used(until):.1%} from the first knock on"
        what = f"A burst under {one.world.quotas} times the default quotas"
        goal = f"{what}: quota used while events wait, once started"
        result.goal(goal, "at least 95 %", f"{used:.1%}; {told}", met=used >= 0.95)
        wasted = one.wasted()
        result.goal(f"{what}: calls wasted", "at most 1 %", f"{wasted:.2%}", met=wasted <= 0.01)
    dollars, stored = sum(first.dollars_a_million().values()), _stored(first)
    result.table("steps", _STEPS, (_step(each, rate, dollars, stored) for each in STEPS))
    result.table("keys", _KEYS, _keys(first))
    result.table("shards", ("what", "keys", "shards", "least, of the mean", "most, of the mean"), _shards())
    result.data |= {"devices a second": rate, "US$ a million": dollars, "bytes a device": stored}
    return result


_STEPS = (
    *("devices", "accounts × Regions", "quotas", "MaximumConcurrency", "devices a second", "all of them in"),
    *("US$, once", "US$ a month, storage"),
)
_QUOTAS = (
    *("quotas, times the default", "MaximumConcurrency", "devices", "quota used while events wait"),
    *("without the first two seconds", "calls wasted", "devices a second", "seconds to ACTIVE: p50, p99"),
)


def _quota(one: BurstOutcome) -> list[str]:
    waits = one.waits()
    until = one.world.queue.waited_until
    return [
        f"{one.world.quotas}",
        f"{one.world.concurrency}",
        f"{one.size:,}",
        f"{one.used(until):.1%}",
        f"{one.used(until, _STARTED):.1%}",
        f"{one.wasted():.2%}",
        f"{one.size / (one.ended - one.began):,.1f}",
        f"{waits[len(waits) // 2]:.0f}, {waits[len(waits) * 99 // 100]:.0f}",
    ]


def _step(step: Step, rate: float, dollars: float, stored: float) -> list[str]:
    a_second = rate * step.quotas * step.places
    return [
        f"{step.devices:,}",
        f"{step.places}",
        "default" if step.quotas == 1 else f"{step.quotas} times",
        f"{step.environments}",
        f"{a_second:,.1f}",
        _told(step.devices / a_second),
        f"{step.devices / 1e6 * dollars:,.2f}",
        f"{step.devices * stored / 1e9 * prices.DYNAMODB_GB_MONTH:,.2f}",
    ]


def _told(seconds: float) -> str:
    for name, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:,.1f} {name}"
    return f"{seconds:,.0f} seconds"


def _stored(one: BurstOutcome) -> float:
    """Return the bytes in the table for one device: its record, reservation, row and search keys."""
    return sum(size for _, size in one.world.dynamodb.sizes()) / one.size


_KEYS = (
    *("items", "partition keys", "items under one key, at most", "units read a device, of one key at most"),
    *("units written a device, of one key at most", "devices a second that one key allows"),
)


def _keys(one: BurstOutcome) -> Iterator[list[str]]:
    """What there is in the table after the burst, and how much of the work falls on the busiest key of each kind."""
    table, size = one.world.dynamodb, one.size
    items: dict[str, Counter[str]] = defaultdict(Counter)
    for pk, _ in table.items:
        items[_kind(pk)][pk] += 1
    for kind, keys in sorted(items.items(), key=lambda each: -each[1].total()):
        read, written = (_most(units, kind) / size for units in (table.read_of, table.written_of))
        binds = min(_KEY_READS / read if read else 1e9, _KEY_WRITES / written if written else 1e9)
        shares = (f"{read:.4f}", f"{written:.4f}")
        alone = len(keys) == 1 or kind in ("LIST", "FIND")  # which have so many shards, whatever the fleet's size
        yield [
            f"{kind}: {keys.total():,}",
            f"{len(keys):,}",
            f"{max(keys.values()):,}",
            *shares,
            f"{binds:,.0f}" if alone and binds < 1e8 else "grows with the fleet",
        ]


def _kind(pk: str) -> str:
    return pk.partition("#")[0]


def _most(units: Mapping[str, float], kind: str) -> float:
    return max((each for pk, each in units.items() if _kind(pk) == kind), default=0.0)


def _shards() -> Iterator[list[str]]:
    """How evenly names that count up, as factories give them, fall on the shards of a list and of the indexes."""
    rows: Counter[str] = Counter(
        row_key("line-a", "one", RowKey("common_name", f"snr-{place:07d}"))["pk"] for place in range(_ROWS)
    )
    yield ["rows of a list, names that count up", *_spread(rows)]
    serials: Counter[str] = Counter(
        row_key("line-a", "one", RowKey("serial_number", f"factory-a/{place:x}"))["pk"] for place in range(_ROWS)
    )
    yield ["rows of a list, serial numbers that count up", *_spread(serials)]
    ids = (hashlib.sha256(str(place).encode()).hexdigest() for place in range(_ROWS))
    yield ["records in an index, by certificateId", *_spread(Counter(str(int(each[:8], 16) % 8) for each in ids))]


def _spread(shards: Counter[str]) -> list[str]:
    mean = shards.total() / len(shards)
    least, most = min(shards.values()) / mean, max(shards.values()) / mean
    return [f"{shards.total():,}", f"{len(shards)}", f"{least:.3f}", f"{most:.3f}"]
