"""``jitr rules show``, ``history``, ``diff``, ``rollback`` and ``replay``: what was, is and would be in force."""

from datetime import datetime
from difflib import unified_diff
from pathlib import Path

import click

from jitr.aws.account import known_in, unknown_names
from jitr.aws.dynamodb.decisions import newest_of
from jitr.aws.dynamodb.table import Conflict, Table
from jitr.errors import InputError
from jitr.rules.model import load
from jitr.services.publishing import publication
from jitr.services.publishing.deny_lists import check_deny_lists
from jitr.services.publishing.publication import Version
from jitr.services.recheck.replay import Outcome, replay
from jitr_cli.commands.rules.publish import ask_about_deny_lists, show_preview
from jitr_cli.console.options import stack_options
from jitr_cli.console.output import confirm, emit, json_option, note, progress, safe, table, warn
from jitr_cli.console.since import since_option
from jitr_operations.deployment import Choice
from jitr_operations.records import common_name
from jitr_operations.rules.files import read_and_test
from jitr_operations.rules.topic_rules import warn_of_others
from jitr_operations.rules.with_ids import names_files, with_ids
from jitr_operations.table import now, now_text, operator, table_of

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
    versions = list(publication.history(table_of(choice.deployment())))
    rows = [(each.version, each.published_at, each.published_by, each.digest[:12], each.message) for each in versions]
    columns = ("version", "published", "by", "digest", "why")
    emit(as_json, [each.to_json() for each in versions], lambda: table(columns, rows))
    if not versions:
        note("No rules were published yet.")


@click.command("show")
@click.argument("version", type=int, required=False)
@click.option("--ids", is_flag=True, help="CAs by their ids, in place of the files that named them.")
@stack_options
@json_option
def show(version: int | None, ids: bool, choice: Choice, as_json: bool) -> None:
    """Print the rules file that is in force, or a VERSION of it, as it was published.

    With --ids it needs no CA certificates beside it, so that it can be published from anywhere: for a back-up.

    \b
    Examples:
      jitr rules show
      jitr rules show --ids >admission.yaml
      jitr rules show 3 >earlier.yaml
    """
    deployed = table_of(choice.deployment())
    found = _version(deployed, version)
    text = _source(deployed, found)
    if ids:
        text = with_ids(text, load(_compiled(deployed, found)))
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
    after = _version(deployed, new)
    before = _version(deployed, old if old is not None else after.version - 1)
    lines = list(
        unified_diff(
            _source(deployed, before).splitlines(),
            _source(deployed, after).splitlines(),
            f"version {before.version}",
            f"version {after.version}",
            lineterm="",
        )
    )
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
    version = version if version is not None else _version(deployed, None).version - 1
    found = _version(deployed, version)
    compiled = _compiled(deployed, found)
    before = deployed.heads()
    if before.digest == found.digest:
        raise InputError(f"version {version} is what is in force: nothing to do")
    rules, text = load(compiled), _source(deployed, found).encode()
    for each in unknown_names(rules, known_in(deployment.client("iot"), deployed)):
        warn(each)
    publication.check_counts(deployed, rules, before)
    doubts = check_deny_lists(deployed, rules, before)
    warn_of_others(deployment)
    deployment.announce("dynamodb")
    preview = show_preview(deployed, rules, text, before, look_back=True)
    ask_about_deny_lists(doubts, yes)
    confirm(f"Put version {version} ({found.published_at}) in force in place of version {before.version}?", yes)
    why = message or f"rollback to version {version}"
    try:
        done = publication.publish(deployed, rules, text, before, at=now_text(), by=operator(deployment), message=why)
    except Conflict:
        raise InputError("somebody else published rules meanwhile, and theirs are in force: look at them") from None
    emit(as_json, done.to_json() | preview, f"Version {version} is in force again, as version {done.version}")


@click.command("replay")
@click.argument("file", type=click.Path(path_type=Path))
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
    rules, _ = read_and_test(file)
    deployment = choice.deployment()
    deployed = table_of(deployment)
    for each in unknown_names(rules, known_in(deployment.client("iot"), deployed)):
        warn(each)
    with progress("Deciding again", None) as advance:
        outcome = replay(deployed, rules, newest_of(deployed, since=since), now(), advance)
    if outcome.failed:
        warn(f"{outcome.failed} decisions could not be made again: that is a bug, and they are left out")
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


def _tell(outcome: Outcome) -> None:
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


def _version(deployed: Table, number: int | None) -> Version:
    if number is None:
        found = publication.in_force(deployed)
        if found is None:
            raise InputError("no rules are in force yet: `jitr rules publish admission.yaml`")
        return found
    for each in publication.history(deployed):
        if each.version == number:
            return each
    raise InputError(f"there is no version {number}: `jitr rules history` shows those there are")


def _compiled(deployed: Table, version: Version) -> bytes:
    compiled = deployed.blob(f"RULES#{version.digest}")
    if compiled is None:
        raise InputError(f"version {version.version} is in the history, but its rules are no longer in the table")
    return compiled


def _source(deployed: Table, version: Version) -> str:
    text = publication.source(deployed, version.digest)
    if text is None:
        raise InputError(f"the file of version {version.version} ({safe(version.source)}) is no longer in the table")
    return text.decode("utf-8-sig")
