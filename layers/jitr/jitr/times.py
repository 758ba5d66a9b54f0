"""Times as they are written here: UTC, RFC 3339, whole seconds or milliseconds, always with ``Z``."""

from datetime import UTC, datetime


def rfc3339(time: datetime) -> str:
    """An aware time in UTC as RFC 3339; milliseconds only where there are some."""
    utc = time.astimezone(UTC) if time.utcoffset() else time
    spec = "milliseconds" if utc.microsecond else "seconds"
    return utc.replace(tzinfo=None).isoformat(timespec=spec) + "Z"


def parse_time(text: str) -> datetime:
    """A date (its first second, UTC) or an RFC 3339 time as an aware UTC time; without an offset it is UTC.

    Raises ValueError for anything else.
    """
    time = datetime.fromisoformat(text)
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def from_epoch_ms(milliseconds: int) -> datetime:
    """AWS IoT's epoch milliseconds as an aware UTC time. Raises ValueError outside years 1 to 9999."""
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, OSError) as error:
        raise ValueError(f"{milliseconds} ms is not a time") from error
