"""How often a device knocks, for people: about, and from its own knocks alone.

Knocks are counted at most once a minute, so a count is the least that it can have been, and is told as that.
"""

from datetime import timedelta

from jitr.records.record import COUNT_AGAIN, Record, knock_interval
from jitr.times import rfc3339


def how_often(record: Record) -> str:
    """Return it in a few words: ``never``, ``at least once``, ``every 12 min``."""
    interval = knock_interval(record)
    if interval is None:
        return ("never", "at least once")[min(record.knocks, 1)]
    # Knocks are counted at most once a minute, so who knocks more often seems to knock a little less than that often.
    if interval < 1.5 * COUNT_AGAIN:
        return "every minute or more often"
    return f"every {_span(interval)}"


def told(record: Record) -> str:
    """Return in a sentence's place how many knocks there were, how often, and when the last."""
    if record.knocks == 0 or record.counted_at is None:
        return "never knocked here"
    times = "once" if record.knocks == 1 else f"{record.knocks} times, {how_often(record)}"
    return f"at least {times}, last {rfc3339(record.counted_at)} (counted at most once a minute)"


def _span(interval: timedelta) -> str:
    seconds = interval.total_seconds()
    for unit, size in (("d", 86_400), ("h", 3_600)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 60:.0f} min"
