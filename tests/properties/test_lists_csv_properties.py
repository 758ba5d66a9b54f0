"""What holds for every list, whatever the bytes: only rows or declared problems, in steady memory and linear time."""

import csv
import io
import re
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from testkit.work import steps

from jitr.devicelists.csv import duplicates
from jitr.devicelists.csv.duplicates import Duplicates, KeyLog
from jitr.devicelists.csv.reader import Reader, columns_of, write_rows
from jitr.devicelists.csv.records import MAX_ROW
from jitr.devicelists.rows import COLUMNS, ListRow, RowKey
from jitr.devicelists.values import read_row
from jitr.errors import Retry
from jitr.unseen import first_unseen


@given(st.lists(st.integers(0, 40), max_size=60), st.integers(1, 9))
@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_two_readings_tell_what_one_does(monkeypatch: pytest.MonkeyPatch, numbers: list[int], at_once: int) -> None:
    monkeypatch.setattr(duplicates, "_AT_ONCE", at_once)
    keys = [RowKey("common_name", f"snr-{number}") for number in numbers]
    once, log = Duplicates(), KeyLog(io.BytesIO())
    expected = [once.first_line(key, line) for line, key in enumerate(keys, 2)]
    for line, key in enumerate(keys, 2):
        log.first_line(key, line)
    twice = log.repeated()
    assert [twice.first_line(key, line) for line, key in enumerate(keys, 2)] == expected
    assert bool(twice) == any(expected)


@contextmanager
def _traced() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()


def test_memory_for_repeated_keys_does_not_grow_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "_AT_ONCE", 1000)

    def peak(count: int) -> int:
        with (tmp_path / str(count)).open("w+b") as file, _traced():
            log = KeyLog(file)
            assert sum(1 for _ in Reader(_rows_of(count), source="f", duplicates=log)) == count
            assert not log.repeated()
            return tracemalloc.get_traced_memory()[1]

    peak(100)
    assert peak(16_000) < peak(2000) + 100_000


_EDGES = st.sampled_from(["", "'", "''", "=", "+", "-", "@", " ", "“", "”", '"', "7.4E+11", ",", ";", "sep=;", "＝"])


def _texts(most: int) -> st.SearchStrategy[str]:
    body = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cf", "Cs", "Zl", "Zp")), max_size=most - 30)
    return st.builds("{}{}{}{}".format, _EDGES, _EDGES, body, _EDGES).filter(_is_sound)


def _is_sound(text: str) -> bool:
    """Whether a list takes the text as it is."""
    return bool(text.strip()) and first_unseen(text) is None


# Not of one digit: what was never filled in is an error.
_HASHES = st.text("0123456789abcdef", min_size=64, max_size=64).filter(lambda digits: len(set(digits)) > 1)


