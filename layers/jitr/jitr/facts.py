"""What is known about a device certificate and about the CA that registered it, as plain frozen values.

This module knows no certificate library: ``jitr.x509.certificate`` fills these values from bytes, a decision record
fills them from JSON, and a test in a rules file fills them by hand.
"""

from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import field
from datetime import datetime
from functools import lru_cache
from typing import Any

from jitr.times import parse_time, rfc3339
from jitr.values import dataclass

# The subject attributes that rules and templates can name, by object identifier (X.520, RFC 4519, PKCS #9).
# ``serial_number`` is always the certificate's own serial number; the subject attribute of that name is
# ``subject_serial_number``.
ATTRIBUTE_NAMES: Mapping[str, str] = {
    "2.5.4.3": "common_name",
    "2.5.4.6": "country",
    "2.5.4.7": "locality",
    "2.5.4.8": "state",
    "2.5.4.10": "organization",
    "2.5.4.11": "organizational_unit",
    "2.5.4.5": "subject_serial_number",
    "2.5.4.46": "distinguished_name_qualifier",
    "2.5.4.12": "title",
    "2.5.4.4": "surname",
    "2.5.4.42": "given_name",
    "2.5.4.43": "initials",
    "2.5.4.44": "generation_qualifier",
    "2.5.4.65": "pseudonym",
    "0.9.2342.19200300.100.1.1": "user_id",
    "0.9.2342.19200300.100.1.25": "domain_component",
    "1.2.840.113549.1.9.1": "email_address",
}


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute of a name: ``name`` from ATTRIBUTE_NAMES or a dotted object identifier, and how it was encoded."""

    name: str
    value: str
    encoding: str = "UTF8String"


@dataclass(frozen=True, slots=True)
class AlternativeName:
    """One entry of subjectAltName; ``kind`` is dns, email, uri, ip, directory, registered_id or other."""

    kind: str
    value: str


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """A public key: ``kind`` RSA, EC, Ed25519, …; ``bits``; ``curve`` as rules name it (P-256, …) for EC.

    ``weakness`` says why the private key is in fact no secret, whatever its size (``jitr.x509.rsa``).
    """

    kind: str
    bits: int | None = None
    curve: str | None = None
    weakness: str | None = None


@dataclass(frozen=True, slots=True)
class SignatureFacts:
    """The signature on a certificate: ``algorithm`` RSA, RSA-PSS, ECDSA, …; ``hash`` (sha256, …) where it has one."""

    algorithm: str
    hash: str | None = None


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """Everything read from one device certificate.

    Hex is lower case; serial numbers have no leading zeros, and a minus sign where they are negative.
    """

    certificate_sha256: str
    public_key_sha256: str  # of the key's canonical form (jitr.x509.keys)
    version: int  # 1 or 3
    serial_number: str
    subject: tuple[Attribute, ...]
    issuer: tuple[Attribute, ...]
    not_before: datetime
    not_after: datetime
    key: KeyFacts
    signature: SignatureFacts
    is_ca: bool = False
    key_usage: tuple[str, ...] | None = None  # names of RFC 5280 section 4.2.1.3; None: no such extension
    extended_key_usage: tuple[str, ...] | None = None  # names (clientAuth, …) or dotted OIDs; None: no such extension
    alternative_names: tuple[AlternativeName, ...] = ()
    issuer_alternative_names: tuple[AlternativeName, ...] = ()
    unknown_critical_extensions: tuple[str, ...] = ()  # dotted OIDs
    authority_key_identifier: str | None = None
    subject_key_identifier: str | None = None
    written_key_sha256: str | None = None  # of the key as it stands in the certificate, if that is another form
    # Of an EC key with its point compressed, where that is neither of the above; it is not recorded.
    compressed_key_sha256: str | None = field(default=None, compare=False)
    # Where the certificate says its CA's lists are (RFC 5280 section 4.2.1.13); None: no such extension. They are names
    # that a list is known by, and never followed.
    crl_addresses: tuple[str, ...] | None = None
    _values: dict[str, tuple[str, ...]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def values(self, attribute: str) -> tuple[str, ...]:
        """Return every value the subject has of an attribute, in the certificate's order."""
        values = self._values.get(attribute)
        if values is None:  # many rules ask for the same
            values = tuple([each.value for each in self.subject if each.name == attribute])
            self._values[attribute] = values
        return values

    def to_json(self) -> dict[str, Any]:
        """Return it as in the decision record and under ``facts`` in ``jitr explain --json``."""
        issuer = [{"kind": each.kind, "value": each.value} for each in self.issuer_alternative_names]
        return (
            ({"issuer_alternative_names": issuer} if issuer else {})
            | {
                "certificate_sha256": self.certificate_sha256,
                "public_key_sha256": self.public_key_sha256,
                "version": self.version,
                "serial_number": self.serial_number,
                "subject": [_attribute_json(each) for each in self.subject],
                "issuer": [_attribute_json(each) for each in self.issuer],
                "not_before": rfc3339(self.not_before),
                "not_after": rfc3339(self.not_after),
                "key": {"kind": self.key.kind, "bits": self.key.bits, "curve": self.key.curve}
                | ({} if self.key.weakness is None else {"weakness": self.key.weakness}),
                "signature": {"algorithm": self.signature.algorithm, "hash": self.signature.hash},
                "is_ca": self.is_ca,
                "key_usage": _list_or_none(self.key_usage),
                "extended_key_usage": _list_or_none(self.extended_key_usage),
                "alternative_names": [{"kind": each.kind, "value": each.value} for each in self.alternative_names],
                "unknown_critical_extensions": list(self.unknown_critical_extensions),
                "authority_key_identifier": self.authority_key_identifier,
                "subject_key_identifier": self.subject_key_identifier,
                "crl_addresses": _list_or_none(self.crl_addresses),
            }
            | ({} if self.written_key_sha256 is None else {"written_key_sha256": self.written_key_sha256})
        )

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "CertificateFacts":
        """Read back what ``to_json`` wrote: the recorded facts that a decision is made from again."""
        return cls(
            certificate_sha256=data["certificate_sha256"],
            public_key_sha256=data["public_key_sha256"],
            version=int(data["version"]),
            serial_number=data["serial_number"],
            subject=_attributes(data["subject"]),
            issuer=_attributes(data["issuer"]),
            not_before=_time(data["not_before"]),
            not_after=_time(data["not_after"]),
            key=_key(data["key"]),
            signature=SignatureFacts(data["signature"]["algorithm"], data["signature"]["hash"]),
            is_ca=data["is_ca"],
            key_usage=_tuple_or_none(data["key_usage"]),
            extended_key_usage=_tuple_or_none(data["extended_key_usage"]),
            alternative_names=tuple(AlternativeName(**each) for each in data["alternative_names"]),
            issuer_alternative_names=tuple(
                AlternativeName(**each) for each in data.get("issuer_alternative_names", ())
            ),
            unknown_critical_extensions=tuple(data["unknown_critical_extensions"]),
            authority_key_identifier=data["authority_key_identifier"],
            subject_key_identifier=data["subject_key_identifier"],
            written_key_sha256=data.get("written_key_sha256"),
            crl_addresses=_tuple_or_none(data.get("crl_addresses")),
        )


