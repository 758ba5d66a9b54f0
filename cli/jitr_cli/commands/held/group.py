"""``jitr held``: the devices that knock and are not let in yet."""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from difflib import get_close_matches
from itertools import islice

import click

from jitr.aws.dynamodb.changes import change_item, everyone_wanted
from jitr.aws.dynamodb.decisions import newest, newest_of
from jitr.aws.dynamodb.rulebook import Rulebook
from jitr.aws.dynamodb.table import Table
from jitr.decision.decide import OperatorWord
from jitr.errors import InputError
from jitr.reasons import Verdict
from jitr.records.record import Record, knock_interval
from jitr.rules.model import Rules
from jitr.times import rfc3339
from jitr_cli.console import completion
from jitr_cli.console.filters import ca_option, near_rule, of_ca, reason_option, with_reason
from jitr_cli.console.options import stack_options
from jitr_cli.console.output import confirm, emit, json_option, note, progress, table, warn
from jitr_cli.console.since import since_option
from jitr_operations.decisions import words
from jitr_operations.decisions.basis import basis_of
from jitr_operations.decisions.knocking import how_often
from jitr_operations.decisions.today import Today, reasons_text
from jitr_operations.deployment import Choice, Deployment
from jitr_operations.devices.registry import Registry
from jitr_operations.records import common_name
from jitr_operations.table import now, now_text, operator, table_of


@click.group("held", no_args_is_help=True)
def held() -> None:
    """Devices on hold."""


@held.command("ls")
@reason_option("Only those held for this reason code.")
@ca_option
@click.option(
    "--rule", metavar="NAME", shell_complete=completion.rule_names, help="Only those that this rule nearly let in."
)
@since_option
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1), help="At most so many.")
@stack_options
@json_option
def ls(
    reason: str | None,
    ca: str | None,
    rule: str | None,
    since: datetime | None,
    limit: int,
    choice: Choice,
    as_json: bool,
) -> None:
    """Show held devices, the newest first: which, since when, when they are due, about how often they knock, and why.

    Reasons are those on record. Where rules or lists were edited since without letting the device in, they are told
    with the version that they are of; `jitr explain` has today's.

    \b
    Examples:
      jitr held ls
      jitr held ls --rule line-a-sensors --ca factory-a --since 24h
      jitr held ls --reason allow.unmatched --json
    """
    deployed = table_of(choice.deployment())
    filters = (of_ca(deployed, ca), with_reason(reason), near_rule(rule))
    records = newest_of(deployed, (Verdict.HOLD,), since)
    found = list(islice((each for each in records if all(wanted(each) for wanted in filters)), limit))
    basis = basis_of(deployed)
    emit(as_json, [_document(each, basis(each)) for each in found], lambda: _show(found, basis))
    if len(found) == limit:
        note(f"These are the newest {limit}; --limit shows more.")


