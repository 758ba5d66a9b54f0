"""``jitr device delete``: a device certificate and all that hangs on it, in the order in which AWS IoT allows it.

INACTIVE first, so that nothing is admitted meanwhile; then IoT policies and things off it, then the certificate, and
its decision record last, in one transaction with its reservation: until then the same command finds what is left to do.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from jitr.aws.dynamodb.table import Table
from jitr.aws.iot import Iot
from jitr.errors import InputError
from jitr.records.record import Record
from jitr.services.registration.reservations import Reservations
from jitr_cli.console import output
from jitr_cli.console.options import stack_options
from jitr_operations.deployment import Account, Choice
from jitr_operations.devices.by_hand import acts_of, forget
from jitr_operations.devices.records import facts_of, name_in, records_of
from jitr_operations.devices.registry import DeviceCertificate, Registry
from jitr_operations.table import table_of

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

# A detachment "might take several seconds to propagate".
# https://docs.aws.amazon.com/iot/latest/apireference/API_DetachThingPrincipal.html
DETACHED_WITHIN = 20  # attempts, a second apart
_STILL_ATTACHED = frozenset({"DeleteConflictException", "InvalidRequestException"})


@dataclass
class _Deletion:
    """What there is of a device, and what became of it."""

    id: str
    certificate: DeviceCertificate | None
    record: Record | None
    iot_policies: tuple[str, ...] = ()
    things: tuple[str, ...] = ()
    things_deleted: list[str] = field(default_factory=list)
    things_kept: dict[str, tuple[str, ...]] = field(default_factory=dict)  # and what else is attached to them

    @property
    def words(self) -> str:
        """The device as a person knows it."""
        reading = self.certificate.reading() if self.certificate else None
        name = name_in(reading.facts if reading else facts_of(self.record))
        return f"{self.id} ({name})" if name else self.id

    @property
    def candidates(self) -> tuple[str, ...]:
        """The things that are its own: attached now, granted when it was admitted, or tried to attach."""
        if self.record is None:
            return self.things
        granted = (self.record.grant or {}).get("thing")
        tried = self.record.attached.get("things", ())
        return tuple(dict.fromkeys([*self.things, *([granted] if granted else []), *tried]))


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

    DEVICE is a certificateId, its first 8 digits or more, a thing's name, or the device's certificate file. Run it
    again after whatever went wrong, with the whole id or the file: it carries on.

    A device that connects again is registered anew, if its CA registers by itself, and the rules decide about it. To
    keep it out, `jitr device deactivate` or `revoke` it instead, or add a deny rule.

    \b
    Example:
      jitr device delete snr-0001
    """
    account, table = _account_and_table(choice, no_record)
    account.announce()
    iot = account.client("iot")
    registry = Registry(iot)
    deletion = _look(registry, table, registry.find_one(which))
    _refuse_active(deletion, deactivate_first)
    output.confirm(_question(deletion, with_thing), yes)
    _clear(iot, registry, deletion, with_thing)
    if table is not None:
        forget(table, deletion.id)
        _close(iot, table, deletion)
    output.emit(as_json, _document(deletion), lambda: _tell(deletion))


def _account_and_table(choice: Choice, no_record: bool) -> tuple[Account, Table | None]:
    if no_record:
        return choice.account(), None
    deployment = choice.deployment()
    return deployment, table_of(deployment)


def _look(registry: Registry, table: Table | None, certificate_id: str) -> _Deletion:
    certificate = registry.get(certificate_id)
    record = records_of(table, [certificate_id]).get(certificate_id)
    if certificate is None:
        if record is None and not acts_of(table, [certificate_id]):
            raise InputError(
                f"no certificate {certificate_id} is registered in this account and Region, and nothing is on record "
                "about it: see `jitr device ls`"
            )
        return _Deletion(certificate_id, None, record)
    policies, things = registry.iot_policies(certificate.arn), registry.things(certificate.arn)
    return _Deletion(certificate_id, certificate, record, policies, things)


def _refuse_active(deletion: _Deletion, deactivate_first: bool) -> None:
    found = deletion.certificate
    if found is not None and found.status == "ACTIVE" and not deactivate_first:
        raise InputError(
            f"{deletion.words} is ACTIVE, and AWS IoT deletes only certificates that are not: --deactivate"
        )


def _question(deletion: _Deletion, with_thing: bool) -> str:
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


def _clear(iot: "IoTClient", registry: Registry, deletion: _Deletion, with_thing: bool) -> None:
    """Take everything off the certificate, and delete it and, if asked to, its things."""
    found = deletion.certificate
    if found is not None:
        _make_inactive(registry, found)
        for policy in deletion.iot_policies:
            iot.detach_policy(policyName=policy, target=found.arn)
        for thing in deletion.things:
            iot.detach_thing_principal(thingName=thing, principal=found.arn)
    if with_thing:
        for thing in deletion.candidates:
            _delete_thing(iot, registry, deletion, thing)
    if found is not None:
        _patiently(lambda: iot.delete_certificate(certificateId=found.id))


def _make_inactive(registry: Registry, found: DeviceCertificate) -> None:
    from botocore.exceptions import ClientError

    if found.status in ("INACTIVE", "REVOKED"):
        return
    try:
        registry.set_status(found.id, "INACTIVE")
    except ClientError as problem:
        # Whether AWS IoT makes a pending certificate INACTIVE is not documented; it deletes one as it is.
        if found.status == "ACTIVE" or problem.response["Error"]["Code"] != "CertificateStateException":
            raise


def _delete_thing(iot: "IoTClient", registry: Registry, deletion: _Deletion, thing: str) -> None:
    attached = registry.certificates_of(thing)
    if attached is None:
        deletion.things_deleted.append(thing)
        return
    others = tuple(each for each in attached if each != deletion.id)
    if others:
        deletion.things_kept[thing] = others
        return
    _patiently(lambda: iot.delete_thing(thingName=thing))
    deletion.things_deleted.append(thing)


def _patiently(call: Callable[[], object]) -> None:
    """Do it, and again for a while where AWS IoT does not know yet that what was attached is detached."""
    from botocore.exceptions import ClientError

    for attempt in range(1, DETACHED_WITHIN + 1):
        try:
            call()
        except ClientError as problem:
            if problem.response["Error"]["Code"] not in _STILL_ATTACHED or attempt == DETACHED_WITHIN:
                raise
            time.sleep(1)
        else:
            return


def _close(iot: "IoTClient", table: Table, deletion: _Deletion) -> None:
    # Read again: a knock may have been dealt with since.
    record = records_of(table, [deletion.id]).get(deletion.id)
    if record is None:
        return
    name = (record.reservation or "").removeprefix("THING#")
    Reservations(table, Iot(iot)).close(record, thing_gone=name in deletion.things_deleted)
    deletion.record = record


def _document(deletion: _Deletion) -> dict[str, Any]:
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


def _tell(deletion: _Deletion) -> None:
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
