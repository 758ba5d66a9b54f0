"""Devices searched by whatever somebody reads out of them: each that ever knocked, in any state."""

import re
from dataclasses import dataclass
from datetime import datetime

from jitr.aws.dynamodb.searching import search, without_keys
from jitr.aws.dynamodb.table import Conflict, Table
from jitr.errors import InputError
from jitr.records.record import Record
from jitr_operations import telling
from jitr_operations.deployment import Deployment
from jitr_operations.devices.registry import Registry
from jitr_operations.table import now, table_of

_LONGEST = 300  # characters that are searched for
_ID = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class FoundDevices:
    """The devices that a text may mean; ``more`` where there are more than are told.

    ``without_record`` are certificateIds that AWS IoT has under that id or thing, and on which nothing was decided:
    they were registered by hand, or by others.
    """

    records: tuple[Record, ...]
    more: bool
    without_record: tuple[str, ...] = ()


def find_devices(deployment: Deployment, text: str) -> FoundDevices:
    """Return the devices that a text may mean.

    By any beginning of a common name, a thing's name, a serial number (hex, with or without colons, or decimal), a
    certificateId or a key digest. A record of an earlier version is found by its whole certificateId or its thing until
    it can be searched (``make_searchable``). Raises InputError for nothing to search for, or too much.
    """
    text = text.strip()
    if not text:
        raise InputError("say what to search for: a beginning of a name, a serial number, a certificateId or a key")
    if len(text) > _LONGEST:
        raise InputError(f"{len(text)} characters are too many to search for: at most {_LONGEST}")
    table = table_of(deployment)
    records, more = search(table, text)
    known = {each.certificate_id for each in records}
    registry, whole = Registry(deployment.client("iot")), re.sub(r"[\s:]", "", text).lower()
    is_id = _ID.fullmatch(whole) is not None
    meant = [whole] if is_id else list(registry.certificates_of(text) or ())
    others = table.records([each for each in meant if each not in known])
    known |= {each.certificate_id for each in others}
    unknown = (each for each in meant if each not in known)
    without_record = tuple(each for each in unknown if not is_id or registry.get(each) is not None)
    return FoundDevices((*records, *others), more, without_record)


@dataclass
class MadeSearchable:
    """What became of the records: how many were looked at, and made searchable; how many are under way just now."""

    made: int = 0
    under_way: int = 0


def make_searchable(deployment: Deployment) -> MadeSearchable:
    """Make devices searchable that were decided by an earlier version, which kept no search keys.

    Whatever cuts it short, the same again goes on with those that are left. A record that is being written meanwhile is
    left alone: whoever writes it adds its search keys.
    """
    table, done = table_of(deployment), MadeSearchable()
    with telling.progress("Making devices searchable", None) as advance:
        for some in without_keys(table):
            for record in table.records(some):
                _make(table, record, done, now())
            advance(len(some))
    return done


def _make(table: Table, record: Record, done: MadeSearchable, at: datetime) -> None:
    if record.applying_at(at):
        done.under_way += 1
        return
    try:
        table.put_record(record)
        done.made += 1
    except Conflict:
        done.under_way += 1
