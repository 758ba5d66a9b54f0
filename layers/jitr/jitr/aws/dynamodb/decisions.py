"""Decision records in the order in which they were made, read a few at a time from the index ``by_state``."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from heapq import merge
from itertools import islice, takewhile

from jitr.aws.dynamodb.table import BATCH_GET, Item, Table, state_shards
from jitr.reasons import Verdict
from jitr.records.record import Record


def newest(table: Table, verdict: Verdict) -> Iterator[Record]:
    """The records of a verdict, the newest first."""
    shards = (table.query(shard, index="by_state", newest_first=True) for shard in state_shards(verdict.value))
    places = merge(*shards, key=lambda item: str(item["state_at"]), reverse=True)
    while some := list(islice(places, BATCH_GET)):
        yield from _records(table, some, verdict)


def newest_of(table: Table, verdicts: Iterable[Verdict] = Verdict, since: datetime | None = None) -> Iterator[Record]:
    """The records of several verdicts, the newest first; none that was decided before ``since``."""
    records = merge(*(newest(table, each) for each in verdicts), key=lambda each: each.decided_at, reverse=True)
    return takewhile(lambda each: since is None or each.decided_at >= since, records)


def _records(table: Table, places: Iterable[Item], verdict: Verdict) -> Iterator[Record]:
    keys = [{"pk": each["pk"], "sk": each["sk"]} for each in places]
    found = {item["pk"]: item for item in table.get(keys)}
    for key in keys:
        item = found.get(key["pk"])
        # The index follows the table a moment later: what changed meanwhile is left out.
        if item is not None and item["decision"] == verdict.value:
            yield Record.from_json(item)
