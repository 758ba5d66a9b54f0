"""Device lists in the table: heads that readers start from, and rows under the generation in force.

A row is written before its list's edition is raised, so that a reader who saw the new edition sees the row. A
replaced list is a new generation: readers change over with one write of the head. Each edit of a head is written
together with a change (``jitr.aws.changes``), for whoever rechecks held devices.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from jitr.aws.changes import MOST_KEYS, Change, change_put, list_changed, rows_changed
from jitr.aws.errors import told_apart
from jitr.aws.table import HEADS, Conflict, Item, Table, row_key, row_partitions, to_item
from jitr.errors import Retry
from jitr.lists import ListRow, RowKey
from jitr.record import ListHead

T = TypeVar("T")

FORMAT = 1
_BATCH_WRITE = 25  # DynamoDB API reference, BatchWriteItem
_MOST_TRIES = 20
_UNEDITED = "lists.#name.generation = :generation AND lists.#name.edition = :edition"


@dataclass(frozen=True, slots=True)
class ListInfo:
    """A list as operators see it."""

    name: str
    head: ListHead
    rows: int
    changed_at: str


class DeviceLists:
    """Reading and editing lists. Every method raises Retry where DynamoDB could not answer now."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def all(self) -> dict[str, ListInfo]:
        """Every list, by name."""
        item = next(iter(self._table.get([HEADS])), {})
        return {name: _info(name, each) for name, each in sorted((item.get("lists") or {}).items())}

    def rows(self, name: str, generation: str) -> Iterator[ListRow]:
        """Every row of a generation, once each, in no order."""
        for partition in row_partitions(name, generation):
            for item in self._table.query(partition):
                row = ListRow.from_json(item["row"])
                if item["sk"] == str(row.found_by()[0]):  # a row stands under each of its keys
                    yield row

    def find(self, name: str, generation: str, key: RowKey) -> ListRow | None:
        """The row that a key finds."""
        item = next(iter(self._table.get([row_key(name, generation, key)])), None)
        return None if item is None else ListRow.from_json(item["row"])

    def remove(self, name: str, key: RowKey, *, at: str) -> ListRow | None:
        """Take the row that a key finds off a list; the result is that row, None if there was none.

        Raises Conflict where the list was replaced meanwhile.
        """
        info = self.all().get(name)
        row = None if info is None else self.find(name, info.head.generation, key)
        if info is None or row is None:
            return None
        self._write([{"DeleteRequest": {"Key": to_item(place)}} for place in _places(name, info.head.generation, row)])
        self._raise_edition(name, info.head, -1, rows_changed(name, row.found_by(), at))
        return row

    def delete(self, name: str, *, at: str) -> ListInfo | None:
        """Take a list away, at once for every reader; its rows are still there, see ``forget``.

        The result is what it was, None if there was none. Raises Conflict where it was edited meanwhile.
        """
        before = self.all().get(name)
        if before is not None:
            values = {":generation": before.head.generation, ":edition": before.head.edition}
            self._update_head("REMOVE lists.#name", _UNEDITED, name, values, change=list_changed(name, at))
        return before

    def merge(
        self, name: str, rows: Iterable[ListRow], *, at: str, new_generation: str, progress: Callable[[int], None]
    ) -> int:
        """Add rows to a list, each in place of the rows found by its keys; makes the list if there is none.

        ``progress`` is told how many rows were written since it was told last. The result is how many rows the
        list gained.
        """
        head = self._ensure(name, at, new_generation)
        gained = 0
        touched: dict[RowKey, None] = {}  # keys of the rows written, and of those they replaced; enough to tell many
        for some in _batched(rows, 50):
            more, keys = self._merge_some(name, head.generation, some)
            gained += more
            if len(touched) <= MOST_KEYS:
                touched.update(dict.fromkeys(keys))
            progress(len(some))
        self._raise_edition(name, head, gained, rows_changed(name, touched, at))
        return gained

    def replace(
        self, name: str, rows: Iterable[ListRow], *, at: str, generation: str, progress: Callable[[int], None]
    ) -> int:
        """Put new rows in place of all of a list's, at once for every reader. The result is how many there are now.

        Raises Conflict, and leaves the list as it was, where somebody else edited it meanwhile.
        """
        before = self.all().get(name)
        count = 0
        for some in _batched(rows, _BATCH_WRITE):
            self._write(
                [{"PutRequest": {"Item": to_item(item)}} for row in some for item in _items(name, generation, row)]
            )
            count += len(some)
            progress(len(some))
        edition = 0 if before is None else before.head.edition + 1
        head = {"generation": generation, "edition": edition, "rows": count, "changed_at": at}
        self._put_head(name, before, head, list_changed(name, at))
        return count

    def forget(self, name: str, generation: str, *, expires_at: int) -> None:
        """Let the rows of a generation that is no longer in force go at a time (epoch seconds), by the table's TTL."""
        for partition in row_partitions(name, generation):
            for some in _batched(self._table.query(partition), _BATCH_WRITE):
                self._write([{"PutRequest": {"Item": to_item(item | {"expires_at": expires_at})}} for item in some])

    def _merge_some(self, name: str, generation: str, rows: tuple[ListRow, ...]) -> tuple[int, list[RowKey]]:
        """Write some rows in place of those found by their keys: how many rows that is more, and all keys concerned."""
        keys = {(place["pk"], place["sk"]): place for row in rows for place in _places(name, generation, row)}
        found = [ListRow.from_json(item["row"]) for item in self._table.get(list(keys.values()))]
        replaced = {_identity(row): row for row in found}.values()
        stale = {
            (place["pk"], place["sk"]): place
            for row in replaced
            for place in _places(name, generation, row)
            if (place["pk"], place["sk"]) not in keys
        }
        self._write(
            [
                *({"DeleteRequest": {"Key": to_item(place)}} for place in stale.values()),
                *({"PutRequest": {"Item": to_item(item)}} for row in rows for item in _items(name, generation, row)),
            ]
        )
        return len(rows) - len(replaced), [key for row in (*rows, *replaced) for key in row.found_by()]

    def _write(self, requests: list[dict[str, Any]]) -> None:
        for start in range(0, len(requests), _BATCH_WRITE):
            wanted = requests[start : start + _BATCH_WRITE]
            for _ in range(_MOST_TRIES):
                with told_apart():
                    answer = self._table.client.batch_write_item(RequestItems={self._table.name: wanted})  # type: ignore[dict-item]
                wanted = list(answer.get("UnprocessedItems", {}).get(self._table.name, []))  # type: ignore[arg-type]
                if not wanted:
                    break
            else:
                raise Retry("throttled", "the table did not take all rows: run the same command again to go on")

    def _ensure(self, name: str, at: str, generation: str) -> ListHead:
        existing = self.all().get(name)
        if existing is not None:
            return existing.head
        head = {"generation": generation, "edition": 0, "rows": 0, "changed_at": at}
        self._put_head(name, None, head, rows_changed(name, (), at))
        return ListHead(generation, 0)

    def _put_head(self, name: str, before: ListInfo | None, head: Item, change: Change) -> None:
        """Write a list's head over the one that was read, in the one item that holds all heads."""
        self._table.transact(
            [
                {
                    "Update": {
                        "TableName": self._table.name,
                        "Key": to_item(HEADS),
                        "UpdateExpression": "SET lists = if_not_exists(lists, :empty)",
                        "ExpressionAttributeValues": to_item({":empty": {}}),
                    }
                }
            ]
        )
        values: Item = {":head": head}
        condition = "attribute_not_exists(lists.#name)"
        if before is not None:
            condition = _UNEDITED
            values |= {":generation": before.head.generation, ":edition": before.head.edition}
        self._update_head("SET lists.#name = :head", condition, name, values, change=change)

    def _raise_edition(self, name: str, head: ListHead, gained: int, change: Change) -> None:
        self._update_head(
            "SET lists.#name.edition = lists.#name.edition + :one, "
            "lists.#name.#rows = lists.#name.#rows + :gained, lists.#name.changed_at = :at",
            "lists.#name.generation = :generation",
            name,
            {":one": 1, ":gained": gained, ":at": change.at, ":generation": head.generation},
            {"#rows": "rows"},
            change=change,
        )

    def _update_head(
        self,
        update: str,
        condition: str,
        name: str,
        values: Item,
        names: Mapping[str, str] | None = None,
        *,
        change: Change,
    ) -> None:
        failed = self._table.transact(
            [
                {
                    "Update": {
                        "TableName": self._table.name,
                        "Key": to_item(HEADS),
                        "UpdateExpression": update,
                        "ConditionExpression": condition,
                        "ExpressionAttributeNames": {"#name": name} | dict(names or {}),
                        "ExpressionAttributeValues": to_item(values),
                    }
                },
                change_put(self._table.name, change),
            ]
        )
        if failed:
            raise Conflict(f"list {name}")


def _batched(things: Iterable[T], size: int) -> Iterator[tuple[T, ...]]:
    iterator = iter(things)
    while some := tuple(islice(iterator, size)):
        yield some


def _info(name: str, head: Item) -> ListInfo:
    return ListInfo(name, ListHead(head["generation"], int(head["edition"])), int(head["rows"]), head["changed_at"])


def _places(name: str, generation: str, row: ListRow) -> Iterator[Item]:
    return (row_key(name, generation, key) for key in row.found_by())


def _items(name: str, generation: str, row: ListRow) -> Iterator[Item]:
    plain = row.to_json()
    return (place | {"format": FORMAT, "row": plain} for place in _places(name, generation, row))


def _identity(row: ListRow) -> RowKey:
    return row.found_by()[0]
