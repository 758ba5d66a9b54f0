"""Which devices are held, and why. Nothing here decides: a list of them is there at once."""

from datetime import datetime
from itertools import islice

from jitr.aws.dynamodb.decisions import newest_of
from jitr.aws.dynamodb.table import Table
from jitr.reasons import Verdict
from jitr.records.record import Record, common_name, knock_interval
from jitr_operations.decisions.filters import near_rule, of_ca, with_reason


def held_devices(
    table: Table, *, reason: str | None, ca: str | None, rule: str | None, since: datetime | None, limit: int
) -> list[Record]:
    """Return the records of held devices, the newest first: of a reason, of a CA, nearly let in by a rule."""
    filters = (of_ca(table, ca), with_reason(reason), near_rule(rule))
    records = newest_of(table, (Verdict.HOLD,), since)
    return list(islice((each for each in records if all(wanted(each) for wanted in filters)), limit))


def document(record: Record, basis: str | None) -> dict[str, object]:
    """Return a held device as JSON; ``basis`` says which rules its reasons are of, where not of those in force."""
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


def why(record: Record) -> str:
    """Return the reasons on record in words."""
    return "; ".join(f"{reason['code']}: {reason['message']}" for reason in record.reasons)
