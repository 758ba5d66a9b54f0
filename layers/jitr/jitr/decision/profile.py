"""Whether a certificate is one that a device may have: RFC 5280, AWS IoT's limits, and the floor in the rules file."""

from datetime import datetime

from jitr.facts import CertificateFacts, KeyFacts, Knock
from jitr.reasons import Reason
from jitr.rules.model import Floor
from jitr.text import cut
from jitr.times import rfc3339, span

# AWS IoT Core Developer Guide, "X.509 client certificates" and "Audit: device certificate key quality".
_AWS_CURVES = ("P-256", "P-384", "P-521")
_AWS_TAKES = "AWS IoT takes RSA keys and keys on the curves P-256, P-384 and P-521 only"

_LISTED = 5
ADMITS_ANY = "`certificate: {serial_numbers: any}` in the rules file"


def profile_reasons(certificate: CertificateFacts, floor: Floor, now: datetime) -> tuple[Reason, ...]:
    """Return every reason that the certificate itself gives against its device, of the codes ``certificate.*``."""
    problems = {
        "certificate.expired": _expired(certificate, now),
        "certificate.not-yet-valid": _not_yet_valid(certificate, now),
        "certificate.is-ca": _is_ca(certificate),
        "certificate.no-client-auth": _no_client_auth(certificate),
        "certificate.critical-extension": _critical_extension(certificate),
        "certificate.key": _key(certificate.key, floor),
        "certificate.signature-hash": _signature_hash(certificate, floor),
        "certificate.serial-number": _serial_number(certificate, floor),
    }
    return tuple([Reason(code, message) for code, message in problems.items() if message])


def warnings(knock: Knock) -> tuple[str, ...]:
    """Return what is odd about a certificate and decides nothing."""
    if knock.chain is None or knock.chain.key_identifiers_agree is not False:
        return ()
    identifier = _told(knock.certificate.authority_key_identifier or "")
    return (
        f"the certificate's authority key identifier, {identifier}, is not its CA's subject key identifier; "
        "only the signature and the names decide",
    )


def _expired(certificate: CertificateFacts, now: datetime) -> str | None:
    """RFC 5280 section 4.1.2.5: the validity includes its last second."""
    if now <= certificate.not_after:
        return None
    return f"the certificate expired {span(now - certificate.not_after)} ago, at {rfc3339(certificate.not_after)}"


def _not_yet_valid(certificate: CertificateFacts, now: datetime) -> str | None:
    if now >= certificate.not_before:
        return None
    return (
        f"the certificate becomes valid in {span(certificate.not_before - now)}, at {rfc3339(certificate.not_before)}"
    )


def _is_ca(certificate: CertificateFacts) -> str | None:
    return "the certificate has basicConstraints CA:TRUE" if certificate.is_ca else None


def _no_client_auth(certificate: CertificateFacts) -> str | None:
    """RFC 5280 section 4.2.1.12: without the extension every purpose is allowed.

    anyExtendedKeyUsage alone does not do: the section lets an application ask for its own purpose, and TLS servers
    built on OpenSSL do.
    """
    usages = certificate.extended_key_usage
    if usages is None or "clientAuth" in usages:
        return None
    return f"the certificate's extended key usage is {_listed(usages) or 'empty'}, without clientAuth"


def _critical_extension(certificate: CertificateFacts) -> str | None:
    unknown = certificate.unknown_critical_extensions
    if not unknown:
        return None
    return (
        f"the certificate has the critical extension{'s' if len(unknown) > 1 else ''} {_listed(unknown)}, unknown here"
    )


def _key(key: KeyFacts, floor: Floor) -> str | None:
    if key.kind == "RSA":
        if (key.bits or 0) >= floor.min_rsa_bits:
            return None if key.weakness is None else f"the RSA key is weak: {key.weakness}"
        return f"the RSA key has {key.bits or 0} bits, the floor is {floor.min_rsa_bits}"
    if key.kind != "EC":
        return f"the key is of the kind {_told(key.kind)}: {_AWS_TAKES}"
    if key.curve not in _AWS_CURVES:
        return f"the key is on the curve {_told(key.curve or 'unknown')}: {_AWS_TAKES}"
    if key.curve not in floor.curves:
        return f"the key is on the curve {key.curve}, the floor has {', '.join(floor.curves) or 'no curve'}"
    return None


def _signature_hash(certificate: CertificateFacts, floor: Floor) -> str | None:
    signature = certificate.signature
    if signature.hash in floor.signature_hashes:
        return None
    with_hash = f" with {signature.hash}" if signature.hash else ""
    return (
        f"the signature is {_told(signature.algorithm)}{with_hash}, the floor has {', '.join(floor.signature_hashes)}"
    )


def _serial_number(certificate: CertificateFacts, floor: Floor) -> str | None:
    """RFC 5280 section 4.1.2.2: MUST be positive; users are to be ready for others all the same."""
    number = certificate.serial_number
    if floor.serial_numbers == "any" or not (number == "0" or number.startswith("-")):
        return None
    return (
        f"the certificate's serial number is {number}, not positive (RFC 5280 section 4.1.2.2): only "
        f"{ADMITS_ANY}, or a new certificate, helps"
    )


def _listed(values: tuple[str, ...]) -> str:
    shown = ", ".join(map(_told, values[:_LISTED]))
    return shown + (f" and {len(values) - _LISTED} more" if len(values) > _LISTED else "")


def _told(word: str) -> str:
    return cut(word, 80, "…")
