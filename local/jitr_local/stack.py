"""The local stack: started, found again, deployed to, stopped.

``up`` starts MiniStack in a group of processes of its own while SAM builds the checkout's ``template.yaml``, deploys
what was built, and writes down where it is. Nothing stays in memory: ``status``, ``load`` and ``down`` know a stack
by its folder. All that a stack has, its certificates included, lives in MiniStack's memory and ends with it.

The folder is ``.local`` at the root of the checkout, which git ignores; tests and the demo use one of their own.
Whoever wants to use the stack reads ``.local/stack.json`` there, an object (mode 0600) with

    endpoint_url       of every AWS service, on 127.0.0.1
    region, account_id
    access_key_id, secret_access_key      the account's root user; IAM is enforced for everybody else
    stack_name         the CloudFormation stack, whose outputs name table and queues
    mqtt_host, mqtt_port                  the MQTT broker, over TLS; connect by this name, devices must send SNI
    broker_ca          path of the CA that signed the broker's certificate, PEM
    pid, log           of MiniStack, for people

The file appears when the stack is ready, and ``down`` removes it. After a crash or a reboot it may lie there with
nothing behind it: ``status`` tells.
"""

import functools
import json
import os
import ssl
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from jitr_local import environment, ministack, processes, sam, signals
from jitr_local.errors import NotSetUp, StackError
from jitr_local.folder import Folder, write_private

if TYPE_CHECKING:
    import boto3

CHECKOUT = Path(__file__).resolve().parents[2]
STATE_DIR = CHECKOUT / ".local"
TEMPLATE = CHECKOUT / "template.yaml"

Say = Callable[[str], None]


