"""``jitr fleet accept``: what the scheduled check found, and is to raise no alarm for a while."""

import re
from datetime import UTC, datetime, timedelta

import click

from jitr.text import counted
from jitr.times import parse_time, rfc3339
from jitr.unseen import quote
from jitr_cli.console import output
from jitr_cli.console.options import AT_MOST, stack_options
from jitr_operations.deployment import Choice
from jitr_operations.fleet.scheduled import accept, withdraw
from jitr_operations.table import now


def _until(_context: click.Context, _parameter: click.Parameter, text: str | None) -> datetime | None:
    if text is None:
        return None
    days = re.fullmatch(r"(\d{1,4})d", text)
    try:
        if days is not None:
            return now() + timedelta(days=int(days[1]))
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
            return datetime.fromisoformat(text).replace(tzinfo=UTC) + timedelta(days=1)
        return parse_time(text)
    except (ValueError, OverflowError):
        told = "give days (30d, at most 9999d), a day (2026-12-31) or an RFC 3339 time"
        raise click.BadParameter(f"{quote(text)}: {told}") from None


@click.command("accept")
@click.argument("reason")
@click.option(
    "--until", metavar="DAYS|DAY|TIME", callback=_until, help="Until when: 30d, 2026-12-31 (its end), a time."
)
@click.option("--most", type=AT_MOST, metavar="NUMBER", help="How many devices; as many as were found.")
@click.option("--note", metavar="TEXT", help="Why, for the history.")
@click.option("--withdraw", "withdrawn", is_flag=True, help="Accept it no longer.")
@stack_options
@output.json_option
def command(
    reason: str,
    until: datetime | None,
    most: int | None,
    note: str | None,
    withdrawn: bool,
    choice: Choice,
    as_json: bool,
) -> None:
    """Accept what the scheduled check found, so that it raises no alarm until a day.

    REASON is what `jitr fleet last` shows: a reason code as chain.ca-inactive, or changed, drift, unknown, expiring. As
    many devices are accepted as the last check found; one more raises the alarm. No device is changed.

    \b
    Examples:
      jitr fleet accept allow.unmatched --until 2026-12-31 --note "their rule was retired, they stay"
      jitr fleet accept expiring --until 30d
      jitr fleet accept expiring --withdraw
    """
    if withdrawn is (until is not None) or (withdrawn and (most is not None or note is not None)):
        raise click.UsageError("Give either --until, with --most and --note if wanted, or --withdraw alone.")
    deployment = choice.deployment()
    deployment.announce()
    if until is None:
        withdraw(deployment, reason)
        output.emit(as_json, {"reason": reason, "withdrawn": True}, f"{reason} is accepted no longer")
        return
    made = accept(deployment, reason, until, most, note)
    told = f"{made.reason} is accepted for up to {counted(made.most, 'device')}, until {rfc3339(made.until)}"
    output.emit(as_json, made.to_json(), told)
