"""A storm: 10,000 held devices knock every 5 seconds for an hour, and eligible newcomers come in between.

Simulated time, and a sample: one minute of the hour is run, knock by knock, through the register function's own code,
after a minute in which the storm begins; every minute of the hour is like this one, since a held device is counted once
a minute and nothing else changes. The counts of the hour are those of the sample times sixty. What is real and what is
simulated: see `bench.burst`.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from statistics import median
from typing import Any, cast

from bench import prices
from bench.burst import LIST, devices, fleet_rules
from bench.fleet import factory
from bench.results import Result
from bench.simulation.world import ACCOUNT, CONCURRENCY, SimulatedDevice, SimulatedWorld
from jitr.aws.iot import Iot
from jitr.services.registration.delivery import Message
from jitr.services.registration.registrar import Registrar

HELD = 10_000
EVERY = 5.0  # seconds
_BEGINS, _SAMPLE, _HOUR = 60.0, 60.0, 3600.0
_AFTER = 30.0  # seconds for the last newcomers
_AS_FAST = 1.5  # times the calm
_TOO_FEW = 5  # environments: fewer than MaximumConcurrency has by default


@dataclass
class StormOutcome:
    """What became of the sample."""

    world: SimulatedWorld
    knocks: int
    seconds: float
    newcomers: list[SimulatedDevice]
    used: prices.Used  # in the sample
    requests: Counter[str]  # to the table
    longest: int  # most messages in the queue
    left: int  # in the queue when the sample was over

    def waits(self) -> list[float]:
        """Seconds from a newcomer's first knock until it was ACTIVE, in order; endless for one that was not."""
        admitted = self.world.iot.admitted
        return sorted(admitted.get(each.id, float("inf")) - (each.first or 0.0) for each in self.newcomers)

    def calls(self) -> int:
        """Calls to AWS IoT for held devices: all but what the newcomers needed, and but those about CAs."""
        iot = self.world.iot.calls
        return iot["DescribeCertificate"] - sum(each.id in self.world.iot.admitted for each in self.newcomers)


def storm(held: int, concurrency: int, seconds: float = _SAMPLE) -> StormOutcome:
    """Let it begin, then watch it for some seconds. With nobody held it is the calm."""
    world = SimulatedWorld(factory("P-256"), concurrency=concurrency)
    world.publish(fleet_rules(world.ca))
    count = int(seconds)
    world.enlist(LIST, (f"snr-{place:07d}" for place in range(count)))
    _hold(world, held)
    waiting, began = list(world.devices), world.clock.now
    world.forget()
    environments = world.register()
    for device in waiting:
        world.clock.start(lambda device=device: _knocks(world, device), began + world.random.random() * _BEGINS)  # type: ignore[misc]
    world.clock.run(began + _BEGINS)
    world.forget()
    world.arrive(devices(count), seconds)
    world.queue.longest = 0
    world.clock.run(began + _BEGINS + seconds)
    knocks = world.telemetry.counts["HeldKnocks"]
    table = world.dynamodb
    used = prices.Used(
        events=knocks,
        iot={},
        invocations=world.bill.invocations,
        seconds=world.bill.seconds,
        sqs=world.bill.requests,
        read_units=table.read_units,
        write_units=table.write_units,
    )
    newcomer = world.devices[held:]
    outcome = StormOutcome(
        world, knocks, seconds, newcomer, used, Counter(table.calls), world.queue.longest, len(world.queue)
    )
    world.clock.run(began + _BEGINS + seconds + _AFTER)
    environments.stopped = world.stopped = True
    return outcome


