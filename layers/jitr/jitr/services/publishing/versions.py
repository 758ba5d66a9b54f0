"""What was put in force: each publication of rules, and the text of its file. ``publication`` puts rules in force."""

from collections.abc import Iterator
from typing import Any

from jitr.aws.dynamodb.table import HEADS, Item, Table
from jitr.values import dataclass


@dataclass(frozen=True, slots=True)
class Publication:
    """One publication of rules: who put what in force, when and why."""

    version: int
    digest: str
    meaning: str
    source: str
    published_at: str  # RFC 3339
    published_by: str
    message: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as it is stored and shown."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        return {name: value for name, value in plain.items() if value is not None}

    @classmethod
    def from_json(cls, data: Item) -> "Publication":
        """Read back what ``to_json`` wrote."""
        return cls(
            version=int(data["version"]),
            digest=data["digest"],
            meaning=data["meaning"],
            source=data["source"],
            published_at=data["published_at"],
            published_by=data["published_by"],
            message=data.get("message"),
        )


def in_force(table: Table) -> Publication | None:
    """Return the publication in force, or None before the first."""
    item = table.one(HEADS)
    rules = None if item is None else item.get("rules")
    return None if rules is None else Publication.from_json(rules)


def history(table: Table) -> Iterator[Publication]:
    """Return every publication, the newest first."""
    return map(Publication.from_json, table.query("VERSIONS", newest_first=True))


def source(table: Table, digest: str) -> bytes | None:
    """Return the text of the file that was published under a digest."""
    return table.blob(f"SOURCE#{digest}")
