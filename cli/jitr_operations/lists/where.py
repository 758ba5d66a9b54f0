"""Some rows of device lists, by the values in their columns."""

from collections.abc import Collection, Iterable, Iterator
from itertools import chain

from jitr.devicelists.columns import is_column, unknown_column
from jitr.devicelists.rows import ListRow
from jitr.errors import InputError
from jitr.services.lists.device_lists import DeviceLists
from jitr.text import cut, meant
from jitr.unseen import quote

_MOST_SHOWN = 300  # characters of the columns that there are


def require_column(option: str, column: str, there: Collection[str]) -> None:
    """Raise InputError where a column is none of those that there are in the rows; ``option`` is who asked for it."""
    if column not in there:
        known = cut(meant(column, sorted(there)), _MOST_SHOWN)
        raise InputError(f"{option}: no row has the column {column}: {known}")


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

    def __str__(self) -> str:
        """Return the conditions as a sentence has them: ``where attr.lot=17 and attr.hall=2``."""
        return f"where {' and '.join(self.to_json())}" if self._wanted else ""

    def to_json(self) -> list[str]:
        """Return the conditions as they were given."""
        return [f"{column}={value}" for column, value in self._wanted]

    def words(self) -> list[str]:
        """Return the options as one types them."""
        return [word for each in self.to_json() for word in ("--where", each)]

    def of(self, rows: Iterable[ListRow]) -> Iterator[ListRow]:
        """Return the rows that meet them. Raises InputError after the last row where no row has such a column."""
        return self._chosen(rows) if self._wanted else iter(rows)

    def _chosen(self, rows: Iterable[ListRow]) -> Iterator[ListRow]:
        there: set[str] = set()
        for row in rows:
            columns = row.to_json()
            there |= columns.keys()
            if all(columns.get(column) == value for column, value in self._wanted):
                yield row
        if there:
            self._require_columns(there)

    def _require_columns(self, there: set[str]) -> None:
        for column, value in self._wanted:
            require_column(f"--where {column}={value}", column, there)


class ChosenRows:
    """The rows of the list ``name`` that meet conditions; without a name, those of every list.

    Iterating reads the table anew. Raises InputError where there is no such list.
    """

    def __init__(self, lists: DeviceLists, name: str | None, where: RowFilter) -> None:
        there = lists.all()
        if name is not None and name not in there:
            raise InputError(f"there is no device list {quote(name)}: {meant(name, there)}")
        self._lists = lists
        self._name = name
        self._where = where
        self._generations = {
            each.name: each.head.generation for each in there.values() if name is None or each.name == name
        }

    def __iter__(self) -> Iterator[ListRow]:
        rows = (self._lists.rows(name, generation) for name, generation in self._generations.items())
        return self._where.of(chain.from_iterable(rows))

    def __str__(self) -> str:
        """Return which they are, to follow "on" and "of"."""
        which = "any list" if self._name is None else f"list {self._name}"
        return f"{which} {self._where}".rstrip()
