"""SAM's command line, looking ten times a second at what it waits for.

By itself ``sam delete`` looks every 30 seconds, and sleeps through most of a test. Run this with the Python of
``.venv-sam``, in place of its ``sam``.
"""

from typing import Any

from botocore.waiter import Waiter
from samcli.cli.main import cli  # type: ignore[import-not-found]

_wait = Waiter.wait


def _often(self: Waiter, **options: Any) -> None:
    """Wait as long as SAM would at least, with less time between two looks."""
    _wait(self, **{**options, "WaiterConfig": {"Delay": 0.1, "MaxAttempts": 36_000}})


if __name__ == "__main__":
    Waiter.wait = _often  # type: ignore[method-assign]
    cli(prog_name="sam")
