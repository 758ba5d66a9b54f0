"""Decision records in the table, for commands that list or show them."""

from collections.abc import Iterable, Iterator
from heapq import merge
from itertools import islice
from typing import Any

from jitr.aws.table import BATCH_GET, Item, Table, state_shards
from jitr.reasons import Verdict
from jitr.record import Record


def newest(table: Table, verdict: Verdict) -> Iterator[Record]:
    """The records of a verdict, the newest first, read a few at a time."""
    shards = (table.query(shard, index="by_state", newest_first=True) for shard in state_shards(verdict.value))
    places = merge(*shards, key=lambda item: str(item["state_at"]), reverse=True)
    while some := list(islice(places, BATCH_GET)):
        yield from _records(table, some, verdict)


def count_at_most(table: Table, verdict: Verdict, most: int) -> tuple[int, bool]:
    """How many certificates have a verdict now, and whether there are more: no more than about ``most`` are counted."""
    counted = 0
    for shard in state_shards(verdict.value):
        for page in table.raw_pages(shard, index="by_state"):
            counted += len(page)
            if counted > most:
                return most, True
    return counted, False


def record_of(table: Table, certificate_id: str) -> Record | None:
    """The record of one certificate."""
    return table.record_and_heads(certificate_id)[0]


def _records(table: Table, places: Iterable[Item], verdict: Verdict) -> Iterator[Record]:
    keys = [{"pk": each["pk"], "sk": each["sk"]} for each in places]
    found: dict[str, Any] = {item["pk"]: item for item in table.get(keys)}
    for key in keys:
        item = found.get(key["pk"])
        # The index follows the table a moment later: what changed meanwhile is left out.
        if item is not None and item["decision"] == verdict.value:
            yield Record.from_json(item)
