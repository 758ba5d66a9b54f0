"""``jitr explain``: the decision about one certificate, and why, by the code that the function runs."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from jitr.certificate import CaReading, CertificateReading, read_ca, read_certificate
from jitr.chain import verify_chain
from jitr.decide import Decision, decide, unreadable
from jitr.errors import InputError, Unreadable
from jitr.facts import Knock
from jitr.lists import ListRow, RowKey, membership_in, rows_by_key
from jitr.profile import warnings
from jitr.reasons import CODES, Verdict
from jitr.record import facts_json
from jitr.rules.model import Rules
from jitr.times import parse_time
from jitr_cli.files import read_bytes
from jitr_cli.list_files import read_rows
from jitr_cli.output import colour, emit, json_option, note, safe, warn
from jitr_cli.rules_files import read_rules_file

_COLOURS = {Verdict.ADMIT: "green", Verdict.HOLD: "yellow", Verdict.REJECT: "red"}
_SIGNS = {Verdict.ADMIT: "ADMIT", Verdict.HOLD: "HOLD", Verdict.REJECT: "REJECT"}


@dataclass(frozen=True, slots=True)
class Inputs:
    """Everything a decision needs, from files."""

    rules: Rules
    cas: Mapping[str, CaReading]
    lists: Mapping[str, Mapping[RowKey, ListRow]]
    at: datetime


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision, the facts it rests on, and what could not be checked without AWS."""

    decision: Decision
    facts: Mapping[str, Any]
    warnings: tuple[str, ...]
    not_checked: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The document of ``--json``."""
        return self.decision.to_json() | {
            "facts": dict(self.facts),
            "warnings": list(self.warnings),
            "not_checked": list(self.not_checked),
        }


@click.command("explain")
@click.option("--rules", "rules_file", required=True, type=click.Path(path_type=Path), help="The rules file.")
@click.option("--certificate", required=True, type=click.Path(path_type=Path), help="The device's certificate.")
@click.option(
    "--ca", "cas", multiple=True, metavar="ALIAS=FILE", help="A CA's certificate, under its alias in the rules."
)
@click.option("--list", "lists", multiple=True, metavar="NAME=FILE.csv", help="A device list that the rules name.")
@click.option("--at", metavar="TIME", help="The time to decide at (RFC 3339 or a date, UTC); now without it.")
@json_option
@click.pass_context
def explain(
    context: click.Context,
    rules_file: Path,
    certificate: Path,
    cas: tuple[str, ...],
    lists: tuple[str, ...],
    at: str | None,
    as_json: bool,
) -> None:
    """Say whether a device would get in, and why, from files alone: no AWS is asked.

    Exit code 0 means admit, 1 hold or reject, 2 that an input cannot be read.

    \b
    Example:
      jitr explain --rules admission.yaml --certificate snr-0001.pem \\
        --ca factory-a=factory-a.pem --list line-a-2026=devices.csv --at 2026-03-01
    """
    rules = read_rules_file(rules_file, certificates=True)
    inputs = Inputs(rules, _read_cas(rules, cas), _read_lists(rules, lists), _read_time(at))
    explanation = explain_offline(read_bytes(certificate), str(certificate), inputs)
    emit(as_json, explanation.to_json(), lambda: show(explanation))
    context.exit(0 if explanation.decision.verdict is Verdict.ADMIT else 1)


def explain_offline(data: bytes, source: str, inputs: Inputs) -> Explanation:
    """Decide a certificate as the function would, but for guards that need the table.

    Raises InputError for bytes that are no certificate at all; one that is too large or damaged is a decision.
    """
    try:
        reading = read_certificate(data)
    except Unreadable as error:
        if error.code == "certificate.unreadable":
            raise InputError(f"{source}: {error}") from error
        return Explanation(unreadable(error.code, str(error), inputs.at), {}, (), ())
    if reading.taken is not None:
        note(f"{source}: {reading.taken}")
    knock = _knock(reading, inputs)
    # Every list, and not only those that decide: near misses then tell of each.
    memberships = {name: membership_in(knock, inputs.lists[name], inputs.at) for name in inputs.rules.lists}
    decision = decide(knock, inputs.rules, memberships, inputs.at, inputs.at)
    return Explanation(decision, facts_json(knock), warnings(knock), _not_checked(decision))


def _knock(reading: CertificateReading, inputs: Inputs) -> Knock:
    """The device, under the CA of those given that issued it; the first one whose key verifies its signature."""
    knocks = []
    for alias, ca in inputs.cas.items():
        chain = verify_chain(reading, ca)
        ca_id = ca.facts.ca_certificate_id
        aliases = inputs.rules.aliases_of(ca_id) | {alias}
        knocks.append(Knock(reading.facts, ca_id, ca.facts, chain, aliases))
    issuers = [each for each in knocks if each.chain is not None and each.chain.signature_valid]
    namesakes = [each for each in knocks if each.chain is not None and each.chain.names_equal]
    chosen = (*issuers, *namesakes, *knocks)[0]
    # The same certificate may be given under several aliases: it has all of them.
    same = [each.aliases for each in knocks if each.ca_certificate_id == chosen.ca_certificate_id]
    return replace(chosen, aliases=frozenset().union(*same))


def _not_checked(decision: Decision) -> tuple[str, ...]:
    """What only the table and AWS IoT know."""
    grant = decision.grant
    if grant is None:
        return ()
    told = []
    if grant.thing is not None:
        told.append(f"that the thing name {grant.thing} is not reserved by another key (grant.thing-claimed)")
        if grant.existing == "hold":
            told.append(f"that no thing {grant.thing} exists that was made elsewhere (grant.thing-exists)")
    if decision.max_devices is not None:
        told.append(f"that one of the {decision.max_devices} places of {decision.rule} is free (grant.max-devices)")
    told.append("that the CA is registered and ACTIVE in AWS IoT, and that what the grant names exists there")
    return tuple(told)


def _read_cas(rules: Rules, cas: tuple[str, ...]) -> dict[str, CaReading]:
    found = {}
    for alias, file in _named("--ca", "ALIAS=FILE", cas).items():
        if alias not in rules.cas:
            known = ", ".join(sorted(rules.cas)) or "none"
            raise InputError(f"--ca {alias}: {rules.source} has no CA of that name; there are: {known}")
        try:
            found[alias] = read_ca(read_bytes(file), status="ACTIVE")
        except Unreadable as error:
            raise InputError(f"{file}: {error}") from error
    if not found:
        raise InputError("no CA is given: --ca ALIAS=FILE names the certificate of the CA that issued the device's")
    return found


def _read_lists(rules: Rules, lists: tuple[str, ...]) -> dict[str, dict[RowKey, ListRow]]:
    given = _named("--list", "NAME=FILE.csv", lists)
    missing = [name for name in rules.lists if name not in given]
    if missing:
        raise InputError(
            f"{rules.source} refers to list {missing[0]}, which is not given: --list {missing[0]}=FILE.csv"
            + (f" (also missing: {', '.join(missing[1:])})" if missing[1:] else "")
        )
    for name in given:
        if name not in rules.lists:
            warn(f"--list {name}: no rule in {rules.source} refers to that list")
    return {name: rows_by_key(read_rows(file)) for name, file in given.items()}


def _named(option: str, form: str, values: tuple[str, ...]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for each in values:
        name, equals, file = each.partition("=")
        if not (name and equals and file):
            raise InputError(f"{option} {each}: give it as {form}")
        if name in found:
            raise InputError(f"{option} {name} is given twice")
        found[name] = Path(file)
    return found


def _read_time(text: str | None) -> datetime:
    if text is None:
        return datetime.now(UTC)
    try:
        return parse_time(text)
    except ValueError:
        raise InputError(f"--at {text}: give a date (2026-03-01) or an RFC 3339 time (2026-03-01T12:00:00Z)") from None


def show(explanation: Explanation) -> None:
    """The explanation for a person: verdict, rule, reasons, near misses, facts."""
    decision = explanation.decision
    rule = f"  {decision.rule} ({decision.at})" if decision.rule else ""
    click.echo(colour(_SIGNS[decision.verdict], _COLOURS[decision.verdict]) + safe(rule))
    for reason in decision.reasons:
        click.echo(f"  {colour(reason.code, _COLOURS[reason.effect])}: {safe(reason.message)}")
        if reason.effect is not Verdict.ADMIT:
            click.echo(f"    {CODES[reason.code].remedy}")
    _show_grant(decision)
    _show_near_misses(decision)
    for warning in explanation.warnings:
        click.echo(f"\n{colour('warning', 'yellow')}: {safe(warning)}")
    _show_facts(explanation.facts)
    if explanation.not_checked:
        click.echo("\nNot checked here:")
        for each in explanation.not_checked:
            click.echo(f"  - {safe(each)}")


def _show_grant(decision: Decision) -> None:
    if decision.grant is None:
        return
    click.echo("\nGrant:")
    for name, value in decision.grant.to_json().items():
        if value:
            told = ", ".join(value) if isinstance(value, list) else value
            if isinstance(value, dict):
                told = ", ".join(f"{key}={each}" for key, each in value.items())
            click.echo(f"  {name}: {safe(str(told))}")


def _show_near_misses(decision: Decision) -> None:
    if not decision.near_misses:
        return
    click.echo("\nNear misses:")
    for each in decision.near_misses:
        matched = f"; matched: {', '.join(each.matched)}" if each.matched else ""
        click.echo(f"  {safe(each.rule)} ({safe(each.at)}){matched}")
        for failed in each.failed:
            click.echo(f"    {colour('but', 'red')} {safe(failed.message)}")


def _show_facts(facts: Mapping[str, Any]) -> None:
    if not facts:
        return
    names = ", ".join(f"{each['name']}={each['value']}" for each in facts["subject"]) or "(empty)"
    key = facts["key"]
    told = [
        ("subject", names),
        ("issuer", ", ".join(f"{each['name']}={each['value']}" for each in facts["issuer"]) or "(empty)"),
        ("serial number", facts["serial_number"]),
        ("valid", f"{facts['not_before']} to {facts['not_after']}"),
        ("key", f"{key['kind']} {key['curve'] or key['bits'] or ''}".rstrip()),
        ("signature", " with ".join(filter(None, (facts["signature"]["algorithm"], facts["signature"]["hash"])))),
        ("X.509 version", facts["version"]),
        ("certificate SHA-256", facts["certificate_sha256"]),
        ("public key SHA-256", facts["public_key_sha256"]),
        ("CA", facts["ca_certificate_id"]),
    ]
    if facts["alternative_names"]:
        told.append(("also named", ", ".join(f"{each['kind']}:{each['value']}" for each in facts["alternative_names"])))
    if facts["extended_key_usage"]:
        told.append(("extended key usage", ", ".join(facts["extended_key_usage"])))
    click.echo("\nFacts:")
    width = max(len(name) for name, _ in told)
    for name, value in told:
        click.echo(f"  {name.ljust(width)}  {safe(str(value))}")
