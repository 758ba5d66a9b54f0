"""Decision records in the order in which they were made, read a few at a time from the index ``by_state``."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from heapq import merge
from itertools import dropwhile, groupby, islice, takewhile
from typing import NamedTuple

from jitr.aws.dynamodb.table import BATCH_GET, Item, Table, certificate_of, key_of, state_shards
from jitr.reasons import Verdict
from jitr.records.record import Record
from jitr.times import rfc3339


class DecisionPosition(NamedTuple):
    """A decision's place in the order of time: when it was made (RFC 3339), and on which certificate."""

    decided_at: str
    certificate_id: str


def newest(table: Table, verdict: Verdict, before: DecisionPosition | None = None) -> Iterator[Record]:
    """Yield the records of a verdict, the newest first; with ``before``, those that come after that place."""
    until = None if before is None else before.decided_at
    shards = (
        _in_order(table.query(each, index="by_state", newest_first=True, until=until)) for each in _shards(verdict)
    )
    places: Iterator[Item] = merge(*shards, key=_place, reverse=True)
    if before is not None:
        places = dropwhile(lambda item: _place(item) >= before, places)
    while some := list(islice(places, BATCH_GET)):
        yield from _records(table, some, verdict)


def newest_of(
    table: Table,
    verdicts: Iterable[Verdict] = Verdict,
    since: datetime | None = None,
    before: DecisionPosition | None = None,
) -> Iterator[Record]:
    """Yield the records of several verdicts, the newest first; none that was decided before ``since``."""
    records = merge(*(newest(table, each, before) for each in verdicts), key=place_of, reverse=True)
    return takewhile(lambda each: since is None or each.decided_at >= since, records)


def place_of(record: Record) -> DecisionPosition:
    """Return where a record stands among the newest first."""
    return DecisionPosition(rfc3339(record.decided_at), record.certificate_id)


def _shards(verdict: Verdict) -> Iterator[str]:
    return state_shards(verdict.value)


def _in_order(items: Iterable[Item]) -> Iterator[Item]:
    """Yield items of one shard in an order of their own also where they were decided in the same second."""
    for _, same in groupby(items, key=lambda item: str(item["state_at"])):
        yield from sorted(same, key=_place, reverse=True)


def _place(item: Item) -> DecisionPosition:
    return DecisionPosition(str(item["state_at"]), certificate_of(item))


def _records(table: Table, places: Iterable[Item], verdict: Verdict) -> Iterator[Record]:
    keys = list(map(key_of, places))
    found = {item["pk"]: item for item in table.get(keys)}
    for key in keys:
        item = found.get(key["pk"])
        # The index follows the table a moment later: what changed meanwhile is left out.
        if item is not None and item["decision"] == verdict.value:
            yield Record.from_json(item)
