"""Importing device lists of any size: checked whole before the first write, written over several connections at
once, and gone on with where they were cut off.

What is under way is an item of its own (``IMPORTS``), found again by the file's SHA-256. A replace writes a generation
that no reader looks at until one write of the heads; a merge tells its readers of the rows so far whenever it notes
how far it is. Generations that are left, replaced or never finished, are let go by ``jitr.services.lists.leftovers``.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from functools import cache, partial
from itertools import islice
from tempfile import SpooledTemporaryFile
from typing import IO, TYPE_CHECKING, Any, cast

from jitr.aws.dynamodb.actions import delete, put, where
from jitr.aws.dynamodb.batch_writer import WORKERS, BatchWriter, batched, in_order
from jitr.aws.dynamodb.changes import MOST_KEYS, list_changed, rows_changed
from jitr.aws.dynamodb.history import entry_put
from jitr.aws.dynamodb.table import Conflict, Item, Table
from jitr.devicelists.changes import Effect, alteration, conflict, dropped_columns, effect
from jitr.devicelists.columns import ColumnFault
from jitr.devicelists.csv.duplicates import KeyLog, SeenKeys
from jitr.devicelists.csv.reader import SHOWN, ListError, ListProblem, Row
from jitr.devicelists.csv.serials import UNDECIDED, Base, SerialNotation
from jitr.devicelists.manifests.opening import Opener
from jitr.devicelists.manifests.reading import ListReader, Options, problem_of, signers_of, unit_of
from jitr.devicelists.rows import ListRow, RowKey
from jitr.errors import InputError, JitrError
from jitr.records.history import HistoryEntry, Values
from jitr.services.lists import device_lists
from jitr.services.lists.device_lists import IMPORTS, DeviceLists, ListInfo, puts
from jitr.services.lists.difference import Difference, difference
from jitr.services.lists.evidence import known_serials
from jitr.services.lists.history import Origin
from jitr.services.lists.kept_rows import KeptRows
from jitr.services.lists.row_edits import RowEdits
from jitr.text import counted
from jitr.times import parse_time
from jitr.unseen import written_out
from jitr.values import dataclass

if TYPE_CHECKING:
    from jitr.devicelists.manifests.jws import Signer

MERGE, REPLACE = "merge", "replace"
FORMAT = 1

_ROWS_AT_ONCE = 50
_NOTED_EVERY = 20_000  # rows; what is done again at most
_NAME_KEPT = 1024  # characters of a file's path
_IN_MEMORY = 8 * 1024 * 1024  # bytes of a file that is read from its end; more are in a temporary file

Advance = Callable[[int], None]
# Told what a replacement does before it is in force; raises where that is not to be. None: not known, for want of time.
Agree = Callable[[Difference | None], None]
_FindsFault = Callable[[ListRow, Sequence[tuple[RowKey, ListRow]]], ColumnFault | None]


class Unfinished(JitrError):
    """The time was up. What is done is noted: the same import goes on from there."""

    def __init__(self, done: int, rows: int) -> None:
        super().__init__(f"{done} of {counted(rows, 'row')} written; the rest follows")
        self.done = done
        self.rows = rows


class TooMany(InputError):
    """A file has more rows than are taken."""

    def __init__(self, most: int) -> None:
        super().__init__(f"more than {most:,} rows")


def scratch() -> IO[bytes]:
    """Return an empty file to be written and read, nobody else's to read, and gone once it is closed."""
    return cast("IO[bytes]", SpooledTemporaryFile(max_size=_IN_MEMORY, prefix="jitr-"))


CSV_OR_MANIFEST = Opener(Options(), scratch)


@dataclass(frozen=True, slots=True)
class DeviceFile:
    """A file of devices that can be read more than once: its name, as problems tell it, and its bytes in pieces.

    ``opener`` reads them, whatever they are. ``kept`` takes the rows as they are checked, and an import writes them
    from there; without it, or where there are too many, an import reads the file again.
    """

    name: str
    pieces: Callable[[], Iterable[bytes]]
    opener: Opener = CSV_OR_MANIFEST
    kept: KeptRows | None = None


