"""Fixtures for tests on AWS in process."""

from collections.abc import Iterator

import pytest
from testkit.aws.world import World, moto_world


@pytest.fixture
def world() -> Iterator[World]:
    """An account of its own for one test."""
    with moto_world() as made:
        yield made
