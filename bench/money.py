"""What a million devices cost at list prices, by service: admitted, or put on hold; with what search and events add.

Counted in simulated time as in `bench.burst`. Before and after are one run: without the search keys' write units and
without the events, it is what an admission cost before there were any.
"""

from collections.abc import Iterator
from dataclasses import replace

from bench import prices
from bench.burst import BurstOutcome, ours
from bench.results import Result

DEVICES = 1_000
_MOST = 39.0  # US$: 1.3 times what an admission cost before it could be searched and was told
_SEARCH = "FIND#"


def run(*, quick: bool) -> Result:
    """Count it."""
    result = Result("money")
    size = 60 if quick else DEVICES
    admitted, held = ours(size, strangers=False), ours(size, listed=False)
    before = Costs(admitted, search=False, events=False)
    both = Costs(admitted)
    columns = ("US$ a million devices", "admitted, without search and events", "admitted", "put on hold")
    result.table("services", columns, _rows(before, both, Costs(held)))
    counted = ("a device", "admitted", "put on hold")
    result.table("counts", counted, _counts(admitted, held))
    goal, wanted = "A million admissions, with search and events", f"at most US$ {_MOST:.2f}"
    found = f"US$ {both.total:.2f}, {both.total / before.total:.2f} × without"
    result.goal(goal, wanted, found, met=both.total <= _MOST)
    return result


class Costs:
    """US dollars for a million devices, by service."""

    def __init__(self, one: BurstOutcome, *, search: bool = True, events: bool = True) -> None:
        table = one.world.dynamodb
        written = table.write_units - (0.0 if search else _search_units(one))
        dollars = replace(one.charged, write_units=written, told=table.told if events else 0).dollars()
        del dollars["DynamoDB"]
        dollars["DynamoDB, written"] = written * prices.DYNAMODB_WRITE_UNIT
        dollars["DynamoDB, read"] = table.read_units * prices.DYNAMODB_READ_UNIT
        self.of = {name: each * 1e6 / one.size for name, each in dollars.items()}
        stored = sum(size for key, size in table.sizes() if search or not key.startswith(_SEARCH))
        self.a_month = stored / one.size * 1e6 / 1e9 * prices.DYNAMODB_GB_MONTH

    @property
    def total(self) -> float:
        """What is paid once."""
        return sum(self.of.values())


def _rows(*costs: Costs) -> Iterator[list[str]]:
    for service in costs[0].of:
        yield [service, *(f"{each.of[service]:.2f}" for each in costs)]
    yield ["together, once", *(f"{each.total:.2f}" for each in costs)]
    yield ["stored, a month", *(f"{each.a_month:.2f}" for each in costs)]


def _counts(*outcomes: BurstOutcome) -> Iterator[list[str]]:
    def told(what: str, counts: Iterator[float]) -> list[str]:
        return [what, *(f"{each / one.size:.2f}" for each, one in zip(counts, outcomes, strict=True))]

    yield told("knocks", (float(one.world.events) for one in outcomes))
    yield told("units read", (one.world.dynamodb.read_units for one in outcomes))
    yield told("units written", (one.world.dynamodb.write_units for one in outcomes))
    yield told("of them for search keys", map(_search_units, outcomes))
    yield told("events on the bus", (float(one.world.dynamodb.told) for one in outcomes))


def _search_units(one: BurstOutcome) -> float:
    return float(sum(units for key, units in one.world.dynamodb.written_of.items() if key.startswith(_SEARCH)))
