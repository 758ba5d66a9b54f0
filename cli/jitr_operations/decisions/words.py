"""An operator's word about one device: written into its decision record, and its event put on the queue again.

One path applies decisions: the function takes the message, finds the word in the record and does the rest.
"""

from dataclasses import replace
from datetime import datetime

from jitr.aws.dynamodb.history import entry_puts
from jitr.aws.dynamodb.table import Conflict, Table
from jitr.decision.decide import OperatorWord
from jitr.errors import InputError
from jitr.records.event import own_event
from jitr.records.history import HistoryEntry, HistoryKind, Values
from jitr.records.record import Record
from jitr_operations.deployment import Deployment
from jitr_operations.devices.registry import Registry
from jitr_operations.devices.which import find_one
from jitr_operations.history import keeping
from jitr_operations.records import record_of


def decided(which: str, deployment: Deployment, table: Table) -> Record:
    """Return the decision record of the device meant. Raises InputError if there is none, or several fit."""
    found = find_one(which, Registry(deployment.client("iot")), table, on_record=True)
    record = record_of(table, found)
    if record is None:
        raise InputError(f"nothing was decided on certificate {found[:12]}: it has not knocked here")
    return record


def say(table: Table, deployment: Deployment, record: Record, word: OperatorWord, now: datetime) -> None:
    """Write a word into a held device's record, and into the history; have the device decided again now."""
    what = "reject" if word.rule is None else "admit"
    command = ("held", what, record.certificate_id[:12], *(() if word.rule is None else ("--rule", word.rule)))
    entry = _entry(deployment, record, command, word.by, {"word": what}, why=word.message)
    _write(table, replace(record, word=word.to_json(), due=_due_now(record)), entry)
    send_again(deployment, record, now)


def recheck(table: Table, deployment: Deployment, record: Record, now: datetime) -> None:
    """Have a held device decided again now, whatever changed or did not."""
    _write(table, replace(record, due=_due_now(record)))
    send_again(deployment, record, now)


def reopen(table: Table, deployment: Deployment, record: Record, by: str, now: datetime, at: str) -> None:
    """Have a rejected device decided again now, and write that into the history."""
    command = ("decisions", "reopen", record.certificate_id[:12])
    entry = _entry(deployment, record, command, by, {"reopened": True})
    _write(table, replace(record, reopened={"by": by, "at": at}, word=None), entry)
    send_again(deployment, record, now)


def _entry(
    deployment: Deployment, record: Record, command: tuple[str, ...], by: str, after: Values, *, why: str | None = None
) -> HistoryEntry:
    before = {"decision": str(record.decision), "word": (record.word or {}).get("decision")}
    devices = (record.certificate_id,)
    return keeping.entry(
        deployment, HistoryKind.DEVICE, command, by=by, why=why, before=before, after=after, devices=devices
    )


def send_again(deployment: Deployment, record: Record, now: datetime) -> None:
    """Put an event like the device's own on the registration queue."""
    body = own_event(record.certificate_id, record.ca_certificate_id, deployment.account_id, now)
    url = deployment.output("RegistrationQueueUrl")
    deployment.client("sqs").send_message(QueueUrl=url, MessageBody=body)


def _due_now(record: Record) -> datetime:
    """Return a time that has passed by every clock, not only by the operator's."""
    return record.decided_at


def _write(table: Table, record: Record, entry: HistoryEntry | None = None) -> None:
    try:
        table.put_record(record, beside=() if entry is None else entry_puts(table.name, entry))
    except Conflict:
        raise InputError(
            f"certificate {record.certificate_id[:12]} was decided again at this very moment: look, and say it again"
        ) from None
