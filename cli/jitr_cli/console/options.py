"""Options that several groups of commands have: where to work, and files.

``aws_options`` is for commands that need an account and a Region only (``jitr ca register``), ``stack_options`` for
those that need the deployed stack as well. Both hand the command a ``Choice``.
"""

import math
import os
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from jitr.errors import Retry
from jitr_operations import aws_answers
from jitr_operations.deployment import DEFAULT_STACK, Choice, Memory

F = TypeVar("F", bound=Callable[..., Any])


class _File(click.Path):
    """A file's path. ``-`` is none: a file of that name, made by who meant standard output, is a trap to get rid of.

    Nor is an empty one, which is the current directory to Python. Where ``or_output``, ``-`` means standard output.
    """

    def __init__(self, *, or_output: bool = False) -> None:
        super().__init__(path_type=Path)
        self._or_output = or_output

    def convert(
        self, value: str | os.PathLike[str], param: click.Parameter | None, ctx: click.Context | None
    ) -> str | bytes | os.PathLike[str]:
        """Return the path. Raises click.BadParameter for one that is none."""
        if value == "":
            self.fail("it is empty: name a file", param, ctx)
        if value == "-" and not self._or_output:
            self.fail("'-': name a file; standard input and output do not serve here", param, ctx)
        return super().convert(value, param, ctx)


class _AtMost(click.IntRange):
    """How many at most. More than Python counts in one piece (``islice``) is as good as all."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number. Raises click.BadParameter for what is none, and for one below 1."""
        return min(int(super().convert(value, param, ctx)), sys.maxsize)


class Amount(click.FloatRange):
    """A number between two bounds. ``nan`` is none, though it is neither below the one nor above the other."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number. Raises click.BadParameter for what is none, and for one beyond the bounds."""
        found: float = super().convert(value, param, ctx)
        if math.isnan(found):
            self.fail(f"{value} is not a number", param, ctx)
        return found


FILE = _File()
FILE_OR_OUTPUT = _File(or_output=True)
AT_MOST = _AtMost(1)
_OF_THE_LOCAL_STACK = frozenset({"profile", "region", "endpoint_url", "stack"})

_LOCAL_DOWN = "the local stack does not answer: `jitr local up` starts it"


def aws_options(command: F) -> F:
    """Add the options of a command that talks to AWS but needs no stack; the command gets ``choice``, a Choice."""
    return _options(command, with_stack=False)


def stack_options(command: F) -> F:
    """Add the options of a command that works on a deployed stack; the command gets ``choice``, a Choice."""
    return _options(command, with_stack=True)


def _options(command: F, *, with_stack: bool) -> F:
    @wraps(command)
    def chosen(*args: Any, **kwargs: Any) -> Any:
        values = {name: kwargs.pop(name) for name in ("local", "profile", "region", "endpoint_url")}
        if with_stack:
            values["stack"] = kwargs.pop("stack")
        if values["local"]:
            _refuse_beside_local(click.get_current_context())
        memory = Memory()
        choice = Choice(**values, memory=memory)
        try:
            try:
                return command(*args, choice=choice, **kwargs)
            except Exception as problem:
                if not memory.misled(problem):
                    raise
            return command(*args, choice=choice.anew(), **kwargs)  # once: this time with AWS's own answer
        except Exception as problem:
            if choice.local and aws_answers.is_unreached(problem):
                raise Retry("unreachable", _LOCAL_DOWN) from problem
            raise

    decorated: Any = chosen
    for option in (*_OPTIONS, *([_STACK] if with_stack else ())):
        decorated = option(decorated)
    return decorated  # type: ignore[no-any-return]


def _not_empty(_context: click.Context, parameter: click.Parameter, text: str | None) -> str | None:
    """Refuse an option without a word in it: a script's unset variable must not choose another place."""
    if text is not None and not text.strip():
        raise click.UsageError(f"{parameter.opts[0]} is empty: leave it out, or say which.")
    return text


def _refuse_beside_local(context: click.Context) -> None:
    for name in sorted(_OF_THE_LOCAL_STACK & context.params.keys()):
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            option = "--" + name.replace("_", "-")
            raise click.UsageError(f"--local and {option} exclude each other: the local stack says where it is.")


def stack_was_named() -> bool:
    """Return whether the command line of the running command names the stack."""
    context = click.get_current_context()
    return context.get_parameter_source("stack") is click.core.ParameterSource.COMMANDLINE


def refuse_yes_without_questions(dry_run: bool, yes: bool) -> None:
    """Raise UsageError for ``--yes`` beside ``--dry-run``: whoever gives both may believe that something is done."""
    if dry_run and yes:
        raise click.UsageError("--dry-run and --yes exclude each other: a dry run changes nothing, and asks nothing.")


_OPTIONS = (
    click.option("--local", is_flag=True, help="Work on the local stack of this checkout, or of jitr's own."),
    click.option("--endpoint-url", metavar="URL", callback=_not_empty, help="Another endpoint than AWS's own."),
    click.option("--region", metavar="REGION", callback=_not_empty, help="AWS Region [env: AWS_REGION]."),
    click.option("--profile", metavar="NAME", callback=_not_empty, help="AWS profile [env: AWS_PROFILE]."),
)
_STACK = click.option(
    "--stack",
    envvar="JITR_STACK",
    default=DEFAULT_STACK,
    metavar="NAME",
    callback=_not_empty,
    help=f"CloudFormation stack [env: JITR_STACK; default: {DEFAULT_STACK}].",
)
