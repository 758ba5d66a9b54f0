"""Digests for people: newly held devices counted as the stream brings them, and mailed when a mail is due.

They are counted in the table, and what is counted is sent by whoever looks every minute: one hand at a time, from the
write that closes a digest to the write that says it was sent. Cut off in between, the same digest is sent again.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from jitr.aws.dynamodb.digests import DigestTable
from jitr.aws.dynamodb.table import Conflict, from_item
from jitr.aws.errors import told_apart
from jitr.aws.telemetry import Telemetry
from jitr.records.digest_mail import mail_of
from jitr.records.digests import Digests, NewlyHeld, newly_held
from jitr.records.notices import NoticeOrigin

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient

_MOST_CONFLICTS = 10


class Digester:
    """Counts newly held devices, and sends digests of them to a topic, at most one in a ``period`` of known kinds."""

    def __init__(
        self,
        *,
        digests: DigestTable,
        sns: "SNSClient",
        topic: str,
        period: timedelta,
        origin: NoticeOrigin,
        clock: Callable[[], datetime],
        telemetry: Telemetry,
    ) -> None:
        self._digests = digests
        self._sns = sns
        self._topic = topic
        self._period = period
        self._origin = origin
        self._clock = clock
        self._telemetry = telemetry

    def note(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Count the devices that began to wait. Raises Retry where the batch is to come back; none is counted twice."""
        devices = [each for each in map(self._newly_held, records) if each is not None]
        if devices:
            self._digests.note(devices, self._clock())

    def _newly_held(self, record: Mapping[str, Any]) -> NewlyHeld | None:
        image = record["dynamodb"].get("NewImage")
        if image is None:
            return None
        try:
            return newly_held(from_item(image))
        except (KeyError, TypeError, ValueError):  # of a later version, or a bug: the others are counted
            self._telemetry.logger.exception("a newly held device cannot be read", extra={"pk": image.get("pk")})
            return None

    def send(self) -> None:
        """Send the digest that is due, if one is. Raises Retry or Refused where it was not sent: it is due again."""
        mine = self._write(lambda digests: digests.taken(self._clock(), self._period))
        if mine is None or mine.sending is None:
            return
        mail, number = mail_of(mine.sending, self._origin, attempts=mine.attempts), mine.sending.number
        with told_apart():
            self._sns.publish(TopicArn=self._topic, Subject=mail.subject, Message=mail.text)
        self._telemetry.count("Digests")
        self._write(lambda digests: digests.sent(number, self._clock()))

    def _write(self, step: Callable[[Digests], Digests | None]) -> Digests | None:
        """Take a step on the digests as they are; None where there is none to take."""
        for _ in range(_MOST_CONFLICTS):
            after = step(self._digests.read())
            if after is None or self._digests.write(after):
                return after
        raise Conflict("the digest")
