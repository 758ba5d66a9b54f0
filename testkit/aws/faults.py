"""What befalls whoever makes calls at one of them: killed, timed out, throttled, unreachable, or the answer lost.

A command is also interrupted by the person who gave it, and may still say what it did.
"""

from dataclasses import dataclass, field
from threading import get_ident
from typing import Any

from botocore.exceptions import ConnectTimeoutError, ReadTimeoutError

BEFORE = ("killed before", "timed out before", "throttled", "unreachable")  # AWS did not do it
AFTER = ("killed after", "timed out after", "answer lost")  # AWS did it
INTERRUPTED = ("interrupted before", "interrupted after")


class Killed(BaseException):
    """The function's process is gone: nothing in it can catch this."""


@dataclass
class InjectedFault:
    """Strikes at the n-th call, once."""

    at: int
    how: str  # one of BEFORE, AFTER and INTERRUPTED
    next_knock_first: bool = False
    calls: int = 0
    struck: str | None = None
    by_hand: int | None = None  # the thread in which another hand makes calls at this moment
    _striking: bool = field(default=False, repr=False)

    def before(self, **context: Any) -> Any:
        """Called by botocore before each call."""
        if get_ident() == self.by_hand:
            return None
        self.calls += 1
        if self.calls != self.at:
            return None
        self.struck = context["model"].name
        if self.how in AFTER or self.how == "interrupted after":
            self._striking = True
            return None
        if self.how == "throttled":
            response = type("Response", (), {"status_code": 400, "headers": {}})()
            return response, {
                "Error": {"Code": "ThrottlingException", "Message": "slow down"},
                "ResponseMetadata": {"HTTPStatusCode": 400},
            }
        if self.how == "unreachable":
            raise ConnectTimeoutError(endpoint_url="https://aws")
        if self.how == "interrupted before":
            raise KeyboardInterrupt
        raise Killed

    def after(self, **_context: Any) -> None:
        """Called by botocore after each call."""
        if self._striking and get_ident() != self.by_hand:
            self._striking = False
            if self.how == "answer lost":
                raise ReadTimeoutError(endpoint_url="https://aws")
            raise KeyboardInterrupt if self.how == "interrupted after" else Killed

    def __str__(self) -> str:
        """For the message of a failed test."""
        first = ", and the next knock comes first" if self.next_knock_first else ""
        return f"{self.how} {self.struck} (call {self.at}){first}"
