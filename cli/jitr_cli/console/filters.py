"""Options that say which decision records are meant: by reason, by CA, by rule."""

import re
from collections.abc import Callable
from difflib import get_close_matches
from typing import Any, TypeVar

import click

from jitr.aws.dynamodb.rulebook import Rulebook
from jitr.aws.dynamodb.table import Table
from jitr.errors import InputError
from jitr.reasons import CODES
from jitr.records.record import Record
from jitr_cli.console import completion

F = TypeVar("F", bound=Callable[..., Any])

_ID = re.compile(r"[0-9a-fA-F]{1,64}")


def _known_reason(_context: click.Context, _parameter: click.Parameter, code: str | None) -> str | None:
    if code is None or code in CODES:
        return code
    near = get_close_matches(code, CODES, n=1, cutoff=0.5)
    meant = f"did you mean {near[0]}?" if near else "docs/reasons.md has them all"
    raise click.BadParameter(f"there is no reason code {code!r}: {meant}")


def reason_option(text: str) -> Callable[[F], F]:
    """The option ``--reason``: a reason code that exists, or None."""
    return click.option(
        "--reason", metavar="CODE", callback=_known_reason, shell_complete=completion.reason_codes, help=text
    )


def ca_option(command: F) -> F:
    """The option ``--ca``; ``of_ca`` says what it means."""
    return click.option(
        "--ca",
        metavar="ALIAS|ID",
        shell_complete=completion.ca_aliases,
        help="Only those of this CA: its alias in the rules in force, its caCertificateId, or the beginning of it.",
    )(command)


def of_ca(table: Table, ca: str | None) -> Callable[[Record], bool]:
    """Whether a record is of a CA. Raises InputError for what is neither an alias nor the beginning of an id."""
    if ca is None:
        return lambda _record: True
    heads = table.heads()
    aliases = {} if heads.digest is None else Rulebook(table).in_force(heads).cas
    if ca in aliases:
        ids = frozenset(aliases[ca].ids)
        return lambda record: record.ca_certificate_id in ids
    if _ID.fullmatch(ca) is None:
        near = get_close_matches(ca, aliases, n=1)
        meant = f"did you mean {near[0]}?" if near else f"there are: {', '.join(aliases) or 'none'}"
        raise InputError(f"the rules in force have no CA alias {ca!r}: {meant}")
    return lambda record: record.ca_certificate_id.startswith(ca.lower())


def with_reason(code: str | None) -> Callable[[Record], bool]:
    """Whether a record has a reason code among its reasons."""
    return lambda record: code is None or any(each["code"] == code for each in record.reasons)


def near_rule(name: str | None) -> Callable[[Record], bool]:
    """Whether a record rests on a rule, or nearly did."""
    return lambda record: (
        name is None or name == record.rule or any(each["rule"] == name for each in record.near_misses)
    )
