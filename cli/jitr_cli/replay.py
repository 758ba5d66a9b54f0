"""Deciding recorded decisions again under other rules: what a change of rules would do to real devices."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

from jitr.aws.redecide import redecide
from jitr.aws.table import Table
from jitr.decide import Decision
from jitr.reasons import Verdict
from jitr.record import Heads, Record
from jitr.revocation import without_crls
from jitr.rules.model import Rules
from jitr_cli.records import newest

_AT_ONCE = 100  # records whose list rows are read together


@dataclass(frozen=True, slots=True)
class Change:
    """A device whose decision would be another."""

    record: Record
    decision: Decision

    def to_json(self) -> dict[str, Any]:
        """As in ``--json``."""
        return {
            "certificate_id": self.record.certificate_id,
            "from": {"decision": self.record.decision.value, "rule": self.record.rule},
            "to": {
                "decision": self.decision.verdict.value,
                "rule": self.decision.rule,
                "reasons": [each.to_json() for each in self.decision.reasons],
            },
        }


@dataclass
class Outcome:
    """What deciding again showed. Records without facts (certificates that could not be read) are left out."""

    looked_at: Counter[Verdict] = field(default_factory=Counter)
    decided: int = 0
    changes: list[Change] = field(default_factory=list)

    def count(self, before: Verdict, after: Verdict) -> int:
        """How many devices would change from one verdict to another."""
        return sum(each.record.decision is before and each.decision.verdict is after for each in self.changes)

    def by_rule(self) -> Counter[tuple[str, str, str]]:
        """How many changes each rule brings about: verdict before, verdict after, the rule (or reason) it rests on."""
        return Counter(
            (
                each.record.decision.value,
                each.decision.verdict.value,
                each.decision.rule or each.decision.reasons[0].code,
            )
            for each in self.changes
        )


def recorded_since(table: Table, since: datetime | None) -> Iterator[Record]:
    """Every decision in force, or those decided since a time; the newest of each verdict first."""
    for verdict in Verdict:
        for record in newest(table, verdict):
            if since is not None and record.decided_at < since:
                break
            yield record


def replay(
    table: Table, rules: Rules, records: Iterable[Record], now: datetime, advance: Callable[[int], None]
) -> Outcome:
    """Decide each record again under ``rules`` and the lists as they are now, from its recorded facts.

    Guards that need AWS IoT (thing names, places) and revocation lists are not asked: a device that is kept out by one
    of them alone is no change.
    """
    outcome = Outcome()
    rules = without_crls(rules)
    heads = table.heads()
    left = iter(records)
    while some := list(islice(left, _AT_ONCE)):
        outcome.looked_at.update(each.decision for each in some)
        for each, decision in _again(table, rules, heads, some, now):
            outcome.decided += 1
            if decision.verdict is not each.decision and not _kept_out_otherwise(each, decision):
                outcome.changes.append(Change(each, decision))
        advance(len(some))
    return outcome


def _again(
    table: Table, rules: Rules, heads: Heads, records: Iterable[Record], now: datetime
) -> Iterator[tuple[Record, Decision]]:
    """What some records would be decided as; those that would be held from now on are told what they nearly match."""
    readable = [each for each in records if each.facts is not None]
    held: list[Record] = []
    for again in redecide(table, rules, heads, readable, now, _knocked_at(now)):
        if again.decision is None:
            raise again.bug or AssertionError
        if again.decision.verdict is Verdict.HOLD is not again.record.decision:
            held.append(again.record)
        else:
            yield again.record, again.decision
    for again in redecide(table, rules, heads, held, now, _knocked_at(now), nearest=True):
        if again.decision is None:
            raise again.bug or AssertionError
        yield again.record, again.decision


def _knocked_at(now: datetime) -> Callable[[Record], datetime]:
    """A window is for the time a device knocked; for one that is held it is now, as on a recheck."""
    return lambda record: now if record.decision is Verdict.HOLD else record.knocked_at


def _kept_out_otherwise(record: Record, decision: Decision) -> bool:
    """Kept out only because of what this does not ask again, under a rule that would still admit it."""
    codes = [str(each["code"]) for each in record.reasons]
    if decision.verdict is not Verdict.ADMIT or not codes:
        return False
    if all(each.startswith("revocation.") for each in codes):
        return True
    guards = ("grant.thing-", "grant.max-devices", "apply.", "revocation.")
    return record.rule == decision.rule and all(each.startswith(guards) for each in codes)


def effect(outcome: Outcome) -> list[str]:
    """What rules would do to real devices, in sentences."""
    told = []
    admits = outcome.count(Verdict.HOLD, Verdict.ADMIT)
    if admits:
        told.append(f"{admits} held devices would be admitted.")
    rejects = outcome.count(Verdict.HOLD, Verdict.REJECT)
    if rejects:
        told.append(f"{rejects} held devices would be rejected.")
    stays = outcome.count(Verdict.ADMIT, Verdict.HOLD) + outcome.count(Verdict.ADMIT, Verdict.REJECT)
    if stays:
        told.append(f"{stays} admitted devices would not be admitted today: they stay ACTIVE.")
    return told or ["No decision on record would be another."]
