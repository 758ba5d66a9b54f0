"""A burst: 1,000 and 10,000 devices connect for the first time within a minute, under AWS IoT's default quotas.

Simulated time. Real: the register function's code from the SQS record to the answer (batch, parsing, table, rules,
lists, X.509, reservations, plan, pace), and the baseline's. Simulated: AWS IoT, DynamoDB, SQS and Lambda, their
latencies and quotas, the clock, and the devices. `bench.simulation` says how.
"""

from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from testkit import pki

from bench import prices
from bench.fleet import factory
from bench.results import Curve, Plot, Result
from bench.simulation.account import QUOTAS
from bench.simulation.asynchronous import Asynchronous
from bench.simulation.world import CONCURRENCY, LONGEST_WAIT, SimulatedWorld
from jitr.rules.conditions import AttributeCondition, CaCondition, Glob, ListCondition
from jitr.rules.model import AllowRule, Ca, Grant, Rules, load

SIZES = (1_000, 10_000)
WITHIN = 60.0  # seconds in which the devices come
_STRANGERS = 100  # one device of so many is on no list
LIST, _POLICY = "line-a", "Sensor"
_SECONDS = 4 * 3600.0  # after which a run is over, whoever waits
# What a device needs of the scarcest quotas, so devices a second that the account can admit.
QUOTA = QUOTAS["DescribeCertificate"]
_TIMES_AS_LONG = 3  # the example is given so many times the time that jitr took
# The calls that a device cannot do without.
_FOR_AN_ADMISSION, _FOR_A_HOLD, _FOR_THE_BASELINE = 6, 1, 3


def fleet_rules(ca: pki.CA) -> Rules:
    """One rule: a device of the CA that is on the list gets a thing and an IoT policy."""
    conditions = (
        CaCondition(("factory-a",)),
        AttributeCondition("common_name", (Glob("snr-*"),)),
        ListCondition((LIST,)),
    )
    grant = Grant(iot_policies=(_POLICY,), thing="{common_name}")
    written = Rules(
        source="admission.yaml",
        cas={"factory-a": Ca("factory-a", (ca.id,), 1)},
        allow=(AllowRule("line-a", 2, conditions, grant),),
    )
    return load(written.compiled)


@cache
def devices(count: int) -> list[pki.Issued]:
    """Devices with keys of their own, called snr-0000000 and on."""
    ca = factory("P-256")
    drafts = (ca.usual_device(f"snr-{number:07d}").serial(number + 1) for number in range(count))
    return [each.key("P-256", f"sensor {number}").issue() for number, each in enumerate(drafts)]


