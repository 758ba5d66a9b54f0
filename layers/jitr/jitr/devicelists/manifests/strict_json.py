"""JSON (RFC 8259) that anyone may have written, read so that it means one thing and costs no more than its size.

A name that is there twice, NaN and Infinity, numbers of any length and deep nesting are errors: readers disagree about
them, so what was signed might not be what is read.
"""

import codecs
import json
import math
import re
from collections.abc import Iterable, Iterator
from typing import Any

from jitr.errors import InputError
from jitr.values import dataclass

MAX_ELEMENT = 64 * 1024  # characters of one element of an array
_PIECE = 64 * 1024
_MAX_DIGITS = 20
_BLANK = re.compile(r"[ \t\r\n]*+")


class WrongJson(InputError):
    """Text is not JSON, or is JSON that is not taken here."""


class _Certain(ValueError):
    """Wrong whatever follows: more text would not help."""


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise _Certain("it has a name twice in one object")
    return members


def _whole(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise _Certain(f"it has a number of more than {_MAX_DIGITS} digits")
    return int(digits)


def _fraction(digits: str) -> float:
    number = float(digits) if len(digits) <= 2 * _MAX_DIGITS else math.inf
    if not math.isfinite(number):
        raise _Certain("it has a number that is too long or too large")
    return number


def _no_constant(name: str) -> None:
    raise _Certain(f"{name} is not JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_pairs, parse_int=_whole, parse_float=_fraction, parse_constant=_no_constant
)


def read_json(text: str) -> Any:
    """Return what one JSON text says. Raises WrongJson."""
    start = _blank_end(text, 0)
    try:
        value, end = _DECODER.raw_decode(text, start)
    except _Certain as wrong:
        raise WrongJson(str(wrong)) from None
    except RecursionError:
        raise WrongJson("it is nested too deep") from None
    except ValueError:
        raise WrongJson("it is not JSON") from None
    if _blank_end(text, end) < len(text):
        raise WrongJson("there is more after the end of its JSON")
    return value


@dataclass(frozen=True, slots=True)
class Element:
    """One element of the outermost array, and its number, from 1."""

    number: int
    value: dict[str, Any]


def read_elements(pieces: Iterable[bytes]) -> Iterator[Element]:
    """Return the objects of a JSON array one by one, in flat memory; one object without an array is the only element.

    ``pieces`` are the file's bytes in pieces of any size, all of which are read. Raises WrongJson, with the line, where
    nothing after it can be read with any sense.
    """
    text = _Text(pieces)
    first = text.peek()
    if first == "{":
        yield Element(1, text.element(1))
    elif first == "[":
        text.take()
        yield from _of_array(text)
    else:
        raise text.wrong("it begins with neither [ nor {" if first else "it is empty")
    if text.peek():
        raise text.wrong("there is more after the end of its JSON")


def _of_array(text: "_Text") -> Iterator[Element]:
    if text.peek() == "]":
        text.take()
        return
    number = 0
    while True:
        number += 1
        if text.peek() != "{":
            raise text.wrong(f"element {number} is no object, or is not there: the file is cut short or damaged")
        yield Element(number, text.element(number))
        following = text.peek()
        if following not in (",", "]"):
            raise text.wrong(f"after element {number} comes neither a comma nor ]: the file is cut short or damaged")
        text.take()
        if following == "]":
            return


class _Text:
    """The text of a file, of which as much is held as an element may have, and a piece."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = _of_size(pieces)
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("strict")
        self._held = ""
        self._at = 0
        self._line, self._counted = 1, 0  # the line of a place in what is held, and the place
        self._ended = False

    @property
    def line(self) -> int:
        """The line of the next character, from 1."""
        self._line += self._held.count("\n", self._counted, self._at)
        self._counted = self._at
        return self._line

    def wrong(self, why: str) -> WrongJson:
        """Return the error for what is wrong here."""
        return WrongJson(f"line {self.line}: {why}")

    def peek(self) -> str:
        """Return the next character that is not blank; "" at the end."""
        while True:
            self._at = _blank_end(self._held, self._at)
            if self._at < len(self._held):
                return self._held[self._at]
            if not self._more():
                return ""

    def take(self) -> None:
        """Go past the next character."""
        self._at += 1

    def element(self, number: int) -> dict[str, Any]:
        """Return the object that begins here, and go past it."""
        while True:
            try:
                value, end = _DECODER.raw_decode(self._held, self._at)
            except _Certain as wrong:
                raise self.wrong(f"element {number}: {wrong}") from None
            except RecursionError:
                raise self.wrong(f"element {number} is nested too deep") from None
            except ValueError as error:
                if len(self._held) - self._at <= MAX_ELEMENT and self._more():
                    continue
                raise self._unread(number, error) from None
            if end - self._at > MAX_ELEMENT:
                raise self._too_large(number)
            self._at = end
            return value  # type: ignore[no-any-return]  # an object: it begins with a brace

    def _unread(self, number: int, error: ValueError) -> WrongJson:
        if len(self._held) - self._at > MAX_ELEMENT:
            return self._too_large(number)
        if isinstance(error, json.JSONDecodeError):
            self._at = error.pos
        return self.wrong(f"element {number} is not JSON from here on: the file is cut short or damaged")

    def _too_large(self, number: int) -> WrongJson:
        return self.wrong(f"element {number} has more than {MAX_ELEMENT} characters: no device's has")

    def _more(self) -> bool:
        """Return whether there was more to read."""
        if self._ended:
            return False
        piece = next(self._pieces, None)
        self._ended = piece is None
        try:
            text = self._decoder.decode(piece or b"", final=self._ended)
        except UnicodeDecodeError:
            raise self.wrong("from near here on it is not UTF-8") from None
        _ = self.line  # counted up to here, before that goes
        self._held = self._held[self._at :] + text
        self._at = self._counted = 0
        return not self._ended or bool(text)


def _of_size(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the bytes in pieces neither small nor large: each costs one more attempt at the element before."""
    held = bytearray()
    for piece in pieces:
        held += piece
        while len(held) >= _PIECE:
            yield bytes(held[:_PIECE])
            del held[:_PIECE]
    if held:
        yield bytes(held)


def _blank_end(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    return at if found is None else found.end()
