"""The decision about one device, and why: what it rests on, and what could not be checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jitr.decision.decide import Decision

if TYPE_CHECKING:  # files alone need nothing of the table's
    from jitr_operations.devices.replaced import Replacement


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision, the facts it rests on, and what could not be checked without AWS.

    ``knocks``: its decision comes of an event. A device that is in, or was registered by hand, has none. ``status`` is
    the certificate's in AWS IoT, and ``replaced`` by what it was replaced; both None where only files were read.
    """

    decision: Decision
    facts: Mapping[str, Any]
    warnings: tuple[str, ...]
    not_checked: tuple[str, ...]
    knocks: bool = True
    status: str | None = None
    replaced: "Replacement | None" = None

    def to_json(self) -> dict[str, Any]:
        """Return the document of ``--json``."""
        document = self.decision.to_json() | {
            "facts": dict(self.facts),
            "warnings": list(self.warnings),
            "not_checked": list(self.not_checked),
        }
        if self.status is None:
            return document
        return document | {
            "status": self.status,
            "replaced_by": [] if self.replaced is None else list(self.replaced.by),
        }
