"""The extensions of a certificate (RFC 5280 section 4.2) that a decision needs, each read by itself.

A damaged extension that is needed makes the certificate unreadable; one that is not needed is passed over.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, TypeAlias

from jitr.errors import Unreadable
from jitr.facts import AlternativeName
from jitr.values import dataclass
from jitr.x509 import der
from jitr.x509.names import MAX_CHARACTERS, read_name, rfc4514

MAX_EXTENSIONS = 30
MAX_ALTERNATIVE_NAMES = 100
MAX_CRL_ADDRESSES = 10  # they are recorded; CAs write one to four
MAX_EXTENDED_KEY_USAGES = 100

BASIC_CONSTRAINTS = "2.5.29.19"
KEY_USAGE = "2.5.29.15"
EXTENDED_KEY_USAGE = "2.5.29.37"
SUBJECT_ALT_NAME = "2.5.29.17"
ISSUER_ALT_NAME = "2.5.29.18"
CERTIFICATE_POLICIES = "2.5.29.32"
NAME_CONSTRAINTS = "2.5.29.30"
AUTHORITY_KEY_IDENTIFIER = "2.5.29.35"
SUBJECT_KEY_IDENTIFIER = "2.5.29.14"
CRL_DISTRIBUTION_POINTS = "2.5.29.31"

# Those that may be critical. Policies ask for nothing: whoever admits devices by policy writes it as a rule.
KNOWN = frozenset({BASIC_CONSTRAINTS, KEY_USAGE, EXTENDED_KEY_USAGE, SUBJECT_ALT_NAME, CERTIFICATE_POLICIES})

# What a decision rests on; the key identifiers are for warnings, and count as absent where they are damaged.
_NEEDED = {
    BASIC_CONSTRAINTS: "basicConstraints",
    KEY_USAGE: "keyUsage",
    EXTENDED_KEY_USAGE: "extendedKeyUsage",
    SUBJECT_ALT_NAME: "subjectAltName",
    ISSUER_ALT_NAME: "issuerAltName",
}

# For people.
NAMES = _NEEDED | {
    CERTIFICATE_POLICIES: "certificatePolicies",
    NAME_CONSTRAINTS: "nameConstraints",
    AUTHORITY_KEY_IDENTIFIER: "authorityKeyIdentifier",
    SUBJECT_KEY_IDENTIFIER: "subjectKeyIdentifier",
}

# RFC 5280 section 4.2.1.3, in the order of their bits.
KEY_USAGES = (
    "digitalSignature",
    "nonRepudiation",
    "keyEncipherment",
    "dataEncipherment",
    "keyAgreement",
    "keyCertSign",
    "cRLSign",
    "encipherOnly",
    "decipherOnly",
)

# RFC 5280 section 4.2.1.12.
EXTENDED_KEY_USAGES = {
    "2.5.29.37.0": "anyExtendedKeyUsage",
    "1.3.6.1.5.5.7.3.1": "serverAuth",
    "1.3.6.1.5.5.7.3.2": "clientAuth",
    "1.3.6.1.5.5.7.3.3": "codeSigning",
    "1.3.6.1.5.5.7.3.4": "emailProtection",
    "1.3.6.1.5.5.7.3.8": "timeStamping",
    "1.3.6.1.5.5.7.3.9": "OCSPSigning",
}


# One extension as it stands in the certificate: whether it is critical, and its value.
Extension: TypeAlias = tuple[bool, bytes]


@dataclass(frozen=True, slots=True)
class Extensions:
    """The contents of the extensions. Fields mean the same as in CertificateFacts."""

    is_ca: bool = False
    key_usage: tuple[str, ...] | None = None
    extended_key_usage: tuple[str, ...] | None = None
    alternative_names: tuple[AlternativeName, ...] = ()
    issuer_alternative_names: tuple[AlternativeName, ...] = ()
    unknown_critical: tuple[str, ...] = ()
    authority_key_identifier: str | None = None
    subject_key_identifier: str | None = None
    crl_addresses: tuple[str, ...] | None = None
    name_constraints: bool = False


NONE = Extensions()


def read_extensions(content: bytes) -> Extensions:
    """Read the content of a certificate's ``extensions`` field.

    Raises DerError for a needed one that is damaged or for one that is there twice, and Unreadable
    (``certificate.too-large``) beyond the limits of this module.
    """
    found = split_extensions(der.only(content, der.SEQUENCE))
    said: dict[str, Any] = {}
    for oid, (field, read) in _READ.items():
        if oid in found:
            try:
                said[field] = read(found[oid][1])
            except der.DerError as error:
                if oid in _NEEDED:
                    raise der.DerError(f"its {_NEEDED[oid]} is damaged: {error}") from error
    return Extensions(
        unknown_critical=tuple([oid for oid, (critical, _) in found.items() if critical and oid not in KNOWN]),
        name_constraints=NAME_CONSTRAINTS in found,
        **said,
    )


def split_extensions(content: bytes) -> dict[str, Extension]:
    """Return an Extensions SEQUENCE's content by object identifier, each with whether it is critical.

    Raises DerError for one that is damaged or there twice, Unreadable for more than MAX_EXTENSIONS.
    """
    found: dict[str, Extension] = {}
    elements = der.children(content)
    if len(elements) > MAX_EXTENSIONS:
        raise Unreadable(
            "certificate.too-large",
            f"the certificate has {len(elements)} extensions; at most {MAX_EXTENSIONS} are read",
        )
    for tag, inner in elements:
        if tag != der.SEQUENCE:
            raise der.misplaced(tag, der.SEQUENCE)
        oid, extension = _extension(inner)
        if oid in found:  # RFC 5280 section 4.2: not more than one instance of an extension
            raise der.DerError(f"it has the extension {oid} twice")
        found[oid] = extension
    return found


@lru_cache(maxsize=256)  # the certificates of a fleet have most of their extensions in common
def _extension(content: bytes) -> tuple[str, Extension]:
    parts = der.children(content)
    if not 2 <= len(parts) <= 3:
        raise der.DerError("one of its extensions is damaged")
    oid = der.object_identifier(der.expect(parts[0], der.OBJECT_IDENTIFIER))
    critical = len(parts) == 3 and der.boolean(der.expect(parts[1], der.BOOLEAN))
    return oid, (critical, der.expect(parts[-1], der.OCTET_STRING))


@lru_cache(maxsize=64)
def _basic_constraints(value: bytes) -> bool:
    """RFC 5280 section 4.2.1.9. An explicit FALSE is not DER, but common, and clear."""
    parts = der.children(der.only(value, der.SEQUENCE))
    if [tag for tag, _ in parts] not in ([], [der.BOOLEAN], [der.INTEGER], [der.BOOLEAN, der.INTEGER]):
        raise der.DerError("it is not cA and pathLenConstraint")
    return bool(parts) and parts[0][0] == der.BOOLEAN and der.boolean(parts[0][1])


def read_path_length(content: bytes) -> int | None:
    """Read pathLenConstraint (RFC 5280 section 4.2.1.9) from the content of a certificate's ``extensions`` field.

    None where there is none. Raises what ``read_extensions`` raises.
    """
    found = split_extensions(der.only(content, der.SEQUENCE)).get(BASIC_CONSTRAINTS)
    parts = [] if found is None else der.children(der.only(found[1], der.SEQUENCE))
    lengths = [int.from_bytes(number, signed=True) for tag, number in parts if tag == der.INTEGER]
    return lengths[0] if lengths else None


@lru_cache(maxsize=64)
def _key_usage(value: bytes) -> tuple[str, ...]:
    octets, unused = der.bit_string(der.only(value, der.BIT_STRING))
    bits = f"{int.from_bytes(octets):0{8 * len(octets)}b}" if octets else ""
    bits = bits[: len(bits) - unused]
    return tuple([name for name, bit in zip(KEY_USAGES, bits, strict=False) if bit == "1"])


@lru_cache(maxsize=64)
def _extended_key_usage(value: bytes) -> tuple[str, ...]:
    parts = der.children(der.only(value, der.SEQUENCE))
    if len(parts) > MAX_EXTENDED_KEY_USAGES:
        raise Unreadable(
            "certificate.too-large",
            f"the certificate has {len(parts)} extended key usages; at most {MAX_EXTENDED_KEY_USAGES} are read",
        )
    oids = [der.object_identifier(der.expect(each, der.OBJECT_IDENTIFIER)) for each in parts]
    return tuple([EXTENDED_KEY_USAGES.get(each, each) for each in oids])


@lru_cache(maxsize=64)
def _authority_key_identifier(value: bytes) -> str | None:
    for tag, content in der.children(der.only(value, der.SEQUENCE)):
        if tag == der.context(0):
            return content.hex()
    return None


@lru_cache(maxsize=64)
def crl_addresses(value: bytes) -> tuple[str, ...]:
    """Return the URIs of cRLDistributionPoints (RFC 5280 section 4.2.1.13) with the CA's own lists of all reasons.

    freshestCRL has the same form (section 5.2.6).

    None of them where the extension is damaged, or has more than are read: it is there, and says nothing that a list
    could be held against.
    """
    try:
        found = tuple([uri for point in der.children(der.only(value, der.SEQUENCE)) for uri in _addresses_of(point)])
    except der.DerError:
        return ()
    too_much = len(found) > MAX_CRL_ADDRESSES or any(len(each) > MAX_CHARACTERS for each in found)
    return () if too_much else found


def _addresses_of(point: der.Element) -> tuple[str, ...]:
    parts = dict(der.children(der.expect(point, der.SEQUENCE)))
    if parts.keys() != {_POINT_NAME}:  # with reasons or a cRLIssuer
        return ()
    return distribution_point_uris(parts[_POINT_NAME])


_POINT_NAME = der.context(0, constructed=True)
_FULL_NAME = der.context(0, constructed=True)
_URI = der.context(6)


def distribution_point_uris(content: bytes) -> tuple[str, ...]:
    """Return the URIs in a DistributionPointName's full name (RFC 5280 section 4.2.1.13); none in a relative one.

    Raises DerError.
    """
    [(tag, names), *more] = der.children(content) or [(0, b"")]
    if tag != _FULL_NAME or more:
        return ()
    return tuple([_text(name) for kind, name in der.children(names) if kind == _URI])


def _subject_key_identifier(value: bytes) -> str:
    return der.only(value, der.OCTET_STRING).hex()


def _alternative_names(value: bytes) -> tuple[AlternativeName, ...]:
    parts = der.children(der.only(value, der.SEQUENCE))
    if len(parts) > MAX_ALTERNATIVE_NAMES:
        raise Unreadable(
            "certificate.too-large",
            f"the certificate has {len(parts)} alternative names; at most {MAX_ALTERNATIVE_NAMES} are read",
        )
    return tuple([_alternative_name(*each) for each in parts])


def _alternative_name(tag: int, content: bytes) -> AlternativeName:
    """One GeneralName (RFC 5280 section 4.2.1.6)."""
    if tag not in _GENERAL_NAMES:
        raise der.DerError(f"it has a name with the unknown tag {tag:#04x}")
    kind, read = _GENERAL_NAMES[tag]
    name = AlternativeName(kind, read(content))
    if len(name.value) > MAX_CHARACTERS:
        raise Unreadable(
            "certificate.too-large",
            f"an alternative name has {len(name.value)} characters; at most {MAX_CHARACTERS} are read",
        )
    return name


def _text(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise der.DerError("it has a name that is not text") from None


def _address(content: bytes) -> str:
    if len(content) not in (4, 16):
        raise der.DerError(f"it has an IP address of {len(content)} octets")
    return str(ip_address(content))


def _directory(content: bytes) -> str:
    return rfc4514(read_name(der.only(content, der.SEQUENCE), "directoryName"))


def _other(content: bytes) -> str:
    """``OID:hex``, the hex being the value's DER."""
    parts = der.children(content)
    if len(parts) != 2:
        raise der.DerError("it has an otherName that is not a type and a value")
    oid = der.object_identifier(der.expect(parts[0], der.OBJECT_IDENTIFIER))
    return f"{oid}:{der.expect(parts[1], der.context(0, constructed=True)).hex()}"


