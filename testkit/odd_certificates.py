"""Certificates as the field has them: not as a standard wants them, and read by openssl all the same.

Each is a change to a draft (``testkit.pki``), a CA's or a device's, so that every command can be given it as either.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from jitr.x509 import der
from testkit import pki
from testkit.pki import CertificateDraft, attribute, bit_string, distinguished_name, oid, sequence, tlv


def _named(
    *relative_names: bytes | tuple[str, str] | tuple[str, str, str],
) -> Callable[[CertificateDraft], CertificateDraft]:
    """Another subject; of a self-signed certificate the issuer goes with it."""

    def named(draft: CertificateDraft) -> CertificateDraft:
        name = distinguished_name(*relative_names)
        is_root = draft.issuer_name == draft.subject_name
        return replace(draft, subject_name=name, issuer_name=name if is_root else draft.issuer_name)

    return named


def _algorithm(name: str, *parameters: bytes) -> Callable[[CertificateDraft], CertificateDraft]:
    return lambda draft: draft.but(algorithm=sequence(oid(name), *parameters))


def _critical_false(draft: CertificateDraft) -> CertificateDraft:
    written = (replace(each, critical=each.critical or None) for each in draft.extensions)
    return draft.but(extensions=tuple(written))


def _compressed(draft: CertificateDraft) -> CertificateDraft:
    """The point with one coordinate and a sign (SEC 1 section 2.3.3)."""
    point = draft.key_pair.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    algorithm = sequence(oid("1.2.840.10045.2.1"), oid("1.2.840.10045.3.1.7"))
    return draft.public_key(sequence(algorithm, bit_string(point)))


def _generalized_time(draft: CertificateDraft) -> CertificateDraft:
    """RFC 5280 section 4.1.2.5 wants UTCTime through 2049."""
    times = (tlv(0x18, f"{each:%Y%m%d%H%M%S}Z".encode()) for each in (draft.not_before, draft.not_after))
    return draft.but(validity=sequence(*times))


def _damaged_key_identifier(draft: CertificateDraft) -> CertificateDraft:
    return draft.without("subjectKeyIdentifier").extension("subjectKeyIdentifier", b"\x04\x09ab")


# What can be read, in the words of those who met it. Drafts have a P-256 key and are signed by one, but for "RSA …".
READABLE: Mapping[str, Callable[[CertificateDraft], CertificateDraft]] = {
    "as usual": lambda draft: draft,
    "TeletexString": _named(("CN", "Büro", "TeletexString")),
    "BMPString": _named(("CN", "Ölçüm", "BMPString")),
    "UniversalString": _named(("CN", "x", "UniversalString")),
    "underscore in PrintableString": _named(("CN", "snr_0001", "PrintableString")),
    "! in PrintableString": _named(("CN", "snr-1!", "PrintableString")),
    "unsorted SET": _named(tlv(0x31, attribute("O", "OKIDA"), attribute("CN", "a"))),
    "country of three letters": _named(("C", "DEU", "PrintableString"), ("CN", "a")),
    "country of none": _named(("C", "", "PrintableString"), ("CN", "a")),
    "long common name": _named(("CN", "x" * 200)),
    "BIT STRING in the subject": _named(("CN", "a"), tlv(0x31, sequence(oid("2.5.4.45"), bit_string(b"\x01")))),
    "terminal control": _named(("CN", "a\x1b[2J")),
    "ECDSA with NULL": _algorithm("1.2.840.10045.4.3.2", pki.NULL),
    "critical FALSE": _critical_false,
    "compressed point": _compressed,
    "GeneralizedTime": _generalized_time,
    "unique identifiers": lambda draft: draft.but(unique_identifiers=tlv(0x81, b"\x00\x01")),
    "damaged key identifier": _damaged_key_identifier,
    "serial number of 32 octets": lambda draft: draft.serial((1 << 255) - 1),
    "negative serial number": lambda draft: draft.serial(-5),
    "serial number 0": lambda draft: draft.serial(0),
    "unknown critical extension": lambda draft: draft.extension("1.2.3.4", b"\x05\x00", critical=True),
    "name constraints damaged": lambda draft: draft.extension("nameConstraints", b"\x05\x00"),
}

# What cannot, or may not, be read: each with a declared error.
UNREADABLE: Mapping[str, Callable[[CertificateDraft], CertificateDraft]] = {
    "serial number of 33 octets": lambda draft: draft.serial(1 << 260),
    "two algorithms": lambda draft: draft.claiming(sequence(oid("1.2.840.10045.4.3.3"))),
    "an extension twice": lambda draft: draft.extension("keyUsage", b"\x03\x02\x05\xa0"),
    "not UTF-8": _named(tlv(0x31, sequence(oid("CN"), tlv(0x0C, b"\xff\xfe")))),
    "damaged basicConstraints": lambda draft: draft.without("basicConstraints").extension("basicConstraints", b"\x05"),
    "version 2": lambda draft: draft.but(version=2),
    "1,025 characters": _named(("CN", "x" * 1025)),
}

ALL: Mapping[str, Callable[[CertificateDraft], CertificateDraft]] = {**READABLE, **UNREADABLE}


def compressed(device: pki.CertificateDraft) -> pki.CertificateDraft:
    """The same draft, its key's point written compressed."""
    public = device.key_pair.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    point = public.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    algorithm, _ = der.children(der.only(pki.public_key(device.key_pair), der.SEQUENCE))
    return device.public_key(pki.sequence(der.element(*algorithm), pki.bit_string(point)))
