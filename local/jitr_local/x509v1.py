"""X.509 version 1 certificates, as the classic ``openssl x509 -req`` makes them and no Python library does.

Factories that follow the classic commands ship them, so the demo has some.
"""

from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding

from jitr import der
from jitr_cli.pki import Issuer, PublicKey


def issue_v1(
    ca: Issuer,
    subject: x509.Name,
    public_key: PublicKey,
    *,
    serial_number: int,
    not_before: datetime,
    not_after: datetime,
) -> bytes:
    """A version 1 device certificate, PEM: no extensions, and no version field (RFC 5280 section 4.1.2.1)."""
    version_3 = x509.CertificateBuilder(
        ca.certificate.subject, subject, public_key, serial_number, not_before, not_after
    ).sign(ca.key, hashes.SHA256())
    fields = der.children(der.only(version_3.tbs_certificate_bytes, der.SEQUENCE))
    to_be_signed = der.element(der.SEQUENCE, b"".join(der.element(*each) for each in fields[1:]))
    _, algorithm, _ = der.children(der.only(version_3.public_bytes(serialization.Encoding.DER), der.SEQUENCE))
    signature = der.element(der.BIT_STRING, b"\x00" + _sign(ca, to_be_signed))
    whole = der.element(der.SEQUENCE, to_be_signed + der.element(*algorithm) + signature)
    return x509.load_der_x509_certificate(whole).public_bytes(serialization.Encoding.PEM)


def _sign(ca: Issuer, data: bytes) -> bytes:
    if isinstance(ca.key, ec.EllipticCurvePrivateKey):
        return ca.key.sign(data, ec.ECDSA(hashes.SHA256()))
    return ca.key.sign(data, padding.PKCS1v15(), hashes.SHA256())
