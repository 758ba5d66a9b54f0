"""The row of a device list that a device may have been meant by, where it is not on the list itself.

Rows are found by whole keys, so nothing near can be asked for. Instead a bounded number of spellings is looked up,
those that people and spreadsheets make of a device's own names: another case, another separator, zeros before a number,
characters that look alike, one left out, doubled or swapped; a serial number under another CA, or in decimal digits.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Literal

from jitr.decision.decide import Decision
from jitr.devicelists.rows import ListRow, RowKey, is_listable
from jitr.facts import Knock
from jitr.rules.model import Rules

MOST_SPELLINGS = 400  # of one device, in each list: four requests
_MOST_NAMES = 2  # common names of a certificate that are looked at
_MOST_LISTS = 5
_ALIKE = ("0Oo", "1lIi", "5Ss", "8B", "2Zz", "6G", "uv", "mn", "CcG")
_SEPARATORS = ("-", "_", ".", " ", "", ":", "/")
_HYPHENS = ("\u2010", "\u2011", "\u2012", "\u2013", "\u2212", "\uff0d")  # drawn as the one of the keyboard
_FORMS: tuple[Literal["NFC", "NFD", "NFKC"], ...] = ("NFC", "NFD", "NFKC")
_NUMBER = re.compile("[0-9]+")

Find = Callable[[str, Sequence[RowKey]], Mapping[RowKey, ListRow]]  # rows of a list by its name, and keys


def with_near_rows(decision: Decision, knock: Knock, rules: Rules, find: Find) -> Decision:
    """Return the decision with the nearest row named wherever it says that the device is not on a list."""
    told = [each.message for miss in decision.near_misses for each in miss.failed]
    missed = [name for name in rules.lists if any(_not_on(name) in each for each in told)][:_MOST_LISTS]
    keys = list(islice(_keys(knock, rules), MOST_SPELLINGS)) if missed else []
    for name in missed:
        found = find(name, keys)
        nearest = next((each for each in keys if each in found), None)
        if nearest is not None:
            decision = _named(decision, _not_on(name), f"{_not_on(name)}; nearest row {_row(nearest, knock)}")
    return decision


def _not_on(name: str) -> str:
    return f"list {name}: not on it"  # as jitr.rules.conditions tells it


def _named(decision: Decision, told: str, instead: str) -> Decision:
    misses = tuple(
        replace(miss, failed=tuple(replace(each, message=each.message.replace(told, instead)) for each in miss.failed))
        for miss in decision.near_misses
    )
    reasons = tuple(replace(each, message=each.message.replace(told, instead)) for each in decision.reasons)
    return replace(decision, reasons=reasons, near_misses=misses)


def _row(key: RowKey, knock: Knock) -> str:
    if key.kind != "serial_number":
        names = "".join(knock.certificate.values("common_name"))
        odd = _odd(key.value, names, "the row has") or _odd(names, key.value, "the certificate has")
        return f"{key.value}{odd}"
    ca, _, serial = key.value.rpartition("/")
    return f"serial_number {serial} of ca {ca}"


def _odd(text: str, other: str, who: str) -> str:
    """Name the first character that one has and the other has not, where nobody would see it."""
    first = next((each for each in text if not each.isascii() and each not in other), None)
    return "" if first is None else f" ({who} U+{ord(first):04X}, {unicodedata.name(first, 'no name')})"


def _keys(knock: Knock, rules: Rules) -> Iterator[RowKey]:
    """Yield each key once, what is most likely first."""
    names = dict.fromkeys(knock.certificate.values("common_name"))
    mine = (*sorted(knock.aliases), knock.ca_certificate_id)
    serial = knock.certificate.serial_number
    decimal = [str(int(serial, 16))] if re.fullmatch("[0-9a-f]+", serial) else []
    yield from (RowKey("serial_number", f"{ca}/{each}") for ca in mine for each in decimal if each != serial)
    yield from (RowKey("serial_number", f"{ca}/{serial}") for ca in sorted(rules.cas) if ca not in mine)
    for name in islice(names, _MOST_NAMES):
        yield from (RowKey("common_name", each) for each in spellings(name) if each not in names and is_listable(each))


def spellings(name: str) -> Iterator[str]:
    """Yield what people and spreadsheets make of a name: each once, the most likely first, never the name itself."""
    seen = {name, ""}
    for each in _spellings(name):
        if each not in seen:
            seen.add(each)
            yield each


def _spellings(name: str) -> Iterator[str]:
    yield from (name.strip(), name.upper(), name.lower(), name.capitalize(), f"{name} ", f" {name}")
    yield from _zeros(name)
    for separator in _SEPARATORS:
        for other in _SEPARATORS:
            if separator:
                yield name.replace(separator, other)
    yield from _drawn_alike(name)
    yield from re.split(r"[./:@ ]", name)  # snr-1.plant.example, ou/snr-1
    places = range(len(name))
    for place in places:
        for alike in _ALIKE:
            if name[place] in alike:
                yield from (name[:place] + each + name[place + 1 :] for each in alike)
    yield from (name[:place] + name[place + 1 :] for place in places)
    yield from (name[:place] + name[place] + name[place:] for place in places)
    yield from (name[:place] + name[place + 1] + name[place] + name[place + 2 :] for place in places[:-1])
    for place in reversed(places):  # the last digit is the first to be mistyped
        if name[place].isdecimal():
            yield from (name[:place] + digit + name[place + 1 :] for digit in "0123456789")
    yield from (name + digit for digit in "0123456789")


def _drawn_alike(name: str) -> Iterator[str]:
    """Yield the name with other hyphens, and in other forms of Unicode."""
    for hyphen in _HYPHENS:
        yield from (name.replace("-", hyphen), name.replace(hyphen, "-"))
    yield from (unicodedata.normalize(form, name) for form in _FORMS)


def _zeros(name: str) -> Iterator[str]:
    """Yield the name with zeros before its last number taken off, or some put on."""
    number = next(reversed(list(_NUMBER.finditer(name))), None)
    if number is None:
        return
    before, digits, after = name[: number.start()], number[0].lstrip("0") or "0", name[number.end() :]
    yield from (before + digits.zfill(width) + after for width in range(1, 13))
