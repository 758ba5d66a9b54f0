"""The time that an HTTP answer tells in its ``Date`` header."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def read_http_date(text: str | None) -> datetime | None:
    """Return the time in a ``Date`` header (RFC 9110 section 6.6.1), in UTC; None where it tells no time."""
    if text is None:
        return None
    try:
        time = parsedate_to_datetime(text)
        # "-0000" is UTC of a clock whose own zone is not told (RFC 5322 section 3.3): Python gives it none at all.
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (TypeError, ValueError, IndexError, OverflowError):  # no date, or one outside years 1 to 9999
        return None
