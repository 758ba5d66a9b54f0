"""``jitr held``: the devices that knock and are not let in yet."""

from collections.abc import Callable
from datetime import datetime

import click

from jitr.records.record import Record, common_name
from jitr.text import counted
from jitr.times import rfc3339
from jitr_cli.console import completion
from jitr_cli.console.filters import ca_option, reason_option
from jitr_cli.console.options import stack_options
from jitr_cli.console.output import confirm, emit, json_option, note, table, warn
from jitr_cli.console.since import since_option
from jitr_operations.decisions import held as operations
from jitr_operations.decisions.basis import basis_of
from jitr_operations.decisions.knocking import how_often
from jitr_operations.deployment import Choice, Deployment
from jitr_operations.table import table_of


@click.group("held", no_args_is_help=True)
def held() -> None:
    """Devices on hold."""


@held.command("ls")
@reason_option("Only those held for this reason code.")
@ca_option
@click.option(
    "--rule", metavar="NAME", shell_complete=completion.rule_names, help="Only those that this rule nearly let in."
)
@since_option
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1), help="At most so many.")
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

    Reasons are those on record. Where rules or lists were edited since without letting the device in, they are told
    with the version that they are of; `jitr explain` has today's.

    \b
    Examples:
      jitr held ls
      jitr held ls --rule line-a-sensors --ca factory-a --since 24h
      jitr held ls --reason allow.unmatched --json
    """
    deployed = table_of(choice.deployment())
    found = operations.held_devices(deployed, reason=reason, ca=ca, rule=rule, since=since, limit=limit)
    basis = basis_of(deployed)
    emit(as_json, [operations.document(each, basis(each)) for each in found], lambda: _show(found, basis))
    if len(found) == limit:
        note(f"These are the newest {limit}; --limit shows more.")


@held.command("admit")
@click.argument("device")
@click.option(
    "--rule",
    required=True,
    metavar="NAME",
    shell_complete=completion.allow_rule_names,
    help="The allow rule whose grant it gets.",
)
@click.option("--message", "-m", metavar="TEXT", help="Why, for the record.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@stack_options
@json_option
def admit(device: str, rule: str, message: str | None, yes: bool, choice: Choice, as_json: bool) -> None:
    """Let one held DEVICE in under a rule that does not match it: your word stands in place of the matching.

    Certificate checks, deny rules and guards still hold: what would keep the device out all the same is told before
    you are asked. Who, when and why are recorded.

    \b
    Example:
      jitr held admit 3f9c0c6f --rule line-a-sensors --message "label misprinted"
    """
    deployment = choice.deployment()
    _say(deployment, operations.admission(deployment, device, rule, message), yes, as_json)


@held.command("reject")
@click.argument("device")
@click.option("--message", "-m", metavar="TEXT", help="Why, for the record.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@stack_options
@json_option
def reject(device: str, message: str | None, yes: bool, choice: Choice, as_json: bool) -> None:
    """Reject one held DEVICE: its certificate becomes INACTIVE. `jitr decisions reopen` undoes it.

    \b
    Example:
      jitr held reject 3f9c0c6f --message "stolen from the line"
    """
    deployment = choice.deployment()
    _say(deployment, operations.rejection(deployment, device, message), yes, as_json)


@held.command("recheck")
@click.argument("devices", nargs=-1, metavar="[DEVICE]...")
@click.option("--all", "everyone", is_flag=True, help="Every held device.")
@reason_option("With --all: only those held for this reason code.")
@stack_options
@json_option
def recheck(devices: tuple[str, ...], everyone: bool, reason: str | None, choice: Choice, as_json: bool) -> None:
    """Decide held devices again now, without waiting for their next knock.

    \b
    Examples:
      jitr held recheck 3f9c0c6f
      jitr held recheck --all --reason apply.iot-policy-missing
    """
    if bool(devices) == everyone:
        raise click.UsageError("name the devices, or say --all.")
    deployment = choice.deployment()
    if everyone and reason is None:
        deployment.announce("dynamodb")
        operations.recheck_everyone(deployment)
        emit(as_json, {"rechecked": "all"}, "All held devices are being decided again, as fast as the queue has room")
        return
    deployment.announce("sqs")
    if reason is None:
        count = operations.recheck(deployment, devices)
    else:
        count = operations.recheck_for_reason(deployment, reason)
    told = counted(count, "held device is", "held devices are")
    emit(as_json, {"rechecked": count}, f"{told} decided again now")


def _say(deployment: Deployment, saying: operations.Saying, yes: bool, as_json: bool) -> None:
    for each in saying.warnings:
        warn(each)
    deployment.announce("sqs")
    confirm(saying.question, yes)
    operations.say(deployment, saying.record, saying.word)
    certificate_id = saying.record.certificate_id
    document = {"certificate_id": certificate_id, "word": saying.word.to_json()}
    emit(as_json, document, f"Said. `jitr decisions show {certificate_id[:12]}` tells what came of it.")


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
            operations.why(each) + (f" ({old})" if (old := basis(each)) else ""),
        )
        for each in records
    ]
    table(("certificate", "common name", "since", "due", "knocks", "why"), rows)
