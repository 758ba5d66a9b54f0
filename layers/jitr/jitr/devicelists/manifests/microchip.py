"""Manifests of Microchip's secure elements (Trust&GO, TrustFLEX, TrustMANAGER, TrustCUSTOM).

A JSON array of signed elements, one a device. A device is the public key of one of its slots; the certificate that may
stand beside it has to be of that key, and of the signer that stands beside it in turn.
"""

import binascii
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import islice
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from jitr.devicelists.columns import shown
from jitr.devicelists.csv.duplicates import SeenKeys
from jitr.devicelists.manifests.jws import NotVerified, Signer, Signers, check_date, from_base64url
from jitr.devicelists.manifests.reading import (
    Bad,
    Entry,
    ManifestDevice,
    ManifestReader,
    Options,
    ParallelMap,
    WrongManifest,
    file_name,
    one_by_one,
)
from jitr.devicelists.manifests.strict_json import Element, WrongJson, read_elements
from jitr.errors import InputError
from jitr.text import counted
from jitr.times import parse_time
from jitr.values import dataclass
from jitr.x509.certificate import CaReading, CertificateReading, read_ca, read_certificate
from jitr.x509.names import same_name
from jitr.x509.signatures import verifies

AT_ONCE = 100  # elements that are verified together
_FULL, _LITE = (1, 3), 2
_UNIQUE_ID = re.compile(r"[0-9A-Fa-f]{18}")
_MOST_KEYS = 64
# The octets of a coordinate, and what a SubjectPublicKeyInfo (RFC 5480) has before a point with both.
_CURVES: Mapping[str, tuple[int, bytes]] = {
    "P-256": (32, bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004")),
    "P-384": (48, bytes.fromhex("3076301006072a8648ce3d020106052b8104002203620004")),
    "P-521": (66, bytes.fromhex("30819b301006072a8648ce3d020106052b810400230381860004")),
}
_MOST_RSA_BYTES = 1024
_ATTRIBUTES = {
    "unique_id": ("uniqueId",),
    "part_number": ("partNumber",),
    "model": ("model",),
    "group_id": ("groupId",),
    "manufacturer": ("manufacturer", "organizationName"),
    "distributor": ("distributor", "organizationName"),
}
_NO_KEY = "its key is no key of its kind: the numbers do not fit"
NO_SIGNER = (
    "no signer of manifests is known, so nothing in it can be believed: give the certificate that the vendor publishes "
    "beside its manifests (`jitr lists signers add FILE`, or --signer FILE)"
)
_LITE_TOLD = (
    "it is of a lite manifest, which has neither key nor certificate: ask whoever sold the chips for the full one, or "
    "have `jitr lists import` take it --by common-name, which is weaker: any certificate of that name fits"
)


class WrongElement(InputError):
    """An element was signed, and does not say what it should."""


@dataclass(slots=True)
class Signed:
    """A signer's share of a manifest: how many elements, and how many outside its certificate's validity."""

    elements: int = 0
    out_of_date: int = 0


@dataclass(frozen=True, slots=True)
class SignedDevice(ManifestDevice):
    """A device of a signed element: whose signature it is, and what its element adds to what is said of the file."""

    signer: str = ""  # SHA-256 of its certificate
    out_of_date: bool = False
    issuer: bytes | None = None  # DER of the CA that signed the device's certificate
    by_name: bool = False


class Manifest(ManifestReader):
    """A manifest's devices. ``pieces`` are the file's bytes in pieces of any size.

    Elements are verified by ``spread``, some at once.
    """

    def __init__(
        self,
        pieces: Iterable[bytes],
        *,
        source: str,
        duplicates: SeenKeys | None,
        options: Options,
        spread: ParallelMap = one_by_one,
    ) -> None:
        super().__init__(source, duplicates=duplicates, options=options)
        self._pieces = pieces
        self._spread = spread
        self.signed: dict[str, Signed] = {}  # by the signer's SHA-256
        self._believed = options.signers or Signers()
        self._signers = {each.sha256: each for each in self._believed}
        self.issuers: dict[bytes, int] = {}  # DER of the CAs that signed the devices' certificates, and of how many
        self._by_name = 0

    @property
    def signed_by(self) -> tuple[Signer, ...]:
        """The signers of what was read so far."""
        return tuple(self._signers[sha256] for sha256 in self.signed)

    def remarks(self) -> tuple[str, ...]:
        """Say who signed, and what is weaker than it could be."""
        told = []
        for sha256, signed in self.signed.items():
            signer = self._signers[sha256]
            told.append(f"{_elements(signed.elements)} signed by {signer}")
            if signed.out_of_date:
                told.append(
                    f"{_elements(signed.out_of_date)} made when that signer's certificate was not valid (--any-date)"
                )
        if self._by_name:
            told.append(f"{_elements(self._by_name)} taken by common name: any certificate of that name fits")
        return tuple(told)

    def entries(self) -> Iterator[Entry]:
        """Return the elements in the order of the file, those that are not verified as bad ones."""
        if not len(self._believed):
            raise WrongManifest(NO_SIGNER)
        elements = _InChunks(read_elements(self._pieces))
        verify = ElementVerification(self._believed, file_name(self.source), by_common_name=self.options.by_common_name)
        for some in self._spread(verify, elements):
            for each in some:
                if isinstance(each, SignedDevice):
                    self._count(each)
                yield each
        if elements.wrong is not None:
            raise WrongManifest(str(elements.wrong)) from None

    def _count(self, device: SignedDevice) -> None:
        signed = self.signed.setdefault(device.signer, Signed())
        signed.elements += 1
        signed.out_of_date += device.out_of_date
        self._by_name += device.by_name
        if device.issuer is not None:
            self.issuers[device.issuer] = self.issuers.get(device.issuer, 0) + 1


class _InChunks:
    """Elements in tuples, up to the place from where nothing can be read: ``wrong`` says why, once all are taken."""

    def __init__(self, elements: Iterator[Element]) -> None:
        self._elements = elements
        self.wrong: WrongJson | None = None

    def __iter__(self) -> Iterator[tuple[Element, ...]]:
        while True:
            some: list[Element] = []
            try:
                for each in islice(self._elements, AT_ONCE):
                    some.append(each)  # those before a wrong one are kept
            except WrongJson as wrong:
                self.wrong = wrong
            if some:
                yield tuple(some)
            if len(some) < AT_ONCE:
                return


class ElementVerification:
    """Verifies elements and reads the devices in them. It can be pickled, as what it takes and gives can be."""

    def __init__(self, believed: Signers, file: str, *, by_common_name: bool) -> None:
        self._believed = believed
        self._file = file
        self._by_common_name = by_common_name

    def __call__(self, elements: Sequence[Element]) -> list[Entry]:
        """Return the devices of elements, those that are not verified as bad ones."""
        return [self._entry(each) for each in elements]

    def _entry(self, element: Element) -> Entry:
        place = f"element {element.number}"
        try:
            verified = self._believed.verify(element.value)
            place += _which(verified.payload)
            return self._device(element.number, place, verified.payload, verified.signer)
        except (NotVerified, WrongElement) as wrong:
            return Bad(element.number, place, str(wrong))

    def _device(self, number: int, place: str, payload: Mapping[str, Any], signer: Signer) -> SignedDevice:
        at = _made_at(payload)
        check_date(signer, at)
        unique_id = _unique_id(payload)
        version = payload.get("version")
        columns = {
            f"attr.{name}": value for name, path in _ATTRIBUTES.items() if (value := _said(payload, path)) is not None
        }
        columns["note"] = f"{self._file}, signed by {signer}"
        names = {"common_name": f"sn{unique_id.upper()}"}
        issuer = None
        by_name = type(version) is int and version == _LITE
        if type(version) is int and version in _FULL:
            device = _device(payload)
            columns["public_key_sha256"] = device.key_sha256
            issuer = device.issuer
            if device.leaf is not None:
                names |= _names_of(device.leaf)
        elif not by_name:
            raise WrongElement(f"its version is {shown(str(version))}: 1, 2 and 3 are known")
        elif not self._by_common_name:
            raise WrongElement(_LITE_TOLD)
        else:
            columns |= names
        out_of_date = not signer.not_before <= at <= signer.not_after
        return SignedDevice(number, place, columns, names, signer.sha256, out_of_date, issuer, by_name)


def _elements(count: int) -> str:
    return counted(count, "element is", "elements are")


def _which(payload: Mapping[str, Any]) -> str:
    unique_id = payload.get("uniqueId")
    known = isinstance(unique_id, str) and _UNIQUE_ID.fullmatch(unique_id)
    return f" ({unique_id})" if known else ""


def _unique_id(payload: Mapping[str, Any]) -> str:
    unique_id = payload.get("uniqueId")
    if not isinstance(unique_id, str) or _UNIQUE_ID.fullmatch(unique_id) is None:
        raise WrongElement("its uniqueId is not 18 hex digits")
    return unique_id


def _made_at(payload: Mapping[str, Any]) -> datetime:
    told = payload.get("provisioningTimestamp")
    try:
        if isinstance(told, str) and len(told) <= 40:
            return parse_time(told)
    except ValueError:
        pass
    raise WrongElement(
        "its provisioningTimestamp is not a time: without it nobody can say whether its signer was valid"
    )


def _said(payload: Mapping[str, Any], path: Sequence[str]) -> str | None:
    """Return the text at a path, None where there is none."""
    value: Any = payload
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, str) and value.strip() else None


