"""Signature algorithms: which one a certificate names, and whether a key verifies by it."""

from functools import lru_cache

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    SECP384R1,
    SECP521R1,
    EllipticCurve,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, AsymmetricPadding, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from jitr.facts import SignatureFacts
from jitr.values import dataclass
from jitr.x509 import der

# By object identifier (RFC 3279, RFC 4055, RFC 5758, RFC 8410, RFC 9881).
_ALGORITHMS = {
    "1.2.840.113549.1.1.2": SignatureFacts("RSA", "md2"),
    "1.2.840.113549.1.1.4": SignatureFacts("RSA", "md5"),
    "1.2.840.113549.1.1.5": SignatureFacts("RSA", "sha1"),
    "1.3.14.3.2.29": SignatureFacts("RSA", "sha1"),
    "1.2.840.113549.1.1.14": SignatureFacts("RSA", "sha224"),
    "1.2.840.113549.1.1.11": SignatureFacts("RSA", "sha256"),
    "1.2.840.113549.1.1.12": SignatureFacts("RSA", "sha384"),
    "1.2.840.113549.1.1.13": SignatureFacts("RSA", "sha512"),
    "1.2.840.10045.4.1": SignatureFacts("ECDSA", "sha1"),
    "1.2.840.10045.4.3.1": SignatureFacts("ECDSA", "sha224"),
    "1.2.840.10045.4.3.2": SignatureFacts("ECDSA", "sha256"),
    "1.2.840.10045.4.3.3": SignatureFacts("ECDSA", "sha384"),
    "1.2.840.10045.4.3.4": SignatureFacts("ECDSA", "sha512"),
    "1.2.840.10040.4.3": SignatureFacts("DSA", "sha1"),
    "2.16.840.1.101.3.4.3.1": SignatureFacts("DSA", "sha224"),
    "2.16.840.1.101.3.4.3.2": SignatureFacts("DSA", "sha256"),
    "1.3.101.112": SignatureFacts("Ed25519"),
    "1.3.101.113": SignatureFacts("Ed448"),
    "2.16.840.1.101.3.4.3.17": SignatureFacts("ML-DSA-44"),
    "2.16.840.1.101.3.4.3.18": SignatureFacts("ML-DSA-65"),
    "2.16.840.1.101.3.4.3.19": SignatureFacts("ML-DSA-87"),
}
RSA_PSS = "1.2.840.113549.1.1.10"
_PSS_TAGS = tuple(der.context(number, constructed=True) for number in range(4))
_MGF1 = "1.2.840.113549.1.1.8"
_HASH_NAMES = {
    "1.3.14.3.2.26": "sha1",
    "2.16.840.1.101.3.4.2.4": "sha224",
    "2.16.840.1.101.3.4.2.1": "sha256",
    "2.16.840.1.101.3.4.2.2": "sha384",
    "2.16.840.1.101.3.4.2.3": "sha512",
}
_HASHES: dict[str | None, hashes.HashAlgorithm] = {
    "md5": hashes.MD5(),  # noqa: S303 (old certificates have it; the floor in the rules is what keeps it out)
    "sha1": hashes.SHA1(),  # noqa: S303
    "sha224": hashes.SHA224(),
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}
_CA_CURVES: tuple[EllipticCurve, ...] = (SECP256R1(), SECP384R1(), SECP521R1())
_LONGEST_SALT = 512  # octets: that of an RSA key of 4096 bits, which is longer than any


@dataclass(frozen=True, slots=True)
class Scheme:
    """A signature algorithm with its parameters. ``padding`` is for RSA; None where it is not supported."""

    facts: SignatureFacts
    padding: AsymmetricPadding | None = None


@lru_cache(maxsize=64)  # a CA signs all its certificates by the same
def read_scheme(content: bytes) -> Scheme:
    """Read the content of an AlgorithmIdentifier (RFC 5280 section 4.1.1.2).

    An unknown algorithm has its object identifier as its name. Raises DerError for what is no AlgorithmIdentifier.
    """
    parts = der.children(content)
    if not 1 <= len(parts) <= 2:
        raise der.DerError("its signature algorithm is damaged")
    oid = der.object_identifier(der.expect(parts[0], der.OBJECT_IDENTIFIER))
    if oid != RSA_PSS:
        facts = _ALGORITHMS.get(oid) or SignatureFacts(oid)
        return Scheme(facts, PKCS1v15() if facts.algorithm == "RSA" else None)
    try:
        return _pss(der.expect(parts[-1], der.SEQUENCE))
    except der.DerError:
        return Scheme(SignatureFacts("RSA-PSS"))


