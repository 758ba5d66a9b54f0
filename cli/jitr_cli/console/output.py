"""What commands print: one document or human text on standard output, everything else on standard error.

With ``--json`` standard output holds exactly one JSON document, or nothing if the command failed. Progress, warnings
and errors are plain text on standard error, with and without ``--json``; the exit code says of which kind an error is.
Text that comes from certificates, lists or AWS passes through ``safe`` before it reaches a terminal.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, TypeVar

import click

from jitr.errors import InputError
from jitr.times import rfc3339
from jitr.unseen import written_out

if TYPE_CHECKING:
    from rich.progress import Progress

F = TypeVar("F", bound=Callable[..., Any])

_bars: list["Progress"] = []  # on the screen now


def safe(text: str, *, lines: bool = False) -> str:
    """Write out every character that could deceive or steer a terminal, as ``\\x1b`` or ``\\u202e``.

    ``lines`` keeps line feeds and tabs, for text of our own that runs over several lines.
    """
    return written_out(text, keep="\n\t" if lines else "")


def json_option(command: F) -> F:
    """Add the option ``--json``, as the parameter ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")(command)


def emit(as_json: bool, document: Any, human: str | Callable[[], None]) -> None:
    """Print a command's result: ``document`` as JSON, or ``human``, a text or what prints it.

    Times become RFC 3339, paths and other values text. JSON is pure ASCII, so it cannot steer a terminal.
    """
    if as_json:
        click.echo(as_text(document))
    elif callable(human):
        human()
    elif human:
        click.echo(safe(human, lines=True))


def as_text(document: Any) -> str:
    """Return a document as JSON, in pure ASCII."""
    return json.dumps(document, indent=2, default=_json_value).replace("\x7f", "\\u007f")


def _json_value(value: Any) -> Any:
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def note(text: str) -> None:
    """Print a line for the person to standard error, not part of the result."""
    click.echo(safe(text, lines=True), err=True)


def warn(text: str) -> None:
    """Print a warning to standard error: nothing failed, but somebody may regret it."""
    _labelled("warning", "yellow", text)


def error(text: str) -> None:
    """Print an error to standard error; the caller also sets the exit code."""
    _labelled("error", "red", text)


def _labelled(label: str, colour: str, text: str) -> None:
    shown = click.style(f"{label}:", fg=colour, bold=True) if _coloured(sys.stderr) else f"{label}:"
    click.echo(f"{shown} {safe(text, lines=True)}", err=True)


def colour(text: str, name: str) -> str:
    """Colour the text for standard output, where colours are available. The caller made it safe."""
    return click.style(text, fg=name, bold=True) if _coloured(sys.stdout) else text


def _coloured(stream: Any) -> bool:
    """Return whether to colour: on a terminal, unless NO_COLOR is set to anything. https://no-color.org"""
    return bool(stream.isatty()) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table to standard output: drawn on a terminal, else aligned columns with a heading. Empty: nothing.

    Cells that are times are RFC 3339; None is an empty cell.
    """
    cells = [[_cell(value) for value in row] for row in rows]
    if sys.stdout.isatty():
        _drawn(columns, cells)
        return
    lines = [list(columns), *cells] if cells else []
    widths = [max(len(line[place]) for line in lines) for place in range(len(columns))] if lines else []
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _cell(value: object) -> str:
    if value is None:
        return ""
    return safe(rfc3339(value) if isinstance(value, datetime) else str(value))


def _drawn(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not cells:
        return
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        drawn.add_column(column, overflow="fold")
    for row in cells:
        drawn.add_row(*(Text(cell) for cell in row))  # Text: no markup is read from a cell
    Console(file=sys.stdout, no_color=not _coloured(sys.stdout), highlight=False).print(drawn)


def pairs(values: Sequence[tuple[str, object]]) -> None:
    """Print names and values below each other on standard output, the values aligned."""
    width = max((len(name) for name, _ in values), default=0)
    for name, value in values:
        click.echo(f"{name.ljust(width)}  {_cell(value)}".rstrip())


@contextmanager
def progress(description: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on standard error while the block runs, on a terminal only; call the result to advance.

    Without ``total``, a count in place of a bar.
    """
    if not sys.stderr.isatty():
        yield lambda _count: None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TextColumn("{task.completed:,.0f}"))
    shown = Progress.get_default_columns() if total is not None else (*columns, TimeElapsedColumn())
    console = Console(file=sys.stderr, no_color=not _coloured(sys.stderr))
    with Progress(*shown, console=console, transient=True) as bar:
        task = bar.add_task(description, total=total)
        _bars.append(bar)
        try:
            yield lambda count: bar.advance(task, count)
        finally:
            _bars.remove(bar)


@contextmanager
def _without_bars() -> Iterator[None]:
    """Take progress bars off the screen while the block runs: they are drawn over whatever else stands there."""
    for bar in _bars:
        bar.stop()
    try:
        yield
    finally:
        for bar in _bars:
            bar.start()


def confirm(question: str, yes: bool) -> None:
    """Go on only if ``yes`` was given or a person agrees on the terminal; a refusal ends the command with exit code 1.

    Where there is nobody to ask, the question is shown, and InputError raised (exit code 2).
    """
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        note(question)
        raise InputError("there is no terminal to ask this on: --yes answers it")
    with _without_bars():
        agreed = click.confirm(safe(question, lines=True), default=False, err=True)
    if not agreed:
        note("Nothing was changed.")
        raise click.exceptions.Exit(1)


def ask(question: str | None, yes: bool) -> None:
    """Confirm where there is a question, as ``confirm`` does."""
    if question is not None:
        confirm(question, yes)


class TerminalListener:
    """Whoever sits at the terminal, as the listener of operations."""

    def note(self, text: str) -> None:
        """Print a line on standard error."""
        note(text)

    def warn(self, text: str) -> None:
        """Print a warning on standard error."""
        warn(text)

    def progress(self, description: str, total: int | None) -> AbstractContextManager[Callable[[int], None]]:
        """Show a progress bar on standard error while a block runs, on a terminal only."""
        return progress(description, total)

    def secret(self, question: str) -> str | None:
        """Ask without showing the answer; None where there is no terminal."""
        if not sys.stdin.isatty():
            return None
        answer: str = click.prompt(question, hide_input=True, err=True)
        return answer
