"""Counting work (``testkit.work``): the same number whatever ran before, and however busy the machine is."""

import gc
import importlib
import re
from functools import partial
from itertools import count
from pathlib import Path

import pytest
from testkit.work import steps

from jitr.devicelists.columns import is_column
from jitr.devicelists.csv.reader import Reader

FILE = b"common_name,note\n" + (b'snr,"' + b" " * 8000 + b'\n x"\n') * 5


def read() -> None:
    list(Reader([FILE], source="f"))


def test_a_regular_expression_that_was_not_used_before_is_no_work() -> None:
    """Compiling it takes ten thousand lines: more than reading the file does."""
    read()
    warm = steps(read)
    re.purge()
    assert steps(read) == warm


def test_what_a_cache_of_ours_knows_already_is_work_all_the_same() -> None:
    name = "attr.batch"
    first = steps(partial(is_column, name))
    assert is_column(name)
    assert steps(partial(is_column, name)) == first > 1


def test_importing_a_module_is_no_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "module_of_a_thousand_lines.py").write_text("x = 1\n" * 1000)
    monkeypatch.syspath_prepend(tmp_path)
    assert steps(partial(importlib.import_module, "module_of_a_thousand_lines")) < 20


def test_garbage_of_others_is_no_work() -> None:
    """Neither its finalizers nor what is told of each collection, as Hypothesis has it told."""

    class Loop:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            ran.extend(range(10))
            for _ in range(100):
                pass

    ran: list[int] = []
    told = count()

    def tell(_phase: str, _info: dict[str, int]) -> None:
        next(told)

    def work() -> None:
        kept.extend([each] for each in range(5000))

    kept: list[list[int]] = []
    alone = steps(work)
    gc.callbacks.append(tell)
    try:
        for _ in range(100):
            Loop()
        assert steps(work) == alone
    finally:
        gc.callbacks.remove(tell)
    assert gc.isenabled()
