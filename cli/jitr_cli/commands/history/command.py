"""``jitr history``: what operators changed, who, when and why."""

from datetime import datetime

import click

from jitr.records.history import HistoryEntry, HistoryKind
from jitr_cli.console.options import AT_MOST, stack_options
from jitr_cli.console.output import emit, json_option, note, safe
from jitr_cli.console.since import require_order, since_of, until_of
from jitr_operations.deployment import Choice
from jitr_operations.history import reading
from jitr_operations.history.reading import HistoryFilter
from jitr_operations.table import table_of


@click.command("history")
@since_of("changes")
@until_of("changes")
@click.option("--by", metavar="WHO", help="Only changes by users whose ARN or name contains this.")
@click.option("--kind", type=click.Choice([each.value for each in HistoryKind]), help="Only changes of these.")
@click.option("--device", metavar="DEVICE", help="Only those about this device.")
@click.option("--limit", default=100, show_default=True, type=AT_MOST, help="At most so many.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV for spreadsheets on standard output.")
@stack_options
@json_option
def history(
    since: datetime | None,
    until: datetime | None,
    by: str | None,
    kind: str | None,
    device: str | None,
    limit: int,
    as_csv: bool,
    choice: Choice,
    as_json: bool,
) -> None:
    """Show what operators changed, the newest first: who, when, with what, why, before and after, how it ended.

    Shows changes by commands, on the page and by uploads to the bucket, refused ones as well: rules, lists, signers,
    devices, CAs, failures. A change that was interrupted is shown as begun.

    DEVICE is a certificateId, also of a deleted device; else its first 8 digits or more, a thing's name, the common
    name of a device on hold, or the device's certificate file.

    \b
    Examples:
      jitr history --since 7d
      jitr history --kind device --by deniz
      jitr history --device 3f9c0c6f
      jitr history --since 2026-01-01 --limit 100000 --csv >changes.csv
    """
    if as_csv and as_json:
        raise click.UsageError("--csv and --json exclude each other.")
    require_order(since, until)
    deployment = choice.deployment()
    table = table_of(deployment)
    certificate_id = None if device is None else reading.device_meant(deployment, table, device)
    wanted = HistoryFilter(since, until, by, None if kind is None else HistoryKind(kind), certificate_id)
    found = reading.latest(table, wanted, limit)
    if as_csv:
        for line in reading.as_csv(found):
            click.echo(line, nl=False)
    else:
        emit(as_json, [each.to_json() for each in found], lambda: _show(found))
    if len(found) == limit:
        note(f"These are the newest {limit}; --limit shows more.")


def _show(found: list[HistoryEntry]) -> None:
    if not found:
        note("Nothing is written in the history that fits.")
    for place, each in enumerate(found):
        if place:
            click.echo()
        click.echo(f"{each.at[:19]}Z  {safe(each.command)}")
        for name, text in _lines(each):
            click.echo(f"  {name:<7} {safe(text)}")


def _lines(entry: HistoryEntry) -> list[tuple[str, str]]:
    tool = f"{entry.by}, with the {entry.tool} of jitr {entry.version}"
    lines = [
        ("by", tool),
        ("why", entry.why or ""),
        ("changed", reading.changed(entry)),
        ("ended", reading.ended(entry)),
    ]
    return [(name, text) for name, text in lines if text]
