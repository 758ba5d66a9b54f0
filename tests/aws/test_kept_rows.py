"""Rows of a file that was checked are kept until they are written: it is read once, and its elements verified once."""

import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import pytest
from testkit import lists as list_edits
from testkit.aws.fakes import fake_world

from jitr.aws.dynamodb.table import Table
from jitr.devicelists.csv.reader import ListError
from jitr.devicelists.rows import ListRow
from jitr.errors import InputError
from jitr.services.lists import kept_rows
from jitr.services.lists.device_lists import DeviceLists
from jitr.services.lists.kept_rows import KeptRows
from jitr.services.lists.list_import import DeviceFile

ROWS = [ListRow(common_name=f"snr-{number:04d}", attributes={"batch": "7"}) for number in range(120)]


class Readings:
    """A file that counts how often it is read; from the second time on it may be another one."""

    def __init__(self, text: bytes, later: bytes | None = None) -> None:
        self.count = 0
        self._text = text
        self._later = text if later is None else later

    def __call__(self) -> list[bytes]:
        self.count += 1
        return [self._text if self.count == 1 else self._later]


@pytest.fixture
def table() -> Iterator[Table]:
    with fake_world() as world:
        yield world.table


@pytest.fixture
def kept() -> Iterator[KeptRows]:
    with KeptRows() as kept:
        yield kept


def text_of(rows: list[ListRow]) -> bytes:
    return b"".join(list_edits.csv_of(rows).pieces())


def imported(table: Table, source: DeviceFile) -> list[ListRow]:
    """Check a file, put it in force, and read the list."""
    imports = list_edits.imports_into(table)
    checked = imports.check("line-a", source, advance=lambda _bytes: None)
    imports.replace("line-a", checked, by="tests", advance=lambda _rows: None)
    lists = DeviceLists(table)
    rows = lists.rows("line-a", lists.all()["line-a"].head.generation)
    return sorted(rows, key=lambda each: each.common_name or "")


def test_a_file_is_read_once(table: Table, kept: KeptRows) -> None:
    pieces = Readings(text_of(ROWS))
    assert imported(table, DeviceFile("f.csv", pieces, kept=kept)) == ROWS
    assert pieces.count == 1


def test_what_is_written_is_what_was_checked_whatever_becomes_of_the_file(table: Table, kept: KeptRows) -> None:
    pieces = Readings(text_of(ROWS), later=b"common_name\nanother\n")
    assert imported(table, DeviceFile("f.csv", pieces, kept=kept)) == ROWS


def test_rows_of_one_file_are_not_written_for_another(table: Table, kept: KeptRows) -> None:
    """They are kept with the digest of their file: the file that was checked first is read again."""
    imports = list_edits.imports_into(table)
    files = [DeviceFile("f.csv", Readings(text_of(rows)), kept=kept) for rows in (ROWS[:50], ROWS[50:])]
    first, _ = [imports.check("line-a", each, advance=lambda _bytes: None) for each in files]
    imports.replace("line-a", first, by="tests", advance=lambda _rows: None)
    assert DeviceLists(table).all()["line-a"].rows == 50


def test_more_rows_than_are_kept_are_read_and_checked_again(table: Table) -> None:
    pieces = Readings(text_of(ROWS))
    with KeptRows(most=1000) as kept:
        assert imported(table, DeviceFile("f.csv", pieces, kept=kept)) == ROWS
    assert pieces.count == 2
    with KeptRows(most=1000) as kept, pytest.raises(InputError, match="was changed while it was imported"):
        imported(table, DeviceFile("f.csv", Readings(text_of(ROWS), later=text_of(ROWS[1:])), kept=kept))


@pytest.mark.parametrize("fails", ["write", "flush"])
def test_where_the_disk_takes_no_more_the_file_is_read_again(
    table: Table, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    made = kept_rows._file

    def on_a_full_disk() -> "tempfile.SpooledTemporaryFile[bytes]":
        file = made()
        monkeypatch.setattr(file, fails, full)
        return file

    monkeypatch.setattr(kept_rows, "_file", on_a_full_disk)
    pieces = Readings(text_of(ROWS))
    with KeptRows() as kept:
        assert imported(table, DeviceFile("f.csv", pieces, kept=kept)) == ROWS
    assert pieces.count == 2


def test_a_file_with_a_mistake_leaves_nothing_to_be_written(table: Table, kept: KeptRows) -> None:
    with pytest.raises(ListError):
        imported(table, DeviceFile("f.csv", lambda: [b"common_name\nsnr-1\nsnr-1\n"], kept=kept))
    assert DeviceLists(table).all() == {}


def test_rows_come_back_as_they_were(kept: KeptRows) -> None:
    """Each column, in any script; as often as they are wanted, and from any of them on."""
    row = ListRow(
        serial_number="-1f",
        ca="factory-a",
        certificate_sha256="ab" * 32,
        public_key_sha256="cd" * 32,
        thing_name="pump-1",
        expires=datetime(2026, 6, 30, 10, 0, 0, 123_000, tzinfo=UTC),
        note='on "the" roof, ü \u4e2d \U0001f600\u2028',
        attributes={"batch": "7", "Hall": "\\n"},
    )
    rows = [row, *ROWS]
    kept.begin()
    for each in rows:
        kept.add(each)
    kept.end("digest")
    assert kept.are_of("digest")
    for done in (0, 1, 100, 121, 500):
        assert list(kept.after(done)) == rows[done:]


def test_no_file_of_rows_has_a_name_or_outlives_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """So nobody else reads it, and it is gone however the process ends."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(kept_rows, "_IN_MEMORY", 100)
    opened: list[IO[bytes]] = []
    made = tempfile.TemporaryFile

    def remembered(*args: Any, **options: Any) -> IO[bytes]:
        opened.append(made(*args, **options))
        return opened[-1]

    monkeypatch.setattr(tempfile, "TemporaryFile", remembered)
    with KeptRows() as kept:
        kept.begin()
        for each in ROWS:
            kept.add(each)
        kept.end("digest")
        assert list(tmp_path.iterdir()) == []
        assert len(list(kept.after(0))) == len(ROWS)
        assert not opened[0].closed
    assert [each.closed for each in opened] == [True]
    assert not kept.are_of("digest")
