"""Today: what needs attention first, what became of devices lately, and what waits."""

from flask import Blueprint, render_template

from jitr.reasons import Verdict
from jitr_operations.status.lately import Lately, lately
from jitr_operations.status.newest import Newest
from jitr_operations.status.overview import overview
from jitr_operations.table import now
from jitr_page.plots import plot_of
from jitr_page.site import site

room = Blueprint("today", __name__)

_WORDS = {Verdict.ADMIT: "admitted", Verdict.HOLD: "held", Verdict.REJECT: "rejected"}
_WIDTH, _GAP = 22, 4  # of a plot's bar


@room.get("/")
def show() -> str:
    """Show the state of the deployment."""
    found = site()
    newest = Newest(found.table)
    document, recent = overview(found.deployment, newest), lately(newest, now())
    return render_template(
        "today.html",
        document=document,
        words={verdict.value: word for verdict, word in _WORDS.items()},
        plots=[_plot(recent, verdict) for verdict in Verdict],
        recent=recent,
        median=recent.quantile(0.5),
        ninety=recent.quantile(0.9),
    )


def _plot(recent: Lately, verdict: Verdict) -> dict[str, object]:
    """Return a plot of one verdict's decisions by the hour, and what a reader of a screen is told of it."""
    counts = recent.counts[verdict]
    hours = {f"from {(recent.begin.hour + place) % 24:02d}:00 UTC": each for place, each in enumerate(counts)}
    return {
        "verdict": verdict.value,
        "word": _WORDS[verdict],
        "total": sum(counts),
        "cut": verdict in recent.cut,
        "most": max(counts),
        "bars": plot_of(hours, _WIDTH, _GAP),
    }
