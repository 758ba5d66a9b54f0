"""``jitr failures``: messages that could never be handled, and what to do with them."""

from collections import Counter

import click

from jitr.reasons import CODES
from jitr.text import counted
from jitr_cli.console.filters import reason_option
from jitr_cli.console.options import Amount, stack_options
from jitr_cli.console.output import confirm, emit, json_option, note, safe, table, warn
from jitr_operations.deployment import Choice
from jitr_operations.failures.messages import QUEUES, FailedMessage
from jitr_operations.failures.redrive import MessageChoice, Redriven, look, with_ids
from jitr_operations.failures.redrive import redrive as put_back

_SHORT = 8  # characters of a message's id that are shown

queue_option = click.option("--queue", type=click.Choice(QUEUES), help="Only those of this queue.")


@click.command("ls")
@reason_option("Only those with this reason code.")
@queue_option
@stack_options
@json_option
def ls(reason: str | None, queue: str | None, choice: Choice, as_json: bool) -> None:
    """Show the messages in RegistrationFailures and RuleFailures: which certificate, why, since when.

    \b
    Example:
      jitr failures ls
    """
    found = look(choice.deployment(), MessageChoice(reason, queue)).messages
    emit(as_json, [each.to_json() for each in found], lambda: _show(found, filtered=bool(reason or queue)))


@click.command("redrive")
@click.argument("messages", nargs=-1, metavar="[ID]...")
@reason_option("Only those with this reason code.")
@queue_option
@click.option("--pace", default=5.0, show_default=True, type=Amount(0.1, 1000), help="At most so many a second.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@stack_options
@json_option
def redrive(
    messages: tuple[str, ...],
    reason: str | None,
    queue: str | None,
    pace: float,
    yes: bool,
    choice: Choice,
    as_json: bool,
) -> None:
    """Put failed messages back on the registration queue, after the cause was fixed.

    Puts back all of them, or those with the given ids, as `jitr failures ls` shows them. A message leaves the failures
    only once the queue has it. If the topic rule could not deliver an event, the event inside the message is put back.
    Messages that fail again meanwhile are left for the next time.

    \b
    Examples:
      jitr failures redrive --reason event.bug
      jitr failures redrive 3f9c0c6f 81d2aa07
    """
    deployment, wanted = choice.deployment(), MessageChoice(reason, queue)
    deployment.announce("sqs")
    if messages or not yes:
        found = look(deployment, wanted)
        if messages:
            wanted = with_ids(wanted, found, messages)
        elif not found.messages:
            _tell(as_json, Redriven(in_flight=found.in_flight), "There is nothing to put back")
            return
        those = counted(len(wanted.ids or found.messages), "failed message" if reason is None else "message")
        confirm(f"Put back {those}{'' if reason is None else f' with {reason}'}?", yes)
    done = put_back(deployment, wanted, pace)
    _tell(as_json, done, f"Put back {counted(done.put_back, 'message')}")
    if done.failed_again:
        note(f"Of these, {done.failed_again} failed again meanwhile and were left: see `jitr failures ls`.")
    for message, problem in done.left.items():
        warn(f"{message[:_SHORT]} was not put back: {problem}")
    if done.left:
        raise click.exceptions.Exit(3)


def _tell(as_json: bool, done: Redriven, told: str) -> None:
    left = [{"id": message, "problem": problem} for message, problem in done.left.items()]
    emit(
        as_json,
        {"put_back": done.put_back, "failed_again": done.failed_again, "in_flight": done.in_flight, "left": left},
        told,
    )


def _show(found: list[FailedMessage], *, filtered: bool) -> None:
    if not found:
        note("No failed message fits this filter." if filtered else "Nothing failed.")
        return
    rows = [
        (each.id[:_SHORT], each.since, each.reason, (each.certificate_id or "")[:12], each.message) for each in found
    ]
    table(("id", "since", "reason", "certificate", "why"), rows)
    click.echo()
    for reason, count in Counter(each.reason for each in found).most_common():
        remedy = CODES[reason].remedy if reason in CODES else ""
        click.echo(f"{count} x {safe(reason)}: {remedy}")
