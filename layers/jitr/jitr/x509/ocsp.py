"""Asking a responder about one certificate, and reading its answer (OCSP: RFC 6960, RFC 5019, RFC 9654).

An answer is used only if it is the one to the question, and if its signature is verified with the CA's own key, with
that of a certificate which the CA issued for it, or with that of the responder which the rules name. What depends on
the time is left to ``jitr.decision.revocation``.

It is read here and not by ``cryptography``, whose reader verifies nothing, and gives up on responders' certificates
that its own reader of certificates refuses; the tests hold one reader against the other.
"""

import hashlib
from base64 import b64decode
from datetime import datetime
from functools import lru_cache

from jitr.errors import Unreadable, UnusableOcsp
from jitr.facts import OcspAnswer
from jitr.values import dataclass
from jitr.x509 import der
from jitr.x509.certificate import CaReading, CertificateReading, read_ca, read_certificate
from jitr.x509.crl import REASONS
from jitr.x509.extensions import split_extensions
from jitr.x509.names import Name, quoted, read_name, rfc4514, same_name
from jitr.x509.signatures import Scheme, read_scheme, verifies

MAX_RESPONSE = 20_000  # octets; an RSA answer with a responder's certificate has some 2,000
MAX_CERTIFICATES = 10
NONCE_OCTETS = 32  # RFC 9654 section 2.1

REQUEST_TYPE, RESPONSE_TYPE = "application/ocsp-request", "application/ocsp-response"  # RFC 6960 appendix A

_HASH_OIDS = {
    "sha1": bytes.fromhex("2b0e03021a"),
    "sha256": bytes.fromhex("608648016503040201"),
}
_BASIC = "1.3.6.1.5.5.7.48.1.1"
_NONCE = "1.3.6.1.5.5.7.48.1.2"
_NONCE_DER = bytes.fromhex("2b0601050507300102")
_NO_CHECK = "1.3.6.1.5.5.7.48.1.5"

# RFC 6960 section 4.2.1, OCSPResponseStatus. The two that pass by themselves are told apart from the others.
_STATUSES = {
    1: "malformedRequest: it does not understand the question",
    2: "internalError",
    3: "tryLater",
    5: "sigRequired: it answers only those who sign their questions",
    6: "unauthorized: it does not answer for this CA or this certificate, or not us",
}
_PASSING = (2, 3)

_EXPLICIT = tuple(der.context(number, constructed=True) for number in range(3))
_GOOD, _REVOKED, _UNKNOWN = der.context(0), der.context(1, constructed=True), der.context(2)
_HOLD = 6


