"""``jitr device ls | show``: device certificates as AWS IoT holds them, beside what was decided about them."""

from collections.abc import Callable, Sequence

import click

from jitr.reasons import CODES
from jitr.records.record import Record
from jitr.x509.names import rfc4514
from jitr_cli.console import completion, output
from jitr_cli.console.options import AT_MOST, stack_options
from jitr_operations.decisions import knocking
from jitr_operations.decisions.basis import basis_of
from jitr_operations.deployment import Choice
from jitr_operations.devices.overview import DeviceOverview, listing, overviews
from jitr_operations.devices.records import account_and_table
from jitr_operations.devices.registry import STATUSES

_NOT_REGISTERED = "not registered"

# --- ls


@click.command()
@click.option(
    "--ca",
    metavar="CA",
    shell_complete=completion.ca_aliases,
    help="Only those of this CA: alias in the rules in force, caCertificateId, its first 8 digits, or its file.",
)
@click.option("--status", type=click.Choice(STATUSES, case_sensitive=False), help="Only those of this status.")
@click.option("--limit", type=AT_MOST, metavar="N", help="At most so many; all without.")
@stack_options
@output.json_option
def ls(ca: str | None, status: str | None, limit: int | None, choice: Choice, as_json: bool) -> None:
    """List all registered device certificates: common name, status, decision, since when.

    \b
    Examples:
      jitr device ls --status PENDING_ACTIVATION
      jitr device ls --ca factory-a.pem --limit 20
    """
    account, table = account_and_table(choice)
    rows = listing(account, table, ca=ca, status=status, limit=limit)
    columns = ("certificateId", "common name", "status", "decision", "registered")
    cells = [tuple(each.values()) for each in rows]
    output.emit(as_json, {"devices": rows}, lambda: output.table(columns, cells))
    if not rows and not as_json:
        output.note("No device certificate is registered here that fits.")
    if limit is not None and len(rows) == limit:
        output.note(f"These are the first {limit}; there may be more.")


# --- show


@click.command()
@click.argument("which", metavar="DEVICE")
@stack_options
@output.json_option
def show(which: str, choice: Choice, as_json: bool) -> None:
    """Show one device: how AWS IoT holds its certificate, what is attached to it, what was decided about it, and why.

    DEVICE is a certificateId, its first 8 digits or more, a thing's name, the common name of a device on hold, or the
    device's certificate file. Of a thing with several certificates all are shown.

    \b
    Example:
      jitr device show snr-0001
    """
    account, table = account_and_table(choice)
    found = overviews(which, account, table)
    basis = (lambda _record: None) if table is None else basis_of(table)
    output.emit(as_json, {"devices": [each.to_json() for each in found]}, lambda: _tell(found, basis))


def _tell(devices: Sequence[DeviceOverview], basis: Callable[[Record], str | None]) -> None:
    for place, device in enumerate(devices):
        if place:
            click.echo()
        output.pairs([*_pairs_of_certificate(device), *_pairs_of_things(device), *_pairs_of_comparison(device)])
        _tell_decision(device, basis)


def _pairs_of_certificate(device: DeviceOverview) -> list[tuple[str, object]]:
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
    if device.replaced is not None:
        pairs.append(("replaced", device.replaced.told))
    pairs.append(("caCertificateId", device.ca_id))
    if certificate is not None:
        pairs.append(("registered", certificate.created))
        pairs.append(("IoT policies", ", ".join(device.iot_policies) or "none"))
    return pairs + [("by hand", each.told) for each in device.acts]


def _pairs_of_things(device: DeviceOverview) -> list[tuple[str, object]]:
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


def _pairs_of_comparison(device: DeviceOverview) -> list[tuple[str, object]]:
    pairs: list[tuple[str, object]] = [
        (f"on list {each.list}", f"by {each.key.kind}" + (f": {each.row.note}" if each.row.note else ""))
        for each in device.on_lists
    ]
    return pairs + [("differs from its grant", each.told) for each in device.differs or ()]


def _tell_decision(device: DeviceOverview, basis: Callable[[Record], str | None]) -> None:
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
