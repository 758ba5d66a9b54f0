"""Distinguished names: read from DER, compared as RFC 5280 section 7.1 says, written as RFC 4514 says."""

import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import TypeAlias

from jitr.errors import Unreadable
from jitr.facts import ATTRIBUTE_NAMES, Attribute
from jitr.text import cut
from jitr.unseen import quote
from jitr.x509 import der

# A name is a sequence of relative names, and each of those a set of attributes, of nearly always one.
Name: TypeAlias = tuple[tuple[Attribute, ...], ...]

MAX_ATTRIBUTES = 50
MAX_CHARACTERS = 1024
_OCTETS_SHOWN = 8

# Tag: the type's name, and the codec it is read with. The single-byte types are read as UTF-8, of which theirs are
# subsets, because that is what issuers who break the type's alphabet mean; TeletexString as Latin-1, as OpenSSL does.
_STRINGS = {
    0x0C: ("UTF8String", "utf-8"),
    0x12: ("NumericString", "utf-8"),
    0x13: ("PrintableString", "utf-8"),
    0x14: ("TeletexString", "latin-1"),
    0x16: ("IA5String", "utf-8"),
    0x1A: ("VisibleString", "utf-8"),
    0x1C: ("UniversalString", "utf-32-be"),
    0x1E: ("BMPString", "utf-16-be"),
}
_NOT_STRINGS = {der.BIT_STRING: "BitString", der.OCTET_STRING: "OctetString", der.INTEGER: "Integer"}

# Descriptors registered for LDAP (RFC 4514 section 3, RFC 4519, RFC 4524): what a type may be called in a written name.
_DESCRIPTORS = {
    "common_name": "CN",
    "country": "C",
    "locality": "L",
    "state": "ST",
    "organization": "O",
    "organizational_unit": "OU",
    "subject_serial_number": "serialNumber",
    "distinguished_name_qualifier": "dnQualifier",
    "title": "title",
    "surname": "SN",
    "given_name": "givenName",
    "initials": "initials",
    "generation_qualifier": "generationQualifier",
    "pseudonym": "pseudonym",
    "user_id": "UID",
    "domain_component": "DC",
    "email_address": "emailAddress",
    "2.5.4.9": "STREET",
}


def read_name(content: bytes, what: str) -> Name:
    """Read a Name's SEQUENCE (RFC 5280 section 4.1.2.4). ``what`` is the name's own name, for messages.

    Raises DerError, and Unreadable (``certificate.too-large``) beyond MAX_ATTRIBUTES and MAX_CHARACTERS.
    """
    found = []
    try:
        for tag, inner in der.children(content):
            if tag != der.SET:
                raise der.misplaced(tag, der.SET)
            found.append(_relative_name(inner))
    except der.DerError as error:
        raise der.DerError(f"its {what} is damaged: {error}") from error
    name = tuple(found)
    if sum(map(len, name)) > MAX_ATTRIBUTES:
        raise Unreadable("certificate.too-large", f"the {what} has more than {MAX_ATTRIBUTES} attributes")
    return name


def attributes(name: Name) -> tuple[Attribute, ...]:
    """Return every attribute in the certificate's order."""
    return tuple([each for relative in name for each in relative])


@lru_cache(maxsize=256)  # the certificates of a fleet have most of their names in common
def _relative_name(content: bytes) -> tuple[Attribute, ...]:
    found = tuple([_attribute(der.expect(each, der.SEQUENCE)) for each in der.children(content)])
    if not found:
        raise der.DerError("it has an empty relative name")
    return found


def _attribute(content: bytes) -> Attribute:
    parts = der.children(content)
    if len(parts) != 2:
        raise der.DerError("it has an attribute that is not a type and a value")
    oid = der.object_identifier(der.expect(parts[0], der.OBJECT_IDENTIFIER))
    name = ATTRIBUTE_NAMES.get(oid, oid)
    value, encoding = _value(name, *parts[1])
    if len(value) > MAX_CHARACTERS:
        raise Unreadable(
            "certificate.too-large", f"a {name} has {len(value)} characters; at most {MAX_CHARACTERS} are read"
        )
    return Attribute(name, value, encoding)


def _value(name: str, tag: int, content: bytes) -> tuple[str, str]:
    """Return a value as text and its type's name; a non-string as ``#`` and its DER in hex (RFC 4514 section 2.4)."""
    if tag not in _STRINGS:
        return "#" + der.element(tag, content).hex(), _NOT_STRINGS.get(tag, f"tag {tag:#04x}")
    encoding, codec = _STRINGS[tag]
    try:
        return content.decode(codec), encoding
    except UnicodeDecodeError as wrong:
        raise der.DerError(_wrongly_encoded(name, encoding, codec, wrong)) from None


def _wrongly_encoded(name: str, encoding: str, codec: str, wrong: UnicodeDecodeError) -> str:
    """Return which octets of a name are not what their type says; a name in a certificate is no secret."""
    octets = wrong.object[wrong.start : wrong.start + _OCTETS_SHOWN].hex(" ")
    latin = ", as Latin-1 or Windows-1252 would have it" if codec == "utf-8" else ""
    return (
        f"its {name} is a {encoding} that is not {codec.upper()} from octet {wrong.start + 1} on ({octets}){latin}: "
        "ask the issuer to write it as a UTF8String, in UTF-8"
    )


def same_name(one: Name, other: Name) -> bool:
    """Return whether two names are equal as RFC 5280 section 7.1 compares them.

    String types do not matter, nor do case and the amount of white space; the order of relative names does, the order
    of attributes within one does not.
    """
    return len(one) == len(other) and all(_folded(a) == _folded(b) for a, b in zip(one, other, strict=True))


def _folded(relative: Iterable[Attribute]) -> list[tuple[str, str]]:
    # The string preparation of RFC 4518 as far as it matters between two names one CA has written: compatibility
    # forms, case, and white space.
    return sorted(
        (each.name, " ".join(unicodedata.normalize("NFKC", each.value).casefold().split())) for each in relative
    )


def rfc4514(name: Name) -> str:
    """Write a name as text, the last relative name first (RFC 4514 section 2.1)."""
    return ",".join("+".join(map(_written, relative)) for relative in reversed(name))


def _written(attribute: Attribute) -> str:
    name, value = attribute.name, attribute.value
    if attribute.encoding in _WRITTEN_AS_TEXT:
        return f"{_DESCRIPTORS.get(name, name)}={_escaped(value)}"
    return f"{_DESCRIPTORS.get(name, name)}={value}"


_WRITTEN_AS_TEXT = frozenset(encoding for encoding, _ in _STRINGS.values())


def _escaped(value: str) -> str:
    """RFC 4514 section 2.4: the special characters, a space or number sign at the start, a space at the end."""
    written = "".join(_escape(each) for each in value)
    if written.startswith((" ", "#")):
        written = "\\" + written
    if value.endswith(" ") and len(value) > 1:
        written = written[:-1] + "\\ "
    return written


def _escape(character: str) -> str:
    if character in '"+,;<>\\':
        return "\\" + character
    if character < " " or character == "\x7f":
        return f"\\{ord(character):02x}"
    return character


def quoted(text: str) -> str:
    """Return text from a certificate so that it is safe to show: quoted, escaped, cut."""
    return quote(cut(text, 120, "…"))
