"""Device lists in spreadsheets: the cells of a sheet as the cells of CSV, told by their place in it (``B17``).

A spreadsheet keeps numbers, not digits: it cuts leading zeros and whatever comes after the fifteenth. So a number is no
key of a device, however it looks.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import TypeAlias

from jitr.devicelists.columns import NO_HEADINGS, ColumnFault, shown, typed, under
from jitr.devicelists.csv.duplicates import SeenKeys
from jitr.devicelists.csv.reader import ListProblem, Reader
from jitr.devicelists.csv.records import MAX_ROW, BadCsvRecord, CsvRecord
from jitr.devicelists.csv.serials import SerialNotation, look_at
from jitr.devicelists.rows import KEY_KINDS
from jitr.values import dataclass

Value: TypeAlias = str | int | float | bool | date | datetime | time | timedelta
Rows: TypeAlias = Iterable[Sequence[Value]]

_KEYS = (*KEY_KINDS, "ca", "thing_name")


@dataclass(frozen=True, slots=True)
class CellProblem(ListProblem):
    """A problem of a spreadsheet: ``line`` is the row's number, ``column`` the cell's in it."""

    @property
    def where(self) -> str:
        """The cell, as a spreadsheet calls it: ``B17``."""
        return f"{letters(self.column)}{self.line}"

    def at(self, source: str) -> str:
        """Return one line for a person, beginning with ``file: B17``."""
        name = f"{self.name}: " if self.name else ""
        return f"{source}: {self.where}: {name}{self.message}"


class SheetReader(Reader):
    """Iterates, once, over the good rows of a sheet. ``rows`` begins it again each time that it is called."""

    def __init__(
        self,
        rows: Callable[[], Rows],
        *,
        source: str,
        duplicates: SeenKeys | None,
        headings: Mapping[str, str] = NO_HEADINGS,
    ) -> None:
        def serials() -> SerialNotation:
            # What devices on record tell is not asked here: digits that may be either are told, and not guessed.
            looked = look_at(records_of(rows(), headings), headings)
            return SerialNotation(looked.base, looked.why)

        super().__init__((), source=source, duplicates=duplicates, serials=serials, headings=headings)
        self._records = records_of(rows(), headings)

    def _problem(self, line: int, number: int, fault: ColumnFault) -> ListProblem:
        return CellProblem(line, number, fault.column, fault.message)


def letters(number: int) -> str:
    """Return what a spreadsheet calls a column, from its number, from 1."""
    name = ""
    while number > 0:
        number, letter = divmod(number - 1, 26)
        name = chr(ord("A") + letter) + name
    return name or "A"


def records_of(rows: Rows, headings: Mapping[str, str]) -> Iterator[CsvRecord | BadCsvRecord]:
    """Return a sheet's rows that are not blank. One that has a number where a key should be is a bad one."""
    columns: list[str | None] | None = None  # by number; None where it is no column of ours
    for line, values in enumerate(rows, 1):
        cells = [text_of(each) for each in values]
        if not "".join(cells).strip():
            continue
        if columns is None:
            columns = [_column(each, headings) for each in cells]
            yield CsvRecord(line, cells)
            continue
        bad = _number_as_key(values, columns)
        if bad is not None:
            yield BadCsvRecord(line, bad, _told(values[bad - 1]))
        elif sum(map(len, cells)) > MAX_ROW:
            yield BadCsvRecord(line, 1, f"the row is longer than {MAX_ROW} characters: nothing of it is read")
        else:
            yield CsvRecord(line, cells)


def _column(heading: str, headings: Mapping[str, str]) -> str | None:
    meant = under(heading.strip(), headings)
    return None if meant is None else typed(meant)[0]


def _number_as_key(values: Sequence[Value], columns: Sequence[str | None]) -> int | None:
    """Return the number of the first cell, from 1, that is a number or a time where a key should be."""
    for number, (value, column) in enumerate(zip(values, columns, strict=False), 1):
        if column in _KEYS and not isinstance(value, str):
            return number
    return None


def _told(value: Value) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return (
            f"the cell is a number, {shown(text_of(value))}: of numbers a spreadsheet keeps neither leading zeros nor "
            "more than 15 digits, so nobody can say whether this is all of it: format the column as text, and enter it "
            "again"
        )
    return f"the cell is no text: a spreadsheet made {shown(text_of(value))} of it: format the column as text"


def text_of(value: Value) -> str:
    """Return the cell of CSV that stands for a sheet's cell."""
    match value:
        case str():
            return value.replace("\r\n", "\n").replace("\r", "\n")
        case bool():
            return str(value).upper()
        case float() if value.is_integer() and abs(value) < 1e15:
            return str(int(value))
        case datetime():
            return value.date().isoformat() if value.time() == time() else value.isoformat(" ", "seconds")
        case date():
            return value.isoformat()
    return str(value)
