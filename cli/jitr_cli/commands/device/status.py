"""``jitr device activate | deactivate | revoke``: the status of device certificates, changed at an operator's word."""

from datetime import datetime
from pathlib import Path

import click

from jitr.errors import InputError
from jitr.times import rfc3339
from jitr_cli.commands.device.overrule import require_reason
from jitr_cli.commands.device.recall import CUT_OFF, RecallCommand, require_all_out
from jitr_cli.console import completion, output
from jitr_cli.console.options import FILE, refuse_yes_without_questions, stack_options
from jitr_operations.deployment import Choice
from jitr_operations.devices import ledger
from jitr_operations.devices import status as switching
from jitr_operations.devices.activation import NOT_ASKED, ActivationCheck
from jitr_operations.devices.by_hand import NOT_KEPT, Hand
from jitr_operations.devices.records import account_and_table, name_in
from jitr_operations.devices.registry import DeviceCertificate, Registry
from jitr_operations.devices.which import find_one
from jitr_operations.lists.where import RowFilter
from jitr_operations.table import now


@click.command()
@click.argument("which", metavar="DEVICE")
@click.option("--without-iot-policy", is_flag=True, help="Even if no IoT policy is attached.")
@click.option("--overrule", metavar="REASON", help="Even if the rules in force deny it; the reason is kept.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask about a certificate that another one replaced.")
@stack_options
@output.json_option
@click.pass_context
def activate(
    context: click.Context,
    which: str,
    without_iot_policy: bool,
    overrule: str | None,
    yes: bool,
    choice: Choice,
    as_json: bool,
) -> None:
    """Make a device certificate ACTIVE: the device may connect.

    DEVICE is a certificateId, its first 8 digits or more, a thing's name, the common name of a device on hold, or the
    device's certificate file.

    The device is first decided under the rules and lists in force. If they deny it, as they do a recalled device, it
    stays as it is (exit code 1), unless --overrule gives a reason to let it in anyway. The command asks
    before it lets in a certificate that another one replaced.

    \b
    Examples:
      jitr device activate snr-0001
      jitr device activate snr-0001 --overrule "bad radio replaced, ticket 4711"
    """
    require_reason(overrule)
    account, table = account_and_table(choice, NOT_ASKED)
    account.announce()
    registry = Registry(account.client("iot"))
    found = registry.require(find_one(which, registry, table))
    if found.status == "REVOKED":
        raise InputError(f"{found.id} is REVOKED, which is final: issue and register another certificate")
    if not without_iot_policy and not registry.may_connect(found):
        raise InputError(_no_policy(found))
    asked = ActivationCheck(account, table, overrule)
    denied = asked.denial(found.id, found.pem, found.ca_certificate_id, _words(found), changes=found.status != "ACTIVE")
    if denied is not None:
        output.error(denied)
        context.exit(1)
    if found.status != "ACTIVE":
        if (question := asked.question([found.id])) is not None:
            output.confirm(f"{question}. Make it ACTIVE?", yes)
        _warn_before_activation(found, now())
        asked.activate(registry, found.id, found.status)
    output.emit(as_json, _change(found, "ACTIVE"), f"{_words(found)}: ACTIVE{_as_before(found, 'ACTIVE')}")


def _no_policy(found: DeviceCertificate) -> str:
    told = f"{found.id} has no IoT policy, and AWS IoT hangs up on such a device: "
    if found.status == "PENDING_ACTIVATION":
        return told + (
            f"no rule has admitted it yet (`jitr device show {found.id[:12]}` says why). To let it in, change rules or "
            "lists, or attach an IoT policy first"
        )
    return told + "attach one (`aws iot attach-policy`), or give --without-iot-policy if it is to get one later"


def _warn_before_activation(found: DeviceCertificate, time: datetime) -> None:
    if found.status == "PENDING_ACTIVATION":
        output.warn("it was pending, and no rule admitted it; it is made ACTIVE at your word")
    reading = found.reading()
    if reading is not None and reading.facts.not_after < time:
        output.warn(f"it expired at {rfc3339(reading.facts.not_after)}: AWS IoT refuses it all the same")


# --- deactivate


