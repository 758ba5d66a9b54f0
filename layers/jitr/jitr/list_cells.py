"""The text that a CSV cell stands for after spreadsheets and editors had it, and the cell that stands for a text.

A leading apostrophe says "this is text, as it stands": writing puts it before what a spreadsheet would run as a
formula or read as a number, and reading takes off exactly that one.
"""

import re

from jitr.list_columns import shown
from jitr.list_row import FLOAT, WrongValue, floated
from jitr.lists import COLUMNS

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # OWASP, "CSV Injection"
_TYPOGRAPHIC = re.compile(r"[“„‟«‹‘‚].*[”“»›’‘]", re.DOTALL)
# No value in these columns can begin with an apostrophe or a blank, so taking them off loses nothing.
_PLAIN = frozenset(COLUMNS) - {"common_name", "note"}
_HEX = frozenset({"serial_number", "certificate_sha256", "public_key_sha256"})

# Most cells: nothing below is to be done with them. One that begins with a letter is no floating-point number.
_SOUND = re.compile(r"[A-Za-z0-9]+|[A-Za-z][A-Za-z0-9_.:/-]*")

_OR_APOSTROPHE = "; if it is really so, put an apostrophe (') before it"


def to_cell(text: str) -> str:
    """The cell for a text: nothing that a spreadsheet runs, and nothing that it reads as another value."""
    return f"'{text}" if _mistakable(text) else text


def from_cell(column: str, cell: str) -> str:
    """The text that a cell stands for. Raises WrongValue where a spreadsheet or editor has probably damaged it."""
    if _SOUND.fullmatch(cell):
        return cell
    if not cell.isprintable():
        _check_encoding(cell)
    bare = cell.strip()
    if column in _PLAIN:
        if bare.startswith("'"):
            return bare[1:].strip()
    elif cell.startswith("'") and _mistakable(cell[1:]):
        return cell[1:]
    if column == "note":
        return " ".join(bare.split()) if "\n" in bare or "\t" in bare else bare
    _check_damage(column, cell, bare)
    return bare


def _mistakable(text: str) -> bool:
    """Whether a spreadsheet, or ``from_cell``, would take a bare cell of this text for something else."""
    return (
        text.startswith(("'", *_FORMULA))
        or text != text.strip()
        or FLOAT.fullmatch(text) is not None
        or _TYPOGRAPHIC.fullmatch(text) is not None
    )


def _check_damage(column: str, cell: str, bare: str) -> None:
    if column not in _HEX and FLOAT.fullmatch(bare):
        raise WrongValue(floated(bare, "this") + _OR_APOSTROPHE)
    if column == "common_name" and bare != cell:
        raise WrongValue(f"{shown(cell)} has blanks around it: take them away{_OR_APOSTROPHE}")
    if bare.startswith("'"):
        raise WrongValue(
            f"{shown(bare)} begins with an apostrophe: take it away, or write two if it is part of the name"
        )
    if _TYPOGRAPHIC.fullmatch(bare):
        raise WrongValue(f"{shown(bare)} has typographic quotes around it: take them away{_OR_APOSTROPHE}")


def _check_encoding(cell: str) -> None:
    damaged = re.search("[\ud800-\udfff]", cell)
    if damaged is None:
        return
    code = ord(damaged[0])
    if 0xDC80 <= code <= 0xDCFF:  # PEP 383: a byte that could not be decoded
        raise WrongValue(f'byte 0x{code - 0xDC00:02X} is not UTF-8: save the list as "CSV UTF-8", not as plain CSV')
    raise WrongValue(f"U+{code:04X} is half a character: the file is damaged")
