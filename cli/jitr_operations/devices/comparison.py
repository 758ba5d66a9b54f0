"""A device compared with lists and its grant: the rows that name it, and how AWS IoT differs from what was granted."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from jitr.aws.dynamodb.table import Table
from jitr.devicelists.rows import ListRow, RowKey, device_keys
from jitr.fleet.drift import DeviceFound, Drift, ThingFound, drifts
from jitr.fleet.standing import ACTIVE
from jitr.reasons import Verdict
from jitr.records.record import APPLIED, Record
from jitr.rules.model import Grant, Rules
from jitr_operations.devices.records import knock_of
from jitr_operations.devices.registry import DeviceCertificate, Registry, Thing


@dataclass(frozen=True, slots=True)
class NamedOnList:
    """A row of a list that names a device, and the most exact key that finds it."""

    list: str
    key: RowKey
    row: ListRow

    def to_json(self) -> dict[str, Any]:
        """Return it as ``--json`` prints it."""
        return {"list": self.list, "found_by": self.key.kind, "row": self.row.to_json()}


def rows_naming(table: Table, record: Record | None, rules: Rules | None) -> tuple[NamedOnList, ...]:
    """Return the rows of all lists that a device's keys find, by list, whether they count or have expired.

    ``rules`` say under which aliases rows may name the device's CA. A hundred keys are one read of the table.
    """
    knock = knock_of(record)
    if knock is None:
        return ()
    if rules is not None:
        knock = replace(knock, aliases=rules.aliases_of(knock.ca_certificate_id))
    keys = device_keys(knock)
    found = table.rows(table.heads().lists, keys)
    named = []
    for name in sorted(found):
        rows = dict(found[name])
        of_list: list[NamedOnList] = []
        for key in keys:
            if key in rows and all(each.row != rows[key] for each in of_list):
                of_list.append(NamedOnList(name, key, rows[key]))
        named += of_list
    return tuple(named)


def differences(
    registry: Registry,
    certificate: DeviceCertificate,
    record: Record | None,
    iot_policies: Sequence[str],
    things: Sequence[Thing],
) -> tuple[Drift, ...] | None:
    """Return how what AWS IoT has of a device differs from its grant; None for one that is not in, or has no grant.

    A thing that another certificate is attached to as well may follow that one's grant: its values are not compared.
    """
    if record is None or (record.decision, record.state, certificate.status) != (Verdict.ADMIT, APPLIED, ACTIVE):
        return None
    if record.grant is None:
        return None
    grant = Grant.from_json(record.grant)
    found = DeviceFound(iot_policies=frozenset(iot_policies))
    if grant.thing is not None and (holders := registry.certificates_of(grant.thing)) is not None:
        thing = next((each for each in things if each.name == grant.thing), None) or registry.thing(grant.thing)
        found = replace(
            found,
            thing=ThingFound(thing.thing_type, thing.attributes, frozenset(thing.groups)),
            attached=certificate.id in holders,
            shared=bool(set(holders) - {certificate.id}),
        )
    return drifts(grant, found)
