"""``jitr status``: the first command of the day, on one screen."""

import click

from jitr_cli.commands.status.screen import show
from jitr_cli.console.options import stack_options
from jitr_cli.console.output import emit, json_option
from jitr_operations.deployment import Choice
from jitr_operations.status.overview import overview


@click.command("status")
@stack_options
@json_option
def status(choice: Choice, as_json: bool) -> None:
    """Show what is deployed and in force, and what needs attention first.

    Rules and who published them, lists, CAs with the days they have left, decisions by reason, queues and how long
    their oldest message waits, how old events are that keep coming back and why, alarms; CAs that rules name but nobody
    registered, or the reverse; other topic rules that take registration events, and the stack's own if it is disabled;
    devices that are denied today and still ACTIVE. Decisions are counted up to about 50,000 of each kind, and reasons
    are those of the newest 1,000. The newest 1,000 admitted devices are checked for those denied today, of which AWS
    IoT is asked about 20.

    \b
    Examples:
      jitr status
      jitr status --json --stack jitr-staging
    """
    document = overview(choice.anew().deployment())
    emit(as_json, document, lambda: show(document))
