"""Reading a certificate revocation list (RFC 5280 section 5): from hostile bytes to an index by serial number.

A list is used only if it is complete for its CA's devices. Indirect ones, and those with a critical extension that is
unknown here are refused whole: the section forbids to use what is not understood, and half a list would let in who
stands on the other half. One that names its distribution point, as step-ca writes each and CAs write their partitions,
speaks for the devices that this is the point of, and against all that are on it.

A delta list says what changed since a complete one, its base (section 5.2.4). It is used with that base or a later one
of the same CA and scope, and with no other list.

They are read here and not by ``cryptography``, whose look-up goes through all entries each time and whose reader leaves
entry extensions for whoever asks; the tests hold one reader against the other.
"""

import base64
import binascii
import re
from dataclasses import field, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from jitr.errors import Unreadable, UnusableCrl
from jitr.facts import CertificateFacts
from jitr.values import dataclass
from jitr.x509 import der
from jitr.x509.certificate import CaReading
from jitr.x509.extensions import crl_addresses, distribution_point_uris, split_extensions
from jitr.x509.names import Name, quoted, read_name, rfc4514, same_name
from jitr.x509.pem import not_a_certificate
from jitr.x509.signatures import Scheme, read_scheme, verifies

# Some 400,000 entries. The function that reads it has 512 MB, and a list takes three times its size there at most.
MAX_CRL = 16 * 1024 * 1024  # octets of a list's DER
MAX_INPUT = 2 * MAX_CRL  # octets of a file: PEM is a third larger

_PEM = re.compile(rb"-----BEGIN X509 CRL-----([^-]*)-----END X509 CRL-----")  # RFC 7468 section 6
_EXTENSIONS = der.context(0, constructed=True)

_CRL_NUMBER = "2.5.29.20"
_DELTA_CRL = "2.5.29.27"
_ISSUING_DISTRIBUTION_POINT = "2.5.29.28"
_AUTHORITY_KEY_IDENTIFIER = "2.5.29.35"
_FRESHEST_CRL = "2.5.29.46"  # never critical (RFC 5280 section 5.2.6)
_REASON = "2.5.29.21"
_CERTIFICATE_ISSUER = "2.5.29.29"
_KNOWN = frozenset({_CRL_NUMBER, _DELTA_CRL, _ISSUING_DISTRIBUTION_POINT, _AUTHORITY_KEY_IDENTIFIER})
# Those of an entry that may be critical: invalidityDate and holdInstructionCode change nothing about its meaning.
_KNOWN_IN_ENTRIES = frozenset({_REASON, "2.5.29.24", "2.5.29.23"})

# RFC 5280 section 5.3.1; 7 is not used.
REASONS = {
    0: "unspecified",
    1: "keyCompromise",
    2: "cACompromise",
    3: "affiliationChanged",
    4: "superseded",
    5: "cessationOfOperation",
    6: "certificateHold",
    8: "removeFromCRL",
    9: "privilegeWithdrawn",
    10: "aACompromise",
}
_HOLD, _REMOVED = 6, 8

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class RevokedEntry:
    """A list's entry for one certificate: when it was revoked or put on hold, and the CA's reason."""

    revoked_at: datetime
    reason: str

    @property
    def on_hold(self) -> bool:
        """Whether the CA may still lift it (RFC 5280 section 5.3.1, certificateHold)."""
        return self.reason == REASONS[_HOLD]


@dataclass(frozen=True, slots=True)
class CrlReading:
    """A revocation list, not yet verified; ``look_up`` costs the same for ten entries and for a million."""

    issuer: Name
    signed: bytes  # as an element: what the signature is over
    signature: bytes
    scheme: Scheme
    this_update: datetime
    next_update: datetime
    number: int | None
    points: tuple[str, ...] | None  # the URIs of its distribution point; None: it is for all devices of the CA
    scope: bytes | None  # issuingDistributionPoint as it stands there
    base_number: int | None  # of a delta list: the number of the complete one that it follows; None: it is complete
    freshest: tuple[str, ...]  # where the CA says that a delta list is
    delta: "CrlReading | None"  # what brings it up to date
    # By serial number: seconds since 1970, and the reason in the lowest four bits. A tenth of the memory of objects.
    _entries: dict[int, int] = field(repr=False)
    _changes: dict[int, int] | None = field(default=None, repr=False)  # the delta list's entries, where it applies

    def __len__(self) -> int:
        """Return how many certificates are on it."""
        return len(self._entries)

    def look_up(self, serial_number: int) -> RevokedEntry | None:
        """Return the entry of a certificate; None for one that is not on the list, or was removed from it."""
        packed = self._entries.get(serial_number)
        if self._changes:
            packed = _later(packed, self._changes.get(serial_number))
        if packed is None or packed & 15 == _REMOVED:
            return None
        return RevokedEntry(_EPOCH + timedelta(seconds=packed >> 4), REASONS[packed & 15])

    def with_delta(self, delta: "CrlReading") -> "CrlReading":
        """Return the list brought up to date; ``why_not_after`` has to be None. What it says by itself stays as it is.

        A delta list that is no later than the complete one (section 5.2.4 (d)) says nothing new, and is only kept for
        its times.
        """
        return replace(self, delta=delta, _changes=delta._entries if _order(delta) > _order(self) else None)

    @property
    def delta_applies(self) -> bool:
        """Whether the delta list is later than the complete one."""
        return self._changes is not None


