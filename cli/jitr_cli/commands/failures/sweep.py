"""``jitr failures sweep``: certificates that are stuck pending because their event was lost."""

from datetime import timedelta

import click

from jitr.text import counted
from jitr_cli.console import completion
from jitr_cli.console.options import Amount, refuse_yes_without_questions, stack_options
from jitr_cli.console.output import confirm, emit, json_option, note, table
from jitr_operations.cas.registry import all_ca_ids
from jitr_operations.cas.which import find
from jitr_operations.deployment import Choice
from jitr_operations.failures.sweep import Sweep, Swept


@click.command("sweep")
@click.option(
    "--ca",
    "cas",
    multiple=True,
    metavar="CA",
    shell_complete=completion.ca_aliases,
    help="Only certificates of this CA: alias in the rules in force, caCertificateId, its first 8 digits, or its file; "
    "repeatable.",
)
@click.option(
    "--older-than",
    default=10.0,
    show_default=True,
    type=Amount(0, 5_000_000),
    metavar="MINUTES",
    help="Only certificates registered longer ago: the event of a younger one may be under way.",
)
@click.option("--pace", default=5.0, show_default=True, type=Amount(0.1, 1000), help="At most so many events a second.")
@click.option("--dry-run", is_flag=True, help="Only count and show them.")
@click.option("--restart", is_flag=True, help="Begin with the first page, whatever an earlier sweep got to.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@stack_options
@json_option
def sweep(
    cas: tuple[str, ...],
    older_than: float,
    pace: float,
    dry_run: bool,
    restart: bool,
    yes: bool,
    choice: Choice,
    as_json: bool,
) -> None:
    """Find certificates that are stuck pending, and put an event for each on the registration queue.

    A certificate is stuck if it is PENDING_ACTIVATION without a decision on record, or with one that began more than an
    hour ago and never finished: its event was lost. Its device knocks again at its next connection; a sweep does not
    wait for that. Held devices have a record and are left alone.

    A sweep that was interrupted continues where it stopped, within a day.

    \b
    Examples:
      jitr failures sweep --dry-run
      jitr failures sweep --ca 3f9c0c6f --pace 2
    """
    refuse_yes_without_questions(dry_run, yes)
    deployment = choice.anew().deployment()
    iot = deployment.client("iot")
    ids = [find(deployment, each).id for each in cas] or all_ca_ids(iot)
    if not dry_run:
        deployment.announce("sqs")
        confirm(f"Sweep the certificates of {counted(len(ids), 'CA')}?", yes)
    how = Sweep(deployment, timedelta(minutes=older_than), pace, dry_run, restart)
    swept = [Swept(each) for each in ids]
    how.cas(swept)
    document = {
        "dry_run": dry_run,
        "stuck": sum(each.stuck for each in swept),
        "sent": sum(each.sent for each in swept),
        "cas": [each.to_json() for each in swept],
    }
    if dry_run:
        document["certificate_ids"] = [identifier for each in swept for identifier in each.ids]
    emit(as_json, document, lambda: _show(swept, dry_run))


def _show(swept: list[Swept], dry_run: bool) -> None:
    rows = [(each.ca_certificate_id[:12], each.certificates, each.pending, each.stuck, each.sent) for each in swept]
    table(("CA", "certificates", "pending", "stuck", "sent"), rows)
    for each in swept:
        for identifier in each.ids:
            click.echo(identifier)
    if dry_run:
        note("Nothing was sent: leave --dry-run away.")
