"""Spreadsheets (.xlsx, .xlsm), read a row at a time by an extra of this package.

openpyxl and not a faster reader in Rust: that one makes room for all cells between the first and the last, wherever a
file says that they are, and takes the process down where there is not so much.
"""

import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any

from jitr.devicelists.csv.sheets import Value
from jitr.errors import InputError
from jitr.unseen import quote

_MOST = 64 * 1024 * 1024  # bytes of a file
_MOST_UNPACKED = 512 * 1024 * 1024  # texts are held in memory, rows are not
_MOST_ROWS = 1_048_576  # "Excel specifications and limits"
_EXTRA = (
    "to read spreadsheets, install jitr with its extra (`pip install 'jitr[spreadsheets]'`), or save it as CSV UTF-8"
)
_OLD = "spreadsheets are read as .xlsx: save it so, or as CSV UTF-8"


class Spreadsheets:
    """Opens sheets. ``sheet`` names the one; without it, a file may have one that is shown."""

    def __init__(self, sheet: str | None = None) -> None:
        self.sheet = sheet

    def __call__(self, file: IO[bytes]) -> Iterator[Sequence[Value]]:
        """Return a sheet's rows, from its first one, each from its first cell. Raises InputError."""
        _check_size(file)
        with _told():
            workbook = _opened(file)
            try:
                sheet = _chosen(workbook, self.sheet)
                sheet.reset_dimensions()  # what it says of its size need not be so
                for number, row in enumerate(sheet.iter_rows(values_only=True), 1):
                    if number > _MOST_ROWS:
                        raise InputError(f"it has more than {_MOST_ROWS:,} rows, or says so: save it as CSV UTF-8")
                    yield ["" if each is None else each for each in row]
            finally:
                workbook.close()


@contextmanager
def _told() -> Iterator[None]:
    """Raise InputError for whatever its reader raises for a file that is damaged, which can be anything."""
    try:
        yield
    except (InputError, MemoryError):
        raise
    except Exception as error:
        raise InputError(f"the spreadsheet cannot be read ({type(error).__name__}): it is damaged") from error


def _opened(file: IO[bytes]) -> Any:
    try:
        from openpyxl import load_workbook
    except ImportError:
        raise InputError(_EXTRA) from None
    file.seek(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of styles and the like
        return load_workbook(file, read_only=True, data_only=True, keep_links=False)


def _check_size(file: IO[bytes]) -> None:
    """Raise InputError for what is no .xlsx, and for what would not fit into memory."""
    if file.seek(0, 2) > _MOST:
        raise InputError(f"a spreadsheet of more than {_MOST // 1024 // 1024} MB is not read: save it as CSV UTF-8")
    with _told(), zipfile.ZipFile(file) as archive:
        names = set(archive.namelist())
        unpacked = sum(each.file_size for each in archive.infolist())
    if "mimetype" in names:
        raise InputError(_OLD)
    if unpacked > _MOST_UNPACKED:
        raise InputError("the spreadsheet becomes too large to be read: save it as CSV UTF-8")


def _chosen(workbook: Any, name: str | None) -> Any:
    """Return the sheet of a name, or the only one that is shown."""
    sheets = {each.title: each for each in workbook.worksheets}
    if name is not None:
        if name not in sheets:
            raise InputError(f"there is no sheet {quote(name)}; there are: {', '.join(sheets)}")
        return sheets[name]
    shown = [title for title, each in sheets.items() if each.sheet_state == "visible"]
    if len(shown) != 1:
        raise InputError(f"it has several sheets: say which, with --sheet: {', '.join(shown or sheets)}")
    return sheets[shown[0]]
