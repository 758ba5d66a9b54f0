"""``jitr fleet export``: devices on record, as a file for other tools."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import click

from jitr.reasons import Verdict
from jitr.text import counted
from jitr.unseen import quote
from jitr_cli.console import completion
from jitr_cli.console.filters import ca_option
from jitr_cli.console.options import FILE, stack_options
from jitr_cli.console.output import emit, json_option, progress
from jitr_cli.console.since import since_option
from jitr_operations.deployment import Choice
from jitr_operations.files import staged
from jitr_operations.fleet.export import FORMATS, DeviceRow, device_rows
from jitr_operations.table import table_of


@click.command("export")
@click.argument("file", type=FILE)
@click.option("--format", "kind", type=click.Choice(list(FORMATS)), help="Of FILE; without, what its name ends in.")
@click.option("--decision", type=click.Choice([each.value for each in Verdict]), help="Only these.")
@click.option("--rule", metavar="NAME", shell_complete=completion.rule_names, help="Only those that rest on this rule.")
@ca_option
@since_option
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@stack_options
@json_option
def command(
    file: Path,
    kind: str | None,
    decision: str | None,
    rule: str | None,
    ca: str | None,
    since: datetime | None,
    force: bool,
    choice: Choice,
    as_json: bool,
) -> None:
    """Write a row for each device on record to FILE: facts, decision, grant and dates, the newest decision first.

    CSV, or JSON with one object a line (jsonl). FILE is written while devices are read, whatever their number, and is
    there once it is whole. Spreadsheets show its cells as they are: none is run as a formula.

    \b
    Examples:
      jitr fleet export fleet.csv
      jitr fleet export admitted.jsonl --decision admit --ca factory-a
    """
    kind = kind or _named(file)
    verdicts = list(Verdict) if decision is None else [Verdict(decision)]
    count = 0
    rows = device_rows(table_of(choice.deployment()), verdicts=verdicts, ca=ca, rule=rule, since=since)
    with staged(file.parent, [file.name], force=force) as stage, progress("Exporting devices", None) as advance:

        def read() -> Iterator[DeviceRow]:
            nonlocal count
            for row in rows:
                count += 1
                advance(1)
                yield row

        stage.write_pieces(file.name, (each.encode() for each in FORMATS[kind](read())), private=True)
    emit(as_json, {"file": file, "format": kind, "rows": count}, f"Wrote {counted(count, 'certificate')} to {file}")


def _named(file: Path) -> str:
    """Return the format that a file's name ends in. Raises UsageError for a name of another format, or of none."""
    ending = file.suffix.removeprefix(".").lower()
    if ending not in FORMATS:
        ends = " nor in ".join(f".{each}" for each in FORMATS)
        raise click.UsageError(f"{quote(file.name)} ends neither in {ends}: say which with --format.")
    return ending
