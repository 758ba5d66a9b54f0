"""Device lists in the table: heads that readers start from, and rows under the generation in force.

A row is written before its list's edition is raised, so that a reader who saw the new edition sees the row. A
replaced list is a new generation: readers change over with one write of the head. Each edit of a head is written
together with a change (``jitr.aws.dynamodb.changes``), for whoever rechecks held devices.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

from jitr.aws.dynamodb.actions import delete, put, update, where
from jitr.aws.dynamodb.changes import Change, change_put, list_changed, rows_changed
from jitr.aws.dynamodb.table import HEADS, Conflict, Item, Table, key_of, row_key, row_partitions
from jitr.devicelists.csv.reader import Row
from jitr.devicelists.rows import ListRow, RowKey
from jitr.errors import InputError
from jitr.records.heads import ListHead
from jitr.records.history import Values
from jitr.services.lists.row_edits import Edit, RowEdits, count_taken, counts
from jitr.values import dataclass

FORMAT = 1
_TYPED_FORMAT = {"N": str(FORMAT)}
IMPORTS, LEFT = "IMPORTS", "left"  # where imports under way are noted, and generations that are left
# Every knock reads the heads, one item of at most 400 KB. A list takes at most 240 bytes of it: whatever lists are
# called, three quarters are left to the rules' own head.
MOST_LISTS = 400
KEPT_DAYS = 7  # what a list was before it was replaced or deleted last
_HELD = "None"  # of an action whose condition held, in a transaction that was cancelled
_UNEDITED = "lists.#name.generation = :generation AND lists.#name.edition = :edition"


@dataclass(frozen=True, slots=True)
class ListInfo:
    """A list as operators see it."""

    name: str
    head: ListHead
    rows: int
    changed_at: str
    beside: int = 0  # of the rows, those that are counted beside the heads

    @property
    def in_history(self) -> Values:
        """Its values for the history."""
        return {"rows": self.rows, "edition": self.head.edition}


# A list as the caller saw it, None if there was none, so that nobody's edit since then is written over; or whatever it
# is now.
Seen: TypeAlias = ListInfo | Literal["now"] | None
# What is written beside an edit of rows, in its transaction.
BesideEdit: TypeAlias = Callable[[Edit], Sequence[Mapping[str, Any]]]


def _nothing(_edit: Edit) -> Sequence[Mapping[str, Any]]:
    return ()


class RowPlace(NamedTuple):
    """How far somebody came who goes through a list's rows: the partition, and the last key in it that was seen."""

    shard: int = 0
    key: str | None = None


