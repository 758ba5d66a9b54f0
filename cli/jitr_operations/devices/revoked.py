"""Which of the devices that are in already their CA has revoked since."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from jitr.aws.cas import CaLookup, Cas
from jitr.aws.dynamodb.rulebook import rules_in_force
from jitr.aws.dynamodb.table import BATCH_GET
from jitr.aws.iot import Iot
from jitr.errors import InputError
from jitr.rules.model import Crl, Rules
from jitr.text import counted
from jitr.times import rfc3339
from jitr.x509.certificate import CaReading
from jitr.x509.crl import CrlReading, RevokedEntry
from jitr_operations import telling
from jitr_operations.cas import which as which_ca
from jitr_operations.crls import crls_with
from jitr_operations.deployment import Deployment
from jitr_operations.devices.admissions import recently_admitted, those_active
from jitr_operations.devices.recall import with_facts
from jitr_operations.devices.records import name_in
from jitr_operations.devices.registry import Registry
from jitr_operations.table import table_of


@dataclass(frozen=True, slots=True)
class Revoked:
    """A device that is on its CA's revocation list."""

    certificate_id: str
    common_name: str | None
    serial_number: str
    entry: RevokedEntry

    def to_json(self) -> dict[str, str | None]:
        """Return it as ``--json`` prints it."""
        return {
            "certificate_id": self.certificate_id,
            "common_name": self.common_name,
            "serial_number": self.serial_number,
            "revoked_at": rfc3339(self.entry.revoked_at),
            "reason": self.entry.reason,
        }

    @property
    def on_hold(self) -> bool:
        """Whether the CA may let it in again (RFC 5280 5.3.1, certificateHold)."""
        return self.entry.on_hold

    def __str__(self) -> str:
        """Return it for people."""
        name = self.common_name or "(no common name)"
        what = "on hold" if self.on_hold else f"revoked ({self.entry.reason})"
        return (
            f"{self.certificate_id[:12]}  {name}  serial {self.serial_number}, {what} {rfc3339(self.entry.revoked_at)}"
        )


def find_revoked(
    deployment: Deployment, registry: Registry, which: str, at: datetime
) -> tuple[list[Revoked], list[str]]:
    """Find every ACTIVE certificate of a CA that is on the revocation list which the rules in force give it.

    Waits for devices on it that are being admitted; the second part of the result are those where that did not come to
    an end. Raises InputError where there is no such CA, no list, or none that can be used.
    """
    found: list[Revoked] = []
    late: dict[str, Revoked] = {}
    table = table_of(deployment)
    with telling.progress("Comparing certificates", None) as advance:
        for ca_id, crls in _lists(deployment, which, at):
            active = (each.id for each in registry.all(ca_id) if each.status == "ACTIVE")
            while some := list(islice(active, BATCH_GET)):
                found += _on(crls, deployment, registry, some)
                advance(len(some))
            seen = {each.certificate_id for each in found}
            recent = [each for each in recently_admitted(table, at) if each not in seen]
            of_ca = [each.certificate_id for each in table.records(recent) if each.ca_certificate_id == ca_id]
            late |= {each.certificate_id: each for each in _on(crls, deployment, registry, of_ca)}
    admitted, under_way = those_active(table, registry, list(late), at)
    return [*found, *(late[each] for each in admitted)], under_way


def _on(
    crls: list[CrlReading], deployment: Deployment, registry: Registry, certificate_ids: list[str]
) -> Iterator[Revoked]:
    """Return who is on a list, or on any partition of it."""
    for certificate_id, knock in with_facts(table_of(deployment), registry, certificate_ids):
        facts = knock.certificate
        entries = (crl.look_up(int(facts.serial_number, 16)) for crl in crls)
        entry = next((each for each in entries if each is not None), None)
        if entry is not None:
            yield Revoked(certificate_id, name_in(facts), facts.serial_number, entry)


def _lists(deployment: Deployment, which: str, at: datetime) -> Iterator[tuple[str, list[CrlReading]]]:
    """Return the list, or all its partitions, of a CA, or of each registered one that an alias stands for."""
    rules = _rules(deployment)
    alias, ids = which_ca.configured(deployment, rules, which)
    configured = _configured(rules, alias)
    crls, cas = crls_with(deployment), Cas(Iot(deployment.client("iot")))
    registered = [(each, cas.get(each, at)) for each in ids]
    if all(ca.reading is None for _, ca in registered):
        raise InputError(
            f"AWS IoT holds none of the CAs that {rules.source} calls {alias}: nothing to verify a list by"
            if all(ca.problem is None for _, ca in registered)
            else "; ".join(_why_not(ca_id, ca) for ca_id, ca in registered) + ": nothing to verify a list by"
        )
    for ca_id, ca in registered:
        if ca.reading is None:
            telling.warn(f"{_why_not(ca_id, ca)}: its devices are not compared")
        else:
            yield ca_id, [_list(crls.list_of(each, ca.reading, at), each, ca.reading, at) for each in configured]


def _why_not(ca_id: str, ca: CaLookup) -> str:
    if ca.problem is None:
        return f"AWS IoT no longer holds the CA {ca_id[:12]}"
    return f"the CA {ca_id[:12]} is registered, but here it is not read ({ca.problem})"


def _list(crl: CrlReading, configured: Crl, ca: CaReading, at: datetime) -> CrlReading:
    of = f"CA {ca.facts.ca_certificate_id[:12]}"
    of += "" if configured.point is None else f" at {configured.url}"
    changes = (
        "" if crl.delta is None else f", its delta list is of {rfc3339(crl.delta.this_update)} and has {len(crl.delta)}"
    )
    telling.note(
        f"The list of {of} is of {rfc3339(crl.this_update)} and has {counted(len(crl), 'entry', 'entries')}{changes}."
    )
    for each in (crl, crl.delta):
        if each is not None and at > each.next_update:
            telling.warn(f"it ran out at {rfc3339(each.next_update)}; who is on it is revoked all the same")
    return crl


def _rules(deployment: Deployment) -> Rules:
    rules = rules_in_force(table_of(deployment))
    if rules is None:
        raise InputError("no rules are in force, and it is they that say where a CA's revocation list is")
    return rules


def _configured(rules: Rules, alias: str) -> tuple[Crl, ...]:
    ca = rules.cas[alias]
    if not ca.crls:
        raise InputError(f"the rules in force give {alias} no revocation list: see `crl` in docs/rules.md")
    return ca.crls
