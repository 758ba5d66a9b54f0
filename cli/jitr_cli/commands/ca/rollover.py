"""``jitr ca rollover``: how far the devices of a CA have come to its successor, and the end of it."""

from pathlib import Path

import click

from jitr.text import counted
from jitr_cli.commands.ca.manage import FOLLOWS, changed_json, changed_text
from jitr_cli.console import completion, output
from jitr_cli.console.bars import bar_lines
from jitr_cli.console.options import FILE, stack_options
from jitr_operations.cas import succession
from jitr_operations.cas.succession import RolloverCa
from jitr_operations.deployment import Choice
from jitr_operations.fleet import rollover as operation
from jitr_operations.fleet.matching import DeviceKind, Side
from jitr_operations.fleet.rollover import FIRST, Rollover
from jitr_operations.table import now

_KINDS = [each.value for each in DeviceKind]
_THEN = "Until it is ACTIVE again, `jitr fleet check` reports its devices as hold: chain.ca-inactive."


@click.command()
@click.argument("old", shell_complete=completion.ca_aliases)
@click.argument("new", shell_complete=completion.ca_aliases)
@click.option("--export", "file", type=FILE, metavar="FILE", help="Write who has not come as a device list, CSV.")
@click.option(
    "--of", "kind", type=click.Choice(_KINDS), metavar="KIND", help=f"Whom --export writes: {', '.join(_KINDS)}."
)
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@click.option("--finish", is_flag=True, help="Then make OLD INACTIVE: no new device of it is registered.")
@click.option("--message", "-m", metavar="TEXT", help="Why, for the history; goes with --finish.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@stack_options
@output.json_option
def rollover(
    old: str,
    new: str,
    file: Path | None,
    kind: str | None,
    force: bool,
    finish: bool,
    message: str | None,
    yes: bool,
    choice: Choice,
    as_json: bool,
) -> None:
    """Show how far devices have come from the CA OLD to its successor NEW, and when the last one will have.

    OLD and NEW are aliases in the rules in force, caCertificateIds, their first 8 digits or more, or certificate files.

    A device is what shares a public key or a granted thing, whatever names its certificates have. It is in with a CA if
    a certificate of it is ACTIVE and has not expired. The pace is the mean of the last four weeks; there is none in the
    first two days.

    --finish is undone by `jitr ca activate`.

    \b
    Examples:
      jitr ca rollover factory-a factory-b
      jitr ca rollover factory-a factory-b --export not-yet.csv
      jitr ca rollover factory-a factory-b --export leftover.csv --of both
      jitr ca rollover factory-a factory-b --finish
    """
    _require_sense(file, kind, message, force=force, finish=finish, yes=yes)
    deployment = choice.deployment()
    if finish:
        deployment.announce()
    pair = succession.pair_of(deployment, old, new)
    if finish:
        succession.require_successor(pair)
    with operation.rollover(deployment, pair, now()) as found:
        document = found.to_json()
        exported = None if file is None else found.export(file, DeviceKind(kind or DeviceKind.OLD_ONLY), force=force)
        if exported is not None:
            document["exported"] = {"file": file, "rows": exported}
        if not as_json:
            _show(found)
            if exported is not None:
                output.note(f"Wrote {counted(exported, 'certificate')} to {file}.")
    if finish:
        _ask(found, yes)
        succession.finish(deployment, pair, message)
        document["finished"] = changed_json(pair.old.ca, "INACTIVE")
    output.emit(as_json, document, changed_text(pair.old.ca.words, pair.old.ca.status, "INACTIVE") if finish else "")


def _require_sense(
    file: Path | None, kind: str | None, message: str | None, *, force: bool, finish: bool, yes: bool
) -> None:
    if force and file is None:
        raise click.UsageError("--force goes with --export: no other file is written.")
    if kind is not None and file is None:
        raise click.UsageError("--of goes with --export: it says which devices are written.")
    if message is not None and not finish:
        raise click.UsageError("--message goes with --finish: nothing else is written into the history.")
    if yes and not finish:
        raise click.UsageError("--yes goes with --finish: nothing else is asked.")


def _ask(found: Rollover, yes: bool) -> None:
    old, missing = found.pair.old, found.counts.old_only
    if old.ca.status != "ACTIVE":
        return
    output.note(f"{FOLLOWS}\n{_THEN}")
    told = f"{counted(missing, 'device')} {'has' if missing == 1 else 'have'} not come to its successor."
    output.confirm(f"{told} Make the CA {old.ca.words} INACTIVE?", yes)


def _show(found: Rollover) -> None:
    counts, pair = found.counts, found.pair
    for label, ca in (("from", pair.old), ("to", pair.new)):
        click.echo(f"{label:<4} {output.safe(ca.words)}, {ca.ca.status}, ends {ca.not_after:%Y-%m-%d}")
    output.table(
        ("devices in with", "how many"),
        [
            ("the old CA only", counts.old_only),
            ("both", counts.both),
            ("the new CA only", counts.new_only),
            ("neither", counts.neither),
        ],
    )
    by_thing = counts.came - counts.came_by_key
    click.echo(
        f"{counts.came} of {counts.came + counts.old_only} have come: "
        f"{counts.came_by_key} known by their key, {by_thing} by their thing"
    )
    if counts.came:
        click.echo("Came in the week from")
        for line in bar_lines({f"{day}": count for day, count in found.pace.weeks.items()}):
            click.echo(f"  {line}")
    click.echo(found.outlook())
    _warn(found)
    if counts.old_only:
        click.echo("Have not come, those that end first:")
    for each in found.first_stragglers:
        name = output.safe(each.common_name or "(no common name)")
        click.echo(f"  {each.certificate_id[:12]}  {name}  {(each.not_after or '')[:10]}".rstrip())
    if counts.old_only > FIRST:
        output.note("  … and more (--export writes all)")


def _warn(found: Rollover) -> None:
    old, new = found.pair.old, found.pair.new
    if not new.takes_devices:
        output.warn(f"no device can come: the CA {new.words} is {new.ca.status}, auto-registration {_switch(new)}")
    if found.held:
        output.warn(f"{counted(found.held, 'device')} of {new.words} on hold: `jitr held ls --ca {new.ca.id[:12]}`")
    for side, ca in ((Side.OLD, old), (Side.NEW, new)):
        if count := found.not_on_record[side]:
            told = f"{counted(count, 'ACTIVE certificate')} of {ca.words} not on record, and not counted"
            output.warn(f"{told}: `jitr fleet check --ca {ca.ca.id[:12]} --only unknown`")


def _switch(ca: RolloverCa) -> str:
    return "on" if ca.ca.auto_registration == "ENABLE" else "off"
