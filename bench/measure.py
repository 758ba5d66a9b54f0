"""Timing that stands a busy machine: what is compared runs in turns, and the ratio is taken within each turn."""

import gc
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

_TURN = 0.02  # seconds that one thing runs in a turn


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of some values, and the middle half of them."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Of at least one value."""
        if len(values) < 2:
            return cls(values[0], values[0], values[0])
        low, _, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(statistics.median(values), low, high)

    def times(self, factor: float) -> "Spread":
        """The same in another unit."""
        return Spread(self.median * factor, self.low * factor, self.high * factor)

    def to_json(self) -> list[float]:
        """Median, lower and upper quartile."""
        return [self.median, self.low, self.high]

    def told(self, digits: int = 1, unit: str = "") -> str:
        """The median, and the middle half of the values behind it."""
        return f"{self.median:,.{digits}f}{unit} ({self.low:,.{digits}f} to {self.high:,.{digits}f})"


@dataclass(frozen=True)
class Timings:
    """Seconds a call of each thing, one value a turn; the values of one turn belong together."""

    seconds: Mapping[str, Sequence[float]]

    def of(self, name: str) -> Spread:
        """Seconds a call."""
        return Spread.of(self.seconds[name])

    def ratio(self, name: str, base: str) -> Spread:
        """How many times as long as the base, turn by turn."""
        return Spread.of([a / b for a, b in zip(self.seconds[name], self.seconds[base], strict=True)])


def compare(things: Mapping[str, Callable[[], object]], *, turns: int) -> Timings:
    """Time some functions in turns; each runs for about 20 ms in a turn. The collector of garbage stands still."""
    with _nothing_older_collected():
        calls = {name: _calls_in_a_turn(each) for name, each in things.items()}
        seconds: dict[str, list[float]] = {name: [] for name in things}
        names = list(things)
        for turn in range(turns):
            at = turn % len(names)
            for name in names[at:] + names[:at]:
                seconds[name].append(timed(things[name], calls[name]))
        return Timings(seconds)


@contextmanager
def _nothing_older_collected() -> Iterator[None]:
    """Keep the collector from what is there already, so that the collection before each turn costs next to nothing."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def timed(thing: Callable[[], object], calls: int) -> float:
    """Seconds that one of so many calls takes."""
    gc.collect()
    gc.disable()
    try:
        before = time.process_time_ns()
        for _ in range(calls):
            thing()
        return (time.process_time_ns() - before) / 1e9 / calls
    finally:
        gc.enable()


def _calls_in_a_turn(thing: Callable[[], object]) -> int:
    thing()  # what is made at the first call (indexes, caches) is not what is measured
    calls = 1
    while True:
        seconds = timed(thing, calls) * calls
        if seconds >= _TURN / 2:
            return max(1, round(calls * _TURN / seconds))
        calls *= 4
