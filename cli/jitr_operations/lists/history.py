"""What became of a list, by imports and by single edits, each with who, when and why."""

from dataclasses import dataclass
from typing import Any

from jitr.aws.dynamodb.history import of_list
from jitr.aws.dynamodb.table import Table
from jitr.records.history import HistoryEntry
from jitr.services.lists.history import Origin, history
from jitr.times import parse_time
from jitr_operations.history.reading import changed


@dataclass(frozen=True, slots=True)
class ListChange:
    """An import into a list, or an edit of it."""

    of: Origin | HistoryEntry

    @property
    def at(self) -> str:
        """When it was, RFC 3339."""
        return self.of.at

    @property
    def how(self) -> str:
        """What was done: ``merge``, ``replace``, ``add``, ``remove``, ``delete`` or ``restore``."""
        return self.of.mode if isinstance(self.of, Origin) else self.of.command.split(" ", 2)[1]

    def cells(self) -> tuple[object, ...]:
        """Return when, how, how many rows, what, its SHA-256, who signed it, who did it and why, for people."""
        if isinstance(self.of, Origin):
            signers = ", ".join(each["name"] for each in self.of.signers)
            return self.at, self.how, self.of.rows, self.of.file, self.of.sha256[:16], signers, self.of.by, ""
        return self.at, self.how, "", changed(self.of), "", "", self.of.by, self.of.why or ""

    def to_json(self) -> dict[str, Any]:
        """Return it as ``jitr lists history --json`` prints it."""
        if isinstance(self.of, Origin):
            return self.of.to_json()
        plain = {"list": self.of.subject, "mode": self.how, "by": self.of.by, "at": self.at, "why": self.of.why}
        return plain | {"before": dict(self.of.before), "after": dict(self.of.after)}


def changes(table: Table, name: str, limit: int) -> list[ListChange]:
    """Return the latest imports into a list and edits of it, the newest first. Raises Retry."""
    found = [*map(ListChange, history(table, name, limit)), *map(ListChange, of_list(table, name, limit))]
    return sorted(found, key=lambda each: parse_time(each.at), reverse=True)[:limit]
