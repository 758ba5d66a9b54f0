"""Decision records found by the beginning of one of their search keys, in a bounded number of reads."""

from collections.abc import Iterator

from jitr.aws.dynamodb.table import (
    SEARCH_SHARDS,
    Item,
    Table,
    certificate_of,
    key_of,
    search_partition,
    state_shards,
)
from jitr.reasons import Verdict
from jitr.records.record import Record
from jitr.records.search import SHA256, beginnings, is_meant

MOST = 100  # devices that are found: one request reads their records


def search(table: Table, text: str) -> tuple[list[Record], bool]:
    """Return the devices that a text may mean, ordered by what is searched, and whether there are more.

    At most one query for each partition of a kind of key, and one read of a hundred records, however many devices there
    are.
    """
    wanted = beginnings(text)
    found, more = set[tuple[str, str]](), False
    for each in wanted:
        for items, following in _pages(table, each):
            found |= {_split(item) for item in items}
            more |= following is not None
    ids = list(dict.fromkeys(certificate_id for _, certificate_id in sorted(found)))
    records = {each.certificate_id: each for each in table.records(ids[:MOST])}
    meant = [records[each] for each in ids[:MOST] if each in records and is_meant(records[each], wanted)]
    return meant, more or len(ids) > MOST


def _pages(table: Table, beginning: str) -> Iterator[tuple[list[Item], Item | None]]:
    """Yield the first page of each partition that may have keys which begin so, and whether more follow."""
    kind, _, value = beginning.partition("#")
    shards = value[:1] if kind == SHA256 else map(str, range(SEARCH_SHARDS))
    return (table.page(search_partition(kind, shard), beginning=value) for shard in shards)


def _split(item: Item) -> tuple[str, str]:
    """Return what is searched, and the certificateId whose it is."""
    value, _, certificate_id = str(item["sk"]).rpartition("#")
    return value, certificate_id


def without_keys(table: Table) -> Iterator[list[str]]:
    """Yield, some at a time, the certificateIds of records that an earlier version wrote, which cannot be searched yet.

    All records are looked at. An empty list says that some were, and none of them is such a one.
    """
    for shard in (each for verdict in Verdict for each in state_shards(verdict.value)):
        for places in table.pages(shard, index="by_state"):
            found = table.get(list(map(key_of, places)), only=("pk", "search_keys"), of_any_format=True)
            yield [certificate_of(each) for each in found if "search_keys" not in each]
