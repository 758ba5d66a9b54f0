"""What reading any manifest has in common: rows with their places, problems with theirs, and what is said of them.

A reader here is used as the one of CSV files is (``jitr.devicelists.csv.reader``): it is iterated over once, and keeps
the first problems and the count of all.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar

from jitr.devicelists.columns import ATTRIBUTE_PREFIX, ColumnFault, shown
from jitr.devicelists.csv.duplicates import SeenKeys
from jitr.devicelists.csv.reader import SHOWN, ListError, ListProblem, Row
from jitr.devicelists.csv.serials import UNDECIDED, SerialNotation
from jitr.devicelists.rows import ListRow
from jitr.devicelists.values import read_row
from jitr.errors import InputError
from jitr.text import counted
from jitr.unseen import written_out
from jitr.values import dataclass

if TYPE_CHECKING:
    from jitr.devicelists.manifests.jws import Signer, Signers

A = TypeVar("A")
B = TypeVar("B")

USUAL_SET = "E0E0"
_PLACE_SHOWN = 80  # characters of a name out of an archive
_FIELD = re.compile(r"\{([^{}]*)\}")


class ListReader(Protocol):
    """Iterates, once, over the good rows of a file, and keeps the first problems and the count of all."""

    problems: list[ListProblem]
    problem_count: int

    def __iter__(self) -> Iterator[Row]:
        """Return the rows."""

    @property
    def said(self) -> tuple[str, ...]:
        """Notes for the importer on how the file was read, a sentence each."""

    @property
    def serials(self) -> SerialNotation:
        """How serial numbers of digits only are read."""

    def raise_problems(self) -> None:
        """Raise ListError if there was any problem so far."""

    def number(self, column: str | None) -> int:
        """Return the number of a column in this file, from 1; 1 where there are no columns."""


@dataclass(frozen=True, slots=True)
class PlacedRow(Row):
    """A row of a manifest: ``place`` says where it is, ``line`` its number among its kind, which is ``unit``."""

    place: str
    unit: str


@dataclass(frozen=True, slots=True)
class PlacedProblem(ListProblem):
    """A problem of a file that is not in lines."""

    place: str

    @property
    def where(self) -> str:
        """The place in the file, as its reader calls it."""
        return self.place

    def at(self, source: str) -> str:
        """Return one line for a person, beginning with the file and the place in it."""
        return f"{source}: {self.place}: {self.message}"


def signers_of(reader: ListReader) -> "tuple[Signer, ...]":
    """Return who signed what a reader read; nobody, where nothing is signed."""
    return reader.signed_by if isinstance(reader, ManifestReader) else ()


def problem_of(row: Row, number: int, fault: ColumnFault) -> ListProblem:
    """Return the problem that a fault of a row is."""
    if isinstance(row, PlacedRow):
        return PlacedProblem(row.line, number, fault.column, fault.message, row.place)
    return ListProblem(row.line, number, fault.column, fault.message)


def line_of(row: Row) -> int | None:
    """Return the line on which a row begins; None in a file that is not in lines."""
    return None if isinstance(row, PlacedRow) and row.unit != "line" else row.line


def unit_of(row: Row) -> str:
    """Return what a file consists of that has such a row: lines, but for manifests."""
    return row.unit if isinstance(row, PlacedRow) else "line"


class ParallelMap(Protocol):
    """Works on things as ``map`` does, on some of them at once where that is quicker."""

    def __call__(self, work: Callable[[A], B], things: Iterable[A]) -> Iterator[B]:
        """Return what becomes of each thing, in their order, of which only a few are taken ahead."""


def one_by_one(work: Callable[[A], B], things: Iterable[A]) -> Iterator[B]:
    """Work on one thing after the other."""
    return map(work, things)


class WrongManifest(InputError):
    """Nothing of a file, or nothing from some place on, can be read with any sense."""


@dataclass(frozen=True, slots=True)
class Options:
    """How manifests are to be read, where they leave a choice.

    ``kind`` says what the file is, where that is not to be found out. ``thing_name`` is a template for the column of
    that name. ``by_common_name`` takes elements that have neither key nor certificate by their names. ``skip_bad``
    leaves out what is wrong. ``key_set`` chooses among the certificates of one chip of Infineon's. ``headings`` are for
    CSV and spreadsheets: the columns that what it calls them stands for; ``sheet`` is one of a spreadsheet's.
    ``encoding`` is that of a CSV file which is neither UTF-8 nor UTF-16. ``signed`` refuses what is not signed.
    """

    kind: str | None = None
    signers: "Signers | None" = None
    thing_name: str | None = None
    by_common_name: bool = False
    skip_bad: bool = False
    key_set: str = USUAL_SET
    headings: Mapping[str, str] = field(default_factory=dict)
    sheet: str | None = None
    encoding: str | None = None
    signed: bool = False

    @property
    def read_as(self) -> str:
        """The settings among them that decide which rows a file has."""
        chosen = {"kind": self.kind, **self.for_manifests, "headings": sorted(self.headings.items()) or None}
        chosen |= {"sheet": self.sheet, "encoding": self.encoding}
        return ";".join(f"{name}={value}" for name, value in chosen.items() if value is not None)

    @property
    def for_manifests(self) -> dict[str, object]:
        """Those that were chosen and mean nothing for CSV."""
        chosen = {
            "thing_name": self.thing_name,
            "key_set": None if self.key_set == USUAL_SET else self.key_set,
            "by_common_name": self.by_common_name or None,
            # Where not all need be good, who is believed decides which are.
            "good": sorted(f"{each.sha256} {each.any_date}" for each in self.signers or ()) if self.skip_bad else None,
        }
        return {name: value for name, value in chosen.items() if value is not None}


@dataclass(frozen=True, slots=True)
class ManifestDevice:
    """One device of a manifest: its number and place, its row's columns, and more that a thing's name may have."""

    number: int
    place: str
    columns: Mapping[str, str]
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Bad:
    """One element that is no good, and why."""

    number: int
    place: str
    why: str


Entry: TypeAlias = ManifestDevice | Bad


class ManifestReader:
    """Iterates, once, over the good rows of a manifest and keeps the first ``SHOWN`` problems and the count of all.

    ``unit`` is what the manifest consists of. Subclasses say what its entries are, and raise WrongManifest where there
    is no going on.
    """

    unit = "element"

    def __init__(self, source: str, *, duplicates: SeenKeys | None, options: Options) -> None:
        self.source = source
        self.options = options
        self.problems: list[ListProblem] = []
        self.problem_count = 0
        self.read_as: str | None = None  # what the file was taken for, where nobody said it
        self._duplicates = duplicates
        self._left_out: list[str] = []
        self._left_out_count = 0

    @property
    def serials(self) -> SerialNotation:
        """Manifests name devices by key: there are no serial numbers to be read."""
        return UNDECIDED

    @property
    def said(self) -> tuple[str, ...]:
        """Notes for the importer on how the file was read, a sentence each."""
        remarks = self.remarks() if self.read_as is None else (self.read_as, *self.remarks())
        if not self._left_out_count:
            return remarks
        told = [
            f"{counted(self._left_out_count, f'{self.unit} is', f'{self.unit}s are')} left out (--skip-bad):",
            *self._left_out,
        ]
        if self._left_out_count > len(self._left_out):
            told.append(f"and {self._left_out_count - len(self._left_out)} more")
        return (*remarks, *told)

    def remarks(self) -> tuple[str, ...]:
        """Return what there is to say beside what was left out."""
        return ()

    @property
    def signed_by(self) -> "tuple[Signer, ...]":
        """The signers of what was read so far; none if nothing is signed."""
        return ()

    def raise_problems(self) -> None:
        """Raise ListError if there was any problem so far."""
        if self.problem_count:
            raise ListError(self.source, self.problems, self.problem_count)

    def number(self, column: str | None) -> int:  # noqa: ARG002 - as of a file that has columns
        """Return 1: there are no columns to be told."""
        return 1

    def entries(self) -> Iterator[Entry]:
        """Return the elements, good and bad. Raises WrongManifest."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[Row]:
        number = 0
        try:
            for entry in self.entries():
                number = entry.number
                if isinstance(entry, Bad):
                    self._bad(entry)
                    continue
                row = self._row(entry)
                if row is not None:
                    yield PlacedRow(entry.number, row, entry.place, self.unit)
        except WrongManifest as wrong:
            self._add(number + 1, "", str(wrong))

    def _row(self, found: ManifestDevice) -> ListRow | None:
        columns = dict(found.columns)
        if self.options.thing_name is not None:
            try:
                columns["thing_name"] = named(self.options.thing_name, columns, found.names)
            except InputError as error:
                self._bad(Bad(found.number, found.place, str(error)))
                return None
        row = read_row(columns)
        if not isinstance(row, ListRow):
            why = "; ".join(f"{each.column}: {each.message}" if each.column else each.message for each in row)
            self._bad(Bad(found.number, found.place, why))
            return None
        return None if self._repeats(found, row) else row

    def _repeats(self, found: ManifestDevice, row: ListRow) -> bool:
        if self._duplicates is None:
            return False
        repeats = False
        for key in row.found_by():
            first = self._duplicates.first_line(key, found.number)
            if first is not None:
                repeats = True
                told = f"{key.kind} {shown(key.value)} is in {self.place_of(first)} already"
                self._add(found.number, found.place, told)
        return repeats

    def place_of(self, number: int) -> str:
        """Return which element has a number, in words."""
        return f"{self.unit} {number}"

    def _bad(self, bad: Bad) -> None:
        if not self.options.skip_bad:
            self._add(bad.number, bad.place, bad.why)
            return
        self._left_out_count += 1
        if len(self._left_out) < SHOWN:
            self._left_out.append(f"{bad.place}: {bad.why}")

    def _add(self, number: int, place: str, why: str) -> None:
        self.problem_count += 1
        if len(self.problems) < SHOWN:
            problem = PlacedProblem(number, 1, None, why, place) if place else _Whole(number, 1, None, why)
            self.problems.append(problem)


