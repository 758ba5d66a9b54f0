"""Characters that nobody sees, or takes for others: named where they are refused, written out where text is shown.

By Unicode property, because general categories do not tell: a variation selector is a mark, a Hangul filler a letter.
"""

import re
import unicodedata

# Default_Ignorable_Code_Point, "which should be ignored in rendering": DerivedCoreProperties-17.0.0.txt of
# https://www.unicode.org/Public/17.0.0/ucd/. ``unicodedata`` does not have the property. A test compares the ranges.
DEFAULT_IGNORABLE = (
    (0x00AD, 0x00AD), (0x034F, 0x034F), (0x061C, 0x061C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F),
    (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF),
)  # fmt: skip
# Symbols without ink, which have no property for it: BRAILLE PATTERN BLANK, MUSICAL SYMBOL NULL NOTEHEAD, and the
# filler of KHITAN SMALL SCRIPT.
_WITHOUT_INK = (0x2800, 0x1D159, 0x16FE4)

_INVISIBLE = re.compile(
    "[" + "".join(f"{chr(a)}-{chr(b)}" for a, b in DEFAULT_IGNORABLE) + "".join(map(chr, _WITHOUT_INK)) + "]"
)
_BY_CATEGORY = {
    "Cc": "a control character",
    "Cf": "invisible",
    "Zl": "a line break",
    "Zp": "a line break",
    "Zs": "a blank, but not a space",
    "Cs": "half a character",
}

# Within a word of Persian, Hindi and other scripts, and for the form of the character before (emoji, ideographs).
JOINERS = "\u200c\u200d"
VARIATION_SELECTORS = "".join(map(chr, range(0xFE00, 0xFE10)))


def why_unseen(character: str) -> str | None:
    """Return what a character is that does not show as itself, in words; None for one that does."""
    if character == " " or (character.isascii() and character.isprintable()):
        return None
    return "invisible" if _INVISIBLE.match(character) else _BY_CATEGORY.get(unicodedata.category(character))


def first_unseen(text: str) -> tuple[str, str] | None:
    """Return the first character that does not show as itself, and what it is; None where all do."""
    if text.isprintable() and (text.isascii() or _INVISIBLE.search(text) is None):
        return None
    return next(((each, why) for each in text if (why := why_unseen(each))), None)


def written_out(text: str, *, keep: str = "") -> str:
    """Return the text with each character that does not show as itself as ``\\xa0``, ``\\u202e`` or ``\\U000e0100``.

    Those in ``keep`` stay.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join([each if each in keep or why_unseen(each) is None else _escape(each) for each in text])


def quote(text: str) -> str:
    """Return the text as a message shows it: in quotes, harmless on a terminal, and a backslash as it was typed."""
    return written_out(repr(text).replace("\\\\", "\\"))


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
