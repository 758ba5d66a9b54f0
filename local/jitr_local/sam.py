"""``sam build`` and ``sam deploy``, each as a process that is stopped if we are."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from jitr_local import processes
from jitr_local.errors import StackError
from jitr_local.folder import Folder
from jitr_local.ministack import end_of
from jitr_local.processes import Process

STACK_NAME = "jitr"
BUILD_SECONDS = 600.0
DEPLOY_SECONDS = 300.0

# A table of samconfig.toml that need not exist: the one for AWS must not reach the local stack.
_CONFIGURATION = ("--config-env", "local")


class SamRun:
    """One run of SAM."""

    def __init__(self, name: str, process: Process, log: Path) -> None:
        self._name = name
        self._process = process
        self._log = log

    def finish(self, seconds: float) -> None:
        """Wait until it is done. Raises StackError, with the end of what it printed, if it fails or takes too long."""
        if not processes.wait_until(lambda: processes.exit_code(self._process) is not None, seconds):
            raise StackError(
                f"{self._name} is not done after {seconds:.0f} s. The end of its output:\n{end_of(self._log)}"
            )
        if code := processes.exit_code(self._process):
            raise StackError(f"{self._name} failed (exit {code}). The end of its output:\n{end_of(self._log)}")


@contextmanager
def building(sam: Path, folder: Folder, template: Path, environment: Mapping[str, str]) -> Iterator[SamRun]:
    """Build ``template`` into ``folder.build``, beside whatever the caller does meanwhile.

    Never cached: a cached build does not see that the layer is to be made for another interpreter.
    """
    options = ["--no-cached", "--template-file", str(template), "--build-dir", str(folder.build)]
    with _job(
        "sam build", [str(sam), "build", *options, *_CONFIGURATION], folder, folder.build_log, environment
    ) as job:
        yield job


def deploy(sam: Path, folder: Folder, parameters: Mapping[str, str], environment: Mapping[str, str]) -> None:
    """Deploy what was built. Raises StackError."""
    options = ["--template-file", str(folder.build / "template.yaml"), "--stack-name", STACK_NAME, "--resolve-s3"]
    options += ["--capabilities", "CAPABILITY_IAM", "--no-confirm-changeset", "--no-fail-on-empty-changeset"]
    options += ["--no-progressbar", *_CONFIGURATION]
    if parameters:
        options += ["--parameter-overrides", *(f"{name}={value}" for name, value in parameters.items())]
    with _job("sam deploy", [str(sam), "deploy", *options], folder, folder.deploy_log, environment) as job:
        job.finish(DEPLOY_SECONDS)


@contextmanager
def _job(name: str, command: list[str], folder: Folder, log: Path, environment: Mapping[str, str]) -> Iterator[SamRun]:
    process = folder.start(command, environment, log)
    try:
        yield SamRun(name, process, log)
    finally:
        folder.stop(process)
