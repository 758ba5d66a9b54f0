"""Dataclasses as `jitr.values` defines them: as the standard library's are, but for what refuses assignments."""

import dataclasses

import pytest

from jitr.values import dataclass


@dataclass(frozen=True, slots=True)
class Ours:
    """Like ``Theirs``."""

    number: int
    text: str = "a"
    kept: dict[str, int] = dataclasses.field(default_factory=dict, repr=False, compare=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Theirs:
    """Like ``Ours``."""

    number: int
    text: str = "a"
    kept: dict[str, int] = dataclasses.field(default_factory=dict, repr=False, compare=False)


def test_it_is_told_compared_replaced_and_kept_in_sets_as_the_standard_library_s() -> None:
    assert repr(Ours(1)) == repr(Theirs(1)).replace("Theirs", "Ours")
    assert Ours(1, kept={"a": 1}) == Ours(1) != Ours(2)
    assert dataclasses.replace(Ours(1), text="b") == Ours(1, "b")
    assert len({Ours(1), Ours(1), Ours(1, "b")}) == 2
    assert [each.name for each in dataclasses.fields(Ours)] == [each.name for each in dataclasses.fields(Theirs)]
    assert not hasattr(Ours(1), "__dict__")


def test_assigning_to_what_is_frozen_is_an_error_for_who_checks_types() -> None:
    """`make lint` would find the comment without use if it were none."""
    ours = Ours(1)
    ours.number = 2  # type: ignore[misc]


def test_what_may_change_is_in_no_set() -> None:
    @dataclass(slots=True)
    class Changing:
        number: int

    with pytest.raises(TypeError, match="unhashable"):
        hash(Changing(1))
