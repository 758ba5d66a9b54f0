"""Rules: in force and before, edited, tested, and put in force."""

from collections.abc import Sequence
from itertools import islice
from typing import Any

from flask import Blueprint, Response, jsonify, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from jitr.decision.selftest import FailedTests, TestFailure
from jitr.errors import InputError
from jitr.rules.file.problems import Problem, RulesError
from jitr.rules.file.reader import NAME_BY_ID
from jitr.services.publishing import versions
from jitr.services.publishing.versions import Publication
from jitr.text import counted
from jitr.unseen import written_out
from jitr_operations.rules.files import Looked, look_at
from jitr_operations.rules.named_files import NO_FILES, NamedFiles, named_files
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
from jitr_operations.rules.starting import MADE_UP, registered_in_rules, starting_text
from jitr_page.forms import reason, require_sure
from jitr_page.private_keys import PrivateKeyPasted, without_keys
from jitr_page.site import RulesDraft, rules_in_force, site
from jitr_page.text import shown

room = Blueprint("rules", __name__)

_MOST_VERSIONS = 100
_MOST_TOLD = 200  # problems as one types
_FILE = "admission.yaml"  # what a text is called in messages and in the history
_MEANWHILE = (
    "Somebody else published rules since you opened these. Theirs are in force, and your text is kept here: bring in "
    "what they changed."
)


@room.get("/rules")
def show() -> str:
    """Show the rules in force, and the versions before."""
    table = site().table
    found = list(islice(versions.history(table), _MOST_VERSIONS))
    text = text_of(table, found[0]) if found else ""
    return render_template("rules.html", versions=found, text=text, names=_named_lines())


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
    """Show the rules in an editor: those that were checked last and not published, those in force, or an example."""
    draft, found = site().draft, versions.in_force(site().table)
    if draft is not None and "anew" not in request.args:
        return _editor(draft.text, seen=draft.seen, message=draft.message, draft=True)
    if found is not None:
        return _editor(text_of(site().table, found), seen=found.digest)
    text = starting_text(site().deployment)
    return _editor(text, starting="made-up" if MADE_UP in text else "cas")


def _files(seen: str) -> NamedFiles:
    """Return what the files that rules name stand for, if those are in force, or were when they were opened."""
    kept = site().named_files
    rules = None if seen in kept else rules_in_force()
    if rules is not None and rules.digest == seen:
        text = versions.source(site().table, seen) or b""
        kept[seen] = named_files(text.decode("utf-8-sig"), rules)
    return kept.get(seen, NO_FILES)


def _editor(
    text: str,
    *,
    seen: str = "",
    problems: Sequence[Problem] = (),
    failed: str = "",
    told: str = "",
    theirs: Sequence[str] = (),
    message: str = "",
    starting: str = "",
    draft: bool = False,
) -> str:
    return render_template(
        "rules_edit.html",
        text=text,
        seen=seen,
        problems=problems,
        failed=failed,
        told=told,
        theirs=theirs,
        message=message,
        starting=starting,
        draft=draft,
        files=_files(seen).paths,
        cas=registered_in_rules(site().deployment) if any(each.hint == NAME_BY_ID for each in problems) else (),
    )


@room.post("/rules/problems")
def problems() -> Response:
    """Answer a script with what is wrong in edited rules, as far as they tell it themselves; nothing is changed."""
    text, seen, _ = _given()
    looked = look_at(text.encode(), _FILE, site().named_files.get(seen, NO_FILES))
    places = [_place(each.to_json()) for each in looked.problems[:_MOST_TOLD]]
    places += [
        {"line": each.line, "column": 1, "length": 1, "severity": "error", "message": _failed(each), "hint": None}
        for each in looked.failures[: _MOST_TOLD - len(places)]
    ]
    return jsonify(told=_summary(looked), problems=places)


def _place(problem: dict[str, Any]) -> dict[str, Any]:
    return {key: shown(value) for key, value in problem.items() if key != "file"}


def _failed(failure: TestFailure) -> str:
    return written_out(f"the test expected {failure.expected}, got {failure.got}")


def _summary(looked: Looked) -> str:
    errors = sum(each.severity == "error" for each in looked.problems)
    counts = (
        (errors, "error"),
        (len(looked.failures), "failed test"),
        (len(looked.problems) - errors, "warning"),
    )
    return (
        ", ".join(counted(number, noun) for number, noun in counts if number)
        or "No error in it, and every test passes."
    )


@room.post("/rules/check")
def check() -> str:
    """Check edited rules, run the tests in them, and show what they would change; nothing is put in force."""
    text, seen, message = _given()
    site().draft = RulesDraft(text, seen, message)
    try:
        proposal = propose_text(site().deployment, text.encode(), _FILE, _files(seen))
    except RulesError as error:
        return _editor(text, seen=seen, problems=error.problems, message=message)
    except FailedTests as failed:
        return _editor(text, seen=seen, failed=str(failed), message=message)
    except InputError as problem:
        return _editor(text, seen=seen, told=str(problem), message=message)
    if proposal.in_force_already:
        site().draft = None
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
    proposal = propose_text(site().deployment, text.encode(), _FILE, _files(seen))
    if seen != (proposal.before.digest or ""):
        now = proposal.before.digest or ""
        site().draft = RulesDraft(text, now, message)
        return Response(_editor(text, seen=now, told=_MEANWHILE, theirs=_changed_since(seen), message=message), 409)
    require_sure(proposal.doubts.questions)
    done = publish(site().deployment, proposal, why)
    site().draft = None
    return redirect(url_for("rules.show", done=done.version), 303)


def _changed_since(seen: str) -> Sequence[str]:
    """Return how the file in force differs from the one that somebody began with; nothing where that is not known."""
    table = site().table
    found = list(islice(versions.history(table), _MOST_VERSIONS))
    began_with = next((each for each in found if each.digest == seen), None)
    try:
        return () if began_with is None else difference(table, began_with, found[0])
    except InputError:
        return ()


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
    done = publish(site().deployment, proposal, message or f"rollback to version {number}", rollback_to=number)
    return redirect(url_for("rules.show", done=done.version), 303)


@room.errorhandler(PrivateKeyPasted)
def refuse_key(problem: PrivateKeyPasted) -> AnyResponse:
    """Give the text back without the key that was pasted into it."""
    if request.endpoint == "rules.problems":
        return jsonify(told=f"{problem} Take it out.", problems=[])
    if "text" not in request.form:
        return Response(render_template("problem.html", heading="That cannot be done", text=str(problem)), 400)
    text, seen, message = (without_keys(each) for each in _given())
    return Response(_editor(text, seen=seen, told=f"{problem} What is left of the text is here.", message=message), 400)


def _given() -> tuple[str, str, str]:
    """Return the text, what was in force when it was opened, and why. A form's line ends are CRLF (HTML standard)."""
    text = request.form.get("text", "").replace("\r\n", "\n")
    return text, request.form.get("seen", ""), request.form.get("message", "").strip()[:500]
