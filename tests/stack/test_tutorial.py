"""docs/getting-started.md as it stands, from the first key to the second device's message."""

import shutil
from pathlib import Path

import pytest
from testkit.stack.plant import Plant, commands

from jitr_local.stack import LocalStack

pytestmark = [pytest.mark.stack, pytest.mark.docs]

# Setting up, starting the stack and stopping it: done for whoever runs the tests.
ELSEWHERE = ("make setup", "jitr local down")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="this machine has no openssl")
def test_the_tutorial_brings_a_device_of_each_kind_in(second_stack: LocalStack, tmp_path: Path) -> None:
    page = [each for each in commands("getting-started.md") if not each.startswith(ELSEWHERE)]
    typed = Plant(second_stack, tmp_path).type("\n".join(page), tmp_path)
    assert typed.returncode == 0, typed.stdout + typed.stderr
    assert typed.stdout.count("connected, message published") == 2
    assert "allow.unmatched" in typed.stdout
    assert "ADMIT  sensors (admission.yaml:7)" in typed.stdout
