"""Device lists as CSV: reading what people, spreadsheets and factory systems write, and writing it back.

Bytes become records (``records``), the cells of a record the texts that they stand for (``cells``), and the texts a
row (``jitr.devicelists.values``). Here every problem gets its place, and no key may be there twice.
"""

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from itertools import chain, islice, repeat

from jitr.devicelists.columns import NO_HEADINGS, ColumnFault, header_faults, is_column, shown, typed, under
from jitr.devicelists.csv.cells import Cells, check_encoding, to_cell
from jitr.devicelists.csv.duplicates import Duplicates, SeenKeys
from jitr.devicelists.csv.records import BadCsvRecord, CsvRecord, read_records
from jitr.devicelists.csv.serials import UNDECIDED, Base, KnownSerials, SerialNotation, judge, look
from jitr.devicelists.rows import COLUMNS, ListRow
from jitr.devicelists.values import WrongValue, read_row
from jitr.errors import InputError
from jitr.text import counted, nearest
from jitr.values import dataclass

SHOWN = 20  # problems kept and shown; the rest is counted

_HEADINGS_SHOWN = 5
_STRAY = "is under no column name: name the column, or put quotes around the cell that has the separator in it"
_WHOLE_LINE = (
    "is a whole line in quotes, and so one cell, as where CSV was exported into CSV: "
    'take away the quotes around each line, and write "" within it as "'
)


@dataclass(frozen=True, slots=True)
class ListProblem:
    """A fault and its place: the line on which the row begins and the number of the cell in it, both from 1."""

    line: int
    column: int
    name: str | None
    message: str

    @property
    def where(self) -> str:
        """The place in the file, in words."""
        return f"line {self.line}, column {self.column}"

    def at(self, source: str) -> str:
        """Return one line for a person, beginning with ``file:line:column``."""
        name = f"{self.name}: " if self.name else ""
        return f"{source}:{self.line}:{self.column}: {name}{self.message}"


@dataclass(frozen=True, slots=True)
class Row:
    """A row that is in order, the line on which it begins, and the file's columns ("" where one has no name)."""

    line: int
    row: ListRow
    columns: Sequence[str] = field(default=(), kw_only=True, compare=False)


class ListError(InputError):
    """A device list cannot be used. ``problems`` are the first of them, ``count`` is how many there are in all."""

    def __init__(self, source: str, problems: Sequence[ListProblem], count: int) -> None:
        told = [each.at(source) for each in problems]
        if count > len(problems):
            told.append(f"{source}: and {count - len(problems)} more")
        super().__init__("\n".join(told))
        self.source = source
        self.problems = tuple(problems)
        self.count = count


