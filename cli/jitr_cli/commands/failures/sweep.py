"""``jitr failures sweep``: certificates that are stuck pending because their event was lost, found CA by CA.

Goes through all certificates of a CA page by page. Where it got to is written into the table after each page, once the
queue has every event of it: whoever begins again goes on there. So a page may be swept twice, and none is left out.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import click

from jitr.aws.dynamodb.sweeping import Marks
from jitr.errors import Retry
from jitr.records.event import own_event
from jitr.records.record import APPLYING
from jitr_cli.console.options import stack_options
from jitr_cli.console.output import confirm, emit, json_option, note, progress, table
from jitr_operations.cas.registry import all_ca_ids, find
from jitr_operations.deployment import Choice, Deployment
from jitr_operations.table import now, table_of

PENDING = "PENDING_ACTIVATION"
_PAGE = 250  # the most that ListCertificatesByCA gives
_MOST_AT_ONCE = 10  # SQS API reference, SendMessageBatch
# A decision that is being applied for so long is not: its message is gone.
_UNFINISHED = timedelta(hours=1)


@dataclass
class Swept:
    """What became of one CA's certificates."""

    ca_certificate_id: str
    certificates: int = 0
    pending: int = 0
    stuck: int = 0
    sent: int = 0
    resumed: bool = False
    ids: list[str] = field(default_factory=list)  # of those that are stuck, in a dry run

    def to_json(self) -> dict[str, Any]:
        """As ``--json`` prints it."""
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
    advance: Callable[[int], None] = lambda _count: None

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
        """The pending certificates of a page that no record knows, or whose decision was never carried out."""
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
        """Whether its event is certainly no longer under way."""
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
                raise Retry("queue", f"the queue refused {len(answer['Failed'])} events: sweep again")
            time.sleep(len(some) / self.pace)


@click.command("sweep")
@click.option("--ca", "cas", multiple=True, metavar="CA", help="Only certificates of this CA (id or file); repeatable.")
@click.option(
    "--older-than",
    default=10.0,
    show_default=True,
    type=click.FloatRange(0),
    metavar="MINUTES",
    help="Only certificates registered longer ago: the event of a younger one may be under way.",
)
@click.option(
    "--pace", default=5.0, show_default=True, type=click.FloatRange(0.1, 1000), help="At most so many events a second."
)
@click.option("--dry-run", is_flag=True, help="Only count and show them.")
@click.option("--restart", is_flag=True, help="Begin with the first page, whatever an earlier sweep got to.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@stack_options
@json_option
def sweep(
    cas: tuple[str, ...],
    older_than: float,
    pace: float,
    dry_run: bool,
    restart: bool,
    yes: bool,
    choice: Choice,
    as_json: bool,
) -> None:
    """Find certificates that are stuck pending, and put an event for each on the registration queue.

    A certificate is stuck if it is PENDING_ACTIVATION and no decision is on record, or one that was begun more than
    an hour ago and never finished: its event was lost. Its device would knock again at its next connection; a sweep
    does not wait for that. Held devices have a record and are left alone.

    A sweep that was cut short goes on where it stopped, within a day.

    \b
    Examples:
      jitr failures sweep --dry-run
      jitr failures sweep --ca 3f9c0c6f --pace 2
    """
    deployment = choice.deployment()
    iot = deployment.client("iot")
    ids = [find(iot, each).id for each in cas] or all_ca_ids(iot)
    if not dry_run:
        deployment.announce("sqs")
        confirm(f"Sweep the certificates of {len(ids)} CAs?", yes)
    how = Sweep(deployment, timedelta(minutes=older_than), pace, dry_run, restart)
    swept = [Swept(each) for each in ids]
    try:
        with progress("Looking at certificates", None) as advance:
            for each in swept:
                replace(how, advance=advance).ca(each)
    except BaseException:
        note(f"{sum(each.sent for each in swept)} events were sent; the same command goes on where this stopped")
        raise
    document = {
        "dry_run": dry_run,
        "stuck": sum(each.stuck for each in swept),
        "sent": sum(each.sent for each in swept),
        "cas": [each.to_json() for each in swept],
    }
    if dry_run:
        document["certificate_ids"] = [identifier for each in swept for identifier in each.ids]
    emit(as_json, document, lambda: _show(swept, dry_run))


def _show(swept: list[Swept], dry_run: bool) -> None:
    rows = [(each.ca_certificate_id[:12], each.certificates, each.pending, each.stuck, each.sent) for each in swept]
    table(("CA", "certificates", "pending", "stuck", "sent"), rows)
    for each in swept:
        for identifier in each.ids:
            click.echo(identifier)
    if dry_run:
        note("Nothing was sent: leave --dry-run away.")
