"""Options that say how a file of devices is to be read."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import click

from jitr.devicelists.csv.encodings import CODE_PAGES
from jitr.devicelists.manifests.reading import USUAL_SET
from jitr.devicelists.manifests.recognition import KINDS
from jitr_cli.console.options import FILE
from jitr_operations.lists.manifests import ManifestChoice

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = {
    "kind": click.option(
        "--from", "kind", type=click.Choice(KINDS), help="The kind of FILE. Default: recognised by its content."
    ),
    "signers": click.option(
        "--signer",
        "signers",
        multiple=True,
        type=FILE,
        help="A certificate that may sign manifests, for the kept ones.",
    ),
    "any_date": click.option(
        "--any-date", is_flag=True, help="With --signer: even if it was not valid then (prototypes)."
    ),
    "thing_name": click.option("--thing-name", metavar="TEMPLATE", help="Names things, as in 'snr-{unique_id}'."),
    "by": click.option("--by", type=click.Choice(["common-name"]), help="Take elements without a key by their names."),
    "skip_bad": click.option("--skip-bad", is_flag=True, help="Leave out what is wrong, and list it."),
    "columns": click.option(
        "--column",
        "columns",
        multiple=True,
        metavar="COLUMN=HEADING",
        help="CSV: what it calls a column; others are left out.",
    ),
    "sheet": click.option("--sheet", metavar="NAME", help="Which sheet of a spreadsheet; else the only one."),
    "encoding": click.option(
        "--encoding",
        type=click.Choice(CODE_PAGES),
        metavar="CODEPAGE",
        help="Of CSV that is not UTF-8, as cp1252.",
    ),
    "key_set": click.option(
        "--set",
        "key_set",
        default=USUAL_SET,
        show_default=True,
        metavar="SET",
        help="Of a chip's certificates (Infineon).",
    ),
}


def manifest_options(command: F) -> F:
    """Add the options of a command that reads a file of devices; the command gets ``manifest``, a ManifestChoice."""

    @wraps(command)
    def chosen(*args: Any, **kwargs: Any) -> Any:
        values = {name: kwargs.pop(name) for name in _OPTIONS}
        return command(*args, manifest=ManifestChoice(**values), **kwargs)

    decorated: Any = chosen
    for option in reversed(_OPTIONS.values()):
        decorated = option(decorated)
    return decorated  # type: ignore[no-any-return]
