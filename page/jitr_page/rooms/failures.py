"""Messages that could not be handled: what, why, since when, and put back once the cause is mended."""

import re
from collections import Counter
from collections.abc import Mapping
from datetime import timedelta

from flask import Blueprint, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from jitr.errors import InputError
from jitr.reasons import CODES
from jitr.text import counted
from jitr.unseen import quote
from jitr_operations.cas.registry import all_ca_ids
from jitr_operations.failures.messages import QUEUES
from jitr_operations.failures.redrive import MessageChoice, look, redrive
from jitr_operations.failures.sweep import Sweep, Swept
from jitr_page import filtering
from jitr_page.jobs import JobResult, WayBack
from jitr_page.site import Site, site

room = Blueprint("failures", __name__)

_ID = re.compile("[0-9a-f]{64}")
REQUESTS = 20  # for at most ten messages each, of each queue: what one view looks at
_REASONS = [code for code in CODES if code.startswith("event.")]  # those for which a message can be put aside
_PACE = 5.0  # messages a second
_OLDER_THAN = timedelta(minutes=10)  # the event of a certificate that is younger may be under way


@room.get("/failures")
def show() -> str:
    """Show what lies in the failure queues, as much of it as one view looks at."""
    wanted = _given(request.args)
    found = look(site().deployment, wanted, REQUESTS)
    reasons = Counter(each.reason for each in found.messages).most_common()
    # What a message says its certificate is may be no id at all, and has no page then.
    ids = {each.certificate_id for each in found.messages if _ID.fullmatch(each.certificate_id or "")}
    return render_template("failures.html", found=found, reasons=reasons, wanted=wanted, queues=QUEUES, ids=ids)


def _given(given: Mapping[str, str]) -> MessageChoice:
    reason, queue = given.get("reason") or None, given.get("queue") or None
    if queue is not None and queue not in QUEUES:
        raise filtering.WrongFilter("queue", f"{quote(queue)} is no failure queue", values=QUEUES)
    filtering.require_reason(reason, _REASONS)
    return MessageChoice(reason, queue)


@room.post("/failures/redrive")
def put_back() -> Response:
    """Put failed messages back on the registration queue: the chosen ones, or all that a filter leaves."""
    found, wanted = site(), _given(request.form)
    match request.form.get("which"):
        case "all":
            title = "Put failed messages back"
        case "chosen":
            wanted = MessageChoice(ids=frozenset(request.form.getlist("message")))
            if not wanted.ids:
                raise InputError("no message was chosen: go back and choose some")
            title = f"Put {counted(len(wanted.ids), 'failed message')} back"
        case _:
            raise InputError("say which messages: the chosen ones, or all")
    job = found.jobs.start(title, _way_back(), lambda: _redrive(found, wanted))
    return redirect(url_for("jobs.show", job_id=job.id), 303)


@room.post("/failures/sweep")
def sweep() -> Response:
    """Look for certificates that are stuck pending because their event was lost; put an event for each on the queue.

    Without ``send`` they are only counted, CA by CA.
    """
    found, send = site(), request.form.get("send") == "yes"
    title = "Put events of stuck certificates on the queue" if send else "Look for stuck certificates"
    job = found.jobs.start(title, _way_back(), lambda: _sweep(found, send=send))
    return redirect(url_for("jobs.show", job_id=job.id), 303)


def _way_back() -> WayBack:
    return WayBack("the failures", url_for("failures.show"))


def _sweep(found: Site, *, send: bool) -> JobResult:
    swept = [Swept(each) for each in all_ca_ids(found.deployment.client("iot"))]
    Sweep(found.deployment, _OLDER_THAN, _PACE, dry_run=not send, restart=False).cas(swept)
    stuck, sent = sum(each.stuck for each in swept), sum(each.sent for each in swept)
    looked = (
        f"Looked at {counted(sum(each.certificates for each in swept), 'certificate')} of {counted(len(swept), 'CA')}"
    )
    if send:
        put_back = counted(sent, "was stuck, and its event is", "were stuck, and their events are")
        return JobResult(f"{looked}; {put_back} on the registration queue")
    return JobResult(f"{looked}; {counted(stuck, 'is', 'are')} stuck" + ("" if stuck else ": there is nothing to do"))


def _redrive(found: Site, wanted: MessageChoice) -> JobResult:
    done = redrive(found.deployment, wanted, _PACE)
    more = f"; about {done.in_flight} more are held by another command" if done.in_flight else ""
    again = f"; {done.failed_again} of them failed again meanwhile" if done.failed_again else ""
    left = [f"message {message[:8]}: {problem}" for message, problem in done.left.items()]
    return JobResult(f"{counted(done.put_back, 'message')} went back to the registration queue{again}{more}", left)