def read_crl(data: bytes) -> CrlReading:
    """Read a complete revocation list from PEM or DER.

    Raises UnusableCrl for what is none, is damaged or larger than MAX_CRL, and for one that is not complete: delta,
    indirect, partitioned without an address, with an unknown critical extension, or without nextUpdate.
    """
    reading = read_any_crl(data)
    if reading.base_number is not None:
        raise UnusableCrl(
            "it is a delta revocation list (RFC 5280 section 5.2.4): a complete one is needed, and its address goes "
            "under `delta`"
        )
    return reading


def read_delta(data: bytes) -> CrlReading:
    """Read a delta revocation list from PEM or DER. Raises UnusableCrl as ``read_crl``, and for a complete one."""
    reading = read_any_crl(data)
    if reading.base_number is None:
        raise UnusableCrl("the delta revocation list is none: it has no deltaCRLIndicator (RFC 5280 section 5.2.4)")
    return reading


def read_any_crl(data: bytes) -> CrlReading:
    """Read a revocation list, complete or delta, from PEM or DER. Raises UnusableCrl as both do for any list."""
    found = _find(data)
    try:
        content = der.only(found, der.SEQUENCE)
        try:
            return _read(content)
        except der.DerError as error:
            raise der.DerError(_instead(found) or str(error)) from error
    except (der.DerError, Unreadable) as error:
        raise UnusableCrl(f"the revocation list cannot be read: {error}") from error


def why_not_by(crl: CrlReading, ca: CaReading) -> str | None:
    """Return why a list is not that CA's own word (RFC 5280 section 6.3.3 (b), (f) and (g)); None where it is."""
    if not (crl.issuer == ca.subject or same_name(crl.issuer, ca.subject)):
        return f"the revocation list is of {quoted(rfc4514(crl.issuer))}, the CA is {quoted(rfc4514(ca.subject))}"
    if not ca.may_sign_crls:
        return "the CA has a keyUsage without cRLSign, so the revocation list cannot be its own"
    if not verifies(ca.key, crl.scheme, crl.signature, crl.signed):
        return f"the CA's key does not verify the revocation list's {crl.scheme.facts.algorithm} signature"
    return None


def why_not_after(delta: CrlReading, complete: CrlReading) -> str | None:
    """Return why a delta list does not bring a complete one of the same CA up to date; None where it does.

    RFC 5280 sections 5.2.4 and 6.3.3 (c). That both are the same CA's is left to ``why_not_by``, with the CA's key.
    """
    if delta.scope != complete.scope:
        return (
            "the delta revocation list has another scope than the complete one (issuingDistributionPoint, RFC 5280 "
            "section 5.2.4)"
        )
    if complete.number is None or delta.number is None:
        which = "complete" if complete.number is None else "delta"
        return f"the {which} revocation list has no cRLNumber: nobody can tell which of the two is later"
    if delta.base_number is None or complete.number < delta.base_number:
        return (
            f"the delta revocation list says what changed since number {delta.base_number}, and the complete one has "
            f"number {complete.number}: what was revoked between them is on neither"
        )
    return None


