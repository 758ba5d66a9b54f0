"""Messages that could not be handled: what, why, since when, and put back once the cause is mended."""

from collections import Counter
from datetime import timedelta

from flask import Blueprint, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from jitr.errors import InputError
from jitr_operations.cas.registry import all_ca_ids
from jitr_operations.failures.messages import QUEUES
from jitr_operations.failures.redrive import failed_messages, redrive
from jitr_operations.failures.sweep import Sweep, Swept
from jitr_page.jobs import JobResult
from jitr_page.site import Site, site

room = Blueprint("failures", __name__)

_PACE = 5.0  # messages a second
_OLDER_THAN = timedelta(minutes=10)  # the event of a certificate that is younger may be under way


@room.get("/failures")
def show() -> str:
    """Show what lies in the failure queues."""
    queue, reason = request.args.get("queue") or None, request.args.get("reason") or None
    if queue is not None and queue not in QUEUES:
        raise InputError(f"{queue!r} is no failure queue: {', '.join(QUEUES)}")
    found = failed_messages(site().deployment, reason=reason, queue=queue)
    reasons = Counter(each.reason for each in found).most_common()
    return render_template("failures.html", found=found, reasons=reasons, queue=queue, reason=reason, queues=QUEUES)


@room.post("/failures/redrive")
def put_back() -> Response:
    """Put failed messages back on the registration queue: all, or those with a reason."""
    found, reason = site(), request.form.get("reason") or None
    back = url_for("failures.show")
    job = found.jobs.start("Put failed messages back", back, lambda: _redrive(found, reason))
    return redirect(url_for("jobs.show", job_id=job.id), 303)


@room.post("/failures/sweep")
def sweep() -> Response:
    """Look for certificates that are stuck pending because their event was lost; put an event for each on the queue.

    Without ``send`` they are only counted, CA by CA.
    """
    found, send = site(), request.form.get("send") == "yes"
    title = "Put events of stuck certificates on the queue" if send else "Look for stuck certificates"
    job = found.jobs.start(title, url_for("failures.show"), lambda: _sweep(found, send=send))
    return redirect(url_for("jobs.show", job_id=job.id), 303)


def _sweep(found: Site, *, send: bool) -> JobResult:
    swept = [Swept(each) for each in all_ca_ids(found.deployment.client("iot"))]
    Sweep(found.deployment, _OLDER_THAN, _PACE, dry_run=not send, restart=False).cas(swept)
    stuck, sent = sum(each.stuck for each in swept), sum(each.sent for each in swept)
    looked = f"{sum(each.certificates for each in swept):,} certificates of {len(swept)} CAs were looked at"
    if send:
        return JobResult(f"{looked}; {sent} were stuck, and their events are on the registration queue")
    return JobResult(f"{looked}; {stuck} are stuck" + ("" if stuck else ": there is nothing to do"))


def _redrive(found: Site, reason: str | None) -> JobResult:
    count, in_flight = redrive(found.deployment, reason=reason, queue=None, pace=_PACE)
    more = f"; about {in_flight} more are held by another command" if in_flight else ""
    return JobResult(f"{count} messages are back on the registration queue{more}")
