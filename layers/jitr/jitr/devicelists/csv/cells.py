"""The text that a CSV cell stands for after spreadsheets and other programs had it, and the cell for a text.

A leading apostrophe says "this is text, as it stands": writing puts it before what a spreadsheet would run as a
formula or turn into another value, and reading takes off exactly that one. Where a spreadsheet would split a cell at
another separator and run what comes after it, an apostrophe goes there, too.
"""

import re
from collections import Counter

from jitr.devicelists.columns import shown
from jitr.devicelists.csv.encodings import readings
from jitr.devicelists.csv.forms import (
    OR_APOSTROPHE,
    WORDS,
    Taken,
    check_cell,
    check_hash,
    check_text,
    common_name_of,
    hash_of,
)
from jitr.devicelists.csv.serials import UNDECIDED, Base, SerialNotation, from_decimal, may_be_either, unmarked
from jitr.devicelists.rows import COLUMNS
from jitr.devicelists.values import FLOAT, WrongValue, floated
from jitr.text import counted

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # OWASP, "CSV Injection"
# A spreadsheet whose separator is another one splits there, also within quotes that do not begin its cell.
_SPLIT = re.compile(r"([;|] *)('*[=+\-@＝＋－＠])")
_SPLIT_CELL = re.compile(r"([;|] *)'('*[=+\-@＝＋－＠])")
_TYPOGRAPHIC = re.compile(r"[“„‟«‹‘‚].*[”“»›’‘]", re.DOTALL)
# No value in these columns can begin with an apostrophe or a blank, so taking them off loses nothing.
_PLAIN = frozenset(COLUMNS) - {"common_name", "note"}
_HASHES = frozenset({"certificate_sha256", "public_key_sha256"})
_HEX = _HASHES | {"serial_number"}
_MAY_BE_HASHES = _HASHES | {"ca"}

# Most cells: nothing below is to be done with them. No long number, no date, no label, and no word of ``WORDS``.
_SOUND = re.compile(
    r"(?!(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)-|[A-Za-z0-9]{2,11}:)[A-Za-z][A-Za-z0-9_.:/-]*|[0-9]{1,11}"
    r"|(?:urn|[0-9A-Fa-f]{2}):[A-Za-z0-9_.:-]+"
)
_SOUND_NOTE = re.compile(r"[A-Za-z][A-Za-z0-9 _.,:;()/-]*(?<! )")
_BROKEN_SERIAL = re.compile(r"[0-9A-Fa-f][ \t]*[\r\n]\s*[0-9A-Fa-f]")
# Not octets, as programs write them with blanks between: two numbers, or one in groups.
_GROUPED_SERIAL = re.compile(r"(?![0-9A-Fa-f]{2}(?: [0-9A-Fa-f]{2})*\Z)[0-9A-Fa-f]+(?: +[0-9A-Fa-f]+)+")
_SOUND_SERIAL = re.compile(r"[0-9a-f]*[a-f][0-9a-f]*")
_TEXT_FORMULA = re.compile(r'=[ ]*"((?:[^"]|"")*+)"[ ]*')

# What a spreadsheet does not give back as it got it: numbers, dates, times, fractions, percentages, truth.
_CONVERTED = re.compile(
    r"0[0-9]+|[0-9]{12,}|[0-9.,]+e[0-9]+|[0-9]*[.,:/ -][0-9.,:/ -]*|[0-9.,]+ ?%|[$€£¥].*"
    r"|true|false|wahr|falsch"
    r"|(?:[0-9]{1,4}[-/. ]*)?(?:jan|feb|m[aä]r|mrz|apr|ma[iy]|jun|jul|aug|sep|o[ck]t|nov|de[cz])"
    r"[a-zä]*[-/. ]*[0-9]{0,4}",
    re.IGNORECASE,
)
_HASH_DIGITS = 64
_KEPT = 15  # digits of a number that a spreadsheet keeps: IEEE 754 binary64