# --- the device's key


@dataclass(frozen=True, slots=True)
class _Device:
    """The key that a device has, and the certificate that came with it, if one did, with that of its CA."""

    key_sha256: str
    leaf: CertificateReading | None = None
    issuer: bytes | None = None


def _device(payload: Mapping[str, Any]) -> _Device:
    """Return the device of an element, all certificates of which are looked at. Raises WrongElement."""
    key_set = payload.get("publicKeySet")
    keys = key_set.get("keys") if isinstance(key_set, dict) else None
    if (
        not isinstance(keys, list)
        or not 0 < len(keys) <= _MOST_KEYS
        or not all(isinstance(each, dict) for each in keys)
    ):
        raise WrongElement("it has no publicKeySet with keys, as a full manifest has")
    chosen = _slot(keys)
    device = None
    for key in keys:
        if "x5c" in key or key is chosen:
            try:
                read = _read(key)
            except InputError as error:
                raise WrongElement(f"slot {shown(str(key.get('kid')))}: {error}") from None
            device = read if key is chosen else device
    if device is None:
        raise AssertionError("the chosen slot is one of those that are read")
    return device


def _slot(keys: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the key that the device connects with: the one with a certificate; of several, or of none, slot 0."""
    certified = [each for each in keys if "x5c" in each]
    if len(certified) == 1:
        return certified[0]
    zero = [each for each in (certified or keys) if each.get("kid") == "0"]
    if len(zero) == 1:
        return zero[0]
    if len(keys) == 1:
        return keys[0]
    raise WrongElement(
        "which of its slots the device connects with cannot be told: neither one certificate nor one slot 0"
    )


def _read(key: Mapping[str, Any]) -> _Device:
    public_key = _public_key(key)
    sha256 = hashlib.sha256(public_key).hexdigest()
    if "x5c" not in key:
        _check_key(public_key)  # a certificate's key is its CA's to check
        return _Device(sha256)
    chain = key["x5c"]
    if not isinstance(chain, list) or not 0 < len(chain) <= 8 or not all(isinstance(each, str) for each in chain):
        raise WrongElement("its x5c is no chain of certificates")
    leaf = read_certificate(_der(chain[0]))
    if leaf.facts.public_key_sha256 != sha256:
        raise WrongElement("its certificate (x5c) is of another key than its own")
    if len(chain) == 1:
        return _Device(sha256, leaf)
    ca = _ca(chain[1])
    if leaf.issuer != ca.subject and not same_name(leaf.issuer, ca.subject):
        raise WrongElement("its certificate names another issuer than the next one in its x5c")
    if not verifies(ca.key, leaf.scheme, leaf.signature, leaf.signed):
        raise WrongElement("its certificate is not signed by the next one in its x5c")
    return _Device(sha256, leaf, ca.der)


@lru_cache(maxsize=64)  # a lot's certificates are of a few signers
def _ca(text: str) -> CaReading:
    return read_ca(_der(text), status="ACTIVE")


def _der(text: str) -> bytes:
    """Return what stands in x5c, which is base64 and not base64url (RFC 7515 section 4.1.6)."""
    try:
        der = binascii.a2b_base64(text.encode("ascii"), strict_mode=True)
    except (binascii.Error, UnicodeEncodeError):
        raise WrongElement("its certificate (x5c) is not base64") from None
    if not der.startswith(b"\x30"):
        raise WrongElement("its certificate (x5c) is no DER")
    return der


def _public_key(key: Mapping[str, Any]) -> bytes:
    """Return the SubjectPublicKeyInfo of a JWK (RFC 7518 section 6), in its usual form. Raises InputError."""
    kind, curve_name = key.get("kty"), key.get("crv")
    if kind == "RSA":
        return _rsa_key(int.from_bytes(_octets(key, "e")), int.from_bytes(_octets(key, "n")))
    if kind == "EC" and isinstance(curve_name, str) and curve_name in _CURVES:
        size, start = _CURVES[curve_name]
        return start + _octets(key, "x", size) + _octets(key, "y", size)
    raise WrongElement(f"its key is of a kind that is not known: {shown(str(kind))} {shown(str(curve_name))}")


def _rsa_key(e: int, n: int) -> bytes:
    try:
        key = rsa.RSAPublicNumbers(e, n).public_key()
    except ValueError:
        raise WrongElement(_NO_KEY) from None
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _check_key(public_key: bytes) -> None:
    """Raise WrongElement for numbers that are no key, such as a point off its curve."""
    try:
        load_der_public_key(public_key)
    except ValueError:
        raise WrongElement(_NO_KEY) from None


def _octets(key: Mapping[str, Any], name: str, size: int | None = None) -> bytes:
    text = key.get(name)
    if not isinstance(text, str):
        raise WrongElement(f"its key has no {name}")
    data = from_base64url(text, name)
    if (size is not None and len(data) != size) or len(data) > _MOST_RSA_BYTES:
        raise WrongElement(f"its key's {name} has {len(data)} octets")
    return data


def _names_of(leaf: CertificateReading) -> dict[str, str]:
    """Return the certificate's common name, where it has exactly one."""
    names = leaf.facts.values("common_name")
    return {"common_name": names[0]} if len(names) == 1 else {}
