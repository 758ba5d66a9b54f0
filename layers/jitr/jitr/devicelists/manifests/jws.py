"""Signed elements: a JWS in flattened serialization (RFC 7515 section 7.2.2), by ES256, of signers that are named.

Nothing in an element chooses who is believed: a signer is one of those that the operator gave, by the SHA-256 of its
certificate.
"""

import binascii
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from jitr.devicelists.columns import shown
from jitr.devicelists.manifests.strict_json import WrongJson, read_json
from jitr.errors import InputError
from jitr.times import rfc3339
from jitr.unseen import written_out
from jitr.values import dataclass
from jitr.x509.certificate import CaReading, read_ca

_ES256 = ECDSA(SHA256())
_COORDINATE = 32  # octets of r and of s (RFC 7518 section 3.4)
_TO_BASE64 = bytes.maketrans(b"-_+/=", b"+/???")  # what is base64 and not base64url becomes what is neither
_NAME_SHOWN = 64  # characters

# The signers that Microchip publishes beside its manifests, by the key identifiers and the days that they have. A
# certificate that calls itself one of them and has others is somebody else's.
_MICROCHIP = {
    "Log Signer 001": ("7cCILlAOwYo1-PChGuoyUISMK3g", "2019-01-22", "2019-07-22"),
    "Log Signer 002": ("8VeKGdyU2d8wev6_VzNJOBOv-cA", "2019-08-15", "2020-08-15"),
    "Log Signer 003": ("hfCsqVY-uQNUJNKS-LKD_ckY-1E", "2020-08-13", "2023-08-13"),
    "Log Signer 004": ("jxEbV1PcZImZWGvyAjDr3RaxyuU", "2023-07-18", "2026-07-18"),
    "Manifest Signer 005": ("TCnpnzYB8M3CO776ByPJ2yX3KYo", "2024-03-07", "9999-12-31"),
}
_CALLED = re.compile("|".join(_MICROCHIP))


class NotVerified(InputError):
    """An element is not what one of the signers signed; the message says why."""


@dataclass(frozen=True, slots=True)
class Signer:
    """A signer of manifests: a certificate that the operator trusts by its SHA-256.

    ``any_date`` has it count whenever an element was made, as for prototypes, whose signers' dates do not fit.
    """

    der: bytes
    sha256: str
    name: str
    key_id: str | None  # base64url of its subjectKeyIdentifier; None where it has none
    not_before: datetime
    not_after: datetime
    key: EllipticCurvePublicKey
    any_date: bool = False

    @property
    def thumbprint(self) -> str:
        """Its SHA-256 as ``x5t#S256`` has it."""
        return to_base64url(bytes.fromhex(self.sha256))

    def __str__(self) -> str:
        return f"{self.name} (sha256 {self.sha256[:16]})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle it as its certificate: keys cannot be pickled."""
        return _read_again, (self.der, self.any_date)


def _read_again(der: bytes, any_date: bool) -> Signer:
    return read_signer(der, any_date=any_date)


def read_signer(data: bytes, *, any_date: bool = False) -> Signer:
    """Return the signer whose certificate this is, PEM or DER. Raises InputError."""
    reading = read_ca(data, status="ACTIVE")
    if not isinstance(reading.key, EllipticCurvePublicKey) or reading.key_facts.curve != "P-256":
        raise InputError("manifests are signed by keys on P-256 (ES256), and this certificate has another kind of key")
    key_id = reading.subject_key_identifier
    signer = Signer(
        der=reading.der,
        sha256=reading.certificate_sha256,
        name=_name_of(reading),
        key_id=None if key_id is None else to_base64url(bytes.fromhex(key_id)),
        not_before=reading.facts.not_before,
        not_after=reading.facts.not_after,
        key=reading.key,
        any_date=any_date,
    )
    _check_claim(signer)
    return signer


def _name_of(reading: CaReading) -> str:
    names = {each.name: each.value for each in reversed(reading.facts.subject)}
    name = names.get("common_name") or names.get("organization") or "a signer without a name"
    return written_out(name[:_NAME_SHOWN])


def _check_claim(signer: Signer) -> None:
    called = _CALLED.search(signer.name)
    if called is None:
        return
    key_id, first, last = _MICROCHIP[called[0]]
    days = (f"{signer.not_before:%Y-%m-%d}", f"{signer.not_after:%Y-%m-%d}")
    if signer.key_id != key_id or days != (first, last):
        raise InputError(
            f"it calls itself {called[0]}, but Microchip's has the key identifier {key_id} and is valid from {first} "
            f"to {last}; this one has {signer.key_id or 'none'} and is valid from {days[0]} to {days[1]}: it is "
            "another's. Take the file that is published beside the manifests"
        )


@dataclass(frozen=True, slots=True)
class Verified:
    """A signed payload and its signer."""

    payload: dict[str, Any]
    signer: Signer


