"""The simulation against the local stack: the same small burst on both.

On the local stack MQTT clients knock over TLS, and the built function answers as the template deploys it, at the pace
of the same parameters. The stack does not throttle, so what is compared is what the simulation predicts of the pace
and of the order of things; a busy machine delays the beginning on the stack, so rates are compared from a quarter of
the admissions to three quarters.
"""

import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from testkit.stack.plant import Plant, until

from bench import burst, prices
from bench.results import Result
from jitr_local.device import LONGEST_WAIT, Device
from jitr_local.session import running_stack

DEVICES = 100
_PATIENCE = 120.0  # seconds
_WITHIN = 3.0
_COUNTS = ("Admitted", "SettledKnocks", "Retries")


@dataclass(frozen=True)
class Measured:
    """What one of the two showed."""

    admitted: Sequence[float]  # when, in order, in seconds of any clock
    counts: Mapping[str, float]  # the function's metrics
    logged: int | None = None  # bytes that CloudWatch Logs charges for; the simulation logs nothing

    def rate(self) -> float:
        """Admissions a second in the middle half."""
        low, high = len(self.admitted) // 4, len(self.admitted) * 3 // 4
        return (high - low) / (self.admitted[high] - self.admitted[low])


def run(*, quick: bool) -> Result:
    """Run both and put them side by side."""
    result = Result("checked")
    devices = 24 if quick else DEVICES
    real, simulated = on_the_stack(devices), in_simulation(devices)
    off = abs(simulated.rate() / real.rate() - 1)
    result.goal(
        "The simulation's rate of admission against the local stack's", "within 15 %", f"{off:.1%} off", met=off <= 0.15
    )
    result.table("burst", (f"{devices} devices", "local stack", "simulation"), _rows(real, simulated))
    return result


def _rows(real: Measured, simulated: Measured) -> Iterator[list[str]]:
    yield ["admissions a second, middle half", f"{real.rate():.2f}", f"{simulated.rate():.2f}"]
    yield [
        "seconds from the first to the last",
        *(f"{each.admitted[-1] - each.admitted[0]:.1f}" for each in (real, simulated)),
    ]
    for name in _COUNTS:
        yield [f"metric {name}", *(f"{each.counts.get(name, 0):.0f}" for each in (real, simulated))]
    assert real.logged is not None
    a_device = real.logged / len(real.admitted)
    dollars = a_device / 1e9 * prices.LOGS_GB * 1e6
    yield ["logged, bytes a device", f"{a_device:.0f}, US$ {dollars:.2f} a million devices", "nothing"]


def in_simulation(count: int) -> Measured:
    """The simulated account, and devices that come back as those of the local stack do."""
    outcome = burst.ours(count, within=_WITHIN, strangers=False, longest=LONGEST_WAIT)
    return Measured(sorted(outcome.world.iot.admitted.values()), outcome.world.telemetry.counts)


def on_the_stack(count: int) -> Measured:
    """A local stack, and MQTT clients."""
    with running_stack() as stack, tempfile.TemporaryDirectory(prefix="jitr-bench-") as name:
        plant = Plant(stack, Path(name))
        factory = plant.factory("snr")
        plant.publish(plant.rules(factory))
        plant.jitr(
            *("device", "issue", "--count", str(count), "--prefix", "snr-"),
            *("--ca", factory.ca, "--out-dir", plant.folder / "devices"),
        )
        files = sorted((plant.folder / "devices").glob("snr-*.pem"))
        made = [plant.made(each.stem, each, each.with_suffix(".key")) for each in files]
        _knock([each.device for each in made])
        ids = [each.certificate_id for each in made]
        settled = until(lambda: _admitted(plant, ids), f"{count} devices are admitted", _PATIENCE)
        for each in made:
            each.device.stop.set()
        return Measured(settled, {name: _total(plant, name) for name in _COUNTS}, _logged(plant))


def _knock(devices: Sequence[Device]) -> None:
    for place, device in enumerate(devices):
        thread = threading.Timer(_WITHIN * place / len(devices), device.run)
        thread.daemon = True
        thread.start()


def _admitted(plant: Plant, ids: Sequence[str]) -> list[float]:
    """When each was admitted; nothing as long as one is not."""
    records = list(plant.table.records(ids))
    done = sorted(each.decided_at.timestamp() for each in records if each.state == "applied")
    return done if len(done) == len(ids) else []


def _logged(plant: Plant) -> int:
    """With what Lambda itself writes, and the 26 bytes that are charged with each line.

    Amazon CloudWatch Logs API reference, PutLogEvents.
    """
    return sum(len(each.encode()) + 26 for each in plant.log_messages())


def _total(plant: Plant, name: str) -> float:
    lines = [each for each in plant.metrics(name) if "reason" not in each]
    return sum(sum(each[name]) if isinstance(each[name], list) else each[name] for each in lines)