_TIMES = st.datetimes(timezones=st.just(UTC)).map(lambda at: at.replace(microsecond=at.microsecond // 1000 * 1000))


_OPTIONAL = {
    "common_name": _texts(120),
    "certificate_sha256": _HASHES,
    "public_key_sha256": _HASHES,
    "thing_name": st.one_of(st.just("1E-05"), st.from_regex(r"[a-zA-Z0-9:_-]{1,128}", fullmatch=True)),
    "expires": _TIMES,
    "note": _texts(1024),
    "attributes": st.dictionaries(st.from_regex(r"[a-zA-Z0-9_.-]{1,64}", fullmatch=True), _texts(800), max_size=3),
}


@st.composite
def list_rows(draw: st.DrawFn) -> ListRow:
    fields = draw(st.fixed_dictionaries({}, optional=_OPTIONAL))
    if draw(st.booleans()):
        fields["serial_number"] = f"{draw(st.integers(0, 2**160 - 1)):x}"
        fields["ca"] = draw(st.one_of(_HASHES, st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", fullmatch=True)))
    row = ListRow(**fields)  # type: ignore[arg-type]
    assume(row.found_by())
    return row


@given(
    st.lists(list_rows(), max_size=5, unique_by=lambda row: row.found_by()),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
@settings(deadline=None, max_examples=150)
def test_an_export_imports_back_to_the_same_rows(rows: list[ListRow], encoding: str) -> None:
    assume(all(len("".join(record)) < MAX_ROW for record in write_rows(rows)))
    reader = Reader(["".join(write_rows(rows)).encode(encoding)], source="f")
    back = [each.row for each in reader]
    assert reader.problems == []
    assert back == rows


@given(st.lists(list_rows(), min_size=1, max_size=3))
@settings(deadline=None, max_examples=50)
def test_read_row_takes_every_row_back_from_its_json(rows: list[ListRow]) -> None:
    for row in rows:
        assert read_row(row.to_json()) == row


@given(st.lists(list_rows(), min_size=1, max_size=3))
@settings(deadline=None, max_examples=50)
def test_no_exported_cell_begins_as_a_formula(rows: list[ListRow]) -> None:
    cells = chain.from_iterable(csv.reader(write_rows(rows, columns_of(rows))))
    # Also where a spreadsheet separates cells at another sign.
    parts = [part.lstrip(" ") for cell in cells for part in re.split("[;|]", cell)]
    assert not [part for part in parts if part.startswith(("=", "+", "-", "@", "\t", "\r", "＝"))]


@given(st.lists(st.sampled_from(["x", ";", "|", "'", "=", "-", " ", "1", ","]), min_size=1, max_size=12).map("".join))
@settings(deadline=None, max_examples=300)
def test_what_a_spreadsheet_could_split_and_run_imports_back_unchanged(text: str) -> None:
    assume(_is_sound(text))
    row = ListRow(common_name=text)
    (back,) = Reader(["".join(write_rows([row])).encode()], source="f")
    assert back.row == row


_FRAGMENTS = st.sampled_from(
    (
        *COLUMNS,
        "attr.x",
        "sep=",
        *',;\t\n\r"\0\ufeff\ud800 \u2028\x85=ä',
        '""',
        "7.4E+11",
        "1001",
        "2026-06-30",
        "0a" * 32,
        "x" * 5000,
    )
)


def _declared_only(data: bytes) -> None:
    reader = Reader([data], source="f", duplicates=Duplicates())
    for each in reader:
        assert each.row.found_by()
        assert each.line >= 1
    assert (reader.problem_count == 0) == (reader.problems == [])
    assert all(each.line >= 1 and each.column >= 1 and each.message.isprintable() for each in reader.problems)


@given(st.binary(max_size=300))
@settings(deadline=None, max_examples=200)
def test_any_bytes_are_rows_or_declared_problems(data: bytes) -> None:
    _declared_only(data)


@given(st.lists(_FRAGMENTS, max_size=25), st.sampled_from(["utf-8", "utf-16", "utf-16-be", "utf-8-sig"]), st.booleans())
@settings(deadline=None, max_examples=300)
def test_any_pieces_of_lists_are_rows_or_declared_problems(pieces: list[str], encoding: str, headed: bool) -> None:
    text = ("common_name,note,serial_number,ca,expires,attr.x\n" if headed else "") + "".join(pieces)
    _declared_only(text.encode(encoding, "surrogatepass"))


@given(st.binary(max_size=200), st.integers(1, 5))
@settings(deadline=None, max_examples=100)
def test_the_size_of_the_chunks_makes_no_difference(tail: bytes, size: int) -> None:
    data = b"common_name,note\r\nsnr-1,x\r\n" + tail
    whole = Reader([data], source="f")
    pieces = Reader((data[start : start + size] for start in range(0, len(data), size)), source="f")
    assert list(whole) == list(pieces)
    assert whole.problems == pieces.problems


def _rows_of(count: int) -> Iterator[bytes]:
    yield b"common_name,serial_number:hex,ca,attr.batch\n"
    for number in range(count):
        yield b"snr-%d,%x,factory-a,%d\n" % (number, number, number % 7)


def test_memory_does_not_grow_with_the_file() -> None:
    def peak(count: int) -> int:
        with _traced():
            assert sum(1 for _ in Reader(_rows_of(count), source="f")) == count
            return tracemalloc.get_traced_memory()[1]

    peak(100)
    assert peak(8000) < peak(1000) + 100_000


def test_the_duplicate_check_keeps_a_hash_of_each_key_and_not_the_key() -> None:
    seen = Duplicates()
    with _traced():
        before = tracemalloc.get_traced_memory()[0]
        for number in range(20_000):
            seen.first_line(RowKey("common_name", f"snr-{number}" * 20), number)
        assert tracemalloc.get_traced_memory()[0] - before < 150 * 20_000


def _steps(data: bytes) -> int:
    return steps(lambda: list(Reader([data], source="f", duplicates=Duplicates())))


@pytest.mark.parametrize(
    ("head", "unit"),
    [
        (b"common_name\n", b'x","y\n'),
        (b"common_name\n", b'"""\n'),
        (b"common_name\n", b'"a\n'),
        (b"common_name,note\n", b'snr,"' + b" " * 8000 + b'\n x"\n'),
        (b"common_name,note\n", b"snr," + b'"' * 8001 + b"x\n"),
        (b"common_name\n", b"x" * 40_000),
        (b"", b"\n"),
        (b"common_name\n", b",,,,\n"),
        (b"common_name\n", b"'" * 500 + b"\n"),
        (b"common_name,serial_number,ca\n", b"," + b":" * 8000 + b"g,f\n"),
        (b"attr", b"." * 8000 + b"\n"),
    ],
    ids=[
        "quotes within",
        "quotes in pairs",
        "quote not closed",
        "blanks before a line break",
        "quotes for ever",
        "one long cell",
        "empty lines",
        "empty cells",
        "apostrophes",
        "colons",
        "dots in a name",
    ],
)
def test_reading_takes_linear_time(head: bytes, unit: bytes) -> None:
    """Four times the file takes four times as many steps, not sixteen times."""
    small, large = (head + unit * (size // len(unit)) for size in (60_000, 240_000))
    assert _steps(large) < 4.5 * _steps(small) + 1000


def test_a_header_of_hostile_names_takes_no_time() -> None:
    data = b",".join(b"attr" + b"." * 70 + b"\xc3\xa4%d" % number for number in range(150)) + b"\n"
    assert _steps(data) < 100 * len(data)


def test_a_full_disk_is_told_with_its_remedy() -> None:
    class Full(io.BytesIO):
        def write(self, _data: object) -> int:
            raise OSError(28, "No space left on device")

    reader = Reader(_rows_of(70_000), source="f", duplicates=KeyLog(Full()))
    with pytest.raises(Retry, match=r"No space left on device\): make room, or name another folder in TMPDIR"):
        list(reader)
