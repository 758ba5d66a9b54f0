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

from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

from jitr.errors import NotACertificate, Unreadable
from jitr.facts import Attribute, CaFacts, CertificateFacts, KeyFacts
from jitr.values import dataclass
from jitr.x509 import der
from jitr.x509.extensions import NONE, Extensions, read_extensions, read_path_length
from jitr.x509.keys import read_key, usable_key
from jitr.x509.names import Name, attributes, read_name
from jitr.x509.pem import FoundCertificate, find_certificate, not_a_certificate
from jitr.x509.signatures import Scheme, read_scheme

# RFC 5280 section 4.1.2.2 allows an issuer 20; some make it a SHA-256.
MAX_SERIAL_OCTETS = 32

_VERSION_3 = der.element(der.INTEGER, b"\x02")  # as nearly all have it
_VERSION = der.context(0, constructed=True)
_ISSUER_UNIQUE_ID, _SUBJECT_UNIQUE_ID = der.context(1), der.context(2)
_EXTENSIONS = der.context(3, constructed=True)


@dataclass(frozen=True, slots=True)
class CertificateReading:
    """A device certificate: its facts, and what verifying its signature takes."""

    facts: CertificateFacts
    der: bytes
    issuer: Name
    signed: bytes  # the DER that the signature is over: tbsCertificate
    algorithm: bytes  # signatureAlgorithm, as its element's content
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
    subject_der: bytes  # as an element: what stands as issuer in all that it signs
    public_key_der: bytes  # as an element: SubjectPublicKeyInfo
    path_length: int | None  # how many CAs may stand below it; None: as many as there are (RFC 5280 section 4.2.1.9)
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
    """Read a device certificate from PEM or DER.

    Raises Unreadable: ``certificate.too-large`` beyond the limits in ``pem``, ``names``, ``extensions`` and here,
    ``certificate.unreadable`` for what is no certificate or a damaged one.
    """
    found = find_certificate(data)
    try:
        fields = _fields(found.der)
        extensions = _extensions(fields)
        issuer, issuer_attributes = _issuer(fields.issuer)
        scheme = read_scheme(fields.algorithm)
        key = read_key(fields.public_key)
        facts = CertificateFacts(
            certificate_sha256=hashlib.sha256(found.der).hexdigest(),
            public_key_sha256=key.sha256,
            version=fields.version,
            serial_number=f"{fields.serial_number:x}",
            subject=attributes(read_name(fields.subject, "subject")),
            issuer=issuer_attributes,
            not_before=fields.not_before,
            not_after=fields.not_after,
            key=key.facts,
            signature=scheme.facts,
            is_ca=extensions.is_ca,
            key_usage=extensions.key_usage,
            extended_key_usage=extensions.extended_key_usage,
            alternative_names=extensions.alternative_names,
            issuer_alternative_names=extensions.issuer_alternative_names,
            unknown_critical_extensions=extensions.unknown_critical,
            authority_key_identifier=extensions.authority_key_identifier,
            subject_key_identifier=extensions.subject_key_identifier,
            crl_addresses=extensions.crl_addresses,
            written_key_sha256=key.written_sha256,
            compressed_key_sha256=key.compressed_sha256,
        )
    except der.DerError as error:
        raise _unreadable(found, error) from error
    return CertificateReading(
        facts, found.der, issuer, fields.signed, fields.algorithm, fields.signature, scheme, found.taken
    )


def read_ca(data: bytes, *, status: str, ca_certificate_id: str | None = None) -> CaReading:
    """Read a CA certificate from PEM or DER.

    ``status`` and ``ca_certificate_id`` are AWS IoT's; without an id it is the SHA-256 of the DER, which is how AWS IoT
    makes them. Raises Unreadable as ``read_certificate`` does.
    """
    found = find_certificate(data)
    try:
        fields = _fields(found.der)
        extensions = _extensions(fields)
        subject = read_name(fields.subject, "subject")
        key_facts = read_key(fields.public_key).facts
        key = usable_key(fields.public_key, key_facts)
        _issuer(fields.issuer), read_scheme(fields.algorithm)  # what is no certificate is no CA's
        path_length = None if fields.extensions is None else read_path_length(fields.extensions)
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
        odd_serial_number=f"{fields.serial_number:x}" if fields.serial_number <= 0 else None,
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
        subject_der=der.element(der.SEQUENCE, fields.subject),
        public_key_der=der.element(der.SEQUENCE, fields.public_key),
        path_length=path_length,
        taken=found.taken,
    )


def _unreadable(found: FoundCertificate, error: der.DerError) -> Unreadable:
    instead = not_a_certificate(found.der)
    if instead is not None:
        return NotACertificate(instead)
    told = f"the certificate cannot be read: {error}"
    if found.der[:1] != bytes((der.SEQUENCE,)):
        return NotACertificate(told)
    return Unreadable("certificate.unreadable", told)


def _fields(certificate: bytes) -> _Fields:
    """RFC 5280 section 4.1: Certificate, and its TBSCertificate."""
    whole = der.Cursor(der.only(certificate, der.SEQUENCE), "certificate")
    signed = whole.take(der.SEQUENCE)
    algorithm = whole.take(der.SEQUENCE)
    signature, unused = der.bit_string(whole.take(der.BIT_STRING))
    whole.end()

    fields = der.Cursor(signed, "certificate")
    version = fields.take_if(_VERSION)
    serial_number = fields.take(der.INTEGER)
    # RFC 5280 section 4.1.1.2. A difference would let whoever carries the certificate choose the algorithm.
    if fields.take(der.SEQUENCE) != algorithm:
        raise der.DerError("it names two different signature algorithms")
    issuer = fields.take(der.SEQUENCE)
    not_before, not_after = _validity(fields.take(der.SEQUENCE))
    subject = fields.take(der.SEQUENCE)
    public_key = fields.take(der.SEQUENCE)
    fields.take_if(_ISSUER_UNIQUE_ID)
    fields.take_if(_SUBJECT_UNIQUE_ID)
    extensions = fields.take_if(_EXTENSIONS)
    fields.end()

    return _Fields(
        signed=der.element(der.SEQUENCE, signed),
        signature=b"" if unused else signature,  # no signature has a part of an octet
        version=1 if version is None else _version(version),
        serial_number=_serial_number(serial_number),
        algorithm=algorithm,
        issuer=issuer,
        not_before=not_before,
        not_after=not_after,
        subject=subject,
        public_key=public_key,
        extensions=extensions,
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
    """RFC 5280 section 4.1.2.2: positive. Others are to be handled gracefully: whether they do is the floor's word."""
    if len(content) > MAX_SERIAL_OCTETS:
        raise Unreadable(
            "certificate.too-large",
            f"the serial number has {len(content)} octets; at most {MAX_SERIAL_OCTETS} are read",
        )
    if not content:
        raise der.DerError("its serial number is empty")
    return int.from_bytes(content, signed=True)


def _validity(content: bytes) -> tuple[datetime, datetime]:
    times = der.children(content)
    if len(times) != 2:
        raise der.DerError("its validity is not two times")
    try:
        return der.time(*times[0]), der.time(*times[1])
    except der.DerError as error:
        raise der.DerError(f"its validity is damaged: {error}") from error


@lru_cache(maxsize=64)  # a CA writes the same into all its certificates
def _issuer(content: bytes) -> tuple[Name, tuple[Attribute, ...]]:
    name = read_name(content, "issuer")
    return name, attributes(name)


def _extensions(fields: _Fields) -> Extensions:
    return NONE if fields.extensions is None else read_extensions(fields.extensions)
