"""Serial numbers in a list: hex as openssl prints them, or decimal as step-ca, cfssl, Python and Ansible do.

Digits alone may be either. A column says it by its type (``serial_number:hex``, ``serial_number:dec``); without one,
the whole column and the devices on record tell.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import field
from enum import Enum

from jitr.devicelists.columns import NO_HEADINGS, shown, under
from jitr.devicelists.csv.records import BadCsvRecord, CsvRecord, read_records
from jitr.devicelists.values import FLOAT, MAX_SERIAL, WrongValue, floated
from jitr.values import dataclass

_MAX_DECIMAL = len(str(2**160 - 1))  # RFC 5280 section 4.1.2.2: at most 20 octets
_SAMPLE = 4096  # cells that are looked for among the devices on record

_TEXT_FORMULA = re.compile(r'=[ ]*"((?:[^"]|"")*+)"')
_LABEL = re.compile(r"serial(?: ?number)?\s*[=:]\s*", re.IGNORECASE)
_BOTH = re.compile(r"([0-9]{1,49}) \(0x([0-9a-f]{1,40})\)", re.IGNORECASE)  # openssl x509 -text, of small ones
_PLAIN_DIGITS = re.compile(r"\A(-?)(?!0x)(?=[0-9a-f])", re.IGNORECASE)
_SPACED = re.compile(r"-?[0-9\s]+")
_TWO_WAYS = re.compile(r"-?[0-9]{2,49}")
_SURELY_HEX = re.compile(
    r"\(negative\).*|-?\s*(?=[0-9a-f\s]*[a-fx:])(?:0x)?[0-9a-f][0-9a-f:\s]*+", re.IGNORECASE | re.DOTALL
)


class Base(Enum):
    """How the digits of a serial number are read."""

    HEX = "hex"
    DEC = "dec"


@dataclass(frozen=True, slots=True)
class SerialNotation:
    """How a file's serial numbers are read, and why; ``base`` is None where that cannot be told."""

    base: Base | None
    why: str | None = None  # None where the header says it

    def read(self, digits: str) -> str:
        """Return the hex of digits that may be hex or decimal. Raises WrongValue where that cannot be told."""
        if self.base is Base.DEC:
            return from_decimal(digits)
        if (
            self.base is Base.HEX or len(digits.lstrip("-")) > MAX_SERIAL
        ):  # too long for hex: whoever checks hex tells that
            return digits
        told = f"{shown(digits)} may be hex or decimal"
        raise WrongValue(f"{told}: name the column serial_number:hex or serial_number:dec")


UNDECIDED = SerialNotation(None)


@dataclass(frozen=True, slots=True)
class SerialColumn:
    """The signs of decimal or hex in a column of serial numbers. ``sample``: CA, digits of cells that may be either."""

    base: Base | None
    why: str = ""
    sample: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class KnownSerials:
    """Serial numbers of devices on record, by every name of their CA (its id and its aliases)."""

    by_ca: dict[str, set[str]] = field(default_factory=dict)

    def add(self, names: Iterable[str], serial: str) -> None:
        """Note a device."""
        for name in names:
            self.by_ca.setdefault(name, set()).add(serial)


def from_decimal(text: str) -> str:
    """Return the hex digits of a decimal number. Raises WrongValue for one beyond 20 octets, and for no number."""
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()):
        if FLOAT.fullmatch(text):
            raise WrongValue(floated(text, "this number"))
        raise WrongValue(f"{shown(text)} is not decimal: only 0-9, because the column is read as decimal")
    if len(digits.lstrip("0")) > _MAX_DECIMAL or int(digits) >= 2**160:
        raise WrongValue(f"{len(digits)} decimal digits: a serial number has at most 20 octets (RFC 5280)")
    return f"{int(text):x}"


def unmarked(cell: str) -> tuple[str, str | None]:
    """Return the digits of a cell without what was put around them, and the form that this had, None for none.

    Raises WrongValue where two numbers in it differ.
    """
    text = cell.strip()
    form = None
    if text.startswith("'"):
        return text[1:].strip(), None
    if quoted := _TEXT_FORMULA.fullmatch(text):
        text, form = quoted[1].strip(), '="x"'
    if label := _LABEL.match(text):
        text, form = text[label.end() :], "serial=x"
        if not _BOTH.fullmatch(text):
            return _PLAIN_DIGITS.sub(r"\g<1>0x", text, count=1), form  # openssl prints hex
    if both := _BOTH.fullmatch(text):
        if int(both[1]) != int(both[2], 16):
            raise WrongValue(f"{shown(text)}: the two numbers differ")
        return f"0x{both[2]}", "10 (0xA)"
    return ("".join(text.split()) if _SPACED.fullmatch(text) else text), form


