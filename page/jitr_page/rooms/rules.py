"""Rules: in force and before, edited, tested, and put in force."""

from itertools import islice
from typing import Any

from flask import Blueprint, Response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from jitr.errors import InputError
from jitr.rules.file.problems import RulesError
from jitr.services.publishing import publication
from jitr.services.publishing.publication import Publication
from jitr_operations.rules.files import FailedTests
from jitr_operations.rules.publication import (
    Proposal,
    difference,
    preview,
    propose_text,
    propose_version,
    publish,
    text_of,
    version_of,
)
from jitr_page.forms import reason, require_sure
from jitr_page.site import rules_in_force, site

room = Blueprint("rules", __name__)

_MOST_VERSIONS = 100
_MEANWHILE = (
    "Somebody else published rules since you opened these. Theirs are in force, and your text is kept here: bring in "
    "what they changed."
)


@room.get("/rules")
def show() -> str:
    """Show the rules in force, and the versions before."""
    table = site().table
    versions = list(islice(publication.history(table), _MOST_VERSIONS))
    text = text_of(table, versions[0]) if versions else ""
    return render_template("rules.html", versions=versions, text=text, names=_named_lines())


def _named_lines() -> dict[int, str]:
    """Return the rules in force by the lines that they begin on."""
    rules = rules_in_force()
    if rules is None:
        return {}
    places = ((rules.at(each).rpartition(":")[2], each.name) for each in (*rules.deny, *rules.allow))
    return {int(line): name for line, name in places if line.isdecimal()}


@room.get("/rules/<int:number>")
def version(number: int) -> str:
    """Show a version of the rules, and how it differs from the one before."""
    table = site().table
    found = version_of(table, number)
    return render_template(
        "rules_version.html",
        version=found,
        text=text_of(table, found),
        diff=_difference(found),
        in_force=version_of(table, None).version,
    )


def _difference(found: Publication) -> list[str]:
    if found.version < 2:
        return []
    table = site().table
    try:
        return difference(table, version_of(table, found.version - 1), found)
    except InputError:
        return []


@room.get("/rules/edit")
def edit() -> str:
    """Show the rules in force in an editor."""
    table = site().table
    found = publication.in_force(table)
    text = text_of(table, found) if found else ""
    return _editor(text, seen="" if found is None else found.digest)


def _editor(text: str, *, seen: str, problems: Any = (), failed: str = "", told: str = "", message: str = "") -> str:
    return render_template(
        "rules_edit.html", text=text, seen=seen, problems=problems, failed=failed, told=told, message=message
    )


@room.post("/rules/check")
def check() -> str:
    """Check edited rules, run the tests in them, and show what they would change; nothing is put in force."""
    text, seen, message = _given()
    try:
        proposal = propose_text(site().deployment, text.encode(), "admission.yaml")
    except RulesError as error:
        return _editor(text, seen=seen, problems=error.problems, message=message)
    except FailedTests as failed:
        return _editor(text, seen=seen, failed=str(failed), message=message)
    except InputError as problem:
        return _editor(text, seen=seen, told=str(problem), message=message)
    if proposal.in_force_already:
        return _editor(text, seen=seen, told="This is what is in force: nothing to publish.", message=message)
    return _preview(proposal, text, seen, message)


def _preview(proposal: Proposal, text: str, seen: str, message: str, version: int | None = None) -> str:
    return render_template(
        "rules_preview.html",
        proposal=proposal,
        found=preview(site().deployment, proposal, look_back=True),
        text=text,
        seen=seen,
        message=message,
        version=version,
        stale=seen != (proposal.before.digest or ""),
    )


@room.post("/rules/edit")
def edit_further() -> str:
    """Show a text in the editor again."""
    text, seen, message = _given()
    return _editor(text, seen=seen, message=message)


@room.post("/rules/publish")
def put_in_force() -> AnyResponse:
    """Put edited rules in force, unless others were published since they were shown."""
    why, (text, seen, message) = reason(), _given()
    proposal = propose_text(site().deployment, text.encode(), "admission.yaml")
    if seen != (proposal.before.digest or ""):
        told = _MEANWHILE
        return Response(_editor(text, seen=proposal.before.digest or "", told=told, message=message), 409)
    require_sure(proposal.doubts.questions)
    done = publish(site().deployment, proposal, why)
    return redirect(url_for("rules.show", done=done.version), 303)


@room.post("/rules/<int:number>/rollback")
def rollback(number: int) -> AnyResponse:
    """Show what an earlier version would change, and put it in force once that was seen."""
    table, message = site().table, request.form.get("message", "").strip()
    proposal = propose_version(site().deployment, version_of(table, number))
    seen = request.form.get("seen")
    if seen is None:
        before = proposal.before.digest or ""
        return Response(_preview(proposal, "", before, f"rollback to version {number}", number))
    if seen != (proposal.before.digest or ""):
        raise InputError("somebody else published rules since you looked: look at them, and begin again")
    require_sure(proposal.doubts.questions)
    done = publish(site().deployment, proposal, message or f"rollback to version {number}")
    return redirect(url_for("rules.show", done=done.version), 303)


def _given() -> tuple[str, str, str]:
    """Return the text, what was in force when it was opened, and why. A form's line ends are CRLF (HTML standard)."""
    text = request.form.get("text", "").replace("\r\n", "\n")
    return text, request.form.get("seen", ""), request.form.get("message", "").strip()[:500]
