"""A CSV file of the devices that a command changes, a line as soon as each is changed.

It is no copy of a result that is there or not: cut off, it says what was done until then.
"""

import csv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from jitr.devicelists.csv.cells import to_cell
from jitr.errors import InputError

COLUMNS = ("certificate_id", "common_name", "found_by", "key", "status_before", "status", "at")


class Ledger:
    """Writes a line for each device. Spreadsheets show its cells as they are: none is run as a formula."""

    def __init__(self, file: IO[str] | None) -> None:
        self._file = file
        self._writer = None if file is None else csv.DictWriter(file, COLUMNS, extrasaction="ignore")
        self.lines = 0
        if self._writer is not None:
            self._writer.writeheader()

    def write(self, device: Mapping[str, str | None], *, before: str, status: str, at: str) -> None:
        """Write what became of a device, which ``--json`` prints as ``device``. ``at`` is RFC 3339."""
        if self._writer is None or self._file is None:
            return
        told = {"found_by": "serial_number", "key": device.get("serial_number"), **device}
        told |= {"status_before": before, "status": status, "at": at}
        told |= {
            "common_name": to_cell("common_name", told["common_name"] or ""),
            "key": to_cell(told["found_by"] or "", told["key"] or ""),
        }
        self._writer.writerow(told)
        self._file.flush()
        self.lines += 1


@contextmanager
def opened(file: Path | None) -> Iterator[Ledger]:
    """Open a file for the block, one that does not exist yet; without any, what is written goes nowhere.

    Raises InputError before the block where it cannot be written. If the block raises and nothing was written, the file
    is gone again.
    """
    if file is None:
        yield Ledger(None)
        return
    try:
        opened_file = file.open("x", encoding="utf-8-sig", newline="")  # the mark, without which Excel misreads UTF-8
    except FileExistsError:
        raise InputError(f"{file} exists: choose another name") from None
    except OSError as problem:
        raise InputError(f"{file}: {problem.strerror}") from None
    with opened_file:
        ledger = Ledger(opened_file)
        try:
            yield ledger
        except BaseException:
            if not ledger.lines:
                file.unlink(missing_ok=True)
            raise