@dataclass(frozen=True)
class LocalStack:
    """A deployed local stack: the content of ``stack.json``, and how to reach it."""

    endpoint_url: str
    region: str
    account_id: str
    access_key_id: str
    secret_access_key: str
    stack_name: str
    mqtt_host: str
    mqtt_port: int
    broker_ca: Path
    pid: int
    log: Path

    def session(self) -> "boto3.Session":
        """Make a boto3 session whose clients talk to this stack, whatever the environment and ``~/.aws`` say."""
        from jitr_local.aws import session  # boto3 takes a while, and up, down and status do without

        return session(self.endpoint_url, self.region, self.access_key_id, self.secret_access_key)

    @functools.cached_property
    def outputs(self) -> dict[str, str]:
        """The CloudFormation stack's outputs, read once."""
        stacks = self.session().client("cloudformation").describe_stacks(StackName=self.stack_name)["Stacks"]
        return {one["OutputKey"]: one["OutputValue"] for one in stacks[0].get("Outputs", [])}

    def tls_context(self) -> ssl.SSLContext:
        """Make a device's context: it trusts this stack's broker only. Load the device's certificate into it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.broker_ca)
        return context

    def as_json(self) -> dict[str, str | int]:
        """Return the object that ``stack.json`` holds."""
        return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(self).items()}


@dataclass(frozen=True)
class Status:
    """The stack in a folder: one that answers, or ``detail`` on why there is none."""

    stack: LocalStack | None
    detail: str
    stuck: bool = False  # its process lives and does not answer


def up(
    state_dir: Path = STATE_DIR,
    *,
    template: Path = TEMPLATE,
    parameters: Mapping[str, str] | None = None,
    redeploy: bool = False,
    say: Say = lambda _line: None,
) -> LocalStack:
    """Start a local stack in ``state_dir`` and deploy ``template`` to it, or find the one that runs there.

    One that runs is left as it is, unless ``redeploy`` asks to build and deploy again, or its CloudFormation stack was
    deleted or never made; what it holds stays. ``say`` is told what is going on, a line at a time. Raises StackError
    and NotSetUp; a start that fails or is interrupted leaves nothing behind.
    """
    folder = Folder(state_dir.resolve())
    folder.create()
    with folder.locked():
        found = _look(folder)
        if found.stack:
            deployed = is_deployed(found.stack)
            if deployed and not redeploy:
                say("found the one that runs; --redeploy builds and deploys again")
            else:
                say(f"{'' if deployed else 'its CloudFormation stack is gone: '}building and deploying again ...")
                if not deployed:
                    _delete_what_is_left(found.stack)
                _build_and_deploy(folder, template, parameters or {}, found.stack.endpoint_url)
            return found.stack
        if found.stuck:
            raise StackError(f"{found.detail}; if it stays so, `jitr local down` stops it")
        try:
            _stop(folder)
            folder.clear()
            folder.create()
            return _start(folder, template, parameters or {}, say)
        except BaseException:
            with signals.deferred():
                _stop(folder)
                folder.remove()
            raise


def down(state_dir: Path = STATE_DIR) -> bool:
    """Stop the stack in ``state_dir`` and remove what it left there, also after a crash; whether there was anything.

    Raises StackError when a process does not end, or another command is at work there.
    """
    folder = Folder(state_dir.resolve())
    if not folder.root.is_dir():
        return False
    with folder.locked(), signals.deferred():
        anything = bool(folder.processes()) or folder.state_file.exists()
        _stop(folder)
        folder.remove()
    return anything


def status(state_dir: Path = STATE_DIR) -> Status:
    """Look for a stack in ``state_dir``."""
    return _look(Folder(state_dir.resolve()))


def is_deployed(stack: LocalStack) -> bool:
    """Return whether a stack that runs has its CloudFormation stack. Raises StackError."""
    from jitr_local import deployment  # boto3 takes a while, and down and env do without

    return deployment.is_deployed(stack.session(), stack.stack_name)


def _delete_what_is_left(stack: LocalStack) -> None:
    from jitr_local import deployment  # boto3 takes a while, and down and env do without

    deployment.delete(stack.session(), stack.stack_name)


def load(state_dir: Path = STATE_DIR) -> LocalStack:
    """Return the stack that runs in ``state_dir``. Raises StackError if there is none."""
    found = status(state_dir)
    if not found.stack:
        raise StackError(f"{found.detail}; `jitr local up` starts one")
    return found.stack


def _start(folder: Folder, template: Path, parameters: Mapping[str, str], say: Say) -> LocalStack:
    say("starting MiniStack and building the template ...")
    with _building(folder, template) as build:
        process, ports = ministack.start(_tool("stack", "python"), folder, _environment_of_ministack(folder))
        build.finish(sam.BUILD_SECONDS)
    say("deploying ...")
    _deploy(folder, parameters, ports.endpoint_url)
    stack = LocalStack(
        endpoint_url=ports.endpoint_url,
        region=environment.REGION,
        account_id=environment.ACCOUNT_ID,
        access_key_id=environment.ACCESS_KEY_ID,
        secret_access_key=environment.SECRET_ACCESS_KEY,
        stack_name=sam.STACK_NAME,
        mqtt_host=ministack.HOST,
        mqtt_port=ports.mqtt,
        broker_ca=folder.broker_ca,
        pid=process.pid,
        log=folder.log,
    )
    write_private(folder.state_file, json.dumps(stack.as_json(), indent=2))
    return stack


def _build_and_deploy(folder: Folder, template: Path, parameters: Mapping[str, str], endpoint_url: str) -> None:
    with _building(folder, template) as build:
        build.finish(sam.BUILD_SECONDS)
    _deploy(folder, parameters, endpoint_url)


def _building(folder: Folder, template: Path) -> AbstractContextManager[sam.SamRun]:
    variables = environment.for_build(
        os.environ,
        home=folder.home,
        tmp=folder.tmp,
        pip_python=Path(sys.executable),
        functions_python=_tool("stack", "python"),
    )
    return sam.building(_tool("sam", "sam"), folder, template, variables)


def _deploy(folder: Folder, parameters: Mapping[str, str], endpoint_url: str) -> None:
    variables = environment.for_deploy(os.environ, home=folder.home, tmp=folder.tmp, endpoint_url=endpoint_url)
    began = datetime.now(UTC)
    try:
        sam.deploy(_tool("sam", "sam"), folder, parameters, variables)
    except StackError as error:
        why = _why_failed(endpoint_url, began)
        if why is None:
            raise
        raise StackError(f"sam deploy failed: {why}") from error


def _why_failed(endpoint_url: str, since: datetime) -> str | None:
    from jitr_local import aws, deployment  # boto3 takes a while, and up does without where all is well

    made = aws.session(endpoint_url, environment.REGION, environment.ACCESS_KEY_ID, environment.SECRET_ACCESS_KEY)
    return deployment.why_failed(made, sam.STACK_NAME, since)


def _environment_of_ministack(folder: Folder) -> dict[str, str]:
    return environment.for_ministack(
        os.environ, home=folder.home, tmp=folder.tmp, state=folder.state, objects=folder.objects
    )


def _look(folder: Folder) -> Status:
    running = [one for one in folder.processes() if processes.is_running(one)]
    if not folder.state_file.exists():
        detail = "it is being started, or its start was cut short" if running else "no local stack is running"
        return Status(None, detail)
    stack = _read(folder.state_file)
    if stack.pid not in [one.pid for one in running]:
        return Status(None, f"the local stack's process {stack.pid} is gone, and what it held with it")
    if not ministack.answers(stack.endpoint_url):
        detail = f"the local stack's process {stack.pid} runs but does not answer on {stack.endpoint_url}"
        return Status(None, detail, stuck=True)
    return Status(stack, "the local stack is running")


def _read(file: Path) -> LocalStack:
    try:
        content = json.loads(file.read_text())
        return LocalStack(**{**content, "broker_ca": Path(content["broker_ca"]), "log": Path(content["log"])})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise StackError(f"{file} cannot be read: {error}; `jitr local down` removes it") from error


def _stop(folder: Folder) -> None:
    for process in reversed(folder.processes()):
        folder.stop(process)


def _tool(environment_name: str, program: str) -> Path:
    """Return a program of one of the checkout's environments, not resolved: an environment's Python is a link."""
    path = CHECKOUT / f".venv-{environment_name}" / "bin" / program
    if not path.exists():
        raise NotSetUp(f"{path.relative_to(CHECKOUT)} is missing in {CHECKOUT}; `make setup` installs it")
    return path