@dataclass
class BurstOutcome:
    """What became of one burst."""

    who: str
    world: SimulatedWorld
    expected: frozenset[str]  # certificates that are to be ACTIVE; the others are to be held
    given_up: int  # events
    needed: int  # calls to AWS IoT that nobody could have saved
    operation: str  # the call whose quota binds

    @property
    def size(self) -> int:
        """How many devices came."""
        return len(self.world.devices)

    @property
    def began(self) -> float:
        """When the first device knocked."""
        return min(each.first for each in self.world.devices if each.first is not None)

    @property
    def ended(self) -> float:
        """When the last device was admitted, of those that were."""
        return max(self.world.iot.admitted.values())

    def waits(self) -> list[float]:
        """Seconds from a device's first knock until it was ACTIVE, in order."""
        admitted = self.world.iot.admitted
        return sorted(admitted[each.id] - (each.first or 0.0) for each in self.world.devices if each.id in admitted)

    def connections(self) -> list[float]:
        """Seconds from a device's first knock until it stayed connected, in order."""
        return sorted(each.connected - (each.first or 0.0) for each in self.world.devices if each.connected is not None)

    def lost(self) -> int:
        """Devices that are to be admitted and were not when the run was over."""
        return len(self.expected - self.world.iot.admitted.keys())

    def wrong(self) -> int:
        """Devices that were admitted against the rules, or before they had their IoT policy."""
        iot = self.world.iot
        return len((iot.admitted.keys() - self.expected) | set(iot.without_policy))

    def calls(self) -> int:
        """Calls to AWS IoT; those about CAs apart, which do not grow with the fleet."""
        return self.world.iot.calls.total() - self.world.iot.calls["DescribeCACertificate"]

    def wasted(self) -> float:
        """Share of the calls that nobody needed, throttled ones and those that did again what was done."""
        return 1 - self.needed / self.calls()

    def used(self, until: float, after: float = 0.0) -> float:
        """Share of the quota that binds which was used until then, from so many seconds after the first knock."""
        since, passed = self.began + after, self.world.iot.passed[self.operation]
        return (bisect(passed, until) - bisect(passed, since)) / (QUOTA * self.world.quotas * (until - since))

    @property
    def charged(self) -> prices.Used:
        """What AWS charges for, but events on the bus."""
        world = self.world
        return prices.Used(
            events=world.events,
            iot=world.iot.calls,
            invocations=world.bill.invocations,
            seconds=world.bill.seconds,
            sqs=world.bill.requests,
            read_units=world.dynamodb.read_units,
            write_units=world.dynamodb.write_units,
        )

    def dollars_a_million(self) -> dict[str, float]:
        """Return what a million devices cost at this rate, by service."""
        return {name: each * 1e6 / self.size for name, each in self.charged.dollars().items()}

    def curve(self) -> list[tuple[float, float]]:
        """Devices admitted, by minutes since the first one knocked."""
        at = sorted(each - self.began for each in self.world.iot.admitted.values())
        step = at[-1] / 200
        return [(each * step / 60, float(bisect(at, each * step))) for each in range(201)]


def ours(
    size: int,
    concurrency: int = CONCURRENCY,
    quotas: int = 1,
    *,
    within: float = WITHIN,
    longest: float = LONGEST_WAIT,
    strangers: bool = True,
    listed: bool = True,
) -> BurstOutcome:
    """The register function answers the burst; ``quotas`` says how many times the default ones the account has.

    Without anybody listed the run ends once every device is on hold.
    """
    world, expected = _world(size, concurrency, quotas, strangers=strangers, listed=listed)
    environments = world.register()
    world.arrive(devices(size), within, longest=longest)
    if listed:
        _until(world, lambda: all(each.connected is not None for each in world.devices if each.id in expected))
    else:
        _until(world, lambda: all(world.held(each.id) for each in world.devices))
    environments.stopped = world.stopped = True
    needed = _FOR_AN_ADMISSION * len(expected) + _FOR_A_HOLD * (size - len(expected))
    return BurstOutcome("jitr", world, expected, len(world.queue.failures), needed, "DescribeCertificate")


def baselines(size: int, until: float) -> BurstOutcome:
    """AWS's example answers it; it knows no list and admits everybody."""
    world, _ = _world(size, CONCURRENCY, 1)
    example = Asynchronous(world)
    world.arrive(devices(size), WITHIN)
    _until(world, lambda: all(each.connected is not None for each in world.devices), until)
    world.stopped = True
    everybody = frozenset(each.id for each in world.devices)
    return BurstOutcome(
        "AWS's example", world, everybody, example.given_up, _FOR_THE_BASELINE * size, "UpdateCertificate"
    )


def _world(
    size: int, concurrency: int, quotas: int, *, strangers: bool = True, listed: bool = True
) -> tuple[SimulatedWorld, frozenset[str]]:
    ca = factory("P-256")
    world = SimulatedWorld(ca, concurrency=concurrency, quotas=quotas)
    world.publish(fleet_rules(ca))
    rows = [place for place in range(size) if listed and (place % _STRANGERS or not strangers)]
    world.enlist(LIST, (f"snr-{place:07d}" for place in rows))
    fleet = devices(size)
    return world, frozenset(fleet[place].sha256 for place in rows)


def _until(world: SimulatedWorld, done: Callable[[], bool], seconds: float = _SECONDS) -> None:
    end = world.clock.now + seconds
    while world.clock.now < end and not (world.devices[0].first is not None and done()):
        world.clock.run(world.clock.now + 10)


