"""Which devices of a fleet are looked at, and for what."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from jitr.decision.revocation import without_responders, without_revocation
from jitr.fleet.standing import Standing
from jitr.rules.model import Rules
from jitr.times import rfc3339


@dataclass(slots=True)
class Selection:
    """Which devices are looked at, and for what."""

    ca: str | None = None
    rule: str | None = None
    since: datetime | None = None
    only: frozenset[Standing] = field(default_factory=lambda: frozenset(Standing))
    attachments: bool = False  # ask of each device to which things its certificate is attached
    ocsp: bool = True  # ask the responders that the rules name
    denied_by: str | None = None  # decided by this deny rule alone, and by no revocation list

    def rules_of(self, rules: Rules) -> Rules:
        """Return the rules by which devices are decided, of those in force."""
        if self.denied_by is not None:
            deny = tuple(each for each in rules.deny if each.name == self.denied_by)
            return replace(without_revocation(rules), deny=deny)
        return rules if self.ocsp else without_responders(rules)

    def to_json(self) -> dict[str, Any]:
        """Return it as the notebook keeps it."""
        return {
            "ca": self.ca,
            "rule": self.rule,
            "since": None if self.since is None else rfc3339(self.since),
            "only": sorted(each.value for each in self.only),
            "attachments": self.attachments,
            "ocsp": self.ocsp,
            "denied_by": self.denied_by,
        }
