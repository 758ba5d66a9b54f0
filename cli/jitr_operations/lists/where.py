"""Some of a list's rows, by what stands in their columns."""

from collections.abc import Iterable, Iterator

from jitr.devicelists.columns import is_column, unknown_column
from jitr.devicelists.rows import ListRow
from jitr.errors import InputError


class RowFilter:
    """Conditions ``COLUMN=VALUE``, all of which a row has to meet: whole values, case matters.

    Raises InputError for what is no such condition.
    """

    def __init__(self, conditions: Iterable[str]) -> None:
        self._wanted: list[tuple[str, str]] = []
        for each in conditions:
            column, equals, value = each.partition("=")
            if not equals or not value:
                raise InputError(f"--where {each}: write COLUMN=VALUE, as in attr.part_number=ATECC608B-TNGTLSS-G")
            if not is_column(column):
                raise InputError(f"--where {each}: {unknown_column(column)}")
            self._wanted.append((column, value))

    def __bool__(self) -> bool:
        return bool(self._wanted)

    def of(self, rows: Iterable[ListRow]) -> Iterator[ListRow]:
        """Return the rows that meet them."""
        return (each for each in rows if self._meets(each)) if self._wanted else iter(rows)

    def _meets(self, row: ListRow) -> bool:
        columns = row.to_json()
        return all(columns.get(column) == value for column, value in self._wanted)