@dataclass(frozen=True, slots=True)
class CaFacts:
    """The CA certificate as registered. ``status`` is AWS IoT's: ACTIVE or INACTIVE."""

    ca_certificate_id: str
    status: str
    not_before: datetime
    not_after: datetime
    is_ca: bool
    may_sign: bool  # no keyUsage, or keyUsage with keyCertSign (RFC 5280 section 4.2.1.3)
    name_constraints: bool
    subject: tuple[Attribute, ...] = ()
    odd_serial_number: str | None = None  # where it is not positive

    def to_json(self) -> dict[str, Any]:
        """Return it as in the decision record and under ``facts.ca`` in ``jitr explain --json``."""
        return {
            "ca_certificate_id": self.ca_certificate_id,
            "status": self.status,
            "not_before": rfc3339(self.not_before),
            "not_after": rfc3339(self.not_after),
            "is_ca": self.is_ca,
            "may_sign": self.may_sign,
            "name_constraints": self.name_constraints,
            "subject": [_attribute_json(each) for each in self.subject],
        } | ({} if self.odd_serial_number is None else {"odd_serial_number": self.odd_serial_number})

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "CaFacts":
        """Return the facts that ``to_json`` wrote. The CA read last is used again while it is the same."""
        known = _cas.get(data["ca_certificate_id"])
        if known is not None and known[0] == data:
            return known[1]
        read = cls(
            ca_certificate_id=data["ca_certificate_id"],
            status=data["status"],
            not_before=parse_time(data["not_before"]),
            not_after=parse_time(data["not_after"]),
            is_ca=data["is_ca"],
            may_sign=data["may_sign"],
            name_constraints=data["name_constraints"],
            subject=_attributes(data["subject"]),
            odd_serial_number=data.get("odd_serial_number"),
        )
        if len(_cas) >= _KEPT:
            _cas.clear()
        _cas[read.ca_certificate_id] = (deepcopy(dict(data)), read)
        return read


