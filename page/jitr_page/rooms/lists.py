"""Device lists: what is on them, edits row by row, and files looked at before they are imported."""

import secrets
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from flask import Blueprint, Response, redirect, render_template, request, url_for
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response as AnyResponse

from jitr.aws.dynamodb.table import Table, row_partitions
from jitr.devicelists.csv.reader import ListError, columns_of, write_rows
from jitr.devicelists.rows import KEY_KINDS, ListRow, RowKey
from jitr.errors import InputError
from jitr.services.lists.device_lists import DeviceLists
from jitr.services.lists.difference import Difference
from jitr.services.lists.list_import import MERGE, REPLACE
from jitr.services.lists.signers import SignerStore
from jitr_operations.lists import editing
from jitr_operations.lists import files as list_files
from jitr_operations.lists.check import check_name
from jitr_operations.lists.manifests import ManifestChoice
from jitr_page.jobs import Outcome
from jitr_page.site import Site, rules_in_force, site

room = Blueprint("lists", __name__)

_MOST_UPLOADS = 20  # files that were looked at and not imported yet


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
    """Show some rows of a list, or the row that a key finds."""
    found = site()
    lists = DeviceLists(found.table)
    info = editing.existing(lists, name)
    asked = request.args.get("q", "").strip()
    if asked:
        keys = [
            RowKey(kind, asked if kind == "common_name" else asked.lower())
            for kind in KEY_KINDS
            if kind != "serial_number"
        ]
        rows = [row for key in keys if (row := lists.find(name, info.head.generation, key)) is not None]
        following = None
    else:
        rows, following = _rows(found.table, name, info.head.generation, request.args.get("after"))
    return render_template(
        "list.html",
        info=info,
        asked=asked,
        rows=[(row, row.found_by()[0], row.to_json()) for row in rows],
        columns=columns_of(rows),
        after=following,
        kept=lists.kept().get(name),
    )


def _rows(table: Table, name: str, generation: str, after: str | None) -> tuple[list[ListRow], str | None]:
    """Return some rows of a list, and after which key the next ones come."""
    partitions = list(row_partitions(name, generation))
    number, _, key = (after or "0~").partition("~")
    if not number.isdecimal() or int(number) >= len(partitions):
        raise InputError("the page's address is damaged: begin with its first page")
    place = int(number)
    last = {"pk": partitions[place], "sk": key} if key else None
    rows: list[ListRow] = []
    while place < len(partitions):
        items, last = table.page(partitions[place], after=last)
        some = [(ListRow.from_json(each["row"]), each["sk"]) for each in items]
        rows += [row for row, sort in some if sort == str(row.found_by()[0])]
        if last is not None and rows:
            return rows, f"{place}~{last['sk']}"
        if last is None:
            place += 1
        if len(rows) >= 50:
            return rows, f"{place}~" if place < len(partitions) else None
    return rows, None


@room.get("/lists/<name>.csv")
def export(name: str) -> Response:
    """Send a list as a CSV file that imports back to the same list."""
    lists = DeviceLists(site().table)
    info = editing.existing(lists, name)

    def pieces() -> Iterator[str]:
        columns = columns_of(lists.rows(name, info.head.generation))
        yield "\ufeff"  # without a byte order mark Excel takes UTF-8 for something else
        yield from write_rows(lists.rows(name, info.head.generation), columns)

    answer = Response(pieces(), mimetype="text/csv")
    answer.headers["Content-Disposition"] = f'attachment; filename="{info.name}.csv"'
    return answer


@room.post("/lists/<name>/add")
def add(name: str) -> AnyResponse:
    """Put a row on a list; where something is to be asked, ask first."""
    column, value, note = (request.form.get(each, "").strip() for each in ("column", "value", "note"))
    columns = {column: value} | ({"note": note} if note else {})
    if ca := request.form.get("ca", "").strip():
        columns["ca"] = ca
    row = editing.row_of(columns)
    questions = editing.questions_about(site().deployment, name, row)
    if questions and request.form.get("sure") != "yes":
        return Response(render_template("list_sure.html", name=name, questions=questions, form=request.form))
    editing.add(site().deployment, name, row)
    return redirect(url_for("lists.show", name=name, q=value if column != "serial_number" else None, done="add"), 303)


@room.post("/lists/<name>/remove")
def remove(name: str) -> AnyResponse:
    """Take the row that was shown off a list."""
    kind, value = request.form.get("kind", ""), request.form.get("value", "")
    if kind not in KEY_KINDS:
        raise InputError("say which row: the form that was sent is not this page's")
    if editing.remove(site().deployment, name, RowKey(kind, value)) is None:
        raise InputError(f"{value} is not on list {name} any more: somebody took it off meanwhile")
    return redirect(url_for("lists.show", name=name, done="remove"), 303)


