"""What a device is searched by: the beginning of whatever somebody reads out of it.

A record's search keys are kept beside it in the table, one item each. Names are compared without case, digits without
leading zeros, as people and tools write them differently.
"""

import re
from collections.abc import Iterator

from jitr.records.record import Record

# What is searched. A thing's name is a name as well: mostly it is the common name, and then costs nothing more.
NAME, SERIAL, DECIMAL, SHA256 = "name", "serial", "decimal", "sha256"

# A certificate may repeat its common name as often as it has bytes, and each makes an item.
MOST_NAMES = 4
_LONGEST = 100  # characters of a name: a key has at most 1,024 bytes, and a character at most four
_LONGEST_DECIMAL = 20  # digits, those of 64 bits: nobody reads a longer number out in decimal

_HEX = re.compile("[0-9a-f]{1,64}")
_DIGITS = re.compile("[0-9]{1,60}")


def search_keys(record: Record) -> tuple[str, ...]:
    """Return everything that the device of a record is searched by, as ``<kind>#<value>``."""
    return tuple(dict.fromkeys(_keys(record)))


def _keys(record: Record) -> Iterator[str]:
    yield f"{SHA256}#{record.certificate_id}"
    if record.grant is not None and record.grant.get("thing") is not None:
        yield f"{NAME}#{_folded(record.grant['thing'])}"
    if record.facts is None:
        return
    yield f"{SHA256}#{record.facts['public_key_sha256']}"
    names = (each["value"] for each in record.facts["subject"] if each["name"] == "common_name")
    for name in list(filter(None, names))[:MOST_NAMES]:
        yield f"{NAME}#{_folded(name)}"
    serial = str(record.facts["serial_number"])
    if _HEX.fullmatch(serial):
        yield f"{SERIAL}#{_plain(serial)}"
        decimal = str(int(serial, 16))
        if len(decimal) <= _LONGEST_DECIMAL:
            yield f"{DECIMAL}#{decimal}"


def beginnings(text: str) -> tuple[str, ...]:
    """Return the beginnings of search keys that a text may mean: none where it is empty.

    One that ends in ``#`` means the whole value: the serial number that a long decimal number is.
    """
    text = text.strip()
    compact = re.sub(r"[\s:]", "", text).lower()
    found = [f"{NAME}#{_folded(text)}"] if text else []
    if _HEX.fullmatch(compact):
        found += [f"{SHA256}#{compact}", f"{SERIAL}#{_plain(compact)}"]
    if _DIGITS.fullmatch(compact):
        found += [f"{DECIMAL}#{_plain(compact)}", f"{SERIAL}#{int(compact):x}#"]
    return tuple(found)


def is_meant(record: Record, wanted: tuple[str, ...]) -> bool:
    """Return whether a device is one that a text means, as it is on record now."""
    return any(f"{key}#".startswith(wanted) for key in search_keys(record))


def _folded(name: str) -> str:
    return name.casefold()[:_LONGEST]


def _plain(digits: str) -> str:
    return digits.lstrip("0") or "0"
