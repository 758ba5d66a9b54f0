"""The same certificate with the other form of its ECDSA signature, as anybody who holds it can make it."""

from jitr.x509 import der
from jitr.x509.certificate import read_ca, read_certificate
from jitr.x509.signatures import other_form
from testkit import pki


def twin_of(device: pki.Issued, ca: pki.CA) -> pki.Issued:
    """Return the certificate with n - s for the s of its CA's signature, which has another SHA-256."""
    reading, issuer = read_certificate(device.pem), read_ca(ca.pem, status="ACTIVE")
    other = other_form(issuer.key, reading.signature)
    assert other is not None
    return with_signature(device, other)


def with_signature(device: pki.Issued, signature: bytes) -> pki.Issued:
    """Return the certificate with another signature."""
    signed, algorithm, _ = der.children(der.only(device.der, der.SEQUENCE))
    parts = (der.element(*signed), der.element(*algorithm), der.element(der.BIT_STRING, b"\x00" + signature))
    return pki.Issued(der.element(der.SEQUENCE, b"".join(parts)), device.key)
