"""What other programs print in place of a bare value: openssl's lines, subjects, ARNs, words for "nothing", totals.

Each is taken for what it certainly means, or is a fault. ``Taken.form`` says in a few characters what was taken so.
"""

import hashlib
import re

from jitr.devicelists.columns import shown
from jitr.devicelists.values import WrongValue
from jitr.values import dataclass

OR_APOSTROPHE = "; if it is really so, put an apostrophe (') before it"


@dataclass(frozen=True, slots=True)
class Taken:
    """The value that a cell means, and the form in which it was written."""

    text: str
    form: str


# --- subjects: RFC 4514, RFC 2253 and openssl's own ways to print them

_TYPE = (
    r"(?:CN|commonName|OU|O|C|L|ST|SP|S|DC|UID|SN|GN|E|T|STREET|emailAddress|serialNumber|organizationName"
    r"|organizationalUnitName|countryName|stateOrProvinceName|localityName|dnQualifier|title|givenName|surname"
    r"|initials|pseudonym|postalCode|(?:OID\.)?[0-9]+(?:\.[0-9]+)+)"
)
_SUBJECT = re.compile(rf"(?:(?:subject|issuer)(?: ?DN)?\s*[=:]\s*.*|/?\s*{_TYPE}\s*=.*)", re.IGNORECASE | re.DOTALL)
_OF_SUBJECT = re.compile(r"subject(?: ?DN)?\s*[=:]\s*", re.IGNORECASE)
_RDN = re.compile(
    rf'\s*+({_TYPE})\s*+=\s*+("(?:[^"\\]|\\.)*+"|(?:[^,+;"\\]|\\.)*+)\s*+(?:[,+;]|\Z)', re.IGNORECASE | re.DOTALL
)
_SLASH = re.compile(rf"/(?={_TYPE}\s*=)", re.IGNORECASE)
_NAME_TYPES = ("cn", "commonname", "2.5.4.3", "oid.2.5.4.3")


def common_name_of(text: str) -> Taken | None:
    """Return the common name of a cell that is a whole subject; None where it is none.

    Raises WrongValue where the subject has no single, plainly written common name.
    """
    if ("=" not in text and ":" not in text) or _SUBJECT.fullmatch(text) is None:
        return None
    subject = _OF_SUBJECT.sub("", text, count=1)
    parts = _slashed(subject) if subject.startswith("/") else _separated(subject)
    names = [value for kind, value in parts or () if kind.lower() in _NAME_TYPES]
    if len(names) != 1 or not names[0] or re.search(r'["\\/]', names[0]):
        raise WrongValue(f"{shown(text)} is a whole subject: give its common name alone{OR_APOSTROPHE}")
    return Taken(names[0], "subject=CN=x" if subject != text else "CN=x")


def _slashed(subject: str) -> list[tuple[str, str]]:
    parts = (each.partition("=") for each in _SLASH.split(subject)[1:])
    return [(kind.strip(), value.strip()) for kind, _, value in parts]


def _separated(subject: str) -> list[tuple[str, str]] | None:
    parts, start = [], 0
    while start < len(subject):
        found = _RDN.match(subject, start)
        if found is None:
            return None
        parts.append((found[1], found[2].strip()))
        start = found.end()
    return parts


# --- hashes

_DIGEST_LINE = re.compile(r"(?:sha2?-?256\b[^=:]*|\(stdin\))\s*[=:]\s*([0-9a-f][0-9a-f: ]*)", re.IGNORECASE)
_SUM_LINE = re.compile(r"([0-9a-f]{64})\s+\*?[^\s].*", re.IGNORECASE)
_ARN = re.compile(r"arn:aws[a-z-]*:iot:[a-z0-9-]+:[0-9]{12}:(cert|cacert)/([0-9a-f]{64})")
_ARN_OF = {"certificate_sha256": "cert", "ca": "cacert"}


def hash_of(column: str, text: str) -> Taken | None:
    """Return the hash in a line of openssl or sha256sum, or in an ARN; None where it is none of them."""
    if (arn := _ARN.fullmatch(text)) and _ARN_OF.get(column) == arn[1]:
        return Taken(arn[2], f"arn:…:{arn[1]}/x")
    if column == "ca":
        return None
    if line := _DIGEST_LINE.fullmatch(text):
        return Taken(line[1], "SHA256=x")
    if summed := _SUM_LINE.fullmatch(text):
        return Taken(summed[1], "x FILE")
    return None


_NOTHING_PRINTED = "the SHA-256 of nothing: the command before the hash printed nothing, because it failed"
_EMPTY_LINE = "the SHA-256 of an empty line: there was no value to hash"
_OF_NOTHING = {
    hashlib.sha256(b"").hexdigest(): _NOTHING_PRINTED,
    hashlib.sha256(b"\n").hexdigest(): _EMPTY_LINE,
    hashlib.sha256(b"\r\n").hexdigest(): _EMPTY_LINE,
    "0" * 64: "64 zeros: a value that was never filled in",
    "f" * 64: "64 times f: a value that was never filled in",
}
_NOT_DIGITS = {ord(each): None for each in ": \t\n\r"}


def check_hash(text: str) -> None:
    """Raise WrongValue for a SHA-256 that is no certificate's and no key's."""
    digits = text.translate(_NOT_DIGITS).lower().removeprefix("0x")
    if digits in _OF_NOTHING:
        raise WrongValue(f"{digits[:8]}…{digits[-4:]} is {_OF_NOTHING[digits]}. Read it from the certificate again")


# --- what is no value at all

