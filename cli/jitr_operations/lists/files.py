"""Device list files of any size, read a piece at a time; and importing them."""

import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import IO, Any

from jitr.aws.dynamodb.table import Table
from jitr.devicelists.changes import Effect
from jitr.devicelists.csv.duplicates import Duplicates
from jitr.devicelists.csv.reader import columns_of, write_rows
from jitr.devicelists.csv.records import ENDLESS, MAX_LINE
from jitr.devicelists.manifests.opening import Opener
from jitr.devicelists.manifests.recognition import HEAD, SIGNED, SPREADSHEET, recognised
from jitr.devicelists.rows import ListRow
from jitr.errors import InputError
from jitr.services.lists.device_lists import KEPT_DAYS, ListInfo
from jitr.services.lists.difference import Difference
from jitr.services.lists.kept_rows import KeptRows
from jitr.services.lists.leftovers import Leftovers
from jitr.services.lists.list_import import CSV_OR_MANIFEST, REPLACE, Checked, DeviceFile, Imports
from jitr.text import counted
from jitr.times import rfc3339
from jitr_operations import telling
from jitr_operations.files import BYTE_ORDER_MARK, beginning_of, pieces_of
from jitr_operations.lists import beside
from jitr_operations.lists.editing import generation
from jitr_operations.lists.manifests import folder_pieces, tell_of_folder
from jitr_operations.table import now, now_text

_IN_MEMORY = 1 << 23  # bytes of rows that are to be written; more go into a file meanwhile

_LONGEST_LINE = 4 * MAX_LINE  # bytes
_COMPRESSED = (SPREADSHEET, b"\x1f\x8b")  # told of as CSV, and without lines

_MANY = 1_000_000
# Amazon DynamoDB Developer Guide, "On-demand capacity mode": a new table takes 4,000 writes a second.
_ROWS_A_MINUTE = 4_000 * 60

# How long the rows of a replaced or deleted list stay readable for functions that began with them.
OLD_GENERATION = timedelta(hours=1)
# Whoever did not go on with an import for so long will not.
GIVEN_UP = timedelta(days=1)


def read_rows(file: Path, opener: Opener = CSV_OR_MANIFEST) -> tuple[ListRow, ...]:
    """Read all rows of a file; a key that is there twice is a problem. Raises ListError.

    What cells were taken for something else is told on standard error.
    """
    with source(file, opener) as given:
        reading = given.opener(given.pieces(), given.name, Duplicates(), lambda: given.opener.serials(given.pieces))
        rows = tuple(each.row for each in reading)
    reading.raise_problems()
    tell(given.name, reading.said)
    return rows


def tell(name: str, said: Iterable[str]) -> None:
    """Say on standard error what cells of a list were taken for something else."""
    for each in said:
        telling.note(f"{name}: {each}")


def written(rows: Iterable[ListRow]) -> Iterator[str]:
    """Return rows as CSV that spreadsheets take for UTF-8, a piece at a time.

    The rows are read once, and all of them before this returns: which columns there are is known at the end only.
    """
    file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY, mode="w+", encoding="utf-8")  # noqa: SIM115 - see below

    def kept() -> Iterator[ListRow]:
        for row in rows:
            file.write(json.dumps(row.to_json()) + "\n")
            yield row

    try:
        columns = columns_of(kept())
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return _pieces_of(file, columns)


def _pieces_of(file: IO[str], columns: Sequence[str]) -> Iterator[str]:
    with file:
        yield BYTE_ORDER_MARK
        yield from write_rows((ListRow.from_json(json.loads(line)) for line in file), columns)


# --- importing them


@contextmanager
def source(
    file: Path, opener: Opener = CSV_OR_MANIFEST, shown_as: str | None = None, kept: KeptRows | None = None
) -> Iterator[DeviceFile]:
    """Give a file or a folder to import, read by ``opener`` and told of as ``shown_as``; ``kept`` is for its rows.

    What can be read only once (a pipe) is copied first, because it may have to be read twice. CSV may name files beside
    it, unless it is told of as something else: it was uploaded, and what lies beside it may be others'. Raises
    InputError for a device file.
    """
    if file.is_dir():
        of_folder = opener.of_folder(str(file))
        tell_of_folder(file)
        yield DeviceFile(str(file), lambda: folder_pieces(file), of_folder, kept)
        return
    column = beside.column_in(file) if shown_as is None and file.is_file() and opener.may_name_files else None
    if column is not None:
        telling.note(f"{file}: certificates are read from the files that it names, in its own folder")
        yield DeviceFile(str(file), lambda: beside.with_certificates(file, column, pieces_of(file)), opener, kept)
        return
    if file.is_file() or not file.exists():
        yield DeviceFile(shown_as or str(file), lambda: pieces_of(file), opener, kept)
        return
    with at_hand(file) as copy:
        yield DeviceFile(str(file), lambda: pieces_of(copy), opener, kept)


