"""Rows of device lists: see, add and remove them."""

from itertools import islice

import click

from jitr.devicelists.csv.reader import columns_of
from jitr.devicelists.rows import ListRow
from jitr.errors import InputError
from jitr.services.lists.device_lists import DeviceLists
from jitr.services.lists.evidence import fit as fit_of
from jitr.text import counted
from jitr.unseen import quote
from jitr_cli.commands.lists.options import where_option
from jitr_cli.console import completion
from jitr_cli.console.options import AT_MOST, stack_options
from jitr_cli.console.output import ask, emit, json_option, note, table
from jitr_operations.deployment import Choice
from jitr_operations.lists import editing, fitting
from jitr_operations.lists.notes import has_note
from jitr_operations.lists.order import in_order
from jitr_operations.lists.where import RowFilter
from jitr_operations.table import now, table_of

_message = click.option("--message", "-m", metavar="TEXT", help="Why; `jitr lists history` shows it.")


@click.command("ls")
@stack_options
@json_option
def ls(choice: Choice, as_json: bool) -> None:
    """Show the device lists there are.

    \b
    Example:
      jitr lists ls
    """
    found = DeviceLists(table_of(choice.deployment())).all().values()
    document = [
        {"list": each.name, "rows": each.rows, "edition": each.head.edition, "changed_at": each.changed_at}
        for each in found
    ]
    rows = [(each.name, each.rows, each.changed_at) for each in found]
    emit(as_json, document, lambda: table(("list", "rows", "changed"), rows))


@click.command("show")
@click.argument("name", shell_complete=completion.list_names)
@click.option("--limit", default=100, show_default=True, type=AT_MOST, help="At most so many rows.")
@where_option
@click.option("--note", "text", metavar="TEXT", help="Only rows with this anywhere in their notes.")
@stack_options
@json_option
def show(name: str, limit: int, conditions: tuple[str, ...], text: str | None, choice: Choice, as_json: bool) -> None:
    """Show the rows of the list NAME, by name, with numbers as numbers.

    Of a list with more rows than --limit some are shown, whichever are found first.

    \b
    Examples:
      jitr lists show line-a-2026 --limit 20
      jitr lists show line-a-2026 --where attr.batch=7
      jitr lists show line-a-2026 --note "hall 2"
    """
    where = RowFilter(conditions)
    device_lists = DeviceLists(table_of(choice.deployment()))
    info = editing.existing(device_lists, name)
    chosen = where.of(device_lists.rows(name, info.head.generation))
    rows = in_order(islice((each for each in chosen if text is None or has_note(each, text)), limit))
    columns = columns_of(rows)
    plain = [row.to_json() for row in rows]
    document = {"list": name, "rows": info.rows, "changed_at": info.changed_at, "shown": plain}
    emit(as_json, document, lambda: table(columns, [[each.get(column) for column in columns] for each in plain]))
    if (where or text) and len(rows) == limit:
        note(f"The first {limit} that were found; --limit shows more, `jitr lists export --where` writes all.")
    elif info.rows > len(rows) and not (where or text):
        note(f"{len(rows)} of {counted(info.rows, 'row')}; --limit shows more, `jitr lists export` writes all.")


@click.command("add")
@click.argument("name", shell_complete=completion.list_names)
@click.argument("values", nargs=-1, required=True, metavar="COLUMN=VALUE...")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@_message
@stack_options
@json_option
def add(name: str, values: tuple[str, ...], yes: bool, message: str | None, choice: Choice, as_json: bool) -> None:
    """Add one device to the list NAME, in place of a row with the same key. The list is made if it does not exist.

    \b
    Examples:
      jitr lists add line-a-2026 common_name=snr-0001 attr.batch=7
      jitr lists add recall-17 ca=factory-a serial_number=1f03 --message "bad radio, ticket 4711"
    """
    fitting.check_name(name)
    row = _row(values)
    deployment = choice.deployment()
    deployment.announce("dynamodb")
    ask(fitting.question_about_name(table_of(deployment), name), yes)
    fit = fit_of(table_of(deployment), name, now())
    fit.add(row)
    if fit.nothing or fit.doubtful:
        fitting.tell(fit)
    ask(fitting.question_about_rows(fit), yes)
    is_new = name not in DeviceLists(table_of(deployment)).all()
    editing.add(deployment, name, row, message)
    if is_new:
        note(f"List {name} is new: there was none of this name.")
    emit(as_json, {"list": name, "row": row.to_json()}, f"{row.found_by()[0].value} is on list {name}")
    note("A held device that this concerns is decided again within a minute.")


@click.command("remove")
@click.argument("name", shell_complete=completion.list_names)
@click.argument("values", nargs=-1, required=True, metavar="KEY=VALUE...")
@_message
@stack_options
@json_option
@click.pass_context
def remove(
    context: click.Context, name: str, values: tuple[str, ...], message: str | None, choice: Choice, as_json: bool
) -> None:
    """Take one device off the list NAME, found by one of its keys.

    Exit code 1 means that it is not on the list, 2 that there is no such list. A device that is in already stays in.

    \b
    Examples:
      jitr lists remove line-a-2026 common_name=snr-0001
      jitr lists remove recall-17 ca=factory-a serial_number=1f03
    """
    key = _row(values).found_by()[0]
    deployment = choice.deployment()
    deployment.announce("dynamodb")
    removed = editing.remove(deployment, name, key, message)
    row = None if removed is None else removed.to_json()
    told = f"{key.value} was not on list {name}" if removed is None else f"{key.value} is off list {name}"
    emit(as_json, {"list": name, "removed": row}, told)
    context.exit(1 if removed is None else 0)


def _row(values: tuple[str, ...]) -> ListRow:
    columns: dict[str, str] = {}
    for each in values:
        name, equals, value = each.partition("=")
        if not equals:
            raise InputError(f"{quote(each)} is not COLUMN=VALUE, as in common_name=snr-0001")
        if name in columns:
            raise InputError(f"{name} is given twice")
        columns[name] = value
    return editing.row_of(columns)
