"""Waiting for what AWS does in its own time."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(look: Callable[[], T | None], seconds: float, pause: float = 1.0) -> T | None:
    """Look again until there is something to see; return what was seen, or None once the time is up."""
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        if time.monotonic() > deadline:
            return None
        time.sleep(pause)
    return seen
