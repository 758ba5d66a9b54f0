"""Finding the certificate in what somebody calls a certificate: PEM (RFC 7468), DER, or something else by mistake.

What is not a certificate is named, with what to do about it. No message repeats what stands in a block: it could be a
private key.
"""

import binascii
import codecs
import re
from collections.abc import Iterator

from jitr.errors import InputError, NotACertificate, Unreadable
from jitr.unseen import quote
from jitr.values import dataclass
from jitr.x509 import der

MAX_INPUT = 64 * 1024  # octets of a file or a PEM text
MAX_CERTIFICATE = 16 * 1024  # octets of one certificate's DER

_PRIVATE_KEY = "a private key, not a certificate: keep it secret, and give the certificate that goes with it"
_REQUEST = "a certificate signing request: have the CA sign it, and give the certificate that the CA returns"
_PUBLIC_KEY = "a public key without a certificate: give the certificate that was issued for it"
_REVOCATION_LIST = "a revocation list, not a certificate"
_PKCS7 = "a PKCS #7 bundle: give what `openssl pkcs7 -print_certs` writes for it"
_PKCS12 = "a PKCS #12 store: give what `openssl pkcs12 -nokeys -clcerts` writes for it"

_LABELS = {
    "CERTIFICATE REQUEST": _REQUEST,
    "NEW CERTIFICATE REQUEST": _REQUEST,
    "PUBLIC KEY": _PUBLIC_KEY,
    "RSA PUBLIC KEY": _PUBLIC_KEY,
    "X509 CRL": _REVOCATION_LIST,
    "PKCS7": _PKCS7,
    "CMS": _PKCS7,
    "TRUSTED CERTIFICATE": "a certificate in OpenSSL's own form: give what `openssl x509` writes for it",
    "EC PARAMETERS": "parameters for making keys, not a certificate",
    "DH PARAMETERS": "parameters for making keys, not a certificate",
}
_REQUEST_LABELS = ("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST")  # RFC 7468 section 7
_OTHERS = {
    "CERTIFICATE": "a certificate",
    "PUBLIC KEY": "a public key",
    "X509 CRL": "a revocation list",
    "PKCS7": "a PKCS #7 bundle",
}
_CERTIFICATE_LABELS = ("CERTIFICATE", "X509 CERTIFICATE", "X.509 CERTIFICATE")  # RFC 7468 section 5.1

