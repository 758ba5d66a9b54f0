"""Reading a certificate: from hostile bytes to CertificateFacts, or to one declared error.

The fields are read here and not by ``cryptography``, which does all that is cryptography. Its reader refuses
certificates that devices have (ECDSA with NULL parameters, as Java 11 writes it, an underscore in a
PrintableString, as mbedTLS does, a default written out), and other ones with each release; it reads all extensions or
none, keeps string types to itself, and reports oddities as process-wide warnings. Nothing else than facts or Unreadable
comes of any input here, in bounded time; the tests hold every field against what that library reads, where it does.
"""

import hashlib
from datetime import datetime
from functools import lru_cache

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import load_der_public_key

from jitr import der
from jitr.errors import Unreadable
from jitr.extensions import NONE, Extensions, read_extensions
from jitr.facts import Attribute, CaFacts, CertificateFacts, KeyFacts
from jitr.names import Name, attributes, read_name
from jitr.pem import Found, find_certificate, not_a_certificate
from jitr.rsa import weakness
from jitr.signatures import RSA_PSS, Scheme, read_scheme
from jitr.values import dataclass

# RFC 5280 section 4.1.2.2 allows an issuer 20; some make it a SHA-256.
MAX_SERIAL_OCTETS = 32

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
_VERSION_3 = der.element(der.INTEGER, b"\x02")  # as nearly all have it
_EXTENSIONS = der.context(3, constructed=True)
_OPTIONAL_TAGS = (der.context(1), der.context(2), _EXTENSIONS)

