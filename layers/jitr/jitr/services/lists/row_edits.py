"""Editing the rows of a list so that their count is exact, whatever is cut off, repeated or done at the same time.

A row stands under each of its keys; the place of its most exact key is its *first place*. A list has as many rows as
its generation has first places. Rows are edited in transactions, each conditional on every place being as it was
read, and each counts the first places that it makes and takes. So a row is never half written, and no edit is counted
twice or not at all.

A single edit counts in the heads. An import would have all its connections wait for that one item, so it counts in
items beside it (``COUNTS``), which are added to the heads when readers are told of the rows.
"""

import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count
from typing import Any, TypeVar

from jitr.aws.dynamodb.actions import delete, put, update, where
from jitr.aws.dynamodb.table import Conflict, Item, Table, key_of, row_key
from jitr.devicelists.rows import ListRow, RowKey
from jitr.errors import Retry
from jitr.values import dataclass

FORMAT = 1
COUNTS = "COUNTS"
_COUNTERS = 16  # of one generation: more than an import has connections

# Of the 100 actions and 4 MB of a transaction; the rest is for the count, and for what is written beside a single edit.
# DynamoDB API reference, TransactWriteItems
_MOST_ACTIONS = 95
_MOST_CHARACTERS = 900_000  # of at most four bytes each

_TRIES = 12
_LONGEST_WAIT = 2.0  # seconds

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Edit:
    """The actions that edit some rows, how many rows the list gains by them, and every key concerned.

    ``old`` are the rows that go, or that others take the place of.
    """

    actions: tuple[dict[str, Any], ...]
    gained: int
    keys: tuple[RowKey, ...]
    size: int  # characters
    old: tuple[ListRow, ...] = ()

    @property
    def fits(self) -> bool:
        """Whether one transaction takes it."""
        return len(self.actions) <= _MOST_ACTIONS and self.size <= _MOST_CHARACTERS


class RowEdits:
    """Edits of rows under a generation. Every method raises Retry where DynamoDB could not answer now."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._turn = count()

    def planned(
        self,
        name: str,
        generation: str,
        *,
        put: Sequence[ListRow] = (),
        take: Sequence[ListRow] = (),
        uncounted: str | None = None,
    ) -> Edit:
        """Plan to put rows on a list, each in place of the rows found by its keys, and to take others off it.

        ``uncounted`` marks what an import by an earlier version wrote and did not count (``new_in``).
        """
        wanted: dict[tuple[str, str], ListRow | None] = {
            _at(name, generation, key): row for row in put for key in row.found_by()
        }
        there = self._read(wanted)
        displaced = {str(item["row"]): ListRow.from_json(item["row"]) for item in there.values()}
        old = [*displaced.values(), *take]
        others = [place for row in old for place in _places(name, generation, row) if place not in wanted]
        there |= self._read(others)
        for row in old:
            for place in _places(name, generation, row):
                if place not in wanted and place in there and there[place]["row"] == row.to_json():
                    wanted[place] = None
        actions, gained, size = [], 0, 0
        for place, wish in wanted.items():
            before = there.get(place)
            marked = before is not None and uncounted is not None and before.get("new_in") == uncounted
            if before is not None and wish is not None and before["row"] == wish.to_json() and not marked:
                continue
            action = _action(self._table.name, place, wish, before)
            gained += _is_first(place, None if wish is None else wish.to_json())
            gained -= 0 if before is None or marked else _is_first(place, before["row"])
            actions.append(action)
            size += len(str(action))
        keys = tuple(key for row in (*put, *old) for key in row.found_by())
        return Edit(tuple(actions), gained, keys, size, tuple(old))

    def write(self, name: str, generation: str, rows: Sequence[ListRow], uncounted: str | None = None) -> list[RowKey]:
        """Put rows on a list in as few transactions as they fit in, and count them beside the heads.

        The result is every key concerned. The edition is for the caller to raise. Raises Conflict where other hands
        kept editing the same rows.
        """

        def once() -> list[RowKey] | None:
            edit = self.planned(name, generation, put=rows, uncounted=uncounted)
            if not edit.fits and len(rows) > 1:
                half = len(rows) // 2
                halves = (rows[:half], rows[half:])
                return [key for each in halves for key in self.write(name, generation, each, uncounted)]
            if edit.actions:
                counted = [self._counted(name, generation, edit.gained)] if edit.gained else []
                if self._table.transact([*edit.actions, *counted]):
                    return None
            return list(edit.keys)

        return self.until_done(once, f"list {name}")

    def until_done(self, once: Callable[[], T | None], what: str) -> T:
        """Try until the result is not None: None says that a place was not as it was read.

        Raises Conflict where that goes on. A transaction that another one was in the way of is tried again as well.
        """
        throttled: Retry | None = None
        for attempt in range(_TRIES):
            try:
                throttled, result = None, once()
            except Retry as retry:
                if retry.cause != "throttled":
                    raise
                throttled, result = retry, None
            if result is not None:
                return result
            # Full jitter: https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/
            time.sleep(min(_LONGEST_WAIT, 0.02 * 2**attempt) * random.random())  # noqa: S311 - keeps no secret
        raise throttled or Conflict(what)

    def _counted(self, name: str, generation: str, gained: int) -> dict[str, Any]:
        key = {"pk": COUNTS, "sk": f"{name}#{generation}#{next(self._turn) % _COUNTERS:02d}"}
        return update(
            self._table.name,
            key,
            "SET #list = :list, generation = :generation, #format = :format ADD gained :gained",
            {":list": name, ":generation": generation, ":format": FORMAT, ":gained": gained},
            {"#list": "list", "#format": "format"},
        )

    def _read(self, places: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Item]:
        keys = [{"pk": pk, "sk": sk} for pk, sk in dict.fromkeys(places)]
        return {(item["pk"], item["sk"]): item for item in self._table.get(keys)}


def counts(table: Table) -> dict[tuple[str, str], list[Item]]:
    """Return what imports counted beside the heads, by list and generation."""
    found: dict[tuple[str, str], list[Item]] = {}
    for item in table.query(COUNTS):
        found.setdefault((item["list"], item["generation"]), []).append(item)
    return found


def count_taken(table: str, item: Item) -> dict[str, Any]:
    """Return the action that deletes a count as it was read, for the transaction that adds it to the heads."""
    return delete(table, key_of(item), **where("gained = :gained", {":gained": item["gained"]}))


def _action(table: str, place: tuple[str, str], wish: ListRow | None, before: Item | None) -> dict[str, Any]:
    """Put a row in a place, or empty it, if the place is as it was read."""
    key = dict(zip(("pk", "sk"), place, strict=True))
    as_read = where("attribute_not_exists(pk)")
    if before is not None:
        as_read = where("#row = :row", {":row": before["row"]}, {"#row": "row"})  # a word that DynamoDB reserves
    if wish is None:
        return delete(table, key, **as_read)
    return put(table, key | {"format": FORMAT, "row": wish.to_json()}, **as_read)


def _is_first(place: tuple[str, str], row: Item | None) -> int:
    return int(row is not None and place[1] == str(ListRow.from_json(row).found_by()[0]))


def _places(name: str, generation: str, row: ListRow) -> Iterator[tuple[str, str]]:
    return (_at(name, generation, key) for key in row.found_by())


def _at(name: str, generation: str, key: RowKey) -> tuple[str, str]:
    place = row_key(name, generation, key)
    return place["pk"], place["sk"]
