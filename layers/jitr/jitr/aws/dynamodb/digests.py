"""Digests in the table: one item that holds them, and a mark for each device that is counted in one.

The mark is written in the transaction that counts the device, and only once for a revision of its record: what the
stream brings again is not counted again. It outlasts the stream, which keeps a record for a day.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from jitr.aws.dynamodb.actions import put, where
from jitr.aws.dynamodb.table import Conflict, Item, Table, over
from jitr.records.digests import FORMAT, Digests, NewlyHeld
from jitr.values import dataclass

PARTITION = "DIGEST"
_KEY = {"pk": PARTITION, "sk": PARTITION}
_MARKED_FOR = timedelta(days=2)
_MOST_AT_ONCE = 99  # DynamoDB API reference, TransactWriteItems: 100 actions, one of which is the item's
_MOST_CONFLICTS = 10


@dataclass(frozen=True, slots=True)
class DigestTable:
    """The digests of one table. Every method raises Retry where DynamoDB could not answer now."""

    table: Table

    def read(self) -> Digests:
        """Return the digests as they are; raises Retry for a later format."""
        item = self.table.one(_KEY)
        return Digests() if item is None else Digests.from_json(item)

    def write(self, after: Digests) -> bool:
        """Write digests over the revision that they were made from; False where another hand was quicker."""
        return not self.table.transact([self._put(after)])

    def note(self, devices: Sequence[NewlyHeld], now: datetime) -> None:
        """Count devices, those that are counted already left out. Raises Conflict where others write all the time."""
        left, conflicts = list({each.certificate_id: each for each in devices}.values()), 0
        while left:
            some = left[:_MOST_AT_ONCE]
            after = self.read().noted(some, now)
            failed = self.table.transact([self._put(after), *(self._mark(each, now) for each in some)])
            if not failed:
                left = left[_MOST_AT_ONCE:]
                continue
            counted = {each for each, code in zip(some, failed[1:], strict=True) if code == "ConditionalCheckFailed"}
            left = [each for each in left if each not in counted]
            conflicts += not counted
            if conflicts > _MOST_CONFLICTS:
                raise Conflict("the digest")

    def _put(self, after: Digests) -> Item:
        item = _KEY | after.to_json() | {"revision": after.revision + 1}
        return put(self.table.name, item, **over(after.revision))

    def _mark(self, device: NewlyHeld, now: datetime) -> Item:
        item: Item = {
            "pk": f"{PARTITION}#{device.certificate_id}",
            "sk": PARTITION,
            "format": FORMAT,
            "counted": device.revision,
            "expires_at": int((now + _MARKED_FOR).timestamp()),
        }
        newer = where("attribute_not_exists(pk) OR counted < :revision", {":revision": device.revision})
        return put(self.table.name, item, **newer)