def why_not_for(crl: CrlReading, certificate: CertificateFacts, url: str, point: str | None = None) -> str | None:
    """Return why a list may leave out a device of its CA, though it were revoked; None where it does not.

    RFC 5280 section 6.3.3 (b)(2)(i): a list that names its distribution point is for certificates that name the same
    one. A CA that makes partitions writes into each certificate which is its own; for one that names none, a list that
    is named as the address ``url`` is, where the owner says the CA's list is, is complete. One that names no point is
    complete, unless the owner says that it is the partition of a ``point``: it may be that of another.
    """
    if crl.points is None:
        if point is None:
            return None
        return (
            "the revocation list names no distribution point, so nobody can tell whether it is that of "
            f"{quoted(point)} (issuingDistributionPoint, RFC 5280 section 5.2.5)"
        )
    named = (url,) if certificate.crl_addresses is None else certificate.crl_addresses
    if not set(crl.points).isdisjoint(named):
        return None
    whose = "the certificate names none" if certificate.crl_addresses is None else "the certificate names another one"
    return (
        f"the revocation list is for the distribution point {quoted(', '.join(crl.points))} only, and {whose}: it may "
        "be one of several partitions (issuingDistributionPoint, RFC 5280 section 5.2.5)"
    )


def _find(data: bytes) -> bytes:
    if len(data) > MAX_INPUT:
        raise UnusableCrl(f"the revocation list has {len(data)} bytes; at most {MAX_INPUT} are read")
    if data[:1] != b"\x30":
        data = _in_pem(data)
    if len(data) > MAX_CRL:
        raise UnusableCrl(f"the revocation list has {len(data)} bytes; at most {MAX_CRL} are read")
    return data


def _in_pem(data: bytes) -> bytes:
    block = _PEM.search(data)
    if block is None:
        what = "is empty" if not data.strip() else "is neither DER nor has a -----BEGIN X509 CRL-----"
        raise UnusableCrl(f"the revocation list {what}: give what `openssl crl` writes")
    try:
        return base64.b64decode(block[1].translate(None, b" \t\r\n"), validate=True)
    except binascii.Error:
        raise UnusableCrl("the revocation list's PEM is not base64") from None


def _read(content: bytes) -> CrlReading:
    """RFC 5280 section 5.1: CertificateList, and its TBSCertList."""
    whole = der.Cursor(content, "revocation list")
    signed = whole.take(der.SEQUENCE)
    algorithm = whole.take(der.SEQUENCE)
    signature, unused = der.bit_string(whole.take(der.BIT_STRING))
    whole.end()

    fields = der.Cursor(signed, "revocation list")
    if fields.take_if(der.INTEGER) not in (None, b"\x01"):
        raise der.DerError("its version is neither 1 nor 2")
    if fields.take(der.SEQUENCE) != algorithm:  # RFC 5280 section 5.1.1.2
        raise der.DerError("it names two different signature algorithms")
    issuer = fields.take(der.SEQUENCE)
    this_update = fields.take_time()
    if fields.tag not in der.TIMES:
        raise UnusableCrl("the revocation list has no nextUpdate: nobody can tell whether it is fresh")
    next_update = fields.take_time()
    revoked = fields.take_if(der.SEQUENCE)
    extensions = fields.take_if(_EXTENSIONS)
    fields.end()

    told = _Told() if extensions is None else _extensions(extensions)
    return CrlReading(
        issuer=read_name(issuer, "issuer"),
        signed=der.element(der.SEQUENCE, signed),
        signature=b"" if unused else signature,
        scheme=read_scheme(algorithm),
        this_update=this_update,
        next_update=next_update,
        number=told.number,
        points=told.points,
        scope=told.scope,
        base_number=told.base_number,
        freshest=told.freshest,
        delta=None,
        _entries={} if revoked is None else _index(revoked),
    )


def _instead(data: bytes) -> str | None:
    told = not_a_certificate(data)
    return None if told is None or "revocation list" in told else told


# --- what the list as a whole says of itself


@dataclass(frozen=True, slots=True)
class _Told:
    """What the extensions say; see CrlReading."""

    number: int | None = None
    base_number: int | None = None
    points: tuple[str, ...] | None = None
    scope: bytes | None = None
    freshest: tuple[str, ...] = ()


def _extensions(content: bytes) -> _Told:
    """Return what the extensions say, once nothing speaks against using the list."""
    found = split_extensions(der.only(content, der.SEQUENCE))
    unknown = [oid for oid, (critical, _) in found.items() if critical and oid not in _KNOWN]
    if unknown:
        raise UnusableCrl(f"the revocation list has the critical extension {unknown[0]}, unknown here")
    values = {oid: value for oid, (_, value) in found.items()}
    scope = values.get(_ISSUING_DISTRIBUTION_POINT)
    base_number = _whole_number(values.get(_DELTA_CRL))
    if _DELTA_CRL in values and base_number is None:
        raise UnusableCrl("the delta revocation list does not say which number it follows")
    return _Told(
        number=_whole_number(values.get(_CRL_NUMBER)),
        base_number=base_number,
        points=None if scope is None else _scope(scope),
        scope=scope,
        freshest=crl_addresses(values[_FRESHEST_CRL]) if _FRESHEST_CRL in values else (),
    )


