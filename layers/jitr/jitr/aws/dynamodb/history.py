"""The history in the table: entries under one key in the order of time, by devices, and by lists.

One partition: operators make a few changes a day, a page of the newest is one Query, and DynamoDB splits a partition
that grows by its sort keys.
"""

from collections.abc import Iterable, Iterator
from itertools import islice

from jitr.aws.dynamodb.actions import put
from jitr.aws.dynamodb.table import Item, Table, certificate_key
from jitr.records.history import FORMAT, HistoryEntry, HistoryKind

PARTITION = "HISTORY"
_OF_A_DEVICE = "HISTORY#"  # what sort keys begin with that lead from a certificate to entries about it
_OF_A_LIST = "EDITS#"  # what partitions begin with that lead from a list to entries about its edits
_PAGE = 100
_LAST = "\U0010ffff"  # after every sort key


def entry_put(table: str, entry: HistoryEntry) -> Item:
    """Return the action that writes an entry, for the transaction that makes the change."""
    return put(table, {"pk": PARTITION, "sk": entry.id} | entry.to_item())


def device_put(table: str, entry: HistoryEntry, certificate_id: str) -> Item:
    """Return the action by which an entry is found that is about a device."""
    return _lead(table, entry, certificate_key(certificate_id) | {"sk": f"{_OF_A_DEVICE}{entry.id}"})


def list_put(table: str, entry: HistoryEntry, name: str) -> Item:
    """Return the action by which an entry is found that is about an edit of a list."""
    return _lead(table, entry, {"pk": f"{_OF_A_LIST}{name}", "sk": entry.id})


def _lead(table: str, entry: HistoryEntry, key: Item) -> Item:
    expiry = {} if entry.expires_at is None else {"expires_at": entry.expires_at}
    return put(table, key | {"format": FORMAT} | expiry)


def entry_puts(table: str, entry: HistoryEntry) -> list[Item]:
    """Return the actions that write an entry, and lead to it from each device that it names, or from its list."""
    edited = entry.subject if entry.kind is HistoryKind.LIST else None
    leads = [] if edited is None else [list_put(table, entry, edited)]
    return [entry_put(table, entry), *leads, *(device_put(table, entry, each) for each in entry.devices)]


def newest(
    table: Table, *, since: str = "", until: str | None = None, after: str | None = None
) -> Iterator[HistoryEntry]:
    """Yield the entries, the newest first, whose ids are between two places; or those that come after one.

    Raises Retry where DynamoDB could not answer now, or an entry is of a later format.
    """
    first, last = since or " ", _LAST if until is None else until + _LAST
    if last < first or (after is not None and after < first):
        return  # DynamoDB refuses an empty span, and a place outside of one: ``since`` moves on while one turns pages
    start = None if after is None or after > last else {"pk": PARTITION, "sk": after}
    found = table.query(PARTITION, since=first, until=last, newest_first=True, after=start, limit=_PAGE)
    yield from map(HistoryEntry.from_item, found)


def of_device(table: Table, certificate_id: str, most: int) -> list[HistoryEntry]:
    """Return the newest entries about a device, the newest first. Raises Retry as ``newest`` does."""
    partition = str(certificate_key(certificate_id)["pk"])
    leads = table.query(partition, beginning=_OF_A_DEVICE, newest_first=True, limit=_PAGE)
    return _led_to(table, (str(each["sk"]).removeprefix(_OF_A_DEVICE) for each in islice(leads, most)))


def of_list(table: Table, name: str, most: int) -> list[HistoryEntry]:
    """Return the newest entries about edits of a list, the newest first. Raises Retry as ``newest`` does.

    Imports are not among them: where rows came from is noted by itself (``jitr.services.lists.history``).
    """
    leads = table.query(f"{_OF_A_LIST}{name}", newest_first=True, limit=_PAGE)
    return _led_to(table, (str(each["sk"]) for each in islice(leads, most)))


def _led_to(table: Table, ids: Iterable[str]) -> list[HistoryEntry]:
    found = table.get([{"pk": PARTITION, "sk": each} for each in ids])
    return sorted(map(HistoryEntry.from_item, found), key=lambda each: each.id, reverse=True)
