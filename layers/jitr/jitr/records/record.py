"""The decision record: what is remembered of one certificate, and what a knock means in its light.

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
from dataclasses import field, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from jitr.decision.decide import DUE_LATEST, Decision, OperatorWord
from jitr.decision.revocation import ocsp_json, revocations_json
from jitr.facts import CaFacts, CertificateFacts, ChainFacts, Knock
from jitr.reasons import Verdict
from jitr.records.event import EVENT_CLOCK_SKEW, RegistrationEvent
from jitr.rules.model import Grant, Rules
from jitr.times import parse_time, rfc3339
from jitr.values import dataclass

FORMAT = 1

APPLYING, APPLIED = "applying", "applied"

# Longer than a function runs (its timeout is 30 s): whoever began to apply a decision before that is gone.
APPLYING_AT_MOST = timedelta(seconds=60)
# Where applying took longer than this, another hand may have changed the status meanwhile: it is read again.
STATUS_FRESH = timedelta(seconds=5)
# A settled certificate that knocks again is described again at most this often.
DESCRIBE_AGAIN = timedelta(seconds=60)
# Knocks of held devices are counted at most this often, so the count is approximate.
COUNT_AGAIN = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class ListHead:
    """A list as its readers find it: which generation of rows is in force, and how often it was edited."""

    generation: str
    edition: int


@dataclass(frozen=True, slots=True)
class Heads:
    """The rules in force by digest and the lists by generation. Read them before any row."""

    digest: str | None = None  # None: no rules were published yet
    meaning: str | None = None
    version: int = 0
    lists: Mapping[str, ListHead] = field(default_factory=dict)

    def edition(self, name: str) -> str:
        """Return a value that changes when a list changes; a list that does not exist has one, too."""
        head = self.lists.get(name)
        return "absent" if head is None else f"{head.generation}/{head.edition}"


@dataclass(frozen=True, slots=True)
class Record:
    """The decision in force on one certificate, and what it rests on."""

    certificate_id: str
    ca_certificate_id: str
    decision: Verdict
    state: str
    decided_at: datetime
    knocked_at: datetime
    since: datetime  # when the device first got this verdict in a row
    digest: str | None = None
    meaning: str | None = None
    editions: Mapping[str, str] = field(default_factory=dict)
    rule: str | None = None
    at: str | None = None
    reasons: tuple[Mapping[str, str], ...] = ()
    near_misses: tuple[Mapping[str, Any], ...] = ()
    grant: Mapping[str, Any] | None = None
    facts: Mapping[str, Any] | None = None  # None: the certificate could not be read
    due: datetime | None = None
    reservation: str | None = None  # key of the reservation that the certificate holds
    predecessors: tuple[str, ...] = ()  # certificates that it replaces once it is ACTIVE
    delivery: str | None = None  # the message whose delivery is applying the decision
    attached: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # what unfinished attempts may have attached
    refused: Mapping[str, Any] | None = None  # the attempt that a guard or AWS IoT refused
    stays_pending: bool = False  # rejected, but AWS IoT refused the new status
    withdrawn: bool = False  # we made it ACTIVE and took that back: INACTIVE is our doing, and ACTIVE while applying
    word: Mapping[str, Any] | None = None  # an operator's word about this device, see OperatorWord
    reopened: Mapping[str, str] | None = None  # an operator's wish to decide a rejected device again: by, at
    described_at: datetime | None = None
    knocks: int = 1
    counted_at: datetime | None = None  # the last knock that was counted
    first_knock_at: datetime | None = None  # the first; None in records of before it was kept
    hints: tuple[str, ...] = ()  # what a held device is found by in the table, see jitr.records.held
    revision: int = 0  # of the item: what a conditional write is conditional on

    def to_json(self) -> dict[str, Any]:
        """As it is stored and shown; absent values are left out."""
        plain: dict[str, Any] = {
            "format": FORMAT,
            "certificate_id": self.certificate_id,
            "ca_certificate_id": self.ca_certificate_id,
            "decision": self.decision.value,
            "state": self.state,
            "decided_at": rfc3339(self.decided_at),
            "knocked_at": rfc3339(self.knocked_at),
            "since": rfc3339(self.since),
            "digest": self.digest,
            "meaning": self.meaning,
            "editions": dict(self.editions),
            "rule": self.rule,
            "at": self.at,
            "reasons": [dict(each) for each in self.reasons],
            "near_misses": [dict(each) for each in self.near_misses],
            "grant": self.grant,
            "facts": self.facts,
            "due": _text(self.due),
            "reservation": self.reservation,
            "predecessors": list(self.predecessors),
            "delivery": self.delivery,
            "attached": {kind: list(names) for kind, names in self.attached.items()},
            "refused": self.refused,
            "stays_pending": self.stays_pending,
            "withdrawn": self.withdrawn or None,
            "word": self.word,
            "reopened": self.reopened,
            "described_at": _text(self.described_at),
            "knocks": self.knocks,
            "counted_at": _text(self.counted_at),
            "first_knock_at": _text(self.first_knock_at),
            "hints": list(self.hints),
            "revision": self.revision,
        }
        return {name: value for name, value in plain.items() if value is not None}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Record":
        """Read back what ``to_json`` wrote. Raises ValueError for a format this code does not know."""
        if int(data["format"]) != FORMAT:
            raise ValueError(f"a decision record of format {data['format']}; this version reads {FORMAT}")
        return cls(
            certificate_id=data["certificate_id"],
            ca_certificate_id=data["ca_certificate_id"],
            decision=Verdict(data["decision"]),
            state=data["state"],
            decided_at=parse_time(data["decided_at"]),
            knocked_at=parse_time(data["knocked_at"]),
            since=parse_time(data["since"]),
            digest=data.get("digest"),
            meaning=data.get("meaning"),
            editions=data["editions"],
            rule=data.get("rule"),
            at=data.get("at"),
            reasons=tuple(data["reasons"]),
            near_misses=tuple(data["near_misses"]),
            grant=data.get("grant"),
            facts=data.get("facts"),
            due=_time(data.get("due")),
            reservation=data.get("reservation"),
            predecessors=tuple(data["predecessors"]),
            delivery=data.get("delivery"),
            attached={kind: tuple(names) for kind, names in data.get("attached", {}).items()},
            refused=data.get("refused"),
            stays_pending=data["stays_pending"],
            withdrawn=data.get("withdrawn", False),
            word=data.get("word"),
            reopened=data.get("reopened"),
            described_at=_time(data.get("described_at")),
            knocks=int(data["knocks"]),
            counted_at=_time(data.get("counted_at")),
            first_knock_at=_time(data.get("first_knock_at")),
            hints=tuple(data.get("hints", ())),
            revision=int(data["revision"]),
        )

    @classmethod
    def glanced(cls, data: Mapping[str, Any]) -> "Record":
        """From a part of ``to_json``: enough for ``remember``, nothing to decide from or to write back.

        Raises ValueError as ``from_json`` does.
        """
        return cls.from_json({"reasons": (), "near_misses": (), "predecessors": ()} | dict(data))

    @property
    def operator_word(self) -> OperatorWord | None:
        """The operator's word on this device, if there is one."""
        return None if self.word is None else OperatorWord.from_json(self.word)

    @property
    def waiting(self) -> bool:
        """Whether the certificate stays pending on our word: held, or rejected where AWS IoT refused the status."""
        return self.state == APPLIED and (self.decision is Verdict.HOLD or self.stays_pending)

    def applying_at(self, now: datetime) -> bool:
        """Return whether a delivery may be applying the decision at this moment."""
        return self.state == APPLYING and now < self.decided_at + APPLYING_AT_MOST

    def due_at(self, now: datetime) -> bool:
        """Return whether a waiting device is decided again whatever was edited."""
        return self.due is not None and now >= self.due

    def unchanged(self, heads: Heads) -> bool:
        """Return whether the rules and the lists that the decision rests on are still those in force."""
        return self.meaning == heads.meaning and all(
            heads.edition(name) == edition for name, edition in self.editions.items()
        )


