"""The values of a row of a device list: what each column takes, and what a row must have.

For rows from anywhere: CSV, a command's ``COLUMN=VALUE``, the lists in a rules file's tests. A name is never cleaned
up: one that looks damaged is a fault, not another name.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache

from jitr.devicelists.columns import ATTRIBUTE_PREFIX, ColumnFault, is_column, shown, unknown_column, without_partner
from jitr.devicelists.rows import KEY_KINDS, MAX_COMMON_NAME, ListRow
from jitr.errors import InputError
from jitr.iot_names import THING_NAME
from jitr.times import parse_time
from jitr.unseen import JOINERS, VARIATION_SELECTORS, first_unseen

MAX_SERIAL = 40  # hex digits: RFC 5280 section 4.1.2.2, 20 octets
MAX_CA = 64  # characters, as the rules take an alias
MAX_ATTRIBUTE = 800  # characters: AWS IoT's limit for the value of a thing attribute
MAX_NOTE = 1024


class WrongValue(InputError):
    """A value that its column cannot take; the message says why and what to do."""


def read_row(
    values: Mapping[str, str], text_of: Callable[[str, str], str] = lambda _, value: value
) -> ListRow | tuple[ColumnFault, ...]:
    """Return one row from its values by column name, or all that is wrong with it.

    ``text_of(column, value)`` is the text that a value stands for, where it does not stand for itself; it raises
    WrongValue where it stands for none.
    """
    if not all(map(is_column, values)):
        return tuple(ColumnFault(None, unknown_column(name)) for name in values if not is_column(name))
    fields: dict[str, str | datetime] = {}
    attributes: dict[str, str] = {}
    faults = []
    for column, value in values.items():
        try:
            text = text_of(column, value)
            check = _CHECKS.get(column)
            if check is None:
                attributes[column.removeprefix(ATTRIBUTE_PREFIX)] = _attribute(text)
            else:
                fields[column] = check(text)
        except WrongValue as wrong:
            faults.append(ColumnFault(column, str(wrong)))
    if not faults and (fault := _row_fault(fields)):
        faults.append(fault)
    if faults:
        return tuple(faults)
    return ListRow(**fields, attributes=attributes)  # type: ignore[arg-type]


def _row_fault(fields: Mapping[str, object]) -> ColumnFault | None:
    if alone := without_partner(fields):
        return alone
    if fields.keys().isdisjoint(KEY_KINDS):
        return ColumnFault(None, f"the row names no device: give {', '.join(KEY_KINDS[:-1])} or {KEY_KINDS[-1]}")
    return None


# --- hex

FLOAT = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]+)?[eE][+-][0-9]+")  # what a spreadsheet makes of a long number

_HEX_DIGITS = re.compile(r"[0-9a-f]+")
_OTHER_HASHES = {32: "that is an MD5", 40: "that is a SHA-1", 63: "a leading zero is lost", 96: "that is a SHA-384"}
_CA_ID = re.compile(r"[0-9a-fA-F]{64}")
_CA_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")  # as the rules take an alias


def floated(text: str, what: str) -> str:
    """Return the message for a value of which a spreadsheet kept the first digits only."""
    return (
        f"{shown(text)}: a spreadsheet turned {what} into a floating-point number; digits are lost:"
        " format the column as text and export again"
    )


def _hex(text: str) -> str:
    """Return the digits of a hex number, lower case, without ``0x``, colons and blanks."""
    if _HEX_DIGITS.fullmatch(text):
        return text
    digits = re.sub(r"[\s:]", "", text).lower().removeprefix("0x")
    if _HEX_DIGITS.fullmatch(digits):
        return digits
    if FLOAT.fullmatch(text) or re.fullmatch(r"[0-9]+[.,]0+", text):
        raise WrongValue(floated(text, "this hex number"))
    raise WrongValue(f"{shown(text)} is not hex: only 0-9 and a-f; 0x, colons and blanks may be there too")


# As in "-1f", and as `openssl x509 -text` prints a negative one: " (Negative)1f:a0".
_NEGATIVE = re.compile(r"\s*(?:-|\(negative\))\s*", re.IGNORECASE)


def _serial_number(text: str) -> str:
    """RFC 5280 section 4.1.2.2 asks users to be ready for serial numbers that are zero or negative, too."""
    if (sign := _NEGATIVE.match(text)) and not FLOAT.fullmatch(text):
        digits = _positive(text[sign.end() :])
        return digits if digits == "0" else f"-{digits}"
    return _positive(text)


def _positive(text: str) -> str:
    digits = _hex(text).lstrip("0") or "0"
    if len(digits) > MAX_SERIAL:
        hint = ", as many as a SHA-256: is it in the wrong column?" if len(digits) > 60 else ""
        if len(digits) < 50 and digits.isdigit():  # 20 octets are 49 decimal digits
            hint = "; is it decimal? Then name the column serial_number:dec"
        raise WrongValue(f"{len(digits)} hex digits: a serial number has at most {MAX_SERIAL} (RFC 5280){hint}")
    return digits


def _sha256(text: str) -> str:
    if len(text) == 44 and re.fullmatch(r"[A-Za-z0-9+/]{43}=", text):
        raise WrongValue(f"{shown(text)} is base64: give the SHA-256 as 64 hex digits")
    digits = _hex(text)
    if len(digits) != 64:
        hint = _OTHER_HASHES.get(len(digits))
        raise WrongValue(f"{len(digits)} hex digits: a SHA-256 has 64" + (f"; {hint}" if hint else ""))
    return digits


def _ca(text: str) -> str:
    if len(text) >= 64 and _CA_ID.fullmatch(digits := re.sub(r"[\s:]", "", text)):
        return digits.lower()
    _check_text(text)
    if len(text) > MAX_CA or _CA_NAME.fullmatch(text) is None:
        raise WrongValue(f"{shown(text)} is neither the rules' name for a CA nor a caCertificateId (64 hex digits)")
    return text


# --- times

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOMENT = re.compile(
    rf"{_DAY.pattern}[Tt ][0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}}(?:\.[0-9]{{1,9}})?(?:[Zz]|[+-][0-9]{{2}}:[0-9]{{2}})"
)
_LOCAL_DAY = re.compile(r"[0-9]{1,4}[./-][0-9]{1,2}[./-][0-9]{1,4}.*|[0-9]{5}")


@lru_cache(maxsize=256)  # the rows of a list have few different ones
def _expires(text: str) -> datetime:
    """Return the first moment at which the row counts as absent. A day is the last one on which it counts."""
    try:
        if _DAY.fullmatch(text):
            return _end_of(date.fromisoformat(text))
        if _MOMENT.fullmatch(text):
            moment = parse_time(text.upper())
            return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    except (ValueError, OverflowError):
        raise WrongValue(f"{shown(text)}: there is no such day or time") from None
    if _DAY.match(text):
        raise WrongValue(f"{shown(text)}: a time needs seconds and an offset, Z for UTC, as in 2026-06-30T12:00:00Z")
    if _LOCAL_DAY.fullmatch(text):
        raise WrongValue(f"{shown(text)} is a date as one country or one spreadsheet writes it: write 2026-06-30")
    raise WrongValue(f"{shown(text)} is neither a day, 2026-06-30, nor a time with its offset, 2026-06-30T12:00:00Z")


def _end_of(day: date) -> datetime:
    if day == date.max:  # the 99991231235959Z of RFC 5280 section 4.1.2.5: no end
        return datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    return datetime.combine(day + timedelta(days=1), time.min, UTC)


# --- text

# For people, and matched with nothing: scripts and emoji that are written with them stay.
_IN_NOTES = dict.fromkeys(map(ord, JOINERS + VARIATION_SELECTORS))


def _thing_name(text: str) -> str:
    if not THING_NAME.takes(text):
        raise WrongValue(f"{shown(text)} is not a thing name: 1 to 128 of the characters a-z A-Z 0-9 : _ -")
    return text


def _common_name(text: str) -> str:
    _check_text(text)
    size = len(text.encode())
    if size > MAX_COMMON_NAME:
        raise WrongValue(f"{size} bytes: at most {MAX_COMMON_NAME} are read")
    return text


def _attribute(text: str) -> str:
    _check_text(text)
    if len(text) > MAX_ATTRIBUTE:
        raise WrongValue(f"{len(text)} characters: an attribute of a thing has at most {MAX_ATTRIBUTE}")
    return text


def _note(text: str) -> str:
    _check_text(text.translate(_IN_NOTES) or text)
    if len(text) > MAX_NOTE:
        raise WrongValue(f"{len(text)} characters: at most {MAX_NOTE} are kept")
    return text


def _check_text(text: str) -> None:
    """Raise WrongValue for blank text and for invisible characters: they make two names look like one."""
    if not text.strip():
        raise WrongValue("there are only blanks")
    found = first_unseen(text)
    if found is not None:
        character, why = found
        raise WrongValue(f"{shown(text)} contains U+{ord(character):04X}, which is {why}: take it away")


_CHECKS: Mapping[str, Callable[[str], str | datetime]] = {
    "common_name": _common_name,
    "serial_number": _serial_number,
    "ca": _ca,
    "certificate_sha256": _sha256,
    "public_key_sha256": _sha256,
    "thing_name": _thing_name,
    "expires": _expires,
    "note": _note,
}