@dataclass(frozen=True, slots=True)
class ChainFacts:
    """The result of comparing a certificate with its CA; it cannot change while both exist."""

    signature_valid: bool
    names_equal: bool
    key_identifiers_agree: bool | None = None  # None: the certificate or the CA has none to compare
    twin_sha256: str | None = None  # of the same certificate with the other form of its ECDSA signature

    def to_json(self) -> dict[str, Any]:
        """Return it as in the decision record and under ``facts.chain`` in ``jitr explain --json``."""
        return {
            "signature_valid": self.signature_valid,
            "names_equal": self.names_equal,
            "key_identifiers_agree": self.key_identifiers_agree,
            "twin_sha256": self.twin_sha256,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "ChainFacts":
        """Read back what ``to_json`` wrote."""
        return cls(data["signature_valid"], data["names_equal"], data["key_identifiers_agree"], data["twin_sha256"])


@dataclass(frozen=True, slots=True)
class DeltaCrl:
    """The delta list that was used with a complete one (RFC 5280 section 5.2.4)."""

    this_update: datetime
    next_update: datetime
    number: int | None
    entries: int

    def to_json(self) -> dict[str, Any]:
        """Return it as under ``delta`` of a revocation."""
        return {
            "this_update": rfc3339(self.this_update),
            "next_update": rfc3339(self.next_update),
            "number": None if self.number is None else str(self.number),
            "entries": self.entries,
        }


@dataclass(frozen=True, slots=True)
class Revocation:
    """One revocation list's statement on one certificate, with that of its delta list.

    ``problem`` says why the list cannot be used, ``failure`` why none (or no newer one) could be fetched. The times are
    None where there is no list that can be used.
    """

    problem: str | None = None
    failure: str | None = None
    this_update: datetime | None = None
    next_update: datetime | None = None
    number: int | None = None
    delta: DeltaCrl | None = None
    signature_hashes: tuple[str, ...] = ()  # of the list, and of its delta list
    revoked_at: datetime | None = None  # None: it is not on the list
    reason: str | None = None  # RFC 5280 section 5.3.1, by its name there
    on_hold: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return it as under ``facts.revocation`` in the decision record and in ``jitr explain --json``."""
        plain = {
            "problem": self.problem,
            "failure": self.failure,
            "this_update": _time_or_none(self.this_update),
            "next_update": _time_or_none(self.next_update),
            "number": None if self.number is None else str(self.number),
            "delta": None if self.delta is None else self.delta.to_json(),
            "revoked_at": _time_or_none(self.revoked_at),
            "reason": self.reason,
        }
        return {name: value for name, value in plain.items() if value is not None}


@dataclass(frozen=True, slots=True)
class OcspAnswer:
    """An OCSP responder's statement on one certificate (RFC 6960).

    ``problem`` says why its answer cannot be used, ``failure`` why none could be had; ``status`` is None in both cases.
    An answer here is the CA's own word, or that of whom it certified for it, or of the responder that the rules name:
    only what depends on the time and on the rules is left to decide.
    """

    problem: str | None = None
    failure: str | None = None
    status: str | None = None  # good, revoked or unknown
    asked_at: datetime | None = None
    produced_at: datetime | None = None
    this_update: datetime | None = None
    next_update: datetime | None = None
    nonce: bool | None = None  # whether the answer has the question's; None: nobody knows what was asked
    signer: str | None = None  # whose key signed it, in words
    signer_not_before: datetime | None = None  # None: the CA itself, whose validity is looked at anyway
    signer_not_after: datetime | None = None
    signature_hashes: tuple[str, ...] = ()  # of the answer, and of the certificate of whom the CA certified
    revoked_at: datetime | None = None
    reason: str | None = None  # RFC 5280 section 5.3.1, by its name there
    on_hold: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return it as under ``facts.ocsp`` in the decision record and in ``jitr explain --json``."""
        plain = {
            "problem": self.problem,
            "failure": self.failure,
            "status": self.status,
            "asked_at": _time_or_none(self.asked_at),
            "produced_at": _time_or_none(self.produced_at),
            "this_update": _time_or_none(self.this_update),
            "next_update": _time_or_none(self.next_update),
            "nonce": self.nonce,
            "responder": self.signer,
            "revoked_at": _time_or_none(self.revoked_at),
            "reason": self.reason,
        }
        return {name: value for name, value in plain.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Knock:
    """One device asking to get in: everything about it that a decision may rest on, except lists and time.

    ``ca`` and ``chain`` are None where AWS IoT no longer holds the CA, or holds one that cannot be read here:
    ``ca_problem`` then says why. ``aliases`` are the names that the rules file
    gives to the CA. ``revocations`` is what the revocation lists say, by their addresses: only what was just read, for
    it changes by itself. ``ocsp`` is what responders
    answered just now, likewise.
    """

    certificate: CertificateFacts
    ca_certificate_id: str
    ca: CaFacts | None
    chain: ChainFacts | None
    aliases: frozenset[str] = field(default_factory=frozenset)
    revocations: Mapping[str, Revocation] = field(default_factory=dict)
    ca_problem: str | None = None
    ocsp: Mapping[str, OcspAnswer] = field(default_factory=dict)


# Certificates that were made together have these in common; where every device brings its own, the oldest go.
_KEPT = 1024
_cas: dict[str, tuple[dict[str, Any], CaFacts]] = {}
_time = lru_cache(_KEPT)(parse_time)


def _key(data: Mapping[str, Any]) -> KeyFacts:
    return KeyFacts(data["kind"], _int_or_none(data["bits"]), data["curve"], data.get("weakness"))


def _attributes(data: Iterable[Mapping[str, Any]]) -> tuple[Attribute, ...]:
    return tuple([Attribute(each["name"], each["value"], each.get("encoding", "UTF8String")) for each in data])


def _time_or_none(time: datetime | None) -> str | None:
    return None if time is None else rfc3339(time)


def _attribute_json(attribute: Attribute) -> dict[str, str]:
    return {"name": attribute.name, "value": attribute.value, "encoding": attribute.encoding}


def _list_or_none(values: tuple[str, ...] | None) -> list[str] | None:
    return None if values is None else list(values)


def _tuple_or_none(values: list[str] | None) -> tuple[str, ...] | None:
    return None if values is None else tuple(values)


def _int_or_none(value: Any) -> int | None:
    return None if value is None else int(value)
