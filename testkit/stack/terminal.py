"""A terminal of its own for a command, where it may ask questions."""

import contextlib
import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

from testkit.stack.plant import PATIENCE, Plant


class Terminal:
    """A command on a terminal of its own, where it may ask questions."""

    def __init__(self, plant: Plant, *arguments: str | Path) -> None:
        self._ours, theirs = pty.openpty()
        command = [str(Path(sys.executable).parent / "jitr"), *map(str, arguments)]
        environment = {**plant.variables, "NO_COLOR": "1"}
        self._process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
        os.close(theirs)
        self._shown = ""

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_exception: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._ours)

    def read_until(self, text: str | None) -> None:
        """Read what the command shows until there is ``text``; None: until it ends."""
        deadline = time.monotonic() + PATIENCE
        while text is None or text not in self._shown:
            ready, _, _ = select.select([self._ours], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"the terminal shows only {self._shown!r}"
            piece = b""
            with contextlib.suppress(OSError):  # Linux's way to say that nobody is at the other end (EIO)
                piece = os.read(self._ours, 4096)
            if not piece:
                assert text is None, f"the command ended with {self._shown!r}"
                return
            self._shown += piece.decode()

    def type(self, text: str) -> None:
        """Type something."""
        os.write(self._ours, text.encode())

    def end(self) -> tuple[int, str]:
        """Wait for the command's end: its exit code, and all that it showed."""
        self.read_until(None)
        return self._process.wait(PATIENCE), " ".join(self._shown.split())
