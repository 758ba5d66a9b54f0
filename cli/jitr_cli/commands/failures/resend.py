"""``jitr failures resend``: events of decisions and changes that the bus did not take."""

import click

from jitr_cli.console.options import stack_options
from jitr_cli.console.output import emit, json_option, note
from jitr_operations.deployment import Choice
from jitr_operations.failures.notices import QUEUE
from jitr_operations.failures.notices import resend as resend_all


@click.command("resend")
@stack_options
@json_option
def resend(choice: Choice, as_json: bool) -> None:
    """Send events that the bus did not take for an hour, after what kept it from taking them was mended.

    An event leaves the queue NotifyFailures only once the bus has it, so that some may be sent twice: their id tells.
    Late events say when what they tell of was.

    \b
    Example:
      jitr failures resend
    """
    deployment = choice.deployment()
    deployment.announce("events")
    sent, others = resend_all(deployment)
    emit(as_json, {"sent": sent, "others": others}, f"{sent} events were sent")
    if others:
        note(
            f"{others} messages in {QUEUE} are no events: they name what could not be told. Look, then purge the queue."
        )