class Signers:
    """The signers that are believed."""

    def __init__(self, signers: Iterable[Signer] = ()) -> None:
        self._all = tuple(signers)
        self._by_thumbprint = {each.thumbprint: each for each in self._all}
        self._of = lru_cache(maxsize=64)(self._signer_of)  # a manifest's elements nearly all have one header

    def __reduce__(self) -> tuple[Any, ...]:
        return Signers, (self._all,)

    def __iter__(self) -> Iterator[Signer]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def verify(self, element: Mapping[str, Any]) -> Verified:
        """Return what an element says, which one of these signers signed. Raises NotVerified."""
        protected, payload, signature = (_text(element, name) for name in ("protected", "payload", "signature"))
        if "signatures" in element:
            raise NotVerified("it has several signatures: one in flattened serialization is read (RFC 7515, 7.2.2)")
        try:
            signer = self._of(protected)
            octets = from_base64url(signature, "signature")
            _check_signature(signer, f"{protected}.{payload}".encode("ascii"), octets)
            said = read_json(_decoded(payload, "payload"))
        except UnicodeEncodeError:
            raise NotVerified("its payload is not base64url") from None
        except WrongJson as wrong:
            raise NotVerified(f"its payload cannot be read: {wrong}") from None
        if not isinstance(said, dict):
            raise NotVerified("its payload is no JSON object")
        _check_header(element.get("header"), said)
        return Verified(said, signer)

    def _signer_of(self, protected: str) -> Signer:
        """Return the signer that a protected header names. Raises NotVerified."""
        try:
            header = read_json(_decoded(protected, "protected header"))
        except WrongJson as wrong:
            raise NotVerified(f"its protected header cannot be read: {wrong}") from None
        if not isinstance(header, dict):
            raise NotVerified("its protected header is no JSON object")
        if header.get("alg") != "ES256":
            raise NotVerified(f"it is signed by {shown(str(header.get('alg')))}: only ES256 is taken")
        if "crit" in header or "b64" in header:  # RFC 7515 section 4.1.11, RFC 7797
            raise NotVerified("its protected header asks for an extension (crit) that is not known here")
        thumbprint, key_id = header.get("x5t#S256"), header.get("kid")
        found = [
            each
            for each in self._all
            if (thumbprint is None or thumbprint == each.thumbprint) and (key_id is None or key_id == each.key_id)
        ]
        if (thumbprint is None and key_id is None) or not found:
            raise NotVerified(self._unknown(thumbprint, key_id))
        return found[0]

    def _unknown(self, thumbprint: object, key_id: object) -> str:
        if not isinstance(thumbprint, str):
            return f"its signer (kid {shown(str(key_id))}) is none of the {len(self._all)} that are known"
        if thumbprint in self._by_thumbprint:
            return f"its kid {shown(str(key_id))} is not that of the signer that its x5t#S256 names"
        try:
            sha256 = from_base64url(thumbprint, "x5t#S256").hex()
        except NotVerified:
            return "its x5t#S256 is not base64url"
        return f"its signer (sha256 {shown(sha256[:64])}) is none of the {len(self._all)} that are known"


def check_date(signer: Signer, at: datetime) -> None:
    """Raise NotVerified where a signer's certificate was not valid when something is said to have been made."""
    if not signer.any_date and not signer.not_before <= at <= signer.not_after:
        raise NotVerified(
            f"it was made at {rfc3339(at)}, and its signer {signer} is valid from {rfc3339(signer.not_before)} to "
            f"{rfc3339(signer.not_after)}; where that is known to be so, as of prototypes, add the signer "
            "with --any-date"
        )


def _check_signature(signer: Signer, signed: bytes, signature: bytes) -> None:
    if len(signature) != 2 * _COORDINATE:
        raise NotVerified(f"its signature has {len(signature)} octets: that of ES256 has {2 * _COORDINATE}")
    r, s = int.from_bytes(signature[:_COORDINATE]), int.from_bytes(signature[_COORDINATE:])
    try:
        signer.key.verify(encode_dss_signature(r, s), signed, _ES256)
    except InvalidSignature:
        raise NotVerified(f"the key of its signer {signer} does not verify its signature") from None


def _check_header(header: object, payload: Mapping[str, Any]) -> None:
    """Raise NotVerified where the header that nobody signed says something else than the payload."""
    if header is None:
        return
    if not isinstance(header, dict):
        raise NotVerified("its header is no JSON object")
    for name, value in header.items():
        if name in payload and payload[name] != value:
            raise NotVerified(f"its header, which is not signed, has another {shown(name)} than its payload")


def _text(element: Mapping[str, Any], name: str) -> str:
    value = element.get(name)
    if not isinstance(value, str):
        raise NotVerified(f"it has no {name}: each element is a JWS in flattened serialization (RFC 7515, 7.2.2)")
    return value


def _decoded(text: str, what: str) -> str:
    try:
        return from_base64url(text, what).decode()
    except UnicodeDecodeError:
        raise NotVerified(f"its {what} is not UTF-8") from None


def from_base64url(text: str, what: str) -> bytes:
    """Return the octets of base64url without padding (RFC 7515 section 2). Raises NotVerified."""
    try:
        octets = text.encode("ascii").translate(_TO_BASE64)
        return binascii.a2b_base64(octets + b"=" * (-len(octets) % 4), strict_mode=True)
    except (binascii.Error, UnicodeEncodeError):
        raise NotVerified(f"its {what} is not base64url") from None


def to_base64url(data: bytes) -> str:
    """Return octets as base64url without padding."""
    return binascii.b2a_base64(data, newline=False).decode().rstrip("=").replace("+", "-").replace("/", "_")
