"""The operators' page as it is started from a shell."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from testkit.stack.plant import Plant


class Served:
    """``jitr page`` in a process of its own; ``link`` is what it printed, ``origin`` where it is."""

    def __init__(self, plant: Plant, *options: str) -> None:
        words = [sys.executable, "-c", "from jitr_cli.main import run; run()", "page", "--no-browser", *options]
        self.process = subprocess.Popen(
            words, cwd=plant.folder, env=plant.variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.told = ""
        assert self.process.stderr
        while "/enter?token=" not in self.told:
            line = self.process.stderr.readline()
            assert line, f"the page did not start: {self.told}"
            self.told += line
        found = re.search(r"http://\S+", self.told.rpartition("is at")[2])
        assert found
        self.link = found[0]
        self.origin = self.link.partition("/enter")[0]

    def end(self) -> tuple[int, str]:
        """End it as Ctrl-C does; its exit code, and what else it told."""
        self.process.send_signal(signal.SIGINT)
        _, told = self.process.communicate(timeout=30)
        return self.process.returncode, told


@contextmanager
def served(plant: Plant, *options: str) -> Iterator[Served]:
    """Serve the page while the block runs."""
    page = Served(plant, *options)
    try:
        yield page
    finally:
        if page.process.poll() is None:
            page.end()
