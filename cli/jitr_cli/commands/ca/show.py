"""``jitr ca ls`` and ``jitr ca show``: the CAs that are registered, their devices, and what the rules say of them."""

from collections.abc import Iterator, Sequence
from datetime import datetime

import click

from jitr.text import counted
from jitr_cli.console import completion, output
from jitr_cli.console.options import stack_options, stack_was_named
from jitr_operations.cas.aliases import account_and_rules
from jitr_operations.cas.overview import CaOverview, overview, overviews
from jitr_operations.cas.registry import counts_text
from jitr_operations.certificates import Certificate
from jitr_operations.deployment import Choice
from jitr_operations.issuing.subjects import subject_text
from jitr_operations.table import now


@click.command("ls")
@click.option("--no-count", is_flag=True, help="Do not count devices, which takes a call for every 250 of them.")
@stack_options
@output.json_option
def ls(no_count: bool, choice: Choice, as_json: bool) -> None:
    """List registered CAs: alias in the rules, subject, status, validity left, devices by status, rules that name it.

    Aliases and rules are those of the rules in force in the stack; without a stack they are left out.

    \b
    Example:
      jitr ca ls
    """
    account, rules = account_and_rules(choice, stack_needed=stack_was_named())
    shown = overviews(account, rules, now(), count=not no_count)
    output.emit(as_json, {"cas": [each.to_json() for each in shown]}, lambda: _table(shown))
    if not shown and not as_json:
        output.note("No CA is registered here: `jitr ca register` registers one.")


@click.command()
@click.argument("which", metavar="CA", shell_complete=completion.ca_aliases)
@stack_options
@output.json_option
def show(which: str, choice: Choice, as_json: bool) -> None:
    """Show one registered CA: how it is registered, how many devices it has by status, which rules name it.

    CA is an alias in the rules in force, a caCertificateId, its first 8 digits or more, or the CA's certificate file.

    \b
    Example:
      jitr ca show factory-a
    """
    account, rules = account_and_rules(choice, stack_needed=stack_was_named())
    shown = overview(account, rules, now(), which)
    document = shown.to_json() | {"created": shown.ca.created}
    output.emit(as_json, document, lambda: output.pairs(list(_lines(shown))))


def _table(shown: Sequence[CaOverview]) -> None:
    rows = [dict(_cells(each)) for each in shown]
    output.table(tuple(rows[0]) if rows else (), [tuple(each.values()) for each in rows])


def _cells(shown: CaOverview) -> Iterator[tuple[str, object]]:
    """Return the columns of ``ls``."""
    certificate = shown.ca.certificate
    yield "caCertificateId", shown.ca.id
    if shown.named:
        yield "alias", ", ".join(shown.named.aliases)
    yield "subject", subject_text(certificate.subject) if certificate else "(unreadable)"
    yield "status", shown.ca.status
    yield "auto-registration", "on" if shown.ca.auto_registration == "ENABLE" else "off"
    yield "mode", shown.ca.mode
    yield "valid until", certificate.not_after.date() if certificate else None
    yield "validity left", _left(certificate, shown.now) if certificate else None
    if shown.devices is not None:
        yield "devices", counts_text(shown.devices)
    if shown.named:
        yield "rules", ", ".join(name for _, name, _ in shown.named.rules)


def _lines(shown: CaOverview) -> Iterator[tuple[str, object]]:
    yield from ((name, value) for name, value in _cells(shown) if name not in ("devices", "rules"))
    yield "provisioning template", shown.ca.template or "none"
    yield "created", shown.ca.created
    yield "ARN", shown.ca.arn
    yield from ((f"devices {status}".rstrip(), count) for status, count in (shown.devices or {"": 0}).items())
    if shown.named:
        yield from (("named by", f"{effect} {name} ({at})") for effect, name, at in shown.named.rules)
        if not shown.named.rules:
            yield "named by", "no rule in force"


def _left(certificate: Certificate, now: datetime) -> str:
    if now < certificate.not_before:
        return f"not valid before {certificate.not_before.date()}"
    if certificate.not_after < now:
        return "expired"
    return counted((certificate.not_after - now).days, "day")
