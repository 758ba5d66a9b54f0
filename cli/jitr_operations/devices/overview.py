"""Device certificates as AWS IoT holds them, with what is attached to them and what was decided about them."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from jitr.aws.dynamodb.by_hand import acts_of
from jitr.aws.dynamodb.rulebook import rules_in_force
from jitr.aws.dynamodb.table import BATCH_GET, Table
from jitr.aws.iot_listings import ListedCertificate
from jitr.errors import Retry
from jitr.facts import CertificateFacts
from jitr.fleet.drift import Drift
from jitr.records.by_hand import Act
from jitr.records.record import Record
from jitr.rules.model import Rules
from jitr_operations import telling
from jitr_operations.accounts import Account
from jitr_operations.cas import which as which_ca
from jitr_operations.devices.comparison import NamedOnList, differences, rows_naming
from jitr_operations.devices.records import facts_of, name_in, records_of
from jitr_operations.devices.registry import DeviceCertificate, NothingFound, Registry, Thing
from jitr_operations.devices.replaced import Replacement, replacement_of
from jitr_operations.devices.which import find


@dataclass(frozen=True)
class DeviceOverview:
    """One certificate with everything around it. One that is not registered has a record, and nothing attached."""

    id: str
    certificate: DeviceCertificate | None
    record: Record | None
    acts: tuple[Act, ...]
    iot_policies: tuple[str, ...] = ()
    things: tuple[Thing, ...] = ()
    further_things: int = 0  # which were not described
    differs: tuple[Drift, ...] | None = None  # from its grant; None where it is not in, or was granted nothing
    on_lists: tuple[NamedOnList, ...] = ()
    replaced: Replacement | None = None

    @property
    def facts(self) -> CertificateFacts | None:
        """The certificate's contents, from AWS IoT or else from the record."""
        reading = self.certificate.reading() if self.certificate else None
        return reading.facts if reading else facts_of(self.record)

    @property
    def ca_id(self) -> str | None:
        """The caCertificateId of its CA, from AWS IoT or else from the record."""
        named = self.certificate.ca_certificate_id if self.certificate else None
        return named or (self.record.ca_certificate_id if self.record else None)

    def to_json(self) -> dict[str, Any]:
        """Return it as ``jitr device show --json`` prints it."""
        certificate, facts = self.certificate, self.facts
        return {
            "certificate_id": self.id,
            "registered": certificate is not None,
            "status": certificate.status if certificate else None,
            "ca_certificate_id": self.ca_id,
            "registered_at": certificate.created if certificate else None,
            "mode": certificate.mode if certificate else None,
            "common_name": name_in(facts),
            "serial_number": facts.serial_number if facts else None,
            "not_before": facts.not_before if facts else None,
            "not_after": facts.not_after if facts else None,
            "replaced_by": [] if self.replaced is None else list(self.replaced.by),
            "iot_policies": list(self.iot_policies),
            "things": [each.to_json() for each in self.things],
            "differs": None if self.differs is None else [each.to_json() for each in self.differs],
            "on_lists": [each.to_json() for each in self.on_lists],
            "record": self.record.to_json() if self.record else None,
            "by_hand": [each.to_json() for each in self.acts],
        }


def overviews(which: str, account: Account, table: Table | None) -> list[DeviceOverview]:
    """Return what there is of the device that is meant: of a thing with several certificates, all of them.

    Raises InputError where none is meant, or no telling which, or where nothing is known of it.
    """
    ids = find(which, Registry(account.client("iot")), table)
    rules = None if table is None else _rules_in_force(table)
    return [overview(each, account, table, rules) for each in ids]


def _rules_in_force(table: Table) -> Rules | None:
    try:
        return rules_in_force(table)
    except Retry as problem:
        telling.warn(f"rows of lists that name the CA by its alias are not looked for: {problem}")
        return None


def overview(
    certificate_id: str, account: Account, table: Table | None, rules: Rules | None, most_things: int | None = None
) -> DeviceOverview:
    """Return what there is of one certificate, with at most so many things. ``rules`` are those in force.

    Raises NothingFound where AWS IoT has no such certificate and nothing was decided about it.
    """
    registry = Registry(account.client("iot"))
    record = records_of(table, [certificate_id]).get(certificate_id)
    acts = acts_of(table, [certificate_id]).get(certificate_id, ())
    on_lists = () if table is None else rows_naming(table, record, rules)
    replaced = replacement_of(table, record)
    certificate = registry.get(certificate_id)
    if certificate is None:
        if record is None:
            raise NothingFound(
                f"no certificate {certificate_id} is registered in this account and Region, and nothing was decided "
                "about it: see `jitr device ls`"
            )
        return DeviceOverview(certificate_id, None, record, acts, on_lists=on_lists, replaced=replaced)
    problem = certificate.problem()
    if problem is not None:
        telling.warn(f"{certificate_id}: {problem}")
    iot_policies = registry.iot_policies(certificate.arn)
    names = registry.things(certificate.arn)
    things = tuple(registry.thing(each) for each in names[:most_things])
    differs = differences(registry, certificate, record, iot_policies, things)
    return DeviceOverview(
        certificate_id,
        certificate,
        record,
        acts,
        iot_policies,
        things,
        len(names) - len(things),
        differs,
        on_lists,
        replaced,
    )


def listing(
    account: Account, table: Table | None, *, ca: str | None, status: str | None, limit: int | None
) -> list[dict[str, Any]]:
    """Return registered certificates as ``jitr device ls --json`` prints them, at most ``limit``.

    ``ca`` is a CA as ``which.find`` takes it. Raises InputError where no CA is meant.
    """
    iot = account.client("iot")
    ca_id = None if ca is None else which_ca.find(account, ca).id
    wanted = (each for each in Registry(iot).all(ca_id) if status is None or each.status == status)
    with telling.progress("Reading certificates", limit) as advance:
        rows = []
        for row in _with_records(table, islice(wanted, limit)):
            rows.append(row)
            advance(1)
    return rows


def _with_records(table: Table | None, listed: Iterator[ListedCertificate]) -> Iterator[dict[str, Any]]:
    while some := list(islice(listed, BATCH_GET)):
        records = records_of(table, (each.id for each in some))
        for each in some:
            record = records.get(each.id)
            yield {
                "certificate_id": each.id,
                "common_name": name_in(facts_of(record)),
                "status": each.status,
                "decision": record.decision.value if record else None,
                "registered_at": each.created,
            }
