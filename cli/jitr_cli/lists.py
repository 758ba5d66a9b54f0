"""``jitr lists``: who may get in, by name, serial number, certificate or key."""

import secrets
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path

import click

from jitr.aws.device_lists import DeviceLists, ListInfo
from jitr.aws.table import Conflict
from jitr.duplicates import Duplicates
from jitr.errors import InputError
from jitr.list_row import read_row
from jitr.lists import LIST_NAME, ListRow
from jitr.lists_csv import Reader
from jitr_cli.deployment import Choice, stack_options
from jitr_cli.output import confirm, emit, json_option, note, progress, table
from jitr_cli.table import now, now_text, table_of

# How long the rows of a replaced list stay readable for functions that began with them.
OLD_GENERATION = timedelta(hours=1)
_PIECE = 1 << 16  # bytes of a file read at once


@click.group("lists", no_args_is_help=True)
def lists() -> None:
    """Import and edit device lists."""


@lists.command("import")
@click.argument("name")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--merge", "mode", flag_value="merge", default=True, help="Add the rows to those there (default).")
@click.option("--replace", "mode", flag_value="replace", help="Put them in place of all rows there, at once.")
@click.option("--dry-run", is_flag=True, help="Check the file and change nothing.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@stack_options
@json_option
def import_(name: str, file: Path, mode: str, dry_run: bool, yes: bool, choice: Choice, as_json: bool) -> None:
    """Import a CSV file into the device list NAME, which is made if it does not exist.

    The whole file is checked before anything is written.

    \b
    Example:
      jitr lists import line-a-2026 devices.csv
    """
    _check_name(name)
    count = _check_file(file)
    deployment = choice.deployment()
    device_lists = DeviceLists(table_of(deployment))
    before = device_lists.all().get(name)
    if not dry_run:
        deployment.announce("dynamodb")
        if mode == "replace" and before is not None and count < before.rows / 2:
            confirm(f"This shrinks list {name} from about {before.rows} rows to {count}. Go on?", yes)
        work = _replace if mode == "replace" else _merge
        with progress(f"Importing {file.name}", count) as advance:
            work(device_lists, name, (each.row for each in _reader(file)), before, advance)
    done = "would be" if dry_run else "were"
    document = {"list": name, "rows": count, "mode": mode, "dry_run": dry_run}
    emit(as_json, document, f"{count} rows of {file} {done} imported into list {name} ({mode})")


@lists.command("add")
@click.argument("name")
@click.argument("values", nargs=-1, required=True, metavar="COLUMN=VALUE...")
@stack_options
@json_option
def add(name: str, values: tuple[str, ...], choice: Choice, as_json: bool) -> None:
    """Add one device to the list NAME, in place of a row with the same key.

    \b
    Examples:
      jitr lists add line-a-2026 common_name=snr-0001 attr.batch=7
      jitr lists add recall-17 ca=factory-a serial_number=1f03
    """
    _check_name(name)
    row = _row(values)
    deployment = choice.deployment()
    deployment.announce("dynamodb")
    _edit(
        name,
        lambda: DeviceLists(table_of(deployment)).merge(
            name, [row], at=now_text(), new_generation=_generation(), progress=lambda _count: None
        ),
    )
    emit(as_json, {"list": name, "row": row.to_json()}, f"{row.found_by()[0].value} is on list {name}")
    note("A held device that this concerns gets in at its next knock.")


@lists.command("ls")
@stack_options
@json_option
def ls(choice: Choice, as_json: bool) -> None:
    """Show the device lists there are."""
    found = DeviceLists(table_of(choice.deployment())).all().values()
    document = [
        {"list": each.name, "rows": each.rows, "edition": each.head.edition, "changed_at": each.changed_at}
        for each in found
    ]
    rows = [(each.name, each.rows, each.changed_at) for each in found]
    emit(as_json, document, lambda: table(("list", "rows", "changed"), rows))


def _merge(
    device_lists: DeviceLists,
    name: str,
    rows: Iterable[ListRow],
    _before: ListInfo | None,
    advance: Callable[[int], None],
) -> None:
    _edit(name, lambda: device_lists.merge(name, rows, at=now_text(), new_generation=_generation(), progress=advance))


def _replace(
    device_lists: DeviceLists,
    name: str,
    rows: Iterable[ListRow],
    before: ListInfo | None,
    advance: Callable[[int], None],
) -> None:
    _edit(name, lambda: device_lists.replace(name, rows, at=now_text(), generation=_generation(), progress=advance))
    if before is not None:
        expires_at = int((now() + OLD_GENERATION).timestamp())
        device_lists.forget(name, before.head.generation, expires_at=expires_at)


def _edit(name: str, edit: Callable[[], int]) -> None:
    try:
        edit()
    except Conflict:
        raise InputError(f"list {name} was edited by somebody else meanwhile: run the same command again") from None


def _check_name(name: str) -> None:
    if LIST_NAME.fullmatch(name) is None:
        raise InputError(f"{name!r} is not a list's name: letters, digits and _.- (at most 64, no sign first)")


def _check_file(file: Path) -> int:
    """How many rows a file has. Raises ListError with its problems, InputError for a file without rows."""
    reader = _reader(file, Duplicates())
    count = sum(1 for _ in reader)
    reader.raise_problems()
    if not count:
        raise InputError(f"{file} has no rows: to empty a list, delete it")
    return count


def _reader(file: Path, duplicates: Duplicates | None = None) -> Reader:
    return Reader(_pieces(file), source=str(file), duplicates=duplicates)


def _pieces(file: Path) -> Iterable[bytes]:
    with file.open("rb") as opened:
        while piece := opened.read(_PIECE):
            yield piece


def _row(values: tuple[str, ...]) -> ListRow:
    columns: dict[str, str] = {}
    for each in values:
        column, equals, value = each.partition("=")
        if not equals:
            raise InputError(f"{each!r} is not COLUMN=VALUE, as in common_name=snr-0001")
        if column in columns:
            raise InputError(f"{column} is given twice")
        columns[column] = value
    row = read_row(columns)
    if isinstance(row, ListRow):
        return row
    raise InputError("\n".join(f"{fault.column}: {fault.message}" if fault.column else fault.message for fault in row))


def _generation() -> str:
    return f"{now():%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
