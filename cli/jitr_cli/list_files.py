"""Device list files of any size, read a piece at a time."""

from collections.abc import Iterator
from pathlib import Path

from jitr.duplicates import Duplicates
from jitr.lists import ListRow
from jitr.lists_csv import Reader

_PIECE = 1 << 16  # bytes read at once


def reader(file: Path, duplicates: Duplicates | None = None) -> Reader:
    """A reader of the rows in a CSV file; OSError where it cannot be opened comes with the first row."""
    return Reader(_pieces(file), source=str(file), duplicates=duplicates)


def read_rows(file: Path) -> tuple[ListRow, ...]:
    """All rows of a file, keys that are there twice being problems. Raises ListError."""
    reading = reader(file, Duplicates())
    rows = tuple(each.row for each in reading)
    reading.raise_problems()
    return rows


def _pieces(file: Path) -> Iterator[bytes]:
    with file.open("rb") as opened:
        while piece := opened.read(_PIECE):
            yield piece
