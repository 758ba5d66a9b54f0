"""Deciding recorded decisions again under other rules: what a change of rules would do to real devices."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import field
from datetime import datetime
from itertools import chain, islice
from typing import Any

from jitr.aws.dynamodb.by_hand import acts_of
from jitr.aws.dynamodb.decisions import newest
from jitr.aws.dynamodb.replacements import replaced_of
from jitr.aws.dynamodb.table import BATCH_GET, Table
from jitr.decision.decide import Decision
from jitr.decision.revocation import without_revocation
from jitr.reasons import Verdict
from jitr.records.record import Record
from jitr.rules.model import Rules
from jitr.services.recheck.redecide import redecide
from jitr.text import counted
from jitr.values import dataclass

# Publishing looks at so many decisions of each verdict; more would keep whoever publishes waiting.
MOST_REPLAYED = 2_000
_RULES_TOLD = 3


@dataclass(frozen=True, slots=True)
class ChangedDecision:
    """A device whose decision would be another."""

    record: Record
    decision: Decision

    @property
    def rests_on(self) -> str:
        """The rule that brings it about, or the reason where no rule does."""
        return self.decision.rule or self.decision.reasons[0].code

    def to_json(self) -> dict[str, Any]:
        """Return it as in ``--json``."""
        return {
            "certificate_id": self.record.certificate_id,
            "from": {"decision": self.record.decision.value, "rule": self.record.rule},
            "to": {
                "decision": self.decision.verdict.value,
                "rule": self.decision.rule,
                "reasons": [each.to_json() for each in self.decision.reasons],
            },
        }


@dataclass(slots=True)
class Replayed:
    """The result of a replay. Records without facts (unreadable certificates) are left out."""

    looked_at: Counter[Verdict] = field(default_factory=Counter)
    decided: int = 0
    failed: int = 0  # could not be decided again: a bug
    changes: list[ChangedDecision] = field(default_factory=list)
    most: int | None = None  # of each verdict were looked at, the newest

    def count(self, before: Verdict, *after: Verdict) -> int:
        """Return how many devices would change from one verdict to another, or to one of several."""
        return sum(each.record.decision is before and each.decision.verdict in after for each in self.changes)

    def by_rule(self) -> Counter[tuple[str, str, str]]:
        """Return how many changes each rule causes: verdict before, verdict after, the rule (or reason) it rests on."""
        return Counter(
            (each.record.decision.value, each.decision.verdict.value, each.rests_on) for each in self.changes
        )

    def effect(self) -> dict[str, int]:
        """Return the same in numbers."""
        return {
            "decided": self.decided,
            "admits": self.count(Verdict.HOLD, Verdict.ADMIT),
            "rejects": self.count(Verdict.HOLD, Verdict.REJECT),
            "reopens": self.count(Verdict.REJECT, Verdict.ADMIT, Verdict.HOLD),
            "stay_active": self.count(Verdict.ADMIT, Verdict.HOLD, Verdict.REJECT),
        }

    def sentence(self) -> str:
        """Return the same in words: what putting the rules in force would do to real devices."""
        counts = self.effect()
        told = []
        if counts["admits"]:
            told.append(f"would admit {_devices(counts['admits'], 'held')} now")
        if counts["rejects"]:
            told.append(f"would reject {_devices(counts['rejects'], 'held')} now")
        if counts["stay_active"]:
            stay = "it stays" if counts["stay_active"] == 1 else "they stay"
            told.append(
                f"{_devices(counts['stay_active'], 'admitted')} would not be admitted today: {stay} ACTIVE, "
                f"see {self._to_take_out()}"
            )
        if counts["reopens"]:
            told.append(
                f"{_devices(counts['reopens'], 'rejected')} would not be rejected today: see `jitr decisions reopen`"
            )
        return "; ".join(told) or f"no decision on record would be another ({counts['decided']} looked at)"

    def remark(self) -> str | None:
        """Return in words that there may be more devices than were looked at; None where all were."""
        if self.most not in self.looked_at.values():
            return None
        return f"The newest {self.most:,} of each decision were looked at; `jitr rules replay` looks at all."

    def _to_take_out(self) -> str:
        """Return the commands that take out who would not be admitted: by deny rule, or else all of them."""
        stay = [each.decision for each in self.changes if each.record.decision is Verdict.ADMIT]
        denied = Counter(each.rule for each in stay if each.verdict is Verdict.REJECT and each.rule is not None)
        told = [f"`jitr device deactivate --rule {rule}` ({count})" for rule, count in denied.most_common(_RULES_TOLD)]
        whole = len(told) == len(denied) and denied.total() == len(stay)
        return ", ".join(told if whole else [*told, "`jitr fleet check`"])


def replay(
    table: Table,
    rules: Rules,
    records: Iterable[Record],
    now: datetime,
    advance: Callable[[int], None] = lambda _count: None,
) -> Replayed:
    """Decide each record again under ``rules`` and the lists as they are now, from its recorded facts.

    Guards that need AWS IoT (thing names, places) and revocation lists are not asked: a device that is kept out by one
    of them alone is no change. Raises Retry where DynamoDB could not answer now.
    """
    outcome = Replayed()
    rules = without_revocation(rules)
    heads = table.heads()

    def knocked_at(record: Record) -> datetime:
        # A window is for the time a device knocked; for one that is held it is now, as on a recheck.
        return now if record.decision is Verdict.HOLD else record.knocked_at

    left = iter(records)
    while some := list(islice(left, BATCH_GET)):
        outcome.looked_at.update(each.decision for each in some)
        known = [each for each in some if each.facts is not None]
        for again in redecide(table, rules, heads, known, now, knocked_at):
            if again.decision is None:
                outcome.failed += 1
                continue
            outcome.decided += 1
            if again.decision.verdict is not again.record.decision and not _kept_out_otherwise(again):
                outcome.changes.append(ChangedDecision(again.record, again.decision))
        advance(len(some))
    outcome.changes.sort(key=lambda each: each.record.decided_at, reverse=True)
    return outcome


def effect_of(
    table: Table, rules: Rules, now: datetime, advance: Callable[[int], None] = lambda _count: None
) -> Replayed:
    """Return what rules would do to the devices on record: to the newest ``MOST_REPLAYED`` of each verdict."""
    records = chain.from_iterable(islice(newest(table, verdict), MOST_REPLAYED) for verdict in Verdict)
    outcome = replay(table, rules, records, now, advance)
    outcome.most = MOST_REPLAYED
    leave_out_who_is_out(table, outcome)
    return outcome


def leave_out_who_is_out(table: Table, outcome: Replayed) -> None:
    """Take out of the changes admitted certificates that another one replaced, or that a command took out: none stays.

    One that a command let in counts, replaced or not: the table does not say which came first, and it may be ACTIVE.
    """
    admitted = [each.record for each in outcome.changes if each.record.decision is Verdict.ADMIT]
    last = {each: acts[-1] for each, acts in acts_of(table, [each.certificate_id for each in admitted]).items() if acts}
    out = {each for each, act in last.items() if act.cut_off} | (replaced_of(table, admitted) - last.keys())
    outcome.changes = [
        each
        for each in outcome.changes
        if each.record.decision is not Verdict.ADMIT or each.record.certificate_id not in out
    ]


def _kept_out_otherwise(again: Any) -> bool:
    """Kept out only because of what this does not ask again, under a rule that would still admit it."""
    record, decision = again.record, again.decision
    codes = [str(each["code"]) for each in record.reasons]
    if decision.verdict is not Verdict.ADMIT or not codes:
        return False
    if all(each.startswith("revocation.") for each in codes):
        return True
    guards = ("grant.thing-", "grant.max-devices", "apply.", "revocation.")
    return record.rule == decision.rule and all(each.startswith(guards) for each in codes)


def _devices(count: int, kind: str) -> str:
    return counted(count, f"{kind} device")
