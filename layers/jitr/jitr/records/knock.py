"""A device in its record: the facts that a decision can be made from again, and the device they make."""

from collections.abc import Mapping
from typing import Any

from jitr.decision.revocation import ocsp_json, revocations_json
from jitr.facts import CaFacts, CertificateFacts, ChainFacts, Knock
from jitr.rules.model import Rules


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
