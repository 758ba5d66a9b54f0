"""What tests of the command line speak of: `jitr` and openssl as they are run, and AWS in process."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from click.testing import Result

REGION = "eu-central-1"
ACCOUNT = "123456789012"  # moto's


Run = Callable[..., Result]


Openssl = Callable[..., str]


@dataclass
class Aws:
    """AWS in process: moto, and what it lacks of CAs. ``calls`` are the operations asked for, with their parameters."""

    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    overrides: dict[str, Callable[[dict[str, Any]], Any]] = field(default_factory=dict)
    real: Callable[..., Any] = field(default=lambda *_: None, repr=False)  # what answers without overrides
    registration_code: str = "5e9fa3974e4c1053c2d3f90f9458d4fc822c9904b821b811cd9875b13b756369"

    @property
    def operations(self) -> list[str]:
        """The names of the operations asked for."""
        return [name for name, _ in self.calls]

    def parameters(self, operation: str) -> dict[str, Any]:
        """What the one call of an operation was given."""
        [found] = [given for name, given in self.calls if name == operation]
        return found