@dataclass(frozen=True, slots=True)
class Checked:
    """A file without a mistake. ``effects`` are counted where it was compared with the list, else empty. So
    are ``dropped``: columns that the file lacks, by the number of rows that would lose a value in them.

    ``digest`` names the file and how it is read, ``sha256`` its bytes alone. ``said`` tells what cells were taken for
    something else, ``serials`` how serial numbers are read, ``signers`` who signed it.
    """

    source: DeviceFile
    digest: str
    rows: int
    sha256: str = ""
    signers: "tuple[Signer, ...]" = ()
    effects: Mapping[Effect, int] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)
    serials: SerialNotation = UNDECIDED
    said: tuple[str, ...] = ()

    def in_history(self, mode: str) -> Values:
        """Return what the history tells of a list that the file is imported into."""
        counts = {each.value: count for each, count in self.effects.items()}
        return {"rows" if mode == REPLACE else "rows_of_the_file": self.rows, "sha256": self.sha256, **counts}


@dataclass(frozen=True, slots=True)
class UnderWay:
    """An import that was begun, as it is noted in the table."""

    list: str
    mode: str
    digest: str
    generation: str
    by: str
    at: str  # RFC 3339: when it was noted last
    done: int = 0  # rows of the file, from its beginning
    exact: bool = True  # rows are counted as they are written; not by an earlier version, see ``uncounted``
    entry: str = ""  # the id of its entry in the history

    @property
    def key(self) -> Item:
        """Its place in the table."""
        return {"pk": IMPORTS, "sk": f"{self.list}#{self.mode}#{self.digest}"}

    def item(self) -> Item:
        """Return it as it is stored."""
        return self.key | {"format": FORMAT} | {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_item(cls, item: Item) -> "UnderWay":
        """Read back what ``item`` wrote. One without ``exact`` was begun by an earlier version."""
        return cls(**({"exact": False} | {name: item[name] for name in cls.__slots__ if name in item}))

    @property
    def uncounted(self) -> str | None:
        """The mark of rows after ``done`` that are on the list and not in its count, as earlier versions left them."""
        return None if self.exact else f"{self.generation}/{self.digest[:16]}"


class Imports:
    """Imports into one table. Every method raises Retry where DynamoDB could not answer now.

    ``hurry`` says when to stop (then Unfinished is raised), ``clock`` the time as RFC 3339, ``token`` a word that was
    never said before, ``workers`` how many requests may be under way at once.
    """

    def __init__(
        self,
        table: Table,
        *,
        clock: Callable[[], str],
        token: Callable[[], str],
        hurry: Callable[[], bool] = lambda: False,
        workers: int = WORKERS,
    ) -> None:
        self._table = table
        self._lists = DeviceLists(table)
        self._edits = RowEdits(table)
        self._writer = BatchWriter(table)
        self._clock = clock
        self._token = token
        self._hurry = hurry
        self._workers = workers

    def check(
        self,
        name: str,
        source: DeviceFile,
        *,
        against: str | None = None,
        overwrite: bool = True,
        add_only: bool = False,
        most: int | None = None,
        advance: Advance,
        watch: Callable[[Row], None] = lambda _row: None,
    ) -> Checked:
        """Read a file to its end, and raise ListError if there is anything wrong with it.

        ``against`` is a generation of the list to compare the rows with; then a row that would take another device's
        place is a mistake, unless ``overwrite``; with ``add_only``, so is a row that would change one there. A file of
        more than ``most`` rows is read no further, and raises TooMany. ``advance`` is told how many bytes were
        read, ``watch`` each good row.
        """
        known = partial(known_serials, self._table)
        serials = cache(lambda: source.opener.serials(source.pieces, known))
        read = partial(
            self._checked,
            name,
            source,
            serials,
            against=against,
            fault=None if overwrite else alteration if add_only else conflict,
            most=most,
        )
        see = watch if source.kept is None else _keeping(source.kept, watch)
        # No file while there is nothing to put in it; then nobody else's to read, and gone however this ends.
        with SpooledTemporaryFile(max_size=1, prefix="jitr-") as file:
            log = KeyLog(file)
            checked, wrong = read(log, advance=advance, watch=see)
            repeated = log.repeated()
        if repeated:  # which they are, and where each was first
            digest = checked.digest
            checked, wrong = read(repeated, advance=lambda _bytes: None, watch=lambda _row: None)
            if checked.digest != digest:
                raise InputError(f"{source.name} was changed while it was checked: import it again")
        if wrong is not None:
            raise wrong
        if source.kept is not None:
            source.kept.end(checked.digest)
        return checked

    def _checked(
        self,
        name: str,
        source: DeviceFile,
        serials: Callable[[], SerialNotation],
        seen: SeenKeys,
        *,
        against: str | None,
        fault: _FindsFault | None,
        most: int | None,
        advance: Advance,
        watch: Callable[[Row], None],
    ) -> tuple[Checked, ListError | None]:
        """Read the file to its end, and say what is wrong with it."""
        digest = hashlib.sha256()
        pieces = _told(source, digest.update, advance)
        reader = source.opener(pieces, source.name, seen, serials)
        found = _Comparison(reader, seen, fault)
        rows = reader if most is None else _at_most(most, reader)
        count = 0
        if against is None:
            for row in rows:
                count += 1
                watch(row)
        else:
            for some in in_order(
                lambda rows: self._lists.found(name, against, rows), batched(rows, _ROWS_AT_ONCE), self._workers
            ):
                for row, there in some:
                    count += 1
                    watch(row)
                    found.add(row, there)
        problems = sorted([*reader.problems, *found.problems], key=lambda each: (each.line, each.column))
        wrong = ListError(source.name, problems[:SHOWN], reader.problem_count + found.problem_count)
        checked = Checked(
            source,
            sha256=digest.hexdigest(),
            digest=_digest(digest, reader.serials, source.opener.read_as),
            rows=count,
            signers=signers_of(reader),
            effects={} if against is None else found.effects,
            dropped=found.dropped,
            serials=reader.serials,
            said=reader.said,
        )
        return checked, wrong if problems else None

    def under_way(self, name: str, checked: Checked, mode: str) -> UnderWay | None:
        """Return the import of this very file that was begun and not finished."""
        key = UnderWay(name, mode, checked.digest, "", "", "").key
        item = self._table.one(key)
        return None if item is None else UnderWay.from_item(item)

    def replace(
        self,
        name: str,
        checked: Checked,
        *,
        by: str,
        advance: Advance,
        seen: device_lists.Seen = "now",
        agree: Agree = lambda _found: None,
        entry: HistoryEntry | None = None,
    ) -> Difference | None:
        """Put a file's rows in place of all of a list's, at once for every reader; what became of the rows there were.

        ``entry`` is its place in the history: written as it begins, and as done in the transaction that ends it.

        The result is None where there was no time to compare them. ``agree`` is told it before it is in force.

        Raises Conflict, and leaves the list as it was, where somebody else edited it since it was ``seen``; Unfinished.
        """
        before = self._lists.all().get(name) if seen == "now" else seen
        work = self._begin(name, checked, REPLACE, self._token, by, entry)
        generation, done = work.generation, work.done

        def write(rows: tuple[ListRow, ...]) -> int:
            self._writer.write([each for row in rows for each in puts(name, generation, row)])
            return len(rows)

        unnoted = 0
        for count in self._written(checked, work, write):
            advance(count)
            unnoted += count
            if unnoted >= _NOTED_EVERY or self._hurry():
                work = self._note(work, unnoted)
                unnoted = 0
                self._stop_in_a_hurry(work, checked)
        found = self._difference(name, checked, before, generation)
        if found is None and done < checked.rows:  # an invocation that has nothing else to do may have the time
            work = self._note(work, unnoted)
            raise Unfinished(work.done, checked.rows)
        if seen != "now" and self._edited_since(name, before):
            raise Conflict(f"list {name}")
        agree(found)
        at = self._clock()
        self._lists.put_head(
            name,
            before,
            {
                "generation": generation,
                "edition": 0 if before is None else before.head.edition + 1,
                "rows": checked.rows,
                "changed_at": at,
            },
            list_changed(name, at),
            beside=self._ended(work, checked, by, at, entry, {} if found is None else found.counts()),
        )
        return found

    def _edited_since(self, name: str, before: ListInfo | None) -> bool:
        now = self._lists.all().get(name)
        return (None if now is None else now.head) != (None if before is None else before.head)

    def _difference(self, name: str, checked: Checked, before: ListInfo | None, generation: str) -> Difference | None:
        if before is None or not before.rows:
            return Difference({Effect.ADDS: checked.rows, Effect.CHANGES: 0, Effect.NOTHING: 0})
        return difference(
            self._table, name, before.head.generation, generation, at=parse_time(self._clock()), hurry=self._hurry
        )

    def merge(
        self, name: str, checked: Checked, *, by: str, advance: Advance, entry: HistoryEntry | None = None
    ) -> None:
        """Add a file's rows to a list, each in place of the rows found by its keys.

        The list is made if there is none. ``entry`` as for ``replace``. Raises Conflict where it was replaced
        meanwhile; Unfinished.
        """
        head = self._lists.ensure(name, self._clock(), self._token())
        work = self._begin(name, checked, MERGE, lambda: head.generation, by, entry)
        if work.generation != head.generation:  # replaced since: what was merged before is gone
            work = self._again(work, head.generation)
        uncounted = work.uncounted

        def write(rows: tuple[ListRow, ...]) -> tuple[int, list[RowKey]]:
            return len(rows), self._edits.write(name, head.generation, rows, uncounted)

        unnoted = _Unnoted()
        for count, keys in self._written(checked, work, write):
            advance(count)
            unnoted.add(count, keys)
            if unnoted.rows >= _NOTED_EVERY or self._hurry():
                noted = replace(work, done=work.done + unnoted.rows, at=self._clock())
                change = rows_changed(name, unnoted.keys, self._clock())
                self._lists.raise_edition(name, head, change, beside=[self._update(work, noted)])
                work, unnoted = noted, _Unnoted()
                self._stop_in_a_hurry(work, checked)
        at = self._clock()
        change = rows_changed(name, unnoted.keys, at)
        self._lists.raise_edition(name, head, change, beside=self._ended(work, checked, by, at, entry, {}))

    def _ended(
        self, work: UnderWay, checked: Checked, by: str, at: str, entry: HistoryEntry | None, counts: Mapping[str, int]
    ) -> list[Item]:
        """Return the actions that end an import: it is under way no more, where its rows came from, and its entry.

        That is the entry which was written as it began, whoever ends it.
        """
        actions: list[Item] = [self._finished(work), self._origin(work, checked, by, at)]
        if entry is not None:
            begun_by = {} if work.by == by else {"begun_by": work.by}
            done = replace(entry, id=work.entry or entry.id).done(at, **counts, **begun_by)
            actions.append(entry_put(self._table.name, done))
        return actions

    def _origin(self, work: UnderWay, checked: Checked, by: str, at: str) -> dict[str, Any]:
        """Return the action that notes where the rows came from."""
        signers = tuple({"name": each.name, "sha256": each.sha256} for each in checked.signers)
        origin = Origin(
            work.list,
            work.mode,
            work.generation,
            written_out(checked.source.name)[-_NAME_KEPT:],
            checked.sha256,
            checked.rows,
            signers,
            by,
            at,
        )
        return origin.put(self._table.name)

    # --- how far it is

    def _begin(
        self, name: str, checked: Checked, mode: str, generation: Callable[[], str], by: str, entry: HistoryEntry | None
    ) -> UnderWay:
        begun = self.under_way(name, checked, mode)
        if begun is not None:
            return begun
        work = UnderWay(name, mode, checked.digest, generation(), by, self._clock())
        if entry is not None:
            work = replace(work, entry=entry.id)
        noted = put(self._table.name, work.item(), **where("attribute_not_exists(pk)"))
        self._do(work, noted, *([] if entry is None else [entry_put(self._table.name, entry.begun())]))
        return work

    def _note(self, work: UnderWay, more: int) -> UnderWay:
        noted = replace(work, done=work.done + more, at=self._clock())
        self._do(work, self._update(work, noted))
        return noted

    def _again(self, work: UnderWay, generation: str) -> UnderWay:
        noted = replace(work, done=0, at=self._clock(), generation=generation, exact=True)
        self._do(work, self._update(work, noted))
        return noted

    def _do(self, work: UnderWay, *actions: Mapping[str, Any]) -> None:
        if self._table.transact(actions):
            raise Conflict(f"the import into list {work.list}")

    def _update(self, work: UnderWay, noted: UnderWay) -> dict[str, Any]:
        """Of two who import the same file at once, the second is told."""
        return put(self._table.name, noted.item(), **_as_noted(work))

    def _finished(self, work: UnderWay) -> dict[str, Any]:
        return delete(self._table.name, work.key, **_as_noted(work))

    def _stop_in_a_hurry(self, work: UnderWay, checked: Checked) -> None:
        if self._hurry() and work.done < checked.rows:
            raise Unfinished(work.done, checked.rows)

    def _written(self, checked: Checked, work: UnderWay, write: Callable[[tuple[ListRow, ...]], Any]) -> Iterator[Any]:
        """Write each batch of rows from where the work is, in the file's order; yield what ``write`` returns."""
        kept = checked.source.kept
        if kept is not None and kept.are_of(checked.digest):
            rows = kept.after(work.done)
        else:
            rows = self._read_again(checked, work.done)
        yield from in_order(write, batched(rows, _ROWS_AT_ONCE), self._workers)

    def _read_again(self, checked: Checked, done: int) -> Iterator[ListRow]:
        """Return a file's rows after the first ``done``. Raises InputError if it is not the one that was checked."""
        digest = hashlib.sha256()
        pieces = _told(checked.source, digest.update, lambda _bytes: None)
        reader = checked.source.opener(pieces, checked.source.name, None, lambda: checked.serials)
        yield from (each.row for each in islice(reader, done, None))
        reader.raise_problems()
        if _digest(digest, checked.serials, checked.source.opener.read_as) != checked.digest:
            raise InputError(f"{checked.source.name} was changed while it was imported: import it again")


def _as_noted(work: UnderWay) -> dict[str, Any]:
    """Return the condition that nobody else has gone on with an import since it was noted."""
    values = {":done": work.done, ":generation": work.generation}
    return where("done = :done AND generation = :generation", values)


def _keeping(kept: KeptRows, watch: Callable[[Row], None]) -> Callable[[Row], None]:
    """Return what shows rows to ``watch`` and keeps them, from the first on."""
    kept.begin()

    def keep(row: Row) -> None:
        watch(row)
        kept.add(row.row)

    return keep


def _digest(of_file: Any, serials: SerialNotation, read_as: str) -> str:
    """Name a file and how it is read: read otherwise, it is another import, which does not go on from this one."""
    if serials.base is Base.DEC:
        of_file.update(b"\0serial_number:dec")
    if read_as:
        of_file.update(f"\0{read_as}".encode())
    return str(of_file.hexdigest())


@dataclass(slots=True)
class _Unnoted:
    """The changes of a merge since its last note. ``keys`` are all of the rows' keys, or enough of them to be many."""

    rows: int = 0
    keys: dict[RowKey, None] = field(default_factory=dict)

    def add(self, rows: int, keys: Iterable[RowKey]) -> None:
        self.rows += rows
        if len(self.keys) <= MOST_KEYS:
            self.keys.update(dict.fromkeys(keys))


class _Comparison:
    """Counts what rows would do to a list, and keeps the first of those that may not do it: ``fault`` says why not."""

    def __init__(self, reader: ListReader, seen: SeenKeys, fault: _FindsFault | None) -> None:
        self._reader = reader
        self._seen = seen
        self._fault = fault
        self.effects = dict.fromkeys(Effect, 0)
        self.dropped: Counter[str] = Counter()  # columns that the file lacks, by how many rows would lose a value
        self.problems: list[ListProblem] = []
        self.problem_count = 0

    def add(self, row: Row, found: list[tuple[RowKey, ListRow]]) -> None:
        there = list({other.found_by(): other for _, other in found}.values())
        done = effect(row.row, there)
        self.effects[done] += 1
        if done is Effect.CHANGES:
            self.dropped.update(dropped_columns(row.row, there, row.columns))
        if self._fault is None:
            return
        fault = self._fault(row.row, found) or self._shares_a_device(row, found)
        if fault is not None:
            self.problem_count += 1
            if len(self.problems) < SHOWN:
                self.problems.append(problem_of(row, self._reader.number(fault.column), fault))

    def _shares_a_device(self, row: Row, found: list[tuple[RowKey, ListRow]]) -> ColumnFault | None:
        """Two rows of the file that mean one row of the list, which one of them would take from the other."""
        own = row.row.found_by()
        found_by: dict[RowKey, RowKey] = {}  # each of their other keys, once: seen again is another line's
        for by, other in found:
            for key in other.found_by():
                if key not in own:
                    found_by.setdefault(key, by)
        for key, by in found_by.items():
            first = self._seen.first_line(key, row.line)
            if first is not None:
                return ColumnFault(by.kind, f"this row and {unit_of(row)} {first} are one device on the list")
        return None


def _at_most(most: int, rows: Iterable[Row]) -> Iterator[Row]:
    for number, row in enumerate(rows, 1):
        if number > most:
            raise TooMany(most)
        yield row


def _told(source: DeviceFile, update: Callable[[bytes], None], advance: Advance) -> Iterator[bytes]:
    for piece in source.pieces():
        update(piece)
        advance(len(piece))
        yield piece
