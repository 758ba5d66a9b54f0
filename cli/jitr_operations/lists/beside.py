"""CSV whose rows name the files of certificates that lie beside it: each name gives way to what is in its file.

What comes of it is CSV with a certificate in a cell of each row, line for line, so that its readers, its digest and the
places of mistakes are those of such a file.
"""

import base64
import csv
import io
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from jitr.devicelists.columns import shown
from jitr.devicelists.csv.records import CsvRecord, read_records
from jitr.devicelists.manifests.certificates import HAS_A_KEY, PRIVATE_KEY
from jitr.devicelists.manifests.recognition import HEAD, SUFFIXES, column_of_file_names
from jitr.errors import InputError, Unreadable
from jitr.x509.certificate import read_certificate
from jitr.x509.pem import MAX_INPUT
from jitr_operations.files import beginning_of


def column_in(file: Path) -> int | None:
    """Return the number of a CSV file's column, from 0, that names files of certificates; None where none does."""
    return column_of_file_names(beginning_of(file, HEAD))


def with_certificates(file: Path, column: int, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Return the bytes of a CSV file with certificates in place of the names of their files in a column.

    Names are plain ones of files in the same folder; links are not followed. Raises InputError, with the line.
    """
    line = 1
    for number, record in enumerate(read_records(pieces)):
        place = f"{file}:{record.line}"
        if not isinstance(record, CsvRecord):
            raise InputError(f"{place}:{record.column}: {record.message}")
        cells = list(record.cells)
        if number and column < len(cells) and cells[column].strip():
            cells[column] = _certificate(file.parent, cells[column].strip(), place)
        row = _written(cells)
        yield ("\n" * (record.line - line) + row).encode("utf-8", "surrogateescape")
        line = record.line + row.count("\n")


def _written(cells: Iterable[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


def _certificate(folder: Path, name: str, place: str) -> str:
    """Return the certificate in a file as PEM on one line, so that rows stay on theirs. Raises InputError."""
    place = f"{place}: {shown(name)}"
    if name != Path(name).name or "\\" in name or name.startswith(".") or not name.lower().endswith(SUFFIXES):
        raise InputError(f"{place} is no plain name of a certificate's file: files are in the folder of the CSV file")
    data = _content(folder / name, place)
    if PRIVATE_KEY in data:
        raise InputError(f"{place}: {HAS_A_KEY}")
    try:
        der = read_certificate(data).der
    except Unreadable as error:
        raise InputError(f"{place}: {error}") from None
    return f"-----BEGIN CERTIFICATE-----{base64.b64encode(der).decode()}-----END CERTIFICATE-----"


def _content(path: Path, place: str) -> bytes:
    try:
        if not stat.S_ISREG(path.lstat().st_mode):  # before it is opened: a pipe would keep whoever does waiting
            raise InputError(f"{place} is a link or no file: give the file itself")
        with os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0)), "rb") as opened:
            data = opened.read(MAX_INPUT + 1)
    except (OSError, ValueError) as problem:
        raise InputError(f"{place}: {getattr(problem, 'strerror', None) or 'it cannot be opened'}") from None
    if len(data) > MAX_INPUT:
        raise InputError(f"{place} has more than {MAX_INPUT} bytes: it is no certificate")
    return data
