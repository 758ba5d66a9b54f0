"""Edits of device lists: rows put on and taken off, lists deleted and restored, files imported."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from jitr.aws.dynamodb.rulebook import rules_in_force
from jitr.aws.dynamodb.table import Conflict, Item
from jitr.devicelists.changes import shrinks, takes_most
from jitr.devicelists.columns import typed
from jitr.devicelists.csv.cells import Cells
from jitr.devicelists.csv.reader import Row
from jitr.devicelists.csv.serials import UNDECIDED, Base, SerialNotation
from jitr.devicelists.manifests.reading import line_of
from jitr.devicelists.rows import ListRow, RowKey
from jitr.devicelists.values import read_row
from jitr.errors import InputError
from jitr.records.history import HistoryKind, Values
from jitr.rules.list_fit import Fit
from jitr.services.lists.device_lists import DeviceLists, ListInfo
from jitr.services.lists.difference import Difference
from jitr.services.lists.list_import import REPLACE, Agree, Checked, DeviceFile
from jitr.services.lists.row_edits import Edit
from jitr.text import counted, meant
from jitr.unseen import written_out
from jitr_operations import telling
from jitr_operations.deployment import Deployment
from jitr_operations.history import keeping
from jitr_operations.lists import check as list_check
from jitr_operations.lists import files as list_files
from jitr_operations.lists.check import question_about_name
from jitr_operations.lists.deny_lists import dropped_by_rules, ends_recalls
from jitr_operations.table import now, now_text, operator, table_of

T = TypeVar("T")


def existing(lists: DeviceLists, name: str) -> ListInfo:
    """Return a list. Raises InputError where there is none of that name."""
    there = lists.all()
    if name in there:
        return there[name]
    raise InputError(f"there is no list {name}: {meant(name, there)}")


def row_of(columns: Mapping[str, str]) -> ListRow:
    """Return the row of cells as a person types them. Raises InputError with everything that is wrong with them."""
    kind: Base | None = None
    named: dict[str, str] = {}
    for name, value in columns.items():
        column, type_ = typed(name)
        kind = Base(type_) if type_ else kind
        if column in named:
            raise InputError(f"{column} is given twice")
        named[column] = value
    cells = Cells(SerialNotation(kind) if kind else UNDECIDED)
    row = read_row(named, cells.text)
    if isinstance(row, ListRow):
        for said in cells.said():
            telling.note(said)
        return row
    raise InputError("\n".join(f"{fault.column}: {fault.message}" if fault.column else fault.message for fault in row))


def questions_about(deployment: Deployment, name: str, row: ListRow) -> list[str]:
    """Return what to ask before a row is put on a list: a name that is nearly another's, a row that matches nothing."""
    list_check.check_name(name)
    table = table_of(deployment)
    fit = list_check.fit(table, name, now())
    fit.add(row)
    if fit.nothing:
        list_check.tell(fit)
    return [each for each in (list_check.question_about_name(table, name), list_check.question_about_rows(fit)) if each]


def add(deployment: Deployment, name: str, row: ListRow, why: str | None = None) -> None:
    """Put a row on a list, in place of one with the same key; ``why`` is for the history.

    Raises InputError where the list was replaced meanwhile.
    """
    lists, by = DeviceLists(table_of(deployment)), operator(deployment)
    command = ("lists", "add", name, *(f"{column}={value}" for column, value in row.to_json().items()))

    def beside(edit: Edit) -> list[Any]:
        return _told(deployment, command, name, by=by, why=why, before=_of_rows(edit.old), after=_of_rows((row,)))

    add_once = partial(lists.add, name, row, at=now_text(), new_generation=list_files.generation(), beside=beside)
    unless_edited(name, add_once)


def _typed(key: RowKey) -> tuple[str, ...]:
    """Return a key as one types it: a serial number with the CA in front of it."""
    ca, slash, value = key.value.partition("/")
    named = slash and key.kind == "serial_number"
    return (f"ca={ca}", f"{key.kind}={value}") if named else (f"{key.kind}={key.value}",)


def _told(
    deployment: Deployment,
    command: Sequence[object],
    name: str,
    *,
    by: str,
    before: Values,
    after: Values,
    why: str | None = None,
) -> list[Any]:
    """Return the actions that write an edit of a list into the history."""
    kind = HistoryKind.LIST
    entry = keeping.entry(deployment, kind, command, by=by, subject=name, why=why, before=before, after=after)
    return keeping.puts(deployment, entry)


