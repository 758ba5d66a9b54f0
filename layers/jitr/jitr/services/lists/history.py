"""Where a list's rows came from: each import that was finished, with its file, who signed it, who imported it, when."""

from collections.abc import Mapping
from itertools import islice
from typing import Any

from jitr.aws.dynamodb.actions import put
from jitr.aws.dynamodb.table import Item, Table
from jitr.values import dataclass

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Origin:
    """One import. ``sha256`` is of the file's bytes, of a folder's as they were read; ``at`` is RFC 3339.

    ``signers`` name those of a signed manifest, each with the SHA-256 of its certificate.
    """

    list: str
    mode: str
    generation: str
    file: str
    sha256: str
    rows: int
    signers: tuple[Mapping[str, str], ...]
    by: str
    at: str

    @property
    def key(self) -> Item:
        """Return its place in the table: a list's imports stand in order of time."""
        return {"pk": f"ORIGINS#{self.list}", "sk": f"{self.at}#{self.generation}#{self.sha256[:16]}"}

    def put(self, table: str) -> dict[str, Any]:
        """Return the action that writes it, for the transaction that ends the import."""
        return put(table, self.key | {"format": FORMAT} | self.to_json())

    def to_json(self) -> dict[str, Any]:
        """Return it as it is stored, and as ``jitr lists history --json`` prints it."""
        return {name: getattr(self, name) for name in self.__slots__} | {
            "signers": [dict(each) for each in self.signers]
        }

    @classmethod
    def from_item(cls, item: Item) -> "Origin":
        """Return an import as it was stored."""
        known = {name: item[name] for name in cls.__slots__}
        return cls(**(known | {"signers": tuple(item["signers"]), "rows": int(item["rows"])}))


def history(table: Table, name: str, limit: int) -> list[Origin]:
    """Return the latest imports into a list, the newest first. Raises Retry."""
    return [Origin.from_item(each) for each in islice(table.query(f"ORIGINS#{name}", newest_first=True), limit)]
