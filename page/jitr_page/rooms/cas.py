"""Certificate authorities: how they stand, what ends soon, and what follows from turning one off."""

import re

from flask import Blueprint, redirect, render_template, request, url_for
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response

from jitr.errors import InputError
from jitr.times import span
from jitr_operations import telling
from jitr_operations.cas import status, succession
from jitr_operations.cas.checks import examine
from jitr_operations.cas.overview import count_devices, overview_of, registered_cas
from jitr_operations.cas.registry import RegisteredCa, described
from jitr_operations.rules.starting import as_in_rules
from jitr_operations.table import now
from jitr_page import counting
from jitr_page.forms import reason
from jitr_page.jobs import WayBack
from jitr_page.site import CaCount, Site, rules_in_force, site

room = Blueprint("cas", __name__)

_ID = re.compile("[0-9a-f]{64}")
_SOON = 60  # days in which a CA's end is worth a thought: its successor takes weeks


@room.get("/cas")
def show_all() -> str:
    """Show the CAs that are registered, those that end first in front."""
    found = list(registered_cas(site().deployment.client("iot")))
    rules, time = rules_in_force(), now()
    shown = [overview_of(each, rules, time) for each in found]
    shown.sort(key=lambda each: (each.days_left is None, each.days_left))
    return render_template("cas.html", shown=shown, soon=_SOON)


@room.get("/cas/<ca_id>")
def show(ca_id: str) -> str:
    """Show one CA, with its devices as they were counted last."""
    ca, time = _require(ca_id), now()
    counted = site().ca_counts.get(ca.id)
    if request.args.get("done") == "registered" and ca.certificate is not None:
        for warning in examine(ca.certificate, now())[1]:  # those of its registration went with the redirection
            telling.warn(warning)
    rules, named = rules_in_force(), as_in_rules(ca)
    return render_template(
        "ca.html",
        ca=ca,
        alias=named.alias,
        line=named.line,
        shown=overview_of(ca, rules, time, None if counted is None else counted.devices),
        age=None if counted is None else span(time - counted.at),
        under_way=site().jobs.under_way_for(url_for("cas.show", ca_id=ca.id)),
        successors={} if rules is None else succession.successors_in(rules, ca.id),
        predecessors={} if rules is None else succession.predecessors_in(rules, ca.id),
    )


@room.post("/cas/<ca_id>/count")
def count(ca_id: str) -> Response:
    """Count the devices of a CA: a job, as AWS IoT lists them 250 at a time. Nothing is changed."""
    found, ca = site(), _require(ca_id)
    view = WayBack("the CA", url_for("cas.show", ca_id=ca.id))
    return counting.count_for(view, f"Count the devices of CA {ca.id[:12]}", lambda: _count(found, ca))


def _count(found: Site, ca: RegisteredCa) -> None:
    at = now()
    found.ca_counts[ca.id] = CaCount(count_devices(found.deployment.client("iot"), [ca])[ca.id], at)


@room.post("/cas/<ca_id>/<what>")
def change(ca_id: str, what: str) -> Response:
    """Make a CA ACTIVE or INACTIVE, as it was shown; the reason is kept in the history."""
    if what not in ("activate", "deactivate"):
        raise NotFound
    why, ca = reason(), _require(ca_id)
    if ca.status != request.form.get("status"):
        raise InputError(f"the CA is {ca.status} by now: look at it, and choose again")
    if what == "activate":
        status.activate(site().deployment, ca, why)
    else:
        status.deactivate(site().deployment, ca, why=why)
    return redirect(url_for("cas.show", ca_id=ca.id, done=what), 303)


def _require(ca_id: str) -> RegisteredCa:
    ca = described(site().deployment.client("iot"), ca_id) if _ID.fullmatch(ca_id) else None
    if ca is None:
        raise NotFound
    return ca