_NOTHING = frozenset(
    each
    for word in ("null", "nil", "none", "nan", "undefined", "n/a", "na", "tbd", "unknown", "missing", "empty")
    for each in (word, word.upper(), word.capitalize())
) | {"NaN", "N/a"}
_NO_VALUE = frozenset({"null", "NULL", "Null", "NaN", "nan", "undefined", "\\N"})
_SUMS = frozenset(
    each
    for word in ("total", "totals", "subtotal", "sum", "count", "summe", "gesamt", "gesamtsumme", "anzahl", "somme")
    for each in (word, word.upper(), word.capitalize())
)
# Words that a quick look has to stop at: they look as sound as any name.
WORDS = _NOTHING | _NO_VALUE | _SUMS

_SPREADSHEET_ERROR = re.compile(
    r"#(?:#+|N/?[ADV]|GETTING_DATA|[^\W\d_a-z][^\W\d_a-z0/]*[!?]|¡[^\W\d_a-z]+!)|Err:[0-9]{3}"
)
_SUM_ROW = re.compile(
    r"(?:grand total|(?:sub)?totals?|sum|count|summe|gesamt|anzahl|somme)\s*[:=]?\s*[0-9.,]*"
    r"|\(?[0-9,.]+ (?:rows?|records?|devices?|entries|Zeilen)\b[^0-9]*",
    re.IGNORECASE,
)
_RULED = re.compile(r"[-_=*.#~?\s]+")
_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec|Mrz|Mär|Mai|Okt|Dez)"
_DATE = re.compile(
    rf"[0-9]{{1,2}}/[0-9]{{1,2}}/(?:[0-9]{{2}}|[0-9]{{4}})|[0-9]{{1,2}}\.[0-9]{{1,2}}\.(?:19|20)[0-9]{{2}}"
    rf"|[0-9]{{1,2}}[-. ]+{_MONTH}(?:[-. ]+[0-9]{{2,4}})?|{_MONTH}[- ][0-9]{{2}}(?:[0-9]{{2}})?"
)
_NUMBER = re.compile(r"[+-]?[0-9]{1,3}(?:[,'’ \u00a0\u202f][0-9]{3})+(?:[.,][0-9]+)?|[+-]?[0-9]+[.,]0+")
_LONG_NUMBER = re.compile(r"[+-]?[0-9]{12,}[.,]0+")
_SAN = re.compile(
    r"(?:DNS|URI|URL|IP(?: Address)?|email|RFC822|DirName|othername|CN|Common ?Name)\s*:\s*.+", re.IGNORECASE
)
_MARKUP = re.compile(
    r"\{.*\}|\[.*\]|<[a-z/!].*>|.*&(?:amp|lt|gt|quot|apos|nbsp|#x?[0-9a-f]+);.*", re.IGNORECASE | re.DOTALL
)
_QUOTED = re.compile(r'".*"', re.DOTALL)
_ARN_LIKE = re.compile(r"arn:aws[a-z-]*:.*")
# UTF-8 that was read as Windows-1252: the lead octets of Latin letters, then a continuation octet.
_MOJIBAKE = re.compile("[ÃÂ][\u0080-\u00bf\u2013-\u203a\u20ac\u2122]")

_NAMES = (
    (_SUM_ROW, "is a total or a count, not a device: take the row out"),
    (_RULED, "is a line of signs, not a name: take the row out"),
    (_DATE, "is a date: a spreadsheet made it of something else, or it is in the wrong column"),
    (_NUMBER, "is a number as a spreadsheet shows it: format the column as text and export again"),
    (_SAN, "has a label before the value: give the value alone"),
    (_MARKUP, "is JSON or markup, not a name"),
    (_QUOTED, "has quotes around it that are part of the value: take them away"),
    (_ARN_LIKE, "is an ARN, not a name"),
)


def check_text(column: str, text: str) -> None:
    """Raise WrongValue for a text value (name, thing, CA, attribute) that certainly is something else."""
    told = _not_a_name(text) if column == "common_name" else _not_a_value(column, text)
    told = told or _never(column, text)
    if told:
        raise WrongValue(f"{shown(text)} {told}{OR_APOSTROPHE}")


def check_cell(text: str) -> None:
    """Raise WrongValue for a cell of any column, notes as well, that has no value in it."""
    if text.startswith("="):
        raise WrongValue(f"{shown(text)} is a formula, not a value: export values, not formulas{OR_APOSTROPHE}")
    if _SPREADSHEET_ERROR.fullmatch(text):
        raise WrongValue(f"{shown(text)} is a spreadsheet's error, not a value: mend it there and export again")


def _never(column: str, text: str) -> str | None:
    if text == column:
        return "is the name of the column: is the header in the file twice?"
    if "\ufffd" in text:
        return "has U+FFFD in it, in place of a character that was lost"
    if not text.isascii() and _MOJIBAKE.search(text):
        return "is UTF-8 that was taken for another encoding"
    return None


def _not_a_name(text: str) -> str | None:
    if text in _NOTHING or text in _NO_VALUE:
        return "says that there is no name: leave the cell empty"
    if text in _SUMS:
        return "is a total or a count, not a device: take the row out"
    if text.startswith("#"):
        return "begins with #: a list has no comments; take the row out"
    return next((told for pattern, told in _NAMES if pattern.fullmatch(text)), None)


def _not_a_value(column: str, text: str) -> str | None:
    if text in _NO_VALUE or (text in _NOTHING and not column.startswith("attr.")):
        return "says that there is no value: leave the cell empty"
    if _LONG_NUMBER.fullmatch(text):
        return "is a number as a spreadsheet shows it: format the column as text and export again"
    return "has quotes around it that are part of the value: take them away" if _QUOTED.fullmatch(text) else None