def _pss(content: bytes) -> Scheme:
    """RFC 4055 section 3.1: each parameter has a default."""
    elements = der.children(content)
    given = {tag: der.children(inner) for tag, inner in elements}
    if (
        len(given) != len(elements)
        or not given.keys() <= set(_PSS_TAGS)
        or any(len(each) != 1 for each in given.values())
    ):
        raise der.DerError("its RSA-PSS parameters are damaged")
    of_hash, of_mask, of_salt, of_trailer = (given.get(tag) for tag in _PSS_TAGS)
    hash_name = _hash(of_hash[0]) if of_hash else "sha1"
    mask_hash = _mask_hash(of_mask[0]) if of_mask else "sha1"
    salt = int.from_bytes(der.expect(of_salt[0], der.INTEGER)) if of_salt else 20
    trailer = int.from_bytes(der.expect(of_trailer[0], der.INTEGER)) if of_trailer else 1
    if salt > _LONGEST_SALT or trailer != 1:
        raise der.DerError("its RSA-PSS parameters are not supported")
    return Scheme(SignatureFacts("RSA-PSS", hash_name), PSS(MGF1(_HASHES[mask_hash]), salt))


def _hash(algorithm: der.Element) -> str:
    parts = der.children(der.expect(algorithm, der.SEQUENCE))
    oid = der.object_identifier(der.expect(parts[0], der.OBJECT_IDENTIFIER)) if parts else ""
    if oid not in _HASH_NAMES:
        raise der.DerError("its RSA-PSS parameters name an unknown hash")
    return _HASH_NAMES[oid]


def _mask_hash(algorithm: der.Element) -> str:
    parts = der.children(der.expect(algorithm, der.SEQUENCE))
    if len(parts) != 2 or der.object_identifier(der.expect(parts[0], der.OBJECT_IDENTIFIER)) != _MGF1:
        raise der.DerError("its RSA-PSS parameters name an unknown mask generation function")
    return _hash(parts[1])


def other_form(key: PublicKeyTypes | None, signature: bytes) -> bytes | None:
    """Return the other equally valid ECDSA signature: (r, n - s) for (r, s); None if there is none.

    Whoever holds a certificate can put it in place of the CA's own, and has a certificate with another SHA-256
    that verifies (SEC 1 section 4.1.4; RFC 6979 does not help: the signer is not asked).
    """
    return _other_form(key.curve, signature) if isinstance(key, EllipticCurvePublicKey) else None


def other_forms(scheme: Scheme, signature: bytes) -> tuple[bytes, ...]:
    """Return what ``other_form`` may be, whichever key made the signature: one for each curve of a CA that fits.

    AWS IoT takes CAs with EC keys on P-256, P-384 and P-521:
    https://docs.aws.amazon.com/iot/latest/developerguide/manage-your-CA-certs.html
    """
    if scheme.facts.algorithm != "ECDSA":
        return ()
    forms = (_other_form(each, signature) for each in _CA_CURVES)
    return tuple(each for each in forms if each is not None)


def _other_form(curve: EllipticCurve, signature: bytes) -> bytes | None:
    order = curve.group_order
    try:
        r, s = decode_dss_signature(signature)
    except ValueError:
        return None
    return encode_dss_signature(r, order - s) if 0 < r < order and 0 < s < order else None


def verifies(key: PublicKeyTypes | None, scheme: Scheme, signature: bytes, signed: bytes) -> bool:
    """Return whether the key verifies a signature. Never raises: where key and algorithm do not fit, it does not."""
    algorithm, hash_algorithm = scheme.facts.algorithm, _HASHES.get(scheme.facts.hash)
    try:
        if scheme.padding is not None and hash_algorithm is not None and isinstance(key, RSAPublicKey):
            if len(signature) != (key.key_size + 7) // 8:
                # RFC 8017 sections 8.1.2 and 8.2.2. OpenSSL takes a PSS signature without the zeros it begins with:
                # the same certificate would have another SHA-256.
                return False
            key.verify(signature, signed, scheme.padding, hash_algorithm)
        elif algorithm == "ECDSA" and hash_algorithm is not None and isinstance(key, EllipticCurvePublicKey):
            key.verify(signature, signed, ECDSA(hash_algorithm))
        elif (algorithm == "Ed25519" and isinstance(key, Ed25519PublicKey)) or (
            algorithm == "Ed448" and isinstance(key, Ed448PublicKey)
        ):
            key.verify(signature, signed)
        else:
            return False
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False
    return True
