"""The functions and the layer, built for this machine as `make build` builds them for Lambda."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def pytest_configure(config: pytest.Config) -> None:
    """Name the marker of these tests."""
    config.addinivalue_line("markers", "built: looks at what `sam build` makes, and builds it first")


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `sam build` filled for this machine and this interpreter."""
    folder = tmp_path_factory.mktemp("build")
    environment = runpy.run_path(str(ROOT / "tools/sam.py"))["environment"](os.environ)
    environment |= {"JITR_LAYER_FOR": "local", "JITR_LAYER_PYTHON": sys.executable}
    command = [str(ROOT / ".venv-sam/bin/sam"), "build", "--no-cached", "--build-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder
