"""A certificate as commands look at it: read by the code that decides, and by no other.

``cryptography`` refuses certificates that AWS IoT takes and that our functions admit; a command that read by it would
say otherwise than they do.
"""

import hashlib
import ssl
from dataclasses import dataclass
from datetime import datetime

from jitr.decision.chain import verify_chain
from jitr.x509 import der
from jitr.x509.certificate import CaReading, CertificateReading, read_ca, read_certificate
from jitr.x509.names import Name, same_name


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate, a CA's or a device's: ``own`` is what stands in it, ``ca`` what it is as a CA."""

    own: CertificateReading
    ca: CaReading

    @property
    def der(self) -> bytes:
        """Its DER."""
        return self.own.der

    @property
    def pem(self) -> bytes:
        """Its PEM, as files have it."""
        return ssl.DER_cert_to_PEM_cert(self.der).encode()

    @property
    def sha256(self) -> str:
        """The SHA-256 of its DER, in hex: AWS IoT's certificateId and caCertificateId."""
        return self.own.facts.certificate_sha256

    @property
    def subject(self) -> Name:
        """Its subject."""
        return self.ca.subject

    @property
    def issuer(self) -> Name:
        """The name of the CA that signed it."""
        return self.own.issuer

    @property
    def serial_number(self) -> str:
        """Its serial number, in hex."""
        return self.own.facts.serial_number

    @property
    def not_before(self) -> datetime:
        """When its validity begins."""
        return self.own.facts.not_before

    @property
    def not_after(self) -> datetime:
        """When its validity ends."""
        return self.own.facts.not_after

    @property
    def is_self_issued(self) -> bool:
        """Whether issuer and subject are one name, as those of a root are (RFC 5280 section 3.2)."""
        return same_name(self.issuer, self.subject)

    @property
    def key_identifier(self) -> bytes:
        """Its subject key identifier; of a CA that has none what RFC 5280 section 4.2.1.2 (1) makes of its key."""
        if self.ca.subject_key_identifier is not None:
            return bytes.fromhex(self.ca.subject_key_identifier)
        return key_identifier(self.ca.public_key_der)

    @property
    def common_name(self) -> str | None:
        """Its first common name, if it has one."""
        return next(iter(self.own.facts.values("common_name")), None)

    def signed_by(self, ca: "Certificate") -> bool:
        """Return whether the CA's key made its signature, whatever the names."""
        return verify_chain(self.own, ca.ca).signature_valid


def read(data: bytes) -> Certificate:
    """Read a certificate, PEM or DER; of a PEM bundle the first. Raises Unreadable."""
    ca = read_ca(data, status="ACTIVE")
    return Certificate(read_certificate(data), ca)


def key_identifier(public_key: bytes) -> bytes:
    """Return the identifier of a SubjectPublicKeyInfo's key (RFC 5280 section 4.2.1.2 (1)): SHA-1 of its bits."""
    _, bits = der.children(der.only(public_key, der.SEQUENCE))
    return hashlib.sha1(der.bit_string(bits[1])[0], usedforsecurity=False).digest()
