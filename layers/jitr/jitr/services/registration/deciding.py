"""From a device to the decision about it: what rules, lists, revocation lists and responders say of it now."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from jitr.aws.cas import Cas
from jitr.aws.crls import Crls
from jitr.aws.dynamodb.rulebook import Rulebook
from jitr.aws.dynamodb.table import Table
from jitr.aws.ocsp_responders import OcspResponders
from jitr.decision.decide import Decision, decide, lists_needed, unreadable
from jitr.decision.revocation import ocsps_of
from jitr.errors import Unreadable
from jitr.facts import Knock, OcspAnswer
from jitr.reasons import Verdict
from jitr.records.heads import Heads
from jitr.records.knock import facts_json
from jitr.records.record import Record
from jitr.rules.model import Rules
from jitr.services.registration.delivery import Case
from jitr.values import dataclass
from jitr.x509.certificate import CaReading, CertificateReading, read_certificate


@dataclass(frozen=True, slots=True)
class Candidate:
    """A device that knocks, its CA as it is now, and the rules that it is decided by."""

    knock: Knock
    ca: CaReading | None
    rules: Rules

    @property
    def facts(self) -> dict[str, Any]:
        """The facts of the device, as its record keeps them."""
        return facts_json(self.knock)

    def can_be_decided(self, recorded: Mapping[str, Any]) -> bool:
        """Return whether a remembered device can be decided from the facts in its record; else AWS IoT is asked."""
        if self.ca is not None and self.knock.chain is None:
            return False  # the CA is back, and was never compared
        # A version that did not keep it recorded nothing to tell which list is the device's.
        return "crl_addresses" in recorded or self.rules.crls.keys().isdisjoint(self.knock.aliases)


@dataclass(frozen=True, slots=True)
class LaterDecision:
    """The decision on an unfinished admission by the rules and lists in force now."""

    case: Case
    decision: Decision
    facts: Mapping[str, Any]


class Decider:
    """Makes decisions. Every method raises Retry where AWS could not answer now."""

    def __init__(
        self,
        table: Table,
        cas: Cas,
        clock: Callable[[], datetime],
        in_time: Callable[[], None],  # raises Retry where one more slow call would outlast the function
        crls: Crls | None,
        ocsp: OcspResponders | None,
    ) -> None:
        self._table = table
        self._rulebook = Rulebook(table)
        self._cas = cas
        self._clock = clock
        self._in_time = in_time
        self._crls = crls
        self._ocsp = ocsp
        self._answered: dict[tuple[str, str], OcspAnswer] = {}  # what responders said during the message at hand

    def begin(self) -> None:
        """Forget what responders said during another message."""
        self._answered = {}

    def rules(self, heads: Heads) -> Rules:
        """Return the rules in force."""
        return self._rulebook.in_force(heads)

    def described(self, case: Case, pem: str) -> tuple[Decision, Mapping[str, Any] | None]:
        """Decide a certificate as AWS IoT holds it; also return its facts, None where it cannot be read."""
        try:
            reading = read_certificate(pem.encode())
        except Unreadable as error:
            return unreadable(error.code, str(error), self._clock()), None
        decision, candidate = self.decided(case, self._knocking(reading, case))
        return decision, candidate.facts

    def _knocking(self, reading: CertificateReading, case: Case) -> Candidate:
        rules, ca_certificate_id = self.rules(case.heads), case.event.ca_certificate_id
        found = self._cas.get(ca_certificate_id, self._clock())
        knock = found.knock(reading, ca_certificate_id, rules.aliases_of(ca_certificate_id))
        return Candidate(knock, found.reading, rules)

    def remembered(self, facts: Mapping[str, Any], heads: Heads) -> Candidate:
        """Return the device as its record remembers it, with its CA and the rules as they are now."""
        rules, ca_certificate_id = self.rules(heads), facts["ca_certificate_id"]
        found = self._cas.get(ca_certificate_id, self._clock())
        knock = found.remembered(facts, rules.aliases_of(ca_certificate_id))
        return Candidate(knock, found.reading, rules)

    def decided(self, case: Case, candidate: Candidate) -> tuple[Decision, Candidate]:
        """Return the decision, and the device with all that was asked about it."""
        decision, candidate = self.before_responders(case, candidate)
        return self.with_responders(case, candidate, decision)

    def before_responders(self, case: Case, candidate: Candidate) -> tuple[Decision, Candidate]:
        """Decide by all but what the CA's responders say, and by its revocation lists as they are now, never before."""
        knock, now = candidate.knock, self._clock()
        if self._crls is not None:
            listed = self._crls.of(knock, candidate.rules, candidate.ca, now, self._in_time)
            candidate = replace(candidate, knock=replace(knock, revocations=listed))
        return self._decide(case, candidate, before_ocsp=True), candidate

    def with_responders(self, case: Case, candidate: Candidate, before: Decision) -> tuple[Decision, Candidate]:
        """Decide again once the CA's responders were asked; they are not about a device that is not let in anyway."""
        knock, rules = candidate.knock, candidate.rules
        if before.verdict is not Verdict.ADMIT or not ocsps_of(knock, rules):
            return before, candidate
        if self._ocsp is not None:
            answers = self._ocsp.of(knock, rules, candidate.ca, self._clock(), self._answered)
            candidate = replace(candidate, knock=replace(knock, ocsp=answers))
        return self._decide(case, candidate), candidate

    def _decide(self, case: Case, candidate: Candidate, *, before_ocsp: bool = False) -> Decision:
        knock, rules = candidate.knock, candidate.rules
        word = None if case.record is None else case.record.operator_word
        knocked_at, now = case.event.knocked_at, self._clock()
        needed = lists_needed(knock, rules, knocked_at, word)
        memberships = self._table.memberships(knock, needed, case.heads, now)
        return decide(knock, rules, memberships, now, knocked_at, word, before_ocsp=before_ocsp)

    def decided_since(self, case: Case, record: Record) -> LaterDecision | None:
        """Decide an admission again as of now; None if what it rests on is still in force."""
        heads = self._table.heads()
        if record.unchanged(heads):
            return None
        if record.facts is None:
            raise ValueError("an admission without facts")
        now = replace(case, record=record, heads=heads)
        decision, candidate = self.decided(now, self.remembered(record.facts, heads))
        return LaterDecision(now, decision, candidate.facts)
