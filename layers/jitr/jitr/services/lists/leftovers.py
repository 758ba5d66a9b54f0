"""Generations of lists that no reader looks at any more: their rows are let go."""

from collections.abc import Callable
from typing import Any

from jitr.aws.dynamodb.actions import delete, put, update, where
from jitr.aws.dynamodb.batch_writer import WORKERS, BatchWriter, in_order
from jitr.aws.dynamodb.table import Item, Table, key_of
from jitr.services.lists.device_lists import IMPORTS, LEFT, DeviceLists, last_left, left
from jitr.services.lists.list_import import MERGE
from jitr.services.lists.row_edits import count_taken, counts


class Leftovers:
    """Lets the rows go that no reader looks at any more: of replaced and deleted lists, and of imports given up."""

    def __init__(self, table: Table, *, hurry: Callable[[], bool] = lambda: False, workers: int = WORKERS) -> None:
        self._table = table
        self._lists = DeviceLists(table)
        self._writer = BatchWriter(table)
        self._hurry = hurry
        self._workers = workers

    def sweep(self, *, expires_at: int, given_up_before: str, kept_since: str | None = None) -> int:
        """Let go of every generation that is noted as left; rows go at ``expires_at`` (epoch seconds).

        Imports that were noted last before ``given_up_before`` (RFC 3339) are given up. What was in force last before
        a list was replaced or deleted is kept, to be had back, if that was after ``kept_since``. The result is how
        many generations are done with.
        """
        done = 0
        noted = list(self._table.query(IMPORTS))
        kept = {note["sk"] for note in last_left(noted).values() if kept_since is not None and note["at"] >= kept_since}
        for item in noted:
            if item["sk"] in kept or (item["mode"] != LEFT and item["at"] >= given_up_before):
                continue
            if item["mode"] == MERGE:  # its rows are in a list that is in force
                self._forget(item)
                continue
            if not (self._going(item) if item["mode"] == LEFT else self._give_up(item)):
                continue  # somebody goes on with it, or had it back, after all
            if not self.let_go(item["list"], item["generation"], expires_at=expires_at):
                break
            for each in counts(self._table).get((item["list"], item["generation"]), ()):
                self._table.transact([count_taken(self._table.name, each)])
            self._forget(left(item["list"], item["generation"], item["at"]))
            done += 1
        return done

    def _going(self, item: Item) -> bool:
        """Return whether a generation is noted to be going, so that nobody has it back from then on."""
        going = update(
            self._table.name, key_of(item), "SET going = :yes", {":yes": True}, condition="attribute_exists(pk)"
        )
        return not self._table.transact([going])

    def let_go(self, name: str, generation: str, *, expires_at: int) -> bool:
        """Have the table's TTL take the rows of a generation away; whether there was time for all of them.

        A generation in force is never let go.
        """
        info = self._lists.all().get(name)
        if info is not None and info.head.generation == generation:
            return True
        pages = self._lists.raw_pages(name, generation)
        for _ in in_order(lambda page: self._expire(page, expires_at), pages, self._workers):
            if self._hurry():
                return False
        return True

    def _expire(self, page: list[dict[str, Any]], expires_at: int) -> None:
        expiry = {"expires_at": {"N": str(expires_at)}}
        self._writer.write([{"PutRequest": {"Item": item | expiry}} for item in page if "expires_at" not in item])

    def _give_up(self, item: Item) -> bool:
        """Turn an import into a leftover in one write, so that nobody goes on with rows about to be deleted."""
        note = left(item["list"], item["generation"], item["at"])
        return not self._table.transact([self._deleted(item), put(self._table.name, note)])

    def _forget(self, item: Item) -> None:
        self._table.transact([self._deleted(item)])

    def _deleted(self, item: Item) -> dict[str, Any]:
        as_read = where("#at = :at", {":at": item["at"]}, {"#at": "at"})
        return delete(self._table.name, key_of(item), **as_read)
