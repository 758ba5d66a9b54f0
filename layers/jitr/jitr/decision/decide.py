"""The decision: admit, hold or reject one device, with every reason.

The steps, in the order in which they are told apart below:

1. and 2. the chain and the profile of the certificate (``jitr.decision.chain``, ``jitr.decision.profile``)
3. revocation (``jitr.decision.revocation``)
4. deny rules: any match rejects
5. allow rules: at least one must match, the first in the file gives the grant
6. nothing matched: the file's ``default``
7. the grant, filled in (``jitr.decision.grant``); what needs the table (reservations) is checked where it is applied

Every step runs whatever the others say, so that all reasons surface. The verdict is the most severe effect among the
reasons, so it cannot depend on the order of rules.
"""

from collections.abc import Mapping
from dataclasses import field
from datetime import UTC, datetime, timedelta
from typing import Any

from jitr.decision.chain_reasons import chain_reasons
from jitr.decision.grant import fill
from jitr.decision.profile import profile_reasons
from jitr.decision.revocation import revocation_reasons
from jitr.devicelists.rows import Membership
from jitr.facts import Knock
from jitr.reasons import Reason, Verdict, by_weight, verdict_of
from jitr.rules.conditions import AMBIGUOUS, FAILS, HOLDS, Circumstances, ConditionResult, ListCondition
from jitr.rules.model import AllowRule, DenyRule, Grant, Rule, Rules
from jitr.values import dataclass

# A held device is decided again at the latest after this long, whatever happens; sooner where waiting on something
# that no edit of rules or lists announces (a CA's status, a limit at AWS).
DUE_LATEST = timedelta(hours=24)
DUE_ELSEWHERE = timedelta(hours=1)
DUE_REVOCATION = timedelta(minutes=15)  # a list is fetched anew after ten of these (jitr.aws.crls)
_ELSEWHERE = ("chain.ca-", "apply.", "grant.thing-", "grant.max-devices", "certificate.twin")

_MOST_NEAR_MISSES = 5


@dataclass(frozen=True, slots=True)
class Failure:
    """One condition of a near miss that did not hold, and by how much."""

    condition: str
    message: str


