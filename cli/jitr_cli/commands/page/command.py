"""``jitr page``: what operators do here, in a browser on this machine."""

from dataclasses import replace
from importlib.util import find_spec

import click

from jitr.errors import InputError
from jitr.records.history import PAGE
from jitr_cli.console.options import stack_options
from jitr_operations.deployment import Choice

_NEEDED = ("flask", "waitress")


@click.command("page")
@click.option("--read-only", is_flag=True, help="Show everything, and change nothing.")
@click.option("--no-browser", is_flag=True, help="Print the link, and leave opening it to you.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Serve at this port. Default: a free one.")
@stack_options
def page(read_only: bool, no_browser: bool, port: int, choice: Choice) -> None:
    """Open the operators' page: it is served on this machine alone, and acts with your AWS rights.

    The link works once, in one browser. The page ends with Ctrl-C, or after 30 minutes without use.

    \b
    Examples:
      jitr page --local
      jitr page --read-only --no-browser
    """
    if any(find_spec(each) is None for each in _NEEDED):
        raise InputError("`jitr page` needs two packages more: pip install 'jitr[page]'")
    from jitr_page.server import serve

    serve(replace(choice.anew(), read_only=read_only, tool=PAGE).deployment(), port=port, browser=not no_browser)
