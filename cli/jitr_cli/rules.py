"""``jitr rules publish``: put a rules file in force."""

from itertools import islice
from pathlib import Path

import click

from jitr.aws import publication
from jitr.aws.account import known_in, missing_cas
from jitr.aws.table import Conflict, Table
from jitr.errors import InputError
from jitr.reasons import Verdict
from jitr.record import Heads
from jitr.rules.model import Rules
from jitr_cli.deployment import Choice, stack_options
from jitr_cli.output import confirm, emit, error, json_option, note, progress, warn
from jitr_cli.records import newest
from jitr_cli.replay import effect, replay
from jitr_cli.rules_files import FailedTests, read_and_test, read_file
from jitr_cli.table import now, now_text, operator, table_of

# Publishing looks at so many decisions of each verdict; more would keep an operator waiting.
MOST_REPLAYED = 2_000


@click.command("publish")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--message", "-m", metavar="TEXT", help="Why, for the history.")
@click.option("--no-replay", is_flag=True, help="Do not work out what it would do to devices on record.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@stack_options
@json_option
def publish(file: Path, message: str | None, no_replay: bool, yes: bool, choice: Choice, as_json: bool) -> None:
    """Check a rules file, run the tests in it, and put it in force.

    What is in force stays in force if the file has an error, a test in it fails, or somebody else published
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
    table = table_of(deployment)
    before = table.heads()
    if before.digest == rules.digest:
        if publication.restore(table, rules, text):
            warn("the rules in force could not be read from the table; they are stored again, and events go on")
        _tell(as_json, publication.in_force(table), changed=False)
        return
    deployment.announce("dynamodb")
    for line in [] if no_replay else _effect(table, rules):
        note(line)
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
    _tell(as_json, version, changed=True)


def _question(rules: Rules, before: Heads) -> str:
    told = f"{len(rules.allow)} allow rules, {len(rules.deny)} deny rules"
    instead = "no rules are in force yet" if before.digest is None else f"in place of version {before.version}"
    return f"Put {rules.source} in force ({told}; {instead})?"


def _tell(as_json: bool, version: publication.Version | None, *, changed: bool) -> None:
    if version is None:
        raise InputError("no rules are in force")
    document = version.to_json() | {"changed": changed}
    what = "in force" if changed else "was in force already, nothing changed:"
    emit(as_json, document, f"{version.source} {what} as version {version.version} ({version.digest[:12]})")
    if changed:
        note("Held devices are decided again at their next knock.")


def _effect(table: Table, rules: Rules) -> list[str]:
    """What the rules would do to the devices on record, the newest of each verdict."""
    records = (record for verdict in Verdict for record in islice(newest(table, verdict), MOST_REPLAYED))
    with progress("Deciding again", None) as advance:
        outcome = replay(table, rules, records, now(), advance)
    if outcome.decided == 0:
        return []
    told = effect(outcome)
    if MOST_REPLAYED in outcome.looked_at.values():
        told.append(f"(The newest {MOST_REPLAYED} of each decision; `jitr rules replay` looks at all.)")
    return told
