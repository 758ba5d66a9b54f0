"""What an input costs, counted and not timed: lines of this software that run, and which way they were reached."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from types import CodeType, FrameType
from typing import Any

import jitr

_ROOT = jitr.__path__[0]


@dataclass
class Work:
    """The lines that one call ran in the library, and the steps from one of them to another."""

    lines: int = 0
    steps: set[tuple[CodeType, int, int]] = field(default_factory=set)


def work(call: Callable[[], object]) -> Work:
    """Run a call and count. What C code does inside of one line is not seen: ``__main__`` times that."""
    done = Work()
    before = 0
    inside: dict[CodeType, bool] = {}

    def local(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal before
        if event == "line":
            done.lines += 1
            done.steps.add((frame.f_code, before, frame.f_lineno))
            before = frame.f_lineno
        return local

    def entered(frame: FrameType, _event: str, _: Any) -> Any:
        nonlocal before
        code = frame.f_code
        ours = inside.get(code)
        if ours is None:
            ours = inside[code] = code.co_filename.startswith(_ROOT)
        before = 0
        return local if ours else None

    traced = sys.gettrace()
    sys.settrace(entered)
    try:
        call()
    finally:
        sys.settrace(traced)
    return done
