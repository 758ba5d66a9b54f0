"""The rows of a recall list that fit no device: a wrong case or an "l" for a "1" recalls nobody, and nothing fails."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from jitr.devicelists.rows import ListRow, RowKey
from jitr.facts import CertificateFacts
from jitr.text import counted
from jitr_operations.lists.near_rows import spellings

SHOWN = 20
_MOST_NAMES = 200_000  # devices' names among which the nearest is looked for


@dataclass(slots=True)
class ListComparison:
    """The devices that a list was compared with."""

    active: set[str] = field(default_factory=set)  # keys of rows that fit an ACTIVE certificate
    others: set[str] = field(default_factory=set)  # or one that is not ACTIVE
    names: set[str] = field(default_factory=set)

    def saw(self, facts: CertificateFacts, device: Iterable[RowKey], keys: frozenset[str], *, active: bool) -> None:
        """Note a device: which of the list's keys are its own, and its names."""
        (self.active if active else self.others).update(key for each in device if (key := str(each)) in keys)
        if len(self.names) < _MOST_NAMES:
            self.names.update(facts.values("common_name"))


@dataclass(frozen=True, slots=True)
class Misses:
    """How many rows count, how many fit no ACTIVE certificate, how many of those fit one that is not; the first."""

    rows: int
    without: int
    not_active: int
    first: tuple[tuple[RowKey, str | None], ...]  # rows that fit no device at all, and the nearest device's name

    def lines(self, which: str) -> list[str]:
        """Return the lines for a person; nothing if every row fits. ``which`` says which rows these are."""
        if not self.rows:
            return [f"No row of {which} is in force: it recalls nobody"]
        if not self.without:
            return []
        told = [f"{self.without:,} of {counted(self.rows, 'row')} of {which} fit no ACTIVE certificate"]
        if self.not_active:
            fit = counted(self.not_active, "of them fits", "of them fit")
            told[0] += f"; {fit} one that is not ACTIVE"
        for key, near in self.first:
            told.append(f"  no device has {key.kind} {key.value}" + (f"; nearest is {near}" if near else ""))
        unseen = self.without - self.not_active - len(self.first)
        return [*told, f"  … and {unseen:,} more"] if unseen > 0 else told

    def to_json(self) -> dict[str, Any]:
        """Return it as ``--json`` prints it."""
        first = [{"found_by": key.kind, "key": key.value, "nearest": near} for key, near in self.first]
        return {
            "rows": self.rows,
            "rows_without_active": self.without,
            "rows_not_active": self.not_active,
            "first_without_device": first,
        }


def find_misses(rows: Iterable[ListRow], at: datetime, compared: ListComparison) -> Misses:
    """Return how many rows fit none of the devices that they were compared with, and the first of them."""
    count = without = not_active = 0
    first: list[tuple[RowKey, str | None]] = []
    for row in rows:
        if not row.counts(at):
            continue
        count += 1
        keys = row.found_by()
        if any(str(key) in compared.active for key in keys):
            continue
        without += 1
        if any(str(key) in compared.others for key in keys):
            not_active += 1
        elif len(first) < SHOWN:
            near = None if row.common_name is None else _nearest(row.common_name, compared.names)
            first.append((keys[0], near))
    return Misses(count, without, not_active, tuple(sorted(first, key=str)))


def _nearest(name: str, names: set[str]) -> str | None:
    return next((each for each in spellings(name) if each in names), None)
