"""``jitr lists history``: how a list came to be."""

import click

from jitr.services.lists.device_lists import DeviceLists
from jitr_cli.console import completion
from jitr_cli.console.options import AT_MOST, stack_options
from jitr_cli.console.output import emit, json_option, note, table
from jitr_operations.deployment import Choice
from jitr_operations.lists import editing
from jitr_operations.lists.history import changes
from jitr_operations.table import table_of


@click.command("history")
@click.argument("name", shell_complete=completion.list_names)
@click.option("--limit", default=20, show_default=True, type=AT_MOST, help="At most so many changes.")
@stack_options
@json_option
def history(name: str, limit: int, choice: Choice, as_json: bool) -> None:
    """Show how the list NAME was made, the newest change first: imports and single edits, who, when and why.

    For an import it shows rows, file and signers. Files uploaded to the bucket are included; changes from before this
    was recorded are not. `jitr history` shows all changes.

    \b
    Example:
      jitr lists history line-a-2026
    """
    found = changes(table_of(choice.deployment()), name, limit)
    if not found:
        editing.existing(DeviceLists(table_of(choice.deployment())), name)
    columns = ("when", "how", "rows", "what", "sha256", "signed by", "by", "why")
    emit(as_json, [each.to_json() for each in found], lambda: table(columns, [each.cells() for each in found]))
    if not found:
        note(f"Nothing is noted of list {name}.")
