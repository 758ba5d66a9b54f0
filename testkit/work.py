"""How much work something takes, told without a clock, so that a busy machine fails no test."""

import gc
import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any

_SECONDS = 60  # what is guarded takes milliseconds

_IMPORTING = "<frozen importlib"


def steps(work: Callable[[], object]) -> int:
    """Count the lines of Python that run and the functions in C that are called.

    The number is the same on every machine and after whatever ran before in the process: caches of this software start
    empty, what happens once in a process is not counted, and garbage (whose finalizers and callbacks would run at any
    moment) is collected before and not meanwhile.

    What one call in C takes is not in it: `make fuzz` sees to it that readers take time in proportion to their input.
    """
    count = 0
    aside = 0  # how many frames deep in what happens once

    def line(_frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal count
        count += event == "line" and not aside
        return line

    def call(frame: FrameType, event: str, _argument: Any) -> None:
        nonlocal count, aside
        if event == "c_call":
            count += not aside
        elif event in ("call", "return") and _once(frame.f_code):
            aside += 1 if event == "call" else -1

    _forget()
    with _no_garbage():
        before = sys.gettrace(), sys.getprofile()
        sys.settrace(line)
        sys.setprofile(call)
        try:
            work()
        finally:
            sys.setprofile(before[1])
            sys.settrace(before[0])
    return count


def _once(code: CodeType) -> bool:
    """Whether this is done by whoever comes first: importing a module, or compiling a regular expression."""
    return code.co_filename.startswith(_IMPORTING) or (code.co_name == "_compile" and code.co_filename == re.__file__)


def _forget() -> None:
    """Empty the caches that functions of this software have."""
    ours = [
        module
        for name, module in list(sys.modules.items())
        if name.split(".")[0] in ("jitr", "jitr_cli", "jitr_operations")
    ]
    for module in ours:
        for value in list(vars(module).values()):
            if hasattr(value, "cache_clear"):
                value.cache_clear()


@contextmanager
def _no_garbage() -> Iterator[None]:
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


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
