"""Files looked at before they are imported into a list."""

from pathlib import Path

from flask import Blueprint, Response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from jitr.devicelists.csv.reader import ListError
from jitr.errors import InputError
from jitr.services.lists.difference import Difference
from jitr.services.lists.list_import import MERGE, REPLACE
from jitr.services.lists.signers import SignerStore
from jitr.text import counted
from jitr_operations.lists import files as list_files
from jitr_operations.lists import importing
from jitr_operations.lists.fitting import check_name
from jitr_operations.lists.manifests import ManifestChoice
from jitr_page.forms import is_sure, require_sure
from jitr_page.jobs import JobResult
from jitr_page.private_keys import refuse_keys_in
from jitr_page.rooms.lists import way_back
from jitr_page.site import Site, site
from jitr_page.small_files import shown_name
from jitr_page.uploads import Upload, lines_of

room = Blueprint("uploads", __name__)

_SHORT = 2.0  # seconds in which most files are read: whoever sent one sees at once what is in it


@room.post("/uploads")
def look() -> AnyResponse:
    """Take a file, and read it whole: a job, as a large one takes minutes. Nothing is changed."""
    given, name = request.files.get("file"), request.form.get("name", "").strip()
    if given is None or not given.filename:
        raise InputError("no file was chosen")
    shown_as = shown_name(given)
    refuse_keys_in(given.stream, shown_as)
    name = name or Path(shown_as).stem
    check_name(name)
    found, mode = site(), REPLACE if request.form.get("mode") == "replace" else MERGE
    overwrite = request.form.get("overwrite") == "yes"
    upload = found.uploads.keep(given.stream, shown_as, name)
    then = url_for("uploads.show", upload=upload.id)
    job = found.jobs.start(f"Read {shown_as}", way_back(), lambda: _look(found, upload, mode, overwrite, then))
    if job.over.wait(_SHORT) and job.outcome is not None:
        return redirect(then, 303)
    return redirect(url_for("jobs.show", job_id=job.id), 303)


def _look(found: Site, upload: Upload, mode: str, overwrite: bool, then: str) -> JobResult:
    opener = ManifestChoice().opener(SignerStore(found.table).believed())
    try:
        with list_files.source(upload.path, opener, upload.shown_as, upload.rows) as source:
            upload.looked = importing.look(found.deployment, upload.name, source, mode=mode, overwrite=overwrite)
    except ListError as error:
        upload.lines = lines_of(upload.path, error.problems)
        upload.error = error
        upload.let_go()
    except Exception:
        found.uploads.take(upload.id)
        upload.let_go()
        raise
    return JobResult(f"{upload.shown_as} is read", then=then)


def _require(upload: Upload | None) -> Upload:
    if upload is None:
        raise InputError("this file was imported already, or is kept no more: choose it again")
    return upload


@room.get("/uploads/<upload>")
def show(upload: str) -> str:
    """Show what a file would do to its list, or every mistake in it beside its line."""
    kept = _require(site().uploads.get(upload))
    if kept.error is not None:
        return render_template("list_problems.html", upload=kept, error=kept.error, lines=kept.lines)
    if kept.looked is None:
        raise InputError("this file is still being read: look again in a moment")
    return render_template(
        "list_look.html",
        upload=kept,
        looked=kept.looked,
        questions=importing.questions_to_come(site().deployment, kept.looked),
    )


@room.post("/uploads/<upload>/import")
def import_(upload: str) -> AnyResponse:
    """Import a file as it was looked at."""
    found = site()
    looked = _require(found.uploads.get(upload)).looked
    if looked is None:
        raise InputError("this file cannot be imported: look at it first")
    sure = is_sure()
    require_sure(() if sure else importing.questions_to_come(found.deployment, looked))
    kept = _require(found.uploads.take(upload))
    job = found.jobs.start(
        f"Import {counted(looked.checked.rows, 'row')} into {looked.name}",
        way_back(looked.name if looked.before is not None else None),  # where it fails, there may be no new list
        lambda: _import(found, kept, looked, sure=sure),
    )
    return redirect(url_for("jobs.show", job_id=job.id), 303)


def _import(found: Site, kept: Upload, looked: importing.ImportPreview, *, sure: bool) -> JobResult:
    def agree(difference: Difference | None) -> None:
        question = importing.question_about_removed(looked.name, looked.before, difference)
        if question is not None and not sure:
            command = f"`jitr lists import {looked.name} FILE --replace`"
            raise InputError(f"{question} That was not asked here: choose the file again, or use {command}")

    try:
        _, difference = importing.import_(found.deployment, looked, agree)
    finally:
        kept.let_go()
    counts = (
        looked.told.effects
        if difference is None
        else ": " + ", ".join(f"{count} {name}" for name, count in difference.counts().items())
    )
    verb = "is" if looked.checked.rows == 1 else "are"
    return JobResult(f"{looked.told.rows} {verb} on list {looked.name}{counts}")


@room.post("/uploads/<upload>/discard")
def discard(upload: str) -> AnyResponse:
    """Let a file go that is not to be imported."""
    if (kept := site().uploads.take(upload)) is not None:
        kept.let_go()
    return redirect(url_for("lists.show_all"), 303)


@room.get("/uploads/template.csv")
def template() -> Response:
    """Send a first list to fill in."""
    answer = Response("common_name,note\r\nsnr-0001,what people call it\r\n", mimetype="text/csv")
    answer.headers["Content-Disposition"] = 'attachment; filename="devices.csv"'
    return answer
