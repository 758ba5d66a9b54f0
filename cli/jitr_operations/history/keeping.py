"""Writing down what an operator changes.

A change that is one transaction in the table has its entry in that transaction. One in AWS IoT, or of several steps,
has it written before the first step and again after the last: where that was cut off, the entry says that it was begun.
"""

import secrets
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any, TypeAlias, Unpack

from jitr.aws.dynamodb.history import device_put, entry_put, entry_puts
from jitr.aws.dynamodb.table import Table
from jitr.errors import InputError, JitrError
from jitr.records import history
from jitr.records.history import MOST_DEVICES, Author, ChangeDetails, HistoryEntry, HistoryKind, Values
from jitr_operations import aws_answers, telling
from jitr_operations.accounts import Account
from jitr_operations.deployment import Choice, Deployment
from jitr_operations.table import operator, table_of

NOT_KEPT = "It is not written into the history who does this"


def account_of(choice: Choice, *, stack_needed: bool) -> Account:
    """Return where to work: the deployment, or the account alone and a note where no stack is to be had.

    CAs can be looked after before a stack is deployed, and by who may not see it. Raises InputError where the stack is
    needed and is not there, and what ``Choice.account`` raises.
    """
    try:
        return choice.deployment()
    except Exception as problem:
        if stack_needed or not (isinstance(problem, InputError) or aws_answers.is_denied(problem)):
            raise
        account = choice.account()  # raises what is wrong with the account itself
        telling.note(f"{NOT_KEPT}: {problem}")
        return account


def entry(
    deployment: Deployment,
    kind: HistoryKind,
    command: Iterable[object],
    *,
    by: str | None = None,
    **told: Unpack[ChangeDetails],
) -> HistoryEntry:
    """Return the entry of a change, as it is written with it in one transaction; ``by`` is who makes it, where known.

    ``command`` are the words that one types after ``jitr`` to have the same done.
    """
    author = Author(by or operator(deployment), deployment.tool, int(deployment.outputs.get("HistoryDays", "0")))
    words = " ".join(shlex.quote(str(each)) for each in command)
    return history.entry(author, _now(), secrets.token_hex(8), kind, words, **told)


def puts(deployment: Deployment, made: HistoryEntry) -> list[Any]:
    """Return the actions that write an entry, for the transaction that makes the change."""
    return entry_puts(table_of(deployment).name, made)


@dataclass
class Doing:
    """A change under way. ``after`` is what is so by now."""

    table: Table | None = None
    entry: HistoryEntry | None = None
    after: dict[str, Any] = field(default_factory=dict)
    _stopped: bool = False  # nobody asks again for each of thousands

    def touched(self, certificate_id: str) -> None:
        """Let the entry be found from a device that it does not name, as it has too many."""
        if self.table is None or self.entry is None or self._stopped or certificate_id in self.entry.devices:
            return
        try:
            self.table.transact([device_put(self.table.name, self.entry, certificate_id)])
        except Exception as problem:  # noqa: BLE001 - what is kept of the device itself says who it was as well
            self._stopped = aws_answers.is_hopeless(problem)

    def count(self, status: str) -> None:
        """Count a device that has a status by now."""
        self.after[status] = self.after.get(status, 0) + 1

    def end(self, problem: BaseException | None) -> None:
        """Write down how it ended; where that cannot be, the entry says for ever that it was begun."""
        if self.table is None or self.entry is None:
            return
        ended = self.entry.done(history.place(_now()), **self.after)
        if problem is not None:
            ended = ended.failed(history.place(_now()), _in_words(problem))
        try:
            self.table.transact([entry_put(self.table.name, ended)])
        except Exception as unwritten:
            if not _is_expected(unwritten):
                raise
            telling.warn(f"how this ended cannot be written into the history: {_in_words(unwritten)}")


Changing: TypeAlias = AbstractContextManager[Doing]


@contextmanager
def doing(
    account: Account | None,
    kind: HistoryKind,
    command: Iterable[object],
    *,
    subject: str | None = None,
    why: str | None = None,
    before: Values | None = None,
    devices: Iterable[str] = (),
    lets_in: bool = False,
) -> Iterator[Doing]:
    """Write down that a change is begun, have it made in the block, and write down how it ended.

    Where it cannot be written that it is begun, a change that ``lets_in`` devices is not made; any other is, with a
    warning: nothing keeps an operator from shutting a device out. Without a stack nothing is written.
    """
    begun = _begun(account, kind, command, subject, why, before, devices, lets_in=lets_in)
    try:
        yield begun
    except BaseException as problem:
        begun.end(problem)
        raise
    begun.end(None)


def _begun(
    account: Account | None,
    kind: HistoryKind,
    command: Iterable[object],
    subject: str | None,
    why: str | None,
    before: Values | None,
    devices: Iterable[str],
    *,
    lets_in: bool,
) -> Doing:
    if not isinstance(account, Deployment):
        return Doing()
    try:
        table = table_of(account)
        made = entry(account, kind, command, subject=subject, why=why, before=before, devices=devices).begun()
        table.transact(entry_puts(table.name, made))
    except Exception as problem:
        if lets_in or not _is_expected(problem):
            raise
        telling.warn(f"{NOT_KEPT}: {_in_words(problem)}")
        return Doing()
    return Doing(table, made)


def statuses(values: Iterable[str]) -> Values:
    """Return how many devices have each status, as the history tells it."""
    return dict(Counter(values))


def short(certificate_ids: Iterable[str]) -> list[str]:
    """Return ids as one types them, of so many devices as an entry names."""
    return [each[:12] for each in some(certificate_ids)]


def some(words: Iterable[str]) -> list[str]:
    """Return so many words of a command as an entry keeps."""
    return list(islice(words, MOST_DEVICES))


def _is_expected(problem: Exception) -> bool:
    return isinstance(problem, JitrError) or aws_answers.is_of_aws(problem)


def _in_words(problem: BaseException) -> str:
    if isinstance(problem, JitrError):
        return str(problem)
    if isinstance(problem, Exception) and aws_answers.is_of_aws(problem):
        return aws_answers.in_words(problem)
    return "interrupted" if isinstance(problem, KeyboardInterrupt) else type(problem).__name__


def _now() -> datetime:
    return datetime.now(UTC)
