"""What speaks against a device because of its CA: by facts alone, so that nothing here reads certificates.

``jitr.decision.chain`` finds the facts. Functions and commands that decide from recorded facts do without it, and start
sooner.
"""

from datetime import datetime

from jitr.decision.profile import ADMITS_ANY
from jitr.facts import CaFacts, ChainFacts, Knock
from jitr.reasons import Reason
from jitr.rules.model import Floor
from jitr.times import rfc3339
from jitr.x509.names import quoted, rfc4514

_ID_SHOWN = 12  # characters; enough to tell a person's CAs apart
_USUAL_FLOOR = Floor()


def chain_reasons(knock: Knock, now: datetime, floor: Floor = _USUAL_FLOOR) -> tuple[Reason, ...]:
    """Return every reason that CA and signature give, of the codes ``chain.*``; none where all is well.

    A CA without keyUsage may sign, and basicConstraints need not be critical (RFC 5280 section 4.2.1.9 asks for it,
    the classic commands do not write it, AWS IoT takes it).
    """
    ca, chain = knock.ca, knock.chain
    if ca is None or chain is None:
        return (_no_ca(knock),)
    return (*_issued_reasons(knock, ca, chain), *_ca_reasons(ca, now, floor))


def _no_ca(knock: Knock) -> Reason:
    ca_id = _short(knock.ca_certificate_id)
    if knock.ca_problem is None:
        return Reason("chain.ca-missing", f"AWS IoT no longer holds the CA {ca_id} that registered the certificate")
    told = f"AWS IoT holds the CA {ca_id} that registered the certificate, but here it is not read: {knock.ca_problem}"
    return Reason("chain.ca-unreadable", told)


def _issued_reasons(knock: Knock, ca: CaFacts, chain: ChainFacts) -> list[Reason]:
    reasons = []
    if not chain.signature_valid:
        algorithm = knock.certificate.signature.algorithm
        message = (
            f"the key of the CA {_short(ca.ca_certificate_id)} does not verify the certificate's {algorithm} signature"
        )
        reasons.append(Reason("chain.bad-signature", message))
    if not chain.names_equal:
        issuer = quoted(rfc4514(tuple((each,) for each in knock.certificate.issuer)))
        subject = quoted(rfc4514(tuple((each,) for each in ca.subject)))
        message = f"the certificate's issuer is {issuer}, the subject of its CA is {subject}"
        reasons.append(Reason("chain.name-mismatch", message))
    return reasons


def _ca_reasons(ca: CaFacts, now: datetime, floor: Floor) -> list[Reason]:
    found = []
    if ca.status != "ACTIVE":
        found.append(("chain.ca-inactive", f"is {ca.status}"))
    if now > ca.not_after:
        found.append(("chain.ca-expired", f"was valid until {rfc3339(ca.not_after)}"))
    if now < ca.not_before:
        found.append(("chain.ca-expired", f"is not valid before {rfc3339(ca.not_before)}"))
    if not ca.is_ca:
        found.append(("chain.ca-not-a-ca", "has no basicConstraints with CA:TRUE"))
    if not ca.may_sign:
        found.append(("chain.ca-not-a-ca", "has a keyUsage without keyCertSign"))
    if ca.name_constraints:
        found.append(("chain.name-constraints", "has name constraints, which are not evaluated"))
    if ca.odd_serial_number is not None and floor.serial_numbers != "any":
        told = (
            f"has the serial number {ca.odd_serial_number}, not positive (RFC 5280 section 4.1.2.2): only "
            f"{ADMITS_ANY}, or a new certificate for the CA's key, registered, helps"
        )
        found.append(("chain.ca-serial-number", told))
    return [Reason(code, f"the CA {_short(ca.ca_certificate_id)} {what}") for code, what in found]


def _short(ca_certificate_id: str) -> str:
    return f"{ca_certificate_id[:_ID_SHOWN]}…" if len(ca_certificate_id) > _ID_SHOWN else ca_certificate_id
