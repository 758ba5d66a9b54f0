"""Processes: knowing one again, starting one in a group of its own, stopping it with all it started.

A process id alone names nobody: ids are recycled. So a process is remembered with the moment it started,
and nothing is signalled unless both fit. ``/proc`` is read where there is one, ``ps`` is asked elsewhere.
"""

import contextlib
import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jitr_local.errors import StackError

GRACE_SECONDS = 5.0
POLL_SECONDS = 0.05
OPEN_FILES = 10_240  # macOS grants no more, and MiniStack dies at 245 connections with its usual 256

_PROC = Path("/proc")
_children: dict[int, "subprocess.Popen[bytes]"] = {}  # those that this process must reap


@dataclass(frozen=True)
class Process:
    """One process, and no later one with the same id. ``started`` is only ever compared, never read."""

    pid: int
    started: str


@dataclass(frozen=True)
class _Row:
    """The system's data on one living process."""

    process: Process
    group: int
    command: str


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait until ``condition`` holds, at most ``seconds``; whether it did."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def identify(pid: int) -> Process | None:
    """Return the living process with this id; None if there is none (a zombie is none)."""
    if (child := _children.get(pid)) is not None and child.poll() is not None:
        return None
    row = next(_rows(pid), None)
    return row.process if row else None


def is_running(process: Process) -> bool:
    """Return whether exactly this process lives, not a later one with its id."""
    return identify(process.pid) == process


def start(command: Sequence[str], *, environment: Mapping[str, str], folder: Path, log: Path) -> Process:
    """Start ``command`` in a session and group of its own, so that the terminal's Ctrl-C reaches only us.

    What it prints goes to ``log``, anew. Raises StackError when it cannot be started.
    """
    with log.open("wb") as output, _open_files_raised():
        try:
            child = subprocess.Popen(
                command,
                env=dict(environment),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise StackError(f"cannot start {command[0]}: {error.strerror}") from error
    _children[child.pid] = child
    # A child that is already gone keeps its id until it is reaped: an empty moment never fits another process.
    return identify(child.pid) or Process(child.pid, "")


def exit_code(process: Process) -> int | None:
    """Return how a process that we started ended; None while it runs."""
    return _children[process.pid].poll()


def stop(process: Process, folder: Path, grace: float = GRACE_SECONDS) -> None:
    """Stop a process and what it started: SIGTERM, ``grace`` seconds, then SIGKILL for all that is left.

    If it is gone already, those of its former group that run something from ``folder`` are killed: they are its
    orphans for certain. Raises StackError if one survives.
    """
    left = [row.process for row in _rows() if row.group == process.pid] if is_running(process) else []
    _signal(process, signal.SIGTERM)
    wait_until(lambda: not is_running(process), grace)

    def killed() -> bool:
        alive = [one for one in (process, *left, *_orphans(process, folder)) if is_running(one)]
        for one in alive:
            _signal(one, signal.SIGKILL)
        return not alive

    if not wait_until(killed, grace):
        raise StackError(f"process {process.pid} or one that it started does not end; look at it with ps and stop it")
    if process.pid in _children and _children[process.pid].poll() is not None:
        del _children[process.pid]


def _orphans(process: Process, folder: Path) -> list[Process]:
    return [row.process for row in _rows() if row.group == process.pid and str(folder) in row.command]


def _signal(process: Process, number: signal.Signals) -> None:
    if is_running(process):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)


@contextlib.contextmanager
def _open_files_raised() -> Iterator[None]:
    """Raise the soft limit of open files for a child: MiniStack's own attempt fails where there is no hard limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        yield
        return
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _rows(pid: int | None = None) -> Iterator[_Row]:
    return _rows_of_proc(pid) if (_PROC / "self" / "stat").exists() else _rows_of_ps(pid)


def _rows_of_proc(pid: int | None) -> Iterator[_Row]:
    """https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html: field 3 is the state, 5 the group, 22 the start."""
    boot = _boot_id()
    for folder in [_PROC / str(pid)] if pid is not None else _PROC.glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it ended while we looked
            continue
        if fields[0] not in "ZX":
            yield _Row(Process(int(folder.name), f"{boot}:{fields[19]}"), int(fields[2]), command)


def _boot_id() -> str:
    """Ticks count from the boot, so the moment of a start means nothing without it."""
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _rows_of_ps(pid: int | None) -> Iterator[_Row]:
    which = ["-p", str(pid)] if pid is not None else ["-A"]
    columns = ["-o", "pid=", "-o", "pgid=", "-o", "stat=", "-o", "lstart=", "-o", "command="]
    output = subprocess.run(
        ["/bin/ps", "-ww", *which, *columns], env={"LC_ALL": "C"}, capture_output=True, text=True, check=False
    ).stdout
    for line in output.splitlines():
        own, group, state, *rest = line.split(None, 8)  # lstart is five words: Mon Nov 23 17:17:11 2026
        if not state.startswith("Z"):
            yield _Row(Process(int(own), " ".join(rest[:5])), int(group), "".join(rest[5:]))
