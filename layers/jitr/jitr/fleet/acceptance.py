"""Findings that an operator accepts for a while: they are counted and shown, and raise no alarm.

An acceptance is for the number of devices that were found when it was given. One device more is news, and is told.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from jitr.fleet.standing import Standing
from jitr.fleet.tally import EXPIRING
from jitr.times import parse_time, rfc3339
from jitr.values import dataclass


@dataclass(frozen=True, slots=True)
class Acceptance:
    """At most so many devices found for a reason raise no alarm until a time."""

    reason: str
    most: int
    until: datetime
    by: str
    at: str  # RFC 3339
    note: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as it is kept and printed."""
        return {
            "reason": self.reason,
            "most": self.most,
            "until": rfc3339(self.until),
            "by": self.by,
            "at": self.at,
            "note": self.note,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Acceptance":
        """Read what ``to_json`` wrote."""
        until = parse_time(data["until"])
        return cls(data["reason"], int(data["most"]), until, data["by"], data["at"], data.get("note"))


# Which kinds of findings each metric counts.
METRICS: Mapping[str, tuple[str, ...]] = {
    "NotAdmissibleToday": (Standing.REJECT.value, Standing.HOLD.value),
    "Drifted": (Standing.GONE.value, Standing.CHANGED.value, Standing.DRIFT.value),
    "Unknown": (Standing.UNKNOWN.value,),
    "ExpiringSoon": (EXPIRING,),
}


def not_accepted(
    counts: Mapping[str, Mapping[str, int]], acceptances: Iterable[Acceptance], now: datetime
) -> dict[str, int]:
    """Return, by kind, how many of the devices that were found nobody has accepted."""
    accepted = {each.reason: each.most for each in acceptances if now < each.until}
    left: dict[str, int] = {}
    for kind, reasons in counts.items():
        left[kind] = 0
        for reason, count in reasons.items():
            taken = min(count, accepted.get(reason, 0))
            accepted[reason] = accepted.get(reason, 0) - taken
            left[kind] += count - taken
    return left


def gauges(left: Mapping[str, int]) -> dict[str, int]:
    """Return the metrics of the findings that nobody has accepted, and what of them raises FleetAlarm."""
    told = {name: sum(left.get(kind, 0) for kind in kinds) for name, kinds in METRICS.items()}
    return told | {"FleetFindings": told["NotAdmissibleToday"] + told["Drifted"] + told["Unknown"]}
