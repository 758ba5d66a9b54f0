"""One row of a device list put on it or taken off it, and a file imported into one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar

from jitr.aws.dynamodb.table import Conflict
from jitr.devicelists.columns import typed
from jitr.devicelists.csv.cells import Cells
from jitr.devicelists.csv.serials import UNDECIDED, Base, Serials
from jitr.devicelists.rows import ListRow, RowKey
from jitr.devicelists.values import read_row
from jitr.errors import InputError
from jitr.rules.list_fit import Fit
from jitr.services.lists.device_lists import DeviceLists, ListInfo
from jitr.services.lists.difference import Difference
from jitr.services.lists.list_import import REPLACE, Checked
from jitr.services.lists.signers import SignerStore
from jitr_operations import telling
from jitr_operations.deployment import Deployment
from jitr_operations.lists import check as list_check
from jitr_operations.lists import files as list_files
from jitr_operations.lists.manifests import ManifestChoice
from jitr_operations.table import now, now_text, operator, table_of

T = TypeVar("T")


def existing(lists: DeviceLists, name: str) -> ListInfo:
    """Return a list. Raises InputError where there is none of that name."""
    there = lists.all()
    if name in there:
        return there[name]
    near = get_close_matches(name, there, n=1)
    meant = f"did you mean {near[0]}?" if near else f"there are: {', '.join(there) or 'none'}"
    raise InputError(f"there is no list {name}: {meant}")


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
    cells = Cells(Serials(kind) if kind else UNDECIDED)
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


def add(deployment: Deployment, name: str, row: ListRow) -> None:
    """Put a row on a list, in place of one with the same key.

    Raises InputError where the list was replaced meanwhile.
    """
    lists = DeviceLists(table_of(deployment))
    unless_edited(name, lambda: lists.add(name, row, at=now_text(), new_generation=list_files.generation()))


def remove(deployment: Deployment, name: str, key: RowKey) -> ListRow | None:
    """Take the row that a key finds off a list, and return it; None if there was none."""
    lists = DeviceLists(table_of(deployment))
    return unless_edited(name, lambda: lists.remove(name, key, at=now_text()))


def unless_edited(name: str, edit: Callable[[], T]) -> T:
    """Return what an edit returns. Raises InputError where somebody else edited the list meanwhile."""
    try:
        return edit()
    except Conflict:
        raise InputError(f"list {name} was edited by somebody else meanwhile: run the same command again") from None


@dataclass(frozen=True, slots=True)
class Looked:
    """A file that may be imported: what it would do to its list, and how its rows fit rules and records."""

    name: str
    mode: str
    checked: Checked
    before: ListInfo | None
    fit: Fit
    told: list_files.Told


def look(deployment: Deployment, name: str, file: Path, shown_as: str, mode: str, overwrite: bool) -> Looked:
    """Read a whole file and compare it with the list that it is for; nothing is changed. Raises ListError."""
    list_check.check_name(name)
    table = table_of(deployment)
    before = DeviceLists(table).all().get(name)
    fit = list_check.fit(table, name, now())
    opener = ManifestChoice().opener(SignerStore(table).believed())
    checking = telling.progress(f"Checking {shown_as}", None)
    with list_files.source(file, opener, shown_as) as source, checking as advance:
        checked = list_files.imports(table).check(
            name,
            source,
            against=None if before is None else before.head.generation,
            overwrite=overwrite or mode == REPLACE,
            advance=advance,
            watch=lambda each: fit.add(each.row, each.line),
        )
    return Looked(name, mode, checked, before, fit, list_files.told(checked, mode, before))


def import_(deployment: Deployment, looked: Looked) -> Difference | None:
    """Import a file that was looked at, and return what became of rows that were replaced.

    Raises InputError as ``unless_edited``.
    """
    table, name, checked = table_of(deployment), looked.name, looked.checked
    imports, by = list_files.imports(table), operator(deployment)
    with telling.progress("Importing", checked.rows) as advance:
        if looked.mode == REPLACE:
            return unless_edited(name, lambda: imports.replace(name, checked, by=by, advance=advance))
        unless_edited(name, lambda: imports.merge(name, checked, by=by, advance=advance))
    return None
