"""What the local stack refuses in TLS although AWS IoT may not, told from a certificate's facts.

The broker of the local stack leaves a device's certificate to OpenSSL, which checks more than AWS documents that AWS
IoT does. This is the one list of those checks: ``make demo`` and ``jitr device diagnose`` speak by it, and
docs/local-stack.md has a row for each. Keys that AWS IoT does not take are not on it: for them the two agree.
https://docs.openssl.org/3.0/man3/X509_check_purpose/, https://docs.openssl.org/3.0/man3/SSL_CTX_set_security_level/
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from jitr.facts import CertificateFacts
from jitr.x509.names import same_name

SENTENCE = "the stand-in refuses this; AWS IoT may not"

# Beside those that our own reader knows, the extensions that OpenSSL takes where they are critical
# (https://docs.openssl.org/3.0/man3/X509_get_extension_flags/, X509_supported_extension).
_KNOWN_TO_OPENSSL = frozenset({
    "2.16.840.1.113730.1.1",  # Netscape certificate type
    "2.5.29.30",  # nameConstraints
    "2.5.29.31",  # cRLDistributionPoints
    "2.5.29.33",  # policyMappings
    "2.5.29.36",  # policyConstraints
    "2.5.29.54",  # inhibitAnyPolicy
    "1.3.6.1.5.5.7.48.1.5",  # OCSP no check
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Limit:
    """One check: ``what`` as docs/local-stack.md lists it, and what to say of a certificate that fails it, or None."""

    what: str
    told: Callable[[CertificateFacts, datetime], str | None]


def why_refused(facts: CertificateFacts, time: datetime) -> str | None:
    """Return why the stand-in refuses a certificate that is not registered yet; None if nothing on the list says so.

    The words follow "the certificate": "expired on 2026-01-01".
    """
    told = [words for limit in LIMITS if (words := limit.told(facts, time)) is not None]
    return " and ".join(told) or None


def _expired(facts: CertificateFacts, time: datetime) -> str | None:
    return f"expired on {facts.not_after.date()}" if facts.not_after < time else None


def _not_yet_valid(facts: CertificateFacts, time: datetime) -> str | None:
    return f"is not valid before {facts.not_before.date()}" if time < facts.not_before else None


def _weak_hash(facts: CertificateFacts, _time: datetime) -> str | None:
    return "is signed with SHA-1" if facts.signature.hash == "sha1" else None


def _no_client_auth(facts: CertificateFacts, _time: datetime) -> str | None:
    usages = facts.extended_key_usage
    return None if usages is None or "clientAuth" in usages else "has an extended key usage without clientAuth"


def _no_handshake(facts: CertificateFacts, _time: datetime) -> str | None:
    usages = facts.key_usage
    if usages is None or not {"digitalSignature", "keyAgreement"}.isdisjoint(usages):
        return None
    return "has a key usage with neither digitalSignature nor keyAgreement"


def _own_issuer(facts: CertificateFacts, _time: datetime) -> str | None:
    """OpenSSL looks for no CA above a certificate that it takes for self-signed."""
    if not same_name(tuple((each,) for each in facts.subject), tuple((each,) for each in facts.issuer)):
        return None
    own, authority = facts.subject_key_identifier, facts.authority_key_identifier
    if own is not None and authority is not None and own != authority:
        return None
    return "has its CA's name as its subject, and no key identifiers that tell the two apart"


def _critical_extension(facts: CertificateFacts, _time: datetime) -> str | None:
    unknown = [each for each in facts.unknown_critical_extensions if each not in _KNOWN_TO_OPENSSL]
    return f"has a critical extension that OpenSSL does not know ({', '.join(unknown)})" if unknown else None


LIMITS = (
    Limit("expired", _expired),
    Limit("not valid yet", _not_yet_valid),
    Limit("signed with SHA-1", _weak_hash),
    Limit("extended key usage without clientAuth, even with anyExtendedKeyUsage", _no_client_auth),
    Limit("key usage with neither digitalSignature nor keyAgreement", _no_handshake),
    Limit("the subject is the issuer's name, and no key identifiers tell the two apart", _own_issuer),
    Limit("a critical extension that OpenSSL does not know", _critical_extension),
)
