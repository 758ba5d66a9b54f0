"""``jitr device delete``: a device certificate and all that hangs on it."""

from typing import Any

import click

from jitr.aws.dynamodb.table import Table
from jitr.errors import InputError
from jitr_cli.console import output
from jitr_cli.console.options import stack_options
from jitr_operations.accounts import Account
from jitr_operations.deployment import Choice
from jitr_operations.devices import deletion as deletion_of
from jitr_operations.devices.deletion import Deletion
from jitr_operations.devices.registry import Registry
from jitr_operations.devices.which import find_one
from jitr_operations.table import table_of


@click.command()
@click.argument("which", metavar="DEVICE")
@click.option("--deactivate", "deactivate_first", is_flag=True, help="Make it INACTIVE first if it is ACTIVE.")
@click.option("--thing", "with_thing", is_flag=True, help="Delete its thing, too, if nothing else is attached to it.")
@click.option("--no-record", is_flag=True, help="Leave decision and reservation alone; needs no deployed stack.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@stack_options
@output.json_option
def delete(
    which: str,
    deactivate_first: bool,
    with_thing: bool,
    no_record: bool,
    yes: bool,
    choice: Choice,
    as_json: bool,
) -> None:
    """Delete a device certificate from AWS IoT, with its decision record; its thing name and place become free.

    DEVICE is a certificateId, its first 8 digits or more, a thing's name, the common name of a device on hold, or the
    device's certificate file. If anything goes wrong, run it again with the whole id or the file: it continues.

    A device that connects again is registered again if its CA has auto-registration on, and the rules decide. To keep
    it out, `jitr device deactivate` or `revoke` it instead, or add a deny rule.

    \b
    Example:
      jitr device delete snr-0001
    """
    account, table = _account_and_table(choice, no_record)
    account.announce()
    registry = Registry(account.client("iot"))
    deletion = deletion_of.look(registry, table, find_one(which, registry, table, on_record=True))
    _refuse_active(deletion, deactivate_first)
    output.confirm(_question(deletion, with_thing), yes)
    deletion_of.delete_by_hand(account, table, deletion, with_thing=with_thing)
    output.emit(as_json, _document(deletion), lambda: _tell(deletion))


def _account_and_table(choice: Choice, no_record: bool) -> tuple[Account, Table | None]:
    if no_record:
        return choice.account(), None
    deployment = choice.deployment()
    return deployment, table_of(deployment)


def _refuse_active(deletion: Deletion, deactivate_first: bool) -> None:
    found = deletion.certificate
    if found is not None and found.status == "ACTIVE" and not deactivate_first:
        raise InputError(
            f"{deletion.words} is ACTIVE, and AWS IoT deletes only certificates that are not: --deactivate"
        )


def _question(deletion: Deletion, with_thing: bool) -> str:
    found = deletion.certificate
    told = [
        f"Delete the certificate {deletion.words}, {found.status if found else 'of which only the record is left'}?"
    ]
    if deletion.iot_policies:
        told.append(f"IoT policies are detached: {', '.join(deletion.iot_policies)}.")
    if deletion.things:
        told.append(f"It is detached from: {', '.join(deletion.things)}.")
    if with_thing and deletion.candidates:
        told.append(f"Deleted, too, unless something else is attached to it: thing {', '.join(deletion.candidates)}.")
    told.append("If the device connects again, its CA may register it anew, and the rules decide.")
    return " ".join(told)


def _document(deletion: Deletion) -> dict[str, Any]:
    record = deletion.record
    return {
        "certificate_id": deletion.id,
        "status": "deleted",
        "status_before": deletion.certificate.status if deletion.certificate else None,
        "iot_policies_detached": list(deletion.iot_policies),
        "things_detached": list(deletion.things),
        "things_deleted": deletion.things_deleted,
        "record_closed": record is not None,
        "reservation_released": record.reservation if record else None,
    }


def _tell(deletion: Deletion) -> None:
    click.echo(output.safe(f"{deletion.words}: deleted"))
    for thing in deletion.things_deleted:
        click.echo(output.safe(f"thing {thing}: deleted"))
    for thing, others in deletion.things_kept.items():
        output.note(
            f"The thing {thing} stays: it has other certificates ({', '.join(each[:12] for each in others[:3])})."
        )
    if deletion.record is not None and deletion.record.reservation is not None:
        kind, _, name = deletion.record.reservation.partition("#")
        click.echo(output.safe(f"thing name {name} is free again" if kind == "THING" else "its place is free again"))
