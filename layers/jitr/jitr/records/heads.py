"""The heads: which rules and which rows of each list are in force. Whoever edits changes them last."""

from collections.abc import Mapping
from dataclasses import field

from jitr.values import dataclass


@dataclass(frozen=True, slots=True)
class ListHead:
    """A list as its readers find it: which generation of rows is in force, and how often it was edited."""

    generation: str
    edition: int


@dataclass(frozen=True, slots=True)
class Heads:
    """The rules in force by digest and the lists by generation. Read them before any row."""

    digest: str | None = None  # None: no rules were published yet
    meaning: str | None = None
    version: int = 0
    lists: Mapping[str, ListHead] = field(default_factory=dict)

    def edition(self, name: str) -> str:
        """Return a value that changes when a list changes; a list that does not exist has one, too."""
        head = self.lists.get(name)
        return "absent" if head is None else f"{head.generation}/{head.edition}"
