"""``jitr held``: the devices that knock and are not let in yet."""

from itertools import islice

import click

from jitr.facts import CertificateFacts
from jitr.reasons import Verdict
from jitr.record import Record
from jitr.times import rfc3339
from jitr_cli.deployment import Choice, stack_options
from jitr_cli.output import emit, json_option, note, table
from jitr_cli.records import newest
from jitr_cli.table import table_of


@click.group("held", no_args_is_help=True)
def held() -> None:
    """Devices on hold."""


@held.command("ls")
@click.option("--reason", metavar="CODE", help="Only those held for this reason code.")
@click.option("--ca", metavar="ID", help="Only those of this caCertificateId (its beginning is enough).")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1), help="At most so many.")
@stack_options
@json_option
def ls(reason: str | None, ca: str | None, limit: int, choice: Choice, as_json: bool) -> None:
    """Show held devices, the newest first: which, why, since when, when they are due.

    \b
    Examples:
      jitr held ls
      jitr held ls --reason allow.unmatched --json
    """
    records = newest(table_of(choice.deployment()), Verdict.HOLD)
    wanted = (each for each in records if _is_wanted(each, reason, ca))
    found = list(islice(wanted, limit))
    emit(as_json, [_document(each) for each in found], lambda: _show(found))
    if len(found) == limit:
        note(f"These are the newest {limit}; --limit shows more.")


def common_name(record: Record) -> str:
    """What a person knows the device by; empty where it has no name or could not be read."""
    if record.facts is None:
        return ""
    return ", ".join(CertificateFacts.from_json(record.facts).values("common_name"))


def _is_wanted(record: Record, reason: str | None, ca: str | None) -> bool:
    codes = {each["code"] for each in record.reasons}
    return (reason is None or reason in codes) and (ca is None or record.ca_certificate_id.startswith(ca.lower()))


def _document(record: Record) -> dict[str, object]:
    return {
        "certificate_id": record.certificate_id,
        "common_name": common_name(record),
        "ca_certificate_id": record.ca_certificate_id,
        "since": record.since,
        "due": record.due,
        "knocks": record.knocks,
        "knocked_at": record.knocked_at,
        "reasons": [dict(each) for each in record.reasons],
        "near_misses": [dict(each) for each in record.near_misses],
    }


def _show(records: list[Record]) -> None:
    if not records:
        note("No device is on hold.")
        return
    rows = [
        (
            each.certificate_id[:12],
            common_name(each),
            rfc3339(each.since),
            "" if each.due is None else rfc3339(each.due),
            each.knocks,
            "; ".join(f"{reason['code']}: {reason['message']}" for reason in each.reasons),
        )
        for each in records
    ]
    table(("certificate", "common name", "since", "due", "knocks", "why"), rows)
