"""Options for the subject of a certificate that is to be made."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import click

from jitr_operations.issuing.subjects import SubjectParts

F = TypeVar("F", bound=Callable[..., Any])


def subject_options(command: F) -> F:
    """Add the options for a certificate's subject; the command gets ``subject``, a SubjectParts."""

    @wraps(command)
    def collected(*args: Any, **kwargs: Any) -> Any:
        text = kwargs.pop("subject")
        values = {name: value for name in _SUBJECT if (value := kwargs.pop(name)) is not None}
        if text is not None and values:
            raise click.UsageError(f"--subject says all of it: leave out --{next(iter(values)).replace('_', '-')}.")
        return command(*args, subject=SubjectParts(values, text), **kwargs)

    decorated: Any = click.option(
        "--subject", metavar="NAME", help="All of the subject (RFC 4514), like CN=snr-1,O=OKIDA,C=TR."
    )(collected)
    for name in reversed(_SUBJECT):
        decorated = click.option(f"--{name.replace('_', '-')}", help=_SUBJECT[name])(decorated)
    return decorated  # type: ignore[no-any-return]


_SUBJECT = {
    "common_name": "Subject: common name (CN); by default NAME.",
    "organization": "Subject: organization (O).",
    "organizational_unit": "Subject: organizational unit (OU).",
    "country": "Subject: country (C), two letters.",
    "state": "Subject: state or province (ST).",
    "locality": "Subject: locality (L).",
}
