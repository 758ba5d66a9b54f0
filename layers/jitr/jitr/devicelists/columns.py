"""The columns of a device list: what they are called, what a wrong name probably means, what a header must have."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache

from jitr.devicelists.rows import COLUMNS, KEY_KINDS
from jitr.text import cut, nearest
from jitr.unseen import quote
from jitr.values import dataclass

ATTRIBUTE_PREFIX = "attr."
MAX_COLUMNS = 200
NO_HEADINGS: Mapping[str, str] = {}
# How the digits in a column are read, where its name says so.
TYPES = ("hex", "dec")
_TYPED = {f"serial_number:{each}": each for each in TYPES}

# What people and other tools call the columns, without case, blanks and punctuation.
_ALSO_CALLED = {
    "common_name": ("commonname", "cn", "name", "device", "devicename", "deviceid"),
    "serial_number": ("serialnumber", "serial", "serialno", "sn", "certificateserialnumber", "certificateserial"),
    "certificate_sha256": ("certificatesha256", "certificateid", "fingerprint", "thumbprint", "sha256"),
    "public_key_sha256": ("publickeysha256", "publickey", "pubkey", "spki", "spkisha256", "publickeyhash", "keysha256"),
    "ca": ("caname", "caid", "cacertificateid", "issuer", "signer"),
    "thing_name": ("thingname", "thing"),
    "expires": ("expiry", "expiration", "expiresat", "expirydate", "validuntil", "notafter"),
    "note": ("notes", "comment", "comments", "remark", "remarks", "description"),
}
_MEANT = {called: column for column, names in _ALSO_CALLED.items() for called in names}
_KNOWN = f"names from {', '.join(COLUMNS)}, and {ATTRIBUTE_PREFIX}NAME for columns of your own"
_ATTRIBUTE_NAME = re.compile(r"[a-zA-Z0-9_.-]{1,64}")


@dataclass(frozen=True, slots=True)
class ColumnFault:
    """A mistake in one column; ``column`` is None if it concerns the whole row or header."""

    column: str | None
    message: str


def shown(text: str) -> str:
    """Quote a value for a message: harmless on a terminal, and short."""
    return quote(cut(text, 40))


@lru_cache(maxsize=1024)  # it is asked of the same few names for each row of a list
def is_column(name: str) -> bool:
    """Return whether a list may have a column of this name. The prefix of attributes twice is a slip."""
    if name.startswith(2 * ATTRIBUTE_PREFIX):
        return False
    if name.startswith(ATTRIBUTE_PREFIX):
        return _ATTRIBUTE_NAME.fullmatch(name, len(ATTRIBUTE_PREFIX)) is not None
    return name in COLUMNS


def under(heading: str, headings: Mapping[str, str]) -> str | None:
    """Return the column that a heading stands for; None for one that is not to be read.

    ``headings`` are those that a person gave columns for. A column's own name stands for itself, and without any given
    so does every other.
    """
    if heading in headings or not headings:
        return headings.get(heading, heading)
    return heading if is_column(typed(heading)[0]) and heading not in headings.values() else None


def typed(name: str) -> tuple[str, str | None]:
    """Return a column's name and type: ``serial_number:dec`` is ``serial_number``, and its digits are decimal."""
    kind = _TYPED.get(name)
    return (name, None) if kind is None else ("serial_number", kind)


def unknown_column(name: str) -> str:
    """Return the message for a name that is no column's."""
    if name.startswith("serial_number:"):
        return f"unknown type of column in {shown(name)}: it is serial_number:hex or serial_number:dec"
    meant = _meant(name)
    if meant:
        return f"unknown column {shown(name)}: did you mean {meant}?"
    if name.startswith(ATTRIBUTE_PREFIX):
        return f"{shown(name)}: after attr. come 1 to 64 of the characters a-z A-Z 0-9 _ . -"
    own = f"{ATTRIBUTE_PREFIX}{name if _ATTRIBUTE_NAME.fullmatch(name) else 'NAME'}"
    return f"unknown column {shown(name)}: one of your own is named {own}; the others are {', '.join(COLUMNS)}"


def _meant(name: str) -> str | None:
    """Return the column that a wrong name probably stands for."""
    base, _, kind = name.partition(":")
    if kind.strip().lower() in TYPES and _meant(base) == "serial_number":
        return f"serial_number:{kind.strip().lower()}"
    plain = re.sub(r"[\W_]", "", name).lower()
    if plain in _MEANT:
        return _MEANT[plain]
    attribute = re.fullmatch(r"(?:attr(?:ibutes?)?[\s._:-]++)++(.+)", name, re.IGNORECASE)
    if attribute and _ATTRIBUTE_NAME.fullmatch(attribute[1]):
        return ATTRIBUTE_PREFIX + attribute[1]
    return nearest(name[:64].lower(), COLUMNS, 0.75)


def without_partner(columns: Collection[str]) -> ColumnFault | None:
    """Report a serial number without its CA, or a CA without a serial number, in a row or a header."""
    if "serial_number" in columns and "ca" not in columns:
        return ColumnFault(
            "serial_number",
            "a serial number needs the column ca beside it: serial numbers are unique within a CA only",
        )
    if "ca" in columns and "serial_number" not in columns:
        return ColumnFault("ca", "ca goes with serial_number; alone it limits nothing (a rule's `ca` does)")
    return None


def header_faults(names: Sequence[str]) -> list[tuple[int, ColumnFault]]:
    """Return what is wrong with a header, by cell number from 1. An empty name stands for an empty column."""
    if len(names) > MAX_COLUMNS:
        return [(MAX_COLUMNS + 1, ColumnFault(None, f"there are {len(names)} columns: at most {MAX_COLUMNS} are read"))]
    named = [name for name in names if name]
    if not any(is_column(name) or _meant(name) for name in named):
        begins = f", and it begins with {shown(named[0])}" if named else ""
        why = f"the first line must name the columns{begins}: put a line above it with {_KNOWN}"
        return [(1, ColumnFault(None, why))]
    return list(_wrong_names(names)) or _missing_columns(names)


def _wrong_names(names: Sequence[str]) -> Iterator[tuple[int, ColumnFault]]:
    for number, name in enumerate(names, 1):
        first = names.index(name) + 1
        if name and not is_column(name):
            yield number, ColumnFault(None, unknown_column(name))
        elif name and first < number:
            yield number, ColumnFault(name, f"the column is there twice, first as number {first}")


def _missing_columns(names: Sequence[str]) -> list[tuple[int, ColumnFault]]:
    if not set(KEY_KINDS) & set(names):
        return [(1, ColumnFault(None, f"no column says which device: one of {', '.join(KEY_KINDS)} is needed"))]
    alone = without_partner(names)
    return [(names.index(alone.column) + 1, alone)] if alone and alone.column else []
