"""Rules put in force from files and from earlier versions: looked at first, published afterwards."""

from dataclasses import dataclass
from datetime import datetime
from difflib import unified_diff
from pathlib import Path
from typing import Any

from jitr.aws.account import known_in, missing_cas, unknown_names
from jitr.aws.dynamodb.decisions import newest_of
from jitr.aws.dynamodb.table import Conflict, Table
from jitr.errors import InputError
from jitr.records.heads import Heads
from jitr.records.history import HistoryKind
from jitr.rules.model import Rules, load
from jitr.services.publishing import publication, versions
from jitr.services.publishing.deny_lists import DenyListDoubts, check_deny_lists
from jitr.services.publishing.versions import Publication
from jitr.services.recheck.replay import Replayed, effect_of, leave_out_who_is_out, replay
from jitr.text import counted
from jitr.unseen import written_out
from jitr_operations import telling
from jitr_operations.deployment import Choice, Deployment
from jitr_operations.history import keeping
from jitr_operations.rules.files import read_and_test, test_text
from jitr_operations.rules.named_files import NO_FILES, NamedFiles
from jitr_operations.rules.topic_rules import warn_of_others
from jitr_operations.table import now, now_text, operator, table_of


@dataclass(frozen=True, slots=True)
class Proposal:
    """Rules that may be put in force in place of ``before``, and what is in doubt about their deny lists."""

    rules: Rules
    text: bytes
    before: Heads
    doubts: DenyListDoubts

    @property
    def in_force_already(self) -> bool:
        """Whether they are what is in force."""
        return self.before.digest == self.rules.digest


def propose_file(deployment: Deployment, file: Path) -> Proposal:
    """Return the rules in a file, checked against the account and against what is in force.

    Tells of CAs that are not registered, and of other topic rules. Raises RulesError and InputError for what is wrong
    with the file, FailedTests where tests in it fail, and InputError where a count of devices would begin anew.
    """
    rules, text = read_and_test(file, known_in(deployment.client("iot"), table_of(deployment)))
    return _propose(deployment, rules, text)


def propose_text(deployment: Deployment, text: bytes, source: str, named: NamedFiles = NO_FILES) -> Proposal:
    """Return rules that are text and no file; files in it must be among ``named``. As ``propose_file`` otherwise."""
    rules = test_text(text, source, known_in(deployment.client("iot"), table_of(deployment)), named)
    return _propose(deployment, rules, text)


def _propose(deployment: Deployment, rules: Rules, text: bytes) -> Proposal:
    iot, table = deployment.client("iot"), table_of(deployment)
    for each in missing_cas(iot, rules):
        telling.warn(each)
    warn_of_others(deployment)
    before = table.heads()
    if before.digest == rules.digest:
        return Proposal(rules, text, before, DenyListDoubts())
    publication.check_counts(table, rules, before)  # as publishing does, before anything is looked at or asked
    for each in publication.unknown_former_names(table, rules, before):
        telling.warn(each)
    return Proposal(rules, text, before, check_deny_lists(table, rules, before, at=now()))


def propose_version(deployment: Deployment, version: Publication) -> Proposal:
    """Return an earlier version of the rules, checked against what is in force.

    Tells of names that are gone since, and of other topic rules. Raises InputError where it is in force, is no longer
    in the table, or a count of devices would begin anew.
    """
    table = table_of(deployment)
    compiled = compiled_of(table, version)
    before = table.heads()
    if before.digest == version.digest:
        raise InputError(f"version {version.version} is what is in force: nothing to do")
    rules, text = load(compiled), text_of(table, version).encode()
    for each in unknown_names(rules, known_in(deployment.client("iot"), table)):
        telling.warn(each)
    publication.check_counts(table, rules, before)
    for each in publication.unknown_former_names(table, rules, before):
        telling.warn(each)
    doubts = check_deny_lists(table, rules, before)
    warn_of_others(deployment)
    return Proposal(rules, text, before, doubts)


def store_again(deployment: Deployment, proposal: Proposal) -> Publication:
    """Make sure that the rules in force can be read, and return their version."""
    table = table_of(deployment)
    if publication.restore(table, proposal.rules, proposal.text):
        telling.warn("the rules in force could not be read from the table; they are stored again, and events go on")
    return version_of(table, None)


