"""``jitr decisions``: what was decided on each device, and why."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import click

from jitr.aws.dynamodb.by_hand import acts_of
from jitr.reasons import CODES, Verdict
from jitr.records.by_hand import Act
from jitr.records.record import Record, common_name
from jitr.times import rfc3339
from jitr_cli.console import completion
from jitr_cli.console.filters import ca_option, reason_option
from jitr_cli.console.options import AT_MOST, stack_options
from jitr_cli.console.output import colour, confirm, emit, json_option, note, pairs, safe, table
from jitr_cli.console.since import require_order, since_option, until_option
from jitr_operations.decisions import knocking, listing, words
from jitr_operations.decisions.basis import basis_of
from jitr_operations.deployment import Choice
from jitr_operations.devices.replaced import Replacement, replacement_of
from jitr_operations.table import table_of

_COLOURS = {Verdict.ADMIT: "green", Verdict.HOLD: "yellow", Verdict.REJECT: "red"}


@click.group("decisions", no_args_is_help=True)
def decisions() -> None:
    """Show what was decided on each device."""


@decisions.command("ls")
@click.option("--decision", type=click.Choice([each.value for each in Verdict]), help="Only these.")
@click.option("--rule", metavar="NAME", shell_complete=completion.rule_names, help="Only those that rest on this rule.")
@reason_option("Only those with this reason code.")
@ca_option
@click.option("--limit", default=100, show_default=True, type=AT_MOST, help="At most so many.")
@since_option
@until_option
@stack_options
@json_option
def ls(
    decision: str | None,
    rule: str | None,
    reason: str | None,
    ca: str | None,
    limit: int,
    since: datetime | None,
    until: datetime | None,
    choice: Choice,
    as_json: bool,
) -> None:
    """Show the decision in force on each certificate, the newest first.

    \b
    Examples:
      jitr decisions ls --decision reject --since 24h
      jitr decisions ls --rule line-a-sensors --ca factory-a --since 2026-03-01 --until 2026-03-02
      jitr decisions ls --reason certificate.expired --json
    """
    require_order(since, until)
    deployed = table_of(choice.deployment())
    found = listing.decisions(
        deployed,
        verdict=None if decision is None else Verdict(decision),
        rule=rule,
        reason=reason,
        ca=ca,
        since=since,
        until=until,
        limit=limit,
    )
    acts = acts_of(deployed, (each.certificate_id for each in found))
    emit(as_json, [listing.document(each, acts) for each in found], lambda: _show_all(found, acts))
    if len(found) == limit:
        note(f"These are the newest {limit}; --limit shows more.")


@decisions.command("show")
@click.argument("device")
@stack_options
@json_option
def show(device: str, choice: Choice, as_json: bool) -> None:
    """Show the decision on one DEVICE: rule, reasons, near misses, what was granted, under which rules.

    And what operators did to its status since, by `jitr device activate`, `deactivate` and `revoke`: who, when, why.

    DEVICE is a certificateId or its beginning, a thing's name, the common name of a device on hold or the
    certificate's file.

    \b
    Example:
      jitr decisions show 3f9c0c6f
    """
    deployment = choice.deployment()
    deployed = table_of(deployment)
    record = words.decided(device, deployment, deployed)
    acts = acts_of(deployed, [record.certificate_id])
    basis = basis_of(deployed)(record)
    replaced = replacement_of(deployed, record)
    document = listing.document(record, acts) | ({"replaced_by": list(replaced.by)} if replaced else {})
    emit(as_json, document, lambda: _show(record, acts.get(record.certificate_id, ()), basis, replaced))


@decisions.command("reopen")
@click.argument("device")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@stack_options
@json_option
def reopen(device: str, yes: bool, choice: Choice, as_json: bool) -> None:
    """Decide a rejected DEVICE again, after the reason for the rejection was fixed.

    Only for certificates that jitr made INACTIVE: REVOKED is final, and what others changed stays as it is.

    \b
    Example:
      jitr decisions reopen 3f9c0c6f
    """
    deployment = choice.deployment()
    record = listing.rejected(deployment, device)
    deployment.announce("sqs")
    confirm(f"Decide certificate {record.certificate_id[:12]} ({common_name(record)}) again?", yes)
    listing.reopen(deployment, record)
    document = {"certificate_id": record.certificate_id, "reopened": True}
    emit(as_json, document, f"Reopened. `jitr decisions show {record.certificate_id[:12]}` tells what came of it.")


def _show_all(found: list[Record], acts: Mapping[str, tuple[Act, ...]]) -> None:
    if not found:
        note("No decision on record fits.")
        return
    rows = [
        (
            rfc3339(each.decided_at),
            each.decision.value,
            each.certificate_id[:12],
            common_name(each),
            each.rule,
            ", ".join(reason["code"] for reason in each.reasons),
            *([] if not acts else [acts[each.certificate_id][-1].told if each.certificate_id in acts else ""]),
        )
        for each in found
    ]
    columns = ("decided", "decision", "certificate", "common name", "rule", "reasons")
    table((*columns, "by hand") if acts else columns, rows)


def _show(record: Record, acts: tuple[Act, ...], basis: str | None, replaced: Replacement | None) -> None:
    rule = f"  {safe(record.rule)} ({safe(record.at or '')})" if record.rule else ""
    click.echo(colour(record.decision.value.upper(), _COLOURS[record.decision]) + rule)
    for reason in record.reasons:
        click.echo(f"  {safe(reason['code'])}: {safe(reason['message'])}")
        if reason["code"] in CODES and record.decision is not Verdict.ADMIT:
            click.echo(f"    {CODES[reason['code']].remedy}")
    for miss in record.near_misses:
        click.echo(f"  near: {safe(miss['rule'])} ({safe(miss['at'])})")
        for failed in miss["failed"]:
            click.echo(f"    {safe(failed['message'])}")
    if acts and acts[-1].cut_off:
        click.echo(colour("CUT OFF", "red") + safe(f"  {acts[-1].told}"))
    if replaced is not None:
        click.echo(colour("REPLACED", "yellow") + f"  {replaced.told}")
    click.echo()
    pairs(
        [
            ("certificate", record.certificate_id),
            ("common name", common_name(record)),
            ("CA", record.ca_certificate_id),
            ("state", record.state),
            ("decided", record.decided_at),
            ("since", record.since),
            ("knocked", knocking.told(record)),
            *([("due", record.due)] if record.due else []),
            *([("reservation", record.reservation)] if record.reservation else []),
            ("rules", (record.digest or "")[:12]),
            *([("reasons", f"{basis}; `jitr explain` has today's")] if basis else []),
            *(("list", f"{name} at {edition}") for name, edition in record.editions.items()),
            *(("by hand", each.told) for each in acts),
        ]
    )
    if record.grant:
        click.echo()
        pairs([(name, _plain(value)) for name, value in record.grant.items() if value])


def _plain(value: Any) -> str:
    """Return what was granted as a person reads it: names with commas between them."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={each}" for name, each in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
