"""A recall: the devices of a list that are in already, looked for, shown, and cut off."""

from flask import Blueprint, redirect, render_template, url_for
from werkzeug.wrappers import Response

from jitr.errors import InputError
from jitr.services.lists.device_lists import DeviceLists
from jitr.text import counted
from jitr_operations import telling
from jitr_operations.devices import status
from jitr_operations.devices.by_hand import Hand
from jitr_operations.devices.recall import find_on_list
from jitr_operations.devices.recall_misses import ListComparison, find_misses
from jitr_operations.devices.registry import Registry
from jitr_operations.lists.where import ChosenRows, RowFilter
from jitr_operations.table import now
from jitr_page.forms import reason, require_sure
from jitr_page.jobs import JobResult
from jitr_page.recalls import Recall
from jitr_page.site import Site, site

room = Blueprint("recalls", __name__)


@room.post("/lists/<name>/recall")
def look(name: str) -> Response:
    """Look for the ACTIVE devices that are on a list; nothing is changed."""
    found, back = site(), url_for("lists.show", name=name)
    base = url_for("recalls.show", recall="x")[:-1]
    job = found.jobs.start(f"Look for the devices on list {name}", back, lambda: _look(found, name, base))
    return redirect(url_for("jobs.show", job_id=job.id), 303)


def _look(found: Site, name: str, base: str) -> JobResult:
    rows = ChosenRows(DeviceLists(found.table), name, RowFilter(()))
    at, compared = now(), ListComparison()
    matches, under_way = find_on_list(found.deployment, Registry(found.deployment.client("iot")), rows, at, compared)
    remarks = find_misses(rows, at, compared).lines(str(rows))
    recall = found.recalls.keep(Recall(name, tuple(matches), tuple(under_way), tuple(remarks)))
    return JobResult(
        f"{counted(len(matches), 'device')} of list {name} {'is' if len(matches) == 1 else 'are'} in",
        then=base + recall,
    )


@room.get("/recalls/<recall>")
def show(recall: str) -> str:
    """Show which devices would be cut off."""
    return render_template("recall.html", id=recall, recall=_require(site().recalls.get(recall)))


@room.post("/recalls/<recall>/do")
def do(recall: str) -> Response:
    """Make the devices INACTIVE that were shown."""
    found, why = site(), reason()
    require_sure(("they are cut off",))
    shown = _require(found.recalls.take(recall))
    back = url_for("lists.show", name=shown.list_name)
    job = found.jobs.start(f"Cut off {counted(len(shown.found), 'device')}", back, lambda: _cut_off(found, shown, why))
    return redirect(url_for("jobs.show", job_id=job.id), 303)


def _cut_off(found: Site, shown: Recall, why: str) -> JobResult:
    registry, failed = Registry(found.deployment.client("iot")), list[str]()
    active: dict[str, str] = {}
    with telling.progress("Looking at them once more", len(shown.found)) as advance:
        for each in shown.found:
            certificate = registry.get(each.certificate_id)
            if certificate is not None and certificate.status == "ACTIVE":
                active[certificate.id] = certificate.status
            else:
                by_now = "gone" if certificate is None else certificate.status
                failed.append(f"{each.certificate_id[:12]} is {by_now} by now, and was left as it is")
            advance(1)
    under_way = status.deactivate(registry, active, Hand(found.deployment, found.table), found.table, lambda _id: why)
    failed += [f"{each[:12]} is still being decided: look again in a minute" for each in under_way]
    return JobResult(
        f"Made {len(active)} of {counted(len(shown.found), 'device')} INACTIVE",
        failed,
    )


def _require(recall: Recall | None) -> Recall:
    if recall is None:
        raise InputError("this was done already, or is kept no more: look for the devices again")
    return recall
