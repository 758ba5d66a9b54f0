"""Every reader of what strangers write, under hostile input: a little of what `make fuzz` does, the same each time.

Work is counted in lines that run, not in seconds: it is the same on every machine.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random

import fuzz.__main__ as campaign
import pytest
from fuzz import inputs
from fuzz.inputs import pumped, smaller
from fuzz.targets import TARGETS, Target
from fuzz.work import work
from hypothesis import given, settings
from hypothesis import strategies as st

from jitr.x509 import der

BY_NAME = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)


@BY_NAME
def test_the_corpus_is_read_or_refused_as_declared(target: Target) -> None:
    """What was found once is in it, and stays mended."""
    assert len(target.seeds.samples) >= 2
    for each in target.seeds.samples:
        target.read(each)
        assert len(each) < 8192, "the corpus is kept small"


@BY_NAME
def test_only_declared_errors_come_of_what_hypothesis_makes(target: Target) -> None:
    @settings(max_examples=60)
    @given(target.seeds.strategy())
    def every_input(data: bytes) -> None:
        target.read(data)

    every_input()


@BY_NAME
def test_only_declared_errors_come_of_damage_to_good_ones(target: Target) -> None:
    random = Random(1)
    for _ in range(150):
        target.read(target.seeds.damaged(random))


@BY_NAME
def test_no_part_of_an_input_costs_more_than_linear_work_when_it_is_repeated(target: Target) -> None:
    random = Random(2)
    for size in (2_000, 2_000, 6_000, 6_000, 12_000):
        data = pumped(random.choice(target.seeds.samples), random, target.is_der)(size)
        assert work(partial(target.read, data)).lines <= target.allowed(data), data[:200]


@given(st.binary(max_size=60))
def test_taking_der_apart_and_putting_it_together_changes_nothing(content: bytes) -> None:
    """What is made from DER is hostile where it was meant to be, and nowhere else."""
    sample = der.element(der.SEQUENCE, der.element(der.OCTET_STRING, content) + der.element(der.SET, b"\x02\x01\x05"))
    assert inputs._bytes(inputs._tree(sample, 0)) == sample


def planted(read: Callable[[bytes], object], tmp_path: Path) -> Target:
    """A reader with a bug in it, and a corpus of one sample."""

    def wrapped(data: bytes) -> None:
        read(data)

    folder = tmp_path / "corpus" / "planted"
    folder.mkdir(parents=True)
    (folder / "one.sample").write_bytes(b"begin;5;end")

    class Planted(Target):
        corpus = folder

    return Planted("planted", wrapped, (b";", b"0"), 1 << 20, 1000, 10)


def test_a_planted_bug_is_found_made_small_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def divides(data: bytes) -> float:
        number = data.split(b";")[1:2]
        return 1 / int(number[0]) if number and number[0].isdigit() else 0

    monkeypatch.setattr(campaign, "KEPT", tmp_path / "kept")
    found = campaign.Campaign(planted(divides, tmp_path), Random(3))
    found.start()
    for _ in range(2000):
        found._guided()
    (why,) = found.failures
    assert "ZeroDivisionError" in why
    assert found.failures[why] == b";0"
    assert [each.read_bytes() for each in (tmp_path / "kept" / "failed" / "planted").iterdir()] == [b";0"]


def test_work_by_the_square_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def again_and_again(data: bytes) -> None:
        for at in range(0, len(data), 10):
            for _ in range(0, at, 10):
                der.boolean(b"\x00")

    monkeypatch.setattr(campaign, "KEPT", tmp_path / "kept")
    found = campaign.Campaign(planted(again_and_again, tmp_path), Random(4))
    monkeypatch.setattr(campaign, "_SMALL", 1000)
    found.start()
    found._growing()
    assert any("costs too much" in why for why in found.failures)


def test_making_an_input_smaller_keeps_what_is_asked_of_it() -> None:
    assert smaller(b"a" * 50 + b"needle" + b"b" * 50, lambda each: b"needle" in each) == b"needle"
