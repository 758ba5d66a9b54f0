"""``jitr failures``: messages that could never be handled, and what to do with them."""

from collections import Counter

import click

from jitr.reasons import CODES
from jitr_cli.console.options import stack_options
from jitr_cli.console.output import confirm, emit, json_option, note, safe, table
from jitr_operations.deployment import Choice
from jitr_operations.failures.messages import QUEUES, FailedMessage
from jitr_operations.failures.redrive import failed_messages, look
from jitr_operations.failures.redrive import redrive as redrive_all

queue_option = click.option("--queue", type=click.Choice(QUEUES), help="Only those of this queue.")


@click.command("ls")
@click.option("--reason", metavar="CODE", help="Only those with this reason code.")
@queue_option
@stack_options
@json_option
def ls(reason: str | None, queue: str | None, choice: Choice, as_json: bool) -> None:
    """Show what lies in RegistrationFailures and RuleFailures: which certificate, why, since when.

    \b
    Example:
      jitr failures ls
    """
    found = failed_messages(choice.deployment(), reason=reason, queue=queue)
    emit(as_json, [each.to_json() for each in found], lambda: _show(found))


@click.command("redrive")
@click.option("--reason", metavar="CODE", help="Only those with this reason code.")
@queue_option
@click.option(
    "--pace", default=5.0, show_default=True, type=click.FloatRange(0.1, 1000), help="At most so many a second."
)
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@stack_options
@json_option
def redrive(reason: str | None, queue: str | None, pace: float, yes: bool, choice: Choice, as_json: bool) -> None:
    """Put failed messages back on the registration queue, after what they failed for was mended.

    A message is taken off the failures only once the queue has it. Of what the topic rule could not deliver the
    registration event inside is put back. What fails again meanwhile is left for the next time.

    \b
    Example:
      jitr failures redrive --reason event.bug
    """
    deployment = choice.deployment()
    deployment.announce("sqs")
    if not yes:
        found, held = look(deployment, reason=reason, queue=queue)
        if not found:
            emit(as_json, {"put_back": 0, "in_flight": held}, "There is nothing to put back")
            return
        those = "failed messages" if reason is None else f"messages with {reason}"
        confirm(f"Put back {len(found)} {those}?", yes)
    count, in_flight = redrive_all(deployment, reason=reason, queue=queue, pace=pace)
    emit(as_json, {"put_back": count, "in_flight": in_flight}, f"Put back {count} messages")


def _show(found: list[FailedMessage]) -> None:
    if not found:
        note("Nothing failed.")
        return
    rows = [(each.since, each.reason, (each.certificate_id or "")[:12], each.message) for each in found]
    table(("since", "reason", "certificate", "why"), rows)
    click.echo()
    for reason, count in Counter(each.reason for each in found).most_common():
        remedy = CODES[reason].remedy if reason in CODES else ""
        click.echo(f"{count} x {safe(reason)}: {remedy}")
