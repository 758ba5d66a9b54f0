"""What CloudWatch sees of the simulated account, and which alarms of the template it raises, minute by minute.

Amazon CloudWatch User Guide, "Alarm evaluation" and "Configuring how CloudWatch alarms treat missing data": each minute
an alarm looks at its last EvaluationPeriods periods (a sliding window, unless it says otherwise), and is raised while
DatapointsToAlarm of them breach its threshold. A period without data counts as TreatMissingData says. More periods are
fetched than that, and where they have enough data they take the place of missing ones: how many is not told, so both
ends of it are tried (``fetched``).
"""

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Series = tuple[str, str, frozenset[tuple[str, str]]]  # namespace, name, dimensions

_BREACHES: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanThreshold": lambda value, threshold: value > threshold,
    "LessThanThreshold": lambda value, threshold: value < threshold,
}
_STATISTICS: dict[str, Callable[[list[float]], float]] = {"Sum": sum, "Maximum": max}
# CloudWatch Metrics Insights: without SCHEMA, a metric of whatever dimensions.
_INSIGHTS = re.compile(r"""SELECT SUM\((\w+)\) FROM "([\w/]+)" WHERE (\w+) = '([^']+)'""")


@dataclass
class CloudWatch:
    """Data points, and how many seconds they come late."""

    late: float = 60.0
    points: dict[Series, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))

    def put(self, at: float, namespace: str, name: str, value: float, **dimensions: str) -> None:
        """Take a data point of a moment, in seconds."""
        self.points[namespace, name, frozenset(dimensions.items())].append((at, value))

    def raised(self, alarm: Mapping[str, Any], until: float, *, fetched: int = 0) -> list[bool]:
        """Return whether an alarm is raised, at each full minute; ``fetched`` is how many periods more it looks at."""
        watch = _Watch(alarm, fetched)
        points = sorted(point for series in self.points if watch.is_for(series) for point in self.points[series])
        times = [at for at, _ in points]
        states = []
        for now in range(60, int(until) + 1, 60):
            window = slice(bisect_right(times, now - watch.looks_back), bisect_right(times, now - self.late))
            states.append(watch.is_raised(points[window], now))
        return states


class _Watch:
    """One alarm, as a template has it once its parameters are filled in."""

    def __init__(self, alarm: Mapping[str, Any], fetched: int) -> None:
        self._alarm = alarm
        self._looks_at = int(alarm["EvaluationPeriods"])
        self._enough = int(alarm.get("DatapointsToAlarm", self._looks_at))
        self._fetched = fetched
        query = alarm["Metrics"][0] if "Metrics" in alarm else None
        self._period = int(query["Period"] if query else alarm["Period"])
        self._statistic = _STATISTICS["Sum" if query else alarm["Statistic"]]
        self._query = query and _INSIGHTS.fullmatch(plain(query["Expression"]))

    @property
    def looks_back(self) -> int:
        return self._period * (self._looks_at + self._fetched)

    def is_for(self, series: Series) -> bool:
        namespace, name, dimensions = series
        if self._query:
            metric, space, key, value = self._query.groups()
            return bool((namespace, name) == (space, metric) and (key, value) in dimensions)
        wanted = frozenset((each["Name"], plain(each["Value"])) for each in self._alarm["Dimensions"])
        return bool((namespace, name, dimensions) == (self._alarm["Namespace"], self._alarm["MetricName"], wanted))

    def is_raised(self, points: Iterable[tuple[float, float]], now: float) -> bool:
        periods: dict[int, list[float]] = defaultdict(list)
        for at, value in points:
            periods[int((now - at) // self._period)].append(value)
        real = [self._breaches(periods[each]) for each in range(self._looks_at + self._fetched) if periods.get(each)]
        if self._fetched and len(real) >= self._looks_at:
            return sum(real[: self._looks_at]) >= self._enough
        missing = bool(self._alarm["TreatMissingData"] == "breaching")
        seen = [self._breaches(periods[each]) if periods.get(each) else missing for each in range(self._looks_at)]
        return sum(seen) >= self._enough

    def _breaches(self, values: list[float]) -> bool:
        compare = _BREACHES[self._alarm["ComparisonOperator"]]
        return bool(compare(self._statistic(values), float(self._alarm["Threshold"])))


def plain(value: Any) -> str:
    """Return a template's value as text, a reference to a resource as the resource's logical id."""
    if isinstance(value, str):
        return value
    ((function, what),) = value.items()
    if function == "Fn::Sub":
        return re.sub(r"\$\{(\w+)\}", lambda found: found[1], str(what))
    return (what if isinstance(what, str) else what[0]).split(".")[0]
