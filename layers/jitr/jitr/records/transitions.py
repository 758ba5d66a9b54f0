"""What a knock means in the light of its certificate's record, and which record follows which.

States of a certificate, as the record knows them, and what moves it::

    (none) --event--> applying(admit | reject) --steps done--> applied(admit | reject)
    (none) --event--> applied(hold)
    applied(hold) --event, and rules or lists changed or due--> as (none)
    applying(admit) --a guard or AWS IoT refuses for good--> applied(hold), not tried again before it is due, unless
        another rule or another grant admits it
    applying(*) --event of another message--> it comes back: one delivery at a time works on a certificate
    applying(*) --the same message again, or a minute later--> decided again from what AWS IoT says now
    applying(admit), ACTIVE, and an edit since denies or no longer allows it--> applying(reject | hold), withdrawn
    applying(reject | hold), withdrawn --made INACTIVE--> applied(reject), or applied(hold) that may be ACTIVE again
    applied(admit | reject) --event later than settled--> described again: pending anew, or nothing to do
    applied(reject), where AWS IoT refuses the status: it stays pending, and waits as a held one does
    applied(hold), where another hand changed the status: stays, looked at again in a day or when it knocks
    any --AWS IoT is asked, and the certificate is gone--> stays; the message comes back a few times, then it is poison
    any --`jitr device delete`--> (none), with what it had reserved
    applied(hold) --operator's word: due now--> as (none), the word in place of a rule's matching
    applied(reject) --reopened by an operator--> as (none), from INACTIVE if that was our doing

``applying`` is written before the first step in AWS IoT and ``applied`` after the last, so a crash between the two
is always visible, and a second delivery finishes the work.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from jitr.decision.decide import DUE_LATEST, Decision
from jitr.decision.plan import ACTIVE, INACTIVE, PENDING, REVOKED
from jitr.reasons import Verdict
from jitr.records.event import EVENT_CLOCK_SKEW, RegistrationEvent
from jitr.records.heads import Heads
from jitr.records.record import APPLIED, APPLYING, Record
from jitr.rules.model import Grant

# Where applying took longer than this, another hand may have changed the status meanwhile: it is read again.
STATUS_FRESH = timedelta(seconds=5)
# A settled certificate that knocks again is described again at most this often.
DESCRIBE_AGAIN = timedelta(seconds=60)


class Remembered(Enum):
    """The meaning of a knock, given the record."""

    SETTLED = "settled"  # nothing to do
    BUSY = "busy"  # another delivery is applying a decision on the certificate
    OTHER_CA = "other CA"  # forged, or the certificate was registered anew under another CA: AWS IoT knows which
    HELD = "held"  # nothing changed since it was held: count the knock
    DECIDE_AGAIN = "decide again"  # from the recorded facts; AWS IoT only if the outcome changed
    UNKNOWN = "unknown"  # gather everything


def remember(
    record: Record | None, event: RegistrationEvent, heads: Heads, now: datetime, delivery: str | None = None
) -> Remembered:
    """Say what to do about a knock, before AWS IoT is asked anything.

    ``delivery`` is the message that brought it. That it comes again says that its delivery before has ended.
    """
    if record is None:
        return Remembered.UNKNOWN
    if record.applying_at(now) and record.delivery != delivery:
        return Remembered.BUSY
    if record.ca_certificate_id != event.ca_certificate_id:
        return Remembered.OTHER_CA
    if record.state == APPLYING or (record.reopened is not None and record.decision is not Verdict.HOLD):
        return Remembered.UNKNOWN
    if record.waiting:
        if record.meaning is None and _described_just_now(record, now):
            return Remembered.HELD  # another hand changed its status: see whether it is pending anew, but not each time
        if record.unchanged(heads) and not record.due_at(now):
            return Remembered.HELD
        return Remembered.UNKNOWN if record.facts is None else Remembered.DECIDE_AGAIN
    if event.knocked_at <= record.decided_at + EVENT_CLOCK_SKEW:
        return Remembered.SETTLED
    return Remembered.SETTLED if _described_just_now(record, now) else Remembered.UNKNOWN


def _described_just_now(record: Record, now: datetime) -> bool:
    return record.described_at is not None and now < record.described_at + DESCRIBE_AGAIN


def recorded(
    decision: Decision,
    *,
    event: RegistrationEvent,
    heads: Heads,
    facts: Mapping[str, Any] | None,
    state: str,
    now: datetime,
    previous: Record | None,
    delivery: str | None = None,
) -> Record:
    """Make the record of a new decision, following the one before it."""
    before = previous or _blank(event, decision, now)
    told = decision.to_json()
    return replace(
        before,
        certificate_id=event.certificate_id,
        ca_certificate_id=event.ca_certificate_id,
        decision=decision.verdict,
        state=state,
        decided_at=now,
        knocked_at=event.knocked_at,
        since=before.since if before.decision is decision.verdict else now,
        rule=decision.rule,
        at=decision.at,
        reasons=tuple(told["reasons"]),
        near_misses=tuple(told["near_misses"]),
        grant=told["grant"],
        facts=facts,
        due=decision.due,
        predecessors=(),
        delivery=delivery if state == APPLYING else None,
        attached=_left_attached(before),
        refused=None,
        stays_pending=False,
        # ``reopened`` is as before: a device that was rejected stays INACTIVE, and it is reopened until another
        # decision is carried out (settled).
        described_at=now,
        knocks=before.knocks + (0 if event.own else 1),
        counted_at=before.counted_at if event.own else now,
        first_knock_at=_first_knock(event, before),
        **_rests_on(decision, heads),
    )


def _blank(event: RegistrationEvent, decision: Decision, now: datetime) -> Record:
    """Make the record before the first, of a certificate that has not knocked yet."""
    return Record(
        certificate_id=event.certificate_id,
        ca_certificate_id=event.ca_certificate_id,
        decision=decision.verdict,
        state=APPLIED,
        decided_at=now,
        knocked_at=event.knocked_at,
        since=now,
        knocks=0,
    )


def _first_knock(event: RegistrationEvent, before: Record) -> datetime | None:
    known = before.first_knock_at or (before.since if before.knocks else None)
    return known or (None if event.own else event.knocked_at)


def settled(record: Record, now: datetime, *, stays_pending: bool = False) -> Record:
    """Return the same decision, now carried out; one that AWS IoT refused to carry out is due again in a day."""
    due = now + DUE_LATEST if stays_pending else record.due
    attached = {} if record.decision is Verdict.ADMIT else record.attached  # what an admission leaves is its grant
    return replace(
        record,
        state=APPLIED,
        decided_at=now,
        stays_pending=stays_pending,
        due=due,
        delivery=None,
        attached=attached,
        reopened=None,
        withdrawn=False,
    )


def refused_now(held: Record, tried: Record, decision: Decision) -> Record:
    """Return the hold that replaces a tried admission: with what the trial left, and with what not to try again."""
    return replace(
        held,
        revision=tried.revision,
        reservation=tried.reservation,
        attached=tried.attached,
        hints=tried.hints,
        search_keys=tried.search_keys,
        refused=_attempt(decision),
    )


def would_be_refused_again(record: Record, decision: Decision, now: datetime) -> bool:
    """Return whether this is an admission that a guard or AWS IoT refused, and it is too early to try it once more."""
    return decision.verdict is Verdict.ADMIT and record.refused == _attempt(decision) and not record.due_at(now)


def asks_for_more(record: Record, decision: Decision, now: datetime) -> bool:
    """Return whether a waiting device cannot just wait on: another verdict, or a status that is to be tried (again)."""
    if decision.verdict is not record.decision:
        return True
    return record.stays_pending and (decision.revoke or record.due_at(now))


def waits_on(record: Record, again: Record) -> Record:
    """Return the new record of a device that waits on; of one whose status AWS IoT refused, as that stood before."""
    return replace(again, stays_pending=True, due=record.due) if record.stays_pending else again


def may_be_changed(record: Record | None, status: str) -> bool:
    """Return whether a certificate of this status is ours to change.

    Pending; or INACTIVE by our own rejection, which an operator reopened; or an admission that we take back.
    """
    if status == PENDING or record is None:
        return status == PENDING
    if status == ACTIVE:
        return record.withdrawn and record.state == APPLYING and record.decision is not Verdict.ADMIT
    return status == INACTIVE and (record.reopened is not None or record.withdrawn)


def status_was_set(record: Record, status: str) -> bool:
    """Return whether a certificate of this status was cut off after the last step of its decision."""
    goals = {Verdict.ADMIT: (ACTIVE,), Verdict.REJECT: (INACTIVE, REVOKED), Verdict.HOLD: ()}
    return record.state == APPLYING and status in goals[record.decision]


def in_other_hands(record: Record, status: str, now: datetime) -> Record:
    """Return the record of a certificate whose status another hand has set."""
    again = replace(record, described_at=now)
    if status != INACTIVE:
        again = replace(again, withdrawn=False, reopened=None)  # INACTIVE would be another hand's doing now
    if record.state == APPLYING and record.decision is Verdict.HOLD:  # an admission that was being taken back
        again = replace(again, state=APPLIED, delivery=None, withdrawn=False)
    if again.waiting:
        # Or it would be due, and described, every minute for good. Once it knocks it is pending anew, and then no edit
        # need have been made to decide it again.
        again = replace(again, due=now + DUE_LATEST, meaning=None)
    return again


def refused_again(record: Record, decision: Decision, heads: Heads) -> Record:
    """Return the same hold, now resting on the rules and lists in force."""
    return replace(record, **_rests_on(decision, heads))


def same_admission(record: Record, decision: Decision) -> bool:
    """Return whether a decision admits a device under the same rule and with the same grant as its record does."""
    if record.decision is not Verdict.ADMIT or decision.grant is None or record.grant is None:
        return False
    return record.rule == decision.rule and Grant.from_json(record.grant) == decision.grant


def admitted_again(record: Record, decision: Decision, heads: Heads) -> Record:
    """Return the same admission, now resting on the rules and lists in force."""
    reasons = tuple(each.to_json() for each in decision.reasons)
    return replace(record, at=decision.at, reasons=reasons, **_rests_on(decision, heads))


def _rests_on(decision: Decision, heads: Heads) -> dict[str, Any]:
    editions = {name: heads.edition(name) for name in decision.lists}
    return {"digest": heads.digest, "meaning": heads.meaning, "editions": editions}


def _attempt(decision: Decision) -> dict[str, Any]:
    """Return what an admission attempts: equal for two that guards and AWS IoT would answer alike."""
    grant = None if decision.grant is None else decision.grant.to_json()
    return {"rule": decision.rule, "max_devices": decision.max_devices, "grant": grant}


def attaching(record: Record, grant: Grant) -> Record:
    """Return the record of an admission that is about to attach what a grant gives."""
    given = {"iot_policies": set(grant.iot_policies), "things": _things(grant)}
    return replace(
        record, attached={kind: tuple(sorted(names | _attached(record, kind))) for kind, names in given.items()}
    )


def superfluous(record: Record, grant: Grant) -> tuple[list[str], list[str]]:
    """Return the IoT policies and things that unfinished attempts may have attached beyond the grant."""
    policies = _attached(record, "iot_policies") - set(grant.iot_policies)
    return sorted(policies), sorted(_attached(record, "things") - _things(grant))


def all_attached(record: Record) -> tuple[list[str], list[str]]:
    """Return the IoT policies and the things that attempts may have attached."""
    return sorted(_attached(record, "iot_policies")), sorted(_attached(record, "things"))


def _left_attached(previous: Record) -> Mapping[str, tuple[str, ...]]:
    """Return what may be attached when another record follows: grants of unfinished attempts and of a finished one."""
    if previous.state != APPLIED or previous.grant is None:
        return previous.attached
    return attaching(previous, Grant.from_json(previous.grant)).attached


def _attached(record: Record, kind: str) -> set[str]:
    return set(record.attached.get(kind, ()))


def _things(grant: Grant) -> set[str]:
    return set() if grant.thing is None else {grant.thing}
