"""``jitr local``: the local stack from the command line.

Exit codes: 0 done, or it runs; 1 it does not run; 2 something is not installed; 3 it could not be done.
"""

import json
import os
import shlex
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from jitr_local import signals, stack
from jitr_local.errors import NotSetUp, StackError
from jitr_local.session import running_stack
from jitr_local.stack import LocalStack

_as_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
_folder = click.make_pass_decorator(Path)


class _NotInstalled(click.ClickException):
    exit_code = 2


class _Failed(click.ClickException):
    exit_code = 3


@contextmanager
def _told_plainly() -> Iterator[None]:
    try:
        yield
    except NotSetUp as error:
        raise _NotInstalled(str(error)) from error
    except StackError as error:
        raise _Failed(str(error)) from error


# As the command line that it is a part of, also where it is called alone: a command keeps its first help option.
@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=stack.STATE_DIR,
    help="Where the stack keeps its state; .local of this checkout if not said.",
)
@click.pass_context
def local(context: click.Context, folder: Path) -> None:
    """Run the same stack on this machine: no AWS account, no Docker."""
    context.obj = folder


@local.command()
@click.option("--redeploy", is_flag=True, help="Build and deploy again to a running stack, which keeps its data.")
@_as_json
@_folder
def up(folder: Path, redeploy: bool, as_json: bool) -> None:
    """Start it and deploy the template, or find the one that runs.

    \b
    Example:
      jitr local up
    """
    began = time.monotonic()
    with _told_plainly(), signals.as_interrupt():
        running = stack.up(folder, redeploy=redeploy, say=_progress)
    if as_json:
        click.echo(json.dumps(running.as_json(), indent=2))
        return
    click.echo(_description(running))
    click.echo(f"\nReady in {time.monotonic() - began:.1f} s. Try next:")
    click.echo(_NEXT)


@local.command()
@_as_json
@_folder
def down(folder: Path, as_json: bool) -> None:
    """Stop it and remove everything it left, even after a crash.

    \b
    Example:
      jitr local down
    """
    with _told_plainly():
        stopped = stack.down(folder)
    if as_json:
        click.echo(json.dumps({"stopped": stopped}))
    else:
        click.echo("stopped, and removed what it held" if stopped else "no local stack is running; nothing to do")


@local.command()
@_as_json
@_folder
@click.pass_context
def status(context: click.Context, folder: Path, as_json: bool) -> None:
    """Say whether it runs, and where. Exit 0 if it does, 1 if not.

    \b
    Example:
      jitr local status
    """
    with _told_plainly():
        found = stack.status(folder)
        if found.stack and not stack.is_deployed(found.stack):
            found = stack.Status(
                None, "MiniStack runs, but its CloudFormation stack is gone: `jitr local up` deploys it"
            )
    if as_json:
        described = found.stack.as_json() if found.stack else None
        click.echo(
            json.dumps({"running": found.stack is not None, "detail": found.detail, "stack": described}, indent=2)
        )
    else:
        click.echo(_description(found.stack) if found.stack else found.detail)
    context.exit(0 if found.stack else 1)


@local.command()
@click.option("--sam", is_flag=True, help="Write what `sam local invoke` takes as well: the file for its --env-vars.")
@_as_json
@_folder
@click.pass_context
def env(context: click.Context, folder: Path, as_json: bool, sam: bool) -> None:
    """Print what makes AWS tools talk to it: eval "$(jitr local env)".

    \b
    Example:
      eval "$(jitr local env)"
    """
    with _told_plainly():
        found = stack.status(folder)
    if not found.stack:
        click.echo(f"{found.detail}; `jitr local up` starts one", err=True)
        context.exit(1)
    if sam:
        from jitr_local import sam_local  # boto3 takes a while

        with _told_plainly():
            file = sam_local.write_variables(found.stack)
        click.echo(f"Wrote {file}. In this shell:\n{sam_local.command(file)}", err=True)
    variables = variables_of(found.stack, dict(os.environ))
    if as_json:
        click.echo(json.dumps(variables, indent=2))
        return
    # A profile of the developer's may name another Region or endpoint, or not exist in this shell.
    click.echo("unset AWS_PROFILE AWS_DEFAULT_PROFILE AWS_SESSION_TOKEN")
    for name, value in variables.items():
        click.echo(f"export {name}={shlex.quote(value)}")