@dataclass(frozen=True, slots=True)
class NearMiss:
    """An allow rule that did not match: where it stands, which conditions held and which did not."""

    rule: str
    at: str
    matched: tuple[str, ...]
    failed: tuple[Failure, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as in the decision record and ``jitr explain --json``."""
        return {
            "rule": self.rule,
            "at": self.at,
            "matched": list(self.matched),
            "failed": [{"condition": each.condition, "message": each.message} for each in self.failed],
        }


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict on a device, and its reasons in order of weight.

    ``rule`` is the rule the decision rests on: the deny rule that rejects, or the allow rule whose grant is (or, for
    a hold under ``grant.*``, cannot be) given. ``due`` is when a held device is decided again without any edit.
    """

    verdict: Verdict
    reasons: tuple[Reason, ...]
    rule: str | None = None
    at: str | None = None  # file:line of the rule
    grant: Grant | None = None
    max_devices: int | None = None
    places: str | None = None  # the name under which the places of ``max_devices`` are counted
    revoke: bool = False
    near_misses: tuple[NearMiss, ...] = ()
    due: datetime | None = None
    lists: tuple[str, ...] = field(default=())  # whose rows the decision rests on

    def to_json(self) -> dict[str, Any]:
        """Return the fields that the decision record and ``jitr explain --json`` share."""
        return {
            "decision": self.verdict.value,
            "rule": self.rule,
            "at": self.at,
            "reasons": [each.to_json() for each in self.reasons],
            "near_misses": [each.to_json() for each in self.near_misses],
            "grant": None if self.grant is None else self.grant.to_json(),
        }


@dataclass(frozen=True, slots=True)
class OperatorWord:
    """An operator's word on one device: admit it under a rule, or reject it. ``at`` is RFC 3339."""

    verdict: Verdict
    by: str
    at: str
    rule: str | None = None
    message: str | None = None

    @property
    def told(self) -> str:
        """The operator, the time and the reason, in words."""
        why = f": {self.message}" if self.message else ""
        return f"{self.by} said so at {self.at}{why}"

    def to_json(self) -> dict[str, Any]:
        """Return it as in the decision record."""
        plain = {
            "decision": self.verdict.value,
            "by": self.by,
            "at": self.at,
            "rule": self.rule,
            "message": self.message,
        }
        return {name: value for name, value in plain.items() if value is not None}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "OperatorWord":
        """Read back what ``to_json`` wrote."""
        return cls(Verdict(data["decision"]), data["by"], data["at"], data.get("rule"), data.get("message"))


def lists_needed(knock: Knock, rules: Rules, knocked_at: datetime, word: OperatorWord | None = None) -> tuple[str, ...]:
    """Return the lists worth a lookup, sorted: those of rules whose other conditions do not fail."""
    seen = Circumstances(knock, {}, knocked_at)
    spoken_for = _spoken_for(rules, word)
    needed: set[str] = set() if spoken_for is None else set(spoken_for.lists)
    for index in (rules.deny_index, rules.allow_index):
        for rule in index.candidates_by_list(seen):
            others = [each for each in rule.conditions if not isinstance(each, ListCondition)]
            if all(each.check(seen) is not FAILS for each in others):
                needed.update(rule.lists)
    return tuple(sorted(needed))


def decide(
    knock: Knock,
    rules: Rules,
    memberships: Mapping[str, Membership | None],
    now: datetime,
    knocked_at: datetime,
    word: OperatorWord | None = None,
    *,
    nearest: bool = True,
    before_ocsp: bool = False,
) -> Decision:
    """Decide one device.

    ``memberships`` has an entry for each list in :func:`lists_needed`, None where the device is not on it. ``now`` is
    for validity, ``knocked_at`` (when the device knocked, or now on a recheck) for windows. Both aware. An operator's
    ``word`` stands in place of the matching of the rule it names; certificate checks, denials and guards still hold.
    Without ``nearest`` an unmatched device is not told which rules it nearly matched, which takes the longest by far:
    for those who decide many devices again and only ask whether the answer is another. With ``before_ocsp`` it is
    decided as if no OCSP responder were configured: nobody asks one about a device that is not let in anyway.
    """
    seen = Circumstances(knock, memberships, knocked_at)
    denies = _denies(rules, seen)
    spoken_for = _spoken_for(rules, word)
    matched, ambiguous = _allows(rules, seen) if spoken_for is None else (spoken_for, ())

    reasons = [
        *chain_reasons(knock, now, rules.floor),
        *profile_reasons(knock.certificate, rules.floor, now),
        *revocation_reasons(knock, rules, now, before_ocsp=before_ocsp),
        *[_deny_reason(rules, each) for each in denies],
        *_word_reasons(word),
    ]
    grant = None
    grant_reasons: tuple[Reason, ...] = ()
    near_misses: tuple[NearMiss, ...] = ()
    if matched is None:
        near_misses = _near_misses(rules, seen) if nearest else ()
        reasons.append(_unmatched(rules, ambiguous, near_misses))
    else:
        grant, grant_reasons = fill(matched, seen)
        reasons.extend(grant_reasons)
        if not reasons:
            reasons.append(_allow_reason(rules, matched, word if spoken_for else None))

    verdict = verdict_of(reasons)
    admitted = verdict is Verdict.ADMIT
    resting = _resting_on(verdict, denies, matched, grant_reasons)
    return Decision(
        verdict=verdict,
        reasons=by_weight(reasons),
        rule=resting.name if resting else None,
        at=rules.at(resting) if resting else None,
        grant=grant if admitted else None,
        max_devices=matched.max_devices if admitted and matched else None,
        places=matched.places if admitted and matched and matched.max_devices else None,
        # Final, so only on a match that is beyond doubt; an ambiguous one makes it INACTIVE.
        revoke=verdict is Verdict.REJECT and any(each.revoke and _outcome(each, seen) is HOLDS for each in denies),
        near_misses=near_misses,
        due=_due(knock, rules, seen, reasons, now) if verdict is Verdict.HOLD else None,
        lists=tuple(sorted(memberships)),
    )


def _spoken_for(rules: Rules, word: OperatorWord | None) -> AllowRule | None:
    """Return the rule that an operator's word names, if a rule of that name still exists."""
    if word is None or word.verdict is not Verdict.ADMIT:
        return None
    return rules.allow_by_name.get(word.rule or "")


def _word_reasons(word: OperatorWord | None) -> tuple[Reason, ...]:
    if word is None or word.verdict is not Verdict.REJECT:
        return ()
    return (Reason("deny.operator", word.told),)


def _allow_reason(rules: Rules, rule: AllowRule, word: OperatorWord | None) -> Reason:
    where = f"rule {rule.name} ({rules.at(rule)})"
    if word is not None:
        return Reason("allow.operator", f"{word.told}, under {where}")
    return Reason("allow.rule", f"{where} matches")


def held_instead(decision: Decision, reason: Reason, now: datetime) -> Decision:
    """Hold a device whose admission cannot be carried out, for what stood in its way; due again within the hour."""
    return Decision(
        verdict=Verdict.HOLD,
        reasons=(reason,),
        rule=decision.rule,
        at=decision.at,
        near_misses=decision.near_misses,
        due=_after(now, DUE_ELSEWHERE),
        lists=decision.lists,
    )


def unreadable(code: str, message: str, now: datetime) -> Decision:
    """Hold a device whose certificate cannot be read, under the reading's own code."""
    return Decision(verdict=Verdict.HOLD, reasons=(Reason(code, message),), due=_after(now, DUE_LATEST))


def _denies(rules: Rules, seen: Circumstances) -> tuple[DenyRule, ...]:
    candidates = rules.deny_index.candidates(seen)
    return tuple([rule for rule in candidates if _outcome(rule, seen) is not FAILS])


def _allows(rules: Rules, seen: Circumstances) -> tuple[AllowRule | None, tuple[AllowRule, ...]]:
    """Return the first allow rule that matches, and those before it that match only ambiguously."""
    ambiguous: list[AllowRule] = []
    for rule in rules.allow_index.candidates(seen):
        outcome = _outcome(rule, seen)
        if outcome is HOLDS:
            return rule, ()
        if outcome is AMBIGUOUS:
            ambiguous.append(rule)
    return None, tuple(ambiguous)


def _outcome(rule: Rule, seen: Circumstances) -> ConditionResult:
    """All conditions together. A rule without conditions matches nothing: "all of none" must not let everybody in."""
    if not rule.conditions:
        return FAILS
    together = HOLDS
    for condition in rule.conditions:
        outcome = condition.check(seen)
        if outcome is FAILS:
            return FAILS
        if outcome is AMBIGUOUS:
            together = AMBIGUOUS
    return together


def _deny_reason(rules: Rules, rule: DenyRule) -> Reason:
    why = f": {rule.reason}" if rule.reason else ""
    return Reason("deny.rule", f"rule {rule.name} ({rules.at(rule)}) matches{why}")


def _unmatched(rules: Rules, ambiguous: tuple[AllowRule, ...], near_misses: tuple[NearMiss, ...]) -> Reason:
    if ambiguous:
        names = ", ".join(f"{each.name} ({rules.at(each)})" for each in ambiguous)
        return Reason("allow.ambiguous", f"only ambiguously matched: {names}")
    nearest = ""
    if near_misses:
        first = near_misses[0]
        nearest = f"; nearest is {first.rule} ({first.at}): " + "; ".join(each.message for each in first.failed)
    return Reason("allow.unmatched", f"no allow rule matches{nearest}", rules.default)


def _near_misses(rules: Rules, seen: Circumstances) -> tuple[NearMiss, ...]:
    """Return the allow rules that missed by the fewest conditions; equal ones in the file's order."""
    nearest = rules.allow_index.nearest(seen, _MOST_NEAR_MISSES)
    return tuple([_near_miss(rules, rule, seen) for rule in nearest])


def _near_miss(rules: Rules, rule: AllowRule, seen: Circumstances) -> NearMiss:
    failed = [each for each in rule.conditions if each.check(seen) is not HOLDS]
    return NearMiss(
        rule=rule.name,
        at=rules.at(rule),
        matched=tuple([each.name for each in rule.conditions if each not in failed]),
        failed=tuple([Failure(each.name, each.failure(seen)) for each in failed]),
    )


def _resting_on(
    verdict: Verdict, denies: tuple[DenyRule, ...], matched: AllowRule | None, grant_reasons: tuple[Reason, ...]
) -> Rule | None:
    if verdict is Verdict.REJECT:
        return denies[0] if denies else None
    return matched if verdict is Verdict.ADMIT or grant_reasons else None


def _after(now: datetime, span: timedelta) -> datetime:
    """So much later, or the end of time."""
    end = datetime.max.replace(tzinfo=UTC)
    return end if end - now < span else now + span


def _due(knock: Knock, rules: Rules, seen: Circumstances, reasons: list[Reason], now: datetime) -> datetime:
    """When a held device is decided again: as soon as time alone could change the answer, at the latest in a day."""
    times = [_after(now, DUE_LATEST)]
    if any(each.code.startswith(_ELSEWHERE) for each in reasons):
        times.append(_after(now, DUE_ELSEWHERE))
    if any(each.code.startswith("revocation.") for each in reasons):
        times.append(_after(now, DUE_REVOCATION))
    if knock.certificate.not_before > now:
        times.append(knock.certificate.not_before)
    # Not from now on: a window that opened since the device knocked is open to it when it is decided again, at once.
    opening = rules.allow_index.next_opening(knock.aliases, seen.knocked_at)
    return min(times if opening is None else (*times, opening))