class Remembered(Enum):
    """The meaning of a knock, given the record."""

    SETTLED = "settled"  # nothing to do
    BUSY = "busy"  # another delivery is applying a decision on the certificate
    HELD = "held"  # nothing changed since it was held: count the knock
    DECIDE_AGAIN = "decide again"  # from the recorded facts; AWS IoT only if the outcome changed
    UNKNOWN = "unknown"  # gather everything


def remember(
    record: Record | None, event: RegistrationEvent, heads: Heads, now: datetime, delivery: str | None = None
) -> Remembered:
    """Say what to do about a knock, before AWS IoT is asked anything.

    ``delivery`` is the message that brought it. That it comes again says that its delivery before has ended.
    """
    if record is not None and record.applying_at(now) and record.delivery != delivery:
        return Remembered.BUSY
    if (
        record is None
        or record.state == APPLYING
        or (record.reopened is not None and record.decision is not Verdict.HOLD)
    ):
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


def facts_json(knock: Knock) -> dict[str, Any]:
    """Return the facts as the record keeps them: everything needed to make a decision again.

    What revocation lists and responders said is there to be seen; deciding again asks again (``recorded_knock``).
    """
    revocation = {"revocation": revocations_json(knock.revocations)} if knock.revocations else {}
    revocation |= {"ocsp": ocsp_json(knock.ocsp)} if knock.ocsp else {}
    problem = {} if knock.ca_problem is None else {"ca_problem": knock.ca_problem}
    return (
        knock.certificate.to_json()
        | revocation
        | problem
        | {
            "ca_certificate_id": knock.ca_certificate_id,
            "ca": None if knock.ca is None else knock.ca.to_json(),
            "chain": None if knock.chain is None else knock.chain.to_json(),
        }
    )


def recorded_knock(facts: Mapping[str, Any], rules: Rules) -> Knock:
    """Return the device as its record remembers it, with the aliases that the rules in force give its CA.

    Without what revocation lists and responders said of it then: what is configured and not asked anew holds it.
    """
    ca_certificate_id = facts["ca_certificate_id"]
    return Knock(
        certificate=CertificateFacts.from_json(facts),
        ca_certificate_id=ca_certificate_id,
        ca=None if facts["ca"] is None else CaFacts.from_json(facts["ca"]),
        chain=None if facts["chain"] is None else ChainFacts.from_json(facts["chain"]),
        aliases=rules.aliases_of(ca_certificate_id),
        ca_problem=facts.get("ca_problem"),
    )


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


def knock_interval(record: Record) -> timedelta | None:
    """About how long the device waits between its knocks; None where it did not knock twice.

    Knocks are counted at most once in ``COUNT_AGAIN``: a device that knocks more often seems to knock that often.
    """
    first = record.first_knock_at or record.since
    if record.knocks < 2 or record.counted_at is None or record.counted_at <= first:
        return None
    return (record.counted_at - first) / (record.knocks - 1)


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


def _text(time: datetime | None) -> str | None:
    return None if time is None else rfc3339(time)


def _time(text: str | None) -> datetime | None:
    return None if text is None else parse_time(text)
