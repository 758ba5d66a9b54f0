"""What one of two sets has and the other has not, found without keeping either: an invertible Bloom lookup table.

Every element is put into three cells, of one set with +1 and of the other with -1. What both have leaves nothing
behind. Of what is left, a cell that holds one element alone tells it, and taking that out of its other cells leaves
further ones alone. So a table of fixed size tells every difference as long as there are not too many.

M. T. Goodrich, M. Mitzenmacher: "Invertible Bloom Lookup Tables" (2011), and D. Eppstein, M. T. Goodrich, F. Uyeda,
G. Varghese: "What's the Difference? Efficient Set Reconciliation without Prior Context" (SIGCOMM 2011).
"""

from collections.abc import Iterator
from dataclasses import field
from hashlib import sha256

from jitr.values import dataclass

SIZE = 40  # bytes of an element
_CHECK = 8  # bytes that tell one element from several on top of each other
_PARTS, _CELLS_OF_A_PART = 3, 341  # each element is once in each part
_CELLS = _PARTS * _CELLS_OF_A_PART
_COUNT = 4  # bytes of a cell's count
_CELL = _COUNT + SIZE + _CHECK

# So many differences are told almost surely: a table fails from 0.81 differences a cell on (Goodrich and Mitzenmacher,
# table 1).
MOST = 700


@dataclass(slots=True)
class SetDifference:
    """The difference of two sets of elements of ``SIZE`` bytes."""

    counts: list[int] = field(default_factory=lambda: [0] * _CELLS)
    values: list[int] = field(default_factory=lambda: [0] * _CELLS)  # elements with their checks, XORed

    def put(self, element: bytes, sign: int) -> None:
        """Add an element of the one set (1) or of the other (-1); or take out one that was put in so (the opposite)."""
        digest = sha256(element).digest()
        value = _valued(element, digest)
        for place in _places(digest):
            self.counts[place] += sign
            self.values[place] ^= value

    def add(self, other: "SetDifference") -> None:
        """Add the elements of another difference."""
        self.counts = [one + more for one, more in zip(self.counts, other.counts, strict=True)]
        self.values = [one ^ more for one, more in zip(self.values, other.values, strict=True)]

    def told(self) -> dict[bytes, int] | None:
        """Return every element that only one set has, with its sign; None where there are too many to tell."""
        left = SetDifference(list(self.counts), list(self.values))
        told: dict[bytes, int] = {}
        places = list(range(_CELLS))
        while places:
            place = places.pop()
            element = left._alone(place)
            if element in told:
                return None  # several that look like one: never seen, and nothing would end it
            if element is not None:
                sign = left.counts[place]
                told[element] = sign
                left.put(element, -sign)
                places.extend(_places(sha256(element).digest()))
        return told if left.is_empty else None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left: the sets are the same."""
        return not any(self.counts) and not any(self.values)

    def _alone(self, place: int) -> bytes | None:
        """Return the element that a cell holds alone, if it does."""
        if self.counts[place] not in (1, -1):
            return None
        element = (self.values[place] >> 8 * _CHECK).to_bytes(SIZE)
        digest = sha256(element).digest()
        return element if _valued(element, digest) == self.values[place] and place in _places(digest) else None

    def to_bytes(self) -> bytes:
        """Return it as it is kept: nothing, or about 53 KB."""
        if self.is_empty:
            return b""
        return b"".join(
            count.to_bytes(_COUNT, signed=True) + value.to_bytes(SIZE + _CHECK)
            for count, value in zip(self.counts, self.values, strict=True)
        )

    @classmethod
    def from_bytes(cls, kept: bytes) -> "SetDifference":
        """Read what ``to_bytes`` returned."""
        if not kept:
            return cls()
        cells = [kept[start : start + _CELL] for start in range(0, _CELLS * _CELL, _CELL)]
        return cls(
            [int.from_bytes(each[:_COUNT], signed=True) for each in cells],
            [int.from_bytes(each[_COUNT:]) for each in cells],
        )


def _valued(element: bytes, digest: bytes) -> int:
    return int.from_bytes(element + digest[-_CHECK:])


def _places(digest: bytes) -> Iterator[int]:
    for part in range(_PARTS):
        yield part * _CELLS_OF_A_PART + int.from_bytes(digest[4 * part : 4 * part + 4]) % _CELLS_OF_A_PART
