"""Plots of counts over time, as bars."""

from collections.abc import Mapping
from dataclasses import dataclass

_HEIGHT, _LEAST = 60, 2  # of the tallest bar, and of the least that is not nothing


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar. ``label`` is what its count is of."""

    x: int
    y: int
    height: int
    count: int
    label: str


@dataclass(frozen=True, slots=True)
class BarPlot:
    """Bars of one ``bar_width`` side by side, the tallest of them of the whole height."""

    bars: tuple[Bar, ...]
    bar_width: int
    width: int
    height: int = _HEIGHT


def plot_of(counts: Mapping[str, int], bar_width: int, gap: int) -> BarPlot:
    """Return a plot of counts by their labels, in their order."""
    most = max(counts.values(), default=0) or 1
    bars = []
    for place, (label, count) in enumerate(counts.items()):
        height = 0 if count == 0 else max(_LEAST, round(_HEIGHT * count / most))
        bars.append(Bar(place * (bar_width + gap), _HEIGHT - height, height, count, label))
    return BarPlot(tuple(bars), bar_width, len(bars) * (bar_width + gap))