def _of_rows(rows: Sequence[ListRow]) -> Values:
    """Return rows as the history tells them: how many there are beside the first, and its columns.

    In this order, because an entry and its event keep the first of many values only.
    """
    if not rows:
        return {}
    return {**({"more_rows": len(rows) - 1} if len(rows) > 1 else {}), **rows[0].to_json()}


def remove(deployment: Deployment, name: str, key: RowKey, why: str | None = None) -> ListRow | None:
    """Take the row that a key finds off a list, and return it; None if there was none. ``why`` is for the history.

    Raises InputError where there is no such list, and as ``unless_edited``.
    """
    lists, by = DeviceLists(table_of(deployment)), operator(deployment)
    existing(lists, name)
    command = ("lists", "remove", name, *_typed(key))

    def beside(edit: Edit) -> list[Any]:
        return _told(deployment, command, name, by=by, why=why, before=_of_rows(edit.old), after={})

    return unless_edited(name, lambda: lists.remove(name, key, at=now_text(), beside=beside))


def delete(deployment: Deployment, shown: ListInfo) -> None:
    """Take a list away as it was shown. Raises InputError as ``unless_edited``."""
    lists, name = DeviceLists(table_of(deployment)), shown.name
    command, by = ("lists", "delete", name), operator(deployment)
    beside = _told(deployment, command, name, by=by, before=shown.in_history, after={})
    unless_edited(name, lambda: lists.delete(name, at=now_text(), seen=shown, beside=beside))


def restore(deployment: Deployment, name: str, shown: ListInfo | None, kept: Item) -> ListInfo | None:
    """Put what was kept of a list in force again, in place of it as it was shown, and return the list as it is now.

    Raises InputError as ``unless_edited``.
    """
    lists, by = DeviceLists(table_of(deployment)), operator(deployment)
    was = {} if shown is None else shown.in_history
    will_be: Values = {"rows": int(kept["rows"]), "as_it_was_until": str(kept["at"])}
    beside = _told(deployment, ("lists", "restore", name), name, by=by, before=was, after=will_be)
    return unless_edited(name, lambda: lists.restore(name, at=now_text(), seen=shown, kept=kept, beside=beside))


def unless_edited(name: str, edit: Callable[[], T]) -> T:
    """Return what an edit returns. Raises InputError where somebody else edited the list since it was shown."""
    try:
        return edit()
    except Conflict:
        raise InputError(f"list {name} was edited meanwhile: look, and say it again") from None


# --- files


@dataclass(frozen=True, slots=True)
class ImportPreview:
    """A file that may be imported: what it would do to its list, and how its rows fit rules and records.

    ``before`` is the list as it was then. ``expired`` rows of the file count for nothing any more.
    """

    name: str
    mode: str
    checked: Checked
    before: ListInfo | None
    fit: Fit
    told: list_files.Told
    expired: int = 0

    @property
    def shrinks(self) -> bool:
        """Whether the list would have less than half of its rows."""
        return self.before is not None and shrinks(self.mode, self.before.rows, self.checked.rows)

    @property
    def most_removed(self) -> int | None:
        """How many rows would go or expire, at most; None where the file was not compared with the list."""
        removed: int | None = self.told.document.get("removed")
        if self.before is None or self.mode != REPLACE or removed is None:
            return None
        return min(self.before.rows, removed + self.expired)


def look(
    deployment: Deployment,
    name: str,
    source: DeviceFile,
    *,
    mode: str,
    overwrite: bool = False,
    compare: bool = True,
    size: int | None = None,
) -> ImportPreview:
    """Read a whole file and compare it with the list that it is for; nothing is changed. Raises ListError.

    ``compare`` may be left out where a replacement says what it does as it is made. ``size`` is the file's, in bytes.
    """
    list_check.check_name(name)
    table, at = table_of(deployment), now()
    before = DeviceLists(table).all().get(name)
    rules = rules_in_force(table)
    for each in () if rules is None else dropped_by_rules(table, rules):
        if each.list == name:
            telling.warn(str(each))
    fit, expired = list_check.fit(table, name, at), 0

    def watch(each: Row) -> None:
        nonlocal expired
        expired += not each.row.counts(at)
        fit.add(each.row, line_of(each), each.columns)

    with telling.progress(f"Checking {Path(source.name).name}", size) as advance:
        checked = list_files.imports(table).check(
            name,
            source,
            against=before.head.generation if before is not None and compare else None,
            overwrite=overwrite or mode == REPLACE,
            advance=advance,
            watch=watch,
        )
    return ImportPreview(name, mode, checked, before, fit, list_files.told(checked, mode, before), expired)


