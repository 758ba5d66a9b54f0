"""What operators did to a certificate's status by hand: who made it what, when, from what, and why.

It stands beside the decision record, in an item of its own: the record is the function's, which may be writing it at
this very moment, and certificates that nothing was decided on are cut off by hand, too.
"""

from collections.abc import Iterable

from jitr.aws.dynamodb.by_hand import acts_of
from jitr.aws.dynamodb.table import Conflict, Table, by_hand_key, to_item
from jitr.errors import JitrError
from jitr.records.by_hand import NOT_REGISTERED, Act
from jitr.records.record import FORMAT
from jitr_operations import telling
from jitr_operations.deployment import Account, Deployment
from jitr_operations.table import now_text, operator

NOT_KEPT = "It is not written down who does this"
MOST_KEPT = 20  # of one certificate; the latest
_ATTEMPTS = 5  # two hands at one certificate at once are rare


class Hand:
    """Writes down what one operator does. Without a stack there is nowhere to write, and nothing is written."""

    def __init__(self, account: Account, table: Table | None) -> None:
        self.account = account
        self._table = table
        self._by: str | None = None
        self._fails = False

    def cut_off(self, certificate_id: str, status: str, before: str, message: str | None = None) -> None:
        """Write down that a device was cut off. What cannot be written is told once, and keeps nobody from the next."""
        self._did_already(certificate_id, status, before, message)

    def registered(self, certificate_id: str) -> None:
        """Write down that a certificate was registered, INACTIVE at first; what cannot be written is told once."""
        self._did_already(certificate_id, "INACTIVE", NOT_REGISTERED, None)

    def stays_cut_off(self, certificate_id: str, status: str, message: str | None = None) -> None:
        """Write down that a certificate is to stay as other hands made it, unless something is on record of it.

        Without a record the function does not know it under the other id that an ECDSA signature gives it.
        """
        self._did_already(certificate_id, status, status, message, only_first=True)

    def _did_already(
        self, certificate_id: str, status: str, before: str, message: str | None, *, only_first: bool = False
    ) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        if self._fails:
            return
        try:
            if only_first and self._table is not None and any(self._table.on_record(certificate_id)):
                return
            self.did(certificate_id, status, before, message)
        except (JitrError, BotoCoreError, ClientError) as problem:
            self._fails = True
            telling.warn(f"{certificate_id[:12]} is {status}, but it cannot be written down who did it: {problem}")

    def did(
        self,
        certificate_id: str,
        status: str,
        before: str,
        message: str | None = None,
        overruled: Iterable[str] = (),
    ) -> None:
        """Write down one change of a status. Raises Conflict where others write at the same time, again and again."""
        if self._table is None or not isinstance(self.account, Deployment):
            return
        self._by = self._by or operator(self.account)
        act = Act(status, before, self._by, now_text(), message, tuple(overruled))
        for _ in range(_ATTEMPTS):
            if _append(self._table, certificate_id, act):
                return
        raise Conflict(f"what was done by hand to {certificate_id}")


def _append(table: Table, certificate_id: str, act: Act) -> bool:
    """Add an act to those before it, unless somebody else did so meanwhile; whether it was added."""
    found = next(iter(table.get([by_hand_key(certificate_id)])), None)
    acts, revision = ([], 0) if found is None else (list(found["acts"]), int(found["revision"]))
    values = {":acts": [*acts, act.to_json()][-MOST_KEPT:], ":format": FORMAT, ":next": revision + 1}
    condition = "attribute_not_exists(pk)" if found is None else "revision = :revision"
    return (
        table.update(
            by_hand_key(certificate_id),
            "SET acts = :acts, #format = :format, revision = :next",
            values if found is None else values | {":revision": revision},
            {"#format": "format"},
            condition,
        )
        is not None
    )


def forget(table: Table, certificate_id: str) -> None:
    """Delete what is written down of a certificate that is deleted itself, if anything is."""
    if not acts_of(table, [certificate_id]):
        return
    table.transact([{"Delete": {"TableName": table.name, "Key": to_item(by_hand_key(certificate_id))}}])
