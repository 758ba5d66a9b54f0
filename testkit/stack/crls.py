"""A factory's revocation list, as a CA program makes it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from testkit.stack.plant import Factory


def crl(factory: Factory, entries: dict[Path, x509.ReasonFlags]) -> bytes:
    """The factory's list, as a CA program makes it."""
    now = datetime.now(UTC)
    issuer = x509.load_pem_x509_certificate(factory.ca.read_bytes())
    key = serialization.load_pem_private_key(factory.ca.with_suffix(".key").read_bytes(), None)
    made = x509.CertificateRevocationListBuilder(issuer.subject, now - timedelta(minutes=1), now + timedelta(days=1))
    for file, reason in entries.items():
        serial = x509.load_pem_x509_certificate(file.read_bytes()).serial_number
        entry = x509.RevokedCertificateBuilder(serial, now - timedelta(minutes=1))
        made = made.add_revoked_certificate(entry.add_extension(x509.CRLReason(reason), critical=False).build())
    return made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)  # type: ignore[arg-type]
