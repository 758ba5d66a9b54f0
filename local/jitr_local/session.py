"""A local stack on loan: up for a ``with`` block, gone after it whatever happens.

A second process watches over each loan: it waits for the end of a pipe that only this process holds, so that a stack
is stopped even when this process is killed outright and no ``finally`` runs.
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from jitr_local import signals
from jitr_local.stack import TEMPLATE, LocalStack, Say, down, up


@contextmanager
def running_stack(
    *,
    template: Path = TEMPLATE,
    parameters: Mapping[str, str] | None = None,
    say: Say = lambda _line: None,
) -> Iterator[LocalStack]:
    """Run a separate local stack in a fresh temporary folder; stop and remove it when the block ends.

    Within it SIGTERM and SIGHUP raise KeyboardInterrupt, as Ctrl-C does. Raises StackError and NotSetUp.
    """
    with signals.as_interrupt(), tempfile.TemporaryDirectory(prefix="jitr-", ignore_cleanup_errors=True) as name:
        folder = Path(name).resolve()
        watcher = _watch(folder)
        try:
            yield up(folder / "stack", template=template, parameters=parameters, say=say)
        finally:
            with signals.deferred():
                try:
                    down(folder / "stack")
                finally:
                    watcher.communicate()  # closes the pipe, and waits


def _watch(folder: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", __name__, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )


def main(folder: Path) -> None:
    """Wait for the borrower to end or to let go, then stop and remove what is still there."""
    sys.stdin.buffer.read()
    if folder.exists():
        down(folder / "stack")
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
