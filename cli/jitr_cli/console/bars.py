"""Counts drawn as bars, for people."""

from collections.abc import Mapping


def bar_lines(counts: Mapping[str, int], width: int = 40) -> list[str]:
    """Return a line for each name: the name, a bar where there is anything to count, and how many."""
    most = max(counts.values(), default=0)
    bars = {name: "█" * max(1, round(count * width / most)) + " " if count else "" for name, count in counts.items()}
    return [f"{name}  {bars[name]}{count}" for name, count in counts.items()]
