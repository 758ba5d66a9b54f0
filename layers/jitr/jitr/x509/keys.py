"""Public keys (SubjectPublicKeyInfo, RFC 5280 section 4.1.2.7): their kinds, and one digest however a key is written.

One key can be written in several ways: an elliptic curve's point compressed or not, an RSA key with parameters or
without, for RSASSA-PSS only, or with zeros before its numbers. Whoever asks a CA for a certificate chooses, so keys are
compared by the SHA-256 of one canonical form: that of RFC 3279 section 2.3.1 for RSA, and a named curve with the whole
point (RFC 5480 section 2.2) for EC.
"""

import hashlib
from functools import lru_cache

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from jitr.facts import KeyFacts
from jitr.values import dataclass
from jitr.x509 import der
from jitr.x509.rsa import weakness
from jitr.x509.signatures import RSA_PSS

# Curves by object identifier (RFC 5480, SEC 2, RFC 5639).
_CURVES = {
    "1.2.840.10045.3.1.1": ("P-192", 192),
    "1.3.132.0.33": ("P-224", 224),
    "1.2.840.10045.3.1.7": ("P-256", 256),
    "1.3.132.0.34": ("P-384", 384),
    "1.3.132.0.35": ("P-521", 521),
    "1.3.132.0.10": ("secp256k1", 256),
    "1.3.36.3.3.2.8.1.1.7": ("brainpoolP256r1", 256),
    "1.3.36.3.3.2.8.1.1.11": ("brainpoolP384r1", 384),
    "1.3.36.3.3.2.8.1.1.13": ("brainpoolP512r1", 512),
}

_RSA = "1.2.840.113549.1.1.1"
_RSA_ALGORITHM = der.element(der.SEQUENCE, bytes.fromhex("06092a864886f70d0101010500"))  # rsaEncryption, NULL
_EC = "1.2.840.10045.2.1"
_OTHERS = {
    "1.3.101.110": "X25519",
    "1.3.101.111": "X448",
    "1.3.101.112": "Ed25519",
    "1.3.101.113": "Ed448",
    "1.2.840.10040.4.1": "DSA",
    "1.2.840.10046.2.1": "DH",
    "1.2.840.113549.1.3.1": "DH",
    "2.16.840.1.101.3.4.3.17": "ML-DSA-44",
    "2.16.840.1.101.3.4.3.18": "ML-DSA-65",
    "2.16.840.1.101.3.4.3.19": "ML-DSA-87",
}
_NO_KEY = "it is not an algorithm and a key"

# The first octet of a point (SEC 1 section 2.3.3): both coordinates, or X and whether Y is odd.
_WHOLE, _COMPRESSED, _COMPRESSED_ODD = 0x04, 0x02, 0x03


@dataclass(frozen=True, slots=True)
class KeyReading:
    """A public key: its facts, and the SHA-256 of its canonical form.

    ``written_sha256`` is of the key as it stands there; None where that is the canonical form. ``compressed_sha256`` is
    of an EC key with its point compressed, the one other form that is common; None where it is one of the above.
    """

    facts: KeyFacts
    sha256: str
    written_sha256: str | None = None
    compressed_sha256: str | None = None


def read_key(public_key: bytes) -> KeyReading:
    """Read the content of a SubjectPublicKeyInfo, without asking whether anybody can use the key. Raises DerError."""
    try:
        return _read(public_key)
    except der.DerError as error:
        raise der.DerError(f"its public key is damaged: {error}") from error


def _read(public_key: bytes) -> KeyReading:
    parts = der.children(public_key)
    if len(parts) != 2:
        raise der.DerError(_NO_KEY)
    known = _known_by_algorithm(der.expect(parts[0], der.SEQUENCE))
    key, unused = der.bit_string(der.expect(parts[1], der.BIT_STRING))
    if unused:  # one key would have as many forms as its last octet has zeros at its end
        raise der.DerError("it ends in the middle of an octet")
    if known is None:
        return _rsa(public_key, key)
    return _elliptic_curve(public_key, known, parts[0], key) if known.kind == "EC" else _as_written(public_key, known)


def _as_written(public_key: bytes, facts: KeyFacts) -> KeyReading:
    return KeyReading(facts, _digest(public_key))


