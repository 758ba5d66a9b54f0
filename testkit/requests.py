"""Certificate signing requests for tests, every part of which can be made wrong (RFC 2986 section 4)."""

import base64
from collections.abc import Mapping

from testkit import pki
from testkit.pki import (
    PrivateKey,
    bit_string,
    distinguished_name,
    integer,
    oid,
    sequence,
    sign,
    signature_algorithm,
    tlv,
)


def request(
    subject: bytes | None = None,
    *,
    version: bytes | None = None,
    attributes: bytes | None = b"",
    public_key: bytes | None = None,
    algorithm: bytes | None = None,
    signer: PrivateKey | None = None,
) -> bytes:
    """A request by a key of its own, DER. ``attributes`` is what stands in their SET; None leaves the SET out."""
    own = pki.key("P-256", "asks")
    signed = sequence(
        version or integer(0),
        subject or distinguished_name(("O", "OKIDA"), ("CN", "snr-0001")),
        public_key or pki.public_key(own),
        b"" if attributes is None else tlv(0xA0, attributes),
    )
    by = signer or own
    named = algorithm or signature_algorithm(by, "sha256", pss=False)
    return sequence(signed, named, bit_string(sign(by, signed, "sha256", pss=False)))


def pem(data: bytes, label: str = "CERTIFICATE REQUEST") -> bytes:
    """The PEM of a request's DER."""
    return f"-----BEGIN {label}-----\n".encode() + base64.encodebytes(data) + f"-----END {label}-----\n".encode()


CRITICAL_FALSE = sequence(pki.Extension("basicConstraints", b"\x30\x00", critical=None).der)
EXTENSION_REQUEST = "1.2.840.113549.1.9.14"
OS_VERSION = "1.3.6.1.4.1.311.13.2.3"


def attribute(kind: str, *values: bytes) -> bytes:
    """An attribute of a request with its values."""
    return sequence(oid(kind), tlv(0x31, *values))


# What openssl verifies, in the words of those who met it.
READABLE: Mapping[str, bytes] = {
    "as usual": request(),
    "! in PrintableString, as Windows": request(distinguished_name(("CN", "snr-1!", "PrintableString"))),
    "underscore in PrintableString": request(distinguished_name(("CN", "snr_1", "PrintableString"))),
    "TeletexString": request(distinguished_name(("CN", "Büro", "TeletexString"))),
    "critical FALSE, as certmonger": request(attributes=attribute(EXTENSION_REQUEST, CRITICAL_FALSE)),
    "an attribute of two values": request(
        attributes=attribute(OS_VERSION, pki.string("10.0", "IA5String"), pki.string("x", "IA5String"))
    ),
    "an attribute without a value": request(attributes=attribute(OS_VERSION)),
    "no attributes": request(attributes=None),
    "ECDSA with NULL": request(algorithm=sequence(oid("1.2.840.10045.4.3.2"), pki.NULL)),
    "no subject": request(distinguished_name()),
}
