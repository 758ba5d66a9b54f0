"""A built function on the Lambda runtime API, without a container.

AWS's runtime interface emulator, which comes with the SAM CLI, serves that API, and ``awslambdaric``, the client that
Lambda itself uses for Python, runs the handler. The function finds on its import path what it finds on Lambda: its own
folder, its layers, then client and AWS SDK, and nothing else of this checkout's environments. Its timeout is enforced,
its memory is not. https://github.com/aws/aws-lambda-runtime-interface-emulator
"""

import http.client
import json
import os
import platform
import re
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from tempfile import TemporaryDirectory

from jitr_local import processes, signals
from jitr_local.errors import NotSetUp, StackError
from jitr_local.functions import Function
from jitr_local.ministack import end_of
from jitr_local.processes import Process

# What Lambda's own runtime for Python brings; all else comes with the function or its layers.
_RUNTIME = ("awslambdaric", "boto3")
_PATH = "/2015-03-31/functions/function/invocations"

_LOG = "log"
_REPORT = "REPORT RequestId: "

_START_SECONDS = 10.0
_REPORT_SECONDS = 1.0
_INIT_SECONDS = 10  # what Lambda gives a function to be imported
_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of one invocation. ``body`` is the handler's return value as JSON, or describes its failure."""

    body: str
    failed: bool
    log: str


class Runtime:
    """One execution environment: it takes one invocation at a time, and stays warm between them."""

    def __init__(self, function: Function, port: int, log: Path, process: Process) -> None:
        self._function = function
        self._port = port
        self._log = log
        self._process = process

    def invoke(self, event: bytes) -> Answer:
        """Hand the function an event. Raises StackError where the emulator does not answer."""
        before = self._log.stat().st_size
        patience = self._function.timeout + _INIT_SECONDS + 5
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=patience)
        try:
            connection.request("POST", _PATH, event, {"Content-Type": "application/json"})
            response = connection.getresponse()
            status, body = response.status, response.read().decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as problem:
            raise StackError(f"the runtime emulator does not answer: {problem}\n{self._logged(before)}") from problem
        finally:
            connection.close()
        if not processes.is_running(self._process):
            raise StackError(f"the runtime emulator ended:\n{self._logged(before)}")
        if status == http.HTTPStatus.OK:  # the last lines are written while we read the answer
            processes.wait_until(lambda: _REPORT in self._logged(before), _REPORT_SECONDS)
        return Answer(body, status != http.HTTPStatus.OK or _is_failure(body), self._logged(before))

    def _logged(self, since: int) -> str:
        """Return what the function printed since then, with what Lambda says before and after it."""
        with self._log.open("rb") as file:
            file.seek(since)
            text = file.read().decode("utf-8", "replace")
        # The client keeps the lines of one message together with carriage returns, the emulator talks to itself.
        lines = text.replace("\r", "\n").splitlines()
        return "\n".join(line for line in lines if "(rapid)" not in line)


def _is_failure(body: str) -> bool:
    """Return whether the call failed: the emulator then sends status 200, too, and no X-Amz-Function-Error."""
    try:
        answer = json.loads(body)
    except ValueError:
        return True
    return isinstance(answer, dict) and {"errorType", "errorMessage", "stackTrace"} <= answer.keys()


@contextmanager
def running(function: Function, build: Path, variables: Mapping[str, str]) -> Iterator[Runtime]:
    """Provide a built function, ready to be invoked until the block ends; then nothing of it is left.

    ``build`` is the folder that ``sam build`` filled for this interpreter, ``variables`` the function's environment,
    AWS's own included. Raises NotSetUp and StackError.
    """
    emulator = find_emulator()
    with TemporaryDirectory(prefix="jitr-invoke-") as name:
        folder = Path(name).resolve()
        path = [build / function.name, *(build / each / "python" for each in function.layers)]
        path.append(_runtime_folder(folder / "runtime"))
        environment = _environment(function, path, folder, variables)
        for _attempt in range(_ATTEMPTS):
            port, api = _free_ports()
            with _started(_command(emulator, function, port, api), environment, path[0], folder) as process:
                if _comes_up(process, {port, api}):
                    yield Runtime(function, port, folder / _LOG, process)
                    return
        raise StackError(f"the runtime emulator does not start. The end of its output:\n{end_of(folder / _LOG)}")


