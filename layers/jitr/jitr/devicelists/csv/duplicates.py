"""Keys that are there twice in one device list.

A list that ends up in memory is read once, with ``Duplicates``. A file of any size is read with a ``KeyLog``, in flat
memory, which tells in the end whether there are any; where there are, it is read again with ``RepeatedKeys``, which
tell of each.

Keys are told apart by 64 bits of Python's keyed hash: among ten million keys, one chance in 300,000 that two different
ones are taken for one.
"""

from array import array
from bisect import bisect_left
from itertools import accumulate, pairwise
from typing import IO, Protocol

from jitr.devicelists.rows import RowKey
from jitr.errors import Retry

MOST = 4_000_000  # keys that are remembered at once
_BUCKETS = 256  # by the highest byte of a hash; what is read back at once is one of them
_AT_ONCE = 65_536  # hashes that are written together
_BYTES = 8  # of a hash


class SeenKeys(Protocol):
    """Which keys were seen before."""

    def first_line(self, key: RowKey, line: int) -> int | None:
        """Return the line on which the key was first seen; remember a new one, and return None."""


class Duplicates:
    """Which keys have been seen, and on which line first, in some 120 bytes a key.

    Beyond ``limit`` keys no more are remembered, and ``full`` says so.
    """

    def __init__(self, limit: int = MOST) -> None:
        self.limit = limit
        self._lines: dict[int, int] = {}  # by a key's hash, which takes less than the key

    @property
    def full(self) -> bool:
        """Whether keys from here on are compared but no longer remembered."""
        return len(self._lines) >= self.limit

    def first_line(self, key: RowKey, line: int) -> int | None:
        """See ``SeenKeys``."""
        hashed = _hash(key)
        first = self._lines.get(hashed)
        if first is None and not self.full:
            self._lines[hashed] = line
        return first


class KeyLog:
    """Notes keys, eight bytes of each, in a file, so that its memory is flat up to tens of millions of them.

    ``file`` is empty, opened to be written and read, and the caller's to close. Every method raises Retry where it
    takes no more.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._waiting = _buckets()
        self._count = 0  # of those that wait
        self._runs: list[array[int]] = []  # where in the file each bucket of a run begins, and where the last one ends

    def first_line(self, key: RowKey, line: int) -> None:  # noqa: ARG002 - lines are for the second reading
        """Note a key; whether it is there twice is told in the end."""
        hashed = _hash(key)
        self._waiting[hashed >> 56].append(hashed)  # -128 to 127, and a list has -128 too
        self._count += 1
        if self._count == _AT_ONCE:
            self._put_away()

    def repeated(self) -> "RepeatedKeys":
        """Return the keys that were noted more than once, of very many the first ``MOST`` and a few more."""
        found = array("q")
        for bucket, waiting in enumerate(self._waiting):
            hashes = array("q", waiting)
            for run in self._runs:
                self._file.seek(run[bucket])
                hashes.fromfile(self._file, (run[bucket + 1] - run[bucket]) // _BYTES)
            if len(set(hashes)) < len(hashes):
                found.extend({one for one, other in pairwise(sorted(hashes)) if one == other})
            if len(found) >= MOST:
                break
        return RepeatedKeys(found)

    def _put_away(self) -> None:
        begins = self._runs[-1][-1] if self._runs else 0
        self._runs.append(array("Q", accumulate((_BYTES * len(each) for each in self._waiting), initial=begins)))
        try:
            for bucket in self._waiting:
                bucket.tofile(self._file)
        except OSError as problem:
            why = f"no temporary file for the keys of the list ({problem.strerror})"
            raise Retry("no room", f"{why}: make room, or name another folder in TMPDIR") from problem
        self._waiting, self._count = _buckets(), 0


class RepeatedKeys:
    """Keys of which it is known that they are there more than once; there may be none."""

    def __init__(self, hashes: "array[int]") -> None:
        self._hashes = array("q", sorted(hashes))
        self._lines = array("Q", bytes(_BYTES * len(hashes)))  # 0 is none

    def __len__(self) -> int:
        return len(self._hashes)

    def first_line(self, key: RowKey, line: int) -> int | None:
        """See ``SeenKeys``: lines are from 1."""
        hashed = _hash(key)
        place = bisect_left(self._hashes, hashed)
        if place == len(self._hashes) or self._hashes[place] != hashed:
            return None
        first = self._lines[place]
        if not first:
            self._lines[place] = line
        return first or None


def _hash(key: RowKey) -> int:
    return hash((key.kind, key.value))


def _buckets() -> "list[array[int]]":
    return [array("q") for _ in range(_BUCKETS)]
