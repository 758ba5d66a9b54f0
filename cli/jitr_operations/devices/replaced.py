"""Which certificate took the place of a device's earlier one, and when (``renewal: replace``)."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from jitr.aws.dynamodb.replacements import successors_of
from jitr.aws.dynamodb.table import Table
from jitr.records.record import Record
from jitr.times import rfc3339


@dataclass(frozen=True, slots=True)
class Replacement:
    """The certificates that have what an admitted one was granted. ``at`` is when the first of them was admitted."""

    by: tuple[str, ...]
    at: datetime | None = None  # unknown where no record of theirs is left

    @property
    def told(self) -> str:
        """The same in words, which follow "replaced"."""
        names = " and ".join(each[:12] for each in self.by)
        return f"by {names}" + (f" at {rfc3339(self.at)}" if self.at else "")


def replacement_of(table: Table | None, record: Record | None) -> Replacement | None:
    """Return what replaced a certificate; None for one that has its place, or never had one."""
    if table is None or record is None:
        return None
    return replacements_of(table, [record]).get(record.certificate_id)


def replacements_of(table: Table, records: Iterable[Record]) -> dict[str, Replacement]:
    """Return what replaced each of these certificates, of those replaced, by certificateId."""
    successors = successors_of(table, records)
    heirs = {each for by in successors.values() for each in by}
    since = {each.certificate_id: each.since for each in (table.records(sorted(heirs)) if heirs else ())}
    return {
        old: Replacement(by, min((since[each] for each in by if each in since), default=None))
        for old, by in successors.items()
    }
