"""What operators did to certificates' statuses by hand, read from the table."""

from collections.abc import Iterable

from jitr.aws.dynamodb.table import Table, by_hand_key, certificate_of
from jitr.records.by_hand import Act


def acts_of(table: Table | None, certificate_ids: Iterable[str]) -> dict[str, tuple[Act, ...]]:
    """Return what was done by hand to each of these certificates, the latest last; only those there is something of."""
    if table is None:
        return {}
    found = table.get([by_hand_key(each) for each in dict.fromkeys(certificate_ids)])
    return {certificate_of(item): tuple(map(Act.from_json, item["acts"])) for item in found}