def may_be_either(digits: str) -> bool:
    """Return whether digits are another number in hex than in decimal."""
    return _TWO_WAYS.fullmatch(digits) is not None and bool(digits[:-1].strip("-0"))


def look(pieces: Callable[[], Iterable[bytes]], headings: Mapping[str, str] = NO_HEADINGS) -> SerialColumn:
    """Return what a file's serial numbers show, read up to the first that can only be hex.

    ``pieces`` begins the file again each time that it is called. ``headings`` give columns for what it calls them.
    """
    return look_at(read_records(pieces()), headings)


def look_at(records: Iterator[CsvRecord | BadCsvRecord], headings: Mapping[str, str] = NO_HEADINGS) -> SerialColumn:
    """Return what a file's serial numbers show, read up to the first record that can only be hex."""
    first = next(records, None)
    if not isinstance(first, CsvRecord):
        return SerialColumn(Base.HEX)
    names = [under(each.strip(), headings) for each in first.cells]
    if "serial_number" not in names:
        return SerialColumn(Base.HEX)
    column, ca = names.index("serial_number"), names.index("ca") if "ca" in names else None
    sample: list[tuple[str, str]] = []
    long = False
    for record in records:
        if not isinstance(record, CsvRecord) or len(record.cells) <= column or not record.cells[column]:
            continue
        digits = _digits(record.cells[column])
        if digits is None:
            return SerialColumn(Base.HEX, "others in the column have hex digits or are written as hex")
        if not may_be_either(digits):
            continue
        long = long or len(digits.lstrip("-0")) > MAX_SERIAL
        if len(sample) < _SAMPLE:
            of = record.cells[ca].strip() if ca is not None and ca < len(record.cells) else ""
            sample.append((of.lower() if len(of) == 64 else of, digits))
    if long:
        return SerialColumn(Base.DEC, f"some have more than {MAX_SERIAL} digits", ())
    return SerialColumn(None if sample else Base.HEX, "", tuple(sample))


def _digits(cell: str) -> str | None:
    """Return the digits of a cell, None if they can only be hex; a cell that is no number says nothing."""
    if cell.isdigit():
        return cell
    try:
        text, _ = unmarked(cell)
    except WrongValue:
        return ""
    return None if _SURELY_HEX.fullmatch(text) else text


def judge(looked: SerialColumn, known: KnownSerials) -> SerialNotation:
    """Decide how serial numbers are read: by themselves, by the devices on record, by the length of the CA's others.

    Where nothing tells, digits alone are decimal. Where records fit either way, nothing is decided.
    """
    if looked.base is not None:
        return SerialNotation(looked.base, looked.why)
    hits = {base: sum(_is_known(known, ca, digits, base) for ca, digits in looked.sample) for base in Base}
    if all(hits.values()):
        return UNDECIDED
    for base, count in hits.items():
        if count:
            return SerialNotation(
                base, "so " + ("one is a device" if count == 1 else f"{count} are devices") + " on record"
            )
    fitting = [base for base in Base if _is_usual(known, looked.sample, base)]
    if len(fitting) == 1:
        return SerialNotation(fitting[0], "so they are as long as the CA's others on record")
    return SerialNotation(Base.DEC, "every one of them is digits only")


def _hex_of(digits: str, base: Base) -> str:
    sign = "-" if digits.startswith("-") else ""
    return f"{int(digits):x}" if base is Base.DEC else sign + digits.lstrip("-0")


def _is_known(known: KnownSerials, ca: str, digits: str, base: Base) -> bool:
    return _hex_of(digits, base) in known.by_ca.get(ca, ())


def _is_usual(known: KnownSerials, sample: Iterable[tuple[str, str]], base: Base) -> bool:
    """Return whether read so, all serial numbers are about as long as others of their CA."""
    lengths = {ca: {len(each) for each in serials} for ca, serials in known.by_ca.items()}
    told = [(len(_hex_of(digits, base)), lengths[ca]) for ca, digits in sample if ca in lengths]
    return bool(told) and all(min(usual) - 2 <= length <= max(usual) for length, usual in told)
