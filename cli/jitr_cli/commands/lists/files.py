"""Device lists as a whole: import, check, export, delete and restore them."""

import sys
from pathlib import Path
from typing import Any

import click

from jitr.errors import InputError
from jitr.services.lists.device_lists import KEPT_DAYS, DeviceLists
from jitr.services.lists.kept_rows import KeptRows
from jitr.services.lists.list_import import MERGE, REPLACE
from jitr.services.lists.signers import SignerStore
from jitr.text import counted
from jitr_cli.commands.lists.manifest_options import manifest_options
from jitr_cli.commands.lists.options import where_option
from jitr_cli.console import completion
from jitr_cli.console.options import FILE, FILE_OR_OUTPUT, refuse_yes_without_questions, stack_options
from jitr_cli.console.output import ask, confirm, emit, json_option, note
from jitr_operations.deployment import Choice
from jitr_operations.lists import check as list_check
from jitr_operations.lists import editing, fitting, importing
from jitr_operations.lists import files as list_files
from jitr_operations.lists.deny_lists import ends_recalls
from jitr_operations.lists.exporting import ListExport
from jitr_operations.lists.manifests import ManifestChoice
from jitr_operations.lists.where import RowFilter
from jitr_operations.table import table_of


@click.command("import")
@click.argument("name", shell_complete=completion.list_names)
@click.argument("file", type=FILE)
@click.option("--merge", is_flag=True, help="Add the rows to those there (default).")
@click.option("--replace", is_flag=True, help="Put them in place of all rows there, at once.")
@click.option("--overwrite", is_flag=True, help="With --merge: rows may take the place of other devices' rows.")
@click.option("--dry-run", is_flag=True, help="Check the file, say what it would do, and change nothing.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@manifest_options
@stack_options
@json_option
def import_(
    name: str,
    file: Path,
    merge: bool,
    replace: bool,
    overwrite: bool,
    dry_run: bool,
    yes: bool,
    manifest: ManifestChoice,
    choice: Choice,
    as_json: bool,
) -> None:
    """Import a file of devices into the device list NAME, which is made if it does not exist.

    FILE is a CSV file, a vendor's manifest, or certificates: in one file, in a ZIP or tar file, in a folder. The
    command recognises it by its content. A signed manifest is verified against the signers that are kept (`jitr lists
    signers`), or against those of --signer.

    The whole file is checked before anything is written. If an import is interrupted, run the same command again: it
    continues. `jitr lists restore NAME` brings back what --replace removed.

    A file of any size is taken. One uploaded to the bucket may have 512 MB and 10,000,000 rows.

    \b
    Examples:
      jitr lists import line-a-2026 devices.csv
      jitr lists import line-a-2026 devices.csv --replace --dry-run
      jitr lists import sensors-2026 lot-17.json --thing-name 'snr-{unique_id}'
      jitr lists import sensors-2026 certificates/
    """
    if merge and replace:
        raise click.UsageError("--merge and --replace exclude each other: say which.")
    if replace and overwrite:
        raise click.UsageError("--overwrite goes with --merge: --replace leaves no row in its place.")
    refuse_yes_without_questions(dry_run, yes)
    fitting.check_name(name)
    deployment = choice.deployment()
    table_ = table_of(deployment)
    if not dry_run:
        ask(fitting.question_about_name(table_, name), yes)
    opener = manifest.opener(SignerStore(table_).believed())
    with KeptRows() as kept, list_files.source(file, opener, kept=None if dry_run else kept) as source:
        looked = importing.look(
            deployment,
            name,
            source,
            mode=REPLACE if replace else MERGE,
            overwrite=overwrite,
            compare=dry_run or not replace,
            size=list_files.size(file),
        )
        list_files.tell(str(file), looked.checked.said)
        fitting.tell(looked.fit)
        if dry_run:
            _show_dry_run(looked, file, importing.questions_to_come(deployment, looked), as_json)
            return
        deployment.announce("dynamodb")
        imported = importing.import_agreed(deployment, looked, lambda question: confirm(f"{question} Go on?", yes))
    _show_imported(looked, file, imported, as_json)
    list_files.let_go(table_)


def _show_dry_run(looked: importing.ImportPreview, file: Path, questions: list[str], as_json: bool) -> None:
    for each in questions:
        note(f"It would be asked: {each}")
    told = looked.told
    document = _document(looked, dry_run=True) | told.document | {"questions": questions}
    emit(as_json, document, f"Would import {told.rows} of {file} into list {looked.name} ({looked.mode}){told.effects}")


def _show_imported(looked: importing.ImportPreview, file: Path, imported: importing.Imported, as_json: bool) -> None:
    told = imported.told
    document = _document(looked, dry_run=False) | told.document | {"resumed_from": imported.resumed_from}
    emit(as_json, document, f"Imported {told.rows} of {file} into list {looked.name} ({looked.mode}){told.effects}")
    if looked.mode == REPLACE and looked.before is not None and looked.before.rows:
        note(f"To have it back as it was, within {KEPT_DAYS} days: jitr lists restore {looked.name}")


def _document(looked: importing.ImportPreview, *, dry_run: bool) -> dict[str, Any]:
    checked = looked.checked
    return {
        "list": looked.name,
        "rows": checked.rows,
        "mode": looked.mode,
        "dry_run": dry_run,
        "read_as": list(checked.said),
        "fit": looked.fit.to_json(),
    }


@click.command("check")
@click.argument("what", metavar="NAME|FILE", shell_complete=completion.list_names)
@click.option("--for", "name", metavar="NAME", help="The list that FILE is for; else its name without .csv.")
@click.option(
    "--against", default="rules", show_default=True, metavar="rules|records|CA", help="What to compare the rows with."
)
@stack_options
@json_option
@click.pass_context
def check(context: click.Context, what: str, name: str | None, against: str, choice: Choice, as_json: bool) -> None:
    """Count how many rows of a list fit the rules, match a device on record, or can match nothing.

    With `rules`, rows are compared with the patterns of the rules in force; with `records`, with the devices on record;
    with a CA (its alias, caCertificateId, the first 8 digits of that, or its file), with both, but only for devices of
    that CA. Exit code 1 means that a row can match nothing, or is doubtful and on a list that a deny rule names: it
    looks like a pattern, several devices, or a slip.

    \b
    Examples:
      jitr lists check recall-17 --against records
      jitr lists check devices.csv --for line-a-2026
    """
    found = list_check.check(table_of(choice.deployment()), what, name, against)
    told = "\n".join([f"{found.sentence()}.", *(f"  {each}" for each in found.remarks())])
    emit(as_json, {"list": found.name, "against": against, **found.to_json()}, told)
    context.exit(1 if found.nothing or found.question() else 0)


@click.command("export")
@click.argument("name", shell_complete=completion.list_names)
@click.argument("file", type=FILE_OR_OUTPUT)
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@where_option
@stack_options
@json_option
def export(name: str, file: Path, force: bool, conditions: tuple[str, ...], choice: Choice, as_json: bool) -> None:
    """Write the list NAME to a CSV file that imports back to the same list; - is standard output.

    Spreadsheets show its cells as they are: none is run as a formula.

    \b
    Examples:
      jitr lists export line-a-2026 line-a-2026.csv
      jitr lists export line-a-2026 recalled.csv --where attr.group_id=359SCE55NV38H3CB
      jitr lists export line-a-2026 - | wc -l
    """
    to_output = str(file) == "-"
    if to_output and as_json:
        raise click.UsageError("--json and - exclude each other: both write to standard output.")
    if to_output and force:
        raise click.UsageError("--force goes with FILE: standard output replaces nothing.")
    export_ = ListExport(DeviceLists(table_of(choice.deployment())), name, RowFilter(conditions))
    if to_output:
        sys.stdout.buffer.writelines(export_.pieces())
        sys.stdout.buffer.flush()
        note(f"Wrote {counted(export_.count, 'row')}.")
    else:
        export_.write(file, force=force)
        count = export_.count
        emit(as_json, {"list": name, "rows": count, "file": file}, f"Wrote {counted(count, 'row')} to {file}")


@click.command("delete")
@click.argument("name", shell_complete=completion.list_names)
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@stack_options
@json_option
def delete(name: str, yes: bool, choice: Choice, as_json: bool) -> None:
    """Delete the list NAME. For rules that refer to it, it is empty from then on.

    \b
    Example:
      jitr lists delete line-a-2025
    """
    deployment = choice.deployment()
    device_lists = DeviceLists(table_of(deployment))
    info = editing.existing(device_lists, name)
    deployment.announce("dynamodb")
    ends = ends_recalls(table_of(deployment), name)
    confirm(f"Delete list {name} with {counted(info.rows, 'row')}?{ends}", yes)
    editing.delete(deployment, info)
    emit(as_json, {"list": name, "deleted": True}, f"List {name} is deleted")
    note(f"To have it back, within {KEPT_DAYS} days: jitr lists restore {name}")
    list_files.let_go(table_of(deployment))


@click.command("restore")
@click.argument("name", shell_complete=completion.list_names)
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@stack_options
@json_option
def restore(name: str, yes: bool, choice: Choice, as_json: bool) -> None:
    """Put the list NAME in force again as it was before it was replaced or deleted last.

    That state is kept for 7 days. Edits made since are undone as well. The present state is kept in turn, so restoring
    again undoes the restore.

    \b
    Example:
      jitr lists restore line-a-2026
    """
    deployment = choice.deployment()
    device_lists = DeviceLists(table_of(deployment))
    kept = device_lists.kept().get(name)
    if kept is None:
        raise InputError(
            f"nothing is kept of list {name}: what a list was is kept for {KEPT_DAYS} days after it was replaced or "
            "deleted. Where it was uploaded to the bucket, earlier versions of the object may be there"
        )
    deployment.announce("dynamodb")
    shown = device_lists.all().get(name)
    was = counted(kept["rows"], "row")
    there = "there is none now" if shown is None else f"it has {counted(shown.rows, 'row')} now"
    confirm(f"Put list {name} in force as it was until {kept['at']}, with {was} ({there})?", yes)
    info = editing.restore(deployment, name, shown, kept)
    rows = None if info is None else info.rows
    emit(
        as_json, {"list": name, "rows": rows, "until": kept["at"]}, f"List {name} has {counted(rows or 0, 'row')} again"
    )
