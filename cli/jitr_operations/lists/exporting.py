"""Device lists written as CSV files that import back to the same list."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from jitr.devicelists.csv.reader import columns_of, write_rows
from jitr.devicelists.rows import ListRow
from jitr.errors import InputError
from jitr.services.lists.device_lists import DeviceLists
from jitr_operations import telling
from jitr_operations.files import BYTE_ORDER_MARK, staged
from jitr_operations.lists.editing import existing
from jitr_operations.lists.where import RowFilter


class ListExport:
    """The rows of a list that meet conditions, as CSV. ``count`` is how many were written so far.

    The list is read twice, first for the columns there are: it may have any number of rows. Raises InputError where
    there is no list of that name.
    """

    def __init__(self, lists: DeviceLists, name: str, where: RowFilter) -> None:
        self._lists, self._where = lists, where
        self._info = existing(lists, name)
        self._columns = columns_of(where.of(self._rows()))
        self.count = 0

    def pieces(self) -> Iterator[bytes]:
        """Yield the file a piece at a time. Raises InputError where the list gets another column meanwhile."""
        try:
            yield from (each.encode() for each in chain([BYTE_ORDER_MARK], write_rows(self._counted(), self._columns)))
        except ValueError:
            name = self._info.name
            raise InputError(f"list {name} got another column while it was exported: export it again") from None

    def write(self, file: Path, *, force: bool) -> None:
        """Write the whole file or nothing. Raises InputError as ``pieces``, and where it exists without ``force``."""
        with staged(file.parent, [file.name], force=force) as stage:
            stage.write_pieces(file.name, self.pieces())

    def _rows(self) -> Iterator[ListRow]:
        return self._lists.rows(self._info.name, self._info.head.generation)

    def _counted(self) -> Iterator[ListRow]:
        with telling.progress(f"Exporting {self._info.name}", self._info.rows) as advance:

            def advancing() -> Iterator[ListRow]:
                for row in self._rows():
                    advance(1)
                    yield row

            for row in self._where.of(advancing()):
                self.count += 1
                yield row