_RSA_KEYS = ("1.2.840.113549.1.1.1", RSA_PSS)
_EC_KEY = "1.2.840.10045.2.1"
_NO_KEY = "it is not an algorithm and a key"
_OTHER_KEYS = {
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


@dataclass(frozen=True, slots=True)
class CertificateReading:
    """A device certificate: its facts, and what verifying its signature takes."""

    facts: CertificateFacts
    der: bytes
    issuer: Name
    signed: bytes  # the DER that the signature is over: tbsCertificate
    signature: bytes
    scheme: Scheme
    taken: str | None = None  # which of several certificates this is; None where there was no choice


@dataclass(frozen=True, slots=True)
class CaReading:
    """A CA certificate: its facts, and what verifying its signatures takes. Worth keeping: it serves every device."""

    facts: CaFacts
    der: bytes
    certificate_sha256: str
    subject: Name
    key: PublicKeyTypes | None  # None: of a kind that is not supported here
    key_facts: KeyFacts
    subject_key_identifier: str | None
    may_sign_crls: bool  # no keyUsage, or keyUsage with cRLSign (RFC 5280 section 4.2.1.3)
    taken: str | None = None


@dataclass(slots=True)
class _Fields:
    """The fields of a certificate (RFC 5280 section 4.1), as the contents of their elements where it is not said."""

    signed: bytes  # as an element
    signature: bytes
    version: int
    serial_number: int
    algorithm: bytes
    issuer: bytes
    not_before: datetime
    not_after: datetime
    subject: bytes
    public_key: bytes
    extensions: bytes | None


def read_certificate(data: bytes) -> CertificateReading:
    """A device certificate from PEM or DER.

    Raises Unreadable: ``certificate.too-large`` beyond the limits in ``jitr.pem``, ``jitr.names``, ``jitr.extensions``
    and here, ``certificate.unreadable`` for what is no certificate or a damaged one.
    """
    found = find_certificate(data)
    try:
        fields = _fields(found.der)
        extensions = _extensions(fields)
        issuer, issuer_attributes = _issuer(fields.issuer)
        scheme = read_scheme(fields.algorithm)
        facts = CertificateFacts(
            certificate_sha256=hashlib.sha256(found.der).hexdigest(),
            public_key_sha256=hashlib.sha256(der.element(der.SEQUENCE, fields.public_key)).hexdigest(),
            version=fields.version,
            serial_number=f"{fields.serial_number:x}",
            subject=attributes(read_name(fields.subject, "subject")),
            issuer=issuer_attributes,
            not_before=fields.not_before,
            not_after=fields.not_after,
            key=_key_facts(fields.public_key),
            signature=scheme.facts,
            is_ca=extensions.is_ca,
            key_usage=extensions.key_usage,
            extended_key_usage=extensions.extended_key_usage,
            alternative_names=extensions.alternative_names,
            issuer_alternative_names=extensions.issuer_alternative_names,
            unknown_critical_extensions=extensions.unknown_critical,
            authority_key_identifier=extensions.authority_key_identifier,
            subject_key_identifier=extensions.subject_key_identifier,
        )
    except der.DerError as error:
        raise _unreadable(found, error) from error
    return CertificateReading(facts, found.der, issuer, fields.signed, fields.signature, scheme, found.taken)


def read_ca(data: bytes, *, status: str, ca_certificate_id: str | None = None) -> CaReading:
    """A CA certificate from PEM or DER.

    ``status`` and ``ca_certificate_id`` are AWS IoT's; without an id it is the SHA-256 of the DER, which is how AWS IoT
    makes them. Raises Unreadable as ``read_certificate`` does.
    """
    found = find_certificate(data)
    try:
        fields = _fields(found.der)
        extensions = _extensions(fields)
        subject = read_name(fields.subject, "subject")
        key_facts = _key_facts(fields.public_key)
        key = _public_key(fields.public_key, key_facts)
    except der.DerError as error:
        raise _unreadable(found, error) from error
    certificate_sha256 = hashlib.sha256(found.der).hexdigest()
    facts = CaFacts(
        ca_certificate_id=ca_certificate_id or certificate_sha256,
        status=status,
        not_before=fields.not_before,
        not_after=fields.not_after,
        is_ca=extensions.is_ca,
        may_sign=extensions.key_usage is None or "keyCertSign" in extensions.key_usage,
        name_constraints=extensions.name_constraints,
        subject=attributes(subject),
    )
    return CaReading(
        facts=facts,
        der=found.der,
        certificate_sha256=certificate_sha256,
        subject=subject,
        key=key,
        key_facts=key_facts,
        subject_key_identifier=extensions.subject_key_identifier,
        may_sign_crls=extensions.key_usage is None or "cRLSign" in extensions.key_usage,
        taken=found.taken,
    )


def _unreadable(found: Found, error: der.DerError) -> Unreadable:
    message = not_a_certificate(found.der) or f"the certificate cannot be read: {error}"
    return Unreadable("certificate.unreadable", message)


def _fields(certificate: bytes) -> _Fields:
    parts = der.children(der.only(certificate, der.SEQUENCE))
    if len(parts) != 3:
        raise der.DerError("it has not the three parts of a certificate")
    signed = der.expect(parts[0], der.SEQUENCE)
    fields = der.children(signed)
    version = _version(fields.pop(0)[1]) if fields and fields[0][0] == der.context(0, constructed=True) else 1
    if len(fields) < 6:
        raise der.DerError("it lacks a field that every certificate has")
    serial, algorithm, issuer, validity, subject, public_key, *rest = fields
    # RFC 5280 section 4.1.1.2. A difference would let whoever carries the certificate choose the algorithm.
    if algorithm != parts[1]:
        raise der.DerError("it names two different signature algorithms")
    signature, unused = der.bit_string(der.expect(parts[2], der.BIT_STRING))
    not_before, not_after = _validity(der.expect(validity, der.SEQUENCE))
    return _Fields(
        signed=der.element(der.SEQUENCE, signed),
        signature=b"" if unused else signature,  # no signature has a part of an octet
        version=version,
        serial_number=_serial_number(der.expect(serial, der.INTEGER)),
        algorithm=der.expect(algorithm, der.SEQUENCE),
        issuer=der.expect(issuer, der.SEQUENCE),
        not_before=not_before,
        not_after=not_after,
        subject=der.expect(subject, der.SEQUENCE),
        public_key=der.expect(public_key, der.SEQUENCE),
        extensions=_after_public_key(rest),
    )


def _version(content: bytes) -> int:
    """RFC 5280 section 4.1.2.1. Version 2 was for unique identifiers, and nobody uses it."""
    if content == _VERSION_3:
        return 3
    version = int.from_bytes(der.only(content, der.INTEGER)) + 1
    if version not in (1, 3):
        raise der.DerError("its version is neither 1 nor 3")
    return version


def _serial_number(content: bytes) -> int:
    """RFC 5280 section 4.1.2.2: positive; others are to be handled gracefully, which here is to say so."""
    if len(content) > MAX_SERIAL_OCTETS:
        raise Unreadable(
            "certificate.too-large",
            f"the serial number has {len(content)} octets; at most {MAX_SERIAL_OCTETS} are read",
        )
    number = int.from_bytes(content, signed=True)
    if number <= 0:
        raise der.DerError("its serial number is not positive (RFC 5280 section 4.1.2.2)")
    return number


def _validity(content: bytes) -> tuple[datetime, datetime]:
    times = der.children(content)
    if len(times) != 2:
        raise der.DerError("its validity is not two times")
    try:
        return der.time(*times[0]), der.time(*times[1])
    except der.DerError as error:
        raise der.DerError(f"its validity is damaged: {error}") from error


def _after_public_key(fields: list[der.Element]) -> bytes | None:
    """The extensions, which may follow two unique identifiers; each at most once, in this order."""
    if len(fields) == 1 and fields[0][0] == _EXTENSIONS:  # as nearly always
        return fields[0][1]
    tags = [tag for tag, _ in fields]
    if tags != [each for each in _OPTIONAL_TAGS if each in tags]:
        raise der.DerError("it has fields that no certificate has")
    return fields[-1][1] if tags[-1:] == [_EXTENSIONS] else None


@lru_cache(maxsize=64)  # a CA writes the same into all its certificates
def _issuer(content: bytes) -> tuple[Name, tuple[Attribute, ...]]:
    name = read_name(content, "issuer")
    return name, attributes(name)


def _extensions(fields: _Fields) -> Extensions:
    return NONE if fields.extensions is None else read_extensions(fields.extensions)


def _key_facts(public_key: bytes) -> KeyFacts:
    """What kind of key it is, without asking whether anybody can use it: it is not used here."""
    try:
        return _read_key(public_key)
    except der.DerError as error:
        raise der.DerError(f"its public key is damaged: {error}") from error


def _read_key(public_key: bytes) -> KeyFacts:
    """RFC 5280 section 4.1.2.7."""
    parts = der.children(public_key)
    if len(parts) != 2:
        raise der.DerError(_NO_KEY)
    known = _known_by_algorithm(der.expect(parts[0], der.SEQUENCE))
    return known if known is not None else _rsa(der.expect(parts[1], der.BIT_STRING))


@lru_cache(maxsize=64)  # a fleet has keys of a few kinds
def _known_by_algorithm(content: bytes) -> KeyFacts | None:
    """A key as its AlgorithmIdentifier describes it; None for RSA, where size and weakness stand in the key."""
    algorithm = der.children(content)
    if not algorithm:
        raise der.DerError(_NO_KEY)
    oid = der.object_identifier(der.expect(algorithm[0], der.OBJECT_IDENTIFIER))
    if oid in _RSA_KEYS:
        return None
    if oid == _EC_KEY:
        return _curve(algorithm[1:])
    return KeyFacts(_OTHER_KEYS.get(oid, oid))


def _rsa(content: bytes) -> KeyFacts:
    """RFC 8017 appendix A.1.1."""
    octets, _ = der.bit_string(content)
    numbers = der.children(der.only(octets, der.SEQUENCE))
    if len(numbers) != 2 or not numbers[0][0] == numbers[1][0] == der.INTEGER:
        raise der.DerError("it is not a modulus and an exponent")
    modulus, exponent = int.from_bytes(numbers[0][1]), int.from_bytes(numbers[1][1])
    return _rsa_facts(modulus.bit_length(), weakness(modulus, exponent))


@lru_cache(maxsize=64)
def _rsa_facts(bits: int, weak: str | None) -> KeyFacts:
    return KeyFacts("RSA", bits, weakness=weak)


def _curve(parameters: list[der.Element]) -> KeyFacts:
    """RFC 5480 section 2.1.1: a named curve, and nothing else."""
    if len(parameters) != 1 or parameters[0][0] != der.OBJECT_IDENTIFIER:
        return KeyFacts("EC", curve="explicit parameters")
    oid = der.object_identifier(parameters[0][1])
    name, bits = _CURVES.get(oid, (oid, None))
    return KeyFacts("EC", bits, name)


def _public_key(info: bytes, facts: KeyFacts) -> PublicKeyTypes | None:
    if facts.kind not in ("RSA", "EC", "Ed25519", "Ed448"):
        return None
    try:
        return load_der_public_key(der.element(der.SEQUENCE, info))
    except (ValueError, UnsupportedAlgorithm):
        raise der.DerError(f"its {facts.kind} public key cannot be used") from None
