"""The subject of a certificate that is to be made: attribute by attribute, or whole, as RFC 4514 writes it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.x509.oid import NameOID

from jitr.errors import InputError
from jitr.unseen import quote, written_out
from jitr.x509.names import Name, rfc4514

# In the order in which openssl's own configuration asks for them, the most general first.
_SUBJECT_FIELDS = (
    ("country", NameOID.COUNTRY_NAME),
    ("state", NameOID.STATE_OR_PROVINCE_NAME),
    ("locality", NameOID.LOCALITY_NAME),
    ("organization", NameOID.ORGANIZATION_NAME),
    ("organizational_unit", NameOID.ORGANIZATIONAL_UNIT_NAME),
    ("common_name", NameOID.COMMON_NAME),
)
_LONGEST = {"state": 128, "locality": 128}  # others 64: RFC 5280 appendix A.1, "Upper Bounds"
# Beyond what cryptography reads by itself (RFC 4514 section 3); case does not matter in them.
_DESCRIPTORS = {
    "serialNumber": NameOID.SERIAL_NUMBER,
    "emailAddress": NameOID.EMAIL_ADDRESS,
    "title": NameOID.TITLE,
    "givenName": NameOID.GIVEN_NAME,
    "SN": NameOID.SURNAME,
}
_WRITTEN_NAMES = {form: oid for name, oid in _DESCRIPTORS.items() for form in (name, name.upper(), name.lower())}


@dataclass(frozen=True, slots=True)
class SubjectParts:
    """A subject as the options give it: attributes by name, or all of it in ``text`` (RFC 4514)."""

    attributes: Mapping[str, str] = field(default_factory=dict)
    text: str | None = None

    def name(self, common_name: str | None = None) -> x509.Name:
        """Return the subject, with this common name if it has none. Raises InputError for what cannot be in one."""
        if self.text is not None:
            written = parse_name(self.text)
            has_one = bool(written.get_attributes_for_oid(NameOID.COMMON_NAME)) or common_name is None
            return written if has_one else x509.Name([*written.rdns, _relative("common_name", str(common_name))])
        values = {"common_name": common_name} | dict(self.attributes)
        return x509.Name([_relative(each, value) for each, _ in _SUBJECT_FIELDS if (value := values.get(each))])

    @property
    def has_common_name(self) -> bool:
        """Whether the subject is one device's: the options name it."""
        if self.text is not None:
            return bool(parse_name(self.text).get_attributes_for_oid(NameOID.COMMON_NAME))
        return bool(self.attributes.get("common_name"))


def parse_name(text: str) -> x509.Name:
    """Read a name as RFC 4514 writes it, the last attribute the most general. Raises InputError."""
    try:
        name = x509.Name.from_rfc4514_string(text, _WRITTEN_NAMES)
    except ValueError:
        raise InputError(
            f"subject {quote(text[:200])} cannot be read; write it like CN=snr-1,O=OKIDA,C=TR, with a country of two "
            "letters and names of at most 64 characters"
        ) from None
    if not name.rdns:
        raise InputError("the subject is empty; write it like CN=snr-1,O=OKIDA,C=TR")
    for attribute in name:
        _refuse_control_characters("subject", str(attribute.value))
    return name


def _relative(attribute: str, value: str) -> x509.RelativeDistinguishedName:
    option = f"--{attribute.replace('_', '-')}"
    _refuse_control_characters(option, value)
    try:
        part = x509.NameAttribute(dict(_SUBJECT_FIELDS)[attribute], value)
    except ValueError:
        bound = "two letters, like TR" if attribute == "country" else f"1 to {_LONGEST.get(attribute, 64)} characters"
        raise InputError(f"{option} {quote(value[:80])}: give {bound} (RFC 5280 appendix A.1)") from None
    return x509.RelativeDistinguishedName([part])


def _refuse_control_characters(what: str, value: str) -> None:
    if any(ord(each) < 0x20 or 0x7F <= ord(each) < 0xA0 for each in value):
        raise InputError(f"{what} {quote(value[:80])} has a control character in it")


def subject_text(name: Name) -> str:
    """Return a name as one safe line."""
    return written_out(rfc4514(name)) or "(empty)"
