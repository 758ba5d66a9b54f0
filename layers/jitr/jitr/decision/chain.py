"""Whether a certificate was issued by the CA that registered it. ``chain_reasons`` says what that means.

The CA's key decides, by the signature over the to-be-signed bytes; the names must be equal as well. Key identifiers
only warn: two registered CAs may share their subject, and the classic ``openssl`` commands write no identifiers.
"""

import hashlib

from jitr.facts import ChainFacts
from jitr.x509 import der
from jitr.x509.certificate import CaReading, CertificateReading
from jitr.x509.names import same_name
from jitr.x509.signatures import other_form, other_forms, verifies


def verify_chain(certificate: CertificateReading, ca: CaReading) -> ChainFacts:
    """Compare a certificate with its CA. Never raises: what cannot be verified is not valid."""
    authority, subject = certificate.facts.authority_key_identifier, ca.subject_key_identifier
    return ChainFacts(
        # RFC 5280 section 6.1.3 (a)(1), by the algorithm and parameters that the certificate names.
        signature_valid=verifies(ca.key, certificate.scheme, certificate.signature, certificate.signed),
        names_equal=certificate.issuer == ca.subject or same_name(certificate.issuer, ca.subject),
        key_identifiers_agree=None if authority is None or subject is None else authority == subject,
        twin_sha256=_twin_sha256(certificate, ca),
    )


def twins(certificate: CertificateReading) -> tuple[str, ...]:
    """Return the ids that the same certificate may have with the other form of its signature, whoever signed it.

    One of them is the right one. Nothing else has the others: they are digests of what is signed, too.
    """
    return tuple(_id_with(certificate, each) for each in other_forms(certificate.scheme, certificate.signature))


def _twin_sha256(certificate: CertificateReading, ca: CaReading) -> str | None:
    """Return the id of the same certificate with the other form of its signature."""
    signature = other_form(ca.key, certificate.signature)
    return None if signature is None else _id_with(certificate, signature)


def _id_with(certificate: CertificateReading, signature: bytes) -> str:
    """Return the id of the same certificate with another signature."""
    algorithm = der.element(der.SEQUENCE, certificate.algorithm)
    bits = der.element(der.BIT_STRING, b"\x00" + signature)
    twin = der.element(der.SEQUENCE, certificate.signed + algorithm + bits)
    return hashlib.sha256(twin).hexdigest()
