"""``jitr ca ls`` and ``jitr ca show``: the CAs that are registered, their devices, and what the rules say of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from jitr.rules.model import Rules
from jitr_cli.console import output
from jitr_cli.console.options import stack_options, stack_was_named
from jitr_operations.cas.aliases import UNKNOWN, Named, account_and_rules, named_in
from jitr_operations.cas.registry import (
    RegisteredCa,
    all_ca_ids,
    counts_text,
    described,
    devices_by_status,
    find,
    warn_of_template,
)
from jitr_operations.certificates import Certificate
from jitr_operations.deployment import Choice
from jitr_operations.issuing.subjects import subject_text

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient


@dataclass(frozen=True)
class Shown:
    """All there is to show of a CA; ``named`` and ``devices`` are None where they are not known."""

    ca: RegisteredCa
    named: Named | None
    devices: Mapping[str, int] | None
    now: datetime

    def to_json(self) -> dict[str, Any]:
        """As ``--json`` prints it."""
        certificate = self.ca.certificate
        return {
            **self.ca.to_json(),
            "days_left": (certificate.not_after - self.now).days if certificate else None,
            **(self.named.to_json() if self.named else UNKNOWN),
            "devices": self.devices,
        }

    def cells(self) -> Iterator[tuple[str, object]]:
        """Return the columns of ``ls``."""
        certificate = self.ca.certificate
        yield "caCertificateId", self.ca.id
        if self.named:
            yield "alias", ", ".join(self.named.aliases)
        yield "subject", subject_text(certificate.subject) if certificate else "(unreadable)"
        yield "status", self.ca.status
        yield "auto-registration", "on" if self.ca.auto_registration == "ENABLE" else "off"
        yield "mode", self.ca.mode
        yield "valid until", certificate.not_after.date() if certificate else None
        yield "validity left", _left(certificate, self.now) if certificate else None
        if self.devices is not None:
            yield "devices", counts_text(self.devices)
        if self.named:
            yield "rules", ", ".join(name for _, name, _ in self.named.rules)


def _warn_of_unreadable(registered: RegisteredCa) -> None:
    if registered.problem is not None:
        output.warn(f"the CA {registered.id} cannot be read: {registered.problem}")


def _left(certificate: Certificate, now: datetime) -> str:
    if now < certificate.not_before:
        return f"not valid before {certificate.not_before.date()}"
    if certificate.not_after < now:
        return "expired"
    days = (certificate.not_after - now).days
    return f"{days} days" if days != 1 else "1 day"


@click.command("ls")
@click.option("--no-count", is_flag=True, help="Do not count devices, which takes a call for every 250 of them.")
@stack_options
@output.json_option
def ls(no_count: bool, choice: Choice, as_json: bool) -> None:
    """All registered CAs: alias in the rules, subject, status, validity left, devices by status, rules that name it.

    Aliases and rules are those of the rules in force in the stack; without a stack they are left out.

    \b
    Example:
      jitr ca ls
    """
    account, rules = account_and_rules(choice, stack_needed=stack_was_named())
    iot = account.client("iot")
    found = list(_read_all(iot))
    counts = _count_all(iot, [] if no_count else found)
    now = datetime.now(UTC)
    shown = [Shown(each, _named(rules, each), counts.get(each.id), now) for each in found]
    for each in found:
        warn_of_template(each)
        _warn_of_unreadable(each)
    output.emit(as_json, {"cas": [each.to_json() for each in shown]}, lambda: _table(shown))
    if not found and not as_json:
        output.note("No CA is registered here: `jitr ca register` registers one.")


def _read_all(iot: "IoTClient") -> Iterator[RegisteredCa]:
    ids = all_ca_ids(iot)
    with output.progress("Reading CAs", len(ids)) as advance:
        for each in ids:
            registered = described(iot, each)
            advance(1)
            if registered is not None:  # else it was deleted since it was listed
                yield registered


def _count_all(iot: "IoTClient", cas: list[RegisteredCa]) -> dict[str, Mapping[str, int]]:
    with output.progress("Counting devices", None) as advance:
        return {each.id: devices_by_status(iot, each.id, advance) for each in cas}


def _named(rules: Rules | None, registered: RegisteredCa) -> Named | None:
    return None if rules is None else named_in(rules, registered.id)


def _table(shown: list[Shown]) -> None:
    rows = [dict(each.cells()) for each in shown]
    output.table(tuple(rows[0]) if rows else (), [tuple(each.values()) for each in rows])


@click.command()
@click.argument("which", metavar="CA")
@stack_options
@output.json_option
def show(which: str, choice: Choice, as_json: bool) -> None:
    """One registered CA: how it is registered, how many devices it has by status, which rules name it.

    CA is a caCertificateId, its first 8 digits or more, or the CA's certificate file.

    \b
    Example:
      jitr ca show 3f9c0c6f
    """
    account, rules = account_and_rules(choice, stack_needed=stack_was_named())
    iot = account.client("iot")
    found = find(iot, which)
    warn_of_template(found)
    _warn_of_unreadable(found)
    shown = Shown(found, _named(rules, found), _count_all(iot, [found])[found.id], datetime.now(UTC))
    document = shown.to_json() | {"created": found.created}
    output.emit(as_json, document, lambda: output.pairs(list(_lines(shown))))


def _lines(shown: Shown) -> Iterator[tuple[str, object]]:
    yield from ((name, value) for name, value in shown.cells() if name not in ("devices", "rules"))
    yield "provisioning template", shown.ca.template or "none"
    yield "created", shown.ca.created
    yield "ARN", shown.ca.arn
    yield from ((f"devices {status}".rstrip(), count) for status, count in (shown.devices or {"": 0}).items())
    if shown.named:
        yield from (("named by", f"{effect} {name} ({at})") for effect, name, at in shown.named.rules)
        if not shown.named.rules:
            yield "named by", "no rule in force"