_NUMBERS = range(1 << 160)  # RFC 5280 section 5.2.3


def _whole_number(value: bytes | None) -> int | None:
    """Return a CRL number; None for one that RFC 5280 section 5.2.3 does not allow, which says nothing of order."""
    if value is None:
        return None
    number = int.from_bytes(der.only(value, der.INTEGER), signed=True)
    return number if number in _NUMBERS else None


_POINT = der.context(0, constructed=True)
_SCOPES = {
    _POINT: "is for a distribution point that has no address: it may be one of several partitions",
    der.context(2): "is for CA certificates only",
    der.context(3): "has some reasons only",
    der.context(4): "is indirect: it speaks for other CAs as well",
    der.context(5): "is for attribute certificates only",
}
_FOR_DEVICES = der.context(1)  # onlyContainsUserCerts: all that this software asks for


def _scope(value: bytes) -> tuple[str, ...] | None:
    """Return the URIs of the list's distribution point (RFC 5280 section 5.2.5); None if it names none.

    Raises UnusableCrl for a list that leaves out some reasons, or that is for other certificates than devices'.
    """
    points = None
    for tag, content in der.children(der.only(value, der.SEQUENCE)):
        if tag == _POINT:
            points = distribution_point_uris(content)
        written_out = tag in _SCOPES and tag != _POINT and content == b"\x00"  # FALSE, which is the default
        if (tag == _POINT and points) or tag == _FOR_DEVICES or written_out:
            continue
        what = _SCOPES.get(tag, "has an issuingDistributionPoint that is unknown here")
        raise UnusableCrl(f"the revocation list {what} (issuingDistributionPoint, RFC 5280 section 5.2.5)")
    return points


# --- its entries


def _index(revoked: bytes) -> dict[int, int]:
    index: dict[int, int] = {}
    for tag, entry in der.children(revoked):
        if tag != der.SEQUENCE:
            raise der.DerError("one of its entries is damaged")
        parts = der.children(entry)
        if not 2 <= len(parts) <= 3 or parts[0][0] != der.INTEGER:
            raise der.DerError("one of its entries is damaged")
        reason = _reason(der.expect(parts[2], der.SEQUENCE)) if len(parts) == 3 else 0
        serial_number = int.from_bytes(parts[0][1], signed=True)
        packed = _seconds(*parts[1]) << 4 | reason
        before = index.get(serial_number)
        index[serial_number] = packed if before is None else _heavier(before, packed)
    return index


def _heavier(one: int, other: int) -> int:
    """Of two entries for one certificate: a revocation is final; a hold gives way to its being lifted."""
    return max(one, other, key=lambda packed: ({_REMOVED: 1, _HOLD: 0}.get(packed & 15, 2), -packed))


def _later(complete: int | None, delta: int | None) -> int | None:
    """Return what holds of the two entries that a complete list and its delta have for one certificate.

    A delta lifts a hold with removeFromCRL, and makes a revocation of it. It takes back no revocation: removeFromCRL
    then means that the certificate expired (RFC 5280 section 5.3.1), and who is on a list stays out.
    """
    if complete is None or delta is None:
        return delta if complete is None else complete
    return _heavier(complete, delta)


def _order(crl: CrlReading) -> int:
    return -1 if crl.number is None else crl.number


@lru_cache(maxsize=4096)  # lists are made in batches
def _seconds(tag: int, content: bytes) -> int:
    return int((der.time(tag, content) - _EPOCH).total_seconds())


@lru_cache(maxsize=1024)  # of most lists there are ten different ones
def _reason(content: bytes) -> int:
    """Return the reason in an entry's extensions (RFC 5280 section 5.3)."""
    found = split_extensions(content)
    if _CERTIFICATE_ISSUER in found:
        raise UnusableCrl("the revocation list is indirect: an entry names another CA (RFC 5280 section 5.3.3)")
    unknown = [oid for oid, (critical, _) in found.items() if critical and oid not in _KNOWN_IN_ENTRIES]
    if unknown:
        raise UnusableCrl(f"an entry of the revocation list has the critical extension {unknown[0]}, unknown here")
    if _REASON not in found:
        return 0
    code = int.from_bytes(der.only(found[_REASON][1], der.ENUMERATED))
    return code if code in REASONS else 0  # whatever else it means, the certificate is revoked
