"""The newest decisions of each verdict, which several parts of an overview look at."""

from itertools import islice

from jitr.aws.dynamodb.decisions import newest
from jitr.aws.dynamodb.table import Table
from jitr.reasons import Verdict
from jitr.records.record import Record

MOST = 1_000  # of each verdict: what is looked at every morning must not grow with the fleet


class Newest:
    """Decisions of a table by verdict, the newest first, at most so many; each verdict's are read once."""

    def __init__(self, table: Table) -> None:
        self.most = MOST
        self._table = table
        self._read: dict[Verdict, tuple[Record, ...]] = {}

    def of(self, verdict: Verdict) -> tuple[Record, ...]:
        """Return the newest decisions of a verdict."""
        if verdict not in self._read:
            self._read[verdict] = tuple(islice(newest(self._table, verdict), self.most))
        return self._read[verdict]
