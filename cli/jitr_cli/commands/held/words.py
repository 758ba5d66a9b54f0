"""What operators say of held devices: admit, reject, decide again."""

import click

from jitr.text import counted
from jitr_cli.console import completion
from jitr_cli.console.filters import reason_option
from jitr_cli.console.options import stack_options
from jitr_cli.console.output import confirm, emit, json_option, warn
from jitr_operations.decisions import held as operations
from jitr_operations.deployment import Choice, Deployment


@click.command("admit")
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
    """Let one held DEVICE in under a rule that does not match it: your word replaces the matching.

    Certificate checks, deny rules and guards still apply. If one would keep the device out anyway, the command says so
    before it asks. Who, when and why are recorded.

    \b
    Example:
      jitr held admit 3f9c0c6f --rule line-a-sensors --message "label misprinted"
    """
    deployment = choice.deployment()
    _say(deployment, operations.admission(deployment, device, rule, message), yes, as_json)


@click.command("reject")
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


@click.command("recheck")
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
    if devices and reason is not None:
        raise click.UsageError("--reason goes with --all: named devices are decided again whatever they are held for.")
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
