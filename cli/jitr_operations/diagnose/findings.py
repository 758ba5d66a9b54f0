"""What a diagnosis found: each thing looked at, whether it is well, and what to do where it is not."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. ``ok`` None: it is said, and neither good nor bad. The code is stable."""

    code: str
    ok: bool | None
    message: str
    remedy: str = ""

    def to_json(self) -> dict[str, object]:
        """Return it as ``--json`` prints it."""
        return {"code": self.code, "ok": self.ok, "message": self.message, "remedy": self.remedy or None}


@dataclass(slots=True)
class Findings:
    """All of them, in the order in which they were found."""

    found: list[Finding] = field(default_factory=list)

    def good(self, code: str, message: str) -> None:
        """Add that something is well."""
        self.found.append(Finding(code, True, message))

    def bad(self, code: str, message: str, remedy: str) -> None:
        """Add what keeps the device out, or will."""
        self.found.append(Finding(code, False, message, remedy))

    def say(self, code: str, message: str, remedy: str = "") -> None:
        """Note what is worth knowing."""
        self.found.append(Finding(code, None, message, remedy))

    @property
    def problems(self) -> list[Finding]:
        """The findings that are not well."""
        return [each for each in self.found if each.ok is False]
