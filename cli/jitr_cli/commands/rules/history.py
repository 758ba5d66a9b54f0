"""``jitr rules show``, ``history``, ``diff``, ``rollback`` and ``replay``: what was, is and would be in force."""

from datetime import datetime
from pathlib import Path

import click

from jitr.records.record import common_name
from jitr.rules.model import load
from jitr.services.publishing import versions
from jitr.services.recheck.replay import Replayed
from jitr_cli.commands.rules.publish import ask_about_deny_lists, show_preview
from jitr_cli.console.options import FILE, stack_options
from jitr_cli.console.output import confirm, emit, json_option, note, table
from jitr_cli.console.since import since_option
from jitr_operations.deployment import Choice
from jitr_operations.rules.publication import (
    compiled_of,
    difference,
    propose_version,
    publish,
    replay_file,
    text_of,
    version_of,
)
from jitr_operations.rules.with_ids import names_files, with_ids
from jitr_operations.table import table_of

_MOST_SHOWN = 50


@click.command("history")
@stack_options
@json_option
def history(choice: Choice, as_json: bool) -> None:
    """Show every version of the rules that was in force, the newest first: who, when, why.

    \b
    Example:
      jitr rules history
    """
    found = list(versions.history(table_of(choice.deployment())))
    rows = [(each.version, each.published_at, each.published_by, each.digest[:12], each.message) for each in found]
    columns = ("version", "published", "by", "digest", "why")
    emit(as_json, [each.to_json() for each in found], lambda: table(columns, rows))
    if not found:
        note("No rules were published yet.")


@click.command("show")
@click.argument("version", type=int, required=False)
@click.option("--ids", is_flag=True, help="CAs by their ids, in place of the files that named them.")
@stack_options
@json_option
def show(version: int | None, ids: bool, choice: Choice, as_json: bool) -> None:
    """Print the rules file that is in force, or a VERSION of it, as it was published.

    With --ids it needs no CA certificates beside it, so it can be published from anywhere, as for a back-up.

    \b
    Examples:
      jitr rules show
      jitr rules show --ids >admission.yaml
      jitr rules show 3 >earlier.yaml
    """
    deployed = table_of(choice.deployment())
    found = version_of(deployed, version)
    text = text_of(deployed, found)
    if ids:
        text = with_ids(text, load(compiled_of(deployed, found)))
    elif names_files(text):
        note(
            "It names CA certificates by their files, and can be published beside those only; --ids gives ids instead."
        )
    emit(as_json, found.to_json() | {"text": text}, text)


@click.command("diff")
@click.argument("old", type=int, required=False)
@click.argument("new", type=int, required=False)
@stack_options
@json_option
@click.pass_context
def diff(context: click.Context, old: int | None, new: int | None, choice: Choice, as_json: bool) -> None:
    """Compare two versions of the rules: OLD with NEW, or the one before with the one in force.

    Exit code 1 means that they differ.

    \b
    Examples:
      jitr rules diff
      jitr rules diff 3 5
    """
    deployed = table_of(choice.deployment())
    after = version_of(deployed, new)
    before = version_of(deployed, old if old is not None else after.version - 1)
    lines = difference(deployed, before, after)
    emit(as_json, {"old": before.to_json(), "new": after.to_json(), "diff": lines}, "\n".join(lines))
    context.exit(1 if lines else 0)


@click.command("rollback")
@click.argument("version", type=int, required=False)
@click.option("--message", "-m", metavar="TEXT", help="Why, for the history.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@stack_options
@json_option
def rollback(version: int | None, message: str | None, yes: bool, choice: Choice, as_json: bool) -> None:
    """Put an earlier VERSION of the rules in force again, as a new version; by default the one before.

    \b
    Examples:
      jitr rules rollback
      jitr rules rollback 3 --message "line B is not ready"
    """
    deployment = choice.deployment()
    deployed = table_of(deployment)
    version = version if version is not None else version_of(deployed, None).version - 1
    found = version_of(deployed, version)
    proposal = propose_version(deployment, found)
    deployment.announce("dynamodb")
    preview = show_preview(deployment, proposal, look_back=True)
    ask_about_deny_lists(proposal.doubts, yes)
    confirm(
        f"Put version {version} ({found.published_at}) in force in place of version {proposal.before.version}?", yes
    )
    done = publish(deployment, proposal, message or f"rollback to version {version}", rollback_to=version)
    emit(as_json, done.to_json() | preview.to_json(), f"Version {version} is in force again, as version {done.version}")


@click.command("replay")
@click.argument("file", type=FILE)
@since_option
@stack_options
@json_option
@click.pass_context
def replay_command(context: click.Context, file: Path, since: datetime | None, choice: Choice, as_json: bool) -> None:
    """Decide recorded decisions again under the rules in FILE, and show what would change, by rule and by device.

    They are decided from the recorded facts and the lists as they are now. Nothing is changed.

    Exit code 1 means that some decision would be another.

    \b
    Example:
      jitr rules replay admission.yaml --since 24h
    """
    outcome = replay_file(choice, file, since)
    document = {
        "decided": outcome.decided,
        "effect": outcome.effect(),
        "by_rule": [_by_rule(*each) for each in outcome.by_rule().most_common()],
        "changes": [each.to_json() | {"common_name": common_name(each.record)} for each in outcome.changes],
    }
    emit(as_json, document, lambda: _tell(outcome))
    context.exit(1 if outcome.changes else 0)


def _by_rule(change: tuple[str, str, str], devices: int) -> dict[str, object]:
    was, would_be, by = change
    return {"from": was, "to": would_be, "by": by, "devices": devices}


def _tell(outcome: Replayed) -> None:
    click.echo(f"{outcome.decided} decisions made again: {outcome.sentence()}.")
    if not outcome.changes:
        return
    click.echo()
    counts = outcome.by_rule().most_common()
    table(("devices", "was", "would be", "by"), [(count, *change) for change, count in counts])
    click.echo()
    shown = outcome.changes[:_MOST_SHOWN]
    rows = [
        (
            each.record.certificate_id[:12],
            common_name(each.record),
            each.record.decision.value,
            each.decision.verdict.value,
            "; ".join(f"{reason.code}: {reason.message}" for reason in each.decision.reasons),
        )
        for each in shown
    ]
    table(("certificate", "common name", "was", "would be", "why"), rows)
    if len(outcome.changes) > len(shown):
        note(f"These are the newest {len(shown)} of {len(outcome.changes)}; --json has all.")
