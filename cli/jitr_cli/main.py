"""The command ``jitr``: its groups, loaded when they are used, and what its exit codes mean.

0 done, or the answer is yes; 1 the answer is no; 2 wrong use or bad input; 3 AWS refused, could not be reached, or
part of the work failed; 70 a bug; 130 interrupted (128 + SIGINT); 141 whoever read the output went away (128 +
SIGPIPE). A command that answers no calls ``context.exit(1)``.

Start-up is quick because this module imports neither AWS's SDK nor anything about certificates, and ``jitr --help``
loads no command: their one-line descriptions stand here.
"""

import contextlib
import gc
import importlib
import importlib.util
import os
import sys
import traceback
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import click
from click.shell_completion import CompletionItem

from jitr import __version__
from jitr.errors import InputError, JitrError, Refused, Retry
from jitr.text import nearest
from jitr_cli.console import output
from jitr_operations import aws_answers, disk, telling

BAD_INPUT, FAILED, BUG, INTERRUPTED, BROKEN_PIPE = 2, 3, 70, 130, 141

_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


@dataclass(frozen=True, slots=True)
class Lazy:
    """A command by the place it is imported from (``module:name``) and its line in the list of commands."""

    place: str
    summary: str

    @property
    def exists(self) -> bool:
        """Whether its module is there, found without importing it."""
        try:
            return importlib.util.find_spec(self.place.partition(":")[0]) is not None
        except ModuleNotFoundError:
            return False

    def load(self) -> click.Command:
        """Import the command."""
        module, _, name = self.place.partition(":")
        command = getattr(importlib.import_module(module), name)
        if not isinstance(command, click.Command):
            raise TypeError(f"{self.place} is not a command")
        return command