def usable_key(public_key: bytes, facts: KeyFacts) -> PublicKeyTypes | None:
    """Return the key that verifies signatures; None for a kind that is not supported here. Raises DerError."""
    if facts.kind not in ("RSA", "EC", "Ed25519", "Ed448"):
        return None
    try:
        return load_der_public_key(der.element(der.SEQUENCE, public_key))
    except (ValueError, UnsupportedAlgorithm):
        raise der.DerError(f"its {facts.kind} public key cannot be used") from None


def _digest(public_key: bytes) -> str:
    return hashlib.sha256(der.element(der.SEQUENCE, public_key)).hexdigest()


@lru_cache(maxsize=64)  # a fleet has keys of a few kinds
def _known_by_algorithm(content: bytes) -> KeyFacts | None:
    """Describe a key by its AlgorithmIdentifier; None for RSA, whose size and weakness stand in the key."""
    algorithm = der.children(content)
    if not algorithm:
        raise der.DerError(_NO_KEY)
    oid = der.object_identifier(der.expect(algorithm[0], der.OBJECT_IDENTIFIER))
    if oid in (_RSA, RSA_PSS):
        return None
    if oid == _EC:
        return _curve(algorithm[1:])
    return KeyFacts(_OTHERS.get(oid, oid))


def _curve(parameters: list[der.Element]) -> KeyFacts:
    """RFC 5480 section 2.1.1: a named curve, and nothing else."""
    if len(parameters) != 1 or parameters[0][0] != der.OBJECT_IDENTIFIER:
        return KeyFacts("EC", curve="explicit parameters")
    oid = der.object_identifier(parameters[0][1])
    name, bits = _CURVES.get(oid, (oid, None))
    return KeyFacts("EC", bits, name)


def _rsa(public_key: bytes, key: bytes) -> KeyReading:
    """RFC 8017 appendix A.1.1. A number is meant to be positive, also where the zero octet that says so is left out."""
    numbers = der.children(der.only(key, der.SEQUENCE))
    if len(numbers) != 2 or not numbers[0][0] == numbers[1][0] == der.INTEGER:
        raise der.DerError("it is not a modulus and an exponent")
    modulus, exponent = int.from_bytes(numbers[0][1]), int.from_bytes(numbers[1][1])
    canonical = der.element(der.SEQUENCE, _integer(modulus) + _integer(exponent))
    whole = _RSA_ALGORITHM + der.element(der.BIT_STRING, b"\x00" + canonical)
    written = None if whole == public_key else _digest(public_key)
    facts = KeyFacts("RSA", modulus.bit_length(), weakness=weakness(modulus, exponent))
    return KeyReading(facts, _digest(whole), written)


def _integer(number: int) -> bytes:
    return der.element(der.INTEGER, number.to_bytes(number.bit_length() // 8 + 1))


def _elliptic_curve(public_key: bytes, facts: KeyFacts, algorithm: der.Element, point: bytes) -> KeyReading:
    """RFC 5480 section 2.2."""
    if facts.bits is None:  # a curve that is not known here: AWS IoT takes none such
        return _as_written(public_key, facts)
    whole = point if point[:1] == bytes((_WHOLE,)) else _whole_point(public_key)
    if whole is None:  # no point of the curve: nobody has such a key
        return _as_written(public_key, facts)
    written = _digest(public_key)
    start = der.element(*algorithm)
    canonical = _digest(start + _bits(whole)) if whole is not point else written
    half = len(whole) // 2 + 1
    compressed = _digest(start + _bits(bytes((_COMPRESSED_ODD if whole[-1] & 1 else _COMPRESSED,)) + whole[1:half]))
    return KeyReading(
        facts,
        canonical,
        written_sha256=None if written == canonical else written,
        compressed_sha256=None if written == compressed else compressed,
    )


def _bits(octets: bytes) -> bytes:
    return der.element(der.BIT_STRING, b"\x00" + octets)


def _whole_point(public_key: bytes) -> bytes | None:
    """Return the point with both coordinates, of a key encoded otherwise; None if it is not on its curve."""
    try:
        key = load_der_public_key(der.element(der.SEQUENCE, public_key))
    except (ValueError, UnsupportedAlgorithm):
        return None
    if not isinstance(key, EllipticCurvePublicKey):
        return None
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
