"""Which certificates have what an admitted one was granted: one that replaced it, or that shares its thing."""

from collections.abc import Callable, Iterable, Mapping

from jitr.aws.dynamodb.table import Table, reservation_key
from jitr.reasons import Verdict
from jitr.records.record import APPLYING, Record
from jitr.records.reservation import Reservation


def successors_of(table: Table, records: Iterable[Record]) -> Mapping[str, tuple[str, ...]]:
    """Return which certificates took the place of these admitted ones (``renewal: replace``), of those replaced.

    One that was replaced is INACTIVE and still names its reservation, which is another certificate's by now.
    """
    named = [
        (each.reservation, each.certificate_id)
        for each in records
        if each.decision is Verdict.ADMIT and each.reservation is not None
    ]
    found = table.get([reservation_key(name) for name in dict.fromkeys(name for name, _ in named)])
    holders = {item["pk"]: Reservation.from_json(item["pk"], item).certificates for item in found}
    return {
        certificate_id: holders[name]
        for name, certificate_id in named
        if holders.get(name) and certificate_id not in holders[name]
    }


def replaced_of(table: Table, records: Iterable[Record]) -> frozenset[str]:
    """Return which of these admitted certificates another one replaced: see ``successors_of``."""
    return frozenset(successors_of(table, records))


def follows_another(table: Table, record: Record, is_active: Callable[[str], bool]) -> bool:
    """Return whether what this admitted certificate reserved follows a grant to another one, which came later.

    One that is no longer in has nothing to be followed; ``is_active`` tells it by certificateId.
    """
    if record.reservation is None:
        return False
    items = table.get([reservation_key(record.reservation)])
    holders = [each for item in items for each in Reservation.from_json(item["pk"], item).certificates]
    place = record.decided_at, record.certificate_id
    others = table.records([each for each in holders if each != record.certificate_id])
    return any(
        each.decision is Verdict.ADMIT
        and (each.decided_at, each.certificate_id) > place
        and (each.state == APPLYING or is_active(each.certificate_id))
        for each in others
    )
