"""Files that were uploaded to be looked at, kept until they are imported or let go: so many, and so much of them."""

import secrets
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import IO

from jitr.devicelists.csv.reader import ListError, ListProblem
from jitr.devicelists.csv.sheets import CellProblem, Value, text_of
from jitr.services.lists.kept_rows import KeptRows
from jitr_operations.lists.importing import ImportPreview
from jitr_operations.lists.spreadsheets import Spreadsheets

_MOST = 20  # files that were looked at, and nothing was done with yet
_MOST_BYTES = 256 * 1024 * 1024
_LONGEST_LINE = 300  # characters of a line that are shown
_PIECE = 1 << 20


@dataclass
class Upload:
    """One file, for the list ``name``. It is ``looked`` at, or has mistakes: ``error``, and the lines they are on."""

    id: str
    path: Path
    shown_as: str
    name: str
    looked: ImportPreview | None = None
    error: ListError | None = None
    lines: dict[int, str] | None = None
    rows: KeptRows = field(default_factory=KeptRows)

    @property
    def size(self) -> int:
        """How much room the file and its rows take, in bytes; none once they were let go."""
        try:
            return self.rows.size + self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def let_go(self) -> None:
        """Remove the file and its rows; what was found in it stays known."""
        self.path.unlink(missing_ok=True)
        self.rows.close()


class Uploads:
    """The files of a page, by ids that nobody can guess. The folder goes with the process."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="jitr-page-")
        self._kept: dict[str, Upload] = {}
        self._lock = Lock()

    def keep(self, stream: IO[bytes], shown_as: str, name: str) -> Upload:
        """Keep a file that comes in. The oldest go where there are too many, or too much."""
        upload = secrets.token_urlsafe(16)
        kept = Upload(upload, Path(self._folder.name) / upload, shown_as, name)
        with kept.path.open("xb") as file:
            kept.path.chmod(0o600)
            while piece := stream.read(_PIECE):
                file.write(piece)
        with self._lock:
            self._kept[upload] = kept
            while len(self._kept) > _MOST or (self._bytes() > _MOST_BYTES and len(self._kept) > 1):
                self._kept.pop(next(iter(self._kept))).let_go()
        return kept

    def _bytes(self) -> int:
        return sum(each.size for each in self._kept.values())

    def get(self, upload: str) -> Upload | None:
        """Return a file that is kept."""
        return self._kept.get(upload)

    def take(self, upload: str) -> Upload | None:
        """Return a file, and keep it no more: whoever takes it lets it go."""
        with self._lock:
            return self._kept.pop(upload, None)


def lines_of(path: Path, problems: Iterable[ListProblem]) -> dict[int, str]:
    """Return the beginnings of the lines with problems, as far as they are text in UTF-8; of a sheet, its rows' cells.

    Of a file that is not in lines there are none.
    """
    in_cells = {each.line for each in problems if isinstance(each, CellProblem)}
    in_lines = {each.line for each in problems if type(each) is ListProblem}
    with path.open("rb") as file:
        lines: Iterable[str]
        if in_cells:
            lines = (_row(each) for each in Spreadsheets()(file))
        else:
            lines = (line[:_LONGEST_LINE].decode("utf-8", "replace").rstrip() for line in file)
        wanted = in_cells or in_lines
        some = islice(lines, max(wanted, default=0))
        return {number: line for number, line in enumerate(some, 1) if number in wanted}


def _row(values: Sequence[Value]) -> str:
    return " | ".join(map(text_of, values))[:_LONGEST_LINE]
