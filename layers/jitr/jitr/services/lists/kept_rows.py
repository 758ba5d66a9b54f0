"""The rows of a file that was checked, kept until they are written, so that it is read and verified once."""

import json
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from tempfile import SpooledTemporaryFile
from types import TracebackType

from jitr.devicelists.rows import ListRow

# Bytes: of some 350,000 rows of a manifest. PublishFunction's disk of 512 MB has room for it beside the copy of an
# archive and the keys of ten million rows.
MOST_KEPT = 128 * 1024 * 1024
_IN_MEMORY = 1024 * 1024  # bytes; more are in a temporary file


class KeptRows:
    """Rows in a temporary file, nobody else's to read, and gone once this is closed or the process ends.

    More than ``most`` bytes of them, or more than the disk takes, are not kept: then none are, and whoever wants them
    reads their file again.
    """

    def __init__(self, most: int = MOST_KEPT) -> None:
        self.size = 0  # bytes
        self._most = most
        self._file = _file()
        self._of: str | None = None

    def __enter__(self) -> "KeptRows":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let the rows go. It takes no more before ``begin``."""
        self._of, self.size = None, 0
        with suppress(OSError):  # closing writes what waits, for which there may be no room
            self._file.close()

    def begin(self) -> None:
        """Forget the rows there are, and keep those of another reading."""
        self.close()
        self._file = _file()

    def add(self, row: ListRow) -> None:
        """Keep a row after those before it, unless they are too many."""
        if self._file.closed:
            return
        line = json.dumps(row.to_json()).encode() + b"\n"
        if self.size + len(line) > self._most:
            self.close()
            return
        self.size += len(line)
        try:
            self._file.write(line)
        except (OSError, ValueError):  # no room; or closed meanwhile by whoever does not want them any more
            self.close()

    def end(self, digest: str) -> None:
        """Say that the rows are all that a file has; ``digest`` is its and how it was read."""
        if self._file.closed:
            return
        try:
            self._file.flush()
        except (OSError, ValueError):
            self.close()
        else:
            self._of = digest

    def are_of(self, digest: str) -> bool:
        """Return whether all rows of this very file are kept."""
        return self._of == digest

    def after(self, done: int) -> Iterator[ListRow]:
        """Return the rows in the file's order, without the first ``done``. They can be had again."""
        self._file.seek(0)
        return (ListRow.from_json(json.loads(line)) for line in islice(self._file, done, None))


def _file() -> "SpooledTemporaryFile[bytes]":
    return SpooledTemporaryFile(max_size=_IN_MEMORY, prefix="jitr-")
