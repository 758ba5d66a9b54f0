"""Times as they are written here: UTC, RFC 3339, whole seconds or milliseconds, always with ``Z``."""

from datetime import UTC, datetime, timedelta

from jitr.text import counted


def rfc3339(time: datetime) -> str:
    """Write an aware time in UTC as RFC 3339; milliseconds only if there are some."""
    utc = time.astimezone(UTC) if time.utcoffset() else time
    spec = "milliseconds" if utc.microsecond else "seconds"
    return utc.replace(tzinfo=None).isoformat(timespec=spec) + "Z"


def parse_time(text: str) -> datetime:
    """Read a date (its first second, UTC) or an RFC 3339 time as an aware UTC time; without an offset it is UTC.

    Raises ValueError for anything else.
    """
    time = datetime.fromisoformat(text)
    try:
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"{text} is not a time in years 1 to 9999 UTC") from error


def from_epoch_ms(milliseconds: int) -> datetime:
    """AWS IoT's epoch milliseconds as an aware UTC time. Raises ValueError outside years 1 to 9999."""
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, OSError) as error:
        raise ValueError(f"{milliseconds} ms is not a time") from error


def span(length: timedelta) -> str:
    """Write a length of time as a person says it: days, else hours, else minutes."""
    for unit, seconds in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        count = int(length.total_seconds() // seconds)
        if count:
            return counted(count, unit)
    return "less than a minute"