class Reader:
    """Iterates, once, over the good rows of a CSV file and keeps the first ``SHOWN`` problems and the count of all.

    ``chunks`` are the file's bytes in pieces of any size. Memory does not grow with the file, apart from
    ``duplicates``; without one, keys that are there twice go unnoticed. ``serials`` is asked how serial
    numbers of digits only are read where the header does not say it (``serials_in``); undecided, they are problems.
    ``headings`` give columns for what the file calls them; where there are any, other columns are left out.
    """

    def __init__(
        self,
        chunks: Iterable[bytes],
        *,
        source: str,
        duplicates: SeenKeys | None = None,
        serials: Callable[[], SerialNotation] = lambda: UNDECIDED,
        headings: Mapping[str, str] = NO_HEADINGS,
    ) -> None:
        self.source = source
        self.problems: list[ListProblem] = []
        self.problem_count = 0
        self._records: Iterator[CsvRecord | BadCsvRecord] = read_records(chunks)
        self._duplicates = duplicates
        self._ask_serials = serials
        self._cells = Cells()
        self._columns: list[str] = []  # "" where a column has no name
        self._headings = headings
        self._left_out: dict[int, str] = {}  # headings of columns that are not read, by their numbers from 1

    @property
    def said(self) -> tuple[str, ...]:
        """Notes on cells that were read as something other than they say, and on what was left out, a sentence each."""
        if not self._left_out:
            return self._cells.said()
        columns = counted(len(self._left_out), "column is", "columns are")
        names = ", ".join(map(shown, islice(self._left_out.values(), _HEADINGS_SHOWN)))
        more = ", …" if len(self._left_out) > _HEADINGS_SHOWN else ""
        return (*self._cells.said(), f"{columns} left out, for which no --column is given: {names}{more}")

    @property
    def serials(self) -> SerialNotation:
        """How serial numbers of digits only are read."""
        return self._cells.serials

    def raise_problems(self) -> None:
        """Raise ListError if there was any problem so far."""
        if self.problem_count:
            raise ListError(self.source, self.problems, self.problem_count)

    def __iter__(self) -> Iterator[Row]:
        if not self._read_header():
            return
        for record in self._records:
            if isinstance(record, BadCsvRecord):
                self._add(record.line, record.column, record.message)
                continue
            row = self._read(record)
            if row is not None and not self._repeats(record.line, row):
                yield Row(record.line, row, columns=self._columns)
        for line, column, message in self._cells.damage():
            self._add(line, self.number(column), ColumnFault(column, message))

    def _read_header(self) -> bool:
        """Return whether the first record names the columns. Without good names, no row below it would make sense."""
        first = next(self._records, None)
        if first is None:
            self._add(1, 1, "there is nothing in it: the first line of a list names the columns, such as common_name")
        elif isinstance(first, BadCsvRecord):
            self._add(first.line, first.column, first.message)
        else:
            self._columns = [each.strip() for each in first.cells]
            while not self._columns[-1]:
                self._columns.pop()
            if not self._are_decoded(first.line):
                return False
            if _is_whole_line(self._columns):
                self._add(first.line, 1, f"{shown(self._columns[0])} {_WHOLE_LINE}")
                return False
            if self._headings and not self._read_headings(first.line):
                return False
            self._read_types()
            for number, fault in header_faults(self._columns):
                self._add(first.line, number, fault)
        return not self.problem_count

    def _are_decoded(self, line: int) -> bool:
        """Return whether the header is text in the encoding that it was read in."""
        for number, name in enumerate(self._columns, 1):
            try:
                check_encoding(name)
            except WrongValue as wrong:
                self._add(line, number, str(wrong))
                return False
        return True

    def _read_headings(self, line: int) -> bool:
        """Take what the file calls columns for what they are; whether all that were named are there."""
        for heading, column in self._headings.items():
            if heading not in self._columns:
                near = nearest(heading, self._columns)
                meant = f"did you mean {shown(near)}?" if near else "the first line is that of the headings"
                self._add(line, 1, f"--column {column}: no column is called {shown(heading)}: {meant}")
        for number, heading in enumerate(self._columns, 1):
            meant_by = under(heading, self._headings)
            if meant_by is None and heading:
                self._left_out[number] = heading
            self._columns[number - 1] = meant_by or ""
        while self._columns and not self._columns[-1]:
            self._columns.pop()
        return not self.problem_count

    def _read_types(self) -> None:
        if "serial_number" in self._columns:
            self._cells.serials = self._ask_serials()
        for number, name in enumerate(self._columns):
            self._columns[number], kind = typed(name)
            if kind is not None:
                self._cells.serials = SerialNotation(Base(kind))

    def _read(self, record: CsvRecord) -> ListRow | None:
        """Return a row, or None if it has problems."""
        self._cells.line = record.line
        columns, cells = self._columns, record.cells
        values = {column: cell for column, cell in zip(columns, cells, strict=False) if cell and not cell.isspace()}
        stray = len(cells) > len(columns) or "" in values
        if stray:
            stray = self._add_strays(record)
            values.pop("", None)
        row = read_row(values, self._cells.text)
        if isinstance(row, ListRow):
            return None if stray else row
        for fault in row:
            self._add(record.line, self.number(fault.column), fault)
        return None

    def _add_strays(self, record: CsvRecord) -> bool:
        """Tell of the cells that are under no column name; whether there are any."""
        names = chain(self._columns, repeat(""))
        strays = [
            (number, cell)
            for number, (cell, name) in enumerate(zip(record.cells, names, strict=False), 1)
            if not name and cell and not cell.isspace() and number not in self._left_out
        ]
        for number, cell in strays:
            self._add(record.line, number, f"{shown(cell)} {_STRAY}")
        return bool(strays)

    def _repeats(self, line: int, row: ListRow) -> bool:
        if self._duplicates is None:
            return False
        repeats = False
        for key in row.found_by():
            first = self._duplicates.first_line(key, line)
            if first is not None:
                repeats = True
                fault = ColumnFault(key.kind, f"{shown(key.value)} is on line {first} already")
                self._add(line, self.number(key.kind), fault)
        return repeats

    def number(self, column: str | None) -> int:
        """Return the number of a column in this file, from 1; 1 also for the whole row or an absent column."""
        return self._columns.index(column) + 1 if column in self._columns else 1

    def _add(self, line: int, number: int, fault: ColumnFault | str) -> None:
        self.problem_count += 1
        if len(self.problems) < SHOWN:
            self.problems.append(
                self._problem(line, number, fault if isinstance(fault, ColumnFault) else ColumnFault(None, fault))
            )

    def _problem(self, line: int, number: int, fault: ColumnFault) -> ListProblem:
        return ListProblem(line, number, fault.column, fault.message)