class LazyGroup(click.Group):
    """A group of commands that are imported when they are called. One whose module is not there is not a command."""

    def __init__(self, *args: Any, lazy: Mapping[str, Lazy] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lazy = dict(lazy or {})

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return every command's name, in the order of the table."""
        found = (name for name, lazy in self._lazy.items() if lazy.exists)
        return list(dict.fromkeys((*found, *super().list_commands(ctx))))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return the command of that name."""
        lazy = self._lazy.get(cmd_name)
        if lazy is not None and lazy.exists:
            return lazy.load()
        return super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table, without importing any."""
        rows = [(name, self._summary(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def _summary(self, ctx: click.Context, name: str) -> str:
        lazy = self._lazy.get(name)
        if lazy is not None and lazy.exists:
            return lazy.summary
        command = super().get_command(ctx, name)
        return command.get_short_help_str(limit=80) if command else ""

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete names of commands from the table, without importing any, and options as every command does."""
        names = [each for each in self.list_commands(ctx) if each.startswith(incomplete)]
        found = [CompletionItem(each, help=self._summary(ctx, each)) for each in names]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that was meant; suggest the nearest for an unknown one."""
        name = args[0]
        known = self.list_commands(ctx)
        if name in known or name.startswith("-") or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        near = nearest(name, known, 0.5)
        meant = f"Did you mean {near!r}?" if near else f"There are: {', '.join(known)}."
        raise click.UsageError(f"No such command {name!r}. {meant}", ctx)


class _Jitr(LazyGroup):
    """The whole command line. Whatever a command raises becomes a message and an exit code here."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was asked for."""
        debug = bool(ctx.params.get("debug"))
        try:
            with telling.heard_by(output.TerminalListener()):
                result = super().invoke(ctx)
            sys.stdout.flush()
        except click.exceptions.Exit:
            raise
        except (KeyboardInterrupt, click.Abort):
            output.note("\nInterrupted." if sys.stderr.isatty() else "Interrupted.")  # after the terminal's ^C
            ctx.exit(INTERRUPTED)
        except BrokenPipeError:
            _leave_quietly(ctx)
        except click.ClickException as problem:
            problem.show()
            ctx.exit(max(BAD_INPUT, problem.exit_code))
        except Exception as problem:  # noqa: BLE001 - the one place where nothing may escape
            if debug:
                output.note("".join(traceback.format_exception(problem)))
            ctx.exit(_tell(problem))
        return result


def _leave_quietly(ctx: click.Context) -> NoReturn:
    # What is still buffered would fail again when Python exits. https://docs.python.org/3/library/signal.html#note-on-sigpipe
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    ctx.exit(BROKEN_PIPE)


def _tell(problem: Exception) -> int:
    """Print what went wrong, and what to do about it; the exit code for it."""
    if isinstance(problem, JitrError):
        output.error(str(problem))
        return FAILED if isinstance(problem, Retry | Refused) else BAD_INPUT
    if isinstance(problem, OSError) and problem.filename is not None:
        output.error(f"{problem.filename}: {problem.strerror}")
        return BAD_INPUT
    if disk.is_full(problem):
        output.error(disk.NO_ROOM)
        return BAD_INPUT
    if aws_answers.is_of_aws(problem):
        output.error(aws_answers.in_words(problem))
        return BAD_INPUT if aws_answers.is_bad_input(problem) else FAILED
    output.error(
        f"this is a bug in jitr {__version__}: {type(problem).__name__}{_place(problem)}. Run it again as "
        "`jitr --debug …`, or with JITR_DEBUG=1, for the traceback on standard error, and report that."
    )
    return BUG


def _place(problem: Exception) -> str:
    frames = [*traceback.walk_tb(problem.__traceback__)]
    return f" at {frames[-1][0].f_globals.get('__name__')}:{frames[-1][1]}" if frames else ""


# --- the commands


def _command(place: str, summary: str) -> Lazy:
    """Return a command by its place below ``jitr_cli.commands``."""
    return Lazy(f"jitr_cli.commands.{place}", summary)


_RULES = {
    "init": _command("rules.files:init", "Write a first rules file."),
    "check": _command("rules.files:check", "Check a rules file and run the tests in it; needs no AWS."),
    "publish": _command("rules.publish:publish", "Check a rules file and put it in force."),
    "show": Lazy(
        "jitr_cli.commands.rules.history:show", "Print the rules file that is in force, or an earlier version."
    ),
    "history": _command("rules.history:history", "Every version that was in force: who, when, why."),
    "diff": _command("rules.history:diff", "Compare two versions."),
    "rollback": _command("rules.history:rollback", "Put an earlier version in force again."),
    "replay": Lazy(
        "jitr_cli.commands.rules.history:replay_command", "What a rules file would change for devices on record."
    ),
    "schema": _command("rules.files:schema", "Print the JSON schema of rules files, for editors."),
}


_DEVICE = {
    "issue": _command("device.issue:issue", "Make keys and certificates for devices."),
    "register": Lazy(
        "jitr_cli.commands.device.register:register", "Register certificates by hand, without their connecting."
    ),
    "ls": _command("device.show:ls", "List registered device certificates."),
    "show": Lazy(
        "jitr_cli.commands.device.show:show", "Show one device: status, IoT policies, thing, decision and reasons."
    ),
    "find": _command("device.find:find", "Find devices by the beginning of a name, serial number, id or key."),
    "index": _command("device.find:index", "Make devices findable that were decided by an earlier version."),
    "activate": _command("device.status:activate", "Make a device certificate ACTIVE."),
    "deactivate": Lazy(
        "jitr_cli.commands.device.status:deactivate", "Make them INACTIVE, or recall the devices of a list."
    ),
    "revoke": _command("device.status:revoke", "Revoke a device certificate, for ever."),
    "delete": _command("device.delete:delete", "Delete a device certificate and everything attached to it."),
    "diagnose": _command("device.diagnose:diagnose", "Connect as the device does, and say why it fails."),
}


_HELD = {
    "ls": _command("held.listing:ls", "Show held devices, the newest first."),
    "admit": _command("held.words:admit", "Let one in under a rule that does not match it."),
    "reject": _command("held.words:reject", "Reject one: its certificate becomes INACTIVE."),
    "recheck": _command("held.words:recheck", "Decide held devices again now."),
}


_LISTS = {
    "ls": _command("lists.rows:ls", "Show the device lists there are."),
    "show": _command("lists.rows:show", "Show the rows of a list."),
    "add": _command("lists.rows:add", "Add one device."),
    "remove": _command("lists.rows:remove", "Take one device off."),
    "import": _command("lists.files:import_", "Import a file of devices."),
    "export": _command("lists.files:export", "Write a list to a CSV file."),
    "check": _command("lists.files:check", "Count how many rows fit rules and devices."),
    "delete": _command("lists.files:delete", "Delete a list."),
    "restore": _command("lists.files:restore", "Put a list in force again as it was before."),
    "history": _command("lists.history:history", "What became of a list: who, when, what."),
    "signers": _command("lists.signers:signers", "Who may sign manifests."),
    "verify": _command("lists.verify:verify", "Verify a signed manifest."),
}


_FAILURES = {
    "ls": _command("failures.messages:ls", "Show what failed: which certificate, why, since when."),
    "redrive": Lazy(
        "jitr_cli.commands.failures.messages:redrive", "Put failed messages back on the registration queue."
    ),
    "resend": _command("failures.resend:resend", "Send events that the event bus did not take."),
    "sweep": _command("failures.sweep:sweep", "Find certificates stuck pending, whose event was lost."),
}


@click.group(name="failures", cls=LazyGroup, lazy=_FAILURES)
def _failures() -> None:
    """Registration events that could not be handled, or were lost."""


@click.group(name="held", cls=LazyGroup, lazy=_HELD, no_args_is_help=True)
def _held() -> None:
    """Devices on hold."""


@click.group(name="lists", cls=LazyGroup, lazy=_LISTS, no_args_is_help=True)
def _lists() -> None:
    """Import and edit device lists."""


@click.group(name="rules", cls=LazyGroup, lazy=_RULES)
def _rules() -> None:
    """Manage the admission rules: who gets in, and what they are granted."""


@click.group(name="device", cls=LazyGroup, lazy=_DEVICE)
def _device() -> None:
    """Device certificates: issue them, register them, look after them."""


class _Elsewhere(click.Command):
    """``jitr local`` outside a checkout: takes whatever follows it, and says where it works."""

    def __init__(self) -> None:
        super().__init__(
            "local",
            callback=self._refuse,
            params=[click.Argument(["words"], nargs=-1, type=click.UNPROCESSED)],
            context_settings={"ignore_unknown_options": True, "help_option_names": []},
            short_help="The local stack (in a checkout only).",
        )

    @staticmethod
    def _refuse(words: Sequence[str]) -> None:  # noqa: ARG004 - click passes them
        raise InputError("`jitr local` needs a checkout of the project: clone it, then `make setup` there")


_COMMANDS = {
    "status": Lazy(
        "jitr_cli.commands.status.command:status",
        "What is deployed, rules in force, CAs, queues: the day's first command.",
    ),
    "ca": _command("ca.group:ca", "Certificate authorities: create, register, look after them."),
    "device": Lazy("jitr_cli.main:_device", "Device certificates: issue, register, look after them."),
    "rules": Lazy("jitr_cli.main:_rules", "The admission rules: who gets in, and what they are granted."),
    "lists": Lazy("jitr_cli.main:_lists", "Device lists: import, export, edit."),
    "held": Lazy("jitr_cli.main:_held", "Held devices: see them, admit or reject them."),
    "decisions": Lazy(
        "jitr_cli.commands.decisions.group:decisions", "Every decision on record, and deciding one again."
    ),
    "fleet": _command("fleet.group:fleet", "Devices that are in: how they stand today."),
    "failures": Lazy("jitr_cli.main:_failures", "Registration events that could not be handled, or were lost."),
    "history": _command("history.command:history", "What operators changed: who, when, why."),
    "explain": _command("explain.command:explain", "The decision about a device, and why."),
    "verify": _command("verify.command:verify", "Whether AWS does what this software relies on."),
    "page": _command("page.command:page", "The operators' page, in a browser on this machine."),
    "events": _command("events.command:events", "Registration events, to try the function with."),
    "local": Lazy("jitr_local.cli:local", "The local stack: up, down, status, demo."),
}


@click.group(name="jitr", cls=_Jitr, lazy=_COMMANDS, context_settings=_SETTINGS)
@click.version_option(__version__, prog_name="jitr")
@click.option("--debug", is_flag=True, envvar="JITR_DEBUG", help="Print tracebacks [env: JITR_DEBUG].")
def jitr(debug: bool) -> None:
    """Just-in-time registration for AWS IoT Core with your own certificate authorities.

    \b
    A first device on the local stack:
      jitr local up
      jitr ca create factory-a --path-length 0
      jitr ca register factory-a.pem --key factory-a.key --local
      jitr device issue snr-0001 --ca factory-a.pem --ca-key factory-a.key

    Exit codes: 0 done or yes, 1 no, 2 wrong use or bad input, 3 AWS refused or could not be reached, 70 a bug,
    130 interrupted.
    """


jitr.add_command(_Elsewhere())  # hidden by the real one wherever that can be imported


def run() -> NoReturn:
    """Run the ``jitr`` command on the process's arguments, and exit."""
    # Modules and API models are many objects that stay. Python's usual thresholds have the collector look through them
    # again and again while they are made: a sixth of a short command.
    gc.set_threshold(50_000, 20, 20)
    if not sys.warnoptions:  # Python's warnings are for who writes programs, not for who uses them
        warnings.simplefilter("ignore")
    jitr.main(prog_name="jitr")
    raise AssertionError("click exits by itself")
