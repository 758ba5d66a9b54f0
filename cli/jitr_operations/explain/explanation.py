"""The decision about one device, and why: what it rests on, and what could not be checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jitr.decision.decide import Decision


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision, the facts it rests on, and what could not be checked without AWS.

    ``knocks``: its decision comes of an event. A device that is in, or was registered by hand, has none.
    """

    decision: Decision
    facts: Mapping[str, Any]
    warnings: tuple[str, ...]
    not_checked: tuple[str, ...]
    knocks: bool = True

    def to_json(self) -> dict[str, Any]:
        """Return the document of ``--json``."""
        return self.decision.to_json() | {
            "facts": dict(self.facts),
            "warnings": list(self.warnings),
            "not_checked": list(self.not_checked),
        }