# --- files


@dataclass
class _Uploads:
    """Files that were looked at and may be imported, by an id that nobody can guess."""

    folder: tempfile.TemporaryDirectory[str] = field(
        default_factory=lambda: tempfile.TemporaryDirectory(prefix="jitr-")
    )
    looked: dict[str, editing.Looked] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)

    def path(self, upload: str) -> Path:
        return Path(self.folder.name) / upload

    def keep(self, upload: str, looked: editing.Looked) -> None:
        with self.lock:
            self.looked[upload] = looked
            while len(self.looked) > _MOST_UPLOADS:
                oldest = next(iter(self.looked))
                del self.looked[oldest]
                self.path(oldest).unlink(missing_ok=True)


_uploads = _Uploads()


@room.post("/lists/look")
def look() -> str:
    """Read an uploaded file whole and show what it would do; nothing is changed."""
    given, name = request.files.get("file"), request.form.get("name", "").strip()
    mode = REPLACE if request.form.get("mode") == "replace" else MERGE
    if given is None or not given.filename:
        raise InputError("no file was chosen")
    shown_as = Path(given.filename).name[:100]
    name = name or Path(shown_as).stem
    check_name(name)
    upload = secrets.token_urlsafe(16)
    path = _uploads.path(upload)
    with path.open("xb") as kept:
        path.chmod(0o600)
        shutil.copyfileobj(given.stream, kept)
    overwrite = request.form.get("overwrite") == "yes"
    opener = ManifestChoice().opener(SignerStore(site().table).believed())
    try:
        with list_files.source(path, opener, shown_as) as source:
            looked = editing.look(site().deployment, name, source, mode=mode, overwrite=overwrite)
    except ListError as error:
        lines = _lines(path, {each.line for each in error.problems})
        path.unlink()
        return render_template("list_problems.html", name=name, file=shown_as, error=error, lines=lines)
    except Exception:
        path.unlink()
        raise
    _uploads.keep(upload, looked)
    questions = editing.questions_to_come(site().deployment, looked)
    return render_template("list_look.html", upload=upload, file=shown_as, looked=looked, questions=questions)


def _lines(path: Path, wanted: set[int]) -> dict[int, str]:
    """Return some lines of a file, as far as they are text."""
    with path.open("rb") as file:
        return {
            number: line[:300].decode("utf-8", "replace").rstrip()
            for number, line in enumerate(file, 1)
            if number in wanted
        }


@room.post("/lists/import")
def import_() -> AnyResponse:
    """Import a file as it was looked at."""
    upload = request.form.get("upload", "")
    looked = _uploads.looked.pop(upload, None)
    if looked is None:
        raise InputError("this file was imported already, or is kept no more: choose it again")
    if request.form.get("asked") == "yes" and request.form.get("sure") != "yes":
        _uploads.keep(upload, looked)
        raise InputError("say that you are sure: what there is to think of stands above the button")
    found = site()
    back = url_for("lists.show", name=looked.name)
    sure = request.form.get("sure") == "yes"
    job = found.jobs.start(
        f"Import {looked.checked.rows} rows into {looked.name}", back, lambda: _import(found, upload, looked, sure=sure)
    )
    return redirect(url_for("jobs.show", job_id=job.id), 303)


def _import(found: Site, upload: str, looked: editing.Looked, *, sure: bool) -> Outcome:
    def agree(difference: Difference | None) -> None:
        question = editing.question_about_removed(looked.name, looked.before, difference)
        if question is not None and not sure:
            command = f"`jitr lists import {looked.name} FILE --replace`"
            raise InputError(f"{question} That was not asked here: choose the file again, or use {command}")

    try:
        _, difference = editing.import_(found.deployment, looked, agree)
    finally:
        _uploads.path(upload).unlink(missing_ok=True)
    counts = (
        looked.told.effects
        if difference is None
        else ": " + ", ".join(f"{count} {name}" for name, count in difference.counts().items())
    )
    return Outcome(f"{looked.told.rows} are on list {looked.name}{counts}")


@room.get("/lists/template.csv")
def template() -> Response:
    """Send a first list to fill in."""
    answer = Response("common_name,note\r\nsnr-0001,what people call it\r\n", mimetype="text/csv")
    answer.headers["Content-Disposition"] = 'attachment; filename="devices.csv"'
    return answer


@room.get("/lists/<name>/")
def slash(name: str) -> AnyResponse:
    """Lead whoever typed a slash too much to the list."""
    if not name:
        raise NotFound
    return redirect(url_for("lists.show", name=name), 303)
