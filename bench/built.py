"""What `sam build` makes, built for this machine and this interpreter, as the local stack needs it."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

from bench.results import ROOT


def build(folder: Path) -> Path:
    """Build all functions and layers into a folder. Raises CalledProcessError with SAM's words in ``stderr``."""
    environment = runpy.run_path(str(ROOT / "tools/sam.py"))["environment"](os.environ)
    environment |= {"JITR_LAYER_FOR": "local", "JITR_LAYER_PYTHON": sys.executable}
    command = [str(ROOT / ".venv-sam/bin/sam"), "build", "--no-cached", "--build-dir", str(folder)]
    subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return folder


def megabytes(folder: Path) -> float:
    """How large a folder's files are, unzipped: as `make build` says it."""
    done = subprocess.run(["/usr/bin/du", "-sk", str(folder)], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[0]) / 1024