def run(*, quick: bool) -> Result:
    """Measure it."""
    result = Result("burst")
    outcomes: list[BurstOutcome] = []
    for size in (60,) if quick else SIZES:
        mine = ours(size)
        outcomes += [mine, baselines(size, _TIMES_AS_LONG * (mine.ended - mine.began))]
        _plot(result, *outcomes[-2:])
        _judge(result, mine)
    result.table("outcome", ("", *(f"{each.who}, {each.size:,}" for each in outcomes)), _rows(outcomes))
    result.table(
        "cost", ("US$ a million devices", *(f"{each.who}, {each.size:,}" for each in outcomes)), _costs(outcomes)
    )
    result.data["dollars a million"] = {f"{each.who}, {each.size}": each.dollars_a_million() for each in outcomes}
    return result


def _plot(result: Result, mine: BurstOutcome, example: BurstOutcome) -> None:
    lines = [Curve(each.who, each.curve()) for each in (mine, example)]
    minutes = (mine.ended - mine.began) / 60
    lines.append(Curve("the quota allows", [(0.0, 0.0), (mine.size / QUOTA / 60, float(mine.size))]))
    title = f"{mine.size:,} devices within a minute, simulated over {minutes * _TIMES_AS_LONG:,.0f} minutes"
    result.plots.append(Plot(f"burst-{mine.size}", title, "minutes", "devices admitted", lines))


def _judge(result: Result, mine: BurstOutcome) -> None:
    what = f"A burst of {mine.size:,}"
    used, wasted = mine.used(mine.world.queue.waited_until), mine.wasted()
    result.goal(f"{what}: quota used while events wait", "at least 96 %", f"{used:.1%}", met=used >= 0.96)
    result.goal(f"{what}: calls wasted", "at most 1 %", f"{wasted:.2%}", met=wasted <= 0.01)
    result.goal(f"{what}: devices lost", "0", f"{mine.lost()}", met=mine.lost() == 0)
    result.goal(f"{what}: devices wrong", "0", f"{mine.wrong()}", met=mine.wrong() == 0)


def _rows(outcomes: Sequence[BurstOutcome]) -> Iterator[list[str]]:
    told: tuple[tuple[str, Callable[[BurstOutcome], str]], ...] = (
        ("admitted", lambda one: f"{len(one.waits()):,} of {len(one.expected):,}"),
        ("held, being on no list", lambda one: f"{one.size - len(one.expected):,}"),
        ("quota used while events wait in the queue", lambda one: _share(one, one.world.queue.waited_until)),
        ("quota used from the first knock to the last admission", lambda one: _share(one, one.ended)),
        ("calls to AWS IoT a device", lambda one: f"{one.calls() / one.size:.1f}"),
        ("calls throttled", lambda one: f"{one.world.iot.throttled.total():,}"),
        ("calls wasted", lambda one: f"{one.wasted():.1%}"),
        ("events given up", lambda one: f"{one.given_up:,}"),
        ("devices lost when the run was over", lambda one: f"{one.lost():,}"),
        ("devices wrong", lambda one: f"{one.wrong():,}"),
        ("seconds to ACTIVE: p50, p99, worst", lambda one: _percentiles(one.waits())),
        ("seconds to the connection that stays: p50, p99, worst", lambda one: _percentiles(one.connections())),
        ("connections a device", lambda one: f"{one.world.events / one.size + 1:.1f}"),
    )
    for what, of in told:
        yield [what, *map(of, outcomes)]


def _share(one: BurstOutcome, until: float) -> str:
    return f"{one.used(until):.1%}" if until > one.began else "no queue"


def _percentiles(seconds: Sequence[float]) -> str:
    places = (len(seconds) // 2, len(seconds) * 99 // 100, len(seconds) - 1)
    return ", ".join(f"{seconds[each]:,.0f}" for each in places)


def _costs(outcomes: Sequence[BurstOutcome]) -> Iterator[list[str]]:
    costs = [each.dollars_a_million() for each in outcomes]
    for service in costs[0]:
        yield [service, *(f"{each[service]:.2f}" for each in costs)]
    yield ["together", *(f"{sum(each.values()):.2f}" for each in costs)]