@dataclass(frozen=True, slots=True)
class _Whole(ListProblem):
    """A problem of a file as a whole."""

    @property
    def where(self) -> str:
        return "the file"

    def at(self, source: str) -> str:
        return f"{source}: {self.message}"


def named(template: str, columns: Mapping[str, str], names: Mapping[str, str]) -> str:
    """Return a thing's name by a template, whose fields are columns, with or without ``attr.``, and ``names``.

    Raises InputError for a field that the device has not.
    """
    fields = {name.removeprefix(ATTRIBUTE_PREFIX): value for name, value in columns.items() if name != "note"}
    fields |= {name: value for name, value in columns.items() if name.startswith(ATTRIBUTE_PREFIX)} | dict(names)

    def value(field: "re.Match[str]") -> str:
        if field[1] not in fields:
            there = ", ".join(sorted(each for each in fields if not each.startswith(ATTRIBUTE_PREFIX)))
            raise InputError(f"--thing-name: it has no {shown(field[1])}; there are: {there}")
        return fields[field[1]]

    return _FIELD.sub(value, template)


def placed(name: str) -> str:
    """Return a name out of an archive as a place: harmless on a terminal, and short."""
    shortened = name if len(name) <= _PLACE_SHOWN else f"…{name[-_PLACE_SHOWN + 1 :]}"
    return written_out(shortened)


def file_name(source: str) -> str:
    """Return the last part of a path, as notes have it."""
    return placed(re.split(r"[/\\]", source.rstrip("/\\"))[-1])
