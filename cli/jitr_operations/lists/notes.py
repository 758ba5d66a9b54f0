"""Rows of a device list by what stands in their notes. Nothing is stored for it: rows are read, some at a time."""

from dataclasses import dataclass

from jitr.devicelists.rows import ListRow
from jitr.services.lists.device_lists import DeviceLists, RowPlace

SIZE = 50  # rows of one page
MOST = 20_000  # rows that are looked at for one page, where few have such a note


@dataclass(frozen=True, slots=True)
class FoundByNote:
    """Some rows with such a note, how many were looked at for them, and where to look further."""

    rows: list[ListRow]
    looked_at: int
    after: RowPlace | None


def has_note(row: ListRow, text: str) -> bool:
    """Return whether a text stands anywhere in a row's note, whatever the case."""
    return text.casefold() in (row.note or "").casefold()


def find_by_note(lists: DeviceLists, name: str, generation: str, text: str, after: RowPlace) -> FoundByNote:
    """Return rows of a list with a text in their notes, from a place on.

    Raises InputError for a place that no list has.
    """
    found, looked_at, place = list[ListRow](), 0, after
    while True:
        rows, following = lists.some(name, generation, place, 1)
        looked_at += len(rows)
        found += [row for row in rows if has_note(row, text)]
        if following is None or len(found) >= SIZE or looked_at >= MOST:
            return FoundByNote(found, looked_at, following)
        place = following
