"""Putting held devices back on the registration queue: one path applies decisions."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from jitr.aws.errors import told_apart
from jitr.errors import Retry
from jitr.records.event import own_event
from jitr.text import counted

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

_BATCH = 10  # Amazon SQS API reference, SendMessageBatch
_TRIES = 3


class RegistrationQueue:
    """The queue, and how much room there is in it for devices that did not knock themselves.

    Those who knock come first: no more is added while ``most_waiting`` messages wait. The queue's own count is
    approximate, and a little late; what was added since it was read is counted here.
    """

    def __init__(self, sqs: "SQSClient", url: str, account_id: str, most_waiting: int) -> None:
        self._sqs = sqs
        self._url = url
        self._account_id = account_id
        self._most_waiting = most_waiting
        self._room = 0

    def has_room(self) -> bool:
        """Return whether the queue can take more. Raises Retry where SQS could not answer now."""
        if self._room <= 0:
            with told_apart():
                answer = self._sqs.get_queue_attributes(
                    QueueUrl=self._url, AttributeNames=["ApproximateNumberOfMessages"]
                )
            self._room = self._most_waiting - int(answer["Attributes"]["ApproximateNumberOfMessages"])
        return self._room > 0

    def look_again(self) -> None:
        """Forget what was known of the room: an invocation begins, and the one before was a while ago."""
        self._room = 0

    def ask(self, devices: Sequence[tuple[str, str]], now: datetime) -> None:
        """Have devices, given by certificateId and caCertificateId, decided again.

        Raises Retry where SQS did not take all of them; those that it took are asked for twice then, which is no harm.
        """
        for start in range(0, len(devices), _BATCH):
            some = devices[start : start + _BATCH]
            bodies = [own_event(certificate, ca, self._account_id, now) for certificate, ca in some]
            self._send([{"Id": str(number), "MessageBody": body} for number, body in enumerate(bodies)])
            self._room -= len(some)

    def _send(self, entries: list[Any]) -> None:
        for _ in range(_TRIES):
            with told_apart():
                answer = self._sqs.send_message_batch(QueueUrl=self._url, Entries=entries)
            failed = {each["Id"] for each in answer.get("Failed", [])}
            entries = [each for each in entries if each["Id"] in failed]
            if not entries:
                return
        raise Retry("unavailable", f"the registration queue did not take {counted(len(entries), 'message')}")
