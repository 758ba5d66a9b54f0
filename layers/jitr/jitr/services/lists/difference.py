"""What becomes of a list when another generation of its rows comes into force: told exactly, and in one pass.

Both generations spread their rows over the same partitions, each in the order of its keys, so they are read side by
side. Only a row that has several keys, and is not where it was, is looked up by the others.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import field
from datetime import datetime
from typing import Any

from jitr.aws.dynamodb.table import BATCH_GET, Item, Table, row_key, row_partitions
from jitr.devicelists.changes import Effect
from jitr.devicelists.rows import ListRow
from jitr.values import dataclass

SHOWN = 20  # removed rows; the rest is counted


@dataclass(slots=True)
class Difference:
    """How many rows were added, changed and left as they were; how many were removed, and the first of those.

    Removed is also a row that counted and is expired now.
    """

    effects: dict[Effect, int] = field(default_factory=lambda: dict.fromkeys(Effect, 0))
    removed: int = 0
    shown: list[ListRow] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """Return the four numbers by their names."""
        return {each.value: count for each, count in self.effects.items()} | {"removed": self.removed}

    def to_json(self) -> dict[str, Any]:
        """Return the numbers, and the removed rows that are shown."""
        return self.counts() | {"removed_rows": [row.to_json() for row in self.shown]}

    def take(self, row: ListRow) -> None:
        """Count a row that was removed."""
        self.removed += 1
        if len(self.shown) < SHOWN:
            self.shown.append(row)


def difference(
    table: Table, name: str, old: str, new: str, *, at: datetime, hurry: Callable[[], bool]
) -> Difference | None:
    """Compare two generations of a list ``at`` a time; None where there was no time for all of it."""
    comparison = _Comparison(table, name, old, new, at)
    for pair in zip(row_partitions(name, old), row_partitions(name, new), strict=True):
        for was, now in _side_by_side(*(_items(table, each, hurry) for each in pair)):
            if was is None and now is None:
                return None
            comparison.take(was, now)
    return comparison.end()


class _Comparison:
    """Two generations of a list, compared place by place; what stands in one of them only is asked for elsewhere."""

    def __init__(self, table: Table, name: str, old: str, new: str, at: datetime) -> None:
        self._at = at
        self._found = Difference()
        self._gone = _Elsewhere(table, name, new, at)
        self._come = _Elsewhere(table, name, old, None)

    def take(self, was: Item | None, now: Item | None) -> None:
        """Compare what stands at one place in the old generation and in the new one."""
        before, after = (None if each is None else _first(each) for each in (was, now))
        if now is None:
            self._went([] if before is None else self._gone.ask(before))
        elif was is None:
            self._came([] if after is None else self._come.ask(after))
        else:
            if before is not None:
                there = not before.counts(self._at) or ListRow.from_json(now["row"]).counts(self._at)
                self._went([(before, there)])
            if after is not None:
                self._found.effects[Effect.NOTHING if before == after else Effect.CHANGES] += 1

    def end(self) -> Difference:
        """Return the difference, with the answers that were still waited for."""
        self._went(self._gone.rest())
        self._came(self._come.rest())
        return self._found

    def _went(self, rows: Iterable[tuple[ListRow, bool]]) -> None:
        """Count rows of the old generation, each with whether its device is in the new one as well."""
        for row, there in rows:
            if not there:
                self._found.take(row)

    def _came(self, rows: Iterable[tuple[ListRow, bool]]) -> None:
        """Count rows of the new generation, each with whether its device was in the old one already."""
        for _row, there in rows:
            self._found.effects[Effect.CHANGES if there else Effect.ADDS] += 1


def _first(item: Item) -> ListRow | None:
    """Return an item's row if it stands under the row's most exact key; its other places say nothing more."""
    row = ListRow.from_json(item["row"])
    return row if item["sk"] == str(row.found_by()[0]) else None


def _items(table: Table, partition: str, hurry: Callable[[], bool]) -> Iterator[Item | None]:
    """Yield the items of a partition in order; None, and no more, when the time is up."""
    for number, item in enumerate(table.query(partition)):
        if number % 1000 == 0 and hurry():
            yield None
            return
        yield item


def _side_by_side(old: Iterator[Item | None], new: Iterator[Item | None]) -> Iterator[tuple[Item | None, Item | None]]:
    """Items with the same sort key together, in order; a pair of None where the time is up."""
    ended: Any = object()
    was, now = next(old, ended), next(new, ended)
    while was is not ended or now is not ended:
        if was is None or now is None:
            yield None, None
            return
        if now is ended or (was is not ended and was["sk"] < now["sk"]):
            yield was, None
            was = next(old, ended)
        elif was is ended or now["sk"] < was["sk"]:
            yield None, now
            now = next(new, ended)
        else:
            yield was, now
            was, now = next(old, ended), next(new, ended)


class _Elsewhere:
    """Whether rows stand in a generation under any other of their keys, asked for many at a time."""

    def __init__(self, table: Table, name: str, generation: str, at: datetime | None) -> None:
        self._table = table
        self._name = name
        self._generation = generation
        self._at = at  # when a row that counted has to count there, too; None: any row will do
        self._waiting: list[ListRow] = []
        self._keys = 0

    def ask(self, row: ListRow) -> Iterator[tuple[ListRow, bool]]:
        """Return the answers that are ready by now, of this row or of earlier ones."""
        others = len(row.found_by()) - 1
        if not others:
            yield row, False
            return
        if self._keys + others > BATCH_GET:
            yield from self.rest()
        self._waiting.append(row)
        self._keys += others

    def rest(self) -> Iterator[tuple[ListRow, bool]]:
        """Return the answers that were still waited for."""
        rows, self._waiting, self._keys = self._waiting, [], 0
        keys = [row_key(self._name, self._generation, key) for row in rows for key in row.found_by()[1:]]
        there = {(item["pk"], item["sk"]): ListRow.from_json(item["row"]) for item in self._table.get(keys)}
        for row in rows:
            places = (row_key(self._name, self._generation, key) for key in row.found_by()[1:])
            rows_there = [there[at] for place in places if (at := (place["pk"], place["sk"])) in there]
            yield row, any(self._will_do(row, each) for each in rows_there)

    def _will_do(self, row: ListRow, there: ListRow) -> bool:
        return self._at is None or not row.counts(self._at) or there.counts(self._at)
