"""Manifests as vendors make them, with keys of our own: the structure is theirs, no device is.

``signer()`` makes who signs, ``Lot`` a signer CA of a secure-element vendor and its chips::

    lot = manifests.Lot()
    data = manifests.manifest(lot.element(number) for number in range(3))
"""

import base64
import json
import tarfile
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from io import BytesIO
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from jitr.devicelists.csv.duplicates import Duplicates
from jitr.devicelists.csv.serials import UNDECIDED
from jitr.devicelists.manifests.jws import Signers, read_signer
from jitr.devicelists.manifests.opening import Opener
from jitr.devicelists.manifests.reading import ListReader, Options
from jitr.devicelists.rows import ListRow
from testkit import pki

MADE = "2026-02-01T08:15:30.123Z"


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def signer(name: str = "Lot Signer", **changes: Any) -> pki.Issued:
    """A signer of manifests: a self-signed certificate on P-256."""
    draft = pki.ca_draft(name, kind=changes.pop("kind", "P-256")).identifiers()
    return draft.but(**changes).issue()


SIGNER = signer()


@dataclass(frozen=True)
class Lot:
    """Chips of one vendor's signer CA. Each has a key of its own."""

    maker: pki.CA = field(default_factory=lambda: pki.ca("Chip Signer 1"))

    def unique_id(self, number: int) -> str:
        return f"0123{number:012x}ee"

    def certificate(self, number: int) -> pki.Issued:
        """A chip's certificate, which is called after it."""
        name = f"sn{self.unique_id(number).upper()}"
        return self.maker.usual_device(name).key("P-256", f"chip {number}").serial(0x1000 + number).issue()

    def key(self, number: int) -> dict[str, Any]:
        """The slot that a chip connects with: its key, its certificate, and that of its signer CA."""
        chip = self.certificate(number)
        chain = [base64.b64encode(each).decode() for each in (chip.der, self.maker.der)]
        return {"kid": "0", **jwk(chip.key), "x5c": chain}

    def payload(self, number: int, **changes: Any) -> dict[str, Any]:
        """A manifest's statements about a chip."""
        others = [{"kid": str(slot), **jwk(pki.key("P-256", f"slot {slot}"))} for slot in (1, 2)]
        return {
            "version": 1,
            "model": "ATECC608B",
            "partNumber": "ATECC608B-TNGTLSS-G",
            "manufacturer": {"organizationName": "Chips Inc", "organizationalUnitName": "Secure Products"},
            "provisioner": {"organizationName": "Chips Inc", "organizationalUnitName": "Secure Products"},
            "distributor": {"organizationName": "Parts Ltd", "organizationalUnitName": "Europe"},
            "groupId": "359SCE55NV38H3CB",
            "provisioningTimestamp": MADE,
            "uniqueId": self.unique_id(number),
            "publicKeySet": {"keys": [self.key(number), *others]},
        } | changes

    def element(self, number: int, *, by: pki.Issued = SIGNER, **changes: Any) -> dict[str, Any]:
        """A chip's element, signed."""
        return signed(self.payload(number, **changes), by)

    @cached_property
    def files(self) -> dict[str, bytes]:
        """Three chips' certificates as files, in PEM and in DER."""
        return {
            "boards/a.pem": self.certificate(1).pem,
            "boards/b.der": self.certificate(2).der,
            "c.crt": self.certificate(3).pem + self.maker.pem,
        }


