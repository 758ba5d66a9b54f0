"""CSV records from bytes that anyone may have written: encoding, line ends, separator and quotes, in flat memory.

What cannot be read is a value like what can: a BadCsvRecord with its place. Nothing here knows what the cells mean.
"""

import codecs
import csv
import io
import re
from collections.abc import Iterable, Iterator
from itertools import chain

from jitr.unseen import quote
from jitr.values import dataclass

MAX_ROW = 16 * 1024  # characters in one row, line breaks in quoted cells included
MAX_LINE = 1024 * 1024  # characters in one line: after a longer one nothing more is read, as it may have no end

_PIECE = 64 * 1024
_SEPARATORS = (",", ";", "\t", "|")
_SEP_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
ENDLESS = f"the line is longer than {MAX_LINE} characters: nothing from here on is read"
_OLD_WORKBOOK = b"\xd0\xcf\x11\xe0"
_OTHER_FORMATS = {
    b"PK\x03\x04": "an Excel workbook (or another ZIP file)",
    _OLD_WORKBOOK: "an Excel workbook of the old kind",
    b"\x1f\x8b": "a gzip file",
}


@dataclass(frozen=True, slots=True)
class CsvRecord:
    """The cells of a row, at least one of them not blank, and the line on which it begins, from 1."""

    line: int
    cells: list[str]


@dataclass(frozen=True, slots=True)
class BadCsvRecord:
    """A row that cannot be taken apart, the number of the cell where that shows (from 1), and why."""

    line: int
    column: int
    message: str


class _Stop(Exception):
    """Nothing after this point can be read with any sense."""


class _TooLong(_Stop):
    """A row that is longer than any honest one."""


def read_records(chunks: Iterable[bytes]) -> Iterator[CsvRecord | BadCsvRecord]:
    """Yield the rows of a CSV file that are not blank. ``chunks`` are its bytes in pieces of any size.

    UTF-8, or UTF-16 with a byte order mark; the separator is found from a ``sep=`` line or the first line with text.
    """
    lines = _Lines(_split(_texts(chunks)))
    try:
        form = _form(lines)
        if form:
            yield from _records(lines, form)
    except _Stop as stop:
        yield BadCsvRecord(lines.row_line, 1, str(stop))


# --- lines


