"""``jitr device register``: what devices do by connecting, done by hand."""

from pathlib import Path
from typing import Any

import click

from jitr.errors import InputError
from jitr.iot_names import THING_NAME
from jitr.unseen import quote
from jitr_cli.commands.device.overrule import require_reason
from jitr_cli.console import completion, output
from jitr_cli.console.options import FILE, stack_options
from jitr_operations.deployment import Choice
from jitr_operations.devices.activation import NOT_ASKED
from jitr_operations.devices.by_hand import NOT_KEPT
from jitr_operations.devices.records import account_and_table
from jitr_operations.devices.registration import DeviceRegistration, RegistrationGoal, read_files
from jitr_operations.table import now


@click.command()
@click.argument("files", nargs=-1, required=True, type=FILE, metavar="FILE...")
@click.option(
    "--ca",
    metavar="CA",
    shell_complete=completion.ca_aliases,
    help="Its CA: alias in the rules in force, caCertificateId, its first 8 digits, or its file; found by signature "
    "without.",
)
@click.option("--activate", is_flag=True, help="Make it ACTIVE, after everything else.")
@click.option("--iot-policy", "iot_policies", multiple=True, metavar="NAME", help="Attach it; may be repeated.")
@click.option("--thing", metavar="NAME", help="Attach it to this thing, made if there is none.")
@click.option("--without-iot-policy", is_flag=True, help="Activate it even if no IoT policy is attached.")
@click.option("--overrule", metavar="REASON", help="Activate it even if the rules in force deny it; this is kept.")
@click.option("--yes", is_flag=True, help="Do not ask about a thing that has another certificate, or one replaced.")
@stack_options
@output.json_option
@click.pass_context
def register(
    context: click.Context,
    files: tuple[Path, ...],
    ca: str | None,
    activate: bool,
    iot_policies: tuple[str, ...],
    thing: str | None,
    without_iot_policy: bool,
    overrule: str | None,
    yes: bool,
    choice: Choice,
    as_json: bool,
) -> None:
    """Register device certificates by hand. Their CA must be registered and ACTIVE; no rule need admit them.

    If the rules in force deny one, it is not made ACTIVE (exit code 1, and nothing is registered), unless --overrule
    gives a reason to let it in anyway. Before a certificate becomes ACTIVE that another one replaced, you are asked.

    If anything goes wrong, run it again: it continues. A certificate that is already registered is changed to what the
    options ask for.

    \b
    Examples:
      jitr device register snr-0001.pem --iot-policy Sensor --thing snr-0001 --activate
      jitr device register batch-7/*.pem --ca factory-a.pem
    """
    if thing is not None:
        _check_thing_name(thing, files)
    if without_iot_policy and not activate:
        raise click.UsageError("--without-iot-policy goes with --activate.")
    if overrule is not None and not activate:
        raise click.UsageError("--overrule goes with --activate.")
    require_reason(overrule)
    given = read_files(files, now())
    account, table = account_and_table(choice, NOT_ASKED if activate else NOT_KEPT)
    account.announce()
    goal = RegistrationGoal(activate, tuple(dict.fromkeys(iot_policies)), thing, without_iot_policy)
    registration = DeviceRegistration(account, table, given, goal, ca=ca, overrule=overrule)
    if denials := registration.denials():
        output.error("\n".join(denials))
        context.exit(1)
    for question in registration.questions():
        output.confirm(question, yes)
    done = registration.run()
    document = {"devices": done, "account_id": account.account_id, "region": account.region}
    output.emit(as_json, document, lambda: _tell(done))


def _check_thing_name(thing: str, files: tuple[Path, ...]) -> None:
    if len(files) > 1:
        raise click.UsageError("--thing is for one FILE: each device has a thing of its own.")
    if not THING_NAME.takes(thing):
        raise InputError(f"--thing {quote(thing[:140])}: 1 to 128 of the characters a-z A-Z 0-9 : _ -")


def _tell(done: list[dict[str, Any]]) -> None:
    if len(done) == 1:
        one = done[0]
        click.echo("Registered already, and as asked for now." if one["was_registered"] else "Registered.")
        output.pairs(
            [
                ("certificateId", one["certificate_id"]),
                ("caCertificateId", one["ca_certificate_id"]),
                ("status", one["status"]),
                ("IoT policies", ", ".join(one["iot_policies"]) or "none"),
                ("thing", ", ".join(one["things"]) or "none"),
            ]
        )
        return
    rows = [(each["file"], each["certificate_id"], each["status"], len(each["iot_policies"])) for each in done]
    output.table(("file", "certificateId", "status", "IoT policies"), rows)
