"""Devices looked at: decided again as of now, and held against AWS IoT's word and what operators did by hand."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from datetime import datetime
from threading import Lock
from typing import Any

from jitr.aws.cas import Cas
from jitr.aws.crls import Crls
from jitr.aws.dynamodb.by_hand import acts_of
from jitr.aws.dynamodb.replacements import replaced_of
from jitr.aws.dynamodb.rulebook import Rulebook
from jitr.aws.dynamodb.table import Table
from jitr.aws.iot import Iot
from jitr.aws.ocsp_responders import OcspResponders
from jitr.decision.decide import Decision, decide, unreadable
from jitr.errors import Unreadable
from jitr.facts import Knock, OcspAnswer
from jitr.fleet.standing import (
    ACTIVE,
    Standing,
    against_status,
    against_today,
    by_hand,
    is_settling,
)
from jitr.reasons import Verdict
from jitr.records.by_hand import Act
from jitr.records.record import Record
from jitr.rules.model import Rules
from jitr.services.fleet.findings import FleetFinding, KnownDevice, device_of, today
from jitr.services.recheck.redecide import AsRecorded, redecide
from jitr.values import dataclass
from jitr.x509.certificate import read_certificate

Clock = Callable[[], datetime]


@dataclass(slots=True)
class Examined:
    """What was seen of some devices."""

    findings: list[FleetFinding] = field(default_factory=list)
    admitted: list[Record] = field(default_factory=list)  # of those that are in: what grants are held against
    decided: int = 0
    left_alone: int = 0  # being decided at this moment
    failed: int = 0  # could not be decided again: a bug


class AsNow(AsRecorded):
    """CAs, revocation lists and responders as they are now, for several threads at once."""

    def __init__(self, iot: Iot, crls: Crls, ocsp: OcspResponders, clock: Clock) -> None:
        self._cas = Cas(iot)
        self._crls = crls
        self._ocsp = ocsp
        self._now = clock
        self._lock = Lock()

    def knock(self, facts: Mapping[str, Any], rules: Rules) -> Knock:
        """Return the device under its CA as it is now, with what the CA's revocation lists say."""
        ca_certificate_id = facts["ca_certificate_id"]
        with self._lock:
            registered = self._cas.get(ca_certificate_id, self._now())
            knock = registered.remembered(facts, rules.aliases_of(ca_certificate_id))
            if not rules.crls:
                return knock
            return replace(knock, revocations=self._crls.of(knock, rules, registered.reading, self._now()))

    def answers(self, knock: Knock, rules: Rules) -> Mapping[str, OcspAnswer]:
        """Return what the CA's responders say."""
        with self._lock:
            return self._ocsp.of(knock, rules, self._cas.get(knock.ca_certificate_id, self._now()).reading, self._now())

    def unrecorded(self, pem: str, ca_certificate_id: str, rules: Rules) -> Knock:
        """Return a device without a record, as it would knock. Raises Unreadable."""
        reading = read_certificate(pem.encode())
        with self._lock:
            registered = self._cas.get(ca_certificate_id, self._now())
            knock = registered.knock(reading, ca_certificate_id, rules.aliases_of(ca_certificate_id))
            return replace(knock, revocations=self._crls.of(knock, rules, registered.reading, self._now()))


