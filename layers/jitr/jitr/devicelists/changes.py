"""What a row of a file would do to a list: nothing, add a device, change one, or take another's place."""

from collections.abc import Collection, Sequence
from enum import Enum

from jitr.devicelists.columns import ColumnFault, shown
from jitr.devicelists.rows import ListRow, RowKey

_REMEDY = " (--overwrite puts this row in its place)"


class Effect(Enum):
    """The effect of merging a row into a list."""

    ADDS = "added"
    CHANGES = "changed"
    NOTHING = "unchanged"


def effect(row: ListRow, found: Sequence[ListRow]) -> Effect:
    """Return what a row does to a list on which its keys find these rows."""
    if not found:
        return Effect.ADDS
    return Effect.NOTHING if list(found) == [row] else Effect.CHANGES


def dropped_columns(row: ListRow, found: Sequence[ListRow], columns: Collection[str]) -> set[str]:
    """Return the columns in which a list would lose values by a row of a file that does not have them.

    ``columns`` are the file's. A cell that is there and empty says that there is no value.
    """
    there = {name for other in found for name in other.to_json()}
    return there.difference(columns, row.to_json())


def shrinks(mode: str, before: int, after: int) -> bool:
    """Return whether an import would take away more than half of a list: probably the wrong file, or a part of it."""
    return mode == "replace" and after < before / 2


def takes_most(removed: int, before: int) -> bool:
    """Return whether more than half of a list's rows go, whatever takes their place."""
    return removed > before / 2


def conflict(row: ListRow, found: Sequence[tuple[RowKey, ListRow]]) -> ColumnFault | None:
    """Return why a row may not be merged without a word: it would take away what the list says of another device.

    ``found`` are the rows on the list, each with the key that found it. A row with the same keys, or with more or
    fewer of them, is the same device with news.
    """
    own = {key.kind: key.value for key in row.found_by()}
    for key, other in found:
        for theirs in other.found_by():
            if own.get(theirs.kind, theirs.value) != theirs.value:
                where = f"is on the list already, for the device with {theirs.kind} {shown(theirs.value)}"
                return ColumnFault(key.kind, f"{shown(key.value)} {where}{_REMEDY}")
    rows = {other.found_by()[0]: key for key, other in found}
    if len(rows) > 1:
        kinds = " and ".join(key.kind for key in rows.values())
        return ColumnFault(
            next(iter(rows.values())).kind, f"the list has two devices that are one here, by {kinds}{_REMEDY}"
        )
    return None


def alteration(row: ListRow, found: Sequence[tuple[RowKey, ListRow]]) -> ColumnFault | None:
    """Return why a row may not be merged by whoever only adds: it would change a row that is on the list."""
    other = conflict(row, found)
    if other is not None:
        return other
    for key, there in found:
        if there.to_json() != row.to_json():
            return ColumnFault(key.kind, f"{shown(key.value)} is on the list already, with another row{_REMEDY}")
    return None
