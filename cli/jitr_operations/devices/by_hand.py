"""What operators did to a certificate's status by hand: who made it what, when, from what, and why.

It stands beside the decision record, in an item of its own: the record is the function's, which may be writing it at
this very moment, and certificates that nothing was decided on are cut off by hand, too.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from jitr.aws.dynamodb.by_hand import acts_of
from jitr.aws.dynamodb.table import Conflict, Table, by_hand_key, to_item
from jitr.errors import JitrError
from jitr.reasons import Verdict
from jitr.records.by_hand import NOT_REGISTERED, Act
from jitr.records.record import FORMAT
from jitr.text import counted
from jitr.times import parse_time
from jitr_operations import aws_answers, telling
from jitr_operations.accounts import Account
from jitr_operations.deployment import Deployment
from jitr_operations.table import now, now_text, operator

NOT_KEPT = "It is not written down who does this"
MOST_KEPT = 20  # of one certificate; the latest
CARRIED_ON = timedelta(days=1)  # after which nobody goes on with what was cut off
_ATTEMPTS = 5  # two hands at one certificate at once are rare


@dataclass(frozen=True, slots=True)
class _Unwritten:
    """A change that was made, and is to be written down; ``only_first`` unless it is on record that it is out."""

    certificate_id: str
    status: str
    before: str
    message: str | None
    at: str
    only_first: bool


class Hand:
    """Writes down what one operator does. Without a stack there is nowhere to write, and nothing is written."""

    def __init__(self, account: Account, table: Table | None) -> None:
        self.account = account
        self._table = table
        self._by: str | None = None
        self._stopped = False
        self._warned = False
        self._unwritten: list[_Unwritten] = []  # what is tried again once all is done

    def cut_off(self, certificate_id: str, status: str, before: str, message: str | None = None) -> None:
        """Write down that a device was cut off. What cannot be written is told once, and keeps nobody from the next."""
        self._did_already(certificate_id, status, before, message)

    def registered(self, certificate_id: str) -> None:
        """Write down that a certificate was registered, INACTIVE at first; what cannot be written is told once."""
        self._did_already(certificate_id, "INACTIVE", NOT_REGISTERED, None)

    def stays_cut_off(self, certificate_id: str, status: str, message: str | None = None) -> None:
        """Write down that a certificate is to stay as other hands made it, unless it is on record that it is out.

        Of an admitted one nobody would know who wants it so; and without a record the function does not know a
        certificate under the other id that an ECDSA signature gives it.
        """
        self._did_already(certificate_id, status, status, message, only_first=True)

    def gives_again(self, certificate_id: str, message: str) -> None:
        """Write down that a device is given something again, unless this operator began it less than a day ago.

        Raises Conflict as ``did``.
        """
        acts = acts_of(self._table, [certificate_id]).get(certificate_id)
        if acts is None or not self._goes_on_with(acts[-1], message):
            self.did(certificate_id, "ACTIVE", "ACTIVE", message)

    def _goes_on_with(self, act: Act, message: str) -> bool:
        same = (
            act.message == message and isinstance(self.account, Deployment) and act.by == self._operator(self.account)
        )
        return same and now() < parse_time(act.at) + CARRIED_ON

    def _operator(self, deployment: Deployment) -> str:
        self._by = self._by or operator(deployment)
        return self._by

    def catch_up(self) -> None:
        """Write down what could not be when it was done, once more, and tell of how many certificates that failed."""
        again, self._unwritten, self._stopped = self._unwritten, [], False
        for each in again:
            self._write(each)
        if self._unwritten:
            telling.warn(f"who did it is not written down of {counted(len(self._unwritten), 'certificate')}")
        elif again:
            telling.note("It is written down by now.")

    def _did_already(
        self, certificate_id: str, status: str, before: str, message: str | None, *, only_first: bool = False
    ) -> None:
        self._write(_Unwritten(certificate_id, status, before, message, now_text(), only_first=only_first))

    def _write(self, act: _Unwritten) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        if self._stopped:  # nobody asks again for each of thousands
            self._unwritten.append(act)
            return
        try:
            if act.only_first and self._table is not None and _is_known_to_be_out(self._table, act.certificate_id):
                return
            self.did(act.certificate_id, act.status, act.before, act.message, at=act.at)
        except (JitrError, BotoCoreError, ClientError) as problem:
            self._stopped = aws_answers.is_hopeless(problem)
            self._unwritten.append(act)
            if not self._warned:
                told = f"{act.certificate_id[:12]} is {act.status}, but it cannot be written down who did it"
                telling.warn(f"{told}: {problem}")
            self._warned = True

    def did(
        self,
        certificate_id: str,
        status: str,
        before: str,
        message: str | None = None,
        overruled: Iterable[str] = (),
        *,
        at: str | None = None,
    ) -> None:
        """Write down one change of a status, made now or ``at`` a time; twice is the same as once.

        Raises Conflict where others write at the same time, again and again.
        """
        if self._table is None or not isinstance(self.account, Deployment):
            return
        act = Act(status, before, self._operator(self.account), at or now_text(), message, tuple(overruled))
        for _ in range(_ATTEMPTS):
            if _append(self._table, certificate_id, act):
                return
        raise Conflict(f"what was done by hand to {certificate_id}")


def _is_known_to_be_out(table: Table, certificate_id: str) -> bool:
    """Return whether an operator took a certificate out last, or the function decided that it is not in."""
    acts = acts_of(table, [certificate_id]).get(certificate_id)
    if acts:
        return acts[-1].status != "ACTIVE"
    return any(each.decision is not Verdict.ADMIT for each in table.records([certificate_id]))


def _append(table: Table, certificate_id: str, act: Act) -> bool:
    """Add an act to those before it, unless somebody else did so meanwhile; whether it is among them."""
    found = table.one(by_hand_key(certificate_id))
    acts, revision = ([], 0) if found is None else (list(found["acts"]), int(found["revision"]))
    if act.to_json() in acts:  # the answer was lost
        return True
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
