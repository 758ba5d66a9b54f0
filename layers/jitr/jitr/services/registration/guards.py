"""What keeps a device out that the rules let in, and that only the table and AWS IoT can tell.

Its thing's name or its place may be taken, or its certificate may be on record under its other id.
"""

from collections.abc import Mapping
from typing import Any

from jitr.decision.decide import Decision
from jitr.reasons import Reason, Verdict
from jitr.records.record import Record
from jitr.rules.model import Rules
from jitr.services.registration.reservations import Claim, Claimant, Reservations


class Guards:
    """Asks the guards of an admission. Every method raises Retry where AWS could not answer now."""

    def __init__(self, reservations: Reservations) -> None:
        self._reservations = reservations

    def claim(self, decision: Decision, record: Record, facts: Mapping[str, Any], rules: Rules) -> Claim:
        """Take what an admission needs, with its record, or say which guard refuses. Raises Conflict."""
        return self._reservations.claim(_claimant(decision, record, facts, rules), record)

    def still_refuse(self, record: Record, decision: Decision, rules: Rules) -> Reason | None:
        """Return why a guard would refuse once more what was refused before.

        The guards are asked before AWS IoT describes the certificate: thousands of devices that one guard keeps out
        come due every hour, and would leave none of its few calls to those that can get in.
        """
        if record.refused is None or record.decision is not Verdict.HOLD or decision.verdict is not Verdict.ADMIT:
            return None
        return self._reservations.refusal(_claimant(decision, record, record.facts or {}, rules))


def _claimant(decision: Decision, record: Record, facts: Mapping[str, Any], rules: Rules) -> Claimant:
    return Claimant(
        decision,
        record.certificate_id,
        record.ca_certificate_id,
        rules,
        public_key=str(facts["public_key_sha256"]),
        written=facts.get("written_key_sha256"),
        twin=_twin(facts),
    )


def _twin(facts: Mapping[str, Any]) -> str | None:
    """Return the other id that a certificate has where its CA signs with ECDSA."""
    chain = facts.get("chain")
    return None if chain is None else chain["twin_sha256"]
