"""Names that a certificate may carry, and that are more often a slip: patterns, several devices in a cell, odd letters.

None of them is an error: X.520 lets a common name have ``*``, ``;``, blanks and letters of every script. A row is found
by its exact name, so a slip keeps nobody out and lets nobody in. Whoever imports it is told.
"""

import re
import unicodedata

from jitr.devicelists.columns import shown
from jitr.devicelists.rows import ListRow
from jitr.values import dataclass

_AS_THEY_ARE = "a list takes names as they are"
_EACH_A_ROW = "give each device a row of its own"

# Most names. Two dots may be a range, as a name twice with other numbers, and a run of x a placeholder.
_SOUND = re.compile(r"(?!.*(?:\.\.|[xX]{3})|([A-Za-z][A-Za-z_.-]*)[0-9]{3,}-\1[0-9]{3})[A-Za-z0-9_.:-]+")

# What shells, SQL, regular expressions and people write for "any". Searched for, so that no name takes long.
_PATTERN = re.compile(
    r"[*?]|%\Z|\A\^|\$\Z|\\[dws]|\.\+|\[[^\[\]-]*-[^\[\]]*\]|\{[0-9]+(?:,[0-9]*|\.\.[0-9]+)?\}"
    r"|[-_.]#|##\Z|(?<![A-Za-z])[xX]{3,}"
)
_CUT_OFF = re.compile(r"[^.\s](?:\.{2,}|…)\Z")
_OPEN_END = re.compile(r"[,;|]\Z")
_RANGE = re.compile(r"[0-9] ?\.\.+ ?[^ .]|([A-Za-z][A-Za-z_.-]*)[0-9]{3,}-\1[0-9]{3}")
# Between several, in a name of which each run of blanks is one.
_CERTAINLY_BETWEEN = re.compile(r" ?[;|] ?")
_COMMA = re.compile(r" ?, ?")
_BETWEEN = re.compile(r" ?(?:[,&+/]|…|[–—]|->|→) ?| (?:and|to|bis|und|-) | ")
_WORD = re.compile(r"[A-Za-z0-9]+")
_NUMBER = re.compile(r"[0-9]+")
_LONG_NUMBER = 8  # digits: shorter ones beside each other may be one name

_HYPHEN_LIKE = re.compile(r"[\u2010\u2011\u2212\ufe63\uff0d]|(?<=[A-Za-z0-9])[\u2012-\u2015](?=[A-Za-z0-9])")
_LETTERS = re.compile(r"[^\W\d_]+")
# Cyrillic and Greek letters that are drawn as Latin ones: https://www.unicode.org/Public/security/16.0.0/confusables.txt
_DRAWN_AS_LATIN = frozenset("АВЕЅІЈКМНОРСТУХаеорсухіјѕԁһԛԝΑΒΕΖΗΙΚΜΝΟΡΤΥΧον")
_LIGATURES = range(0xFB00, 0xFB07)

_COUNT = re.compile(r"[\s:=]([0-9][0-9.,']*)\Z")
_FEW = 3  # names: from fewer, nobody can tell what the others look like


@dataclass(frozen=True, slots=True)
class Doubt:
    """A probable slip: the column, and what it looks like."""

    column: str
    message: str


class Names:
    """The names of one list, told one after the other."""

    def __init__(self) -> None:
        self._count = 0
        self._numbered = 0

    def doubt(self, row: ListRow) -> Doubt | None:
        """Return what makes the name of the next row doubtful; None where nothing does, or it has none."""
        name = row.common_name
        if name is None:
            return None
        found = _doubt(name) or self._sum(name)
        self._count += 1
        self._numbered += _NUMBER.search(name) is not None
        return None if found is None else Doubt("common_name", f"{shown(name)} {found}")

    def _sum(self, name: str) -> str | None:
        """Say that a name looks like a total: a word among numbered names, or a word and the row count before it."""
        if self._count < _FEW:
            return None
        if self._numbered == self._count and _NUMBER.search(name) is None:
            return "has no number in it, as all before it have: is it a total or a heading? Then take the row out"
        counted = _COUNT.search(name)
        if counted is None or _NUMBER.search(word := name[: counted.start()]) or not _LETTERS.search(word):
            return None
        if re.sub(r"\D", "", counted[1]) == str(self._count):
            return "is a word and the number of rows before it: is it a total? Then take the row out"
        return None


def _doubt(name: str) -> str | None:
    if _SOUND.fullmatch(name):
        return None
    if not name.isascii() and (odd := odd_letters(name)):
        return odd
    if are_several(name):
        return f"looks like several devices: {_EACH_A_ROW}"
    if _CUT_OFF.search(name) or _OPEN_END.search(name):
        return f"looks cut off: {_AS_THEY_ARE}, whole"
    if _PATTERN.search(name):
        return f"looks like a pattern: {_AS_THEY_ARE}"
    return None


def are_several(name: str) -> bool:
    """Return whether a name looks like two or more of one kind, as in ``a-1;a-2``, ``a-1 a-2`` and ``a1..a9``."""
    name = " ".join(name.split())
    if _RANGE.search(name) or len([each for each in _CERTAINLY_BETWEEN.split(name) if each]) > 1:
        return True
    listed = _COMMA.split(name)
    if len(listed) > 1 and all(_NUMBER.search(each) and " " not in each for each in listed):
        return True
    parts = [each for each in _BETWEEN.split(name) if each]
    return len(parts) > 1 and len(set(parts)) > 1 and all(_alike(parts[0], each) for each in parts[1:])


def _alike(one: str, other: str) -> bool:
    if one.isdigit() and other.isdigit():
        return len(one) == len(other) >= _LONG_NUMBER
    if not (_NUMBER.search(one) and _NUMBER.search(other)) or one.isdigit() or other.isdigit():
        return False
    same_shape = _NUMBER.sub("0", one) == _NUMBER.sub("0", other)
    return same_shape or (len(one) == len(other) and _WORD.sub("x", one) == _WORD.sub("x", other) != "x")


def odd_letters(name: str) -> str | None:
    """Return what is odd about the characters of a name, to follow it: they look like others. None where nothing is.

    Unicode Standard Annex 15 (normalization forms), Unicode Technical Standard 39 (mixed scripts).
    """
    exact = "a name is compared exactly as the certificate writes it"
    if found := _HYPHEN_LIKE.search(name):
        return f"has {_named(found[0])} in place of a hyphen: {exact}"
    if not unicodedata.is_normalized("NFC", name):
        return f"has letters and their accents apart (not Unicode's form NFC): {exact}"
    plain = unicodedata.normalize("NFKC", name).isascii()  # else fullwidth digits may be among ideographs
    if plain and (stands_in := next((each for each in name if _stands_in(each)), None)):
        return f"has {_named(stands_in)}, which stands for a plainer character: {exact}"
    for word in _LETTERS.findall(name):
        if alike := _DRAWN_AS_LATIN.intersection(word):
            first = next(each for each in word if each in alike)
            if any(each.isascii() for each in word):
                return f"has {_named(first)} among Latin letters: {exact}"
    return None


def _stands_in(character: str) -> bool:
    """Return whether a character is another form of an ASCII one, as fullwidth digits; a sign such as № is itself."""
    if character.isascii():
        return False
    form = unicodedata.decomposition(character).partition(" ")[0]
    plain = unicodedata.normalize("NFKC", character).isascii()
    return plain and (form in ("<wide>", "<narrow>", "<font>") or ord(character) in _LIGATURES)


def _named(character: str) -> str:
    return f"U+{ord(character):04X} ({unicodedata.name(character, 'no name')})"