@local.command()
@click.argument("event", type=click.Path(dir_okay=False, path_type=Path))
@_as_json
@_folder
def newcomer(folder: Path, event: Path, as_json: bool) -> None:
    """Make a device that waits to be let in, and write the EVENT of its first connection for `make invoke`.

    \b
    Example:
      jitr local newcomer newcomer.json
      make invoke FUNCTION=RegisterFunction EVENT=newcomer.json
    """
    from jitr_local.newcomer import introduce  # boto3 takes a while

    with _told_plainly():
        made = introduce(stack.load(folder), event)
    if as_json:
        click.echo(json.dumps({"name": made.name, "certificate_id": made.certificate_id, "event": str(event)}))
        return
    click.echo(
        f"{made.name} waits, its certificate {made.certificate_id[:12]} is PENDING_ACTIVATION. "
        f"A rule lets it in.\nIts event is in {event}. Try next:\n"
        f"  make invoke FUNCTION=RegisterFunction EVENT={shlex.quote(str(event))}\n"
        f"  jitr decisions show {made.certificate_id[:12]} --local"
    )


@local.command()
@click.option(
    "--devices", default=24, show_default=True, type=click.IntRange(24, 2000), help="How many in the first group."
)
@click.option("--page", is_flag=True, help="Keep the stack at the end, and open the operators' page until Ctrl-C.")
def demo(devices: int, page: bool) -> None:
    """Let devices connect for the first time, on a stack of its own that is gone afterwards.

    Exit 0 if each device ended as it must and a subscriber to the event bus was told of it, 1 if not.

    \b
    Examples:
      jitr local demo --devices 200
      jitr local demo --page
    """
    from jitr_local import demo as play  # the MQTT client and the certificate library: the other commands do without
    from jitr_local.demo_page import serve_page
    from jitr_local.stage import show, stage
    from jitr_local.subscriber import subscribed

    with _told_plainly(), running_stack(say=_progress) as running, tempfile.TemporaryDirectory(prefix="jitr-") as name:
        with subscribed(running) as subscriber:
            with stage() as shown:
                performance = play.Demo(running, Path(name), devices, shown.say)
                performance.prepare()
                endings = performance.run(shown.tell, seconds=90 + devices)
            show(endings)
            told = performance.told(subscriber)
            click.echo("\n".join([str(told), *told.missing]))
        if page:
            serve_page(running, Path(name))
    if not page:
        click.echo("To look at it all in a browser: make demo PAGE=1")
    if play.unexpected(endings) or told.missing:
        raise SystemExit(1)


@local.command()
@click.option("--report", type=click.Path(path_type=Path), metavar="FILE.md", help="Write the report there, too.")
def verify(report: Path | None) -> None:
    """Run `jitr verify` on a stack of its own that is gone afterwards: what it says of the stand-in, it can say of AWS.

    Exit 0 if each assumption that was tried is confirmed, 1 if one is not.

    \b
    Example:
      jitr local verify
    """
    from jitr_local.operator import Operator

    with _told_plainly(), running_stack(say=_progress) as running, tempfile.TemporaryDirectory(prefix="jitr-") as name:
        Path(name, "admission.yaml").write_text("format: 1\ndefault: hold\n")
        Operator(running, Path(name)).types("rules", "publish", "admission.yaml", "--yes")
        words = ["verify", "--yes", *([] if report is None else ["--report", str(report.resolve())])]
        code = Operator(running, Path(name)).watches(*words, variables=variables_of(running, dict(os.environ)))
    click.echo(
        "That was the local stack, which stands in for AWS. In an account: jitr verify (docs/verified.md).", err=True
    )
    if code:
        raise SystemExit(code)


def variables_of(running: LocalStack, caller: dict[str, str]) -> dict[str, str]:
    """Return the environment variables that make AWS tools, and this project's, talk to ``running``."""
    variables = {
        "AWS_ENDPOINT_URL": running.endpoint_url,
        "AWS_ACCESS_KEY_ID": running.access_key_id,
        "AWS_SECRET_ACCESS_KEY": running.secret_access_key,
        "AWS_REGION": running.region,
        "AWS_DEFAULT_REGION": running.region,
        "JITR_STACK": running.stack_name,
        "JITR_MQTT_HOST": running.mqtt_host,
        "JITR_MQTT_PORT": str(running.mqtt_port),
        "JITR_BROKER_CA": str(running.broker_ca),
    }
    for name in ("NO_PROXY", "no_proxy"):
        hosts = [host for host in caller.get(name, "").split(",") if host]
        variables[name] = ",".join(dict.fromkeys([*hosts, "127.0.0.1", "localhost"]))
    return variables


def _progress(line: str) -> None:
    click.echo(line, err=True)


def _description(running: LocalStack) -> str:
    return f"""\
The local stack is running (process {running.pid}).
  AWS APIs   {running.endpoint_url}, for this machine only
  MQTT       {running.mqtt_host}:{running.mqtt_port} over TLS, on ALL interfaces: others on the network reach it too
  stack      {running.stack_name} in {running.region}, account {running.account_id}
  broker CA  {running.broker_ca}
  log        {running.log}"""


_NEXT = """\
  jitr status --local          what is deployed
  eval "$(jitr local env)"     aws, sam and boto3 in this shell talk to it
  jitr local down              stop it; all it holds goes with it"""
