"""Roll-overs: which CA follows another, how far its devices have come, who is missing, and the end of it."""

import re

from flask import Blueprint, Response, redirect, render_template, request, send_file, url_for
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response as AnyResponse

from jitr.errors import InputError
from jitr.rules.model import Rules
from jitr.times import rfc3339, span
from jitr_operations.cas import succession
from jitr_operations.cas.overview import registered_cas
from jitr_operations.cas.registry import RegisteredCa, require
from jitr_operations.cas.succession import CaPair
from jitr_operations.fleet.matching import DeviceKind
from jitr_operations.fleet.rollover import FIRST, rollover
from jitr_operations.table import now
from jitr_page import counting
from jitr_page.forms import reason, require_sure
from jitr_page.jobs import WayBack
from jitr_page.plots import plot_of
from jitr_page.rollovers import CountedRollover
from jitr_page.site import Site, rules_in_force, site

room = Blueprint("rollovers", __name__)

_ID = re.compile("[0-9a-f]{64}")
_BAR, _GAP = 40, 16  # of a plot's week
_COUNT_FIRST = "its devices were not counted here yet, or that is kept no more: count them"


@room.get("/cas/<old>/rollover")
def choose(old: str) -> str:
    """Show the CAs that can follow one, the likeliest first."""
    ca, registered = _ca(old), list(registered_cas(site().deployment.client("iot")))
    found = succession.candidates(_rules(), ca, registered)
    others = len(registered) - 1 - len(found)
    return render_template("rollover_choose.html", ca=ca, candidates=found, others=others)


@room.get("/cas/<old>/rollover/<new>")
def show(old: str, new: str) -> str:
    """Show how far a roll-over has come, as it was counted last."""
    pair = _pair(old, new)
    counted = site().rollovers.get(pair)
    return render_template(
        "rollover.html",
        pair=pair,
        renews=succession.renewing(_rules(), old, new),
        counted=counted,
        kinds=DeviceKind,
        under_way=site().jobs.under_way_for(_address(pair)),
        **({} if counted is None else _of_count(counted)),
    )


def _of_count(counted: CountedRollover) -> dict[str, object]:
    """Return when it was counted, and the plot of how many came each week."""
    found = counted.found
    weeks = {f"in the week from {day}": came for day, came in found.pace.weeks.items()}
    return {
        "counted_at": rfc3339(found.at),
        "age": span(now() - found.at),
        "plot": plot_of(weeks, _BAR, _GAP),
        "first": FIRST,
    }


@room.post("/cas/<old>/rollover/<new>/count")
def count(old: str, new: str) -> AnyResponse:
    """Count who has come: a job, as it goes through both CAs' certificates and every decision. Nothing is changed."""
    found, pair = site(), _pair(old, new)
    title = f"Count who has come from {pair.old.words} to {pair.new.words}"
    return counting.count_for(WayBack("the roll-over", _address(pair)), title, lambda: _count(found, pair))


def _count(found: Site, pair: CaPair) -> None:
    with rollover(found.deployment, pair, now()) as counted:
        found.rollovers.keep(counted)


@room.get("/cas/<old>/rollover/<new>/<kind>.csv")
def devices(old: str, new: str, kind: str) -> Response:
    """Send the devices of a kind, as they were counted last, as a device list."""
    if kind not in list(DeviceKind):
        raise NotFound
    counted = _require_counted(_pair(old, new))
    try:
        return send_file(
            counted.list_of(DeviceKind(kind)), mimetype="text/csv", as_attachment=True, download_name=f"{kind}.csv"
        )
    except FileNotFoundError:  # counted again since
        raise InputError("it was counted again just now: look at it, and choose again") from None


@room.post("/cas/<old>/rollover/<new>/finish")
def finish(old: str, new: str) -> AnyResponse:
    """Make the old CA INACTIVE, as it and its devices were shown."""
    why, pair = reason(), _pair(old, new)
    require_sure(("no new device of it is registered then",))
    if rfc3339(_require_counted(pair).found.at) != request.form.get("counted"):
        raise InputError("its devices were counted again after they were shown: look at them, and choose again")
    if pair.old.ca.status != request.form.get("status"):
        raise InputError(f"the CA is {pair.old.ca.status} by now: look at it, and choose again")
    succession.finish(site().deployment, pair, why)
    return redirect(url_for("rollovers.show", old=old, new=new, done="finished"), 303)


def _require_counted(pair: CaPair) -> CountedRollover:
    counted = site().rollovers.get(pair)
    if counted is None:
        raise InputError(_COUNT_FIRST)
    return counted


def _address(pair: CaPair) -> str:
    return url_for("rollovers.show", old=pair.old.ca.id, new=pair.new.ca.id)


def _pair(old: str, new: str) -> CaPair:
    return succession.paired(_rules(), _ca(old), _ca(new))


def _rules() -> Rules:
    return rules_in_force() or Rules("")


def _ca(ca_id: str) -> RegisteredCa:
    """Return a CA by its whole id. Raises InputError where none of that id is registered."""
    if not _ID.fullmatch(ca_id):
        raise NotFound
    return require(site().deployment.client("iot"), ca_id)
