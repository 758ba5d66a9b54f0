"""The way of one registration event: parse, remember, gather, decide, apply, record.

Whatever fails on the way is either a Retry (the message comes back and all of it is done again; every step is
idempotent), or Poison (the message can never be handled), or a bug. A certificate is changed only if AWS IoT says at
gathering that it is PENDING_ACTIVATION.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from jitr.aws.cas import Cas
from jitr.aws.iot import Description, Iot
from jitr.aws.reservations import Reservations
from jitr.aws.rulebook import Rulebook
from jitr.aws.table import Table
from jitr.aws.telemetry import Telemetry
from jitr.certificate import CertificateReading, read_certificate
from jitr.chain import verify_chain
from jitr.decide import Decision, decide, held_instead, lists_needed, unreadable
from jitr.errors import Poison, Refused, Retry, Unreadable
from jitr.event import RegistrationEvent, parse_event
from jitr.facts import Knock
from jitr.lists import device_keys, membership
from jitr.plan import SetStatus, Step, plan
from jitr.reasons import Reason, Verdict
from jitr.record import (
    APPLIED,
    APPLYING,
    COUNT_AGAIN,
    Heads,
    Record,
    Remembered,
    facts_json,
    recorded,
    recorded_knock,
    remember,
    settled,
)
from jitr.rules.model import Rules
from jitr.times import rfc3339

PENDING = "PENDING_ACTIVATION"

# A certificate that AWS IoT does not know may be one that it does not know *yet*.
DELIVERIES_UNKNOWN = 5
# Where applying took longer than this, another hand may have changed the status meanwhile.
STATUS_FRESH = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Message:
    """One delivery of a message from the registration queue."""

    body: str
    sent_at: datetime
    deliveries: int


class Registrar:
    """Handles one message at a time; keeps only what stays right (CAs, rules by digest) between them."""

    def __init__(
        self, *, iot: Iot, table: Table, account_id: str, clock: Callable[[], datetime], telemetry: Telemetry
    ) -> None:
        self._iot = iot
        self._table = table
        self._account_id = account_id
        self._clock = clock
        self._telemetry = telemetry
        self._cas = Cas(iot)
        self._rulebook = Rulebook(table)
        self._reservations = Reservations(table, iot)

    def handle(self, message: Message) -> None:
        """Do everything that one message asks for.

        Raises Retry for "not now", Poison for "never"; anything else that escapes is a bug.
        """
        event = parse_event(message.body, account_id=self._account_id, sent_at=message.sent_at)
        self._telemetry.about(event.certificate_id)
        record, heads = self._table.record_and_heads(event.certificate_id)
        now = self._clock()
        match remember(record, event, heads, now):
            case _ if record is not None and record.ca_certificate_id != event.ca_certificate_id:
                # Forged, or the certificate was registered anew under another CA: AWS IoT knows which.
                self._gather(message, event, record, heads)
            case Remembered.SETTLED:
                self._telemetry.count("SettledKnocks")
            case Remembered.HELD if record is not None:
                self._count_knock(record, now)
            case Remembered.DECIDE_AGAIN if record is not None and record.facts is not None:
                self._decide_again(message, event, record, record.facts, heads)
            case _:
                self._gather(message, event, record, heads)

    def _count_knock(self, record: Record, now: datetime) -> None:
        self._telemetry.count("HeldKnocks")
        if record.counted_at is None or now >= record.counted_at + COUNT_AGAIN:
            self._table.count_knock(record, rfc3339(now))

    def _decide_again(
        self, message: Message, event: RegistrationEvent, record: Record, facts: Mapping[str, Any], heads: Heads
    ) -> None:
        """Decide a waiting device from its recorded facts, and ask AWS IoT only if the outcome would change."""
        now = self._clock()
        rules = self._rulebook.in_force(heads)
        knock = recorded_knock(facts, rules)
        ca = self._cas.get(knock.ca_certificate_id, now)
        knock = replace(knock, ca=None if ca is None else ca.facts, chain=knock.chain if ca is not None else None)
        if ca is not None and knock.chain is None:
            self._gather(message, event, record, heads)  # the CA is back, and was never compared
            return
        decision = self._decide(knock, rules, heads, event, record)
        if decision.verdict is not record.decision:
            self._gather(message, event, record, heads)
            return
        again = self._recorded(decision, event, heads, facts_json(knock), APPLIED, record)
        if record.stays_pending:
            again = settled(again, now, stays_pending=True)
        self._put_waiting(again, decision)

    def _gather(self, message: Message, event: RegistrationEvent, record: Record | None, heads: Heads) -> None:
        found = self._iot.certificate(event.certificate_id)
        described_at = self._clock()
        if found is None:
            _unknown(event, message)
        elif found.ca_certificate_id not in (None, event.ca_certificate_id):
            raise Poison(
                "event.ca-mismatch",
                f"the event names CA {event.ca_certificate_id}, "
                f"AWS IoT holds the certificate under {found.ca_certificate_id}",
            )
        elif not _may_be_changed(found, record):
            self._not_pending(found, record, described_at)
        else:
            rules = self._rulebook.in_force(heads)
            decision, facts = self._decide_found(found, rules, heads, event, record)
            self._apply(decision, facts, found, event, heads, record, described_at)

    def _decide_found(
        self, found: Description, rules: Rules, heads: Heads, event: RegistrationEvent, record: Record | None
    ) -> tuple[Decision, dict[str, Any] | None]:
        try:
            reading = read_certificate(found.pem.encode())
        except Unreadable as error:
            return unreadable(error.code, str(error), self._clock()), None
        knock = self._knock(reading, rules, event)
        return self._decide(knock, rules, heads, event, record), facts_json(knock)

    def _knock(self, reading: CertificateReading, rules: Rules, event: RegistrationEvent) -> Knock:
        ca = self._cas.get(event.ca_certificate_id, self._clock())
        return Knock(
            certificate=reading.facts,
            ca_certificate_id=event.ca_certificate_id,
            ca=None if ca is None else ca.facts,
            chain=None if ca is None else verify_chain(reading, ca),
            aliases=rules.aliases_of(event.ca_certificate_id),
        )

    def _decide(
        self, knock: Knock, rules: Rules, heads: Heads, event: RegistrationEvent, record: Record | None
    ) -> Decision:
        word = None if record is None else record.operator_word
        needed = lists_needed(knock, rules, event.knocked_at, word)
        found = self._table.rows(
            {name: heads.lists[name] for name in needed if name in heads.lists}, device_keys(knock)
        )
        now = self._clock()
        memberships = {name: membership(knock, found.get(name, ()), now) for name in needed}
        return decide(knock, rules, memberships, now, event.knocked_at, word)

    def _apply(
        self,
        decision: Decision,
        facts: Mapping[str, Any] | None,
        found: Description,
        event: RegistrationEvent,
        heads: Heads,
        previous: Record | None,
        described_at: datetime,
    ) -> None:
        if decision.verdict is Verdict.HOLD:
            self._hold(decision, self._recorded(decision, event, heads, facts, APPLIED, previous))
            return
        record = self._recorded(decision, event, heads, facts, APPLYING, previous)
        if decision.verdict is Verdict.REJECT:
            self._reject(decision, self._reservations.release(record), found)
            return
        claimed = self._reservations.claim(decision, record, _public_key(facts))
        if isinstance(claimed, Reason):
            held = held_instead(decision, claimed, self._clock())
            self._hold(held, self._recorded(held, event, heads, facts, APPLIED, previous))
            return
        try:
            self._carry_out(plan(decision), found, event, described_at)
        except Refused as refused:
            held = held_instead(decision, _refusal(refused), self._clock())
            self._hold(held, self._recorded(held, event, heads, facts, APPLIED, claimed))
            return
        self._admitted(claimed)

    def _carry_out(
        self, steps: tuple[Step, ...], found: Description, event: RegistrationEvent, described_at: datetime
    ) -> None:
        for step in steps:
            if isinstance(step, SetStatus) and self._clock() - described_at > STATUS_FRESH:
                self._still_as_found(event, found)
            self._iot.carry_out(step, event.certificate_id, found.arn)

    def _still_as_found(self, event: RegistrationEvent, before: Description) -> None:
        found = self._iot.certificate(event.certificate_id)
        if found is None or found.status != before.status:
            raise Retry("status", "the certificate's status was changed by another hand while it was being admitted")

    def _admitted(self, record: Record) -> None:
        for predecessor in record.predecessors:
            self._deactivate(predecessor)
        now = self._clock()
        self._table.put_record(settled(record, now))
        self._telemetry.count("Admitted")
        self._telemetry.milliseconds("TimeToAdmission", (now - record.knocked_at).total_seconds() * 1000)
        self._told("admitted", record)

    def _deactivate(self, predecessor: str) -> None:
        found = self._iot.certificate(predecessor)
        if found is not None and found.status == "ACTIVE":
            self._iot.set_status(predecessor, "INACTIVE")
            self._telemetry.logger.info("replaced", extra={"predecessor": predecessor})

    def _reject(self, decision: Decision, record: Record, found: Description) -> None:
        stays_pending = False
        try:
            for step in plan(decision):
                self._iot.carry_out(step, record.certificate_id, found.arn)
        except Refused as refused:
            # The decision stands; AWS IoT may not take a pending certificate to INACTIVE (unconfirmed).
            stays_pending = True
            self._telemetry.logger.warning("rejected, but the status stays", extra={"refused": str(refused)})
        self._table.put_record(settled(record, self._clock(), stays_pending=stays_pending))
        self._telemetry.count("Rejected", reason=decision.reasons[0].code)
        self._told("rejected", record)

    def _hold(self, decision: Decision, record: Record) -> None:
        self._put_waiting(record, decision)
        self._telemetry.count("Held", reason=decision.reasons[0].code)
        self._told("held", record)

    def _put_waiting(self, record: Record, decision: Decision) -> None:
        """Write a hold, then make sure that no edit slipped in between looking the device up and holding it."""
        record = self._reservations.release(record)
        if not record.unchanged(self._table.heads()):
            raise Retry("edited", f"rules or lists were edited while deciding ({', '.join(decision.lists) or 'rules'})")

    def _not_pending(self, found: Description, record: Record | None, now: datetime) -> None:
        """A certificate that is not pending is not ours to change; but work that was done is recorded as done."""
        goals = {Verdict.ADMIT: ("ACTIVE",), Verdict.REJECT: ("INACTIVE", "REVOKED"), Verdict.HOLD: ()}
        if record is not None and record.state == APPLYING and found.status in goals[record.decision]:
            if record.decision is Verdict.ADMIT:
                self._admitted(record)
            else:
                self._table.put_record(settled(record, now))
                self._told("rejected", record)
            return
        if record is not None:
            self._table.put_record(replace(record, described_at=now))
        self._telemetry.count("NotPending")
        self._telemetry.logger.info("not pending", extra={"status": found.status})

    def _recorded(
        self,
        decision: Decision,
        event: RegistrationEvent,
        heads: Heads,
        facts: Mapping[str, Any] | None,
        state: str,
        previous: Record | None,
    ) -> Record:
        return recorded(
            decision, event=event, heads=heads, facts=facts, state=state, now=self._clock(), previous=previous
        )

    def _told(self, what: str, record: Record) -> None:
        self._telemetry.logger.info(
            what,
            extra={"rule": record.rule, "reasons": [dict(each) for each in record.reasons], "digest": record.digest},
        )


def _may_be_changed(found: Description, record: Record | None) -> bool:
    """Pending; or INACTIVE by our own rejection, which an operator reopened."""
    if found.status == PENDING:
        return True
    ours = record is not None and record.reopened is not None
    return ours and found.status == "INACTIVE"


def _unknown(event: RegistrationEvent, message: Message) -> None:
    told = f"AWS IoT knows no certificate {event.certificate_id}"
    if message.deliveries < DELIVERIES_UNKNOWN:
        raise Retry("unknown", told)
    raise Poison("event.certificate-unknown", f"{told}, after {message.deliveries} deliveries")


def _public_key(facts: Mapping[str, Any] | None) -> str:
    if facts is None:
        raise ValueError("an admission without facts")
    return str(facts["public_key_sha256"])


def _refusal(refused: Refused) -> Reason:
    """The reason code for an answer of AWS IoT's that waiting does not change."""
    if refused.code == "LimitExceededException":
        return Reason("apply.limit", str(refused))
    if refused.code == "CertificateStateException":
        return Reason("apply.certificate-state", str(refused))
    if refused.code == "ResourceNotFoundException":
        missing_policy = refused.operation == "AttachPolicy"
        return Reason("apply.iot-policy-missing" if missing_policy else "apply.resource-missing", str(refused))
    return Reason("apply.refused", str(refused))
