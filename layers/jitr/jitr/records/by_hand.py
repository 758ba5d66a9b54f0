"""One change of a certificate's status by an operator's command, as a value."""

from collections.abc import Mapping
from typing import Any

from jitr.values import dataclass

NOT_REGISTERED = "NOT_REGISTERED"  # the status before of a certificate that was registered by hand


@dataclass(frozen=True, slots=True)
class Act:
    """One change of a status. ``overruled`` has the reason codes that spoke against it."""

    status: str
    status_before: str
    by: str
    at: str  # RFC 3339
    message: str | None = None
    overruled: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return it as it is stored and as ``--json`` prints it."""
        plain = {"status": self.status, "status_before": self.status_before, "by": self.by, "at": self.at}
        if self.message is not None:
            plain["message"] = self.message
        return plain | ({"overruled": list(self.overruled)} if self.overruled else {})

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Act":
        """Read what ``to_json`` wrote."""
        overruled = tuple(data.get("overruled", ()))
        return cls(data["status"], data["status_before"], data["by"], data["at"], data.get("message"), overruled)

    @property
    def told(self) -> str:
        """In words: what it was made, when, by whom, and why."""
        if self.status_before == NOT_REGISTERED:
            return f"registered {self.at}, by {self.by}"
        why = f": {self.message}" if self.message else ""
        if self.status_before == self.status and self.status != "ACTIVE":
            return f"{self.status} already, and to stay so since {self.at}, by {self.by}{why}"
        against = f", overruling {', '.join(self.overruled)}" if self.overruled else ""
        return f"{self.status} since {self.at}, by {self.by}{against}{why}"

    @property
    def cut_off(self) -> bool:
        """Whether the device, which could connect or would have been decided, cannot connect since."""
        return self.status in ("INACTIVE", "REVOKED") and self.status_before != NOT_REGISTERED
