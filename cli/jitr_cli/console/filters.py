"""Options that say which decision records are meant: by reason, by CA, by rule."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from jitr.errors import InputError
from jitr_cli.console import completion
from jitr_operations.decisions import filters

F = TypeVar("F", bound=Callable[..., Any])


def _known_reason(_context: click.Context, _parameter: click.Parameter, code: str | None) -> str | None:
    try:
        return filters.known_reason(code)
    except InputError as problem:
        raise click.BadParameter(str(problem)) from None


def reason_option(text: str) -> Callable[[F], F]:
    """Add the option ``--reason``: a reason code that exists, or None."""
    return click.option(
        "--reason", metavar="CODE", callback=_known_reason, shell_complete=completion.reason_codes, help=text
    )


def ca_option(command: F) -> F:
    """Add the option ``--ca``; ``jitr_operations.decisions.filters.of_ca`` says what it means."""
    return click.option(
        "--ca",
        metavar="CA",
        shell_complete=completion.ca_aliases,
        help="Only those of this CA: alias in the rules in force, caCertificateId, the beginning of one, or its file.",
    )(command)
