"""The way of one registration event: parse, remember, gather, decide, apply, record.

Whatever fails on the way is either a Retry (the message comes back and all of it is done again; every step is
idempotent), or Poison (the message can never be handled), or a bug. A certificate is changed only if AWS IoT says at
gathering that it is PENDING_ACTIVATION.

Rules and lists may be edited while an admission is carried out, and who recalls a device sees only those that are
ACTIVE. So what an admission rests on is looked at again right before ACTIVE and right after it: an edit is then either
seen here, or was made once the device was ACTIVE for everybody to see.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from jitr.aws.cas import Cas
from jitr.aws.crls import Crls
from jitr.aws.dynamodb.rulebook import Rulebook
from jitr.aws.dynamodb.table import Conflict, Item, Table
from jitr.aws.iot import Description, Iot
from jitr.aws.ocsp_responders import OcspResponders
from jitr.aws.overlap import at_once
from jitr.aws.pacing import NotYet
from jitr.aws.telemetry import Telemetry
from jitr.decision.decide import DUE_LATEST, Decision, decide, held_instead, lists_needed, unreadable
from jitr.decision.plan import Lane, SetStatus, Step, lanes, plan
from jitr.decision.revocation import ocsps_of
from jitr.devicelists.rows import device_keys, membership
from jitr.errors import Poison, Refused, Retry, Unreadable
from jitr.facts import Knock, OcspAnswer
from jitr.reasons import Reason, Verdict
from jitr.records.event import RegistrationEvent, parse_event
from jitr.records.heads import Heads
from jitr.records.knock import facts_json, recorded_knock
from jitr.records.record import APPLIED, APPLYING, COUNT_AGAIN, Record
from jitr.records.transitions import (
    DESCRIBE_AGAIN,
    STATUS_FRESH,
    Remembered,
    admitted_again,
    all_attached,
    asks_for_more,
    recorded,
    refused_again,
    refused_now,
    remember,
    same_admission,
    settled,
    superfluous,
    would_be_refused_again,
)
from jitr.rules.model import Rules
from jitr.services.registration.reservations import Claim, Reservations
from jitr.times import rfc3339
from jitr.values import dataclass
from jitr.x509.certificate import CaReading, CertificateReading, read_certificate

PENDING, ACTIVE, INACTIVE = "PENDING_ACTIVATION", "ACTIVE", "INACTIVE"

# How many certificates without a record are remembered as not pending, by one environment.
_MOST_REMEMBERED = 4096

# A certificate that AWS IoT does not know may be one that it does not know *yet*.
DELIVERIES_UNKNOWN = 5


@dataclass(frozen=True, slots=True)
class Message:
    """One delivery of a message from the registration queue."""

    body: str
    sent_at: datetime
    deliveries: int
    id: str = ""
    remaining: Callable[[], int] | None = None  # milliseconds until the function is ended
    patient: bool = True  # it may wait for its turn to ask AWS IoT


@dataclass(frozen=True, slots=True)
class _Case:
    """A delivery, and what was known when it was begun."""

    message: Message
    event: RegistrationEvent
    record: Record | None
    heads: Heads


@dataclass(frozen=True, slots=True)
class _Again:
    """The decision on an unfinished admission by the rules and lists in force now."""

    case: _Case
    decision: Decision
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Found:
    """A certificate as AWS IoT held it, and when."""

    certificate: Description
    at: datetime


class Registrar:
    """Handles one message at a time; keeps only what stays right (CAs, rules by digest) between them."""

    def __init__(
        self,
        *,
        iot: Iot,
        table: Table,
        account_id: str,
        clock: Callable[[], datetime],
        telemetry: Telemetry,
        crls: Crls | None = None,  # without, a CA that has a revocation list configured admits nobody
        ocsp: OcspResponders | None = None,  # likewise
        at_once: Callable[[Iterable[Callable[[], None]]], None] = at_once,  # how calls are made that may overlap
    ) -> None:
        self._iot = iot
        self._table = table
        self._account_id = account_id
        self._clock = clock
        self._telemetry = telemetry
        self._cas = Cas(iot)
        self._crls = crls
        self._ocsp = ocsp
        self._answered: dict[tuple[str, str], OcspAnswer] = {}  # what responders said during the message at hand
        self._at_once = at_once
        self._rulebook = Rulebook(table)
        self._reservations = Reservations(table, iot)
        self._no_knocks: dict[tuple[str, str], datetime] = {}  # certificate and CA of events that changed nothing: when

    def settle_known(self, messages: Sequence[Message]) -> frozenset[str]:
        """Be done with those messages that ask for nothing: knocks of held and of settled devices. Their ids.

        One table read tells them, however many they are and however often a device is among them. In doubt a message
        is not among them, and ``handle`` says why. Raises Retry where the table could not answer now.
        """
        events = {message.id: event for message in messages if (event := self._event(message)) is not None}
        known, heads = self._table.glance(sorted({event.certificate_id for event in events.values()}))
        done: set[str] = set()
        counted: set[str] = set()
        now = self._clock()
        for identifier, event in events.items():
            record = _glanced(known.get(event.certificate_id))
            if record is None or record.ca_certificate_id != event.ca_certificate_id:
                continue
            match remember(record, event, heads, now, identifier):
                case Remembered.SETTLED:
                    self._telemetry.count("SettledKnocks")
                    done.add(identifier)
                case Remembered.HELD:
                    if not event.own:
                        self._count_knock(record, now, again=record.certificate_id not in counted)
                        counted.add(record.certificate_id)
                    done.add(identifier)
        return frozenset(done)

    def _event(self, message: Message) -> RegistrationEvent | None:
        try:
            return parse_event(message.body, account_id=self._account_id, sent_at=message.sent_at)
        except Poison:
            return None

    def handle(self, message: Message) -> None:
        """Do everything that one message asks for, and wait for its turn if AWS IoT has to be asked.

        Raises Retry for "not now", NotYet for an impatient message whose turn has not come, Poison for "never";
        anything else that escapes is a bug.
        """
        self._iot.pace.within(message.remaining)
        self._answered = {}
        while True:
            try:
                self._handle(message)
            except NotYet:
                if not message.patient:
                    raise
                self._iot.pace.until_ready("DescribeCertificate")  # then anew: another delivery may have been quicker
            else:
                return

    def _handle(self, message: Message) -> None:
        event = parse_event(message.body, account_id=self._account_id, sent_at=message.sent_at)
        self._telemetry.about(event.certificate_id)
        record, heads = self._table.record_and_heads(event.certificate_id)
        case = _Case(message, event, record, heads)
        now = self._clock()
        match remember(record, event, heads, now, message.id):
            case Remembered.BUSY:
                raise Retry("busy", "another delivery is applying a decision on the certificate")
            case _ if record is not None and record.ca_certificate_id != event.ca_certificate_id:
                if event.by_itself:
                    told = f"the certificate itself published it, and names the CA {event.ca_certificate_id}"
                    raise Poison("event.forged", f"{told}; on record it is of {record.ca_certificate_id}")
                # Forged, or the certificate was registered anew under another CA: AWS IoT knows which.
                self._gather(case)
            case Remembered.SETTLED:
                self._telemetry.count("SettledKnocks")
            case Remembered.HELD if record is not None:
                if not event.own:
                    self._count_knock(record, now)
            case Remembered.DECIDE_AGAIN if record is not None and record.facts is not None:
                self._decide_again(case, record, record.facts)
            case _:
                self._gather(case)

    def _count_knock(self, record: Record, now: datetime, *, again: bool = True) -> None:
        self._telemetry.count("HeldKnocks")
        if again and (record.counted_at is None or now >= record.counted_at + COUNT_AGAIN):
            self._table.count_knock(record, rfc3339(now))

    def _decide_again(self, case: _Case, record: Record, facts: Mapping[str, Any]) -> None:
        """Decide a waiting device from its recorded facts, and ask AWS IoT only if the outcome would change."""
        now = self._clock()
        rules = self._rulebook.in_force(case.heads)
        knock, ca = self._remembered_knock(facts, rules)
        if ca is not None and knock.chain is None:
            self._gather(case)  # the CA is back, and was never compared
            return
        if "crl_addresses" not in facts and not rules.crls.keys().isdisjoint(knock.aliases):
            self._gather(case)  # recorded by a version that did not keep what tells which list is the device's
            return
        knock = self._asked_of_crls(knock, rules, ca)
        decision = self._decide(case, knock, rules, before_ocsp=True)
        if would_be_refused_again(record, decision, now):
            again = refused_again(record, decision, case.heads)
        elif (refusal := self._refused_still(record, decision, rules)) is not None:
            held = held_instead(decision, refusal, now)
            again = refused_now(self._recorded(case, held, facts_json(knock), APPLIED), record, decision)
            decision = held
        else:
            # Last, as everything else would let it in; and before AWS IoT is asked, which has few calls to spare.
            decision, knock = self._decided_with_ocsp(case, knock, rules, ca, decision)
            if asks_for_more(record, decision, now):
                self._gather(case)
                return
            again = self._recorded(case, decision, facts_json(knock), APPLIED)
            if record.stays_pending:
                again = replace(again, stays_pending=True, due=record.due)
        self._put_waiting(again, decision)

    def _remembered_knock(self, facts: Mapping[str, Any], rules: Rules) -> tuple[Knock, CaReading | None]:
        """Return the device as its record remembers it, and its CA as it is now."""
        knock = recorded_knock(facts, rules)
        registered = self._cas.get(knock.ca_certificate_id, self._clock())
        return registered.remembered(knock), registered.reading

    def _refused_still(self, record: Record, decision: Decision, rules: Rules) -> Reason | None:
        """Return why a guard would refuse once more what was refused before.

        The guards are asked before AWS IoT describes the certificate: thousands of devices that one guard keeps out
        come due every hour, and would leave none of its few calls to those that can get in.
        """
        if record.refused is None or record.decision is not Verdict.HOLD or decision.verdict is not Verdict.ADMIT:
            return None
        facts = record.facts or {}
        twin = self._recorded_as_twin(_twin(facts))
        if twin is not None:
            return twin
        public_key, written = str(facts["public_key_sha256"]), facts.get("written_key_sha256")
        return self._reservations.refusal(
            decision, record.certificate_id, record.ca_certificate_id, public_key, rules, written
        )

    def _gather(self, case: _Case) -> None:
        event = case.event
        rules = self._rulebook.in_force(case.heads)  # first: while there are none, waiting costs AWS IoT no call
        if case.record is None or case.record.ca_certificate_id != event.ca_certificate_id:
            self._registered_by_a_ca(case, rules)
        if case.record is None and self._was_no_knock(event):
            self._telemetry.count("SettledKnocks")
            return
        if self._iot.pace.wait("DescribeCertificate") > 0:
            raise NotYet
        found = self._iot.certificate(event.certificate_id)
        described_at = self._clock()
        if found is None:
            _unknown(event, case.message)
        elif found.ca_certificate_id not in (None, event.ca_certificate_id):
            self._remember_no_knock(case, described_at)
            raise Poison(
                "event.ca-mismatch",
                f"the event names CA {event.ca_certificate_id}, "
                f"AWS IoT holds the certificate under {found.ca_certificate_id}",
            )
        elif not _may_be_changed(found, case.record):
            self._not_pending(case, found, described_at)
        else:
            if found.status == ACTIVE:  # by us, and being taken back
                self._shut_out(event.certificate_id, INACTIVE)
                found = replace(found, status=INACTIVE)
            case = self._stripped_still(case, found)
            decision, facts = self._decide_found(case, found, rules)
            self._apply(case, decision, facts, _Found(found, described_at))

    def _stripped_still(self, case: _Case, found: Description) -> _Case:
        """Detach what a withdrawal that was cut off had still to detach."""
        record = case.record
        if record is None or not record.withdrawn or record.state != APPLYING or record.decision is Verdict.ADMIT:
            return case
        return replace(case, record=self._stripped(record, found.arn))

    def _stripped(self, record: Record, arn: str) -> Record:
        """Detach all that an admission attached: what was withdrawn has no use of its thing, whoever makes it ACTIVE.

        The next device of that name may have the thing by then.
        """
        try:
            self._iot.detach(arn, *all_attached(record))
        except Refused as refused:  # in transfer, perhaps; the record still says what is attached
            self._telemetry.logger.warning("withdrawn, but something stays attached", extra={"refused": str(refused)})
            return record
        return replace(record, attached={})

    def _registered_by_a_ca(self, case: _Case, rules: Rules) -> None:
        """Spare the call that tells of a certificate: a CA that the account does not hold registered none."""
        ca = case.event.ca_certificate_id
        if self._cas.is_registered(ca, self._clock(), named=bool(rules.aliases_of(ca))):
            return
        told = f"AWS IoT holds no CA {ca}"
        if case.message.deliveries < DELIVERIES_UNKNOWN:
            raise Retry("ca", told)
        raise Poison("event.ca-unknown", f"{told}, after {case.message.deliveries} deliveries")

    def _decide_found(self, case: _Case, found: Description, rules: Rules) -> tuple[Decision, dict[str, Any] | None]:
        try:
            reading = read_certificate(found.pem.encode())
        except Unreadable as error:
            return unreadable(error.code, str(error), self._clock()), None
        knock, ca = self._knock(case, reading, rules)
        decision, knock = self._decided(case, knock, rules, ca)
        return decision, facts_json(knock)

    def _knock(self, case: _Case, reading: CertificateReading, rules: Rules) -> tuple[Knock, CaReading | None]:
        ca_certificate_id = case.event.ca_certificate_id
        registered = self._cas.get(ca_certificate_id, self._clock())
        knock = registered.knock(reading, ca_certificate_id, rules.aliases_of(ca_certificate_id))
        return self._asked_of_crls(knock, rules, registered.reading), registered.reading

    def _asked_of_crls(self, knock: Knock, rules: Rules, ca: CaReading | None) -> Knock:
        """With what the CA's revocation lists say now; never with what they said before."""
        if self._crls is None:
            return knock
        return replace(knock, revocations=self._crls.of(knock, rules, ca, self._clock(), self._iot.pace.in_time))

    def _decided(self, case: _Case, knock: Knock, rules: Rules, ca: CaReading | None) -> tuple[Decision, Knock]:
        """Return the decision, and the device with all that was asked for it."""
        return self._decided_with_ocsp(case, knock, rules, ca, self._decide(case, knock, rules, before_ocsp=True))

    def _decided_with_ocsp(
        self, case: _Case, knock: Knock, rules: Rules, ca: CaReading | None, before: Decision
    ) -> tuple[Decision, Knock]:
        """Decide again once the CA's responders were asked; they are not about a device that is not let in anyway."""
        if before.verdict is not Verdict.ADMIT or not ocsps_of(knock, rules):
            return before, knock
        if self._ocsp is not None:
            knock = replace(knock, ocsp=self._ocsp.of(knock, rules, ca, self._clock(), self._answered))
        return self._decide(case, knock, rules), knock

    def _decide(self, case: _Case, knock: Knock, rules: Rules, *, before_ocsp: bool = False) -> Decision:
        word = None if case.record is None else case.record.operator_word
        lists, knocked_at = case.heads.lists, case.event.knocked_at
        needed = lists_needed(knock, rules, knocked_at, word)
        found = self._table.rows({name: lists[name] for name in needed if name in lists}, device_keys(knock))
        now = self._clock()
        memberships = {name: membership(knock, found.get(name, ()), now) for name in needed}
        return decide(knock, rules, memberships, now, knocked_at, word, before_ocsp=before_ocsp)

    def _apply(self, case: _Case, decision: Decision, facts: Mapping[str, Any] | None, found: _Found) -> None:
        match decision.verdict:
            case Verdict.HOLD:
                self._hold(decision, self._recorded(case, decision, facts, APPLIED))
            case Verdict.REJECT:
                record = self._recorded(case, decision, facts, APPLYING)
                self._reject(case, decision, self._reservations.release(record), found)
            case Verdict.ADMIT:
                self._admit(case, decision, facts, found)

    def _admit(self, case: _Case, decision: Decision, facts: Mapping[str, Any] | None, found: _Found) -> None:
        grant = decision.grant
        if grant is None or facts is None:
            raise ValueError("an admission without a grant or without facts")
        claim = self._claim(case, decision, self._recorded(case, decision, facts, APPLYING), facts)
        refusal, record = claim.refusal, claim.record
        if refusal is None:
            try:
                self._iot.detach(found.certificate.arn, *superfluous(record, grant))
                record = self._activate(case, plan(decision, claim.left), record, found)
            except Refused as refused:
                refusal = _refusal(refused)
        if refusal is None:
            self._activated(case, record, found.certificate.arn)
            return
        held = held_instead(decision, refusal, self._clock())
        again = self._recorded(case, held, facts, APPLIED)
        self._hold(held, refused_now(again, record, decision))

    def _activate(self, case: _Case, steps: tuple[Step, ...], record: Record, found: _Found) -> Record:
        """Do an admission's steps; the result is its record, which rests on what was in force right before ACTIVE."""
        self._prepare(case, steps, found)
        self._until_status_may_change(case, found)
        again = self._decided_since(case, record)
        if again is not None:
            if not same_admission(record, again.decision):
                raise Retry("edited", "rules or lists were edited while the admission was carried out")
            record = admitted_again(record, again.decision, again.case.heads)
        self._set_status(case, steps, found)
        return record

    def _activated(self, case: _Case, record: Record, arn: str) -> None:
        """Look once more at what an admission rests on, now that the device is ACTIVE: settle it, or take it back.

        One that gives something else by now stays as it is: so does every device that is in when rules are edited.
        """
        again = self._decided_since(case, record)
        if again is None or again.decision.verdict is Verdict.ADMIT:
            if again is not None and same_admission(record, again.decision):
                record = admitted_again(record, again.decision, again.case.heads)
            self._admitted(record)
        else:
            self._withdraw(again, arn)

    def _decided_since(self, case: _Case, record: Record) -> _Again | None:
        """Decide an admission again as of now; None if what it rests on is still in force."""
        heads = self._table.heads()
        if record.unchanged(heads):
            return None
        if record.facts is None:
            raise ValueError("an admission without facts")
        rules = self._rulebook.in_force(heads)
        knock, ca = self._remembered_knock(record.facts, rules)
        knock = self._asked_of_crls(knock, rules, ca)
        now = replace(case, record=record, heads=heads)
        decision, knock = self._decided(now, knock, rules, ca)
        return _Again(now, decision, facts_json(knock))

    def _withdraw(self, again: _Again, arn: str) -> None:
        """Take an admission back: INACTIVE, without its thing and policies, and on record as decided instead.

        The record comes first, so that whoever finds the certificate ACTIVE or INACTIVE after a crash knows it for our
        doing. Where another hand wrote the record meanwhile it says what is to be; but ACTIVE is what we alone know of.
        """
        case, decision = again.case, again.decision
        certificate_id = case.event.certificate_id
        begun = replace(self._recorded(case, decision, again.facts, APPLYING), withdrawn=True)
        try:
            record = self._reservations.release(begun, was_active=True)
        except Conflict:
            self._shut_out(certificate_id, INACTIVE)
            raise
        self._shut_out(certificate_id, "REVOKED" if decision.revoke else INACTIVE)
        record = self._stripped(record, arn)
        self._telemetry.count("Withdrawn")
        self._told("withdrawn", record)
        if decision.verdict is Verdict.HOLD:
            self._put_waiting(replace(record, state=APPLIED, delivery=None), decision)
        else:
            self._table.put_record(settled(record, self._clock()))

    def _claim(self, case: _Case, decision: Decision, record: Record, facts: Mapping[str, Any]) -> Claim:
        twin = _twin(facts)
        refusal = self._recorded_as_twin(twin)
        if refusal is not None:
            return Claim(record, refusal)
        rules = self._rulebook.in_force(case.heads)
        public_key, written = str(facts["public_key_sha256"]), facts.get("written_key_sha256")
        return self._reservations.claim(decision, record, public_key, rules, written, twin)

    def _recorded_as_twin(self, twin: str | None) -> Reason | None:
        """Return why a device is not admitted whose certificate is on record under its other id."""
        decided, by_hand = (False, False) if twin is None else self._table.on_record(twin)
        if decided:
            return Reason("certificate.twin", f"it was decided here as certificate {twin}")
        if by_hand:
            return Reason("certificate.twin", f"an operator registered it, or set its status, as certificate {twin}")
        return None

    def _shut_out(self, certificate_id: str, status: str) -> None:
        try:
            self._iot.set_status(certificate_id, status)
        except Refused as refused:  # deleted or revoked meanwhile, or in transfer
            self._telemetry.logger.warning("withdrawn, but the status stays", extra={"refused": str(refused)})

    def _prepare(self, case: _Case, steps: tuple[Step, ...], found: _Found) -> None:
        """Do all of a plan's steps but the status, those that need nothing of one another at once."""
        certificate_id, arn = case.event.certificate_id, found.certificate.arn
        self._at_once(partial(self._go_along, lane, certificate_id, arn) for lane in lanes(steps))

    def _until_status_may_change(self, case: _Case, found: _Found) -> None:
        """Wait until the status may be set. Raises Retry where another hand has set it since it was described."""
        self._iot.pace.until_turn("UpdateCertificate")
        if self._clock() - found.at > STATUS_FRESH:
            self._still_as_found(case.event, found.certificate)

    def _set_status(self, case: _Case, steps: tuple[Step, ...], found: _Found) -> None:
        for step in steps:
            if isinstance(step, SetStatus):
                self._iot.carry_out(step, case.event.certificate_id, found.certificate.arn)

    def _go_along(self, lane: Lane, certificate_id: str, arn: str) -> None:
        for stage in lane:
            self._at_once(partial(self._iot.carry_out, step, certificate_id, arn) for step in stage)

    def _still_as_found(self, event: RegistrationEvent, before: Description) -> None:
        found = self._iot.certificate(event.certificate_id)
        if found is None or found.status != before.status:
            raise Retry("status", "the certificate's status was changed by another hand while it was being decided")

    def _admitted(self, record: Record) -> None:
        for predecessor in record.predecessors:
            self._deactivate(predecessor)
        now = self._clock()
        self._reservations.settle(settled(record, now))
        self._telemetry.count("Admitted")
        self._telemetry.milliseconds("TimeToAdmission", (now - record.knocked_at).total_seconds() * 1000)
        self._told("admitted", record)

    def _deactivate(self, predecessor: str) -> None:
        found = self._iot.certificate(predecessor)
        if found is None or found.status != ACTIVE:
            return
        try:
            self._iot.set_status(predecessor, INACTIVE)
        except Refused as refused:  # deleted meanwhile, or in transfer
            extra = {"predecessor": predecessor, "refused": str(refused)}
            self._telemetry.logger.warning("replaced, but the status stays", extra=extra)
            return
        self._telemetry.logger.info("replaced", extra={"predecessor": predecessor})

    def _reject(self, case: _Case, decision: Decision, record: Record, found: _Found) -> None:
        stays_pending = False
        try:
            self._until_status_may_change(case, found)
            self._set_status(case, plan(decision), found)
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

    def _not_pending(self, case: _Case, found: Description, now: datetime) -> None:
        """Leave a certificate that is not pending alone, but finish work that was begun."""
        record = case.record
        goals = {Verdict.ADMIT: (ACTIVE,), Verdict.REJECT: (INACTIVE, "REVOKED"), Verdict.HOLD: ()}
        if record is not None and record.state == APPLYING and found.status in goals[record.decision]:
            if record.decision is Verdict.ADMIT:
                self._activated(case, record, found.arn)
            else:
                if record.withdrawn:
                    record = self._stripped(record, found.arn)
                self._table.put_record(settled(record, now))
                self._told("rejected", record)
            return
        if record is not None:
            again = replace(record, described_at=now)
            if found.status != INACTIVE:
                again = replace(again, withdrawn=False, reopened=None)  # INACTIVE would be another hand's doing now
            if record.state == APPLYING and record.decision is Verdict.HOLD:
                # An admission that was being taken back, and another hand has set the status since.
                again = replace(again, state=APPLIED, delivery=None, withdrawn=False)
            if again.waiting:
                # Or it would be due, and described, every minute for good. Once it knocks it is pending anew, and then
                # no edit need have been made to decide it again.
                again = replace(again, due=now + DUE_LATEST, meaning=None)
            self._table.put_record(again)
        self._remember_no_knock(case, now)
        self._telemetry.count("NotPending")
        self._telemetry.logger.info("not pending", extra={"status": found.status})

    def _was_no_knock(self, event: RegistrationEvent) -> bool:
        """Whether the same event changed nothing a moment ago: a device without a record may repeat it for ever."""
        at = self._no_knocks.get((event.certificate_id, event.ca_certificate_id))
        return at is not None and self._clock() < at + DESCRIBE_AGAIN

    def _remember_no_knock(self, case: _Case, now: datetime) -> None:
        if case.record is not None:
            return  # which says itself when the certificate was described
        if len(self._no_knocks) >= _MOST_REMEMBERED:
            self._no_knocks.clear()
        self._no_knocks[case.event.certificate_id, case.event.ca_certificate_id] = now

    def _recorded(self, case: _Case, decision: Decision, facts: Mapping[str, Any] | None, state: str) -> Record:
        return recorded(
            decision,
            event=case.event,
            heads=case.heads,
            facts=facts,
            state=state,
            now=self._clock(),
            previous=case.record,
            delivery=case.message.id,
        )

    def _told(self, what: str, record: Record) -> None:
        self._telemetry.logger.info(
            what,
            extra={"rule": record.rule, "reasons": [dict(each) for each in record.reasons], "digest": record.digest},
        )


