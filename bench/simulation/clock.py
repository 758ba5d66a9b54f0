"""Simulated time. Processes are greenlets: they call ordinary code, and what waits in it waits in simulated time."""

import heapq
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count

from greenlet import getcurrent, greenlet

EPOCH = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Clock:
    """Runs processes one at a time, always the one whose time comes first; between two events no time passes."""

    def __init__(self) -> None:
        self.now = 0.0  # seconds since EPOCH
        self._until = float("inf")
        self._waiting: list[tuple[float, int, greenlet]] = []
        self._number = count()
        self._hub = getcurrent()

    @property
    def time(self) -> datetime:
        """The wall clock."""
        return EPOCH + timedelta(seconds=self.now)

    def start(self, process: Callable[[], object], at: float | None = None) -> None:
        """Begin a process now, or at a time to come."""
        self._wake(greenlet(process, parent=self._hub), self.now if at is None else at)

    def sleep(self, seconds: float) -> None:
        """Let time pass for the process that asks."""
        then = self.now + max(0.0, seconds)
        if then < self._until and (not self._waiting or then < self._waiting[0][0]):
            self.now = then  # nobody else comes first
            return
        self._wake(getcurrent(), then)
        self._hub.switch()

    def at_once(self, works: Iterable[Callable[[], None]]) -> None:
        """What ``jitr.aws.overlap.at_once`` does, in processes instead of threads."""
        wanted, caller = list(works), getcurrent()
        if len(wanted) < 2 or caller is self._hub:
            for each in wanted:
                each()
            return
        errors: list[Exception | None] = [None] * len(wanted)
        under_way = len(wanted)

        def do(place: int, work: Callable[[], None]) -> None:
            nonlocal under_way
            try:
                work()
            except Exception as error:  # noqa: BLE001 (the caller raises it)
                errors[place] = error
            under_way -= 1
            if under_way == 0:
                self._wake(caller, self.now)

        for place, work in enumerate(wanted):
            self.start(partial(do, place, work))
        self._hub.switch()
        for error in filter(None, errors):
            raise error

    def run(self, until: float) -> None:
        """Let everything happen up to a time; what waits for a later one goes on at the next run."""
        self._until = until
        while self._waiting and self._waiting[0][0] <= until:
            self.now, _, process = heapq.heappop(self._waiting)
            process.switch()
        self.now = max(self.now, until if until != float("inf") else self.now)

    def _wake(self, process: greenlet, at: float) -> None:
        heapq.heappush(self._waiting, (at, next(self._number), process))
