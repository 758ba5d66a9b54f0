"""Device lists: what is on them, and edits row by row."""

import re

from flask import Blueprint, Response, redirect, render_template, request, url_for
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response as AnyResponse

from jitr.devicelists.columns import ATTRIBUTE_PREFIX
from jitr.devicelists.csv.reader import columns_of
from jitr.devicelists.rows import KEY_KINDS, RowKey
from jitr.errors import InputError
from jitr.services.lists.device_lists import DeviceLists, RowPlace
from jitr.unseen import quote
from jitr_operations.lists import editing
from jitr_operations.lists import files as list_files
from jitr_operations.lists.notes import find_by_note
from jitr_operations.lists.order import in_order
from jitr_page.forms import is_sure
from jitr_page.jobs import WayBack
from jitr_page.site import rules_in_force, site

room = Blueprint("lists", __name__)

_LEAST = 50  # rows of one page, where there are so many


@room.get("/lists")
def show_all() -> str:
    """Show every list, and which rules name it."""
    rules = rules_in_force()
    named: dict[str, list[tuple[str, str]]] = {}
    for effect, some in (("deny", rules.deny), ("allow", rules.allow)) if rules else ():
        for rule in some:
            for name in rule.lists:
                named.setdefault(name, []).append((effect, rule.name))
    lists = DeviceLists(site().table).all()
    return render_template("lists.html", lists=lists, named=named, missing=sorted(named.keys() - lists.keys()))


@room.get("/lists/<name>")
def show(name: str) -> str:
    """Show some rows of a list, the row that a key finds, or those with a text in their notes."""
    found = site()
    lists = DeviceLists(found.table)
    info = editing.existing(lists, name)
    asked, note = (request.args.get(each, "").strip() for each in ("q", "note"))
    looked_at = 0
    if note:
        by_note = find_by_note(lists, name, info.head.generation, note, _place(request.args.get("after")))
        rows, place, looked_at = by_note.rows, by_note.after, by_note.looked_at
    elif asked:
        keys = _keys(asked)
        rows = [row for key in keys if (row := lists.find(name, info.head.generation, key)) is not None]
        place = None
    else:
        rows, place = lists.some(name, info.head.generation, _place(request.args.get("after")), _LEAST)
        if place is None and "after" not in request.args:  # these are all
            rows = in_order(rows)
    return render_template(
        "list.html",
        info=info,
        asked=asked,
        note=note,
        looked_at=looked_at,
        rows=[(row, row.found_by()[0], row.to_json()) for row in rows],
        columns=columns_of(rows),
        after=None if place is None else f"{place.shard}~{place.key or ''}",
        kept=lists.kept().get(name),
    )


def way_back(name: str | None = None) -> WayBack:
    """Return the way back to a list, or to all of them."""
    if name is None:
        return WayBack("the device lists", url_for("lists.show_all"))
    return WayBack(f"list {name}", url_for("lists.show", name=name))


def _keys(asked: str) -> list[RowKey]:
    """Return every key that was perhaps asked for; a serial number stands behind its CA and a slash."""
    ca, _, serial = asked.rpartition("/")
    values = {"common_name": asked, "serial_number": f"{ca}/{serial.lower()}"}
    return [RowKey(kind, values.get(kind, asked.lower())) for kind in KEY_KINDS]


def _place(after: str | None) -> RowPlace:
    """Return the place that stands in an address. Raises InputError for what is none."""
    shard, _, key = (after or "0~").partition("~")
    if not re.fullmatch("[0-9]{1,3}", shard):
        raise InputError("the page's address is damaged: begin with its first page")
    return RowPlace(int(shard), key or None)


@room.get("/lists/<name>/export")
def export(name: str) -> Response:
    """Send a list as a CSV file that imports back to the same list.

    All of it is read before anything is sent, so that no part of a list is taken for the whole.
    """
    lists = DeviceLists(site().table)
    info = editing.existing(lists, name)
    answer = Response(list_files.written(lists.rows(name, info.head.generation)), mimetype="text/csv")
    answer.headers["Content-Disposition"] = f'attachment; filename="{info.name}.csv"'
    return answer


@room.post("/lists/<name>/add")
def add(name: str) -> AnyResponse:
    """Put a row on a list; where something is to be asked, ask first."""
    column, value, note = (request.form.get(each, "").strip() for each in ("column", "value", "note"))
    columns = {column: value} | _attributes() | ({"note": note} if note else {})
    if ca := request.form.get("ca", "").strip():
        columns["ca"] = ca
    editing.existing(DeviceLists(site().table), name)  # the page makes lists from files only: this may be a slip
    row = editing.row_of(columns)
    questions = editing.questions_about(site().deployment, name, row)
    if questions and not is_sure():
        return Response(render_template("list_sure.html", name=name, questions=questions, form=request.form))
    editing.add(site().deployment, name, row)
    return redirect(url_for("lists.show", name=name, q=value if column != "serial_number" else None, done="add"), 303)


def _attributes() -> dict[str, str]:
    """Return the columns of attributes as they were typed: batch=8, line=3, or attr.batch=8 as files have it."""
    columns: dict[str, str] = {}
    for each in filter(str.strip, request.form.get("attributes", "").split(",")):
        name, equals, value = (part.strip() for part in each.partition("="))
        if not (name and equals and value):
            raise InputError(f"attributes: {quote(each.strip())} is not name=value; several are parted by commas")
        column = ATTRIBUTE_PREFIX + name.removeprefix(ATTRIBUTE_PREFIX)
        if column in columns:
            raise InputError(f"attributes: {name} is given twice")
        columns[column] = value
    return columns


@room.post("/lists/<name>/remove")
def remove(name: str) -> AnyResponse:
    """Take the row that was shown off a list."""
    kind, value = request.form.get("kind", ""), request.form.get("value", "")
    if kind not in KEY_KINDS:
        raise InputError("say which row: the form that was sent is not this page's")
    if editing.remove(site().deployment, name, RowKey(kind, value)) is None:
        raise InputError(f"{value} is not on list {name} any more: somebody took it off meanwhile")
    return redirect(url_for("lists.show", name=name, done="remove"), 303)


@room.get("/lists/<name>/")
def slash(name: str) -> AnyResponse:
    """Lead whoever typed a slash too much to the list."""
    if not name:
        raise NotFound
    return redirect(url_for("lists.show", name=name), 303)
