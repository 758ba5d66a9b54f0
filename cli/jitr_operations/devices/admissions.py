"""Admissions under way: devices that are being let in, and that no listing of ACTIVE certificates shows yet.

The register function writes a record before its first step and after its last, and looks at rules and lists right
before ACTIVE and right after it. A command that takes devices out has to know of what is between the two: nobody need
have published a rule that denies them.

The function also lets in again, from INACTIVE, whom it took out itself, or whom an operator reopened. The record says
so, and a command that changes a status takes that out of the record: what an operator made INACTIVE stays so.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from jitr.aws.dynamodb.decisions import newest_of
from jitr.aws.dynamodb.table import Conflict, Table
from jitr.errors import Retry
from jitr.reasons import Verdict
from jitr.records.record import APPLYING, APPLYING_AT_MOST, Record
from jitr.records.transitions import STATUS_FRESH
from jitr.text import counted
from jitr_operations import telling
from jitr_operations.devices.records import records_of
from jitr_operations.devices.registry import Registry
from jitr_operations.table import now

# Seconds: nobody applies a decision for longer. A little more, because clocks differ.
WAIT = int(APPLYING_AT_MOST.total_seconds()) + 10
# Whoever was admitted this long before may be missing where AWS IoT lists who is ACTIVE.
_RECENT = 2 * APPLYING_AT_MOST
# A record of that age was left behind by a function that is gone: its message waits in the queue.
_LEFT_BEHIND = timedelta(minutes=5)
_ATTEMPTS = 5  # at a record that the function writes at the same time


def recently_admitted(table: Table, at: datetime) -> Iterator[str]:
    """Yield the certificateIds of devices that were, or are being, admitted since shortly before ``at``."""
    for record in newest_of(table, [Verdict.ADMIT], at - _RECENT):
        yield record.certificate_id


def those_active(
    table: Table, registry: Registry, certificate_ids: Sequence[str], at: datetime
) -> tuple[list[str], list[str]]:
    """Wait until nobody admits these devices any more; return those that are ACTIVE then, and those still under way."""
    left = until_done(table, certificate_ids, at)
    found = [registry.get(each) for each in certificate_ids]
    return [each.id for each in found if each is not None and each.status == "ACTIVE"], left


def until_done(table: Table, certificate_ids: Sequence[str], at: datetime) -> list[str]:
    """Wait until no decision is being applied on these certificates; return those where that did not come to an end."""
    under_way = _under_way(table, certificate_ids, at)
    if under_way:
        names = ", ".join(each[:12] for each in under_way)
        telling.note(f"Being decided at this moment: {names}. Waiting until that is done, a minute at most.")
    for _ in range(WAIT):
        if not under_way:
            break
        time.sleep(1)
        under_way = _under_way(table, under_way, at)
    return under_way


def shut_out_for_good(
    table: Table, registry: Registry, pending: Sequence[str], changed: Sequence[str], status: str = "INACTIVE"
) -> list[str]:
    """Make sure that certificates just given a status keep it; return those where a decision is still being applied.

    ``pending`` were so before. A delivery that read that before it was changed sets ACTIVE within ``STATUS_FRESH``, or
    reads it again. Any other writes its record before it sets a status: who has one under way is waited for.
    """
    if pending:
        telling.note("Some were pending: waiting a few seconds, so that no admission under way overtakes this.")
        time.sleep(STATUS_FRESH.total_seconds() + 1)
    involved = list(pending)
    for _ in range(_ATTEMPTS):
        involved += _under_way(table, changed, now())
        active, left = those_active(table, registry, list(dict.fromkeys(involved)), now())
        for each in active:
            registry.set_status(each, status)
        if left:
            return left
        involved = not_the_function_s(table, changed)
        if not involved:
            return []
    raise Retry("conflict", f"the records of {counted(len(involved), 'device')} were written again and again meanwhile")


def not_the_function_s(table: Table, certificate_ids: Sequence[str]) -> list[str]:
    """Write down that the status of certificates is an operator's: the function does not let them in from INACTIVE.

    Returns those where that has to wait: a decision is being applied, or the record was written meanwhile.
    """
    busy, at = [], now()
    for each, record in records_of(table, certificate_ids).items():
        if _is_under_way(record, at):
            busy.append(each)
        elif record.withdrawn or record.reopened is not None:
            try:
                table.put_record(replace(record, withdrawn=False, reopened=None))
            except Conflict:
                busy.append(each)
    return busy


def _under_way(table: Table, certificate_ids: Sequence[str], at: datetime) -> list[str]:
    return [each for each, record in records_of(table, certificate_ids).items() if _is_under_way(record, at)]


def _is_under_way(record: Record, at: datetime) -> bool:
    return record.state == APPLYING and record.decided_at > at - _LEFT_BEHIND
