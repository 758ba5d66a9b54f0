"""Dataclasses as `jitr.values` defines them: as the standard library's are, and in Lambda cheaper to define."""

import dataclasses
import importlib
import os
import pkgutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

import jitr
from jitr.facts import Attribute, CaFacts, KeyFacts
from jitr.values import dataclass


def values_of_the_library() -> Iterator[type]:
    """Yield each dataclass that a module of the library defines."""
    for module in [each for name, each in sys.modules.items() if name.startswith("jitr.")]:
        for each in vars(module).values():
            if isinstance(each, type) and dataclasses.is_dataclass(each) and each.__module__ == module.__name__:
                yield each


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


def test_what_is_frozen_refuses_assignments() -> None:
    """And is an error for who checks types: `make lint` would find the comment without use if it were none."""
    ours = Ours(1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        ours.number = 2  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        del ours.number
    assert ours == Ours(1)


def test_every_value_of_the_library_that_is_said_to_be_frozen_is() -> None:
    """Caches hand the same value to many: one of them changing it would change it for the others."""
    for module in pkgutil.walk_packages(jitr.__path__, "jitr."):
        importlib.import_module(module.name)
    frozen = {each for each in values_of_the_library() if each.__dataclass_params__.frozen}  # type: ignore[attr-defined]
    assert {KeyFacts, Attribute, CaFacts} <= frozen
    assert {each for each in values_of_the_library() if each.__hash__ is not None} == frozen


def test_in_lambda_nothing_is_generated_that_refuses_assignments() -> None:
    """Defining it costs a cold start as much as all the rest of a class."""
    code = "from jitr.facts import KeyFacts; key = KeyFacts('EC'); key.kind = 'RSA'; print(key, hash(key) is not None)"
    environment = os.environ | {"AWS_LAMBDA_FUNCTION_NAME": "register"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "KeyFacts(kind='RSA', bits=None, curve=None, weakness=None) True\n"


def test_what_may_change_is_in_no_set() -> None:
    @dataclass(slots=True)
    class Changing:
        number: int

    with pytest.raises(TypeError, match="unhashable"):
        hash(Changing(1))
