"""What ``jitr explain`` says of one device, for people."""

from collections.abc import Mapping
from typing import Any

import click

from jitr.decision.decide import Decision
from jitr.reasons import CODES, Verdict
from jitr_cli.console.output import colour, safe
from jitr_operations.explain.explanation import Explanation

_COLOURS = {Verdict.ADMIT: "green", Verdict.HOLD: "yellow", Verdict.REJECT: "red"}
_SIGNS = {Verdict.ADMIT: "ADMIT", Verdict.HOLD: "HOLD", Verdict.REJECT: "REJECT"}


def show(explanation: Explanation) -> None:
    """Print the explanation for a person: verdict, rule, reasons, near misses, facts."""
    decision = explanation.decision
    rule = f"  {decision.rule} ({decision.at})" if decision.rule else ""
    click.echo(colour(_SIGNS[decision.verdict], _COLOURS[decision.verdict]) + safe(rule))
    if explanation.replaced is not None:
        click.echo(f"{colour('REPLACED', 'yellow')}  {explanation.replaced.told}; its status is {explanation.status}")
    for reason in decision.reasons:
        click.echo(f"  {colour(reason.code, _COLOURS[reason.effect])}: {safe(reason.message)}")
        if reason.effect is not Verdict.ADMIT:
            click.echo(f"    {CODES[reason.code].remedy_for(rejected=explanation.knocks)}")
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


def _answer(answer: Mapping[str, Any]) -> str:
    """Return what a responder said, of when and who it is; or why that counts for nothing."""
    if "status" not in answer:
        return str(answer.get("problem") or answer.get("failure"))
    until = f" to {answer['next_update']}" if "next_update" in answer else ""
    return f"{answer['status']}, by {answer['responder']}, of {answer['this_update']}{until}"


def _list(said: Mapping[str, Any]) -> str:
    """Return of when a revocation list and its delta list are; or why they count for nothing."""
    if "this_update" not in said:
        return str(said.get("problem") or said.get("failure") or "never to be had")
    told = f"of {said['this_update']} to {said['next_update']}"
    delta = said.get("delta")
    return told if delta is None else f"{told}, delta list of {delta['this_update']} to {delta['next_update']}"


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
        *([("  as it is written", facts["written_key_sha256"])] if "written_key_sha256" in facts else []),
        *[("revocation list", f"{_list(each)} ({key})") for key, each in facts.get("revocation", {}).items()],
        *[("OCSP", f"{_answer(each)} ({key})") for key, each in facts.get("ocsp", {}).items()],
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
