"""``make invoke``: hands one event to one function, built and run as Lambda runs it, on this checkout's local stack.

The function works with the rights of its own role, on the tables and queues of the stack: what it does there is done.
Its answer goes to standard output, what it logs to standard error. Exit codes: 0 it answered; 1 it failed or took too
long; 2 wrong use or bad input; 3 there is no stack, or the function could not be built or run; 130 interrupted.
"""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import click

from jitr.errors import InputError
from jitr_cli.console.output import note, safe
from jitr_local import runtime, signals, stack
from jitr_local.errors import StackError
from jitr_local.event_kinds import kind_of
from jitr_local.functions import Function, Reference, read_functions
from jitr_local.ministack import end_of
from jitr_local.stack import CHECKOUT, TEMPLATE, LocalStack
from jitr_operations.files import read_bytes

EVENTS = CHECKOUT / "events"
# Never .aws-sam/build, which is for Lambda.
BUILD = CHECKOUT / ".aws-sam" / "invoke"
_SOURCES = ("functions", "layers")

_MOST = 6 * 1024 * 1024  # bytes: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
_EXAMPLE = "make invoke FUNCTION=RegisterFunction EVENT=events/first-connection.json"


class _BadInput(click.ClickException):
    exit_code = 2


class _Failed(click.ClickException):
    exit_code = 3


@click.command()
@click.argument("function", default="")
@click.argument("event", default="")
@click.option("--folder", type=click.Path(path_type=Path), default=stack.STATE_DIR, help="Of the local stack.")
@click.option("--build", type=click.Path(path_type=Path), help="What `sam build` made; built if need be without.")
@click.pass_context
def invoke(context: click.Context, function: str, event: str, folder: Path, build: Path | None) -> None:
    """Run a built FUNCTION on the EVENT in a file."""
    with _told_plainly(), signals.as_interrupt():
        chosen = chosen_function(function)
        content = read_event(event, chosen)
        runtime.find_emulator()
        running = stack.load(folder)
        build = build or built()
        with runtime.running(chosen, build, variables_of(chosen, running)) as started:
            answer = started.invoke(content)
    note(answer.log)
    click.echo(safe(_indented(answer.body), lines=True))
    if answer.failed:
        context.exit(1)
    _tell_what_comes_back(content, answer.body)


@contextmanager
def _told_plainly() -> Iterator[None]:
    try:
        yield
    except InputError as problem:
        raise _BadInput(str(problem)) from problem
    except StackError as problem:
        raise _Failed(str(problem)) from problem
    except KeyboardInterrupt:
        note("Interrupted.")
        raise SystemExit(130) from None


def _indented(body: str) -> str:
    try:
        return json.dumps(json.loads(body), indent=2)
    except ValueError:
        return body


def _tell_what_comes_back(event: bytes, body: str) -> None:
    answer = json.loads(body)
    if isinstance(answer, dict) and "batchItemFailures" in answer:
        total = len(json.loads(event)["Records"])
        note(f"Back to the queue: {len(answer['batchItemFailures'])} of {total}.")


# --- what was asked for


def chosen_function(name: str, template: Path = TEMPLATE) -> Function:
    """Return a function of the template. Raises InputError that names the existing ones."""
    functions = read_functions(template)
    if name in functions:
        return functions[name]
    asked = f"there is no function {name}" if name else f"which function? Like this: {_EXAMPLE}"
    raise InputError(f"{asked}. There are: {', '.join(functions)}")


def read_event(name: str, function: Function) -> bytes:
    """Read an event's file. Raises InputError if there is none, or if the function does not take it."""
    kind = kind_of(function)
    if kind is None:
        raise InputError(
            f"{function.name} takes no event from a file: CloudFormation calls it, and waits for its answer at an "
            "address of its own. Deleting a stack whose DataDeletionPolicy is Delete runs it"
        )
    path = Path(name)
    if not path.is_file():
        asked = f"there is no file {name}" if name else f"which event? Like this: {_EXAMPLE}"
        raise InputError(f"{asked}. For {function.name} there are: {', '.join(kind.files(EVENTS))}")
    data = read_bytes(path, _MOST)
    try:
        event = json.loads(data)
    except (ValueError, RecursionError) as problem:
        raise InputError(f"{path} is not JSON: {problem}") from None
    if wrong := kind.wrong(event):
        raise InputError(f"{path}: {wrong}. {function.name} takes {kind.words}")
    return data


