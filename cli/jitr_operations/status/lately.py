"""What became of devices lately, hour by hour, and how long the admitted ones waited."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from jitr.reasons import Verdict
from jitr.records.record import Record
from jitr_operations.status.newest import Newest

HOURS = 24


@dataclass(frozen=True, slots=True)
class Lately:
    """Decisions of the last hours: ``counts`` by verdict, the oldest hour first.

    ``cut`` names verdicts of which there were more than are looked at: their early hours count too little.
    ``waited`` are the seconds from first knock to decision of the admitted, in order.
    """

    begin: datetime
    counts: dict[Verdict, tuple[int, ...]]
    cut: frozenset[Verdict]
    waited: tuple[float, ...]

    def quantile(self, part: float) -> float | None:
        """Return how long the quickest part of the admitted waited at most, in seconds."""
        return self.waited[min(len(self.waited) - 1, int(part * len(self.waited)))] if self.waited else None


def lately(newest: Newest, now: datetime, *, hours: int = HOURS) -> Lately:
    """Return what became of devices in the last hours, of the newest decisions of each verdict."""
    begin = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=hours - 1)
    counts, cut, waited = {}, set(), []
    for verdict in Verdict:
        records = [each for each in newest.of(verdict) if each.decided_at >= begin]
        counts[verdict] = _by_hour(records, begin, hours)
        if len(records) == newest.most:
            cut.add(verdict)
        if verdict is Verdict.ADMIT:
            waited = sorted(
                (each.decided_at - each.first_knock_at).total_seconds() for each in records if each.first_knock_at
            )
    return Lately(begin, counts, frozenset(cut), tuple(max(0.0, each) for each in waited))


def _by_hour(records: Sequence[Record], begin: datetime, hours: int) -> tuple[int, ...]:
    found = Counter(int((each.decided_at - begin).total_seconds() // 3600) for each in records)
    return tuple(found[hour] for hour in range(hours))
