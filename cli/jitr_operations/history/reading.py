"""The history read: filtered, a page at a time, and as CSV."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from jitr.aws.dynamodb.history import newest, of_device
from jitr.aws.dynamodb.table import Table
from jitr.devicelists.columns import is_column
from jitr.devicelists.csv.cells import to_cell
from jitr.records.history import HistoryEntry, HistoryKind, Outcome, Values, place, read_place
from jitr.unseen import written_out
from jitr_operations.deployment import Deployment
from jitr_operations.devices.registry import Registry
from jitr_operations.devices.which import find_one
from jitr_operations.files import BYTE_ORDER_MARK

SIZE = 50  # entries of one page
MOST = 1_000  # entries that are looked at for one page, where a filter passes few
MOST_OF_A_DEVICE = 1_000
COLUMNS = (
    *("at", "ended_at", "by", "kind", "command", "outcome", "subject", "devices", "device_count"),
    *("why", "before", "after", "problem", "tool", "version"),
)
_DIGEST = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class HistoryFilter:
    """Which entries are wanted: of a span of time, of somebody (any part of who it was), of a kind, about a device."""

    since: datetime | None = None
    until: datetime | None = None
    by: str | None = None
    kind: HistoryKind | None = None
    certificate_id: str | None = None

    def __call__(self, entry: HistoryEntry) -> bool:
        """Return whether an entry is wanted."""
        return (
            (self.since is None or place(self.since) <= entry.id)
            and (self.until is None or entry.at <= place(self.until))
            and (self.by is None or self.by.casefold() in entry.by.casefold())
            and self.kind in (None, entry.kind)
        )


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """Some entries, and after which the next ones come; None where there are no more.

    ``looked_at`` were read. A page that is not full and has ``after`` goes on: its filter passed few of them.
    """

    entries: tuple[HistoryEntry, ...]
    after: str | None
    looked_at: int


def device_meant(deployment: Deployment, table: Table, device: str) -> str:
    """Return the certificateId of a device, of one that is deleted as well. Raises InputError where there is none."""
    if _DIGEST.fullmatch(device):
        return device
    return find_one(device, Registry(deployment.client("iot")), table, on_record=True)


def page(
    table: Table, wanted: HistoryFilter, *, after: str | None = None, size: int = SIZE, most: int = MOST
) -> HistoryPage:
    """Return the wanted entries after a place, the newest first. Raises InputError for a place that is none."""
    found: list[HistoryEntry] = []
    last, count = None, 0
    for entry in _from(table, wanted, None if after is None else read_place(after)):
        if len(found) == size or count == most:
            return HistoryPage(tuple(found), last, count)
        last, count = entry.id, count + 1
        if wanted(entry):
            found.append(entry)
    return HistoryPage(tuple(found), None, count)


def latest(table: Table, wanted: HistoryFilter, limit: int) -> list[HistoryEntry]:
    """Return the newest wanted entries, the newest first, however many have to be looked at."""
    return list(islice(filter(wanted, _from(table, wanted, None)), limit))


def _from(table: Table, wanted: HistoryFilter, after: str | None) -> Iterator[HistoryEntry]:
    if wanted.certificate_id is not None:
        found = of_device(table, wanted.certificate_id, MOST_OF_A_DEVICE)
        return (each for each in found if after is None or each.id < after)
    until = None if wanted.until is None else place(wanted.until)
    return newest(table, since="" if wanted.since is None else place(wanted.since), until=until, after=after)


# --- in words


def ended(entry: HistoryEntry) -> str:
    """Return how a change ended, in words."""
    if entry.outcome is Outcome.BEGUN:
        return "begun, and nobody wrote down how it ended: it is under way, or was cut off"
    told = "done" if entry.outcome is Outcome.DONE else entry.outcome.value
    return f"{told}: {entry.problem}" if entry.problem else told


def values_text(values: Values) -> str:
    """Return what was before or after as one line."""
    return ", ".join(f"{name} {value}" for name, value in values.items() if value is not None)


def changed(entry: HistoryEntry) -> str:
    """Return what was before and after as one line for people, in words; they know a digest by its beginning."""
    before, after = (
        ", ".join(f"{_in_words(name)}: {_short(value)}" for name, value in values.items() if value is not None)
        for values in (entry.before, entry.after)
    )
    return f"{before} → {after}" if before and after else after or before


def _in_words(name: str) -> str:
    """Return the name of a value in words; the column of a list has its own name wherever people meet it."""
    if is_column(name):
        return name
    return "SHA-256" if name == "sha256" else name.replace("_", " ")


def _short(value: Any) -> Any:
    return value[:12] if isinstance(value, str) and _DIGEST.fullmatch(value) else value


def as_csv(entries: Iterable[HistoryEntry]) -> Iterator[str]:
    """Write entries as CSV (RFC 4180), header first, a record at a time; no cell is run by a spreadsheet."""
    yield BYTE_ORDER_MARK
    yield _record(COLUMNS)
    for entry in entries:
        plain = entry.to_json()
        plain |= {"devices": " ".join(entry.devices), "before": values_text(entry.before)}
        plain["after"] = values_text(entry.after)
        yield _record(["" if plain[name] is None else _cell(str(plain[name])) for name in COLUMNS])


def _cell(text: str) -> str:
    return to_cell("note", written_out(text))


def _record(cells: Sequence[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow(cells)
    return line.getvalue()
