"""The order in which people look for rows: by name, with numbers as numbers."""

import re
from collections.abc import Iterable

from jitr.devicelists.rows import ListRow

_PARTS = re.compile(r"([^0-9]*)([0-9]*)")


def in_order(rows: Iterable[ListRow]) -> list[ListRow]:
    """Return rows by their common names, or else by what finds them: ``snr-2`` before ``snr-10``."""
    return sorted(rows, key=_place)


def _place(row: ListRow) -> tuple[list[tuple[str, int]], str]:
    value = row.common_name or row.found_by()[0].value
    return [(text.casefold(), int(digits or -1)) for text, digits in _PARTS.findall(value)], value
