"""Finding held devices: by a key of a list's row, by when they are due, or all of them a page at a time."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

from jitr.aws.dynamodb.table import Item, Table, certificate_key, due_shards, hint_key, is_newer, key_of, state_shards
from jitr.devicelists.rows import RowKey
from jitr.records.held import hint
from jitr.times import rfc3339
from jitr.values import dataclass

# A device that was put on the queue because it is due is put there again after this long if it still is.
ASK_AGAIN = timedelta(minutes=30)

_SHARDS = tuple(state_shards("hold"))


@dataclass(frozen=True, slots=True)
class PassPlace:
    """How far a pass over all held devices has come: a partition of the index, and the last item there."""

    shard: int = 0
    after: Item | None = None

    @property
    def at_the_end(self) -> bool:
        """Whether there is nothing after it."""
        return self.shard >= len(_SHARDS)

    def to_json(self) -> dict[str, Any]:
        """Return it as in the checkpoint."""
        return {"shard": self.shard} | ({} if self.after is None else {"after": self.after})

    @classmethod
    def from_json(cls, data: Any) -> "PassPlace":
        """Read back what ``to_json`` wrote."""
        return cls(int(data["shard"]), data.get("after"))


class HeldDevices:
    """Held devices in the table. Every method raises Retry where DynamoDB could not answer now."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def found_by(self, keys: Iterable[RowKey]) -> Iterator[list[str]]:
        """Yield certificateIds of waiting devices that rows with these keys may mean, by pages, perhaps twice."""
        for key in keys:
            if key.kind == "certificate_sha256":
                yield [key.value]  # a certificateId is the SHA-256 of the certificate
            for items in self._table.pages(hint_key(hint(key), "")["pk"]):
                if items:
                    yield [each["sk"] for each in items]

    def records(self, certificate_ids: Iterable[str]) -> Iterator[Item]:
        """Return the items of devices that wait now, by consistent reads; all of a later format as well."""
        return self._waiting(map(certificate_key, dict.fromkeys(certificate_ids)))

    def some(self, place: PassPlace, until: datetime) -> tuple[list[Item], PassPlace]:
        """Return the records of some devices held since before ``until``, and where to go on.

        All of a later format are among them: whether they wait is not for this version to tell.
        """
        items, after = self._table.page(_SHARDS[place.shard], index="by_state", until=rfc3339(until), after=place.after)
        following = PassPlace(place.shard, after) if after is not None else PassPlace(place.shard + 1)
        return list(self._waiting(map(key_of, items))), following

    def due(self, now: datetime) -> Iterator[list[Item]]:
        """Yield the records of devices that are due, a page at a time, those of one shard in order.

        None of a later format is: its own version finds it due, and until then its place in the index stays.
        """
        for shard in due_shards():
            for items in self._table.pages(shard, index="by_due", until=rfc3339(now)):
                waiting = (each for each in self._waiting(map(key_of, items)) if not is_newer(each))
                found = [each for each in waiting if each.get("due_at", "~") <= rfc3339(now)]
                if found:
                    yield found

    def ask_again_later(self, item: Item, now: datetime) -> None:
        """Move a queued due device out of the way in the index, unless it was decided meanwhile."""
        self._table.update(
            certificate_key(item["certificate_id"]),
            "SET #due_at = :later REMOVE telling",
            {":later": rfc3339(now + ASK_AGAIN), ":seen": item["revision"]},
            {"#due_at": "due_at", "#revision": "revision"},
            "#revision = :seen",
        )

    def make_due(self, item: Item, now: datetime) -> bool:
        """Have a device decided again whatever changed; whether it still waits as it was read."""
        done = self._table.update(
            certificate_key(item["certificate_id"]),
            "SET #due = :now, #due_at = :later, #due_shard = if_not_exists(#due_shard, :shard) ADD #revision :one",
            {
                # What has passed by every clock: the register function's may be behind this one.
                ":now": item["decided_at"],
                ":later": rfc3339(now + ASK_AGAIN),
                ":shard": f"due#{item['state_shard'].rpartition('#')[2]}",
                ":seen": item["revision"],
                ":one": 1,
            },
            {"#due": "due", "#due_at": "due_at", "#due_shard": "due_shard", "#revision": "revision"},
            "#revision = :seen",
        )
        return done is not None

    def _waiting(self, keys: Iterable[Item]) -> Iterator[Item]:
        for item in self._table.get(list(keys), of_any_format=True):  # whoever reads the record tells of its format
            if is_newer(item) or (item["state"] == "applied" and (item["decision"] == "hold" or item["stays_pending"])):
                yield item