# --- what it takes to run it


def built() -> Path:
    """Build the functions and the layer for this interpreter, again if their sources changed."""
    folder, stamp, log = BUILD / "build", BUILD / "sources.sha256", BUILD / "build.log"
    sources = _digest()
    if stamp.is_file() and stamp.read_text() == sources:
        return folder
    note("building ...")
    BUILD.mkdir(parents=True, exist_ok=True)
    stamp.unlink(missing_ok=True)
    command = [sys.executable, str(CHECKOUT / "tools" / "sam.py"), "build", "--no-cached", "--build-dir", str(folder)]
    layer = {"JITR_LAYER_FOR": "local", "JITR_LAYER_PYTHON": sys.executable}
    with log.open("wb") as output:
        done = subprocess.run(
            command, cwd=CHECKOUT, env=os.environ | layer, stdin=subprocess.DEVNULL, stdout=output,
            stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
    if done.returncode:
        raise StackError(f"sam build failed (exit {done.returncode}). The end of its output:\n{end_of(log)}")
    stamp.write_text(sources)
    return folder


def _digest() -> str:
    """Return what changes when a source, or the interpreter, does."""
    files = [path for name in _SOURCES for path in (CHECKOUT / name).rglob("*") if path.is_file()]
    seen = [sys.executable, sys.version]
    for path in sorted([*files, TEMPLATE]):
        if path.suffix != ".pyc":
            state = path.stat()
            seen.append(f"{path.relative_to(CHECKOUT)} {state.st_size} {state.st_mtime_ns}")
    return hashlib.sha256("\n".join(seen).encode()).hexdigest()


def variables_of(function: Function, running: LocalStack) -> dict[str, str]:
    """Return a function's environment on the stack: its own variables, the stack's endpoint, its role's keys.

    Raises StackError for what the stack does not have.
    """
    known = known_of(running)
    session = running.session()
    with _asking():
        deployed = session.client("lambda").get_function_configuration(FunctionName=_known(function.name, known))
        keys = session.client("sts").assume_role(RoleArn=deployed["Role"], RoleSessionName="make-invoke")["Credentials"]
    return {
        **own_variables(function, known),
        "AWS_ENDPOINT_URL": running.endpoint_url,
        "AWS_REGION": running.region,
        "AWS_DEFAULT_REGION": running.region,
        "AWS_ACCESS_KEY_ID": keys["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": keys["SecretAccessKey"],
        "AWS_SESSION_TOKEN": keys["SessionToken"],
    }


def own_variables(function: Function, known: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that the template gives a function. Raises StackError for what the stack lacks."""
    return {name: _resolved(value, known) for name, value in function.variables.items()}


def known_of(running: LocalStack) -> dict[str, str]:
    """Return what a template can refer to: the stack's resources and parameters, and CloudFormation's own names.

    Raises StackError.
    """
    with _asking():
        client = running.session().client("cloudformation")
        pages = client.get_paginator("list_stack_resources").paginate(StackName=running.stack_name)
        resources = {
            each["LogicalResourceId"]: each.get("PhysicalResourceId", "")
            for page in pages
            for each in page["StackResourceSummaries"]
        }
        return resources | _parameters(running)


@contextmanager
def _asking() -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError) as problem:
        raise StackError(f"the local stack cannot be asked: {problem}") from problem


def _parameters(running: LocalStack) -> dict[str, str]:
    """Parameters as the stack has them, and what CloudFormation knows by itself."""
    found = running.session().client("cloudformation").describe_stacks(StackName=running.stack_name)["Stacks"][0]
    return {
        **{each["ParameterKey"]: each["ParameterValue"] for each in found.get("Parameters", [])},
        "AWS::AccountId": running.account_id,
        "AWS::Partition": "aws",
        "AWS::Region": running.region,
        "AWS::StackName": running.stack_name,
    }


def _resolved(value: str, known: Mapping[str, str]) -> str:
    return _known(value, known) if isinstance(value, Reference) else value


def _known(name: str, known: Mapping[str, str]) -> str:
    if name not in known:
        raise StackError(f"the local stack has no {name}: `jitr local up --redeploy` deploys the template as it is now")
    return known[name]


if __name__ == "__main__":
    invoke(prog_name="make invoke")
