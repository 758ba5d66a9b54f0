"""``jitr fleet last``: what the scheduled check found."""

from collections.abc import Iterable, Mapping
from typing import Any

import click

from jitr.fleet.acceptance import Acceptance
from jitr.fleet.tally import EXPIRING
from jitr.text import counted
from jitr.times import rfc3339
from jitr_cli.commands.fleet.check import WORDS
from jitr_cli.console import output
from jitr_cli.console.options import stack_options
from jitr_operations.deployment import Choice
from jitr_operations.fleet.scheduled import NO_CHECK, LastCheck, last_check

_WORDS = {each.value: words for each, words in WORDS.items()} | {EXPIRING: "with a certificate that ends soon"}


@click.command("last")
@stack_options
@output.json_option
def command(choice: Choice, as_json: bool) -> None:
    """Show what the last scheduled check of the fleet found, and what of it is accepted.

    With FleetCheck=daily or weekly, the stack decides all devices that are in again. This command does not call AWS
    IoT.

    \b
    Examples:
      jitr fleet last
      jitr fleet last --json
    """
    found = last_check(choice.deployment())
    output.emit(as_json, found.to_json(), lambda: _show(found))


def _show(found: LastCheck) -> None:
    if found.summary is None:
        click.echo(f"{NO_CHECK[0].upper()}{NO_CHECK[1:]}.")
        return
    summary = found.summary
    looked_at = counted(summary["looked_at"], "admitted certificate")
    rules = f"version {summary['rules_version']} of the rules"
    click.echo(f"{looked_at} checked, under {rules}, from {summary['started_at']} to {summary['finished_at']}")
    _show_counts(summary)
    if summary["left_alone"]:
        click.echo(f"  {summary['left_alone']:>7}  being decided at that moment, and left alone")
    if summary["failed"]:
        output.warn(f"{counted(summary['failed'], 'decision')} could not be made again: that is a bug")
    _show_accepted(found.accepted)
    for text in summary["not_looked_for"]:
        output.note(f"Not looked for: {text}.")
    if found.under_way is not None:
        output.note(f"A check that began {rfc3339(found.under_way)} is under way.")


def _show_counts(summary: Mapping[str, Any]) -> None:
    for kind, reasons in summary["counts"].items():
        for reason, count in sorted(reasons.items(), key=lambda each: -each[1]):
            of = "" if reason == kind else f": {output.safe(reason)}"
            click.echo(f"  {count:>7}  {_WORDS.get(kind, kind)}{of}")
        for each in summary["examples"].get(kind, ()):
            name = each["common_name"] or "(no common name)"
            output.note(f"             {each['certificate_id'][:12]}  {name}  {each['message']}")
    if not summary["counts"]:
        click.echo("Nothing was found.")


def _show_accepted(accepted: Iterable[Acceptance]) -> None:
    for each in accepted:
        why = f": {each.note}" if each.note else ""
        who = f"until {rfc3339(each.until)}, by {each.by}{why}"
        click.echo(output.safe(f"Accepted: {each.reason}, up to {counted(each.most, 'device')} {who}"))
