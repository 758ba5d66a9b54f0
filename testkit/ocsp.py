"""Answers of OCSP responders for tests, every field of which can be made wrong; see ``testkit.pki`` for why by hand."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from jitr.x509 import der
from testkit import pki
from testkit.pki import NOW, oid, sequence, tlv

OIDS = {"nonce": "1.3.6.1.5.5.7.48.1.2", "basic": "1.3.6.1.5.5.7.48.1.1", "noCheck": "1.3.6.1.5.5.7.48.1.5"}
OCSP_SIGNING = "1.3.6.1.5.5.7.3.9"

GOOD, UNKNOWN = tlv(0x80), tlv(0x82)
REVOKED_AT = NOW - timedelta(days=3)


def time(moment: datetime) -> bytes:
    """A GeneralizedTime, which is what OCSP has throughout."""
    return tlv(0x18, moment.strftime("%Y%m%d%H%M%SZ").encode())


def revoked(reason: int | None = None, at: datetime = REVOKED_AT) -> bytes:
    """RevokedInfo."""
    return tlv(0xA1, time(at), b"" if reason is None else tlv(0xA0, tlv(0x0A, bytes([reason]))))


def refusal(status: int) -> bytes:
    """An answer that is none: 3 is tryLater, 6 unauthorized."""
    return sequence(tlv(0x0A, bytes([status])))


def asked(request: bytes) -> tuple[bytes, bytes | None]:
    """The CertID in a question, and its nonce's extension value."""
    parts = der.children(der.only(der.only(request, der.SEQUENCE), der.SEQUENCE))
    listed = der.children(parts[0][1])[0][1]
    nonce = None
    if len(parts) > 1:
        extension = der.children(der.only(der.only(parts[1][1], der.SEQUENCE), der.SEQUENCE))
        nonce = extension[1][1]
    return der.element(*der.children(listed)[0]), nonce


@dataclass(frozen=True)
class ResponseDraft:
    """An answer that is not signed yet."""

    ca: pki.CA
    certificate: bytes = b""  # CertID as it was asked
    status: bytes = GOOD
    nonce: bytes | None = None  # the extension's value
    this_update: datetime = NOW
    next_update: datetime | None = NOW + timedelta(hours=1)
    produced_at: datetime = NOW
    by_key: bool = False  # how the responder is named
    responder: pki.Issued | pki.CA | None = None  # whose name and key it has; the CA's without
    signer: pki.PrivateKey | None = None
    certificates: tuple[bytes, ...] = ()
    answers: tuple[bytes, ...] | None = None  # SingleResponses in place of the one
    extensions: tuple[bytes, ...] = ()
    single_extensions: tuple[bytes, ...] = ()
    hash_name: str = "sha256"
    kind: str = OIDS["basic"]

    def but(self, **changes: Any) -> "ResponseDraft":
        """With fields changed."""
        return replace(self, **changes)

    def single(self) -> bytes:
        """The SingleResponse."""
        return sequence(
            self.certificate,
            self.status,
            time(self.this_update),
            b"" if self.next_update is None else tlv(0xA0, time(self.next_update)),
            tlv(0xA1, sequence(*self.single_extensions)) if self.single_extensions else b"",
        )

    def issue(self) -> bytes:
        """Sign it; the DER of the whole response."""
        whose = self.responder or self.ca
        key = whose.key
        signer = self.signer or key
        name = whose.subject_name if isinstance(whose, pki.CA) else subject_of(whose)
        named = tlv(0xA2, tlv(0x04, pki.key_identifier(key))) if self.by_key else tlv(0xA1, name)
        extensions = self.extensions
        if self.nonce is not None:
            extensions = (pki.Extension(OIDS["nonce"], self.nonce).der, *extensions)
        signed = sequence(
            named,
            time(self.produced_at),
            sequence(*((self.single(),) if self.answers is None else self.answers)),
            tlv(0xA1, sequence(*extensions)) if extensions else b"",
        )
        basic = sequence(
            signed,
            pki.signature_algorithm(signer, self.hash_name, pss=False),
            pki.bit_string(pki.sign(signer, signed, self.hash_name, pss=False)),
            tlv(0xA0, sequence(*self.certificates)) if self.certificates else b"",
        )
        return sequence(tlv(0x0A, b"\x00"), tlv(0xA0, sequence(oid(self.kind), tlv(0x04, basic))))


def subject_of(issued: pki.Issued) -> bytes:
    """The subject's DER in a certificate."""
    fields = der.children(der.children(der.only(issued.der, der.SEQUENCE))[0][1])
    return der.element(*fields[5])


def delegate(ca: pki.CA, name: str = "responder", **changes: Any) -> pki.Issued:
    """A certificate that a CA issued for answering, but for the changes."""
    draft = ca.device(name).extended_key_usage(OCSP_SIGNING).key("P-256", name)
    return draft.but(**changes).issue()


def responder(ca: pki.CA, **changes: Any) -> Callable[[bytes], bytes]:
    """A responder that says the same of every certificate, with the nonce of each question, but for the changes."""

    def answer(request: bytes) -> bytes:
        certificate, nonce = asked(request)
        return ResponseDraft(ca, certificate, nonce=nonce).but(**changes).issue()

    return answer
