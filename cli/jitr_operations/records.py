"""Decision records in the table, for commands that count or show them."""

from jitr.aws.dynamodb.table import Table, state_shards
from jitr.reasons import Verdict
from jitr.records.record import Record


def count_at_most(table: Table, verdict: Verdict, most: int) -> tuple[int, bool]:
    """Count the certificates with a verdict, about ``most`` at most, and return whether there are more."""
    counted = 0
    for shard in state_shards(verdict.value):
        for page in table.raw_pages(shard, index="by_state"):
            counted += len(page)
            if counted > most:
                return most, True
    return counted, False


def record_of(table: Table, certificate_id: str) -> Record | None:
    """Return the record of one certificate."""
    return table.record_and_heads(certificate_id)[0]
