"""Work under way: how far it is, and what came of it."""

from flask import Blueprint, redirect, render_template
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response

from jitr_page.site import site

room = Blueprint("jobs", __name__)


@room.get("/jobs/<job_id>")
def show(job_id: str) -> str | Response:
    """Show a job; the page asks again by itself while it runs."""
    job = site().jobs.get(job_id)
    if job is None:
        raise NotFound
    if job.outcome is not None and job.outcome.then is not None:
        return redirect(job.outcome.then, 303)
    return render_template("job.html", job=job)
