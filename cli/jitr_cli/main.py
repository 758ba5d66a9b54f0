"""The command ``jitr``: its groups, loaded when they are used, and what its exit codes mean.

0 done, or the answer is yes; 1 the answer is no; 2 wrong use or bad input; 3 AWS refused, could not be reached, or
part of the work failed; 70 a bug; 130 interrupted (128 + SIGINT); 141 whoever read the output went away (128 +
SIGPIPE). A command that answers no calls ``context.exit(1)``.

Start-up is quick because this module imports neither AWS's SDK nor anything about certificates, and commands are
imported when they are called.
"""

import contextlib
import gc
import io
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

from jitr import __version__
from jitr.errors import InputError, JitrError, Refused, Retry
from jitr_cli.console import output
from jitr_cli.console.lazy import LazyGroup
from jitr_cli.groups import COMMANDS
from jitr_operations import aws_answers, disk, telling

BAD_INPUT, FAILED, BUG, INTERRUPTED, BROKEN_PIPE = 2, 3, 70, 130, 141

_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


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
    if (refusal := disk.refusal(problem)) is not None:
        output.error(refusal)
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


# --- jitr itself


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


@click.group(name="jitr", cls=_Jitr, lazy=COMMANDS, context_settings=_SETTINGS)
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


def _open_closed_streams() -> None:
    """Have a stream that was closed by whoever began this process lead nowhere; nor does a file take its place then."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115 - while the process lives


def run() -> NoReturn:
    """Run the ``jitr`` command on the process's arguments, and exit."""
    _open_closed_streams()
    # Modules and API models are many objects that stay. Python's usual thresholds have the collector look through them
    # again and again while they are made: a sixth of a short command.
    gc.set_threshold(50_000, 20, 20)
    if isinstance(sys.stdout, io.TextIOWrapper):  # what a terminal has no sign for, a device's name, ends no command
        sys.stdout.reconfigure(errors="backslashreplace")
    if not sys.warnoptions:  # Python's warnings are for who writes programs, not for who uses them
        warnings.simplefilter("ignore")
    jitr.main(prog_name="jitr")
    raise AssertionError("click exits by itself")