def _pieces(chunks: Iterable[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        for start in range(0, len(chunk), _PIECE):
            yield chunk[start : start + _PIECE]


def _texts(chunks: Iterable[bytes]) -> Iterator[str]:
    """Decode text in pieces, every line break as ``\\n``. A byte that is not UTF-8 becomes a surrogate (PEP 383)."""
    pieces = _pieces(chunks)
    head = b""
    for piece in pieces:
        head += piece
        if len(head) >= max(map(len, _OTHER_FORMATS)):
            break
    for signature, kind in _OTHER_FORMATS.items():
        if head.startswith(signature):
            also = " (`jitr lists import` reads .xlsx, too)" if signature == _OLD_WORKBOOK else ""
            raise _Stop(f'this is {kind}, not CSV: save the list as "CSV UTF-8"{also}')
    utf16 = head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    encoding, errors = ("utf-16", "surrogatepass") if utf16 else ("utf-8-sig", "surrogateescape")
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(encoding)(errors), translate=True)
    try:
        for piece in chain([head], pieces):
            yield decoder.decode(piece)
        yield decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        raise _Stop("the file ends in the middle of a character: it is not complete") from None


def _split(texts: Iterable[str]) -> Iterator[str]:
    """Yield the lines with their line breaks; cut one longer than a row may be, so that memory stays flat.

    Raises _Stop for one that may have no end.
    """
    pending, length = "", 0
    for text in texts:
        *lines, rest = text.split("\n")
        for line in lines:
            yield f"{pending}{line}\n"
            pending, length = "", 0
        pending, length = (pending + rest)[: MAX_ROW + 1], length + len(rest)
        if length > MAX_LINE:
            raise _Stop(ENDLESS)
    if pending:
        yield pending


class _Lines:
    """Lines for the csv module, one by one. Knows the lines of the present row and refuses a row without end."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self._size = 0
        self._read = 0
        self.row: list[str] = []

    def begin_row(self) -> None:
        """Start the next row: what is read from now on belongs to it."""
        self.row.clear()
        self._size = 0

    @property
    def row_line(self) -> int:
        """The line on which the present row begins, from 1."""
        return max(1, self._read - len(self.row) + 1)

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self._read += 1
        self.row.append(line)
        self._size += len(line)
        if self._size > MAX_ROW:
            raise _TooLong(f"the row is longer than {MAX_ROW} characters: nothing of it is read")
        return line

    def next_text(self) -> str:
        """Return the next line that is not blank, as a row of its own; "" at the end."""
        self.begin_row()
        for line in self:
            if not line.isspace():
                return line
            self.begin_row()
        return ""

    def put_back(self) -> None:
        """Read the present row's lines again."""
        self._lines = chain(tuple(self.row), self._lines)
        self._read -= len(self.row)
        self.begin_row()


# --- cells


@dataclass(frozen=True, slots=True)
class _Form:
    """How this file separates cells; ``spaced``: it writes a space after each separator."""

    separator: str
    spaced: bool


def _form(lines: _Lines) -> _Form | None:
    """Found from the first line with text, which is left to be read unless it is a ``sep=`` line; None without any."""
    first = lines.next_text()
    if named := _SEP_LINE.fullmatch(first):
        separator = named[1]
        if separator not in _SEPARATORS:
            raise _Stop(f"sep= names {quote(separator)}: cells are separated by a comma, semicolon, tab or |")
        first = lines.next_text()
    else:
        separator = max(_SEPARATORS, key=first.count)
    if "\0" in first:
        raise _Stop('this is not text, or UTF-16 without a byte order mark: save the list as "CSV UTF-8"')
    if not first:
        return None
    lines.put_back()
    names = [each for each in first.split(separator)[1:] if each.strip()]
    return _Form(separator, spaced=bool(names) and all(each.startswith(" ") for each in names))


def _records(lines: _Lines, form: _Form) -> Iterator[CsvRecord | BadCsvRecord]:
    rows = csv.reader(lines, delimiter=form.separator, skipinitialspace=form.spaced, strict=True)
    while True:
        lines.begin_row()
        try:
            cells = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield BadCsvRecord(lines.row_line, _broken_cell(lines, form), _complaint(error))
        except _TooLong as too_long:
            if len(lines.row) > 1:
                told = (
                    f"a quote is opened here and not closed within {MAX_ROW} characters: nothing from here on is read"
                )
                yield BadCsvRecord(lines.row_line, _broken_cell(lines, form), told)
                return
            yield BadCsvRecord(lines.row_line, 1, str(too_long))
        else:
            if any(cells) and not "".join(cells).isspace():
                yield CsvRecord(lines.row_line, cells)


def _broken_cell(lines: _Lines, form: _Form) -> int:
    """Return the number of the first cell of the present row whose quotes are not in order."""
    blanks, separator = " *+" if form.spaced else "", re.escape(form.separator)
    sound = re.compile(rf'{blanks}(?:"(?:[^"]|"")*+"|(?!")[^{separator}]*+){separator}')
    row, number, start = "".join(lines.row), 1, 0
    while cell := sound.match(row, start):
        number, start = number + 1, cell.end()
    return number


def _complaint(error: csv.Error) -> str:
    """Put the csv module's complaint in this module's words."""
    if "unexpected end" in str(error):
        return "a quote is opened here and never closed"
    if "expected after" in str(error):
        return 'there is text after the closing quote: inside quotes, write a quote as ""'
    return f"the row cannot be read as CSV: {error}"
