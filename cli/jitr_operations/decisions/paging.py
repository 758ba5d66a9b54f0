"""Decisions on record a page at a time, by keys: what is added meanwhile moves nothing from one page to another."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from jitr.aws.dynamodb.decisions import DecisionPosition, newest_of, place_of
from jitr.aws.dynamodb.table import Table
from jitr.errors import InputError
from jitr.reasons import Verdict
from jitr.records.record import Record
from jitr.times import parse_time

SIZE = 50  # records of one page
MOST = 1_000  # records that are looked at for one page, where a filter passes few


@dataclass(frozen=True, slots=True)
class RecordPage:
    """Some records, and after which the next ones come; None where there are no more.

    ``looked_at`` records were read. A page that is not full and has ``after`` goes on: its filter passed few of them.
    """

    records: tuple[Record, ...]
    after: str | None
    looked_at: int


def page(
    table: Table,
    verdicts: Iterable[Verdict],
    wanted: Callable[[Record], bool],
    *,
    since: datetime | None = None,
    after: str | None = None,
    size: int = SIZE,
    most: int = MOST,
) -> RecordPage:
    """Return the records that come after a place, the newest first. Raises InputError for a place that is none."""
    found: list[Record] = []
    last, count = None, 0
    for record in _from(table, verdicts, since, after):
        if len(found) == size or count == most:
            return RecordPage(tuple(found), None if last is None else "~".join(place_of(last)), count)
        last, count = record, count + 1
        if wanted(record):
            found.append(record)
    return RecordPage(tuple(found), None, count)


def _from(table: Table, verdicts: Iterable[Verdict], since: datetime | None, after: str | None) -> Iterator[Record]:
    return newest_of(table, verdicts, since, None if after is None else _place(after))


def _place(text: str) -> DecisionPosition:
    decided_at, _, certificate_id = text.partition("~")
    try:
        parse_time(decided_at)
    except ValueError:
        raise InputError("the page's address is damaged: begin with its first page") from None
    return DecisionPosition(decided_at, certificate_id)
