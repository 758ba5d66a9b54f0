"""Held devices: why each waits, and what lets it in."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from flask import Blueprint, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from jitr.decision.decide import OperatorWord
from jitr.errors import InputError
from jitr.reasons import Verdict
from jitr.records.record import Record
from jitr_operations import telling
from jitr_operations.decisions import held, words
from jitr_operations.decisions.basis import basis_of
from jitr_operations.decisions.filters import near_rule, of_ca, with_reason
from jitr_operations.decisions.paging import page
from jitr_operations.table import now
from jitr_page.jobs import Outcome
from jitr_page.site import Site, rules_in_force, site

room = Blueprint("held", __name__)

SPANS = {"1h": timedelta(hours=1), "24h": timedelta(days=1), "7d": timedelta(days=7), "30d": timedelta(days=30)}
FILTERS = ("reason", "ca", "rule", "since")


@room.get("/held")
def show() -> str:
    """Show held devices, the newest first."""
    found, given = site(), filters_given()
    wanted = of_ca(found.table, given["ca"]), with_reason(given["reason"]), near_rule(given["rule"])
    some = page(
        found.table,
        (Verdict.HOLD,),
        lambda record: all(each(record) for each in wanted),
        since=since(given["since"]),
        after=request.args.get("after"),
    )
    rules = rules_in_force()
    return render_template(
        "held.html",
        page=some,
        given=given,
        basis=basis_of(found.table),
        rules=[] if rules is None else [each.name for each in rules.allow],
        cas=[] if rules is None else sorted(rules.cas),
        spans=SPANS,
    )


def filters_given() -> dict[str, str | None]:
    """Return the filters in the request's address; None for what is not filtered by."""
    return {name: request.args.get(name) or None for name in FILTERS}


def since(span: str | None) -> datetime | None:
    """Return when a span began. Raises InputError for what is none."""
    if span is None:
        return None
    if span not in SPANS:
        raise InputError(f"{span!r} is no span of time: {', '.join(SPANS)}")
    return now() - SPANS[span]


@room.post("/held/preview")
def preview() -> str:
    """Show what would become of the chosen devices, before anything is done."""
    found = site()
    rule, message, records = _said(), _message(), _shown(request.form.getlist("device"))
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
    rule, message, devices = _said(), _message(), request.form.getlist("device")
    word = held.word_of(found.deployment, rule, message)
    if not devices:
        raise InputError("no device was chosen: go back and choose some")
    title = f"Admit {len(devices)} under {rule}" if rule else f"Reject {len(devices)}"
    back = url_for("held.show")
    job = found.jobs.start(title, back, lambda: _say_all(found, devices, word))
    return redirect(url_for("jobs.show", job_id=job.id), 303)


def _say_all(found: Site, devices: Sequence[str], word: OperatorWord) -> Outcome:
    failed = []
    with telling.progress("Telling the devices' records", len(devices)) as advance:
        for each in devices:
            certificate_id, _, revision = each.partition("@")
            try:
                record = words.decided(certificate_id, found.deployment, found.table)
                require_unchanged(record, revision)
                held.say(found.deployment, held.Saying(held.require_held(record), word, ""))
            except InputError as problem:
                failed.append(f"{certificate_id[:12]}: {problem}")
            advance(1)
    count = len(devices) - len(failed)
    return Outcome(
        f"{count} of {len(devices)} are decided again now. What came of it is on each device's page.", failed
    )


def require_unchanged(record: Record, revision: str) -> None:
    """Raise InputError where a record is not the one that was shown."""
    if str(record.revision) != revision:
        raise InputError("it was decided again after it was shown: look at it, and choose again")


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


def _message() -> str:
    message = request.form.get("message", "").strip()
    if not message:
        raise InputError("say why: the reason is kept with the decision")
    if len(message) > 500:
        raise InputError(f"the reason has {len(message)} characters, and 500 are kept: say it shorter")
    return message


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
