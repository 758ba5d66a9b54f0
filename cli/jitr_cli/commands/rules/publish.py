"""``jitr rules publish``: put a rules file in force."""

from collections.abc import Mapping
from difflib import unified_diff
from pathlib import Path
from typing import Any

import click

from jitr.aws.account import known_in, missing_cas
from jitr.aws.dynamodb.table import Conflict, Table
from jitr.errors import InputError
from jitr.records.record import Heads
from jitr.rules.model import Rules
from jitr.services.publishing import publication
from jitr.services.publishing.deny_lists import Doubts, check_deny_lists
from jitr.services.recheck.replay import MOST_REPLAYED, effect_of
from jitr_cli.console.options import stack_options
from jitr_cli.console.output import confirm, emit, error, json_option, note, progress, warn
from jitr_operations.deployment import Choice
from jitr_operations.rules.files import FailedTests, read_and_test, read_file
from jitr_operations.rules.topic_rules import warn_of_others
from jitr_operations.table import now, now_text, operator, table_of

_MOST_DIFF = 60  # lines shown


@click.command("publish")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--message", "-m", metavar="TEXT", help="Why, for the history.")
@click.option("--no-replay", is_flag=True, help="Do not work out what it would do to devices on record.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@stack_options
@json_option
def publish(file: Path, message: str | None, no_replay: bool, yes: bool, choice: Choice, as_json: bool) -> None:
    """Check a rules file, run the tests in it, and put it in force.

    It is checked against the account, too: the device lists, IoT policies, thing types and thing groups it names
    exist. How it differs from what is in force, and what it would do to devices on record, is shown before you are
    asked. What is in force stays in force if the file has an error, a test in it fails, or somebody else published
    meanwhile.

    \b
    Example:
      jitr rules publish admission.yaml --message "line B starts"
    """
    read_file(file)  # before AWS is asked anything
    deployment = choice.deployment()
    try:
        rules, text = read_and_test(file, known_in(deployment.client("iot"), table_of(deployment)))
    except FailedTests as failed:
        error(str(failed))
        raise click.exceptions.Exit(1) from None  # as `jitr rules check` ends
    for each in missing_cas(deployment.client("iot"), rules):
        warn(each)
    warn_of_others(deployment)
    table = table_of(deployment)
    before = table.heads()
    if before.digest == rules.digest:
        if publication.restore(table, rules, text):
            warn("the rules in force could not be read from the table; they are stored again, and events go on")
        _tell(as_json, publication.in_force(table), changed=False)
        return
    publication.check_counts(table, rules, before)  # as publishing does, before anything is looked at or asked
    doubts = check_deny_lists(table, rules, before, at=now())
    deployment.announce("dynamodb")
    preview = show_preview(table, rules, text, before, look_back=not no_replay)
    ask_about_deny_lists(doubts, yes)
    confirm(_question(rules, before), yes)
    try:
        version = publication.publish(
            table, rules, text, before, at=now_text(), by=operator(deployment), message=message
        )
    except Conflict:
        raise InputError(
            "somebody else published rules while you were at it, and theirs are in force: "
            "look at them (`jitr status`), bring your file up to date and publish again"
        ) from None
    _tell(as_json, version, changed=True, preview=preview)


def ask_about_deny_lists(doubts: Doubts, yes: bool) -> None:
    """Warn of rows on deny lists that keep nobody out, and ask about those that nobody was asked about yet."""
    for each in (*doubts.questions, *doubts.warnings) if yes else doubts.warnings:
        warn(each)
    if doubts.questions:
        confirm("\n".join([*doubts.questions, "Go on?"]), yes)


def _question(rules: Rules, before: Heads) -> str:
    told = f"{len(rules.allow)} allow rules, {len(rules.deny)} deny rules"
    instead = "no rules are in force yet" if before.digest is None else f"in place of version {before.version}"
    return f"Put {rules.source} in force ({told}; {instead})?"


def _tell(
    as_json: bool,
    version: publication.Version | None,
    *,
    changed: bool,
    preview: Mapping[str, Any] | None = None,
) -> None:
    if version is None:
        raise InputError("no rules are in force")
    document = version.to_json() | {"changed": changed, **(preview or {"diff": [], "effect": None})}
    what = "in force" if changed else "was in force already, nothing changed:"
    emit(as_json, document, f"{version.source} {what} as version {version.version} ({version.digest[:12]})")


def show_preview(table: Table, rules: Rules, text: bytes, before: Heads, *, look_back: bool) -> dict[str, Any]:
    """Show how rules differ from those in force and what they would do to devices on record; the same as JSON."""
    diff = _diff(table, text, before)
    for line in diff[:_MOST_DIFF]:
        note(line)
    if len(diff) > _MOST_DIFF:
        note(f"... and {len(diff) - _MOST_DIFF} more lines; `jitr rules diff` shows all once it is in force")
    outcome = None
    if look_back:
        with progress("Deciding again", None) as advance:
            outcome = effect_of(table, rules, now(), advance)
    if outcome is not None and outcome.decided:
        note(outcome.sentence())
        if MOST_REPLAYED in outcome.looked_at.values():
            note(f"(The newest {MOST_REPLAYED} of each decision; `jitr rules replay` looks at all.)")
    return {"diff": diff, "effect": None if outcome is None else outcome.effect()}


def _diff(table: Table, text: bytes, before: Heads) -> list[str]:
    """The file that was published last, and this one, line by line."""
    if before.digest is None:
        return []
    old = publication.source(table, before.digest)
    if old is None:
        return []
    was, would_be = (each.decode("utf-8-sig", "replace").splitlines() for each in (old, text))
    return list(unified_diff(was, would_be, f"version {before.version}, in force", "this file", lineterm="", n=2))
