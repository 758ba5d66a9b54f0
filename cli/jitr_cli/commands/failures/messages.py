"""``jitr failures``: messages that could never be handled, and what to do with them."""

import time
from collections import Counter
from contextlib import ExitStack

import click

from jitr.reasons import CODES
from jitr.services.registration.batch import SENT_AT
from jitr_cli.console.options import stack_options
from jitr_cli.console.output import confirm, emit, json_option, note, progress, safe, table
from jitr_operations.deployment import Choice, Deployment
from jitr_operations.failures.messages import QUEUES, FailedMessage, FailureQueue

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
    found = []
    with ExitStack() as stack:
        for each in _queues(choice.deployment(), queue):
            stack.callback(each.let_go)
            found += [message for message in each.messages() if reason in (None, message.reason)]
            _tell_in_flight(each.name, each.in_flight())
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
    confirm(f"Put back {'all failed messages' if reason is None else f'those with {reason}'}?", yes)
    target = deployment.output("RegistrationQueueUrl")
    sqs = deployment.client("sqs")
    count = in_flight = 0
    try:
        with ExitStack() as stack, progress("Putting back", None) as advance:
            for each in _queues(deployment, queue):
                stack.callback(each.let_go)
                for message in each.messages():
                    if reason is not None and message.reason != reason:
                        continue
                    sqs.send_message(
                        QueueUrl=target,
                        MessageBody=message.body,
                        # Or a device that knocked in time would be too late for its window.
                        MessageAttributes={SENT_AT: {"DataType": "String", "StringValue": message.sent_at}},
                    )
                    each.delete(message)
                    count += 1
                    advance(1)
                    time.sleep(1 / pace)
                others = each.in_flight()
                _tell_in_flight(each.name, others)
                in_flight += others
    except BaseException:
        note(f"{count} messages were put back; the others are where they were")
        raise
    emit(as_json, {"put_back": count, "in_flight": in_flight}, f"Put back {count} messages")


def _queues(deployment: Deployment, only: str | None) -> list[FailureQueue]:
    names = QUEUES if only is None else (only,)
    return [FailureQueue(deployment.client("sqs"), deployment.output(f"{name}Url"), name) for name in names]


def _tell_in_flight(queue: str, number: int) -> None:
    if number:
        note(
            f"About {number} more in {queue} cannot be seen: another command holds them, or one was cut off. They are "
            "seen again within five minutes; run this again then."
        )


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
