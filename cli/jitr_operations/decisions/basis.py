"""What a decision on record rests on: whether that is still in force, and which version of the rules it was."""

from collections.abc import Callable
from itertools import islice

from jitr.aws.dynamodb.table import Table
from jitr.records.heads import Heads
from jitr.records.record import Record
from jitr.services.publishing.versions import history

MOST_VERSIONS = 500  # of the history that are looked through, the newest


def basis_of(table: Table) -> Callable[[Record], str | None]:
    """Return what says of a record which rules and lists its reasons are of; None where those are still in force.

    A held device keeps its reasons while an edit changes nothing about its verdict, so they may be of rules that are
    gone.
    """
    heads: Heads = table.heads()
    versions: dict[str, int] = {}

    def basis(record: Record) -> str | None:
        if record.unchanged(heads):
            return None
        if record.meaning == heads.meaning:
            edited = [name for name, edition in record.editions.items() if heads.edition(name) != edition]
            return f"from before list {', '.join(edited)} was edited"
        if not versions:
            for each in islice(history(table), MOST_VERSIONS):
                versions.setdefault(each.digest, each.version)
        version = versions.get(record.digest or "")
        return f"of {f'version {version}' if version else 'an earlier version'} of the rules, no longer in force"

    return basis
