"""``jitr device ls | show``: device certificates as AWS IoT holds them, beside what was decided about them."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import click

from jitr.aws.dynamodb.table import BATCH_GET, Table
from jitr.errors import InputError
from jitr.facts import CertificateFacts
from jitr.reasons import CODES
from jitr.records.record import Record
from jitr.x509.names import rfc4514
from jitr_cli.console import output
from jitr_cli.console.options import stack_options
from jitr_operations.cas import registry as ca_registry
from jitr_operations.decisions import knocking
from jitr_operations.decisions.basis import basis_of
from jitr_operations.deployment import Choice
from jitr_operations.devices.by_hand import Act, acts_of
from jitr_operations.devices.records import account_and_table, facts_of, name_in, records_of
from jitr_operations.devices.registry import STATUSES, DeviceCertificate, Listed, Registry, Thing
from jitr_operations.devices.which import find

_NOT_REGISTERED = "not registered"

# --- ls


@click.command()
@click.option("--ca", metavar="CA", help="Only those of this CA: caCertificateId, its first 8 digits, or its file.")
@click.option("--status", type=click.Choice(STATUSES, case_sensitive=False), help="Only those of this status.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="At most so many; all without.")
@stack_options
@output.json_option
def ls(ca: str | None, status: str | None, limit: int | None, choice: Choice, as_json: bool) -> None:
    """All registered device certificates: common name, status, decision, since when.

    \b
    Examples:
      jitr device ls --status PENDING_ACTIVATION
      jitr device ls --ca factory-a.pem --limit 20
    """
    account, table = account_and_table(choice)
    iot = account.client("iot")
    ca_id = None if ca is None else ca_registry.find(iot, ca).id
    listed = Registry(iot).all(ca_id)
    wanted = (each for each in listed if status is None or each.status == status)
    with output.progress("Reading certificates", limit) as advance:
        rows = []
        for row in _with_records(table, islice(wanted, limit)):
            rows.append(row)
            advance(1)
    columns = ("certificateId", "common name", "status", "decision", "registered")
    cells = [tuple(each.values()) for each in rows]
    output.emit(as_json, {"devices": rows}, lambda: output.table(columns, cells))
    if not rows and not as_json:
        output.note("No device certificate is registered here that fits.")
    if limit is not None and len(rows) == limit:
        output.note(f"These are the first {limit}; there may be more.")


def _with_records(table: Table | None, listed: Iterator[Listed]) -> Iterator[dict[str, Any]]:
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


# --- show


@click.command()
@click.argument("which", metavar="DEVICE")
@stack_options
@output.json_option
def show(which: str, choice: Choice, as_json: bool) -> None:
    """One device: how AWS IoT holds its certificate, what is attached to it, what was decided about it, and why.

    DEVICE is a certificateId, its first 8 digits or more, a thing's name, the common name of a device on hold, or the
    device's certificate file. Of a thing with several certificates all are shown.

    \b
    Example:
      jitr device show snr-0001
    """
    account, table = account_and_table(choice)
    registry = Registry(account.client("iot"))
    ids = find(which, registry, table)
    records = records_of(table, ids)
    acts = acts_of(table, ids)
    found = [_gathered(registry, each, records.get(each), acts.get(each, ())) for each in ids]
    basis = (lambda _record: None) if table is None else basis_of(table)
    output.emit(as_json, {"devices": [_document(each) for each in found]}, lambda: _tell(found, basis))


class _Device:
    """One certificate with everything around it."""

    def __init__(
        self,
        certificate_id: str,
        certificate: DeviceCertificate | None,
        record: Record | None,
        acts: tuple[Act, ...],
        iot_policies: tuple[str, ...] = (),
        things: tuple[Thing, ...] = (),
    ) -> None:
        self.id = certificate_id
        self.certificate = certificate
        self.record = record
        self.acts = acts
        self.iot_policies = iot_policies
        self.things = things

    @property
    def facts(self) -> CertificateFacts | None:
        """What stands in the certificate, from AWS IoT or else from the record."""
        reading = self.certificate.reading() if self.certificate else None
        return reading.facts if reading else facts_of(self.record)


def _gathered(registry: Registry, certificate_id: str, record: Record | None, acts: tuple[Act, ...]) -> _Device:
    certificate = registry.get(certificate_id)
    if certificate is None:
        if record is None:
            raise InputError(
                f"no certificate {certificate_id} is registered in this account and Region, and nothing was decided "
                "about it: see `jitr device ls`"
            )
        return _Device(certificate_id, None, record, acts)
    problem = certificate.problem()
    if problem is not None:
        output.warn(f"{certificate_id}: {problem}")
    things = tuple(registry.thing(each) for each in registry.things(certificate.arn))
    return _Device(certificate_id, certificate, record, acts, registry.iot_policies(certificate.arn), things)


def _document(device: _Device) -> dict[str, Any]:
    certificate, facts = device.certificate, device.facts
    return {
        "certificate_id": device.id,
        "registered": certificate is not None,
        "status": certificate.status if certificate else None,
        "ca_certificate_id": _ca_id(device),
        "registered_at": certificate.created if certificate else None,
        "mode": certificate.mode if certificate else None,
        "common_name": name_in(facts),
        "serial_number": facts.serial_number if facts else None,
        "not_before": facts.not_before if facts else None,
        "not_after": facts.not_after if facts else None,
        "iot_policies": list(device.iot_policies),
        "things": [each.to_json() for each in device.things],
        "record": device.record.to_json() if device.record else None,
        "by_hand": [each.to_json() for each in device.acts],
    }


def _ca_id(device: _Device) -> str | None:
    named = device.certificate.ca_certificate_id if device.certificate else None
    return named or (device.record.ca_certificate_id if device.record else None)


def _tell(devices: Sequence[_Device], basis: Callable[[Record], str | None]) -> None:
    for place, device in enumerate(devices):
        if place:
            click.echo()
        output.pairs([*_pairs_of_certificate(device), *_pairs_of_things(device)])
        _tell_decision(device, basis)


def _pairs_of_certificate(device: _Device) -> list[tuple[str, object]]:
    certificate, facts = device.certificate, device.facts
    pairs: list[tuple[str, object]] = [("certificateId", device.id)]
    if facts is not None:
        pairs += [
            ("subject", rfc4514(tuple((each,) for each in facts.subject)) or "(empty)"),
            ("serial number", facts.serial_number),
            ("valid from", facts.not_before),
            ("valid until", facts.not_after),
        ]
    pairs.append(("status", certificate.status if certificate else _NOT_REGISTERED))
    pairs.append(("caCertificateId", _ca_id(device)))
    if certificate is not None:
        pairs.append(("registered", certificate.created))
        pairs.append(("IoT policies", ", ".join(device.iot_policies) or "none"))
    return pairs + [("by hand", each.told) for each in device.acts]


def _pairs_of_things(device: _Device) -> list[tuple[str, object]]:
    pairs: list[tuple[str, object]] = []
    for each in device.things:
        pairs.append(("thing", each.name))
        pairs.append(("  type", each.thing_type or "none"))
        pairs.append(
            ("  attributes", ", ".join(f"{name}={value}" for name, value in each.attributes.items()) or "none")
        )
        pairs.append(("  groups", ", ".join(each.groups) or "none"))
        if each.inherited:
            pairs.append(("  IoT policies", f"{', '.join(each.inherited)} (by its groups)"))
    return pairs or [("thing", "none")]


def _tell_decision(device: _Device, basis: Callable[[Record], str | None]) -> None:
    record = device.record
    if record is None:
        return
    click.echo()
    output.pairs(
        [
            ("decision", f"{record.decision.value}, {record.state}"),
            ("rule", f"{record.rule} ({record.at})" if record.rule else "none"),
            ("decided", record.decided_at),
            ("since", record.since),
            ("knocks", knocking.told(record)),
            *([("due", record.due)] if record.due else []),
            *([("reasons", f"{old}; `jitr explain` has today's")] if (old := basis(record)) else []),
        ]
    )
    for reason in record.reasons:
        click.echo(output.safe(f"  {reason['code']}: {reason['message']}"))
        code = CODES.get(reason["code"])
        if code is not None and code.effect is not None and record.decision.value != "admit":
            click.echo(f"    {code.remedy}")