def _is_whole_line(columns: Sequence[str]) -> bool:
    """Return whether a header is one cell that has in it what separates cells, and begins with the name of a column."""
    if len(columns) != 1:
        return False
    names = re.split(r"[,;\t|]", columns[0])
    return len(names) > 1 and any(is_column(typed(each.strip(' "'))[0]) for each in names)


def serials_in(
    pieces: Callable[[], Iterable[bytes]],
    known: Callable[[], KnownSerials] = KnownSerials,
    headings: Mapping[str, str] = NO_HEADINGS,
) -> SerialNotation:
    """Return how a file's serial numbers are to be read. ``known`` is asked only where the file does not tell."""
    looked = look(pieces, headings)
    return judge(looked, KnownSerials() if looked.base else known())


def read_list(data: bytes, source: str) -> tuple[ListRow, ...]:
    """Return the rows of a whole list in memory; duplicate keys are problems.

    Raises ListError with the first problems and their count.
    """
    reader = Reader([data], source=source, duplicates=Duplicates(), serials=lambda: serials_in(lambda: [data]))
    rows = tuple(each.row for each in reader)
    reader.raise_problems()
    return rows


# --- writing


_HEADER = {"serial_number": "serial_number:hex"}  # digits alone would be read as decimal


class _Echo:
    """A file for csv.writer that hands back what is written."""

    def write(self, text: str) -> str:
        return text


def columns_of(rows: Iterable[ListRow]) -> tuple[str, ...]:
    """Return the columns that these rows need, in their usual order: at least ``common_name``."""
    used = {name for row in rows for name in row.to_json()} or {"common_name"}
    return tuple(each for each in COLUMNS if each in used) + tuple(sorted(used.difference(COLUMNS)))


def write_rows(rows: Iterable[ListRow], columns: Sequence[str] | None = None) -> Iterator[str]:
    """Write the rows as CSV (RFC 4180), header first, a record at a time; reading them gives equal rows.

    ``columns`` are those that ``columns_of`` gives; without them the rows are held in memory to find out.
    No cell is run as a formula by a spreadsheet. Raises ValueError for a row with a column that is not among them.
    """
    if columns is None:
        rows = tuple(rows)
        columns = columns_of(rows)
    writer = csv.DictWriter(_Echo(), columns, lineterminator="\r\n")
    yield writer.writerow({name: _HEADER.get(name, name) for name in columns})
    for row in rows:
        yield writer.writerow({name: to_cell(name, value) for name, value in row.to_json().items()})
