"""``jitr held ls``: the devices that knock and are not let in yet."""

from collections.abc import Callable
from datetime import datetime

import click

from jitr.records.record import Record, common_name
from jitr.times import rfc3339
from jitr_cli.console import completion
from jitr_cli.console.filters import ca_option, reason_option
from jitr_cli.console.options import AT_MOST, stack_options
from jitr_cli.console.output import emit, json_option, note, table
from jitr_cli.console.since import since_option
from jitr_operations.decisions.basis import basis_of
from jitr_operations.decisions.held_listing import document, held_devices, why
from jitr_operations.decisions.knocking import how_often
from jitr_operations.deployment import Choice
from jitr_operations.table import table_of


@click.command("ls")
@reason_option("Only those held for this reason code.")
@ca_option
@click.option(
    "--rule", metavar="NAME", shell_complete=completion.rule_names, help="Only those that this rule nearly let in."
)
@since_option
@click.option("--limit", default=100, show_default=True, type=AT_MOST, help="At most so many.")
@stack_options
@json_option
def ls(
    reason: str | None,
    ca: str | None,
    rule: str | None,
    since: datetime | None,
    limit: int,
    choice: Choice,
    as_json: bool,
) -> None:
    """Show held devices, the newest first: which, since when, when they are due, about how often they knock, and why.

    Reasons are those on record. If rules or lists were edited since without letting the device in, the version that the
    reasons come from is shown; `jitr explain` has today's.

    \b
    Examples:
      jitr held ls
      jitr held ls --rule line-a-sensors --ca factory-a --since 24h
      jitr held ls --reason allow.unmatched --json
    """
    deployed = table_of(choice.deployment())
    found = held_devices(deployed, reason=reason, ca=ca, rule=rule, since=since, limit=limit)
    basis = basis_of(deployed)
    emit(as_json, [document(each, basis(each)) for each in found], lambda: _show(found, basis))
    if len(found) == limit:
        note(f"These are the newest {limit}; --limit shows more.")


def _show(records: list[Record], basis: Callable[[Record], str | None]) -> None:
    if not records:
        note("No device is on hold.")
        return
    rows = [
        (
            each.certificate_id[:12],
            common_name(each),
            rfc3339(each.since),
            "" if each.due is None else rfc3339(each.due),
            how_often(each),
            why(each) + (f" ({old})" if (old := basis(each)) else ""),
        )
        for each in records
    ]
    table(("certificate", "common name", "since", "due", "knocks", "why"), rows)