@held.command("admit")
@click.argument("device")
@click.option(
    "--rule",
    required=True,
    metavar="NAME",
    shell_complete=completion.allow_rule_names,
    help="The allow rule whose grant it gets.",
)
@click.option("--message", "-m", metavar="TEXT", help="Why, for the record.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@stack_options
@json_option
def admit(device: str, rule: str, message: str | None, yes: bool, choice: Choice, as_json: bool) -> None:
    """Let one held DEVICE in under a rule that does not match it: your word stands in place of the matching.

    Certificate checks, deny rules and guards still hold: what would keep the device out all the same is told before
    you are asked. Who, when and why are recorded.

    \b
    Example:
      jitr held admit 3f9c0c6f --rule line-a-sensors --message "label misprinted"
    """
    deployment = choice.deployment()
    deployed = table_of(deployment)
    _require_rule(rule, Rulebook(deployed).in_force(deployed.heads()))
    word = OperatorWord(Verdict.ADMIT, operator(deployment), now_text(), rule, message)
    _speak(device, word, deployment, yes=yes, as_json=as_json, warn_of=_still_against)


@held.command("reject")
@click.argument("device")
@click.option("--message", "-m", metavar="TEXT", help="Why, for the record.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@stack_options
@json_option
def reject(device: str, message: str | None, yes: bool, choice: Choice, as_json: bool) -> None:
    """Reject one held DEVICE: its certificate becomes INACTIVE. `jitr decisions reopen` undoes it.

    \b
    Example:
      jitr held reject 3f9c0c6f --message "stolen from the line"
    """
    deployment = choice.deployment()
    word = OperatorWord(Verdict.REJECT, operator(deployment), now_text(), None, message)
    _speak(device, word, deployment, yes=yes, as_json=as_json)


@held.command("recheck")
@click.argument("devices", nargs=-1, metavar="[DEVICE]...")
@click.option("--all", "everyone", is_flag=True, help="Every held device.")
@reason_option("With --all: only those held for this reason code.")
@stack_options
@json_option
def recheck(devices: tuple[str, ...], everyone: bool, reason: str | None, choice: Choice, as_json: bool) -> None:
    """Decide held devices again now, without waiting for their next knock.

    \b
    Examples:
      jitr held recheck 3f9c0c6f
      jitr held recheck --all --reason apply.iot-policy-missing
    """
    if bool(devices) == everyone:
        raise click.UsageError("name the devices, or say --all.")
    deployment = choice.deployment()
    deployed = table_of(deployment)
    if everyone and reason is None:
        deployment.announce("dynamodb")
        deployed.put(change_item(everyone_wanted(now_text())))
        emit(as_json, {"rechecked": "all"}, "All held devices are being decided again, as fast as the queue has room")
        return
    deployment.announce("sqs")
    if everyone:
        of_that = with_reason(reason)
        records = (each for each in newest(deployed, Verdict.HOLD) if of_that(each))
    else:
        records = (_held(words.decided(each, deployment, deployed)) for each in devices)
    count = 0
    with progress("Rechecking", None if everyone else len(devices)) as advance:
        for record in records:
            words.recheck(deployed, deployment, record, now())
            count += 1
            advance(1)
    emit(as_json, {"rechecked": count}, f"{count} held devices are decided again now")


def _speak(
    device: str,
    word: OperatorWord,
    deployment: Deployment,
    *,
    yes: bool,
    as_json: bool,
    warn_of: Callable[[Deployment, Table, Record, OperatorWord], Iterable[str]] = lambda *_: (),
) -> None:
    deployed = table_of(deployment)
    record = _held(words.decided(device, deployment, deployed))
    for each in warn_of(deployment, deployed, record, word):
        warn(each)
    deployment.announce("sqs")
    what = f"Admit {_told(record)} under rule {word.rule}?" if word.rule else f"Reject {_told(record)}?"
    confirm(what, yes)
    words.say(deployed, deployment, record, word, now())
    document = {"certificate_id": record.certificate_id, "word": word.to_json()}
    emit(as_json, document, f"Said. `jitr decisions show {record.certificate_id[:12]}` tells what came of it.")


def _still_against(deployment: Deployment, deployed: Table, record: Record, word: OperatorWord) -> Iterator[str]:
    """Yield what will keep a device out although an operator says that it may come in."""
    decision = Today(deployment, deployed).under_word(record, word, now())
    if decision is None:
        yield f"its certificate cannot be read, so it will be held again: {_why(record)}"
    elif decision.verdict is Verdict.HOLD:
        yield f"your word does not let it in, it will be held again: {reasons_text(decision)}"
    elif decision.verdict is Verdict.REJECT:
        yield f"your word does not let it in, it will be rejected: {reasons_text(decision)}"
    found = Registry(deployment.client("iot")).get(record.certificate_id)
    if found is None:
        yield "AWS IoT knows no such certificate any more: nothing comes of it until the device knocks again"
    elif found.status != "PENDING_ACTIVATION":
        yield f"AWS IoT holds the certificate as {found.status}, and only one that is PENDING_ACTIVATION is admitted"


def _why(record: Record) -> str:
    return "; ".join(f"{reason['code']}: {reason['message']}" for reason in record.reasons)


def _held(record: Record) -> Record:
    if record.decision is Verdict.HOLD:
        return record
    raise InputError(f"certificate {record.certificate_id[:12]} is not on hold: the decision is {record.decision}")


def _require_rule(name: str, rules: Rules) -> None:
    names = [rule.name for rule in rules.allow]
    if name not in names:
        near = get_close_matches(name, names, n=1)
        meant = f"did you mean {near[0]}?" if near else f"there are: {', '.join(names) or 'none'}"
        raise InputError(f"{rules.source} has no allow rule {name}: {meant}")


def _told(record: Record) -> str:
    name = common_name(record)
    return f"certificate {record.certificate_id[:12]}" + (f" ({name})" if name else "")


def _document(record: Record, basis: str | None) -> dict[str, object]:
    interval = knock_interval(record)
    return {
        "certificate_id": record.certificate_id,
        "common_name": common_name(record),
        "ca_certificate_id": record.ca_certificate_id,
        "since": record.since,
        "due": record.due,
        "knocks": record.knocks,
        "knocked_at": record.counted_at,
        "knocks_every_seconds": None if interval is None else round(interval.total_seconds()),
        "reasons": [dict(each) for each in record.reasons],
        "near_misses": [dict(each) for each in record.near_misses],
        "reasons_are": basis,
    }


def _show(records: list[Record], basis: Callable[[Record], str | None]) -> None:
    if not records:
        note("No device is on hold.")
        return
    rows = [
        (
            each.certificate_id[:12],
            common_name(each),
            rfc3339(each.since),
            "" if each.due is None else rfc3339(each.due),
            how_often(each),
            _why(each) + (f" ({old})" if (old := basis(each)) else ""),
        )
        for each in records
    ]
    table(("certificate", "common name", "since", "due", "knocks", "why"), rows)
