"""A file of devices imported into a list: what it would do, what to ask, and doing it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from jitr.aws.dynamodb.rulebook import rules_in_force
from jitr.devicelists.changes import shrinks, takes_most
from jitr.devicelists.csv.reader import Row
from jitr.devicelists.manifests.reading import line_of
from jitr.records.history import HistoryKind
from jitr.rules.list_fit import Fit
from jitr.services.lists.device_lists import DeviceLists, ListInfo
from jitr.services.lists.difference import Difference
from jitr.services.lists.evidence import fit as fit_of
from jitr.services.lists.list_import import REPLACE, Agree, Checked, DeviceFile
from jitr.text import counted
from jitr.unseen import written_out
from jitr_operations import telling
from jitr_operations.deployment import Deployment
from jitr_operations.history import keeping
from jitr_operations.lists import files as list_files
from jitr_operations.lists.deny_lists import dropped_by_rules, ends_recalls
from jitr_operations.lists.editing import unless_edited
from jitr_operations.lists.fitting import check_name, question_about_name
from jitr_operations.table import now, operator, table_of


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
    check_name(name)
    table, at = table_of(deployment), now()
    before = DeviceLists(table).all().get(name)
    rules = rules_in_force(table)
    for each in () if rules is None else dropped_by_rules(table, rules):
        if each.list == name:
            telling.warn(str(each))
    fit, expired = fit_of(table, name, at), 0

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
