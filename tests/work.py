"""How much work something takes, told without a clock, so that a busy machine fails no test."""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_SECONDS = 60  # what is guarded takes milliseconds


def steps(work: Callable[[], object]) -> int:
    """How many lines of Python are run and functions in C called: the same number on every machine.

    What one call in C takes is not in it: `make fuzz` sees to it that readers take time in proportion to their input.
    """
    count = 0

    def line(_frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return line

    def call(_frame: FrameType, event: str, _argument: Any) -> None:
        nonlocal count
        count += event == "c_call"

    before = sys.gettrace(), sys.getprofile()
    sys.settrace(line)
    sys.setprofile(call)
    try:
        work()
    finally:
        sys.setprofile(before[1])
        sys.settrace(before[0])
    return count


@contextmanager
def ending() -> Iterator[None]:
    """Fails what would go on for hours, such as an expression that backtracks, instead of waiting for it."""

    def give_up(_signal: int, _frame: FrameType | None) -> None:
        raise AssertionError("it does not end")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
