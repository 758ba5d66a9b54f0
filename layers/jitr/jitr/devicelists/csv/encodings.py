"""Encodings that CSV comes in beside UTF-8 and UTF-16: the code pages of Windows, which nothing in a file names.

None is ever guessed. Whoever imports a file names its encoding, and what is no UTF-8 is told with what it would read in
those that are likely.
"""

import codecs
from collections.abc import Iterable, Iterator
from itertools import chain, repeat

from jitr.devicelists.columns import shown
from jitr.errors import InputError

# https://learn.microsoft.com/en-us/windows/win32/intl/code-page-identifiers: those that Windows calls ANSI
CODE_PAGES = (
    *("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258"),
    *("cp874", "cp932", "cp936", "cp949", "cp950"),
)
_LIKELY = CODE_PAGES[:3]  # Western, Central European and Cyrillic
_MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class WrongEncoding(InputError):
    """A file is not in the encoding that it is said to be in."""


def as_utf8(pieces: Iterable[bytes], encoding: str, source: str) -> Iterator[bytes]:
    """Return a file's bytes in UTF-8, given its encoding. Raises WrongEncoding, with the file and the line."""
    decoder = codecs.getincrementaldecoder(encoding)()
    line = 0  # of the present piece; 0: it is the first
    for piece, final in chain(zip(pieces, repeat(False)), [(b"", True)]):
        if not line and piece.startswith(_MARKS):
            raise WrongEncoding(f"{source}: a byte order mark at its beginning says what it is: leave out --encoding")
        line = line or 1
        try:
            yield decoder.decode(piece, final).encode()
        except UnicodeDecodeError as error:
            octet, at = error.object[error.start], line + error.object.count(b"\n", 0, error.start)
            raise WrongEncoding(
                f"{source}:{at}: byte 0x{octet:02X} is no character in {encoding}: the file is in another encoding, or "
                "damaged"
            ) from None
        line += piece.count(b"\n")


def readings(cell: str) -> str:
    """Return what a cell with octets in it that are no UTF-8 (PEP 383) would read in encodings that are likely."""
    octets = cell.encode("utf-8", "surrogateescape")
    found: dict[str, list[str]] = {}
    for encoding in _LIKELY:
        try:
            found.setdefault(octets.decode(encoding), []).append(encoding)
        except UnicodeDecodeError:
            continue
    return ", ".join(f"{shown(text)} in {' and '.join(encodings)}" for text, encodings in found.items())
