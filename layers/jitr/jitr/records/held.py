"""Held devices: what each is found by again, and whether deciding it again would do anything."""

from collections.abc import Iterator
from datetime import datetime

from jitr.decision.decide import Decision
from jitr.devicelists.rows import RowKey, is_listable
from jitr.reasons import Verdict
from jitr.records.record import APPLYING, Record
from jitr.records.transitions import asks_for_more, would_be_refused_again

# A certificate may repeat its common name as often as it has bytes. Beyond these the device waits for its next knock
# or until it is due: more than one name never counts for an allow rule.
MOST_NAMES = 16


def hint(key: RowKey) -> str:
    """Return the hint under which a key of a list's row finds a held device.

    A serial number stands without its CA: a row may name the CA by an alias, and what an alias means is up to the
    rules in force. So a hint finds too much rather than too little; whoever follows it decides from the facts.
    """
    value = key.value.rpartition("/")[2] if key.kind == "serial_number" else key.value
    return f"{key.kind}#{value}"


def hints(record: Record) -> tuple[str, ...]:
    """Return all hints that find the device of a record once it is written: none if the device does not wait.

    While a decision is being applied what was there stays: whether it waits again is not known yet.
    """
    if record.state == APPLYING:
        return record.hints
    if not record.waiting or record.facts is None:
        return ()
    return tuple(dict.fromkeys(_hints(record)))


def _hints(record: Record) -> Iterator[str]:
    facts = record.facts or {}
    yield hint(RowKey("public_key_sha256", facts["public_key_sha256"]))
    if (written := facts.get("written_key_sha256")) is not None:
        yield hint(RowKey("public_key_sha256", written))
    twin = (facts["chain"] or {}).get("twin_sha256")
    for each in (facts["certificate_sha256"], twin):
        if each not in (None, record.certificate_id):  # the record itself is found by its certificateId
            yield hint(RowKey("certificate_sha256", each))
    yield hint(RowKey("serial_number", facts["serial_number"]))
    names = [each["value"] for each in facts["subject"] if each["name"] == "common_name"]
    for name in [each for each in names if is_listable(each)][:MOST_NAMES]:
        yield hint(RowKey("common_name", name))


def would_change(record: Record, decision: Decision, now: datetime) -> bool:
    """Return whether a waiting device must be decided again, given what the decision from its recorded facts would be.

    It has where the verdict is another that no guard refused just now, and where it would be due sooner. Revocation
    lists are not asked here: what waits for nothing else goes on waiting for them until it is due.
    """
    if would_be_refused_again(record, decision, now) or _waits_for_revocation(record, decision):
        return False
    if asks_for_more(record, decision, now):
        return True
    return decision.due is not None and (record.due is None or decision.due < record.due)


def _waits_for_revocation(record: Record, decision: Decision) -> bool:
    codes = [str(each["code"]) for each in record.reasons]
    return decision.verdict is Verdict.ADMIT and all(each.startswith("revocation.") for each in codes)