def _glanced(item: Item | None) -> Record | None:
    """Return a record at a glance; None for one that this version does not read, which ``handle`` reports."""
    try:
        return None if item is None else Record.glanced(item)
    except (KeyError, TypeError, ValueError):
        return None


def _twin(facts: Mapping[str, Any]) -> str | None:
    """Return the other id that a certificate has where its CA signs with ECDSA."""
    chain = facts.get("chain")
    return None if chain is None else chain["twin_sha256"]


def _may_be_changed(found: Description, record: Record | None) -> bool:
    """Pending; or INACTIVE by our own rejection, which an operator reopened; or an admission that we take back."""
    if found.status == PENDING or record is None:
        return found.status == PENDING
    if found.status == ACTIVE:
        return record.withdrawn and record.state == APPLYING and record.decision is not Verdict.ADMIT
    return found.status == INACTIVE and (record.reopened is not None or record.withdrawn)


def _unknown(event: RegistrationEvent, message: Message) -> None:
    told = f"AWS IoT knows no certificate {event.certificate_id}"
    if message.deliveries < DELIVERIES_UNKNOWN:
        raise Retry("unknown", told)
    raise Poison("event.certificate-unknown", f"{told}, after {message.deliveries} deliveries")


def _refusal(refused: Refused) -> Reason:
    """Return the reason code for an answer of AWS IoT's that waiting does not change."""
    if refused.code == "LimitExceededException":
        return Reason("apply.limit", str(refused))
    if refused.code == "CertificateStateException":
        return Reason("apply.certificate-state", str(refused))
    if refused.code == "ResourceNotFoundException":
        missing_policy = refused.operation == "AttachPolicy"
        return Reason("apply.iot-policy-missing" if missing_policy else "apply.resource-missing", str(refused))
    return Reason("apply.refused", str(refused))
