"""``jitr failures resend``: events of decisions and changes that the bus did not take."""

import click

from jitr.text import counted
from jitr_cli.console.options import stack_options
from jitr_cli.console.output import emit, json_option, note
from jitr_operations.deployment import Choice
from jitr_operations.failures.notices import QUEUE
from jitr_operations.failures.notices import resend as resend_all


@click.command("resend")
@stack_options
@json_option
def resend(choice: Choice, as_json: bool) -> None:
    """Send events that the bus did not take for an hour, after the cause was fixed.

    An event leaves the queue NotifyFailures only once the bus has it, so some may be sent twice, with the same id. Late
    events have the time of what they report.

    \b
    Example:
      jitr failures resend
    """
    deployment = choice.deployment()
    deployment.announce("events")
    sent, others = resend_all(deployment)
    emit(as_json, {"sent": sent, "others": others}, f"{counted(sent, 'event was', 'events were')} sent")
    if others:
        note(
            f"{counted(others, 'message')} in {QUEUE} {'is no event' if others == 1 else 'are no events'}: "
            "what could not be told is named there. Look, then purge the queue."
        )
