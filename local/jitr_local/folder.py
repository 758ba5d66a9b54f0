"""The folder of one local stack: what lies where, who may work in it, and how it is left empty.

``stack.json`` is written last, when the stack is deployed, for whoever wants to use it. ``processes.json`` is written
as soon as a process is started, so that ``down`` finds it even if ``up`` was killed in between.
"""

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jitr_local import processes, signals
from jitr_local.errors import StackError
from jitr_local.processes import Process


@dataclass(frozen=True)
class Folder:
    """Paths of one local stack. ``root`` is absolute and belongs to the stack while it runs."""

    root: Path

    @property
    def state_file(self) -> Path:
        """The file for users of the stack; its format is in ``jitr_local.stack``."""
        return self.root / "stack.json"

    @property
    def processes_file(self) -> Path:
        """The processes that were started for this stack: an array of {"pid", "started"}."""
        return self.root / "processes.json"

    @property
    def broker_ca(self) -> Path:
        """The CA that signed the MQTT broker's certificate, PEM."""
        return self.root / "broker-ca.pem"

    @property
    def log(self) -> Path:
        """The output of MiniStack and the functions."""
        return self.root / "ministack.log"

    @property
    def sam_variables(self) -> Path:
        """The functions' variables for ``sam local invoke --env-vars``."""
        return self.root / "sam-local.json"

    @property
    def relay_url(self) -> Path:
        """The port of the relay for containers, if there is one."""
        return self.root / "relay.url"

    @property
    def relay_log(self) -> Path:
        """The output of the relay."""
        return self.root / "relay.log"

    @property
    def build_log(self) -> Path:
        """The output of ``sam build``."""
        return self.sam / "build.log"

    @property
    def deploy_log(self) -> Path:
        """The output of ``sam deploy``."""
        return self.sam / "deploy.log"

    @property
    def build(self) -> Path:
        """The built template and artifacts; never ``.aws-sam/build``, which is for Lambda."""
        return self.sam / "build"

    @property
    def sam(self) -> Path:
        """SAM's own folder; it keeps notes beside its builds."""
        return self.root / "sam"

    @property
    def home(self) -> Path:
        """HOME of everything started here, empty at first."""
        return self.root / "home"

    @property
    def tmp(self) -> Path:
        """TMPDIR; functions are unpacked here."""
        return self.root / "tmp"

    @property
    def state(self) -> Path:
        """MiniStack's STATE_DIR."""
        return self.root / "state"

    @property
    def objects(self) -> Path:
        """MiniStack's S3_DATA_DIR."""
        return self.root / "s3"

    def create(self) -> None:
        """Make the folders, for this user only."""
        for path in (self.root, self.home, self.tmp, self.state, self.objects, self.sam):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def remove(self) -> None:
        """Remove what a stack leaves here, and the folder itself unless something else lies in it."""
        self.clear()
        with contextlib.suppress(OSError):
            self.root.rmdir()

    def clear(self) -> None:
        """Remove what a stack leaves here, but not the folder itself: a lock on it holds on."""
        for path in (self.home, self.tmp, self.state, self.objects, self.sam):
            shutil.rmtree(path, ignore_errors=True)
        for path in (
            self.state_file,
            self.processes_file,
            self.broker_ca,
            self.log,
            self.sam_variables,
            self.relay_url,
            self.relay_log,
        ):
            path.unlink(missing_ok=True)

    def start(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> Process:
        """Start a process of this stack and note it, so that it can be stopped whatever becomes of us."""
        with signals.deferred():
            # In the empty home: `python -m` puts its working folder on the import path.
            process = processes.start(command, environment=environment, folder=self.home, log=log)
            self._note([*self.processes(), process])
        return process

    def stop(self, process: Process) -> None:
        """Stop a process of this stack, and what it started, and forget it."""
        with signals.deferred():
            processes.stop(process, self.root)
            self._note([one for one in self.processes() if one != process])

    def processes(self) -> list[Process]:
        """Return the processes that were started here, in that order; they may be gone by now."""
        try:
            return [
                Process(int(one["pid"]), str(one["started"])) for one in json.loads(self.processes_file.read_text())
            ]
        except FileNotFoundError:
            return []
        except (ValueError, KeyError, TypeError) as error:
            raise StackError(
                f"{self.processes_file} cannot be read, so the processes of the stack are not known. "
                f"Stop them by hand (they show as `python -m ministack`), then remove {self.root}"
            ) from error

    def _note(self, known: list[Process]) -> None:
        write_private(self.processes_file, json.dumps([{"pid": one.pid, "started": one.started} for one in known]))

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder, which must exist, against a second ``up`` or ``down``. Raises StackError when it is held."""
        busy = StackError(f"another command is starting or stopping the stack in {self.root}; wait for it")
        try:
            handle = os.open(self.root, os.O_RDONLY)
        except FileNotFoundError:
            raise busy from None
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                same = os.path.samestat(os.fstat(handle), self.root.stat())
            except (BlockingIOError, FileNotFoundError):
                raise busy from None
            if not same:  # it was removed and made anew while we waited for it
                raise busy
            yield
        finally:
            os.close(handle)


def write_private(path: Path, text: str) -> None:
    """Write a file that only this user can read, whole or not at all."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text + "\n")
    temporary.replace(path)
