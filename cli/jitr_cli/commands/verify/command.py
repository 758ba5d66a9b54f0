"""``jitr verify``: whether AWS behaves as this software takes it to, seen with devices that are thrown away."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from jitr.errors import InputError, Refused
from jitr_cli.console import output
from jitr_cli.console.endpoint import MQTT_PORT, ca_file_option, endpoint_option, where_devices_connect
from jitr_cli.console.options import FILE, stack_options, stack_was_named
from jitr_operations.accounts import Account
from jitr_operations.deployment import Choice
from jitr_operations.devices.records import account_and_table
from jitr_operations.files import staged
from jitr_operations.verify.alone import require_alone
from jitr_operations.verify.assumptions import ASSUMPTIONS, Report, Seen
from jitr_operations.verify.belongings import Belongings
from jitr_operations.verify.own_stack import OwnStack, remove
from jitr_operations.verify.package import package_at
from jitr_operations.verify.refusal import remove_messages
from jitr_operations.verify.throttling import CALLS
from jitr_operations.verify.usage import NOT_COUNTED
from jitr_operations.verify.verification import Endpoint, Extent, Verification

_OWN_STACK = """\
This deploys a stack of its own, {name}, with rules of its own, from {template}:
functions and the IAM roles that they need, a table, queues, alarms, and two buckets, one for {size:.0f} MB of code.
All of it is deleted again, with what it holds. It costs some cents, and takes about 15 minutes more.
While the stack stands, devices of yours that connect for the first time are held.
"""
_BESIDE_CLEAN = {"clean", "as_json", "profile", "region", "endpoint_url", "stack", "local"}  # parameters
_PLAN = """\
This makes a CA that nobody knows and two devices, tagged and named jitr-verify, and takes them away again:
one CA registered, about 20 connections, and some 100 requests to AWS IoT, which cost less than a cent.
Your rules, lists and devices are left alone. It takes about {minutes} minutes.{more}"""
_ALARM = "\nRegistrationFailuresAlarm is raised and ends again: whoever gets its messages gets two."
_REFUSAL = (
    "\nA file is refused, with a queue of its own subscribed to the refusals topic, and taken away with its verdict. "
    "Whoever is subscribed gets the message, too,\nDropsRefusedAlarm is raised, and an entry stays in `jitr history`."
)
_THROTTLE = (
    "\nDescribeCertificate is called as fast as possible, {calls} times or three seconds at most. That uses up the "
    "account's quota in this Region:\nmeanwhile others' calls are throttled, too, and a device that knocks is decided "
    "some seconds later."
)
_SIGNS = {Seen.CONFIRMED: "ok", Seen.OTHERWISE: "NO", Seen.NOT_TRIED: "--"}


@click.command("verify")
@endpoint_option
@ca_file_option
@click.option("--sni-only", is_flag=True, help="Register the CA in mode SNI_ONLY: without proof of possession.")
@click.option("--alarm", is_flag=True, help="Also raise an alarm, and see it end: a quarter of an hour more.")
@click.option("--refusal", is_flag=True, help="Also have a file refused, and see its message; --own-stack does, too.")
@click.option("--throttle", is_flag=True, help="Also go above a quota of the account, for three seconds at most.")
@click.option("--own-stack", is_flag=True, help="Deploy a stack for it, and delete that again.")
@click.option(
    "--template",
    type=FILE,
    metavar="FILE.yaml",
    help="What --own-stack deploys, built; as `sam deploy`, .aws-sam/build/template.yaml or template.yaml without.",
)
@click.option("--report", type=FILE, metavar="FILE.md", help="Write the report there, too, and FILE.json beside it.")
@click.option("--clean", is_flag=True, help="Only remove what earlier runs left behind.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@stack_options
@output.json_option
@click.pass_context
def verify(
    context: click.Context,
    endpoint: str | None,
    ca_file: Path | None,
    sni_only: bool,
    alarm: bool,
    refusal: bool,
    throttle: bool,
    own_stack: bool,
    template: Path | None,
    report: Path | None,
    clean: bool,
    yes: bool,
    choice: Choice,
    as_json: bool,
) -> None:
    """Check whether AWS does what this software relies on, with a throwaway CA and throwaway devices.

    A device connects for the first time, alone and with its CA's certificate. The event, the decision, statuses and IoT
    policies are checked, and each assumption is reported as confirmed, otherwise, or not tried. Everything that was
    made is removed, even after an interruption; --clean removes what a killed run left behind.

    It refuses to run if the rules in force would not hold its devices, or if another stack might let them in. With
    --own-stack it deploys a stack for the run, whose own rules let a device in, too. Exit code 1 means that something
    is otherwise.

    \b
    Examples:
      jitr verify --local
      jitr verify --sni-only --report verified.md
      jitr verify --own-stack --template jitr-stack-0.1.0-arm64/template.yaml
    """
    if clean:
        _refuse_beside_clean(context)
        _clean(choice, as_json)
        return
    extent = Extent(sni_only, alarm, refusal, throttle)
    run = _run(choice, own_stack, template, extent, endpoint, ca_file)
    if isinstance(run, OwnStack):
        output.note(_OWN_STACK.format(template=run.package.template, name=run.name, size=run.package.size / 1e6))
    output.note(_plan(extent, own_stack))
    output.confirm("Go on?", yes)
    with _written(report) as write:
        found = run.make()
        write(found)
    output.emit(as_json, found.to_json(), lambda: _show(found))
    _refuse_left(found.left)
    context.exit(1 if found.otherwise else 0)


def _plan(extent: Extent, own_stack: bool) -> str:
    throttle = _THROTTLE.format(calls=CALLS)
    more = ((extent.alarm, _ALARM), (extent.refusal and not own_stack, _REFUSAL), (extent.throttle, throttle))
    return _PLAN.format(minutes=20 if extent.alarm else 4, more="".join(text for wanted, text in more if wanted))


def _refuse_beside_clean(context: click.Context) -> None:
    """Raise UsageError for an option that says how to verify: --clean verifies nothing, and asks nothing."""
    of_verifying = {
        name: param.opts[0]
        for param in context.command.params
        if (name := param.name) is not None and name not in _BESIDE_CLEAN
    }
    for name, option in of_verifying.items():
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--clean and {option} exclude each other: --clean only removes, and asks nothing.")


def _clean(choice: Choice, as_json: bool) -> None:
    account, table = account_and_table(choice, "Decisions on devices are not looked for")
    account.announce()
    left = [*Belongings(account.client("iot"), table).clean(), *remove_messages(account), *remove(account)]
    output.emit(as_json, {"left": left}, "Nothing of a verification is left." if not left else "")
    _refuse_left(left)


def _run(
    choice: Choice,
    own_stack: bool,
    template: Path | None,
    extent: Extent,
    endpoint: str | None,
    ca_file: Path | None,
) -> OwnStack | Verification:
    if template is not None and not own_stack:
        raise click.UsageError("--template is what --own-stack deploys: give both.")
    if not own_stack:
        deployment = choice.anew().deployment()
        deployment.announce()
        require_alone(deployment)  # before anything is asked
        return Verification(deployment, _endpoint(endpoint, ca_file, choice, deployment), extent)
    if stack_was_named():
        raise click.UsageError("--own-stack and --stack exclude each other: the own stack has a name of its own.")
    package, account = package_at(template), choice.account()
    account.announce("cloudformation")
    require_alone(account)
    return OwnStack(account, package, _endpoint(endpoint, ca_file, choice, account), extent)


def _endpoint(endpoint: str | None, ca_file: Path | None, choice: Choice, account: Account) -> Endpoint:
    where = where_devices_connect(endpoint, ca_file, choice)
    if where is None:
        answer = account.client("iot").describe_endpoint(endpointType="iot:Data-ATS")
        where = answer["endpointAddress"], MQTT_PORT, ca_file
    return Endpoint(*where)


@contextmanager
def _written(report: Path | None) -> Iterator[Callable[[Report], None]]:
    """Give what writes the report. Raises InputError before the block where it could not be written after minutes."""
    if report is None:
        yield lambda _found: None
        return
    beside = report.with_suffix(".json")
    if beside == report:
        raise InputError(f"--report {report}: name the page, as in verified.md; the JSON is written beside it")
    with staged(report.parent, [report.name, beside.name], force=True) as stage:

        def write(found: Report) -> None:
            stage.write(report.name, found.markdown().encode())
            stage.write(beside.name, output.as_text(found.to_json()).encode())

        yield write


def _refuse_left(left: list[str]) -> None:
    if left:
        raise Refused("verify", "left", f"left behind: {', '.join(left)}. `jitr verify --clean` tries again")


def _show(report: Report) -> None:
    for each in ASSUMPTIONS:
        seen, detail = report.of(each)
        told = f" ({output.safe(detail)})" if detail else ""
        click.echo(f"{_SIGNS[seen]}  {each.text}{told}")
    click.echo("\n" + ", ".join(f"{report.count(each)} {each}" for each in Seen) + ".")
    click.echo("\nUsed by the run:")
    for line in report.usage.lines():
        click.echo(f"  {line}")
    click.echo(NOT_COUNTED)
