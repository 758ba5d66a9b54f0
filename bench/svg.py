"""Plots as SVG: axes, curves, a legend, and nothing that a reader's browser would have to fetch."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

_WIDTH, _HEIGHT = 720, 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 200, 40, 50
# Okabe and Ito: told apart by readers who do not tell red from green.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999")
_MOST_POINTS = 240


@dataclass(frozen=True, slots=True)
class _Axis:
    low: float
    high: float
    log: bool
    start: float
    end: float

    def at(self, value: float) -> float:
        low, high, value = (math.log10(each) if self.log else each for each in (self.low, self.high, value))
        return self.start + (self.end - self.start) * (value - low) / ((high - low) or 1)

    def ticks(self) -> Iterator[float]:
        if self.log:
            yield from (10.0**each for each in range(round(math.log10(self.low)), round(math.log10(self.high)) + 1))
            return
        step = _step(self.high - self.low)
        value = math.ceil(self.low / step) * step
        while value <= self.high * 1.0001:
            yield value
            value += step


def draw(plot: Mapping[str, Any]) -> str:
    """A plot as kept in the results."""
    lines = [(each["name"], _thinned([tuple(point) for point in each["points"]])) for each in plot["lines"]]
    across = _axis([x for _, points in lines for x, _ in points], plot["log_x"], _LEFT, _WIDTH - _RIGHT)
    upward = _axis([y for _, points in lines for _, y in points], plot["log_y"], _HEIGHT - _BOTTOM, _TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
        'font-size="12" fill="#222">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
        _text(_LEFT, 22, plot["title"], "start", bold=True),
        _text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 10, plot["x"], "middle"),
        f'<g transform="rotate(-90)">{_text(-(_TOP + _HEIGHT - _BOTTOM) / 2, 16, plot["y"], "middle")}</g>',
        *_grid(across, upward),
        *(_curve(across, upward, points, _COLOURS[place % 8]) for place, (_, points) in enumerate(lines)),
        *_legend([name for name, _ in lines]),
        "</svg>\n",
    ]
    return "\n".join(parts)


def _axis(values: Sequence[float], log: bool, start: float, end: float) -> _Axis:
    if log:
        low, high = 10.0 ** math.floor(math.log10(min(values))), 10.0 ** math.ceil(math.log10(max(values)))
        return _Axis(low, high if high > low else low * 10, log, start, end)
    return _Axis(min(0.0, *values), max(*values, 1e-9), log, start, end)


def _step(size: float) -> float:
    rough = size / 6
    power = 10.0 ** math.floor(math.log10(rough))
    return power * next(each for each in (1, 2, 5, 10) if each * power >= rough)


def _grid(across: _Axis, upward: _Axis) -> Iterator[str]:
    for value in across.ticks():
        x = across.at(value)
        yield f'<path d="M{x:.1f} {_TOP}V{_HEIGHT - _BOTTOM}" stroke="#ddd"/>'
        yield _text(x, _HEIGHT - _BOTTOM + 16, f"{value:,g}", "middle")
    for value in upward.ticks():
        y = upward.at(value)
        yield f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" stroke="#ddd"/>'
        yield _text(_LEFT - 6, y + 4, f"{value:,g}", "end")


def _curve(across: _Axis, upward: _Axis, points: Sequence[tuple[float, ...]], colour: str) -> str:
    path = " ".join(f"{across.at(x):.1f},{upward.at(y):.1f}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'


def _legend(names: Sequence[str]) -> Iterator[str]:
    for place, name in enumerate(names):
        y = _TOP + 10 + 18 * place
        x = _WIDTH - _RIGHT + 12
        yield f'<path d="M{x} {y}h18" stroke="{_COLOURS[place % 8]}" stroke-width="3"/>'
        yield _text(x + 24, y + 4, name, "start")


def _text(x: float, y: float, text: str, anchor: str, *, bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{weight}>{escape(text)}</text>'


def _thinned(points: list[tuple[float, ...]]) -> list[tuple[float, ...]]:
    step = max(1, len(points) // _MOST_POINTS)
    return points if step == 1 else [*points[::step], points[-1]]
