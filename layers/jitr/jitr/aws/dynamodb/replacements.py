"""Which devices' certificates were replaced, read from the table."""

from collections.abc import Iterable

from jitr.aws.dynamodb.table import BATCH_GET, Table
from jitr.reasons import Verdict
from jitr.records.record import Record
from jitr.records.reservation import Reservation


def replaced_of(table: Table, records: Iterable[Record]) -> frozenset[str]:
    """Return which of these admitted certificates made room for another (``renewal: replace``), which made it INACTIVE.

    One that was replaced still names its reservation, which is another certificate's by now.
    """
    named = [
        (each.reservation, each.certificate_id)
        for each in records
        if each.decision is Verdict.ADMIT and each.reservation is not None
    ]
    names = list(dict.fromkeys(name for name, _ in named))
    holders: dict[str, tuple[str, ...]] = {}
    for start in range(0, len(names), BATCH_GET):
        keys = [{"pk": name, "sk": "RESERVATION"} for name in names[start : start + BATCH_GET]]
        for item in table.get(keys):
            holders[item["pk"]] = Reservation.from_json(item["pk"], item).certificates
    return frozenset(
        certificate_id for name, certificate_id in named if holders.get(name) and certificate_id not in holders[name]
    )