def jwk(private: pki.PrivateKey) -> dict[str, str]:
    """A public key as RFC 7517 writes it."""
    public = private.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        numbers = public.public_numbers()
        return {"kty": "RSA", "n": _number(numbers.n, public.key_size // 8), "e": _number(numbers.e, 3)}
    assert isinstance(public, ec.EllipticCurvePublicKey)
    point, octets = public.public_numbers(), (public.key_size + 7) // 8
    return {
        "kty": "EC",
        "crv": f"P-{public.key_size}",
        "x": _number(point.x, octets),
        "y": _number(point.y, octets),
    }


def _number(value: int, octets: int) -> str:
    return base64url(value.to_bytes(octets))


def header(by: pki.Issued, **changes: Any) -> dict[str, Any]:
    """The protected header of what somebody signs."""
    named = {"kid": base64url(pki.key_identifier(by.key)), "x5t#S256": base64url(bytes.fromhex(by.sha256))}
    return {"typ": "JWT", "alg": "ES256", **named} | changes


def signed(payload: Mapping[str, Any] | str, by: pki.Issued = SIGNER, **changes: Any) -> dict[str, Any]:
    """A payload (JSON as it is, or what becomes JSON) as an element; ``changes`` are of its protected header."""
    text = payload if isinstance(payload, str) else json.dumps(payload)
    kept = {name: value for name, value in header(by, **changes).items() if value is not None}
    protected, body = base64url(json.dumps(kept).encode()), base64url(text.encode())
    assert isinstance(by.key, ec.EllipticCurvePrivateKey)
    r, s = decode_dss_signature(by.key.sign(f"{protected}.{body}".encode(), ec.ECDSA(hashes.SHA256())))
    unprotected = {} if isinstance(payload, str) else {"header": {"uniqueId": payload.get("uniqueId")}}
    octets = (by.key.curve.key_size + 7) // 8
    signature = base64url(r.to_bytes(octets) + s.to_bytes(octets))
    return {"payload": body, "protected": protected, **unprotected, "signature": signature}


def manifest(elements: Iterable[Mapping[str, Any]], *, indent: int | None = None) -> bytes:
    """A manifest of elements."""
    return json.dumps(list(elements), indent=indent).encode()


def lite(lot: Lot, number: int) -> dict[str, Any]:
    """The element of a lite manifest: no keys."""
    payload = lot.payload(number, version=2)
    del payload["publicKeySet"]
    return signed(payload)


def zipped(files: Mapping[str, bytes], *, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A ZIP file."""
    made = BytesIO()
    with zipfile.ZipFile(made, "w", compression) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return made.getvalue()


def tarred(files: Mapping[str, bytes], mode: str = "w", form: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar file."""
    made = BytesIO()
    with tarfile.open(fileobj=made, mode=mode, format=form) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, BytesIO(data))
    return made.getvalue()


def seven_zipped(files: Mapping[str, bytes], password: str | None = None) -> bytes:
    """A 7z archive."""
    import py7zr  # few need it, and it takes a while

    made = BytesIO()
    with py7zr.SevenZipFile(made, "w", password=password) as archive:
        for name, data in files.items():
            archive.writestr(data, name)
    return made.getvalue()


def espressif(devices: Iterable[tuple[str, pki.Issued]]) -> bytes:
    """Espressif's table, of MACs and certificates whose common names are ``module-MAC``."""
    rows = (f'{mac},module-{mac},"{each.pem.decode()}"\r\n' for mac, each in devices)
    return "".join(["MAC,cn,cert\r\n", *rows]).encode()


def nrf_cloud(devices: Iterable[tuple[str, pki.Issued]]) -> bytes:
    """A table for nRF Cloud."""
    rows = (f'{name},tracker,red|blue,APP|MODEM,"{each.pem.decode()}"\n' for name, each in devices)
    return "".join(rows).encode()


def date(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def opened(
    data: bytes | Iterable[bytes], *signers: pki.Issued, name: str = "lot.json", any_date: bool = False, **options: Any
) -> ListReader:
    """What reads a file of devices, with these signers known."""
    known = Signers(read_signer(each.der, any_date=any_date) for each in signers)
    opener = Opener(Options(signers=known, **options), BytesIO)
    pieces = [data] if isinstance(data, bytes) else data
    return opener(pieces, name, Duplicates(), lambda: UNDECIDED)


def rows(data: bytes | Iterable[bytes], *signers: pki.Issued, **options: Any) -> list[ListRow]:
    """The rows of a file that is in order. Raises ListError."""
    reader = opened(data, *signers, **options)
    found = [each.row for each in reader]
    reader.raise_problems()
    return found


def problems(data: bytes | Iterable[bytes], *signers: pki.Issued, **options: Any) -> list[str]:
    """What is wrong with a file, each with its place."""
    reader = opened(data, *signers, **options)
    list(reader)
    return [each.at("lot.json") for each in reader.problems]