class DeviceLists:
    """Reading and editing lists. Every method raises Retry where DynamoDB could not answer now."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._edits = RowEdits(table)

    def all(self) -> dict[str, ListInfo]:
        """Return every list, by name."""
        beside = counts(self._table)
        item = self._table.one(HEADS) or {}
        found = {}
        for name, head in sorted((item.get("lists") or {}).items()):
            counted = sum(int(each["gained"]) for each in beside.get((name, head["generation"]), ()))
            found[name] = ListInfo(
                name,
                ListHead(head["generation"], int(head["edition"])),
                int(head["rows"]) + counted,
                head["changed_at"],
                counted,
            )
        return found

    def rows(self, name: str, generation: str) -> Iterator[ListRow]:
        """Return every row of a generation, once each, in no order."""
        for partition in row_partitions(name, generation):
            yield from _once(self._table.query(partition))

    def some(self, name: str, generation: str, after: RowPlace, least: int) -> tuple[list[ListRow], RowPlace | None]:
        """Return some rows that come after a place, and where the next ones come; None where there are no more.

        At least so many where there are, and not many more: whole pages of the table are read. Raises InputError for a
        place that no list has.
        """
        partitions, found = list(row_partitions(name, generation)), list[ListRow]()
        shard, key = after
        if shard >= len(partitions):
            raise InputError("there is no such place among a list's rows: begin with the first")
        while shard < len(partitions):
            last = None if key is None else {"pk": partitions[shard], "sk": key}
            items, last = self._table.page(partitions[shard], after=last)
            found += _once(items)
            shard, key = (shard + 1, None) if last is None else (shard, str(last["sk"]))
            if len(found) >= least and shard < len(partitions):
                return found, RowPlace(shard, key)
        return found, None

    def find(self, name: str, generation: str, key: RowKey) -> ListRow | None:
        """Return the row that a key finds."""
        item = self._table.one(row_key(name, generation, key))
        return None if item is None else ListRow.from_json(item["row"])

    def remove(self, name: str, key: RowKey, *, at: str, beside: BesideEdit = _nothing) -> ListRow | None:
        """Take the row that a key finds off a list; the result is that row, None if there was none.

        Raises Conflict where the list was replaced meanwhile.
        """
        info = self.all().get(name)
        if info is None:
            return None
        head = info.head

        def once() -> tuple[ListRow | None] | None:
            row = self.find(name, head.generation, key)
            if row is None:
                return (None,)
            edit = self._edits.planned(name, head.generation, take=(row,))
            return (row,) if self._edited(name, head, edit, at, beside) else None

        return self._edits.until_done(once, f"list {name}")[0]

    def delete(
        self, name: str, *, at: str, seen: Seen = "now", beside: Sequence[Mapping[str, Any]] = ()
    ) -> ListInfo | None:
        """Take a list away, at once for every reader; its rows are noted to be let go.

        The result is what it was, None if there was none. Raises Conflict where it was edited since it was ``seen``.
        """
        before = self._as_seen(name, seen)
        if before is not None:
            values = {":generation": before.head.generation, ":edition": before.head.edition}
            note = self._left(before, at)
            self._update_head(
                "REMOVE lists.#name", _UNEDITED, name, values, change=list_changed(name, at), beside=[note, *beside]
            )
        return before

    def found(self, name: str, generation: str, rows: Sequence[Row]) -> list[tuple[Row, list[tuple[RowKey, ListRow]]]]:
        """Yield each row of a file with the rows that its keys find on the list, and the key that found each."""
        keys = {_place(row_key(name, generation, key)): key for row in rows for key in row.row.found_by()}
        places = [{"pk": pk, "sk": sk} for pk, sk in keys]
        there = {keys[_place(item)]: ListRow.from_json(item["row"]) for item in self._table.get(places)}
        return [(row, [(key, there[key]) for key in row.row.found_by() if key in there]) for row in rows]

    def raw_pages(self, name: str, generation: str) -> Iterator[list[dict[str, Any]]]:
        """Yield every item of a generation as DynamoDB has it, page by page."""
        for partition in row_partitions(name, generation):
            yield from self._table.raw_pages(partition)

    def add(self, name: str, row: ListRow, *, at: str, new_generation: str, beside: BesideEdit = _nothing) -> None:
        """Put one row on a list, in place of the rows found by its keys; makes the list if there is none.

        Raises Conflict where the list was replaced meanwhile, InputError where there are too many lists to make one.
        """
        head = self.ensure(name, at, new_generation)

        def once() -> bool | None:
            edit = self._edits.planned(name, head.generation, put=(row,))
            return self._edited(name, head, edit, at, beside) or None

        self._edits.until_done(once, f"list {name}")

    def _edited(self, name: str, head: ListHead, edit: Edit, at: str, beside: BesideEdit) -> bool:
        """Return whether an edit was made: rows, count, edition and change in one transaction.

        Raises Conflict where the list was replaced meanwhile.
        """
        change = rows_changed(name, edit.keys, at)
        failed = self._raise(name, head, edit.gained, change, beside=[*edit.actions, *beside(edit)])
        if failed and failed[0] != _HELD:
            raise Conflict(f"list {name}")
        return not failed

    def kept(self) -> dict[str, Item]:
        """Return, by name, the lists before their last replacement or deletion, if they can still be restored."""
        return last_left(self._table.query(IMPORTS))

    def _as_seen(self, name: str, seen: Seen) -> ListInfo | None:
        return self.all().get(name) if seen == "now" else seen

    def restore(
        self,
        name: str,
        *,
        at: str,
        seen: Seen = "now",
        kept: Item | None = None,
        beside: Sequence[Mapping[str, Any]] = (),
    ) -> ListInfo | None:
        """Put a list in force again as it was before it was replaced or deleted last; None where that is not kept.

        What it was meanwhile is kept in turn, so that doing it again undoes it. The result is the list as it is now.
        Raises Conflict where it was edited since it was ``seen``, or what was ``kept`` then is not by now; InputError
        where there are too many lists to make one.
        """
        note = kept or self.kept().get(name)
        if note is None:
            return None
        before = self._as_seen(name, seen)
        edition = int(note["edition"]) if before is None else max(before.head.edition, int(note["edition"]))
        head = {
            "generation": note["generation"],
            "edition": edition + 1,
            "rows": int(note["rows"]),
            "changed_at": at,
        }
        there = where("attribute_exists(pk) AND attribute_not_exists(going)")
        taken = delete(self._table.name, key_of(note), **there)
        self.put_head(name, before, head, list_changed(name, at), beside=[taken, *beside])
        return self.all().get(name)

    def ensure(self, name: str, at: str, generation: str) -> ListHead:
        """Return the head of a list; make an empty list if there is none. Raises InputError as ``put_head`` does."""
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

        Rows of a generation that it leaves are noted to be let go. Raises Conflict, and InputError where the list would
        be one too many.
        """
        made = "SET lists = if_not_exists(lists, :empty)"
        self._table.transact([update(self._table.name, HEADS, made, {":empty": {}})])
        values: Item = {":head": head}
        condition = "attribute_not_exists(lists.#name) AND size(lists) < :most"
        if before is None:
            values[":most"] = MOST_LISTS
        else:
            condition = _UNEDITED
            values |= {":generation": before.head.generation, ":edition": before.head.edition}
        written = [*beside, *([] if before is None else [self._left(before, change.at)])]
        try:
            self._update_head("SET lists.#name = :head", condition, name, values, change=change, beside=written)
        except Conflict:
            there = self.all()
            if before is None and name not in there and len(there) >= MOST_LISTS:
                raise InputError(too_many(name)) from None
            raise

    def raise_edition(
        self, name: str, head: ListHead, change: Change, *, beside: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        """Tell readers that rows were written, with what is written ``beside`` it in one transaction.

        What was counted beside the heads is counted in them from then on. Raises Conflict where the list is of another
        generation by now.
        """

        def once() -> bool | None:
            counted = counts(self._table).get((name, head.generation), [])
            gained = sum(int(each["gained"]) for each in counted)
            taken = [count_taken(self._table.name, each) for each in counted]
            failed = self._raise(name, head, gained, change, beside=[*beside, *taken])
            if any(each != _HELD for each in failed[: len(failed) - len(taken)]):
                raise Conflict(f"list {name}")
            return not failed or None

        self._edits.until_done(once, f"list {name}")

    def _raise(
        self, name: str, head: ListHead, gained: int, change: Change, *, beside: Sequence[Mapping[str, Any]]
    ) -> list[str]:
        """As ``Table.transact`` answers, the head's code first, the change's second."""
        return self._transact_head(
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
        how: str,
        condition: str,
        name: str,
        values: Item,
        *,
        change: Change,
        beside: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        if self._transact_head(how, condition, name, values, {}, change=change, beside=beside):
            raise Conflict(f"list {name}")

    def _transact_head(
        self,
        how: str,
        condition: str,
        name: str,
        values: Item,
        names: Mapping[str, str],
        *,
        change: Change,
        beside: Sequence[Mapping[str, Any]],
    ) -> list[str]:
        edit = update(self._table.name, HEADS, how, values, {"#name": name, **names}, condition)
        return self._table.transact([edit, change_put(self._table.name, change), *beside])

    def _left(self, before: ListInfo, at: str) -> dict[str, Any]:
        note = left(before.name, before.head.generation, at)
        note |= {"rows": before.rows - before.beside, "edition": before.head.edition}
        return put(self._table.name, note)


def _once(items: Iterable[Item]) -> Iterator[ListRow]:
    """Yield the rows in a list's items once each: a row stands under each of its keys."""
    for item in items:
        row = ListRow.from_json(item["row"])
        if item["sk"] == str(row.found_by()[0]):
            yield row


def left(name: str, generation: str, at: str) -> Item:
    """Return the note that no reader uses a generation any more, and that its rows may be deleted."""
    key = {"pk": IMPORTS, "sk": f"{name}#{LEFT}#{generation}", "format": FORMAT}
    return key | {"list": name, "mode": LEFT, "generation": generation, "at": at}


def last_left(notes: Iterable[Item]) -> dict[str, Item]:
    """Return each list's generation before the one in force, if it is noted and not let go yet."""
    found: dict[str, Item] = {}
    for note in notes:
        if note["mode"] != LEFT or "edition" not in note or "going" in note:
            continue
        last = found.get(note["list"])
        if last is None or (note["at"], int(note["edition"])) >= (last["at"], int(last["edition"])):
            found[note["list"]] = note
    return found


def too_many(name: str) -> str:
    """Return the message for one list too many."""
    return (
        f"there are {MOST_LISTS} device lists, which is the most there may be, so list {name} is not made: "
        "`jitr lists ls` shows them; delete those that no rule needs with `jitr lists delete NAME`"
    )


def puts(name: str, generation: str, row: ListRow) -> Iterator[dict[str, Any]]:
    """Return the write requests that store a row: once under each of its keys."""
    stored = {"M": {column: {"S": text} for column, text in row.to_json().items()}}
    for each in row.found_by():
        place = row_key(name, generation, each)
        key = {"pk": {"S": place["pk"]}, "sk": {"S": place["sk"]}}
        yield {"PutRequest": {"Item": {**key, "format": _TYPED_FORMAT, "row": stored}}}


def _place(item: Item) -> tuple[str, str]:
    return item["pk"], item["sk"]