@contextmanager
def at_hand(file: Path) -> Iterator[Path]:
    """Give a path that can be read more than once: the file's own, or that of a copy of what a pipe gives.

    Raises InputError for what may never end: a device file, or a pipe with CSV whose line does not end.
    """
    if file.is_file() or file.is_dir() or not file.exists():
        yield file
        return
    if not (file.is_fifo() or file.samefile(os.devnull)):  # of a terminal, too, nobody knows where a list ends
        raise InputError(f"{file} is neither a file nor a folder nor a pipe")
    with tempfile.TemporaryDirectory(prefix="jitr-") as folder:
        copy = Path(folder) / "list.csv"
        with copy.open("wb") as copied:
            copied.writelines(_of_pipe(file))
        yield copy


def _of_pipe(file: Path) -> Iterator[bytes]:
    """Return what a pipe gives. Raises InputError for CSV with a line that is too long, which may have no end."""
    head, length = b"", 0
    for piece in pieces_of(file):
        head += piece[: max(0, HEAD - len(head))]
        after = piece.rpartition(b"\n")[2]
        length = len(after) + (length if len(after) == len(piece) else 0)
        if length > _LONGEST_LINE and recognised(head) == "csv" and not head.startswith(_COMPRESSED):
            raise InputError(f"{file}: {ENDLESS}")
        yield piece


def may_be_signed(file: Path, kind: str | None) -> bool:
    """Return whether a file may be a signed manifest, so that one must know who may sign it. ``kind`` was said."""
    if kind is not None or file.is_dir():
        return kind == SIGNED
    return recognised(beginning_of(file, HEAD)) == SIGNED


def size(file: Path) -> int | None:
    """Return how many bytes a file has, for a progress bar; None where that is not known."""
    return file.stat().st_size if file.is_file() else None


def imports(table: Table) -> Imports:
    """Make the imports into a deployment's table."""
    return Imports(table, clock=now_text, token=generation)


def let_go(table: Table) -> None:
    """Let the rows go that no reader looks at any more. Interrupted, the next import or the function goes on."""
    ends, given_up = now() + OLD_GENERATION, now() - GIVEN_UP
    with telling.progress("Letting earlier rows go", None):
        Leftovers(table).sweep(
            expires_at=int(ends.timestamp()),
            given_up_before=rfc3339(given_up),
            kept_since=rfc3339(now() - timedelta(days=KEPT_DAYS)),
        )


@dataclass(frozen=True, slots=True)
class Told:
    """The effect of an import on a list, for a person and as JSON."""

    rows: str
    effects: str
    document: dict[str, Any]


def told(checked: Checked, mode: str, before: ListInfo | None, found: Difference | None = None) -> Told:
    """Say what a file does, or did, to a list as it was before.

    ``found`` is what became of rows that were replaced. Without it, that is worked out from the comparison of the file
    with the list, where there was one; what is not known is null.
    """
    rows = counted(checked.rows, "row")
    if found is not None:
        words = ", ".join(f"{count} {name}" for name, count in found.counts().items())
        return Told(rows, f": {words}{_removed(found)}", found.to_json())
    counts: dict[str, int | None] = {each.value: checked.effects.get(each) for each in Effect}
    if before is None:
        counts = {Effect.ADDS.value: checked.rows, Effect.CHANGES.value: 0, Effect.NOTHING.value: 0}
    if mode == REPLACE:
        there = [counts[each.value] for each in (Effect.CHANGES, Effect.NOTHING)]
        known = [each for each in there if each is not None]
        was = 0 if before is None else before.rows
        counts["removed"] = max(0, was - sum(known)) if len(known) == len(there) else None
    words = ", ".join(f"{count} {name}" for name, count in counts.items() if count is not None)
    return Told(rows, f": {words}" if words else "", dict(counts))


def _removed(found: Difference) -> str:
    """Return the lines that name the removed rows."""
    lines = [f"\n  removed: {row.found_by()[-1].value}" for row in found.shown]
    more = found.removed - len(found.shown)
    return "".join([*lines, f"\n  and {more} more" if more else ""])


def say_how_long(rows: int) -> None:
    """Tell who imports very many rows what to expect of a table that was not used to that."""
    if rows >= _MANY:
        minutes = counted(rows // _ROWS_A_MINUTE + 1, "minute")
        telling.note(
            f"{rows:,} rows take about {minutes} on a new table, which takes some 4,000 a second at first. "
            "Cut off, the same command goes on."
        )