def _hold(world: SimulatedWorld, count: int) -> None:
    """Devices that are on no list, decided by the function's own code, outside of time."""
    registrar = Registrar(
        iot=Iot(cast(Any, world.iot)),
        table=world.table,
        account_id=ACCOUNT,
        clock=lambda: world.clock.time,
        telemetry=world.telemetry,
    )
    world.gate.open = True
    for place in range(count):
        issued = world.ca.usual_device(f"late-{place:07d}").key("P-256", f"late {place}").serial(place + 1).issue()
        device = SimulatedDevice(issued, issued.sha256)
        world.devices.append(device)
        world.iot._registered(issued.pem.decode(), world.ca.id, "PENDING_ACTIVATION")
        registrar.handle(Message(world.event(device), world.clock.time, 1, f"hold {place}"))
    world.gate.open = False


def _knocks(world: SimulatedWorld, device: SimulatedDevice) -> None:
    while not world.stopped:
        world.events += 1
        world.queue.send(world.event(device), device.id)
        world.clock.sleep(EVERY)


def run(*, quick: bool) -> Result:
    """Measure it."""
    result = Result("storm")
    held, seconds = (40, 10.0) if quick else (HELD, _SAMPLE)
    calm, stormy = storm(0, CONCURRENCY, seconds), storm(held, CONCURRENCY, seconds)
    result.goal("A storm: calls to AWS IoT for held devices", "0", f"{stormy.calls()}", met=stormy.calls() == 0)
    asked, reads = stormy.requests["BatchGetItem"] / stormy.knocks, stormy.used.read_units / stormy.knocks
    result.goal("A storm: table reads a knock", "at most 1 request", f"{asked:.2f}, {reads:.2f} units", met=asked <= 1)
    counted = stormy.requests["UpdateItem"] / (held * seconds / 60)
    result.goal("A storm: table writes a held device and minute", "at most 1", f"{counted:.2f}", met=counted <= 1)
    ratio = _worst(stormy.waits()) / _worst(calm.waits())
    result.goal(
        "A storm: a newcomer's time to ACTIVE, median and 99th percentile",
        f"at most {_AS_FAST} × the calm",
        f"{median(stormy.waits()) / median(calm.waits()):.2f} × and {ratio:.2f} ×",
        met=max(ratio, median(stormy.waits()) / median(calm.waits())) <= _AS_FAST,
    )
    columns = ("a newcomer's seconds to ACTIVE", "median", "p99", "worst", "messages that wait at the end")
    few = storm(held, _TOO_FEW, seconds)
    told = {"in calm": calm, "in the storm": stormy, f"in the storm, {_TOO_FEW} environments": few}
    result.table("newcomers", columns, _waits(told))
    result.table("hour", ("in an hour", "", ""), _hour(stormy))
    return result


def _worst(waits: list[float]) -> float:
    return waits[len(waits) * 99 // 100]


def _waits(told: Mapping[str, StormOutcome]) -> Iterator[list[str]]:
    for name, outcome in told.items():
        waits = outcome.waits()
        seconds = (f"{each:.2f}" if isfinite(each) else "–" for each in (median(waits), _worst(waits), waits[-1]))
        yield [name, *seconds, f"{outcome.left:,}"]


def _hour(stormy: StormOutcome) -> Iterator[list[str]]:
    times, used, knocks = _HOUR / stormy.seconds, stormy.used, stormy.knocks
    reads, writes = stormy.requests["BatchGetItem"], stormy.requests["UpdateItem"]
    dollars = {service: each * times for service, each in used.dollars().items() if each}
    yield ["knocks", f"{knocks * times:,.0f}", ""]
    yield ["most messages in the queue", f"{stormy.longest:,}", ""]
    yield ["invocations", f"{used.invocations * times:,.0f}", f"{knocks / used.invocations:.1f} knocks each"]
    yield ["table requests that read", f"{reads * times:,.0f}", f"{used.read_units / knocks:.2f} units a knock"]
    yield ["table requests that write", f"{writes * times:,.0f}", f"{used.write_units / knocks:.2f} units a knock"]
    yield ["US$", f"{sum(dollars.values()):.2f}", ", ".join(f"{name} {each:.2f}" for name, each in dollars.items())]
