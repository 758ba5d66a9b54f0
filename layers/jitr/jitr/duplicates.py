"""Keys that are there twice in one device list, found in one pass over millions of them."""

from array import array

from jitr.lists import RowKey


class Duplicates:
    """Which keys have been seen, and on which line first, in 24 to 48 bytes a key (half as much again as it grows).

    Keys are told apart by 64 bits of Python's keyed hash: among ten million keys, one chance in 300,000 that two
    different ones are taken for one. Beyond ``limit`` keys no more are remembered, and ``full`` says so.
    """

    def __init__(self, limit: int = 4_000_000) -> None:
        self.limit = limit
        self.count = 0
        self._hashes = array("Q", bytes(8 * 1024))  # open addressing, 0 is a free place
        self._lines = array("I", bytes(4 * 1024))

    @property
    def full(self) -> bool:
        """Whether keys from here on are compared but no longer remembered."""
        return self.count >= self.limit

    def first_line(self, key: RowKey, line: int) -> int | None:
        """The line on which the key was first seen; None, and remembered, where this is the first."""
        hashed = hash((key.kind, key.value)) & 0xFFFF_FFFF_FFFF_FFFF or 1
        place = self._place(hashed)
        if self._hashes[place]:
            return self._lines[place]
        if not self.full:
            self._hashes[place], self._lines[place] = hashed, min(line, 0xFFFF_FFFF)
            self.count += 1
            if self.count * 2 > len(self._hashes):
                self._grow()
        return None

    def _place(self, hashed: int) -> int:
        hashes = self._hashes
        mask = len(hashes) - 1
        place = hashed & mask
        while hashes[place] not in (0, hashed):
            place = (place + 1) & mask
        return place

    def _grow(self) -> None:
        hashes, lines = self._hashes, self._lines
        self._hashes = array("Q", bytes(2 * len(hashes) * hashes.itemsize))
        self._lines = array("I", bytes(2 * len(lines) * lines.itemsize))
        for hashed, line in zip(hashes, lines, strict=True):
            if hashed:
                place = self._place(hashed)
                self._hashes[place], self._lines[place] = hashed, line