_KEY_BLOCK = re.compile(rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY")
_BEGIN, _END, _DASHES = b"-----BEGIN ", b"-----END ", b"-----"
_FIRST_LINE, _LAST_LINE = b"-----BEGIN CERTIFICATE-----\n", b"-----END CERTIFICATE-----\n"


@dataclass(frozen=True, slots=True)
class FoundCertificate:
    """One certificate's DER. ``taken`` says, as a sentence, what was taken where there was a choice; None otherwise."""

    der: bytes
    taken: str | None = None


@dataclass(slots=True)
class _Block:
    label: str
    at: int  # where in the input it begins
    body: bytes


def find_certificate(data: bytes) -> FoundCertificate:
    """Return the certificate in a file or a text: the first of a PEM bundle, which devices and servers keep leaf first.

    It need not be well-formed. Raises Unreadable (``certificate.too-large``) and NotACertificate.
    """
    if len(data) > MAX_INPUT:
        raise Unreadable(
            "certificate.too-large", f"the input has {len(data)} bytes; at most {MAX_INPUT} are read for a certificate"
        )
    plain = _plain(data)
    if plain is not None:
        return FoundCertificate(_checked(plain))
    data = _single_bytes(data)
    if _BEGIN in data:
        return _in_pem(data)
    decoded = _from_base64(data)
    if decoded is not None:
        return _in_decoded(decoded)
    if data[:1] == b"\x30":
        return FoundCertificate(_checked(data))
    raise NotACertificate(_no_certificate(data))


def _from_base64(data: bytes) -> bytes | None:
    """Decode a PEM text that is in base64, as the data of a Kubernetes secret is; once, or twice."""
    for _ in range(2):
        data = _unarmored(data) or b""
        if _BEGIN in data:
            return data
    return None


def _in_decoded(data: bytes) -> FoundCertificate:
    try:
        found = _in_pem(data)
    except NotACertificate as error:
        raise NotACertificate(f"in what the input is the base64 of, {error}") from error
    taken = "the input is the base64 of a PEM file, and was decoded"
    return FoundCertificate(found.der, taken if found.taken is None else f"{taken}; {found.taken}")


def holds_private_key(data: bytes) -> bool:
    """Return whether a file is a private key or has one in it, also in base64, in UTF-16 or in a PKCS #12 store."""
    data = _single_bytes(data)
    if _BEGIN not in data:
        data = _from_base64(data) or _unarmored(data) or data  # also without its first and its last line
    if _KEY_BLOCK.search(data):
        return True
    what = not_a_certificate(data) or ""
    return _PRIVATE_KEY in what or _PKCS12 in what


def _unarmored(text: bytes) -> bytes | None:
    """Return what a text is the base64 of; None where it is not base64 throughout."""
    try:
        return binascii.a2b_base64(text.translate(None, b" \t\r\n"), strict_mode=True)
    except binascii.Error:
        return None


def find_following(data: bytes) -> tuple[bytes, ...]:
    """Return the DER of the certificates after the first one in a PEM bundle: a device's chain.

    They need not be well-formed. Raises Unreadable as ``find_certificate`` does.
    """
    data = _single_bytes(data)
    if _BEGIN not in data:
        data = _from_base64(data) or b""
    certificates = [each for each in _blocks(data) if each.label in _CERTIFICATE_LABELS]
    return tuple([_checked(_body_of(data, each)) for each in certificates[1:]])


def find_request(data: bytes) -> bytes:
    """Return the DER of the certificate signing request in a file, PEM (RFC 7468 section 7) or DER.

    It need not be well-formed. Raises InputError.
    """
    if len(data) > MAX_INPUT:
        raise InputError(f"the input has {len(data)} bytes; at most {MAX_INPUT} are read for a request")
    data = _single_bytes(data)
    if _BEGIN in data:
        return _request_in_pem(data)
    if data[:1] == b"\x30":
        return data
    if not data.strip():
        raise InputError("the input is empty: give a certificate signing request in PEM or DER")
    if data.lstrip().startswith(b"MI"):
        raise InputError(
            "the input is base64 without its PEM lines: put -----BEGIN CERTIFICATE REQUEST----- before it and "
            "-----END CERTIFICATE REQUEST----- after it"
        )
    raise InputError(
        "the input has no -----BEGIN CERTIFICATE REQUEST----- and is not DER: give a certificate signing request"
    )


def _request_in_pem(data: bytes) -> bytes:
    blocks = list(_blocks(data))
    requests = [each for each in blocks if each.label in _REQUEST_LABELS]
    if len(requests) == 1:
        return _body_of(data, requests[0])
    if requests:
        raise InputError(f"the input has {len(requests)} certificate signing requests: give a file for each")
    label = blocks[0].label
    what = "a private key" if label.endswith("PRIVATE KEY") else _OTHERS.get(label, repr(label[:40]))
    raise InputError(
        f"the input holds {what}, not a certificate signing request: give the file that begins with "
        "-----BEGIN CERTIFICATE REQUEST-----"
    )


def _single_bytes(data: bytes) -> bytes:
    """Return a text in UTF-16, which PowerShell writes, as ASCII; everything else as it is."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace").encode("ascii", "replace")
    return data


def _plain(data: bytes) -> bytes | None:
    """Return the DER of a lone block, as AWS IoT gives it: what is base64 throughout holds no other block."""
    if not (data.startswith(_FIRST_LINE) and data.endswith(_LAST_LINE)):
        return None
    body = data[len(_FIRST_LINE) : -len(_LAST_LINE)].replace(b"\n", b"")
    try:
        return binascii.a2b_base64(body, strict_mode=True)
    except binascii.Error:
        return None


def _in_pem(data: bytes) -> FoundCertificate:
    blocks = list(_blocks(data))
    certificates = [each for each in blocks if each.label in _CERTIFICATE_LABELS]
    if not certificates:
        raise NotACertificate(f"at line {_line(data, blocks[0].at)} begins {_instead(blocks[0].label)}")
    first = certificates[0]
    taken = None
    if len(certificates) > 1:
        taken = f"the first of {len(certificates)} certificates, at line {_line(data, first.at)}, is taken"
    elif len(blocks) > 1:
        taken = f"the only certificate of {len(blocks)} PEM blocks, at line {_line(data, first.at)}, is taken"
    return FoundCertificate(_checked(_body_of(data, first)), taken)


def _body_of(data: bytes, block: _Block) -> bytes:
    try:
        return _decoded(block.body)
    except binascii.Error:
        what = r"has \n written out where its lines end" if b"\\n" in block.body else "is not base64"
        raise NotACertificate(f"the PEM block that begins at line {_line(data, block.at)} {what}") from None


def _blocks(data: bytes) -> Iterator[_Block]:
    at = data.find(_BEGIN)
    while at >= 0:
        label_at = at + len(_BEGIN)
        label_end, end, following = data.find(_DASHES, label_at), data.find(_END, label_at), data.find(_BEGIN, label_at)
        label = data[label_at:label_end]
        if not 0 < label_end <= end or not data.startswith(label + _DASHES, end + len(_END)) or 0 <= following < end:
            raise NotACertificate(
                f"the PEM block that begins at line {_line(data, at)} has no end: the file is cut short or damaged"
            )
        yield _Block(label.decode("ascii", "replace"), at, data[label_end + len(_DASHES) : end])
        at = following


def _line(data: bytes, at: int) -> int:
    return data.count(b"\n", 0, at) + 1


def _decoded(body: bytes) -> bytes:
    if b":" in body:  # headers, ended by an empty line (RFC 1421 section 4.4)
        body = body.replace(b"\r\n", b"\n").partition(b"\n\n")[2]
    return binascii.a2b_base64(body.translate(None, b" \t\r\n"), strict_mode=True)


def _checked(certificate: bytes) -> bytes:
    if len(certificate) > MAX_CERTIFICATE:
        raise Unreadable(
            "certificate.too-large",
            f"the certificate has {len(certificate)} bytes; at most {MAX_CERTIFICATE} are read",
        )
    return certificate


def _instead(label: str) -> str:
    """Say what a block is that is not a certificate."""
    if label.endswith("PRIVATE KEY"):
        return _PRIVATE_KEY
    if label in _LABELS:
        return _LABELS[label]
    return f"{quote(label[:40])}, not a certificate: give the block that begins with -----BEGIN CERTIFICATE-----"


def _no_certificate(data: bytes) -> str:
    if not data.strip():
        return "the input is empty: give a certificate in PEM or DER"
    if data.lstrip().startswith(b"MII"):
        return (
            "the input is base64 without its PEM lines: "
            "put -----BEGIN CERTIFICATE----- before it and -----END CERTIFICATE----- after it"
        )
    return "the input has no -----BEGIN CERTIFICATE----- and is not DER: give a certificate in PEM or DER"


# The tags that the outermost SEQUENCE of DER begins with, where it is no certificate; the longer before the shorter.
_SHAPES = (
    ((der.INTEGER, der.SEQUENCE, der.OCTET_STRING), _PRIVATE_KEY),  # PKCS #8, RFC 5208 section 5
    ((der.INTEGER, der.OCTET_STRING), _PRIVATE_KEY),  # SEC 1, RFC 5915 section 3
    ((der.INTEGER,) * 6, _PRIVATE_KEY),  # PKCS #1, RFC 8017 appendix A.1.2; and DSA
    ((der.SEQUENCE, der.OCTET_STRING), _PRIVATE_KEY),  # PKCS #8, encrypted, RFC 5208 section 6
    ((der.SEQUENCE, der.BIT_STRING), _PUBLIC_KEY),  # RFC 5280 section 4.1
    ((der.INTEGER, der.INTEGER), _PUBLIC_KEY),  # PKCS #1, RFC 8017 appendix A.1.1
    ((der.INTEGER, der.SEQUENCE), _PKCS12),  # RFC 7292 section 4
    ((der.OBJECT_IDENTIFIER, der.context(0, constructed=True)), _PKCS7),  # RFC 5652 section 3
)
_SIGNED = (der.SEQUENCE, der.SEQUENCE, der.BIT_STRING)
_REQUEST_FIELDS = (der.INTEGER, der.SEQUENCE, der.SEQUENCE, der.context(0, constructed=True))  # RFC 2986 section 4.1


def not_a_certificate(data: bytes) -> str | None:
    """Say in a sentence what DER is that is not a certificate; None if it may be one, or is nothing known."""
    try:
        parts = der.children(der.only(data, der.SEQUENCE))
        shape = tuple(tag for tag, _ in parts)
        what = next((each for start, each in _SHAPES if shape[: len(start)] == start), None)
        if shape == _SIGNED:
            what = _signed(tuple(tag for tag, _ in der.children(parts[0][1])))
    except der.DerError:
        return _with_more_after(data)
    return None if what is None else f"the input is {what}"


def _with_more_after(data: bytes) -> str | None:
    """Return what follows the one element of DER, left by tools that copy a whole block of memory."""
    try:
        end = der.end_of_first(data)
    except der.DerError:
        return None
    rest = data[end:]
    if data[:1] != bytes((der.SEQUENCE,)) or not rest:
        return None
    what = "that are no part of it"
    if not rest.strip(b"\xff") or not rest.strip(b"\x00"):
        what = f"of padding ({rest[0]:02X})"
    elif not rest.strip():
        what = "of white space"
    return not_a_certificate(data[:end]) or (
        f"after the certificate, which ends at byte {end}, the input has {len(rest)} more, {what}: cut them off "
        f"(`head -c {end} FILE` writes what is before them)"
    )


def _signed(fields: tuple[int, ...]) -> str | None:
    """Tell requests from revocation lists by their fields; certificates look alike outside (RFC 5280 section 5.1)."""
    if fields in (_REQUEST_FIELDS, _REQUEST_FIELDS[:3]):
        return _REQUEST
    after_version = fields[1:] if fields[:1] == (der.INTEGER,) else fields
    if after_version[:2] == (der.SEQUENCE, der.SEQUENCE) and after_version[2:3] in ((0x17,), (0x18,)):
        return _REVOCATION_LIST
    return None