def to_cell(column: str, text: str) -> str:
    """Write the cell for a text so that a spreadsheet neither runs nor changes it, and it reads as this text."""
    return "'" + _SPLIT.sub(r"\1'\2", text) if _needs_apostrophe(column, text) else text


class Cells:
    """The cells of one file, or of one row of values: the text of each, and what was taken for something else.

    ``serials`` says how digits in serial numbers are read. ``line`` is for the caller to set, so that what shows only
    in a whole column has a place.
    """

    def __init__(self, serials: SerialNotation = UNDECIDED) -> None:
        self.serials = serials
        self.line = 0
        self._forms: Counter[str] = Counter()
        self._digits_only = 0
        self._grouped = 0
        self._first_grouped = ""
        self._cut: dict[str, _Cut] = {}

    def text(self, column: str, cell: str) -> str:
        """Return the text that a cell stands for. Raises WrongValue where it has probably been damaged."""
        if column == "serial_number":
            return self._serial(cell)
        text = self._text(column, cell)
        if column in _MAY_BE_HASHES and len(text) >= _HASH_DIGITS:
            check_hash(text)
        return text

    def _text(self, column: str, cell: str) -> str:
        if _SOUND.fullmatch(cell) and cell not in WORDS and cell != column:
            return cell
        if column == "note" and _SOUND_NOTE.fullmatch(cell):
            return cell
        if not cell.isprintable():
            check_encoding(cell)
        taken = _text(column, cell)
        if isinstance(taken, Taken):
            self._forms[taken.form] += 1
            return taken.text
        if column not in _HASHES:
            self._look_for_cut(column, cell)
        return taken

    def _look_for_cut(self, column: str, cell: str) -> None:
        if len(cell) > _KEPT and cell.isdigit():
            self._cut.setdefault(column, _Cut(self.line, cell)).add(cell)

    def _serial(self, cell: str) -> str:
        self._look_for_cut("serial_number", cell.strip())
        if self.serials.base is Base.HEX and (
            _SOUND_SERIAL.fullmatch(cell) or (self.serials.why is None and cell.isdigit())
        ):
            return cell
        if not cell.isprintable():
            check_encoding(cell)
        digits, form = unmarked(cell)
        if form is not None:
            self._forms[form] += 1
        check_cell(digits)
        if _TYPOGRAPHIC.fullmatch(digits):
            _check_damage("serial_number", digits, digits)
        self._look_for_several(digits)
        if may_be_either(digits):
            self._digits_only += 1
            return self.serials.read(digits)
        return from_decimal(digits) if self.serials.base is Base.DEC else digits

    def _look_for_several(self, digits: str) -> None:
        if _BROKEN_SERIAL.search(digits):
            raise WrongValue(
                f"{shown(digits)} has a line break between digits: give each serial number a row of its own"
            )
        if _GROUPED_SERIAL.fullmatch(digits):
            self._grouped += 1
            if self._grouped == 1:
                self._first_grouped = f"{f'line {self.line}, ' if self.line else ''}{shown(digits)}"

    def said(self) -> tuple[str, ...]:
        """Return what was taken for something else, a sentence each: whoever made the file can see if that is right."""
        told = [f"read {counted(count, 'cell')} of the form {form} as x" for form, count in sorted(self._forms.items())]
        if self._digits_only and self.serials.why and self.serials.base is not None:
            other = Base.DEC if self.serials.base is Base.HEX else Base.HEX
            how = "decimal" if self.serials.base is Base.DEC else "hex"
            what = counted(self._digits_only, "serial number")
            told.append(
                f"read {what} of digits only as {how}: {self.serials.why} "
                f"(if that is wrong, name the column serial_number:{other.value})"
            )
        if self._grouped:
            what = counted(self._grouped, "serial number")
            told.append(
                f"read {what} with blanks as one number each (first {self._first_grouped}): "
                "if a cell has several, give each a row of its own"
            )
        return tuple(told)

    def damage(self) -> list[tuple[int, str, str]]:
        """Return what shows only in a whole column, as line, column and message: numbers of which digits were cut."""
        return [
            (each.line, column, f"{floated(each.first, 'this')}{OR_APOSTROPHE}")
            for column, each in self._cut.items()
            if each.all_cut and each.zeros >= _Cut.CERTAIN
        ]


