"""The first burst on an idle stack: 24 devices come within a second, and no environment of the function is started yet.

Simulated as in `bench.burst`: starting an environment takes a second. Beside it the same devices on a warm stack, whose
environments have all answered a burst before and wait. Each seed is run on both.
"""

from testkit import pki

from bench.burst import LIST, devices, fleet_rules
from bench.fleet import factory
from bench.measure import Spread
from bench.results import Result
from bench.simulation.queue import COLD_START
from bench.simulation.world import CONCURRENCY, SimulatedWorld

DEVICES = 24
_WITHIN = 1.0  # seconds
_MOST = 1.5  # times the warm stack's
# Enough that each environment gets a batch of them, and how long all wait after the last.
_BEFORE = 10 * CONCURRENCY
_PAUSE = 30.0


def seconds(seed: int, *, warm: bool) -> float:
    """Return the seconds from the first knock of the devices until the last of them is ACTIVE."""
    world = SimulatedWorld(factory("P-256"), seed=seed)
    world.publish(fleet_rules(world.ca))
    world.enlist(LIST, (f"snr-{place:07d}" for place in range(DEVICES + _BEFORE)))
    fleet = devices(DEVICES + _BEFORE)
    environments = world.register()
    if warm:
        _arrive(world, fleet[DEVICES:])
        world.clock.run(world.clock.now + _PAUSE)
    burst = fleet[:DEVICES]
    before = world.clock.now
    _arrive(world, burst)
    environments.stopped = world.stopped = True
    first = min(each.first for each in world.devices if each.first is not None and each.first >= before)
    return max(world.iot.admitted[each.sha256] for each in burst) - first


def _arrive(world: SimulatedWorld, fleet: list[pki.Issued]) -> None:
    """Let devices come, until all of them are connected."""
    world.arrive(fleet, _WITHIN)
    come = world.devices[-len(fleet) :]
    while any(each.connected is None for each in come):
        world.clock.run(world.clock.now + 1)


def run(*, quick: bool) -> Result:
    """Measure it."""
    result = Result("first_burst")
    seeds = range(1, 4 if quick else 22)
    idle, warm = ([seconds(seed, warm=warm) for seed in seeds] for warm in (False, True))
    ratio = Spread.of([cold / ready for cold, ready in zip(idle, warm, strict=True)])
    columns = (f"{DEVICES} devices within a second", "seconds until the last is ACTIVE", "against a warm stack")
    rows = [
        (f"idle: an environment starts in {COLD_START:g} s", Spread.of(idle).told(2), ratio.told(2)),
        ("warm", Spread.of(warm).told(2), "1"),
    ]
    result.table("seconds", columns, rows)
    goal = f"The first {DEVICES} devices on an idle stack, against a warm one"
    result.goal(goal, f"at most {_MOST} ×", f"{ratio.told(2)} ×", met=ratio.median <= _MOST)
    return result