def find_emulator() -> Path:
    """Return the emulator for this machine. Raises NotSetUp if there is none."""
    checkout = Path(__file__).resolve().parents[2]
    if platform.system() != "Linux":
        raise NotSetUp("the Lambda runtime emulator is for Linux only: elsewhere `sam local invoke` runs a function")
    machine = {"amd64": "x86_64", "aarch64": "arm64"}.get(platform.machine().lower(), platform.machine())
    pattern = f"lib/python3*/site-packages/samcli/local/rapid/aws-lambda-rie-{machine}"
    found = next((checkout / ".venv-sam").glob(pattern), None)
    if found is None:
        raise NotSetUp(f"the Lambda runtime emulator for {machine} is not in .venv-sam: `make setup` installs it")
    return found


def _runtime_folder(folder: Path) -> Path:
    """Make a folder that holds links to the runtime's own distributions, and to nothing else."""
    folder.mkdir()
    wanted, seen = list(_RUNTIME), set[str]()
    while wanted:
        name = wanted.pop()
        if name in seen:
            continue
        seen.add(name)
        try:
            found = distribution(name)
        except PackageNotFoundError:
            raise NotSetUp(f"{name} is not installed: `make setup` installs it") from None
        for top in {file.parts[0] for file in found.files or () if file.parts[0] not in ("..", "__pycache__")}:
            if not (folder / top).exists():
                (folder / top).symlink_to(Path(str(found.locate_file(top))))
        required = [each for each in found.requires or () if "extra ==" not in each]
        wanted += [re.split(r"[^A-Za-z0-9._-]", each)[0] for each in required]
    return folder


def _environment(function: Function, path: list[Path], folder: Path, variables: Mapping[str, str]) -> dict[str, str]:
    """https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html#configuration-envvars-runtime"""
    return {
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "TZ": ":UTC",
        "TMPDIR": str(folder),
        "HOME": str(folder),
        "PYTHONPATH": os.pathsep.join(map(str, path)),
        "PYTHONDONTWRITEBYTECODE": "1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1,localhost",
        **variables,
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_TIMEOUT": str(function.timeout),
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory),
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "LAMBDA_TASK_ROOT": str(path[0]),
        "_HANDLER": function.handler,
    }


def _command(emulator: Path, function: Function, port: int, api: int) -> list[str]:
    command = [str(emulator), "--log-level", "error"]
    command += ["--runtime-interface-emulator-address", f"127.0.0.1:{port}"]
    command += ["--runtime-api-address", f"127.0.0.1:{api}"]
    # Neither site-packages nor the current folder: what is to be found is on PYTHONPATH.
    return [*command, sys.executable, "-S", "-P", "-m", "awslambdaric", function.handler]


@contextmanager
def _started(command: list[str], environment: Mapping[str, str], task: Path, folder: Path) -> Iterator[Process]:
    """Run the emulator's process until the block ends; it stops the function's before it ends itself."""
    process = None
    try:
        with signals.deferred():
            process = processes.start(command, environment=environment, folder=task, log=folder / _LOG)
        yield process
    finally:
        if process is not None:
            with signals.deferred():
                processes.stop(process, folder)


def _comes_up(process: Process, ports: set[int]) -> bool:
    """Return whether it listens on its ports; where somebody else was quicker to take one, it ends."""
    processes.wait_until(lambda: ports <= _listening(process.pid) or not processes.is_running(process), _START_SECONDS)
    return ports <= _listening(process.pid)


def _listening(pid: int) -> set[int]:
    """Return the ports of IPv4 that a process itself listens on.

    https://man7.org/linux/man-pages/man5/proc_pid_net.5.html
    """
    try:
        sockets = {str(each.readlink()) for each in Path(f"/proc/{pid}/fd").iterdir()}
        rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    except OSError:  # it ended while we looked
        return set()
    # local address and port in hex, state (0A: listens), inode
    return {int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in sockets}


def _free_ports() -> tuple[int, int]:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        return one.getsockname()[1], two.getsockname()[1]