@click.command()
@click.argument("which", nargs=-1, metavar="[DEVICE]...")
@click.option(
    "--list",
    "list_name",
    metavar="NAME",
    shell_complete=completion.list_names,
    help="Recall: every ACTIVE device that is on this device list.",
)
@click.option(
    "--where",
    "conditions",
    multiple=True,
    metavar="COLUMN=VALUE",
    help="Recall: only rows with this value, of --list or of every list. If repeated, all must be met.",
)
@click.option(
    "--crl",
    "alias",
    metavar="CA",
    shell_complete=completion.ca_aliases,
    help="Every ACTIVE device that this CA's revocation list names: its alias, id, or file.",
)
@click.option(
    "--rule",
    "rule",
    metavar="NAME",
    shell_complete=completion.deny_rule_names,
    help="Every ACTIVE device that this deny rule in force matches.",
)
@click.option("--dry-run", is_flag=True, help="Unless DEVICEs are named: show the devices, and change nothing.")
@click.option("--csv", "file", type=FILE, metavar="FILE", help="Unless DEVICEs are named: write there what was done.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@stack_options
@output.json_option
def deactivate(
    which: tuple[str, ...],
    list_name: str | None,
    conditions: tuple[str, ...],
    alias: str | None,
    rule: str | None,
    dry_run: bool,
    file: Path | None,
    yes: bool,
    choice: Choice,
    as_json: bool,
) -> None:
    """Make device certificates INACTIVE: the devices are cut off until `jitr device activate`.

    DEVICE is a certificateId, its first 8 digits or more, a thing's name, the common name of a device on hold, or the
    device's certificate file.

    With --list, all ACTIVE certificates are compared with the list's rows; any key of a row is enough, as for a deny
    rule. Rows that fit no device are reported, with the nearest device. Devices that have not come yet are kept out by
    a deny rule with the same list. If a device is being admitted at that moment, the command waits and cuts it off,
    too.

    With --where, only rows with a certain value in a column count, such as those of a lot: of the list, or of every
    list.

    With --crl, the CA's revocation list in the rules in force is fetched and verified, and the CA's ACTIVE certificates
    are looked up in it. Devices that have not come yet are looked up when they come.

    With --rule, a deny rule in force is checked against every device that is in; publishing the rule kept out only
    those that had not come yet. A device let in by `jitr device activate --overrule` is left alone.

    \b
    Examples:
      jitr device deactivate snr-0001 3f9c11d0
      jitr device deactivate --list recall-17
      jitr device deactivate --list line-a-2026 --where attr.lot=17 --csv recalled.csv
      jitr device deactivate --crl factory-a --dry-run
      jitr device deactivate --rule recalled-boards
    """
    ways = [bool(which), list_name is not None or bool(conditions), alias is not None, rule is not None]
    if ways.count(True) != 1:
        told = "DEVICEs, --list NAME and --where, --crl CA, or --rule NAME"
        raise click.UsageError(f"Say which devices in one way: {told}.")
    if which and (dry_run or file is not None):
        raise click.UsageError("--dry-run and --csv go with --list, --where, --crl or --rule.")
    refuse_yes_without_questions(dry_run, yes)
    if dry_run and file is not None:
        raise click.UsageError("--dry-run and --csv exclude each other: nothing is done that could be written there.")
    if which:
        _deactivate_named(which, yes, choice, as_json)
        return
    where = RowFilter(conditions)
    with ledger.opened(file) as lines:
        recall = RecallCommand(choice, lines, dry_run=dry_run, yes=yes, as_json=as_json)
        if alias is not None:
            recall.revoked(alias)
        elif rule is not None:
            recall.denied(rule)
        else:
            recall.listed(list_name, where)


def _deactivate_named(which: tuple[str, ...], yes: bool, choice: Choice, as_json: bool) -> None:
    account, table = account_and_table(choice, NOT_KEPT)
    account.announce()
    registry = Registry(account.client("iot"))
    ids = dict.fromkeys(find_one(each, registry, table) for each in which)
    found = [registry.require(each) for each in ids]
    to_change = [each for each in found if each.status not in ("INACTIVE", "REVOKED")]
    if to_change:
        names = "\n".join(f"  {_words(each)}, {each.status}" for each in to_change)
        output.confirm(f"Make INACTIVE:\n{names}\n{CUT_OFF}. Go on?", yes)
    under_way = switching.deactivate(
        registry, {each.id: each.status for each in found}, Hand(account, table), table, lambda _id: None
    )
    ends = {each.id: "REVOKED" if each.status == "REVOKED" else "INACTIVE" for each in found}
    document: dict[str, object] = {"devices": [_change(each, ends[each.id]) for each in found]}
    if under_way:
        document["under_way"] = under_way
    human = "\n".join(f"{_words(each)}: {ends[each.id]}{_as_before(each, ends[each.id])}" for each in found)
    output.emit(as_json, document, human)
    require_all_out(under_way)


# --- revoke


@click.command()
@click.argument("which", metavar="DEVICE")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@stack_options
@output.json_option
def revoke(which: str, yes: bool, choice: Choice, as_json: bool) -> None:
    """Revoke a device certificate. Nobody can undo it: the device needs another certificate.

    DEVICE is a certificateId, its first 8 digits or more, a thing's name, the common name of a device on hold, or the
    device's certificate file. To cut a device off for a while, `jitr device deactivate` it.

    \b
    Example:
      jitr device revoke snr-0001
    """
    account, table = account_and_table(choice, NOT_KEPT)
    account.announce()
    registry = Registry(account.client("iot"))
    found = registry.require(find_one(which, registry, table))
    if found.status != "REVOKED":
        output.confirm(f"Revoke {_words(found)}, {found.status}? This is final. {CUT_OFF}.", yes)
    under_way = switching.revoke(registry, found, Hand(account, table), table, None)
    output.emit(as_json, _change(found, "REVOKED"), f"{_words(found)}: REVOKED{_as_before(found, 'REVOKED')}")
    require_all_out(under_way)


def _words(found: DeviceCertificate) -> str:
    reading = found.reading()
    name = name_in(reading.facts) if reading else None
    return f"{found.id} ({name})" if name else found.id


def _as_before(found: DeviceCertificate, status: str) -> str:
    return ", as before" if found.status == status else ""


def _change(found: DeviceCertificate, status: str) -> dict[str, str]:
    return {"certificate_id": found.id, "status": status, "status_before": found.status}
