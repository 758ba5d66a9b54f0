"""Counts that AWS takes long for: one at a time for each view, and shown at once where there is little to count."""

from collections.abc import Callable

from flask import redirect, url_for
from werkzeug.wrappers import Response

from jitr_page.jobs import JobResult, WayBack
from jitr_page.site import site

_SHORT = 2.0  # seconds in which the devices of a small fleet are counted: whoever asked sees at once how many there are


def count_for(view: WayBack, title: str, work: Callable[[], None]) -> Response:
    """Have a job count for a view, and lead back to it; to the job, where that is not done at once.

    One that is under way for the view is joined: a second one would take its share of AWS IoT's pace.
    """

    def done() -> JobResult:
        work()
        return JobResult("Counted", then=view.address)

    job = site().jobs.start_or_join(title, view, done)
    if job.over.wait(_SHORT) and job.outcome is not None:
        return redirect(view.address, 303)
    return redirect(url_for("jobs.show", job_id=job.id), 303)
