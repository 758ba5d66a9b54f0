"""Changes: what was edited, told to whoever rechecks held devices.

A change is written in the same transaction that puts the edit in force, so that none is ever without the other. The
table's stream carries it to the recheck function. It names the edit, and is not the edit: who reads it looks at what
is in force by then, so changes may come late, twice and in any order.
"""

import secrets
from collections.abc import Iterable, Mapping
from datetime import timedelta
from enum import Enum
from typing import Any

from jitr.aws.dynamodb.actions import put
from jitr.aws.dynamodb.table import Item
from jitr.devicelists.rows import RowKey
from jitr.times import parse_time
from jitr.values import dataclass

PARTITION = "CHANGES"
FORMAT = 1

# A change with more row keys than this says "the list": it costs less to go through the held devices once. A key has
# at most 550 bytes, so a change stays far below the 400 KB of an item.
MOST_KEYS = 100
# The stream keeps what it carries for a day; a while longer for people who look.
_KEPT = timedelta(days=7)


class ChangeKind(Enum):
    """The kind of an edit."""

    ROWS = "rows"  # some rows of a list, named by every key that they have or had
    LIST = "list"  # a list was replaced, deleted, or edited in more rows than a change can name
    RULES = "rules"  # other rules are in force
    HELD = "held"  # nothing: an operator wants every held device decided again


@dataclass(frozen=True, slots=True)
class Change:
    """One edit. ``at`` is when it was made, RFC 3339."""

    kind: ChangeKind
    at: str
    list: str | None = None
    keys: tuple[RowKey, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return it as it is stored; absent values are left out."""
        plain: dict[str, Any] = {"format": FORMAT, "kind": self.kind.value, "at": self.at}
        if self.list is not None:
            plain["list"] = self.list
        if self.keys:
            plain["keys"] = [[key.kind, key.value] for key in self.keys]
        return plain

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Change":
        """Read back what ``to_json`` wrote. Raises ValueError for a format or a kind that this code does not know."""
        if int(data["format"]) != FORMAT:
            raise ValueError(f"a change of format {data['format']}; this version reads {FORMAT}")
        keys = tuple(RowKey(kind, value) for kind, value in data.get("keys", ()))
        return cls(ChangeKind(data["kind"]), data["at"], data.get("list"), keys)


def rows_changed(name: str, keys: Iterable[RowKey], at: str) -> Change:
    """Return the change of rows added, changed or removed: ``keys`` are all that they have, and had before."""
    distinct = tuple(dict.fromkeys(keys))
    if len(distinct) > MOST_KEYS:
        return list_changed(name, at)
    return Change(ChangeKind.ROWS, at, name, distinct)


def list_changed(name: str, at: str) -> Change:
    """Return the change of a list that was replaced, deleted, or edited in many rows."""
    return Change(ChangeKind.LIST, at, name)


def rules_changed(at: str) -> Change:
    """Return the change to other rules in force."""
    return Change(ChangeKind.RULES, at)


def everyone_wanted(at: str) -> Change:
    """Return the change that has every held device decided again."""
    return Change(ChangeKind.HELD, at)


def change_put(table: str, change: Change) -> Item:
    """Return the action that writes a change, for the transaction that puts the edit in force."""
    return put(table, change_item(change))


def change_item(change: Change) -> Item:
    """Return a change as an item, under a key of its own."""
    expires_at = int((parse_time(change.at) + _KEPT).timestamp())
    key = {"pk": PARTITION, "sk": f"{change.at}#{secrets.token_hex(8)}"}
    return key | change.to_json() | {"expires_at": expires_at}
