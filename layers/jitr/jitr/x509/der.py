"""Just enough DER (ITU-T X.690) to walk through a certificate.

Why certificates are not read by ``cryptography`` stands in ``jitr.x509.certificate``. Elements are plain
``(tag, content)`` tuples: this is the hot path.
"""

import re
from datetime import datetime
from functools import lru_cache
from typing import TypeAlias

from jitr.errors import InputError

Element: TypeAlias = tuple[int, bytes]

BOOLEAN, INTEGER, BIT_STRING, OCTET_STRING, NULL, OBJECT_IDENTIFIER = 0x01, 0x02, 0x03, 0x04, 0x05, 0x06
ENUMERATED, UTC_TIME, GENERALIZED_TIME = 0x0A, 0x17, 0x18
SEQUENCE, SET = 0x30, 0x31
TIMES = (UTC_TIME, GENERALIZED_TIME)

_TIME = re.compile(rb"\d{8}(?:[01]\d|2[0-3])\d{4}Z")  # not hour 24, which some releases of Python take
_MAX_OID_OCTETS = 63  # as cryptography; keeps the dotted form short


class DerError(InputError):
    """Bytes are not the DER that was expected here. The message never repeats them."""


def context(number: int, *, constructed: bool = False) -> int:
    """Return the tag octet of the context-specific tag ``[number]``."""
    return (0xA0 if constructed else 0x80) | number


def children(content: bytes) -> list[Element]:
    """Return the elements that follow each other in ``content``. Raises DerError unless they fill it exactly."""
    found = []
    end, size = 0, len(content)
    try:
        while end < size:
            tag, length, at = content[end], content[end + 1], end + 2
            if length > 0x7F:
                length, at = _long_length(content, at, length & 0x7F)
            if tag & 0x1F == 0x1F:
                raise DerError("it has a tag number above 30")
            end = at + length
            found.append((tag, content[at:end]))
    except IndexError:
        raise DerError("it is cut short") from None
    if end > size:
        raise DerError("it is cut short")
    return found


def end_of_first(content: bytes) -> int:
    """Return where the first element ends, whatever comes after it. Raises DerError where it is not whole."""
    return _first(content)[1]


def _first(content: bytes) -> tuple[int, int]:
    """Return where the content of the first element begins and where it ends."""
    try:
        length, at = content[1], 2
        if length > 0x7F:
            length, at = _long_length(content, at, length & 0x7F)
    except IndexError:
        raise DerError("it is cut short") from None
    if at + length > len(content):
        raise DerError("it is cut short")
    return at, at + length


def _long_length(content: bytes, at: int, octets: int) -> tuple[int, int]:
    length = int.from_bytes(content[at : at + octets])
    if not 1 <= octets <= 4 or length < 0x80 or content[at] == 0:
        raise DerError("it has a length that is not DER")
    return length, at + octets


def only(content: bytes, tag: int) -> bytes:
    """Return the content of the one element of that tag that ``content`` must be. Raises DerError."""
    if content and content[0] == tag:
        at, end = _first(content)
        if end == len(content):
            return content[at:]
    children(content)  # where what stands there is damaged, that is the error
    raise DerError(f"it is not exactly one element with tag {tag:#04x}")


def expect(element: Element, tag: int) -> bytes:
    """Return the content of an element that must have that tag. Raises DerError."""
    if element[0] != tag:
        raise misplaced(element[0], tag)
    return element[1]


class Cursor:
    """The elements of a SEQUENCE, taken one after the other in the order in which its ASN.1 names them.

    ``of`` is what the SEQUENCE is, for messages. Every method raises DerError where the next element is another.
    """

    __slots__ = ("_left", "_of")

    def __init__(self, content: bytes, of: str) -> None:
        self._left = children(content)
        self._left.reverse()  # the next is the last: taking it costs nothing
        self._of = of

    @property
    def tag(self) -> int | None:
        """The tag of the next element; None at the end."""
        return self._left[-1][0] if self._left else None

    def take(self, tag: int) -> bytes:
        """Return the content of the next element, which must have that tag."""
        try:
            found, content = self._left.pop()
        except IndexError:
            raise DerError(f"it lacks a field that every {self._of} has") from None
        if found != tag:
            raise DerError(f"it lacks a field that every {self._of} has: {misplaced(found, tag)}")
        return content

    def take_time(self) -> datetime:
        """Return the next element's time, which must be one."""
        if self.tag not in TIMES:
            raise DerError(f"it lacks a field that every {self._of} has")
        return time(*self._left.pop())

    def take_if(self, tag: int) -> bytes | None:
        """Return the content of the next element if it has that tag; else take nothing and return None."""
        left = self._left
        return left.pop()[1] if left and left[-1][0] == tag else None

    def end(self) -> None:
        """Check that all elements are taken."""
        if self._left:
            raise DerError(f"it has fields that no {self._of} has")


def misplaced(tag: int, wanted: int) -> DerError:
    """Return the error that ``expect`` raises, for loops that spare themselves the calls."""
    return DerError(f"tag {tag:#04x} stands where {wanted:#04x} should")


def element(tag: int, content: bytes) -> bytes:
    """Return an element's bytes, putting together what ``children`` took apart."""
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes((tag, 0x80 | len(octets))) + octets + content


@lru_cache(maxsize=512)
def object_identifier(content: bytes) -> str:
    """Return an object identifier's content, dotted. Raises DerError."""
    if not 0 < len(content) <= _MAX_OID_OCTETS or content[-1] & 0x80:
        raise DerError("it has a damaged object identifier")
    arcs, value = [], 0
    for octet in content:
        if value == 0 and octet == 0x80:
            raise DerError("it has a damaged object identifier")
        value = value << 7 | octet & 0x7F
        if octet < 0x80:
            arcs.append(value)
            value = 0
    top = min(arcs[0] // 40, 2)
    return ".".join(map(str, (top, arcs[0] - 40 * top, *arcs[1:])))


def boolean(content: bytes) -> bool:
    """Return a BOOLEAN's content. Raises DerError for anything but 00 and FF (X.690 section 11.1)."""
    if content not in (b"\x00", b"\xff"):
        raise DerError("it has a truth value that is not DER")
    return content == b"\xff"


def bit_string(content: bytes) -> tuple[bytes, int]:
    """Return a BIT STRING's octets and the number of unused bits in the last one. Raises DerError."""
    if not content or content[0] > 7 or (content[0] and len(content) == 1):
        raise DerError("it has a damaged bit string")
    return content[1:], content[0]


def time(tag: int, content: bytes) -> datetime:
    """Read a UTCTime or GeneralizedTime (RFC 5280 sections 4.1.2.5 and 5.1.2.4). Raises DerError.

    To the second, in UTC, the year of two digits from 1950 to 2049.
    """
    if tag == UTC_TIME:
        content = (b"20" if content < b"50" else b"19") + content
    if tag not in TIMES or not _TIME.fullmatch(content):
        raise DerError("it has a time that is not as RFC 5280 section 4.1.2.5 wants it")
    text = content.decode()
    try:
        return datetime.fromisoformat(f"{text[:8]}T{text[8:]}")
    except ValueError as error:
        raise DerError(f"it has a time that does not exist ({error})") from None
