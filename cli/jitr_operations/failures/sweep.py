"""Certificates that are stuck pending because their event was lost, found CA by CA.

Goes through all certificates of a CA page by page. Where it got to is written into the table after each page, once the
queue has every event of it: whoever begins again goes on there. So a page may be swept twice, and none is left out.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from jitr.aws.dynamodb.sweeping import Marks
from jitr.errors import Retry
from jitr.records.event import own_event
from jitr.records.history import HistoryKind
from jitr.records.record import APPLYING
from jitr.text import counted
from jitr_operations import telling
from jitr_operations.deployment import Deployment
from jitr_operations.history import keeping
from jitr_operations.table import now, table_of

PENDING = "PENDING_ACTIVATION"
_PAGE = 250  # the most that ListCertificatesByCA gives
_MOST_AT_ONCE = 10  # SQS API reference, SendMessageBatch
# A decision that is being applied for so long is not: its message is gone.
_UNFINISHED = timedelta(hours=1)


@dataclass
class Swept:
    """The result of a sweep for one CA's certificates."""

    ca_certificate_id: str
    certificates: int = 0
    pending: int = 0
    stuck: int = 0
    sent: int = 0
    resumed: bool = False
    ids: list[str] = field(default_factory=list)  # of those that are stuck, in a dry run

    def to_json(self) -> dict[str, Any]:
        """Return it as ``--json`` prints it."""
        return {
            "ca_certificate_id": self.ca_certificate_id,
            "certificates": self.certificates,
            "pending": self.pending,
            "stuck": self.stuck,
            "sent": self.sent,
            "resumed": self.resumed,
        }


@dataclass(frozen=True)
class Sweep:
    """How to sweep."""

    deployment: Deployment
    older_than: timedelta
    pace: float  # events a second
    dry_run: bool
    restart: bool
    advance: Callable[[int], None] = lambda _steps: None

    def cas(self, swept: Sequence[Swept]) -> None:
        """Go through the certificates of several CAs, and tell how far it came where it was cut short."""
        if self.dry_run:
            self._cas(swept)
            return
        command = ("failures", "sweep", *(word for each in swept for word in ("--ca", each.ca_certificate_id[:12])))
        with keeping.doing(self.deployment, HistoryKind.FAILURES, command) as doing:
            try:
                self._cas(swept)
            finally:
                doing.after["sent"] = sum(each.sent for each in swept)

    def _cas(self, swept: Sequence[Swept]) -> None:
        try:
            with telling.progress("Looking at certificates", None) as advance:
                for each in swept:
                    replace(self, advance=advance).ca(each)
        except BaseException:
            telling.note(
                f"{counted(sum(each.sent for each in swept), 'event was', 'events were')} sent; "
                "the same command goes on where this stopped"
            )
            raise

    def ca(self, swept: Swept) -> None:
        """Go through all certificates of a CA, from where the last sweep was cut short."""
        ca_id, marks = swept.ca_certificate_id, Marks(table_of(self.deployment))
        mark = None if self.restart or self.dry_run else marks.read(ca_id, now())
        swept.resumed = mark is not None
        for page, after in self._pages(ca_id, mark):
            stuck = self._stuck(page, swept)
            if self.dry_run:
                swept.ids += stuck
                continue
            self._send(ca_id, stuck, swept)
            marks.write(ca_id, after, now())

    def _pages(self, ca_id: str, mark: str | None) -> Iterator[tuple[list[Any], str | None]]:
        """Each page of a CA's certificates, and the mark of the next one."""
        while True:
            answer = self._page(ca_id, mark)
            mark = answer.get("nextMarker")
            yield list(answer["certificates"]), mark
            if mark is None:
                return

    def _page(self, ca_id: str, mark: str | None) -> Any:
        from botocore.exceptions import ClientError

        iot = self.deployment.client("iot")
        if mark is None:
            return iot.list_certificates_by_ca(caCertificateId=ca_id, pageSize=_PAGE, ascendingOrder=True)
        try:
            return iot.list_certificates_by_ca(caCertificateId=ca_id, pageSize=_PAGE, ascendingOrder=True, marker=mark)
        except ClientError as problem:
            if problem.response["Error"]["Code"] != "InvalidRequestException":
                raise
            return self._page(ca_id, None)  # AWS IoT no longer knows the mark: from the beginning

    def _stuck(self, page: list[Any], swept: Swept) -> list[str]:
        """Return a page's pending certificates without a record, or whose decision was never carried out."""
        pending = [each["certificateId"] for each in page if each["status"] == PENDING and self._old_enough(each)]
        swept.certificates += len(page)
        swept.pending += sum(each["status"] == PENDING for each in page)
        records = {each.certificate_id: each for each in table_of(self.deployment).records(pending)}
        unfinished = now() - _UNFINISHED
        stuck = [
            each
            for each in pending
            if each not in records or (records[each].state == APPLYING and records[each].decided_at < unfinished)
        ]
        swept.stuck += len(stuck)
        self.advance(len(page))
        return stuck

    def _old_enough(self, certificate: Any) -> bool:
        """Return whether its event is certainly no longer under way."""
        created: datetime | None = certificate.get("creationDate")
        return created is None or created <= now() - self.older_than

    def _send(self, ca_id: str, stuck: list[str], swept: Swept) -> None:
        sqs, url = self.deployment.client("sqs"), self.deployment.output("RegistrationQueueUrl")
        for start in range(0, len(stuck), _MOST_AT_ONCE):
            some = stuck[start : start + _MOST_AT_ONCE]
            entries = [
                {"Id": str(place), "MessageBody": own_event(each, ca_id, self.deployment.account_id, now())}
                for place, each in enumerate(some)
            ]
            answer = sqs.send_message_batch(QueueUrl=url, Entries=entries)  # type: ignore[arg-type]
            swept.sent += len(answer.get("Successful", []))
            if answer.get("Failed"):
                raise Retry("queue", f"the queue refused {counted(len(answer['Failed']), 'event')}: sweep again")
            time.sleep(len(some) / self.pace)
