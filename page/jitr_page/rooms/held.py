"""Held devices: why each waits, and what lets it in."""

from collections.abc import Iterable, Sequence

from flask import Blueprint, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from jitr.decision.decide import OperatorWord
from jitr.errors import InputError
from jitr.reasons import Verdict
from jitr.records.record import Record
from jitr_operations import telling
from jitr_operations.decisions import held, words
from jitr_operations.decisions.basis import basis_of
from jitr_page import filtering
from jitr_page.forms import reason, require_unchanged
from jitr_page.jobs import JobResult, WayBack
from jitr_page.site import Site, rules_in_force, site

room = Blueprint("held", __name__)


@room.get("/held")
def show() -> str:
    """Show held devices, the newest first."""
    given, rules = filtering.given(), rules_in_force()
    return render_template(
        "held.html",
        page=filtering.chosen((Verdict.HOLD,), given),
        given=given,
        basis=basis_of(site().table),
        **filtering.choices(() if rules is None else rules.allow),
    )


@room.post("/held/preview")
def preview() -> str:
    """Show what would become of the chosen devices, before anything is done."""
    found = site()
    rule, message, records = _said(), reason(), _shown(request.form.getlist("device"))
    word = held.word_of(found.deployment, rule, message)
    if rule is None:
        forecasts = [held.Forecast(each, Verdict.REJECT, "") for each in records]
    else:
        forecasts = held.forecasts(found.deployment, records, word)
    return render_template("held_preview.html", forecasts=forecasts, rule=rule, message=message)


@room.post("/held/do")
def do() -> Response:
    """Say the word of each of the chosen devices, as they were shown."""
    found = site()
    rule, message, devices = _said(), reason(), request.form.getlist("device")
    word = held.word_of(found.deployment, rule, message)
    if not devices:
        raise InputError("no device was chosen: go back and choose some")
    title = f"Admit {len(devices)} under {rule}" if rule else f"Reject {len(devices)}"
    back = WayBack("the held devices", url_for("held.show"))
    job = found.jobs.start(title, back, lambda: _say_all(found, devices, word))
    return redirect(url_for("jobs.show", job_id=job.id), 303)


def _say_all(found: Site, devices: Sequence[str], word: OperatorWord) -> JobResult:
    failed = []
    with telling.progress("Telling the devices' records", len(devices)) as advance:
        for each in devices:
            certificate_id, _, revision = each.partition("@")
            try:
                record = words.decided(certificate_id, found.deployment, found.table)
                require_unchanged(record, revision)
                held.say(found.deployment, record, word)
            except InputError as problem:
                failed.append(f"{certificate_id[:12]}: {problem}")
            advance(1)
    count = len(devices) - len(failed)
    return JobResult(
        f"{count} of {len(devices)} are decided again now. What came of it is on each device's page.", failed
    )


@room.post("/held/recheck")
def recheck() -> Response:
    """Have every held device decided again."""
    held.recheck_everyone(site().deployment)
    return redirect(url_for("held.show", rechecked="all"), 303)


def _said() -> str | None:
    what, rule = request.form.get("what"), request.form.get("rule") or None
    if what not in ("admit", "reject"):
        raise InputError("say what is to become of them: admit or reject")
    if what == "admit" and rule is None:
        raise InputError("choose the rule under which they are admitted")
    return rule if what == "admit" else None


def _shown(devices: Iterable[str]) -> list[Record]:
    """Return the records of chosen devices.

    Raises InputError where none is chosen, or one changed since it was shown.
    """
    found = site()
    chosen = [each.partition("@") for each in devices]
    if not chosen:
        raise InputError("no device was chosen: go back and choose some")
    records = {each.certificate_id: each for each in found.table.records([name for name, _, _ in chosen])}
    shown = []
    for certificate_id, _, revision in chosen:
        record = records.get(certificate_id)
        if record is None:
            raise InputError(f"certificate {certificate_id[:12]} is on record no more")
        require_unchanged(record, revision)
        shown.append(record)
    return shown
