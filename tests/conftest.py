"""What every test runs under."""

import gc
import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

pytest.register_assert_rewrite("testkit")

# A shell that starts a command in the background has it ignore SIGINT, and that is handed down to every process that
# tests start in order to interrupt it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples in every run: a change is judged by what it changed. `make soak` looks for new ones. How long an
# example takes depends on what else the machine is doing.
settings.register_profile("jitr", deadline=None, derandomize="JITR_SOAK_EXAMPLES" not in os.environ)
settings.load_profile("jitr")


@pytest.fixture(autouse=True)
def _remembers_nothing_of_others(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What commands remember of a deployment (``jitr_operations.remembered``) is a test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(Path(tmp_path_factory.getbasetemp()) / "cache" / os.urandom(8).hex()))


def pytest_collection_finish() -> None:
    """Keep the garbage collector from modules and tests: thousands of them cost it tenths of a second each time.

    Tests that count steps have it collect before they begin.
    """
    gc.collect()
    gc.freeze()
