"""Edits of device lists: rows put on and taken off, lists deleted and restored, files imported."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from jitr.aws.dynamodb.table import Conflict, Item
from jitr.devicelists.columns import typed
from jitr.devicelists.csv.cells import Cells
from jitr.devicelists.csv.serials import UNDECIDED, Base, SerialNotation
from jitr.devicelists.rows import ListRow, RowKey
from jitr.devicelists.values import read_row
from jitr.errors import InputError
from jitr.records.history import HistoryKind, Values
from jitr.services.lists.device_lists import DeviceLists, ListInfo
from jitr.services.lists.evidence import fit as fit_of
from jitr.services.lists.row_edits import Edit
from jitr.text import meant
from jitr_operations import telling
from jitr_operations.deployment import Deployment
from jitr_operations.history import keeping
from jitr_operations.lists import fitting
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
    fitting.check_name(name)
    table = table_of(deployment)
    fit = fit_of(table, name, now())
    fit.add(row)
    if fit.nothing:
        fitting.tell(fit)
    return [each for each in (fitting.question_about_name(table, name), fitting.question_about_rows(fit)) if each]


def add(deployment: Deployment, name: str, row: ListRow, why: str | None = None) -> None:
    """Put a row on a list, in place of one with the same key; ``why`` is for the history.

    Raises InputError where the list was replaced meanwhile.
    """
    lists, by = DeviceLists(table_of(deployment)), operator(deployment)
    command = ("lists", "add", name, *(f"{column}={value}" for column, value in row.to_json().items()))

    def beside(edit: Edit) -> list[Any]:
        return _told(deployment, command, name, by=by, why=why, before=_of_rows(edit.old), after=_of_rows((row,)))

    add_once = partial(lists.add, name, row, at=now_text(), new_generation=generation(), beside=beside)
    unless_edited(name, add_once)


def generation() -> str:
    """Make a name for a new generation of a list's rows."""
    return f"{now():%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"


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
