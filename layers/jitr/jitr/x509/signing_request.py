"""Reading a certificate signing request (PKCS #10, RFC 2986): from hostile bytes to what a certificate is made of.

Requests are read as certificates are, and for the same reasons (``jitr.x509.certificate``): what devices and their
management write is not always what ``cryptography`` reads. Windows has "!" in a PrintableString, certmonger writes
``critical`` FALSE out, others leave out the attributes.
"""

from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

from jitr.errors import InputError, Unreadable
from jitr.facts import KeyFacts
from jitr.values import dataclass
from jitr.x509 import der
from jitr.x509.extensions import split_extensions
from jitr.x509.keys import read_key, usable_key
from jitr.x509.names import Name, read_name
from jitr.x509.pem import find_request, not_a_certificate
from jitr.x509.signatures import Scheme, read_scheme, verifies

_ATTRIBUTES = der.context(0, constructed=True)
# RFC 2985 section 5.4.2, and what Windows wrote before it.
_EXTENSION_REQUESTS = ("1.2.840.113549.1.9.14", "1.3.6.1.4.1.311.2.1.14")


@dataclass(frozen=True, slots=True)
class RequestReading:
    """A certificate signing request. ``extensions`` are the object identifiers of those that it asks for."""

    subject: Name
    subject_der: bytes  # as an element
    public_key_der: bytes  # as an element: SubjectPublicKeyInfo
    key_facts: KeyFacts
    key: PublicKeyTypes | None  # None: of a kind that is not supported here
    extensions: tuple[str, ...]
    signed: bytes
    signature: bytes
    scheme: Scheme

    @property
    def signature_valid(self) -> bool:
        """Whether it is signed with its own key (RFC 2986 section 3): whoever asks has that key."""
        return verifies(self.key, self.scheme, self.signature, self.signed)


def read_request(data: bytes) -> RequestReading:
    """Read a request from PEM or DER. Raises InputError for what is none, or a damaged one."""
    found = find_request(data)
    try:
        return _read(found)
    except (der.DerError, Unreadable) as error:
        raise InputError(f"the certificate signing request cannot be read: {error}") from error


def _read(data: bytes) -> RequestReading:
    """RFC 2986 section 4."""
    parts = der.children(der.only(data, der.SEQUENCE))
    if [tag for tag, _ in parts] != [der.SEQUENCE, der.SEQUENCE, der.BIT_STRING]:
        raise der.DerError("it has not the three parts of a request")
    signed = parts[0][1]
    fields = der.children(signed)
    # RFC 2986 wants the attributes to be there, if empty; some leave them out.
    if [tag for tag, _ in fields] not in ([*_FIELDS, _ATTRIBUTES], _FIELDS):
        raise der.DerError(_instead(data) or "it has not the fields of a request")
    version, subject, public_key, *attributes = [content for _, content in fields]
    if version != b"\x00":
        raise der.DerError("its version is not 1")
    key_facts = read_key(public_key).facts
    signature, unused = der.bit_string(parts[2][1])
    return RequestReading(
        subject=read_name(subject, "subject"),
        subject_der=der.element(der.SEQUENCE, subject),
        public_key_der=der.element(der.SEQUENCE, public_key),
        key_facts=key_facts,
        key=usable_key(public_key, key_facts),
        extensions=_extensions(attributes[0]) if attributes else (),
        signed=der.element(der.SEQUENCE, signed),
        signature=b"" if unused else signature,
        scheme=read_scheme(parts[1][1]),
    )


_FIELDS = [der.INTEGER, der.SEQUENCE, der.SEQUENCE]


def _instead(data: bytes) -> str | None:
    """Say what it is instead, if that is signed, too: a certificate looks like a request from outside."""
    told = not_a_certificate(data)
    if told is not None:
        return told
    return "it is a certificate, and no request" if _looks_like_a_certificate(data) else None


def _looks_like_a_certificate(data: bytes) -> bool:
    fields = der.children(der.children(der.only(data, der.SEQUENCE))[0][1])
    return len(fields) >= 6 and fields[0][0] in (der.context(0, constructed=True), der.INTEGER)


def _extensions(content: bytes) -> tuple[str, ...]:
    """Return what the attributes ask for. An attribute may have several values, and there may be others beside it."""
    asked: list[str] = []
    for attribute in der.children(content):
        kind, values = _attribute(der.expect(attribute, der.SEQUENCE))
        if kind in _EXTENSION_REQUESTS:
            for value in der.children(values):
                asked += split_extensions(der.expect(value, der.SEQUENCE))
    return tuple(dict.fromkeys(asked))


def _attribute(content: bytes) -> tuple[str, bytes]:
    parts = der.children(content)
    if [tag for tag, _ in parts] != [der.OBJECT_IDENTIFIER, der.SET]:
        raise der.DerError("one of its attributes is not a type and its values")
    return der.object_identifier(parts[0][1]), parts[1][1]
