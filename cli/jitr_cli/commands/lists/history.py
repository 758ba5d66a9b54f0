"""``jitr lists history``: where a list's rows came from."""

import click

from jitr.services.lists.history import history as imports_of
from jitr_cli.console import completion
from jitr_cli.console.options import stack_options
from jitr_cli.console.output import emit, json_option, note, table
from jitr_operations.deployment import Choice
from jitr_operations.table import table_of


@click.command("history")
@click.argument("name", shell_complete=completion.list_names)
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1), help="At most so many imports.")
@stack_options
@json_option
def history(name: str, limit: int, choice: Choice, as_json: bool) -> None:
    """Show what was imported into the list NAME, the newest first: file, rows, who signed it, who imported it, when.

    Files that were dropped in the bucket are among them. Single rows that `jitr lists add` and `remove` edit are not,
    nor is what was imported before this was noted.

    \b
    Example:
      jitr lists history line-a-2026
    """
    found = imports_of(table_of(choice.deployment()), name, limit)
    rows = [
        (
            each.at,
            each.mode,
            each.rows,
            each.file,
            each.sha256[:16],
            ", ".join(s["name"] for s in each.signers),
            each.by,
        )
        for each in found
    ]
    columns = ("imported", "how", "rows", "file", "sha256", "signed by", "by")
    emit(as_json, [each.to_json() for each in found], lambda: table(columns, rows))
    if not found:
        note(f"Nothing is noted of list {name}.")
