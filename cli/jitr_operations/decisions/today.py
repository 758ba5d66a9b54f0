"""What a device would be decided as now: under the rules and lists in force, by its CA and guards as they are now.

Everything is read and nothing is changed. Commands ask before they do by hand what the function would not do.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from jitr.aws.cas import CaLookup, Cas
from jitr.aws.dynamodb.rulebook import Rulebook
from jitr.aws.dynamodb.table import Table
from jitr.aws.iot import Iot
from jitr.aws.ocsp_responders import OcspResponders
from jitr.decision.decide import Decision, OperatorWord, decide, held_instead, lists_needed, unreadable
from jitr.decision.profile import warnings
from jitr.decision.revocation import ocsps_of
from jitr.devicelists.rows import ListRow, RowKey
from jitr.errors import Unreadable
from jitr.facts import Knock
from jitr.reasons import Verdict
from jitr.records.heads import Heads
from jitr.records.knock import facts_json
from jitr.records.record import Record
from jitr.rules.model import Rules
from jitr.services.registration.reservations import Claimant, Reservations
from jitr.x509.certificate import CaReading, CertificateReading, read_certificate
from jitr_operations.crls import crls_with
from jitr_operations.deployment import Deployment
from jitr_operations.explain.explanation import Explanation
from jitr_operations.lists.near_rows import with_near_rows


class Today:
    """Decides devices under what is in force at the moment it is made. Rules and CAs are read once."""

    def __init__(self, deployment: Deployment, table: Table) -> None:
        self._iot = Iot(deployment.client("iot"))
        self._table = table
        self._rulebook = Rulebook(table)
        self._cas = Cas(self._iot)
        self._crls, self._ocsp = crls_with(deployment), OcspResponders()
        self._reservations = Reservations(table, self._iot)
        self.heads: Heads = table.heads()

    @property
    def rules(self) -> Rules:
        """The rules in force. Raises Retry where there are none, or they cannot be read."""
        return self._rulebook.in_force(self.heads)

    def explain(self, pem: str, ca_certificate_id: str | None, record: Record | None, now: datetime) -> Explanation:
        """Explain a certificate as AWS IoT holds it, with its record. Raises as ``rules`` does.

        Where AWS IoT does not say which CA registered it, the record does; without either it is decided as one whose CA
        is not known: deny rules count all the same.
        """
        try:
            reading = read_certificate(pem.encode())
        except Unreadable as error:
            return Explanation(unreadable(error.code, str(error), now), {}, (), ())
        recorded_under = "" if record is None else record.ca_certificate_id
        knock, ca = self._knock(reading, ca_certificate_id or recorded_under, now)
        knock = replace(knock, revocations=self._crls.of(knock, self.rules, ca, now))
        word = None if record is None else record.operator_word
        decided, knock = self._decided(knock, ca, now, word)
        decision = with_near_rows(decided, knock, self.rules, self._rows)
        decision = self._guarded(decision, reading.facts.certificate_sha256, knock, now)
        return Explanation(decision, facts_json(knock), warnings(knock), ())

    def under_word(self, record: Record, word: OperatorWord, now: datetime) -> Decision | None:
        """Return what a held device would be decided as once an operator said ``word``; None if it cannot be read.

        From its recorded facts, as the function does it.
        """
        if record.facts is None:
            return None
        ca_certificate_id = record.facts["ca_certificate_id"]
        registered = self._cas.get(ca_certificate_id, now)
        ca = registered.reading
        knock = registered.remembered(record.facts, self.rules.aliases_of(ca_certificate_id))
        knock = replace(knock, revocations=self._crls.of(knock, self.rules, ca, now))
        decision, knock = self._decided(knock, ca, now, word)
        return self._guarded(decision, record.certificate_id, knock, now)

    def _knock(
        self, reading: CertificateReading, ca_certificate_id: str, now: datetime
    ) -> tuple[Knock, CaReading | None]:
        registered = self._cas.get(ca_certificate_id, now) if ca_certificate_id else CaLookup()
        aliases = self.rules.aliases_of(ca_certificate_id)
        return registered.knock(reading, ca_certificate_id, aliases), registered.reading

    def _decided(
        self, knock: Knock, ca: CaReading | None, now: datetime, word: OperatorWord | None
    ) -> tuple[Decision, Knock]:
        """Return the decision, and the device with what its CA's responders say where it would be let in else."""
        before = self._decide(knock, now, word, before_ocsp=True)
        if before.verdict is not Verdict.ADMIT or not ocsps_of(knock, self.rules):
            return before, knock
        knock = replace(knock, ocsp=self._ocsp.of(knock, self.rules, ca, now))
        return self._decide(knock, now, word), knock

    def _decide(self, knock: Knock, now: datetime, word: OperatorWord | None, *, before_ocsp: bool = False) -> Decision:
        wanted = {*lists_needed(knock, self.rules, now, word), *self.rules.lists}
        memberships = self._table.memberships(knock, wanted, self.heads, now)
        return decide(knock, self.rules, memberships, now, now, word, before_ocsp=before_ocsp)

    def _rows(self, name: str, keys: Sequence[RowKey]) -> dict[RowKey, ListRow]:
        head = self.heads.lists.get(name)
        return {} if head is None else dict(self._table.rows({name: head}, keys)[name])

    def _guarded(self, decision: Decision, certificate_id: str, knock: Knock, now: datetime) -> Decision:
        """Return an admission after the guards that only the table and AWS IoT know."""
        if decision.verdict is not Verdict.ADMIT:
            return decision
        key = knock.certificate
        claimant = Claimant(
            decision,
            certificate_id,
            knock.ca_certificate_id,
            self.rules,
            key.public_key_sha256,
            key.written_key_sha256,
        )
        refusal = self._reservations.refusal(claimant)
        return decision if refusal is None else held_instead(decision, refusal, now)


def reasons_text(decision: Decision) -> str:
    """Return a decision's reasons in one line."""
    return "; ".join(f"{each.code}: {each.message}" for each in decision.reasons)