def publish(
    deployment: Deployment, proposal: Proposal, message: str | None, *, rollback_to: int | None = None
) -> Publication:
    """Put rules in force, and return the version that they are. Raises InputError where others were put in force.

    ``rollback_to`` is the earlier version that they are, for the history.
    """
    by, rules = operator(deployment), proposal.rules
    was, will_be = publication.in_history(proposal.before, rules)
    command = ("rules", "publish", rules.source) if rollback_to is None else ("rules", "rollback", rollback_to)
    entry = keeping.entry(
        deployment, HistoryKind.RULES, command, by=by, subject=rules.source, why=message, before=was, after=will_be
    )
    try:
        return publication.publish(
            table_of(deployment),
            rules,
            proposal.text,
            proposal.before,
            at=now_text(),
            by=by,
            message=message,
            beside=keeping.puts(deployment, entry),
        )
    except Conflict:
        raise InputError(
            "somebody else published rules while you were at it, and theirs are in force: "
            "look at them (`jitr status`), bring yours up to date and publish again"
        ) from None


@dataclass(frozen=True, slots=True)
class Preview:
    """How rules differ from those in force, line by line, and what they would do to devices on record."""

    diff: tuple[str, ...]
    outcome: Replayed | None

    def to_json(self) -> dict[str, Any]:
        """Return it as ``--json`` prints it."""
        return {"diff": list(self.diff), "effect": None if self.outcome is None else self.outcome.effect()}


def preview(deployment: Deployment, proposal: Proposal, *, look_back: bool) -> Preview:
    """Return what a proposal would change; ``look_back`` decides the newest devices on record again."""
    table = table_of(deployment)
    outcome = None
    if look_back:
        with telling.progress("Deciding again", None) as advance:
            outcome = effect_of(table, proposal.rules, now(), advance)
    return Preview(_diff(table, proposal), outcome)


def _diff(table: Table, proposal: Proposal) -> tuple[str, ...]:
    before = proposal.before
    old = None if before.digest is None else versions.source(table, before.digest)
    if old is None:
        return ()
    was, would_be = (each.decode("utf-8-sig", "replace").splitlines() for each in (old, proposal.text))
    return tuple(unified_diff(was, would_be, f"version {before.version}, in force", "this file", lineterm="", n=2))


def replay_file(choice: Choice, file: Path, since: datetime | None) -> Replayed:
    """Return what the rules in a file would change for devices on record, all decided again.

    The file is read before AWS is asked anything. Raises as reading it does.
    """
    rules, _ = read_and_test(file)
    deployment = choice.deployment()
    table = table_of(deployment)
    for each in unknown_names(rules, known_in(deployment.client("iot"), table)):
        telling.warn(each)
    with telling.progress("Deciding again", None) as advance:
        outcome = replay(table, rules, newest_of(table, since=since), now(), advance)
    leave_out_who_is_out(table, outcome)
    if outcome.failed:
        telling.warn(f"{counted(outcome.failed, 'decision')} could not be made again: that is a bug, and left out")
    return outcome


# --- versions


def version_of(table: Table, number: int | None) -> Publication:
    """Return a version of the rules, or the one in force. Raises InputError where there is none."""
    if number is None:
        found = versions.in_force(table)
        if found is None:
            raise InputError("no rules are in force yet: `jitr rules publish admission.yaml`")
        return found
    for each in versions.history(table):
        if each.version == number:
            return each
    raise InputError(f"there is no version {number}: `jitr rules history` shows those there are")


def difference(table: Table, old: Publication, new: Publication) -> list[str]:
    """Return how the files of two versions differ, line by line. Raises InputError where one is no longer there."""
    was, became = (text_of(table, each).splitlines() for each in (old, new))
    return list(unified_diff(was, became, f"version {old.version}", f"version {new.version}", lineterm=""))


def compiled_of(table: Table, version: Publication) -> bytes:
    """Return the compiled rules of a version. Raises InputError where they are no longer in the table."""
    compiled = table.blob(f"RULES#{version.digest}")
    if compiled is None:
        raise InputError(f"version {version.version} is in the history, but its rules are no longer in the table")
    return compiled


def text_of(table: Table, version: Publication) -> str:
    """Return the file of a version as it was published. Raises InputError where it is no longer in the table."""
    text = versions.source(table, version.digest)
    if text is None:
        source = written_out(version.source)
        raise InputError(f"the file of version {version.version} ({source}) is no longer in the table")
    return text.decode("utf-8-sig")