_GENERAL_NAMES: Mapping[int, tuple[str, Callable[[bytes], str]]] = {
    der.context(0, constructed=True): ("other", _other),
    der.context(1): ("email", _text),
    der.context(2): ("dns", _text),
    der.context(3, constructed=True): ("other", lambda content: f"x400Address:{content.hex()}"),
    der.context(4, constructed=True): ("directory", _directory),
    der.context(5, constructed=True): ("other", lambda content: f"ediPartyName:{content.hex()}"),
    der.context(6): ("uri", _text),
    der.context(7): ("ip", _address),
    der.context(8): ("registered_id", der.object_identifier),
}

# In this order, which decides what is told of several that are damaged: the field of Extensions, and how to read it.
_READ: Mapping[str, tuple[str, Callable[[bytes], Any]]] = {
    BASIC_CONSTRAINTS: ("is_ca", _basic_constraints),
    KEY_USAGE: ("key_usage", _key_usage),
    EXTENDED_KEY_USAGE: ("extended_key_usage", _extended_key_usage),
    SUBJECT_ALT_NAME: ("alternative_names", _alternative_names),
    ISSUER_ALT_NAME: ("issuer_alternative_names", _alternative_names),
    AUTHORITY_KEY_IDENTIFIER: ("authority_key_identifier", _authority_key_identifier),
    SUBJECT_KEY_IDENTIFIER: ("subject_key_identifier", _subject_key_identifier),
    CRL_DISTRIBUTION_POINTS: ("crl_addresses", crl_addresses),
}
