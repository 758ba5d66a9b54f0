"""The options ``--since`` and ``--until``: a span back from now, or a time."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar

import click

from jitr.times import parse_time, rfc3339
from jitr.unseen import quote
from jitr_operations.table import now

F = TypeVar("F", bound=Callable[..., Any])

_SPAN = re.compile(r"(\d{1,6})([smhd])")
# A time that AWS's clock gave a moment ago is no slip. Whose clock is further off is refused by AWS in any case:
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-signing-elements.html
_CLOCKS_DIFFER = timedelta(minutes=15)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def _parse(_context: click.Context, _parameter: click.Parameter, text: str | None) -> datetime | None:
    if text is None:
        return None
    span = _SPAN.fullmatch(text)
    try:
        if span is not None:
            return now() - timedelta(**{_UNITS[span[2]]: int(span[1])})
        return parse_time(text)
    except (ValueError, OverflowError):
        raise click.BadParameter(f"{quote(text)}: give a span (24h, 7d, at most 99999d) or an RFC 3339 time") from None


def _parse_since(context: click.Context, parameter: click.Parameter, text: str | None) -> datetime | None:
    since = _parse(context, parameter, text)
    if since is not None and since > now() + _CLOCKS_DIFFER:
        raise click.BadParameter(f"{quote(str(text))}: this is yet to come, and nothing is since then")
    return since


def require_order(since: datetime | None, until: datetime | None) -> None:
    """Raise UsageError for a span that ends before it begins: nothing could ever be in it."""
    if since is not None and until is not None and until < since:
        raise click.UsageError(
            f"Nothing is between --since {rfc3339(since)} and --until {rfc3339(until)}: --until is the earlier one."
        )


def since_of(what: str) -> Callable[[F], F]:
    """Add the option ``--since``: the command gets ``since``, an aware time or None."""
    return click.option(
        "--since", metavar="SPAN|TIME", callback=_parse_since, help=f"Only {what} since then: 24h, 7d, or a time."
    )


def until_of(what: str) -> Callable[[F], F]:
    """Add the option ``--until``, likewise."""
    return click.option(
        "--until", metavar="SPAN|TIME", callback=_parse, help=f"Only {what} up to then: 1h means all but the last hour."
    )


since_option = since_of("decisions")
until_option = until_of("decisions")
