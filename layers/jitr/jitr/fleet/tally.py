"""What a check of the fleet counts: findings by kind and reason, and the newest few of each kind.

A tally stays small however many devices there are, so that it can be kept with the place that a check has come to.
"""

import json
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from jitr.values import dataclass

MOST_EXAMPLES = 10  # of each kind
_MOST_TEXT = 400  # bytes of an example's text as JSON: what is in it may come from a certificate
EXPIRING = "expiring"  # the kind of a device whose certificate ends soon


@dataclass(frozen=True, slots=True)
class Example:
    """One device that was found, as a summary shows it."""

    certificate_id: str
    common_name: str
    at: str  # RFC 3339: when it was decided or registered
    reason: str
    message: str

    def to_json(self) -> dict[str, str]:
        """Return it as it is kept and printed."""
        return {
            "certificate_id": self.certificate_id,
            "common_name": _cut(self.common_name),
            "at": self.at,
            "reason": self.reason,
            "message": _cut(self.message),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Example":
        """Read what ``to_json`` wrote."""
        return cls(data["certificate_id"], data["common_name"], data["at"], data["reason"], data["message"])


@dataclass(slots=True)
class Tally:
    """Counts of what was looked at and found."""

    certificates: int = 0  # listed
    looked_at: int = 0  # decided again
    left_alone: int = 0  # being decided at that moment
    failed: int = 0  # could not be decided again: a bug
    drifted: int = 0  # noted for later, when the status of each is known
    counts: dict[str, dict[str, int]] = field(default_factory=dict)  # by kind and reason
    examples: dict[str, list[Example]] = field(default_factory=dict)  # by kind, the newest first

    def find(self, kind: str, example: Example) -> None:
        """Count a device that was found."""
        self.count(kind, example.reason, 1)
        self._show(kind, [example])

    def count(self, kind: str, reason: str, number: int) -> None:
        """Count devices of which nobody knows which they are."""
        of_kind = self.counts.setdefault(kind, {})
        of_kind[reason] = of_kind.get(reason, 0) + number

    def add(self, other: "Tally") -> None:
        """Add what another tally counted."""
        for name in _NUMBERS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for kind, reasons in other.counts.items():
            for reason, count in reasons.items():
                self.count(kind, reason, count)
        for kind, examples in other.examples.items():
            self._show(kind, examples)

    def _show(self, kind: str, examples: list[Example]) -> None:
        shown = [*self.examples.get(kind, ()), *examples]
        shown.sort(key=lambda each: (each.at, each.certificate_id), reverse=True)
        self.examples[kind] = shown[:MOST_EXAMPLES]

    def to_json(self) -> dict[str, Any]:
        """Return it as it is kept and printed."""
        return {name: getattr(self, name) for name in _NUMBERS} | {
            "counts": {kind: dict(reasons) for kind, reasons in self.counts.items()},
            "examples": {kind: [each.to_json() for each in shown] for kind, shown in self.examples.items()},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Tally":
        """Read what ``to_json`` wrote."""
        return cls(
            **{name: data[name] for name in _NUMBERS},
            counts={kind: dict(reasons) for kind, reasons in data["counts"].items()},
            examples={kind: [Example.from_json(each) for each in shown] for kind, shown in data["examples"].items()},
        )


def _cut(text: str) -> str:
    """Cut a text so that its JSON is short, in which some characters take twelve bytes."""
    text = text[:_MOST_TEXT]
    while len(json.dumps(text)) > _MOST_TEXT:
        text = text[: len(text) - len(text) // 10 - 1]
    return text


_NUMBERS = ("certificates", "looked_at", "left_alone", "failed", "drifted")
