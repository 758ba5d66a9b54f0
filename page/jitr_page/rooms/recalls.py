"""A recall: the devices of a list that are in already, looked for, shown, and cut off."""

from flask import Blueprint, redirect, render_template, url_for
from werkzeug.wrappers import Response

from jitr.errors import InputError
from jitr.text import counted
from jitr_operations.fleet.recalls import Recall, cut_off, look_again, recall_of_rows
from jitr_operations.lists.where import RowFilter
from jitr_page.forms import reason, require_sure
from jitr_page.jobs import JobResult
from jitr_page.recalls import ListRecall
from jitr_page.rooms.lists import way_back
from jitr_page.site import Site, site

room = Blueprint("recalls", __name__)


@room.post("/lists/<name>/recall")
def look(name: str) -> Response:
    """Look for the ACTIVE devices that are on a list; nothing is changed."""
    found = site()
    base = url_for("recalls.show", recall="x")[:-1]
    job = found.jobs.start(f"Look for the devices on list {name}", way_back(name), lambda: _look(found, name, base))
    return redirect(url_for("jobs.show", job_id=job.id), 303)


def _look(found: Site, name: str, base: str) -> JobResult:
    recall = recall_of_rows(found.deployment, name, RowFilter(()))
    told = counted(len(recall.devices), f"device of list {name} is in", f"devices of list {name} are in")
    return JobResult(told, then=base + found.recalls.keep(ListRecall(name, recall)))


@room.get("/recalls/<recall>")
def show(recall: str) -> str:
    """Show which devices would be cut off."""
    shown = _require(site().recalls.get(recall))
    misses = shown.recall.misses
    remarks = [] if misses is None else misses.lines(f"list {shown.list_name}")
    return render_template("recall.html", id=recall, list_name=shown.list_name, recall=shown.recall, remarks=remarks)


@room.post("/recalls/<recall>/do")
def do(recall: str) -> Response:
    """Make the devices INACTIVE that were shown."""
    found, why = site(), reason()
    require_sure(("they are cut off",))
    shown = _require(found.recalls.take(recall))
    title = f"Cut off {counted(len(shown.recall.devices), 'device')}"
    job = found.jobs.start(title, way_back(shown.list_name), lambda: _cut_off(found, shown.recall, why))
    return redirect(url_for("jobs.show", job_id=job.id), 303)


def _cut_off(found: Site, recall: Recall, why: str) -> JobResult:
    active, others = look_again(found.deployment, recall)
    failed = [f"{each[:12]} is {by_now} by now, and was left as it is" for each, by_now in others.items()]
    under_way = cut_off(found.deployment, active, lambda _id: None, why=why)
    failed += [f"{each[:12]} is still being decided: look again in a minute" for each in under_way]
    return JobResult(f"Made {len(active.devices)} of {counted(len(recall.devices), 'device')} INACTIVE", failed)


def _require(recall: ListRecall | None) -> ListRecall:
    if recall is None:
        raise InputError("this was done already, or is kept no more: look for the devices again")
    return recall