class Examiner:
    """Looks at devices under the rules and lists in force when it is made."""

    def __init__(self, table: Table, seen: AsNow, clock: Clock, rules_of: Callable[[Rules], Rules]) -> None:
        """Read what is in force. ``rules_of`` chooses, of the rules in force, those by which devices are decided.

        Raises Retry where no rules are in force, or they cannot be read.
        """
        self._table = table
        self._now = clock
        self._seen = seen
        self.started = clock()  # when the statuses that it is given began to be listed
        self.heads = table.heads()
        self._rules = rules_of(Rulebook(table).in_force(self.heads))

    def look_at(self, records: Sequence[Record], statuses: Mapping[str, str | None]) -> Examined:
        """Look at devices on record, given the statuses of their certificates: None for one that is gone."""
        looked = Examined()
        settled = [each for each in records if not is_settling(each, self.started)]
        looked.left_alone = len(records) - len(settled)
        active = [each for each in settled if statuses[each.certificate_id] == ACTIVE]
        verdicts = self._decided(active, looked)
        acts = acts_of(self._table, self._suspects(settled, statuses, verdicts))
        for record in settled:
            status = statuses[record.certificate_id]
            done = acts.get(record.certificate_id, ())
            looked.findings += self._findings(record, status, done, verdicts.get(record.certificate_id))
        looked.admitted = [each for each in active if each.decision is Verdict.ADMIT and each.grant is not None]
        return looked

    def _decided(self, records: Iterable[Record], looked: Examined) -> dict[str, Decision]:
        """Return today's decisions on devices that are in: of a rule's time window, as when they knocked."""
        decided: dict[str, Decision] = {}
        known = [each for each in records if each.facts is not None]
        again = redecide(
            self._table, self._rules, self.heads, known, self._now(), lambda each: each.knocked_at, seen=self._seen
        )
        for each in again:
            if each.decision is None:
                looked.failed += 1
            else:
                decided[each.record.certificate_id] = each.decision
        looked.decided += len(decided)
        return decided

    def _suspects(
        self, records: Iterable[Record], statuses: Mapping[str, str | None], verdicts: Mapping[str, Decision]
    ) -> list[str]:
        """Return the devices of which it matters what operators did to them."""
        return [
            each.certificate_id
            for each in records
            if each.decision is not Verdict.ADMIT
            or statuses[each.certificate_id] != ACTIVE
            or (each.certificate_id in verdicts and verdicts[each.certificate_id].verdict is not Verdict.ADMIT)
        ]

    def _findings(
        self, record: Record, status: str | None, acts: Sequence[Act], decision: Decision | None
    ) -> Iterator[FleetFinding]:
        hand, by = by_hand(acts), acts[-1].by if acts else None
        standing = against_status(record, status, hand, replaced=False)
        if standing is Standing.CHANGED and replaced_of(self._table, [record]):
            standing = against_status(record, status, hand, replaced=True)
        if standing is not None:
            yield device_of(record, by).found(standing, status=status, was=_was(record))
        if decision is not None:
            standing = against_today(record.decision is Verdict.ADMIT, decision.verdict, hand)
            if standing is not None:
                yield device_of(record, by).found(standing, status=status, today=today(decision))

    # --- certificates without a record

    def look_at_unrecorded(
        self, certificate_id: str, pem: str, ca_id: str, created: str, acts: Sequence[Act]
    ) -> Examined:
        """Look at an ACTIVE certificate that nothing was decided on: an operator let it in, or nobody knows who."""
        decision, name = self._decided_unrecorded(pem, ca_id)
        hand = by_hand(acts)
        standing = against_today(False, decision.verdict, hand) if hand.let_in else Standing.UNKNOWN
        looked = Examined(decided=1)
        if standing is not None:
            device = KnownDevice(certificate_id, ca_id, name, created, by=acts[-1].by if acts else None)
            looked.findings.append(device.found(standing, status=ACTIVE, today=today(decision)))
        return looked

    def _decided_unrecorded(self, pem: str, ca_id: str) -> tuple[Decision, str]:
        at, rules = self._now(), self._rules
        try:
            knock = self._seen.unrecorded(pem, ca_id, rules)
        except Unreadable as problem:
            return unreadable(problem.code, str(problem), at), ""
        memberships = self._table.memberships(knock, rules.lists, self.heads, at)
        name = ", ".join(knock.certificate.values("common_name"))
        decision = decide(knock, rules, memberships, at, at, nearest=False, before_ocsp=True)
        if decision.verdict is Verdict.ADMIT and rules.ocsps:
            knock = replace(knock, ocsp=self._seen.answers(knock, rules))
            decision = decide(knock, rules, memberships, at, at, nearest=False)
        return decision, name


def _was(record: Record) -> str:
    return {Verdict.ADMIT: "admitted", Verdict.HOLD: "held", Verdict.REJECT: "rejected"}[record.decision]
