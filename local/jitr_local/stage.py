"""How the demo looks: a live table on a terminal, plain lines elsewhere, and the end of each device."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.live import Live
from rich.table import Table

from jitr_local.cast import ADMITTED
from jitr_local.demo import Ending, summary, unexpected
from jitr_local.device import Fate

_COLOURS = {"admit": "green", "hold": "yellow", "reject": "red", "none": "dim"}


class Stage(Protocol):
    """The display of a running demo."""

    def tell(self, endings: list[Ending]) -> None:
        """Return how it stands with each device now."""
        ...

    def say(self, line: str) -> None:
        """Show a line of what is being done."""
        ...


@contextmanager
def stage() -> Iterator[Stage]:
    """Return the stage for where standard output goes."""
    console = Console()
    if not console.is_terminal:
        yield _Lines()
        return
    with Live(console=console, refresh_per_second=4, transient=True) as live:
        yield _LiveTable(console, live)


class _Lines:
    """One line for each change of a device."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[str, str]] = {}

    def say(self, line: str) -> None:
        click.echo(line)

    def tell(self, endings: list[Ending]) -> None:
        for each in endings:
            now = (each.decision, each.fate.value)
            if self._told.get(each.name, ("none", Fate.KNOCKING.value)) != now:
                self._told[each.name] = now
                click.echo(f"{each.name} ({each.role.what}): {_in_words(each)}")


class _LiveTable:
    """A table that changes as devices get on."""

    def __init__(self, console: Console, live: Live) -> None:
        self._console = console
        self._live = live

    def say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False)

    def tell(self, endings: list[Ending]) -> None:
        self._live.update(_table(endings, shorten=True))


def show(endings: list[Ending]) -> None:
    """Print what became of each device and why, and the times."""
    console = Console()
    wrong = unexpected(endings)
    if console.is_terminal:
        console.print(_table(endings, shorten=len(endings) > 60))
    else:
        for each in endings:
            ended = f"{_in_words(each)} after {each.role.device.attempts} attempts"
            click.echo(f"{each.name} ({each.role.what}): {ended}: {each.why}")
    click.echo(summary(endings))
    for each in wrong:
        expected = each.role.expected
        decision = "no decision" if expected.decision is None else expected.decision.value
        click.echo(
            f"UNEXPECTED: {each.name} ended {_in_words(each)}; "
            f"it should have been {decision}, {expected.fate.value} ({expected.reason or 'never an event'})"
        )
    if not wrong:
        click.echo(f"All {len(endings)} devices ended as they should.")


def _in_words(ending: Ending) -> str:
    decision = "no decision" if ending.record is None else ending.decision
    return f"{decision}, {ending.fate.value}"


def _table(endings: list[Ending], *, shorten: bool) -> Table:
    """All devices in a row each; with ``shorten`` those of the first group in one row together."""
    table = Table("device", "what it is", "attempts", "decision", "fate", "why", box=SIMPLE_HEAD, pad_edge=False)
    fleet = [each for each in endings if each.role.expected is ADMITTED]
    if shorten:
        counts = Counter(each.decision for each in fleet)
        told = ", ".join(f"{count} {decision}" for decision, count in sorted(counts.items()))
        attempts = sum(each.role.device.attempts for each in fleet)
        done = sum(each.as_expected for each in fleet)
        table.add_row("lines a and b", f"{len(fleet)} devices", str(attempts), told, f"{done} published", "")
    for each in endings:
        if not (shorten and each.role.expected is ADMITTED):
            decision = f"[{_COLOURS[each.decision]}]{each.decision}[/]"
            device = each.role.device
            table.add_row(each.name, each.role.what, str(device.attempts), decision, each.fate.value, _plain(each.why))
    return table


def _plain(text: str) -> str:
    return text.replace("[", r"\[")
