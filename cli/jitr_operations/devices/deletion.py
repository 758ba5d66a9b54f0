"""A device certificate deleted with all that hangs on it, in the order in which AWS IoT allows it.

INACTIVE first, so that nothing is admitted meanwhile; then IoT policies and things off it, then the certificate, and
its decision record last, in one transaction with its reservation: until then the same again finds what is left to do.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jitr.aws.dynamodb.by_hand import acts_of
from jitr.aws.dynamodb.table import Table
from jitr.aws.iot import Iot
from jitr.errors import InputError
from jitr.records.history import HistoryKind, Values
from jitr.records.record import Record
from jitr.services.registration.reservations import Reservations
from jitr_operations.accounts import Account
from jitr_operations.devices.by_hand import forget
from jitr_operations.devices.records import facts_of, name_in, records_of
from jitr_operations.devices.registry import DeviceCertificate, Registry
from jitr_operations.history import keeping

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

# A detachment "might take several seconds to propagate".
# https://docs.aws.amazon.com/iot/latest/apireference/API_DetachThingPrincipal.html
DETACHED_WITHIN = 20  # attempts, a second apart
_STILL_ATTACHED = frozenset({"DeleteConflictException", "InvalidRequestException"})


@dataclass
class Deletion:
    """The parts of a device, and what was done with each."""

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


def look(registry: Registry, table: Table | None, certificate_id: str) -> Deletion:
    """Return what there is of a device. Raises InputError where there is nothing."""
    certificate = registry.get(certificate_id)
    record = records_of(table, [certificate_id]).get(certificate_id)
    if certificate is None:
        if record is None and not acts_of(table, [certificate_id]):
            raise InputError(
                f"no certificate {certificate_id} is registered in this account and Region, and nothing is on record "
                "about it: see `jitr device ls`"
            )
        return Deletion(certificate_id, None, record)
    policies, things = registry.iot_policies(certificate.arn), registry.things(certificate.arn)
    return Deletion(certificate_id, certificate, record, policies, things)


def delete_by_hand(account: Account, table: Table | None, deletion: Deletion, *, with_thing: bool) -> None:
    """Delete a device as ``delete`` does, and write that into the history; without a table nothing is written."""
    kept = None if table is None else account
    command = ("device", "delete", deletion.id[:12], *(("--thing",) if with_thing else ()))
    found, record = deletion.certificate, deletion.record
    before: Values = {
        "status": None if found is None else found.status,
        "decision": None if record is None else str(record.decision),
        "thing": ", ".join(deletion.candidates) or None,
    }
    with keeping.doing(kept, HistoryKind.DEVICE, command, before=before, devices=[deletion.id]) as doing:
        delete(account.client("iot"), table, deletion, with_thing=with_thing)
        doing.after |= {"status": "deleted", "things_deleted": len(deletion.things_deleted)}


def delete(iot: "IoTClient", table: Table | None, deletion: Deletion, *, with_thing: bool) -> None:
    """Take everything off a certificate, delete it and, if asked to, its things, and close its record.

    Without a table decision and reservation stay.
    """
    registry = Registry(iot)
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
    if table is not None:
        forget(table, deletion.id)
        _close(iot, table, deletion)


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


def _delete_thing(iot: "IoTClient", registry: Registry, deletion: Deletion, thing: str) -> None:
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


def _close(iot: "IoTClient", table: Table, deletion: Deletion) -> None:
    # Read again: a knock may have been dealt with since.
    record = records_of(table, [deletion.id]).get(deletion.id)
    if record is None:
        return
    name = (record.reservation or "").removeprefix("THING#")
    Reservations(table, Iot(iot)).close(record, thing_gone=name in deletion.things_deleted)
    deletion.record = record
