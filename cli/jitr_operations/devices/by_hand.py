"""What operators did to a certificate's status by hand: who made it what, when, from what, and why.

It stands beside the decision record, in an item of its own: the record is the function's, which may be writing it at
this very moment, and certificates that nothing was decided on are cut off by hand, too.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from jitr.aws.dynamodb.table import BATCH_GET, Conflict, Table, by_hand_key, to_item
from jitr.errors import JitrError
from jitr.records.record import FORMAT
from jitr_operations import telling
from jitr_operations.deployment import Account, Deployment
from jitr_operations.table import now_text, operator

NOT_KEPT = "It is not written down who does this"
MOST_KEPT = 20  # of one certificate; the latest
NOT_REGISTERED = "NOT_REGISTERED"  # the status before of a certificate that was registered by hand
_ATTEMPTS = 5  # two hands at one certificate at once are rare


@dataclass(frozen=True, slots=True)
class Act:
    """One change of a status. ``overruled`` has the reason codes that spoke against it."""

    status: str
    status_before: str
    by: str
    at: str  # RFC 3339
    message: str | None = None
    overruled: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As stored and as ``--json`` prints it."""
        plain = {"status": self.status, "status_before": self.status_before, "by": self.by, "at": self.at}
        if self.message is not None:
            plain["message"] = self.message
        return plain | ({"overruled": list(self.overruled)} if self.overruled else {})

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Act":
        """Read what ``to_json`` wrote."""
        overruled = tuple(data.get("overruled", ()))
        return cls(data["status"], data["status_before"], data["by"], data["at"], data.get("message"), overruled)

    @property
    def told(self) -> str:
        """In words: what it was made, when, by whom, and why."""
        if self.status_before == NOT_REGISTERED:
            return f"registered {self.at}, by {self.by}"
        why = f": {self.message}" if self.message else ""
        if self.status_before == self.status and self.status != "ACTIVE":
            return f"{self.status} already, and to stay so since {self.at}, by {self.by}{why}"
        against = f", overruling {', '.join(self.overruled)}" if self.overruled else ""
        return f"{self.status} since {self.at}, by {self.by}{against}{why}"

    @property
    def cut_off(self) -> bool:
        """Whether the device, which could connect or would have been decided, cannot connect since."""
        return self.status in ("INACTIVE", "REVOKED") and self.status_before != NOT_REGISTERED


def acts_of(table: Table | None, certificate_ids: Iterable[str]) -> dict[str, tuple[Act, ...]]:
    """Return what was done by hand to each of these certificates, the latest last; only those there is something of."""
    if table is None:
        return {}
    ids = list(dict.fromkeys(certificate_ids))
    found = {}
    for start in range(0, len(ids), BATCH_GET):
        for item in table.get([by_hand_key(each) for each in ids[start : start + BATCH_GET]]):
            found[str(item["pk"]).partition("#")[2]] = tuple(map(Act.from_json, item["acts"]))
    return found


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
