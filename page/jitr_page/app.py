"""The page as a WSGI application: rooms, the door before them, and what is said where something goes wrong."""

from typing import Any

from flask import Flask, g, render_template, request
from werkzeug.exceptions import HTTPException

from jitr.errors import InputError
from jitr.reasons import CODES
from jitr.records.record import common_name
from jitr.text import counted
from jitr_operations import telling
from jitr_operations.cas.overview import validity_left
from jitr_operations.deployment import Deployment
from jitr_operations.history import reading
from jitr_operations.table import operator, table_of
from jitr_page import problems, text
from jitr_page.filtering import WrongFilter
from jitr_page.forms import only_where_it_was
from jitr_page.guard import Door, is_inside, watch
from jitr_page.hearing import Heard
from jitr_page.jobs import Jobs
from jitr_page.once import only_once
from jitr_page.private_keys import refuse_pasted_keys, searched
from jitr_page.rooms import (
    ca_registration,
    cas,
    devices,
    failures,
    held,
    history,
    jobs,
    lists,
    recalls,
    rollovers,
    rules,
    today,
    uploads,
)
from jitr_page.site import Site, site

MOST_UPLOADED = 64 * 1024 * 1024  # bytes; a larger list goes through the bucket or `jitr lists import`

_ROOMS = (
    *(today, held, devices, lists, uploads, recalls, rules, ca_registration, rollovers, cas, failures, history, jobs),
)
_WORDS = {
    400: ("That cannot be done", "What was sent cannot be read."),
    401: (
        "This page is not open here",
        "A link opens it once, in one browser. Stop `jitr page` where it runs, and start it again for another link.",
    ),
    403: ("Not from here", "Changes are taken from the page's own forms only."),
    404: ("There is nothing here", "The address is not one of this page."),
    405: ("That cannot be done", "This address is not for that."),
    413: (
        "That file is too large",
        "The page takes up to 64 MB. `jitr lists import` takes a list of any size, the bucket one of 512 MB.",
    ),
    421: ("This is another address", "The page is at 127.0.0.1 only."),
    500: ("This is a bug", "The terminal that `jitr page` runs in has the traceback. Nothing more was changed."),
}


def create_app(deployment: Deployment, door: Door) -> Flask:
    """Return the application for a deployment. Raises what asking AWS who the operator is raises."""
    app = Flask(__name__)
    app.config.update(MAX_CONTENT_LENGTH=MOST_UPLOADED, MAX_FORM_MEMORY_SIZE=8 * 1024 * 1024)
    jobs = Jobs(lambda problem: problems.in_words(problem, local=found.is_local))
    app.extensions["jitr"] = found = Site(deployment, table_of(deployment), operator(deployment), jobs)
    _set_up_templates(app)
    _listen(app)
    watch(app, door)
    refuse_pasted_keys(app)  # before forms are kept
    only_once(app)
    only_where_it_was(app)
    for room in _ROOMS:
        app.register_blueprint(room.room)
    _answer_errors(app)
    return app


def _set_up_templates(app: Flask) -> None:
    environment = app.jinja_env
    environment.finalize = text.shown
    environment.trim_blocks = environment.lstrip_blocks = True
    environment.filters |= {"time": text.time, "name": common_name, "prose": text.prose, "typed": text.typed}
    environment.filters |= {"next_click": text.next_click, "in_short": text.in_short}
    environment.filters |= {"changed": reading.changed, "ended": reading.ended, "left": validity_left}
    environment.globals |= {
        "searched": searched,
        "count": counted,
        "query": text.query,
        "command": text.command,
        "codes": CODES,
    }

    @app.context_processor
    def around() -> dict[str, Any]:
        inside = is_inside()
        return {
            "inside": inside,
            "site": site() if inside else None,
            "root": request.script_root,
            "said": g.heard.said if inside else [],
        }


def _listen(app: Flask) -> None:
    """Show what operations tell on the page that they are asked by."""

    @app.before_request
    def begin() -> None:
        g.heard = Heard()
        g.listening = telling.heard_by(g.heard)
        g.listening.__enter__()

    @app.teardown_request
    def end(_problem: BaseException | None) -> None:
        listening = g.pop("listening", None)
        if listening is not None:
            listening.__exit__(None, None, None)


def _answer_errors(app: Flask) -> None:
    @app.errorhandler(HTTPException)
    def of_http(problem: HTTPException) -> tuple[str, int]:
        code = problem.code or 500
        heading, words = _WORDS.get(code, (problem.name, problem.description or ""))
        return render_template("problem.html", heading=heading, text=words, lost=code == 404), code

    @app.errorhandler(Exception)
    def of_ours(problem: Exception) -> tuple[str, int]:
        try:
            code, heading, words = problems.told(problem, local=is_inside() and site().is_local)
        except Exception:
            app.logger.exception("a bug")
            heading, words = _WORDS[500]
            code = 500
        # Whoever asked AWS for several things may have got some of them, and an answer that is lost says nothing.
        unsure = request.method == "POST" and not isinstance(problem, InputError | problems.NotAsked)
        wrong = problem if isinstance(problem, WrongFilter) and request.method == "GET" else None
        return render_template("problem.html", heading=heading, text=words, unsure=unsure, wrong=wrong), code
