"""Device lists in the table: heads that readers start from, and rows under the generation in force.

A row is written before its list's edition is raised, so that a reader who saw the new edition sees the row. A
replaced list is a new generation: readers change over with one write of the head. Each edit of a head is written
together with a change (``jitr.aws.changes``), for whoever rechecks held devices.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jitr.aws.batch_writer import BatchWriter
from jitr.aws.changes import Change, change_put, list_changed, rows_changed
from jitr.aws.table import HEADS, Conflict, Item, Table, row_key, row_partitions, to_item
from jitr.lists import ListRow, RowKey
from jitr.lists_csv import Row
from jitr.record import ListHead
from jitr.values import dataclass

FORMAT = 1
_TYPED_FORMAT = {"N": str(FORMAT)}
IMPORTS, LEFT = "IMPORTS", "left"  # where imports under way are noted, and generations that are left
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
        self._writer = BatchWriter(table)

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
        places = _places(name, info.head.generation, row)
        self._writer.write([{"DeleteRequest": {"Key": to_item(place)}} for place in places])
        self.raise_edition(name, info.head, -1, rows_changed(name, row.found_by(), at))
        return row

    def delete(self, name: str, *, at: str) -> ListInfo | None:
        """Take a list away, at once for every reader; its rows are noted to be let go.

        The result is what it was, None if there was none. Raises Conflict where it was edited meanwhile.
        """
        before = self.all().get(name)
        if before is not None:
            values = {":generation": before.head.generation, ":edition": before.head.edition}
            note = self._left(name, before.head.generation, at)
            self._update_head(
                "REMOVE lists.#name", _UNEDITED, name, values, change=list_changed(name, at), beside=[note]
            )
        return before

    def found(self, name: str, generation: str, rows: Sequence[Row]) -> list[tuple[Row, list[tuple[RowKey, ListRow]]]]:
        """Each row of a file with the rows that its keys find on the list, and the key that found each."""
        keys = {_place(row_key(name, generation, key)): key for row in rows for key in row.row.found_by()}
        places = [{"pk": pk, "sk": sk} for pk, sk in keys]
        there = {keys[_place(item)]: ListRow.from_json(item["row"]) for item in self._table.get(places)}
        return [(row, [(key, there[key]) for key in row.row.found_by() if key in there]) for row in rows]

    def raw_pages(self, name: str, generation: str) -> Iterator[list[dict[str, Any]]]:
        """Every item of a generation as DynamoDB has it, page by page."""
        for partition in row_partitions(name, generation):
            yield from self._table.raw_pages(partition)

    def add(self, name: str, row: ListRow, *, at: str, new_generation: str) -> None:
        """Put one row on a list, in place of the rows found by its keys; makes the list if there is none.

        Raises Conflict where the list was replaced meanwhile.
        """
        head = self.ensure(name, at, new_generation)
        gained, touched = self.merge_some(name, head.generation, (row,))
        self.raise_edition(name, head, gained, rows_changed(name, touched, at))

    def merge_some(
        self, name: str, generation: str, rows: Sequence[ListRow], mark: str | None = None
    ) -> tuple[int, list[RowKey]]:
        """Write rows, each in place of the rows found by its keys: how many the list gained, and all keys concerned.

        ``mark`` is of an import: a row that carries it was new in that import, and counts as new when it is written
        again. The edition is for the caller to raise.
        """
        keys = {_place(place): place for row in rows for place in _places(name, generation, row)}
        there = {_place(item): item for item in self._table.get(list(keys.values()))}
        old = {
            each.found_by(): each
            for each in (
                ListRow.from_json(item["row"]) for item in there.values() if mark is None or item.get("new_in") != mark
            )
        }.values()
        stale = {
            _place(place): place for row in old for place in _places(name, generation, row) if _place(place) not in keys
        }
        requests = [{"DeleteRequest": {"Key": to_item(place)}} for place in stale.values()]
        for row in rows:
            new = mark is not None and not any(
                _place(place) in there and there[_place(place)].get("new_in") != mark
                for place in _places(name, generation, row)
            )
            requests += puts(name, generation, row, new_in=mark if new else None)
        self._writer.write(requests)
        return len(rows) - len(old), [key for row in (*rows, *old) for key in row.found_by()]

    def ensure(self, name: str, at: str, generation: str) -> ListHead:
        """The head of a list, which is made, empty, if there is none."""
        existing = self.all().get(name)
        if existing is not None:
            return existing.head
        head = {"generation": generation, "edition": 0, "rows": 0, "changed_at": at}
        self.put_head(name, None, head, rows_changed(name, (), at))
        return ListHead(generation, 0)

    def put_head(
        self,
        name: str,
        before: ListInfo | None,
        head: Item,
        change: Change,
        *,
        beside: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """Write a list's head over the one that was read, and what is written ``beside`` it in one transaction.

        Rows of a generation that it leaves are noted to be let go. Raises Conflict.
        """
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
        left = [] if before is None else [self._left(name, before.head.generation, change.at)]
        self._update_head("SET lists.#name = :head", condition, name, values, change=change, beside=[*beside, *left])

    def raise_edition(
        self, name: str, head: ListHead, gained: int, change: Change, *, beside: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        """Tell readers that rows were written, with what is written ``beside`` it in one transaction.

        Raises Conflict where the list is of another generation by now.
        """
        self._update_head(
            "SET lists.#name.edition = lists.#name.edition + :one, "
            "lists.#name.#rows = lists.#name.#rows + :gained, lists.#name.changed_at = :at",
            "lists.#name.generation = :generation",
            name,
            {":one": 1, ":gained": gained, ":at": change.at, ":generation": head.generation},
            {"#rows": "rows"},
            change=change,
            beside=beside,
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
        beside: Sequence[Mapping[str, Any]] = (),
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
                *beside,
            ]
        )
        if failed:
            raise Conflict(f"list {name}")

    def _left(self, name: str, generation: str, at: str) -> dict[str, Any]:
        return {"Put": {"TableName": self._table.name, "Item": to_item(left(name, generation, at))}}


def left(name: str, generation: str, at: str) -> Item:
    """The note that no reader looks at a generation any more, and its rows are to be let go."""
    key = {"pk": IMPORTS, "sk": f"{name}#{LEFT}#{generation}", "format": FORMAT}
    return key | {"list": name, "mode": LEFT, "generation": generation, "at": at}


def _info(name: str, head: Item) -> ListInfo:
    return ListInfo(name, ListHead(head["generation"], int(head["edition"])), int(head["rows"]), head["changed_at"])


def _places(name: str, generation: str, row: ListRow) -> Iterator[Item]:
    return (row_key(name, generation, key) for key in row.found_by())


def puts(name: str, generation: str, row: ListRow, new_in: str | None = None) -> Iterator[dict[str, Any]]:
    """The write requests that store a row: once under each of its keys. ``new_in`` marks it, see ``merge_some``."""
    stored = {"M": {column: {"S": text} for column, text in row.to_json().items()}}
    beside = {} if new_in is None else {"new_in": {"S": new_in}}
    for place in _places(name, generation, row):
        key = {"pk": {"S": place["pk"]}, "sk": {"S": place["sk"]}}
        yield {"PutRequest": {"Item": {**key, "format": _TYPED_FORMAT, "row": stored, **beside}}}


def _place(item: Item) -> tuple[str, str]:
    return item["pk"], item["sk"]
