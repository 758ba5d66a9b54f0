"""Revocation lists for tests, every field of which can be made wrong; see ``testkit.pki`` for why by hand."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from testkit import pki
from testkit.pki import NOW, oid, sequence, tlv

OIDS = {
    "cRLNumber": "2.5.29.20",
    "reasonCode": "2.5.29.21",
    "holdInstructionCode": "2.5.29.23",
    "invalidityDate": "2.5.29.24",
    "deltaCRLIndicator": "2.5.29.27",
    "issuingDistributionPoint": "2.5.29.28",
    "certificateIssuer": "2.5.29.29",
    "freshestCRL": "2.5.29.46",
}
CODES = {
    "unspecified": 0,
    "keyCompromise": 1,
    "cACompromise": 2,
    "affiliationChanged": 3,
    "superseded": 4,
    "cessationOfOperation": 5,
    "certificateHold": 6,
    "removeFromCRL": 8,
    "privilegeWithdrawn": 9,
    "aACompromise": 10,
}
REVOKED_AT = NOW - timedelta(days=3)


def extension(name: str, value: bytes, *, critical: bool = False) -> bytes:
    """One extension, of the list or of an entry."""
    return pki.Extension(OIDS.get(name, name), value, critical).der


def entry(serial: int, reason: str | None = None, *extensions: bytes, at: datetime = REVOKED_AT) -> bytes:
    """One entry."""
    if reason is not None:
        extensions = (extension("reasonCode", tlv(0x0A, bytes([CODES[reason]]))), *extensions)
    return sequence(pki.integer(serial), pki._time(at), *([sequence(*extensions)] if extensions else []))


@dataclass(frozen=True)
class CrlDraft:
    """A list that is not signed yet."""

    ca: pki.CA
    entries: tuple[bytes, ...] = ()
    this_update: datetime = NOW - timedelta(hours=1)
    next_update: datetime | None = NOW + timedelta(days=7)
    number: int | None = 1
    extensions: tuple[bytes, ...] = ()
    version: bytes | None = b"\x01"
    issuer_name: bytes | None = None
    signer: pki.PrivateKey | None = None
    hash_name: str = "sha256"
    inner_algorithm: bytes | None = None

    def but(self, **changes: Any) -> "CrlDraft":
        """With fields changed."""
        return replace(self, **changes)

    def issue(self) -> bytes:
        """Sign it; the DER."""
        signer = self.signer or self.ca.key
        algorithm = pki.signature_algorithm(signer, self.hash_name, pss=False)
        found = self.extensions
        if self.number is not None:
            found = (extension("cRLNumber", pki.integer(self.number)), *found)
        signed = sequence(
            b"" if self.version is None else tlv(0x02, self.version),
            self.inner_algorithm or algorithm,
            self.issuer_name or self.ca.subject_name,
            pki._time(self.this_update),
            b"" if self.next_update is None else pki._time(self.next_update),
            sequence(*self.entries) if self.entries else b"",
            tlv(0xA0, sequence(*found)) if found else b"",
        )
        return sequence(signed, algorithm, pki.bit_string(pki.sign(signer, signed, self.hash_name, pss=False)))


def crl(ca: pki.CA, entries: Iterable[bytes] = (), **changes: Any) -> bytes:
    """A good list with these entries, but for the changes."""
    return CrlDraft(ca, tuple(entries), **changes).issue()


def delta(ca: pki.CA, entries: Iterable[bytes] = (), *, since: int = 1, number: int = 2, **changes: Any) -> bytes:
    """What changed since the list of a number."""
    indicator = extension("deltaCRLIndicator", pki.integer(since), critical=True)
    extensions = (indicator, *changes.pop("extensions", ()))
    return CrlDraft(ca, tuple(entries), number=number, extensions=extensions, **changes).issue()


def uri(address: str) -> bytes:
    """A distribution point's full name."""
    return tlv(0xA0, tlv(0xA0, tlv(0x86, address.encode())))


def partition(address: str) -> bytes:
    """The extension of a list that is for one distribution point."""
    return extension("issuingDistributionPoint", sequence(uri(address)), critical=True)


def naming(draft: pki.CertificateDraft, address: str) -> pki.CertificateDraft:
    """A device whose certificate names its distribution point."""
    return draft.extension("2.5.29.31", sequence(sequence(uri(address))))


def pem(data: bytes) -> bytes:
    """As ``openssl crl`` writes it."""
    import base64

    return b"-----BEGIN X509 CRL-----\n" + base64.encodebytes(data) + b"-----END X509 CRL-----\n"


__all__ = [
    "CODES",
    "REVOKED_AT",
    "CrlDraft",
    "crl",
    "delta",
    "entry",
    "extension",
    "naming",
    "oid",
    "partition",
    "pem",
    "uri",
]
