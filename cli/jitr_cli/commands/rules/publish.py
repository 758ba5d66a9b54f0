"""``jitr rules publish``: put a rules file in force."""

from pathlib import Path

import click

from jitr.decision.selftest import FailedTests
from jitr.services.publishing.deny_lists import DenyListDoubts
from jitr.services.publishing.versions import Publication
from jitr.text import counted
from jitr_cli.console.options import FILE, stack_options
from jitr_cli.console.output import confirm, emit, error, json_option, note, warn
from jitr_operations.deployment import Choice, Deployment
from jitr_operations.rules import publication as operations
from jitr_operations.rules.files import read_file
from jitr_operations.rules.publication import Preview, Proposal, preview, propose_file, store_again

_MOST_DIFF = 60  # lines shown


@click.command("publish")
@click.argument("file", type=FILE)
@click.option("--message", "-m", metavar="TEXT", help="Why, for the history.")
@click.option("--no-replay", is_flag=True, help="Do not work out what it would do to devices on record.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@stack_options
@json_option
def publish(file: Path, message: str | None, no_replay: bool, yes: bool, choice: Choice, as_json: bool) -> None:
    """Check a rules file, run the tests in it, and put it in force.

    The account must have the device lists, IoT policies, thing types and thing groups in the file. Before it asks, the
    command shows how the file differs from the rules in force, and what it would do to devices on record. The rules in
    force stay in force if the file has an error, a test in it fails, or somebody else published meanwhile.

    \b
    Example:
      jitr rules publish admission.yaml --message "line B starts"
    """
    read_file(file)  # before AWS is asked anything
    deployment = choice.deployment()
    try:
        proposal = propose_file(deployment, file)
    except FailedTests as failed:
        error(str(failed))
        raise click.exceptions.Exit(1) from None  # as `jitr rules check` ends
    if proposal.in_force_already:
        _tell(as_json, store_again(deployment, proposal))
        return
    deployment.announce("dynamodb")
    found = show_preview(deployment, proposal, look_back=not no_replay)
    ask_about_deny_lists(proposal.doubts, yes)
    confirm(_question(proposal), yes)
    _tell(as_json, operations.publish(deployment, proposal, message), found)


def ask_about_deny_lists(doubts: DenyListDoubts, yes: bool) -> None:
    """Warn of rows on deny lists that keep nobody out, and ask about those that nobody was asked about yet."""
    for each in (*doubts.questions, *doubts.warnings) if yes else doubts.warnings:
        warn(each)
    if doubts.questions:
        confirm("\n".join([*doubts.questions, "Go on?"]), yes)


def _question(proposal: Proposal) -> str:
    rules, before = proposal.rules, proposal.before
    told = f"{counted(len(rules.allow), 'allow rule')}, {counted(len(rules.deny), 'deny rule')}"
    instead = "no rules are in force yet" if before.digest is None else f"in place of version {before.version}"
    return f"Put {rules.source} in force ({told}; {instead})?"


def _tell(as_json: bool, version: Publication, found: Preview | None = None) -> None:
    changed = found is not None
    document = version.to_json() | {"changed": changed, **(found or Preview((), None)).to_json()}
    what = "in force" if changed else "was in force already, nothing changed:"
    emit(as_json, document, f"{version.source} {what} as version {version.version} ({version.digest[:12]})")


def show_preview(deployment: Deployment, proposal: Proposal, *, look_back: bool) -> Preview:
    """Show how rules differ from those in force and what they would do to devices on record."""
    found = preview(deployment, proposal, look_back=look_back)
    for line in found.diff[:_MOST_DIFF]:
        note(line)
    if (more := len(found.diff) - _MOST_DIFF) > 0:
        note(f"... and {counted(more, 'more line')}; `jitr rules diff` shows all once it is in force")
    if found.outcome is not None and found.outcome.decided:
        note(found.outcome.sentence())
        if remark := found.outcome.remark():
            note(remark)
    return found
