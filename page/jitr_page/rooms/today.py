"""Today: what needs attention first, what became of devices lately, and what waits."""

from flask import Blueprint, render_template

from jitr.reasons import Verdict
from jitr_operations.status.lately import Lately, lately
from jitr_operations.status.newest import Newest
from jitr_operations.status.overview import overview
from jitr_operations.table import now
from jitr_page.site import site

room = Blueprint("today", __name__)

_WORDS = {Verdict.ADMIT: "admitted", Verdict.HOLD: "held", Verdict.REJECT: "rejected"}
_WIDTH, _HEIGHT, _GAP = 22, 60, 4  # of a plot's bar


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
    """Return a plot of one verdict's decisions by the hour: bars, and what a reader of a screen is told."""
    counts = recent.counts[verdict]
    most = max(counts) or 1
    bars = [
        {
            "x": place * (_WIDTH + _GAP),
            "y": _HEIGHT - _tall(each, most),
            "height": _tall(each, most),
            "hour": (recent.begin.hour + place) % 24,
            "count": each,
        }
        for place, each in enumerate(counts)
    ]
    return {
        "verdict": verdict.value,
        "word": _WORDS[verdict],
        "total": sum(counts),
        "cut": verdict in recent.cut,
        "most": max(counts),
        "bars": bars,
        "bar": _WIDTH,
        "width": len(counts) * (_WIDTH + _GAP),
        "height": _HEIGHT,
    }


def _tall(number: int, most: int) -> int:
    return 0 if number == 0 else max(2, round(_HEIGHT * number / most))
