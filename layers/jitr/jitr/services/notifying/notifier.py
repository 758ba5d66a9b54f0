"""Items of the table's stream told on the event bus: at least once, and in order of each device.

The write of an item is the outbox: nothing is told that was not written, and nothing written is left untold. A bus that
does not answer brings the batch back for as long as ``PATIENCE``, which holds up what comes after it and no admission.
Then what cannot be told is put in a queue, and the rest goes on.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from jitr.aws.dynamodb.table import from_item
from jitr.aws.errors import told_apart
from jitr.aws.telemetry import Telemetry
from jitr.errors import Refused, Retry
from jitr.records.notices import Notice, NoticeOrigin, notice_of
from jitr.values import dataclass

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

MOST_AT_ONCE = 10  # EventBridge API reference, PutEvents
PATIENCE = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class _Told:
    """A record of the stream, and what is told of it."""

    notice: Notice
    written_at: datetime


class Notifier:
    """Tells what a batch of the stream's records says.

    ``failures`` is the address of the queue for what cannot be told, ``clock`` the time.
    """

    def __init__(
        self,
        *,
        events: Any,
        bus: str,
        sqs: "SQSClient",
        failures: str,
        origin: NoticeOrigin,
        clock: Callable[[], datetime],
        telemetry: Telemetry,
    ) -> None:
        self._events = events
        self._bus = bus
        self._sqs = sqs
        self._failures = failures
        self._origin = origin
        self._clock = clock
        self._telemetry = telemetry

    def handle(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Tell all of a batch. Raises Retry where it is to come back, which tells some of it again."""
        for some in _at_once(self._told(records)):
            self._send(some)

    def _told(self, records: Iterable[Mapping[str, Any]]) -> Iterator[_Told]:
        for record in records:
            stream = record["dynamodb"]
            if "NewImage" not in stream:
                continue
            try:
                notice = notice_of(from_item(stream["NewImage"]), self._origin)
            except (KeyError, TypeError, ValueError) as problem:  # of a later version, or a bug: the others go on
                keys = from_item(stream["Keys"])
                self._telemetry.logger.exception("a notice cannot be made", extra={"pk": keys["pk"]})
                self._put_aside({"Keys": keys}, f"not made: {problem!r}")
                continue
            if notice is not None:
                yield _Told(notice, _time(stream["ApproximateCreationDateTime"]))

    def _send(self, some: list[_Told]) -> None:
        """Send up to ten, none of them about the same as another."""
        entries = [each.notice.entry(self._bus) for each in some]
        try:
            with told_apart():
                answer = self._events.put_events(Entries=entries)
            results = [each.get("ErrorCode") for each in answer["Entries"]]
        except (Retry, Refused) as refused:
            results = [str(refused)] * len(some)
        self._telemetry.count("Notices", sum(each is None for each in results))
        since = self._clock() - PATIENCE
        waiting = [each for each in zip(some, entries, results, strict=True) if each[2] is not None]
        if any(each.written_at > since for each, _, _ in waiting):
            raise Retry(
                "unavailable", f"{len(waiting)} of {len(some)} notices were not taken by the bus: {waiting[0][2]}"
            )
        for _, entry, problem in waiting:
            self._put_aside(entry, str(problem))

    def _put_aside(self, body: Mapping[str, Any], problem: str) -> None:
        self._telemetry.count("NoticesPutAside")
        told: Any = {"reason": {"DataType": "String", "StringValue": problem[:200] or "unknown"}}
        with told_apart():
            self._sqs.send_message(
                QueueUrl=self._failures,
                MessageBody=json.dumps(body),
                MessageAttributes=told,
            )


def _at_once(told: Iterable[_Told]) -> Iterator[list[_Told]]:
    """Put together what may be sent at once: nothing about the same twice, as each may be refused by itself."""
    some: list[_Told] = []
    for each in told:
        if len(some) == MOST_AT_ONCE or any(other.notice.about == each.notice.about for other in some):
            yield some
            some = []
        some.append(each)
    if some:
        yield some


def _time(epoch_seconds: float) -> datetime:
    return datetime.fromtimestamp(float(epoch_seconds), UTC)
