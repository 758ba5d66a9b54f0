"""History: what operators changed, who, when and why."""

from flask import Blueprint, Response, render_template, request

from jitr.records.history import HistoryKind
from jitr.unseen import quote
from jitr_operations.history import reading
from jitr_operations.history.reading import HistoryFilter
from jitr_page import filtering
from jitr_page.site import site

room = Blueprint("history", __name__)

_MOST_EXPORTED = 10_000


@room.get("/history")
def show() -> str:
    """Show changes, the newest first."""
    given = _given()
    found = reading.page(site().table, _filter(given), after=request.args.get("after"))
    return render_template("history.html", page=found, given=given, kinds=list(HistoryKind), spans=filtering.SPANS)


@room.get("/history/export")
def export() -> Response:
    """Send the newest changes that the address asks for as CSV."""
    found = reading.latest(site().table, _filter(_given()), _MOST_EXPORTED)
    answer = Response("".join(reading.as_csv(found)), mimetype="text/csv")
    answer.headers["Content-Disposition"] = 'attachment; filename="history.csv"'
    return answer


def _given() -> dict[str, str | None]:
    return {name: request.args.get(name) or None for name in ("kind", "by", "device", "since")}


def _filter(given: dict[str, str | None]) -> HistoryFilter:
    """Return what the address asks for. Raises InputError for what cannot be a filter."""
    kind, device = given["kind"], given["device"]
    if kind is not None and kind not in list(HistoryKind):
        raise filtering.WrongFilter("kind", f"{quote(kind)} is no kind of change", values=list(HistoryKind))
    found = site()
    return HistoryFilter(
        since=filtering.since(given["since"]),
        by=given["by"],
        kind=None if kind is None else HistoryKind(kind),
        certificate_id=None if device is None else reading.device_meant(found.deployment, found.table, device),
    )