@dataclass(frozen=True, slots=True)
class OcspQuestion:
    """Which certificate is asked about, by its CertID (RFC 6960 section 4.1.1), and the nonce that goes with it."""

    hash: str
    issuer_name_hash: bytes
    issuer_key_hash: bytes
    serial_number: int
    nonce: bytes | None = None

    @property
    def encoded(self) -> bytes:
        """The OCSPRequest (RFC 6960 section 4.1.1)."""
        algorithm = der.element(der.SEQUENCE, der.element(der.OBJECT_IDENTIFIER, _HASH_OIDS[self.hash]) + b"\x05\x00")
        number = self.serial_number
        serial = number.to_bytes(number.bit_length() // 8 + 1, signed=True)
        names = (
            der.element(der.OCTET_STRING, self.issuer_name_hash),
            der.element(der.OCTET_STRING, self.issuer_key_hash),
        )
        certificate = der.element(der.SEQUENCE, algorithm + b"".join(names) + der.element(der.INTEGER, serial))
        listed = der.element(der.SEQUENCE, der.element(der.SEQUENCE, certificate))
        if self.nonce is not None:
            value = der.element(der.OCTET_STRING, self._nonce_value)
            extension = der.element(der.OBJECT_IDENTIFIER, _NONCE_DER) + value
            listed += der.element(_EXPLICIT[2], der.element(der.SEQUENCE, der.element(der.SEQUENCE, extension)))
        return der.element(der.SEQUENCE, der.element(der.SEQUENCE, listed))

    @property
    def _nonce_value(self) -> bytes:
        return der.element(der.OCTET_STRING, self.nonce or b"")

    def is_echoed_by(self, value: bytes | None) -> bool:
        """Tell whether a nonce extension's value is this question's."""
        return value is not None and self.nonce is not None and value == self._nonce_value


def question_about(
    ca: CaReading, serial_number: int, hash_name: str = "sha1", nonce: bytes | None = None
) -> OcspQuestion:
    """Return the question about a certificate of that CA."""
    name, key = _digest(hash_name, ca.subject_der), _digest(hash_name, _key_bits(ca))
    return OcspQuestion(hash_name, name, key, serial_number, nonce)


def _digest(hash_name: str, data: bytes) -> bytes:
    return hashlib.new(hash_name, data, usedforsecurity=False).digest()


def _key_bits(ca: CaReading) -> bytes:
    """Return the value of the key's BIT STRING without its first octet (RFC 6960 section 4.1.1, issuerKeyHash)."""
    key = der.children(der.only(ca.public_key_der, der.SEQUENCE))[1]
    return der.bit_string(key[1])[0]


@dataclass(frozen=True, slots=True)
class SingleResponse:
    """What is said of one certificate (RFC 6960 section 4.2.1), which is named as in a question."""

    hash_oid: bytes
    issuer_name_hash: bytes
    issuer_key_hash: bytes
    serial_number: int
    status: str  # good, revoked or unknown
    this_update: datetime
    next_update: datetime | None
    revoked_at: datetime | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class OcspReading:
    """A BasicOCSPResponse with one answer, not yet verified."""

    signed: bytes  # as an element: what the signature is over
    signature: bytes
    scheme: Scheme
    responder_name: Name | None  # this or the key hash is None
    responder_key_hash: bytes | None
    produced_at: datetime
    nonce: bytes | None  # the extension's value
    certificates: tuple[bytes, ...]  # DER, each of which may be anything
    answer: SingleResponse


def read_ocsp(data: bytes) -> OcspReading:
    """Read a responder's answer from DER.

    Raises UnusableOcsp for what is none, is damaged or larger than MAX_RESPONSE, for one that says that the responder
    does not answer, that answers for none or for several certificates, or that has an unknown critical extension.
    """
    if len(data) > MAX_RESPONSE:
        raise UnusableOcsp(f"the answer has {len(data)} bytes; at most {MAX_RESPONSE} are read")
    try:
        return _read(data)
    except (der.DerError, Unreadable) as error:
        raise UnusableOcsp(f"the answer cannot be read: {error}") from error


def answer_of(
    reading: OcspReading, question: OcspQuestion, ca: CaReading, responder: CaReading | None = None
) -> OcspAnswer:
    """Return what an answer says to a question about a certificate of that CA.

    ``responder`` is the one that the rules name: then nobody else's word counts. There is a ``problem`` in place of a
    status where the answer is to another question, or signed by nobody who may.
    """
    problem = _why_not_to(reading, question)
    if problem is not None:
        return OcspAnswer(problem=problem)
    signer = _signer(reading, ca) if responder is None else _as_named(reading, responder)
    if isinstance(signer, str):
        return OcspAnswer(problem=signer)
    said = reading.answer
    return OcspAnswer(
        status=said.status,
        produced_at=reading.produced_at,
        this_update=said.this_update,
        next_update=said.next_update,
        nonce=None if question.nonce is None else reading.nonce is not None,
        signer=signer.told,
        signer_not_before=signer.not_before,
        signer_not_after=signer.not_after,
        signature_hashes=tuple(
            [each for each in (reading.scheme.facts.hash, signer.certified_with) if each is not None]
        ),
        revoked_at=said.revoked_at,
        reason=said.reason,
        on_hold=said.reason == REASONS[_HOLD],
    )


@lru_cache(maxsize=64)
def responder_named(certificate: str | None) -> CaReading | None:
    """Return the responder that compiled rules name by its certificate, DER in base64; None where they name none.

    Raises Unreadable, but whoever published the rules has read it.
    """
    return None if certificate is None else read_ca(b64decode(certificate), status="")


def _why_not_to(reading: OcspReading, question: OcspQuestion) -> str | None:
    """Return why it is not the answer to that question (RFC 6960 section 3.2, 1, and RFC 9654)."""
    said = reading.answer
    if said.serial_number != question.serial_number:
        return f"the answer is about serial number {said.serial_number:x}, not {question.serial_number:x}"
    if said.hash_oid != _HASH_OIDS[question.hash]:
        return f"the answer names the CA by another hash than the question does ({question.hash})"
    if (said.issuer_name_hash, said.issuer_key_hash) != (question.issuer_name_hash, question.issuer_key_hash):
        return "the answer is about a certificate of another CA"
    if reading.nonce is not None and question.nonce is not None and not question.is_echoed_by(reading.nonce):
        return "the answer has the nonce of another question"
    return None


# --- who signed it


@dataclass(frozen=True, slots=True)
class _Signer:
    """Whose key verifies an answer; what is None does not matter for the CA itself."""

    told: str
    not_before: datetime | None = None
    not_after: datetime | None = None
    certified_with: str | None = None


def _signer(reading: OcspReading, ca: CaReading) -> _Signer | str:
    """Return the CA, or whom it certified for it (RFC 6960 section 4.2.2.2); or why it is neither."""
    problem = f"the answer is of {_who(reading)}, which is neither the CA nor a certificate in the answer"
    if _is_named(reading, ca):
        if verifies(ca.key, reading.scheme, reading.signature, reading.signed):
            return _Signer("the CA itself")
        problem = f"the CA's key does not verify the answer's {reading.scheme.facts.algorithm} signature"
    for each in reading.certificates:
        try:
            delegate, certificate = read_ca(each, status=""), read_certificate(each)
        except Unreadable:
            continue
        if not _is_named(reading, delegate):
            continue
        why = _why_no_delegate(delegate, certificate, ca)
        if why is None and verifies(delegate.key, reading.scheme, reading.signature, reading.signed):
            facts = certificate.facts
            told = f"{rfc4514(delegate.subject)}, certified by the CA"
            return _Signer(told, facts.not_before, facts.not_after, facts.signature.hash)
        problem = why or "the key of the responder's certificate does not verify the answer's signature"
    return problem


def _why_no_delegate(delegate: CaReading, certificate: CertificateReading, ca: CaReading) -> str | None:
    """Return why a certificate in an answer gives nobody the right to answer for that CA (RFC 6960 section 4.2.2.2)."""
    facts = certificate.facts
    whose = f"the responder's certificate {quoted(rfc4514(delegate.subject))}"
    if not (certificate.issuer == ca.subject or same_name(certificate.issuer, ca.subject)):
        return f"{whose} is not issued by the CA, but by {quoted(rfc4514(certificate.issuer))}"
    if not verifies(ca.key, certificate.scheme, certificate.signature, certificate.signed):
        return f"the CA's key does not verify {whose}"
    # RFC 6960 section 4.2.2.2: the usage itself, and not anyExtendedKeyUsage, which says nothing of answering.
    if "OCSPSigning" not in (facts.extended_key_usage or ()):
        return f"{whose} is not for answering: it lacks the extended key usage OCSPSigning"
    if facts.is_ca:
        return f"{whose} is that of a CA"
    if facts.key_usage is not None and not {"digitalSignature", "nonRepudiation"} & set(facts.key_usage):
        return f"{whose} is not for signatures (keyUsage)"
    unknown = [each for each in facts.unknown_critical_extensions if each != _NO_CHECK]
    if unknown:
        return f"{whose} has the critical extension {unknown[0]}, unknown here"
    return None


def _as_named(reading: OcspReading, named: CaReading) -> _Signer | str:
    """Return the responder that the rules name; or why it is not."""
    if not _is_named(reading, named):
        return f"the answer is of {_who(reading)}, not of the responder that the rules name"
    if not verifies(named.key, reading.scheme, reading.signature, reading.signed):
        return "the key of the responder that the rules name does not verify the answer's signature"
    return _Signer(f"{rfc4514(named.subject)}, named in the rules", named.facts.not_before, named.facts.not_after)


def _is_named(reading: OcspReading, signer: CaReading) -> bool:
    """Tell whether the responder's id is that certificate's subject or key (RFC 6960 section 4.2.1, ResponderID)."""
    if reading.responder_name is not None:
        return reading.responder_name == signer.subject or same_name(reading.responder_name, signer.subject)
    return reading.responder_key_hash == _digest("sha1", _key_bits(signer))


def _who(reading: OcspReading) -> str:
    if reading.responder_name is not None:
        return quoted(rfc4514(reading.responder_name))
    return f"a responder whose key's SHA-1 is {(reading.responder_key_hash or b'').hex()[:40]}"


# --- RFC 6960 section 4.2.1


def _read(data: bytes) -> OcspReading:
    whole = der.Cursor(der.only(data, der.SEQUENCE), "OCSP response")
    status = int.from_bytes(whole.take(der.ENUMERATED))
    if status != 0:
        told = _STATUSES.get(status, f"{status}, which means nothing")
        raise UnusableOcsp(f"the responder does not answer: {told}", unavailable=status in _PASSING)
    wrapped = whole.take(_EXPLICIT[0])
    whole.end()
    content = der.Cursor(der.only(wrapped, der.SEQUENCE), "OCSP response")
    kind = der.object_identifier(content.take(der.OBJECT_IDENTIFIER))
    if kind != _BASIC:
        raise UnusableOcsp(f"the answer is of a kind that is unknown here ({kind})")
    basic = content.take(der.OCTET_STRING)
    content.end()
    return _basic(der.only(basic, der.SEQUENCE))


def _basic(content: bytes) -> OcspReading:
    basic = der.Cursor(content, "OCSP answer")
    signed = basic.take(der.SEQUENCE)
    scheme = read_scheme(basic.take(der.SEQUENCE))
    signature, unused = der.bit_string(basic.take(der.BIT_STRING))
    certificates = basic.take_if(_EXPLICIT[0])
    basic.end()

    fields = der.Cursor(signed, "OCSP answer")
    version = fields.take_if(_EXPLICIT[0])
    if version is not None and der.only(version, der.INTEGER) != b"\x00":
        raise der.DerError("its version is not 1")
    name, key_hash = fields.take_if(_EXPLICIT[1]), None
    if name is None:
        key_hash = der.only(fields.take(_EXPLICIT[2]), der.OCTET_STRING)
    produced_at = der.time(der.GENERALIZED_TIME, fields.take(der.GENERALIZED_TIME))
    answers = der.children(fields.take(der.SEQUENCE))
    extensions = fields.take_if(_EXPLICIT[1])
    fields.end()
    if len(answers) != 1:
        raise UnusableOcsp(f"the answer is about {len(answers)} certificates; one was asked about")

    return OcspReading(
        answer=_single(der.expect(answers[0], der.SEQUENCE)),
        signed=der.element(der.SEQUENCE, signed),
        signature=b"" if unused else signature,
        scheme=scheme,
        responder_name=None if name is None else read_name(der.only(name, der.SEQUENCE), "responder"),
        responder_key_hash=key_hash,
        produced_at=produced_at,
        nonce=_extensions(extensions).get(_NONCE),
        certificates=() if certificates is None else _certificates(der.only(certificates, der.SEQUENCE)),
    )


def _single(content: bytes) -> SingleResponse:
    fields = der.Cursor(content, "OCSP answer")
    certificate = der.Cursor(fields.take(der.SEQUENCE), "CertID")
    algorithm = der.children(certificate.take(der.SEQUENCE))
    name_hash, key_hash = certificate.take(der.OCTET_STRING), certificate.take(der.OCTET_STRING)
    serial_number = int.from_bytes(certificate.take(der.INTEGER), signed=True)
    certificate.end()
    if not algorithm:
        raise der.DerError("its CertID has no hash")

    status, revoked_at, reason = _status(fields)
    this_update = der.time(der.GENERALIZED_TIME, fields.take(der.GENERALIZED_TIME))
    following = fields.take_if(_EXPLICIT[0])
    _extensions(fields.take_if(_EXPLICIT[1]))
    fields.end()
    return SingleResponse(
        hash_oid=der.expect(algorithm[0], der.OBJECT_IDENTIFIER),
        issuer_name_hash=name_hash,
        issuer_key_hash=key_hash,
        serial_number=serial_number,
        status=status,
        this_update=this_update,
        next_update=None if following is None else _time(following),
        revoked_at=revoked_at,
        reason=reason,
    )


def _status(fields: der.Cursor) -> tuple[str, datetime | None, str | None]:
    for tag, status in ((_GOOD, "good"), (_UNKNOWN, "unknown")):
        content = fields.take_if(tag)
        if content is not None:
            if content:
                raise der.DerError(f"its status {status} has something in it")
            return status, None, None
    revoked = der.Cursor(fields.take(_REVOKED), "RevokedInfo")
    revoked_at = der.time(der.GENERALIZED_TIME, revoked.take(der.GENERALIZED_TIME))
    said = revoked.take_if(_EXPLICIT[0])
    revoked.end()
    code = 0 if said is None else int.from_bytes(der.only(said, der.ENUMERATED))
    # Whatever else it means, the certificate is revoked; removeFromCRL (8) has no meaning here.
    return "revoked", revoked_at, REASONS[code] if code in REASONS and code != 8 else REASONS[0]


def _time(content: bytes) -> datetime:
    return der.time(der.GENERALIZED_TIME, der.only(content, der.GENERALIZED_TIME))


def _extensions(content: bytes | None) -> dict[str, bytes]:
    """By object identifier. Raises UnusableOcsp for a critical one that is unknown here (RFC 6960 section 4.4)."""
    if content is None:
        return {}
    found = split_extensions(der.only(content, der.SEQUENCE))
    unknown = [oid for oid, (critical, _) in found.items() if critical and oid != _NONCE]
    if unknown:
        raise UnusableOcsp(f"the answer has the critical extension {unknown[0]}, unknown here")
    return {oid: value for oid, (_, value) in found.items()}


def _certificates(content: bytes) -> tuple[bytes, ...]:
    found = der.children(content)
    if len(found) > MAX_CERTIFICATES:
        raise der.DerError(f"it has {len(found)} certificates; at most {MAX_CERTIFICATES} are read")
    return tuple([der.element(*each) for each in found])