class _Cut:
    """Long numbers of one column: whether all of them end in zeros from where a spreadsheet knows no more digits."""

    CERTAIN = 4  # zeros: one chance in ten thousand

    def __init__(self, line: int, first: str) -> None:
        self.line = line
        self.first = first
        self.zeros = 0
        self.all_cut = True

    def add(self, digits: str) -> None:
        tail = digits[_KEPT:]
        self.all_cut = self.all_cut and not tail.strip("0")
        self.zeros += len(tail)


def _text(column: str, cell: str) -> str | Taken:
    bare = cell.strip()
    if column in _PLAIN:
        if bare.startswith("'"):
            return bare[1:].strip()
    elif cell.startswith("'") and _needs_apostrophe(column, text := _SPLIT_CELL.sub(r"\1\2", cell[1:])):
        return text
    if quoted := _TEXT_FORMULA.fullmatch(bare):
        inner = _bare(column, quoted[1].replace('""', '"'))
        return Taken(inner.text if isinstance(inner, Taken) else inner, '="x"')
    return _bare(column, cell)


def _bare(column: str, cell: str) -> str | Taken:
    """Return the text of a cell without the marks that say how it is meant."""
    bare = cell.strip()
    check_cell(bare)
    if column == "note":
        return " ".join(bare.split()) if "\n" in bare or "\t" in bare else bare
    taken = None
    if column == "common_name":
        taken = common_name_of(bare)
    elif column in _HASHES or column == "ca":
        taken = hash_of(column, bare)
    if taken is not None:
        check_text(column, taken.text)
        return taken
    _check_damage(column, cell, bare)
    if column not in _HASHES and column != "expires":
        check_text(column, bare)
    return bare


def _needs_apostrophe(column: str, text: str) -> bool:
    """Return whether a spreadsheet, or ``Cells``, would take a bare cell of this text for something else."""
    if _SOUND.fullmatch(text) and text not in WORDS and text != column and not _CONVERTED.fullmatch(text):
        return False
    if text.startswith(("'", *_FORMULA)) or _SPLIT.search(text) or _CONVERTED.fullmatch(text) or FLOAT.fullmatch(text):
        return True
    if column in _HEX:
        return False
    try:
        return _bare(column, text) != text
    except WrongValue:
        return True


def _check_damage(column: str, cell: str, bare: str) -> None:
    if column not in _HASHES and FLOAT.fullmatch(bare):
        raise WrongValue(floated(bare, "this") + OR_APOSTROPHE)
    if column == "common_name" and bare != cell:
        raise WrongValue(f"{shown(cell)} has blanks around it: take them away{OR_APOSTROPHE}")
    if bare.startswith("'"):
        raise WrongValue(
            f"{shown(bare)} begins with an apostrophe: take it away, or write two if it is part of the name"
        )
    if _TYPOGRAPHIC.fullmatch(bare):
        raise WrongValue(f"{shown(bare)} has typographic quotes around it: take them away{OR_APOSTROPHE}")


def check_encoding(cell: str) -> None:
    """Raise WrongValue for a cell that was not decoded, with what it would read in encodings that are likely."""
    damaged = re.search("[\ud800-\udfff]", cell)
    if damaged is None:
        return
    code = ord(damaged[0])
    if 0xDC80 <= code <= 0xDCFF:  # PEP 383: a byte that could not be decoded
        raise WrongValue(
            f'byte 0x{code - 0xDC00:02X} is not UTF-8: save the list as "CSV UTF-8", not as plain CSV, or name its '
            f"encoding (`jitr lists import --encoding`); the cell reads {readings(cell)}"
        )
    raise WrongValue(f"U+{code:04X} is half a character: the file is damaged")