def question_about_shrinking(deployment: Deployment, looked: ImportPreview) -> str | None:
    """Return what to ask before a list gets much shorter; None where it does not."""
    if looked.before is None or not looked.shrinks:
        return None
    rows = looked.checked.rows
    ends = "" if rows else ends_recalls(table_of(deployment), looked.name)
    return f"This shrinks list {looked.name} from {counted(looked.before.rows, 'row')} to {rows}.{ends}"


def question_about_dropped(looked: ImportPreview) -> str | None:
    """Return what to ask before rows lose values because the file lacks their columns; None where none does."""
    dropped = looked.checked.dropped
    if looked.mode == REPLACE or not dropped:
        return None
    told = ", ".join(
        f"{written_out(name)} of {counted(count, 'row')}" for name, count in looked.checked.dropped.items()
    )
    return f"The file has no such columns, so list {looked.name} would lose {told}."


def question_about_removed(name: str, before: ListInfo | None, found: Difference | None) -> str | None:
    """Return what to ask before more than half of a list's rows go: as many others may take their place."""
    if before is None or found is None or not takes_most(found.removed, before.rows):
        return None
    return f"This takes {found.removed} of {counted(before.rows, 'row')} off list {name}."


def questions_to_come(deployment: Deployment, looked: ImportPreview) -> list[str]:
    """Return what there is to think of before a file is imported that was compared with its list."""
    before, most = looked.before, looked.most_removed
    shrinking = question_about_shrinking(deployment, looked)
    if shrinking is None and before is not None and most is not None and takes_most(most, before.rows):
        up_to = "may take up to" if looked.expired else "takes"
        shrinking = f"This {up_to} {most} of {counted(before.rows, 'row')} off list {looked.name}."
    questions = (
        question_about_name(table_of(deployment), looked.name),
        looked.fit.question(),
        shrinking,
        question_about_dropped(looked),
    )
    return [each for each in questions if each]


def import_(deployment: Deployment, looked: ImportPreview, agree: Agree) -> tuple[int, Difference | None]:
    """Import a file that was looked at; go on with its import where that was begun.

    Return how many of its rows were there already then, and what became of rows that were replaced. ``agree`` is told
    the latter before it is in force. Raises InputError as ``unless_edited``.
    """
    name, checked = looked.name, looked.checked
    imports, by = list_files.imports(table_of(deployment)), operator(deployment)
    begun = imports.under_way(name, checked, looked.mode)
    done = 0 if begun is None else begun.done
    if begun is not None:
        rows = counted(checked.rows, "row")
        telling.note(f"Going on with the import that {begun.by} began: {done} of {rows} written by {begun.at}.")
    command = ("lists", "import", name, Path(checked.source.name).name, f"--{looked.mode}")
    was = {} if looked.before is None else looked.before.in_history
    will_be = checked.in_history(looked.mode)
    entry = keeping.entry(deployment, HistoryKind.LIST, command, by=by, subject=name, before=was, after=will_be)
    with telling.progress("Importing", checked.rows) as advance:
        advance(done)
        if looked.mode == REPLACE:
            replace = partial(imports.replace, seen=looked.before, agree=agree)
            return done, unless_edited(name, lambda: replace(name, checked, by=by, advance=advance, entry=entry))
        unless_edited(name, lambda: imports.merge(name, checked, by=by, advance=advance, entry=entry))
    return done, None


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did to its list. ``resumed_from`` of its rows were there already, as it was begun before."""

    resumed_from: int
    told: list_files.Told


def import_agreed(deployment: Deployment, looked: ImportPreview, agree: Callable[[str], None]) -> Imported:
    """Import a file that was looked at, once ``agree`` has let every question pass.

    ``agree`` is given each question as it arises, and raises where the answer is no: then nothing is changed. Raises
    InputError as ``unless_edited``.
    """
    for each in (looked.fit.question(), question_about_shrinking(deployment, looked), question_about_dropped(looked)):
        if each:
            agree(each)

    def agree_to_removal(found: Difference | None) -> None:
        question = question_about_removed(looked.name, looked.before, found)
        if question is not None and not looked.shrinks:  # else it was asked already
            agree(question)

    list_files.say_how_long(looked.checked.rows)
    done, found = import_(deployment, looked, agree_to_removal)
    return Imported(done, list_files.told(looked.checked, looked.mode, looked.before, found))
