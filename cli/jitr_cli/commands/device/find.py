"""``jitr device find | index``: devices searched by whatever somebody reads out of them."""

import click

from jitr.records.record import Record, common_name
from jitr.text import counted
from jitr_cli.console import output
from jitr_cli.console.options import stack_options
from jitr_operations.deployment import Choice
from jitr_operations.devices.search import find_devices, make_searchable


@click.command()
@click.argument("text")
@stack_options
@output.json_option
@click.pass_context
def find(context: click.Context, text: str, choice: Choice, as_json: bool) -> None:
    """Find devices by the beginning of a name, serial number, certificateId or key; any that ever knocked here.

    TEXT is compared without case. A serial number may be hex, with or without colons, or decimal; a name is a common
    name or a thing's. If a thing has that name, its certificates that never knocked are shown, too. Exit code 0 means
    that some were found, 1 that none was.

    \b
    Examples:
      jitr device find snr-00
      jitr device find 4f:2a:91
    """
    found = find_devices(choice.deployment(), text)
    document = {
        "devices": [_told(each) for each in found.records],
        "more": found.more,
        "without_record": list(found.without_record),
    }
    columns = ("certificateId", "common name", "decision", "thing", "serial number")
    output.emit(as_json, document, lambda: output.table(columns, [tuple(map(_cell, _row(e))) for e in found.records]))
    if found.more:
        output.note("There are more: give more of it.")
    for each in found.without_record:
        output.note(f"{each} never knocked here; AWS IoT has it: `jitr device show {each[:12]}`")
    if not found.records and not found.without_record:
        output.note(f"No device on record has anything that begins with {output.safe(text)}.")
        context.exit(1)


def _told(record: Record) -> dict[str, object]:
    facts = record.facts or {}
    return {
        "certificate_id": record.certificate_id,
        "common_name": common_name(record) or None,
        "decision": record.decision.value,
        "rule": record.rule,
        "thing": None if record.grant is None else record.grant.get("thing"),
        "serial_number": facts.get("serial_number"),
        "public_key_sha256": facts.get("public_key_sha256"),
    }


def _row(record: Record) -> tuple[object, ...]:
    told = _told(record)
    return tuple(told[each] for each in ("certificate_id", "common_name", "decision", "thing", "serial_number"))


def _cell(value: object) -> object:
    return "" if value is None else value


@click.command()
@stack_options
@output.json_option
def index(choice: Choice, as_json: bool) -> None:
    """Make devices findable that were decided by an earlier version, without search keys. Needed once, if at all.

    Update the stack first. If it is interrupted, run it again: it continues with the rest. A device that is decided
    again gets its search keys anyway.

    \b
    Example:
      jitr device index
    """
    deployment = choice.deployment()
    deployment.announce("dynamodb")
    done = make_searchable(deployment)
    told = f"{counted(done.made, 'device')} can be found now"
    if done.under_way:
        told += f"; {done.under_way} were being decided just then: run it again to be sure of them"
    output.emit(as_json, {"made": done.made, "under_way": done.under_way}, told)
