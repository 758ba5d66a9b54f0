"""The way of one registration event: parse, remember, gather, decide, apply, record.

Whatever fails on the way is either a Retry (the message comes back and all of it is done again; every step is
idempotent), or Poison (the message can never be handled), or a bug. A certificate is changed only if AWS IoT says at
gathering that it is PENDING_ACTIVATION.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import NoReturn

from jitr.aws.cas import Cas
from jitr.aws.crls import Crls
from jitr.aws.dynamodb.table import Item, Table
from jitr.aws.iot import Iot
from jitr.aws.ocsp_responders import OcspResponders
from jitr.aws.overlap import at_once
from jitr.aws.pacing import NotYet
from jitr.aws.telemetry import Telemetry
from jitr.decision.decide import held_instead
from jitr.errors import Poison, Retry
from jitr.records.event import RegistrationEvent, parse_event
from jitr.records.heads import Heads
from jitr.records.record import APPLIED, COUNT_AGAIN, Record
from jitr.records.transitions import (
    DESCRIBE_AGAIN,
    Remembered,
    asks_for_more,
    in_other_hands,
    may_be_changed,
    refused_again,
    refused_now,
    remember,
    status_was_set,
    waits_on,
    would_be_refused_again,
)
from jitr.rules.model import Rules
from jitr.services.registration.applying import Applier, Found
from jitr.services.registration.deciding import Decider
from jitr.services.registration.delivery import Case, Message
from jitr.services.registration.guards import Guards
from jitr.services.registration.reservations import Reservations
from jitr.times import rfc3339

# How many certificates without a record are remembered as not pending, by one environment.
_MOST_REMEMBERED = 4096

# A certificate that AWS IoT does not know may be one that it does not know *yet*.
DELIVERIES_UNKNOWN = 5


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
        self._decider = Decider(table, self._cas, clock, iot.pace.in_time, crls, ocsp)
        reservations = Reservations(table, iot)
        self._guards = Guards(reservations)
        self._applier = Applier(
            iot=iot,
            table=table,
            decider=self._decider,
            guards=self._guards,
            reservations=reservations,
            clock=clock,
            telemetry=telemetry,
            at_once=at_once,
        )
        self._no_knocks: dict[tuple[str, str], datetime] = {}  # certificate and CA of events that changed nothing: when

    def settle_known(self, messages: Sequence[Message]) -> list[Message]:
        """Settle the messages that need nothing, knocks of held and settled devices, and return the others.

        One table read tells them, however many they are and however often a device is among them. In doubt a message
        is returned, and ``handle`` says why; one of a device that nothing was decided on is so as ``unseen``. Raises
        Retry where the table could not answer now.
        """
        events = {message.id: event for message in messages if (event := self._event(message)) is not None}
        known, heads = self._table.glance(sorted({event.certificate_id for event in events.values()}))
        left: list[Message] = []
        unseen: set[str] = set()
        counted: set[str] = set()
        for message in messages:
            event = events.get(message.id)
            if event is None:
                left.append(message)
            elif event.certificate_id not in known:
                # Of a device's messages the first is decided before the others, which are to see what became of it.
                again = event.certificate_id in unseen
                left.append(message if again else replace(message, unseen=heads))
                unseen.add(event.certificate_id)
            elif not self._settles(message, event, known[event.certificate_id], heads, counted):
                left.append(message)
        return left

    def _settles(
        self, message: Message, event: RegistrationEvent, known: Item, heads: Heads, counted: set[str]
    ) -> bool:
        """Settle a message if it needs nothing, and return whether it did; ``counted`` are devices whose knock was."""
        record, now = _glanced(known), self._clock()
        if record is None:
            return False
        match remember(record, event, heads, now, message.id):
            case Remembered.SETTLED:
                self._telemetry.count("SettledKnocks")
            case Remembered.HELD:
                if not event.own:
                    self._count_knock(record, now, again=record.certificate_id not in counted)
                    counted.add(record.certificate_id)
            case _:
                return False
        return True

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
        self._decider.begin()
        while True:
            if message.patient:  # before anything is read: another delivery may be quicker meanwhile
                self._iot.pace.until_ready("DescribeCertificate")
            try:
                self._handle(message)
            except NotYet:
                if not message.patient:
                    raise
            else:
                return

    def _handle(self, message: Message) -> None:
        event = parse_event(message.body, account_id=self._account_id, sent_at=message.sent_at)
        self._telemetry.about(event.certificate_id)
        if message.unseen is not None and self._iot.pace.wait("DescribeCertificate") > 0:
            self._gather(Case(message, event, None, message.unseen, glanced=True))
            return
        record, heads = self._table.record_and_heads(event.certificate_id)
        case, now = Case(message, event, record, heads), self._clock()
        match remember(record, event, heads, now, message.id):
            case Remembered.BUSY:
                raise Retry("busy", "another delivery is applying a decision on the certificate")
            case Remembered.SETTLED:
                self._telemetry.count("SettledKnocks")
            case Remembered.HELD if record is not None:
                if not event.own:
                    self._count_knock(record, now)
            case Remembered.DECIDE_AGAIN if record is not None:
                self._decide_again(case, record)
            case Remembered.OTHER_CA if record is not None and event.by_itself:
                told = f"the certificate itself published it, and names the CA {event.ca_certificate_id}"
                raise Poison("event.forged", f"{told}; on record it is of {record.ca_certificate_id}")
            case _:
                self._gather(case)

    def _count_knock(self, record: Record, now: datetime, *, again: bool = True) -> None:
        self._telemetry.count("HeldKnocks")
        if again and (record.counted_at is None or now >= record.counted_at + COUNT_AGAIN):
            self._table.count_knock(record, rfc3339(now))

    def _decide_again(self, case: Case, record: Record) -> None:
        """Decide a waiting device from its recorded facts, and ask AWS IoT only if the outcome would change."""
        if record.facts is None:
            raise ValueError("a device without facts is to be decided from them")
        now = self._clock()
        candidate = self._decider.remembered(record.facts, case.heads)
        if not candidate.can_be_decided(record.facts):
            self._gather(case)
            return
        decision, candidate = self._decider.before_responders(case, candidate)
        if would_be_refused_again(record, decision, now):
            self._applier.wait(decision, refused_again(record, decision, case.heads))
            return
        refusal = self._guards.still_refuse(record, decision, candidate.rules)
        if refusal is not None:
            held = held_instead(decision, refusal, now)
            again = case.recorded(held, candidate.facts, APPLIED, self._clock())
            self._applier.wait(held, refused_now(again, record, decision))
            return
        # Last, as everything else would let it in; and before AWS IoT is asked, which has few calls to spare.
        decision, candidate = self._decider.with_responders(case, candidate, decision)
        if asks_for_more(record, decision, now):
            self._gather(case)
            return
        again = case.recorded(decision, candidate.facts, APPLIED, self._clock())
        self._applier.wait(decision, waits_on(record, again))

    def _gather(self, case: Case) -> None:
        """Ask AWS IoT about the certificate, and do what is asked for by its answer."""
        event, record = case.event, case.record
        rules = self._decider.rules(case.heads)  # first: while there are none, waiting costs AWS IoT no call
        if record is None or record.ca_certificate_id != event.ca_certificate_id:
            self._require_ca(case, rules)
        if record is None and self._was_no_knock(event):
            self._telemetry.count("SettledKnocks")
            return
        found = self._described(case)
        if not may_be_changed(record, found.certificate.status):
            self._not_pending(case, found)
            return
        case, certificate = self._applier.take_back(case, found.certificate)
        decision, facts = self._decider.described(case, certificate.pem)
        self._applier.apply(case, decision, facts, Found(certificate, found.at))

    def _require_ca(self, case: Case, rules: Rules) -> None:
        """Spare the call that tells of a certificate: a CA that the account does not hold registered none."""
        ca = case.event.ca_certificate_id
        if not self._cas.is_registered(ca, self._clock(), named=bool(rules.aliases_of(ca))):
            _come_back("ca", "event.ca-unknown", f"AWS IoT holds no CA {ca}", case.message)

    def _described(self, case: Case) -> Found:
        """Return the certificate as AWS IoT holds it now, under the CA that the event names.

        Raises NotYet where that has to wait for its turn, Retry or Poison where there is no such certificate.
        """
        event = case.event
        if case.glanced or self._iot.pace.wait("DescribeCertificate") > 0:
            raise NotYet
        found = self._iot.certificate(event.certificate_id)
        now = self._clock()
        if found is None:
            told = f"AWS IoT knows no certificate {event.certificate_id}"
            _come_back("unknown", "event.certificate-unknown", told, case.message)
        if found.ca_certificate_id not in (None, event.ca_certificate_id):
            self._remember_no_knock(case, now)
            raise Poison(
                "event.ca-mismatch",
                f"the event names CA {event.ca_certificate_id}, "
                f"AWS IoT holds the certificate under {found.ca_certificate_id}",
            )
        return Found(found, now)

    def _not_pending(self, case: Case, found: Found) -> None:
        """Leave a certificate that is not pending alone, but finish work that was begun."""
        record, status = case.record, found.certificate.status
        if record is not None and status_was_set(record, status):
            self._applier.finish(case, record, found.certificate.arn, found.at)
            return
        if record is not None:
            self._table.put_record(in_other_hands(record, status, found.at))
        self._remember_no_knock(case, found.at)
        self._telemetry.count("NotPending")
        self._telemetry.logger.info("not pending", extra={"status": status})

    def _was_no_knock(self, event: RegistrationEvent) -> bool:
        """Whether the same event changed nothing a moment ago: a device without a record may repeat it for ever."""
        at = self._no_knocks.get((event.certificate_id, event.ca_certificate_id))
        return at is not None and self._clock() < at + DESCRIBE_AGAIN

    def _remember_no_knock(self, case: Case, now: datetime) -> None:
        if case.record is not None:
            return  # which says itself when the certificate was described
        if len(self._no_knocks) >= _MOST_REMEMBERED:
            self._no_knocks.clear()
        self._no_knocks[case.event.certificate_id, case.event.ca_certificate_id] = now


def _glanced(item: Item) -> Record | None:
    """Return a record at a glance; None for one that this version does not read, which ``handle`` reports."""
    try:
        return Record.glanced(item)
    except (KeyError, TypeError, ValueError):
        return None


def _come_back(cause: str, code: str, told: str, message: Message) -> NoReturn:
    """Raise Retry while AWS IoT may only not know *yet*, Poison after that."""
    if message.deliveries < DELIVERIES_UNKNOWN:
        raise Retry(cause, told)
    raise Poison(code, f"{told}, after {message.deliveries} deliveries")
