"""Writing a certificate (RFC 5280 section 4.1) as DER, and signing it.

Names and keys are written as they are given, octet for octet: an issuer must be its CA's subject as the CA has it. The
builder of ``cryptography`` takes only names that it can read, and writes them in its own way; extensions are its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from jitr.x509 import der

PrivateKey: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
PublicKey: TypeAlias = rsa.RSAPublicKey | ec.EllipticCurvePublicKey
SigningHash: TypeAlias = hashes.SHA256 | hashes.SHA384 | hashes.SHA512

_VERSION_3 = der.element(der.context(0, constructed=True), der.element(der.INTEGER, b"\x02"))
_EXTENSIONS = der.context(3, constructed=True)
_ID_CE = b"\x55\x1d"  # 2.5.29, which all extensions are under that are written here (RFC 5280 section 4.2.1)
_CRITICAL = der.element(der.BOOLEAN, b"\xff")

_RSA_WITH_SHA256 = bytes.fromhex("06092a864886f70d01010b0500")  # RFC 4055 section 5, with its NULL
_ECDSA_WITH = {  # RFC 5758 section 3.2
    "sha256": bytes.fromhex("06082a8648ce3d040302"),
    "sha384": bytes.fromhex("06082a8648ce3d040303"),
    "sha512": bytes.fromhex("06082a8648ce3d040304"),
}


@dataclass(frozen=True, slots=True)
class TbsCertificate:
    """A certificate that is to be signed. Names and key are DER elements; without extensions it is of version 1."""

    issuer: bytes
    subject: bytes
    public_key: bytes  # SubjectPublicKeyInfo
    serial_number: int
    not_before: datetime
    not_after: datetime
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = ()  # each with whether it is critical


def signed(draft: TbsCertificate, key: PrivateKey) -> bytes:
    """Sign a draft, with the hash that goes with the key. Returns the certificate's DER."""
    algorithm = der.element(der.SEQUENCE, _algorithm(key))
    to_be_signed = der.element(der.SEQUENCE, b"".join(_fields(draft, algorithm)))
    signature = der.element(der.BIT_STRING, b"\x00" + _signature(key, to_be_signed))
    return der.element(der.SEQUENCE, to_be_signed + algorithm + signature)


def signing_hash(key: PrivateKey | PublicKey) -> SigningHash:
    """Return the hash for a signer's key: as strong as its curve (RFC 5480 section 4), SHA-256 for RSA."""
    bits = key.curve.key_size if isinstance(key, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey) else 0
    if bits > 384:
        return hashes.SHA512()
    return hashes.SHA384() if bits > 256 else hashes.SHA256()


def _algorithm(key: PrivateKey) -> bytes:
    return _RSA_WITH_SHA256 if isinstance(key, rsa.RSAPrivateKey) else _ECDSA_WITH[signing_hash(key).name]


def _signature(key: PrivateKey, data: bytes) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(data, padding.PKCS1v15(), hashes.SHA256())
    return key.sign(data, ec.ECDSA(signing_hash(key)))


def _fields(draft: TbsCertificate, algorithm: bytes) -> Sequence[bytes]:
    serial = draft.serial_number.to_bytes(draft.serial_number.bit_length() // 8 + 1, signed=True)
    validity = _time(draft.not_before) + _time(draft.not_after)
    return (
        _VERSION_3 if draft.extensions else b"",  # RFC 5280 section 4.1.2.1: version 1 is not written
        der.element(der.INTEGER, serial),
        algorithm,
        draft.issuer,
        der.element(der.SEQUENCE, validity),
        draft.subject,
        draft.public_key,
        _extensions(draft.extensions),
    )


def _extensions(extensions: Sequence[tuple[x509.ExtensionType, bool]]) -> bytes:
    if not extensions:
        return b""
    written = b"".join(_extension(each, critical=critical) for each, critical in extensions)
    return der.element(_EXTENSIONS, der.element(der.SEQUENCE, written))


def _extension(extension: x509.ExtensionType, *, critical: bool) -> bytes:
    number = int(extension.oid.dotted_string.removeprefix("2.5.29."))
    oid = der.element(der.OBJECT_IDENTIFIER, _ID_CE + bytes([number]))
    value = der.element(der.OCTET_STRING, extension.public_bytes())
    return der.element(der.SEQUENCE, oid + (_CRITICAL if critical else b"") + value)


def _time(moment: datetime) -> bytes:
    """RFC 5280 section 4.1.2.5: UTCTime through 2049."""
    text = f"{moment.year:04d}{moment:%m%d%H%M%S}Z".encode()
    return (
        der.element(der.UTC_TIME, text[2:]) if 1950 <= moment.year < 2050 else der.element(der.GENERALIZED_TIME, text)
    )
