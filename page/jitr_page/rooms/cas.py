"""Certificate authorities: how they stand, what ends soon, and what follows from turning one off."""

import re

from flask import Blueprint, redirect, render_template, request, url_for
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response

from jitr.errors import InputError
from jitr_operations import telling
from jitr_operations.cas import status
from jitr_operations.cas.aliases import named_in
from jitr_operations.cas.checks import examine
from jitr_operations.cas.registry import RegisteredCa, all_ca_ids, described, devices_by_status
from jitr_operations.table import now
from jitr_page.site import rules_in_force, site

room = Blueprint("cas", __name__)

_ID = re.compile("[0-9a-f]{64}")
_SOON = 60  # days in which a CA's end is worth a thought: its successor takes weeks


@room.get("/cas")
def show_all() -> str:
    """Show the CAs that are registered, those that end first in front."""
    iot = site().deployment.client("iot")
    found = [ca for each in all_ca_ids(iot) if (ca := described(iot, each)) is not None]
    rules = rules_in_force()
    rows = [(ca, _days(ca), named_in(rules, ca.id) if rules else None) for ca in found]
    rows.sort(key=lambda row: (row[1] is None, row[1]))
    return render_template("cas.html", rows=rows, soon=_SOON)


def _days(ca: RegisteredCa) -> int | None:
    return None if ca.certificate is None else (ca.certificate.not_after - now()).days


@room.get("/cas/<ca_id>")
def show(ca_id: str) -> str:
    """Show one CA; its devices are counted when that is asked for, as AWS IoT lists them 250 at a time."""
    ca, rules = _require(ca_id), rules_in_force()
    counts = None
    if "count" in request.args:
        counts = devices_by_status(site().deployment.client("iot"), ca.id, lambda _count: None)
    if request.args.get("done") == "registered" and ca.certificate is not None:
        for warning in examine(ca.certificate, now())[1]:  # those of its registration went with the redirection
            telling.warn(warning)
    return render_template(
        "ca.html",
        ca=ca,
        days=_days(ca),
        counts=counts,
        named=named_in(rules, ca.id) if rules else None,
    )


@room.post("/cas/<ca_id>/<what>")
def change(ca_id: str, what: str) -> Response:
    """Make a CA ACTIVE or INACTIVE, as it was shown."""
    changes = {"activate": status.activate, "deactivate": status.deactivate}
    if what not in changes:
        raise NotFound
    ca = _require(ca_id)
    if ca.status != request.form.get("status"):
        raise InputError(f"the CA is {ca.status} by now: look at it, and choose again")
    changes[what](site().deployment, ca)
    return redirect(url_for("cas.show", ca_id=ca.id, done=what), 303)


def _require(ca_id: str) -> RegisteredCa:
    ca = described(site().deployment.client("iot"), ca_id) if _ID.fullmatch(ca_id) else None
    if ca is None:
        raise NotFound
    return ca
