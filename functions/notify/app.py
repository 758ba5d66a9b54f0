"""Tells an event bus what was decided and changed, and people, in digests, which devices began to wait."""

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from aws_lambda_powertools import Metrics
from botocore.config import Config

from jitr.aws import clients, environment
from jitr.aws.dynamodb.digests import DigestTable
from jitr.aws.dynamodb.table import Table
from jitr.aws.metrics import NAMESPACE
from jitr.aws.telemetry import Telemetry, make_logger
from jitr.records.notices import NoticeOrigin
from jitr.services.notifying.digester import Digester
from jitr.services.notifying.notifier import Notifier

logger = make_logger(environment.log_level())
metrics = Metrics(namespace=NAMESPACE)

_PATIENT = Config(connect_timeout=2, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 3})


# Both are made at the first invocation, so that importing this module asks nothing of AWS or the environment.
@cache
def _notifier() -> Notifier | None:
    """Return what tells the bus; None where it is off."""
    settings = environment.read_for_notify()
    if settings.bus == environment.OFF:
        return None
    return Notifier(
        events=clients.client("events", config=_PATIENT),
        bus=settings.bus,
        sqs=clients.client("sqs", config=_PATIENT),
        failures=settings.failures_queue_url,
        origin=_origin(settings),
        clock=lambda: datetime.now(UTC),
        telemetry=Telemetry(logger, metrics),
    )


@cache
def _digester() -> Digester | None:
    """Return what sends digests; None where nobody gets any."""
    settings = environment.read_for_notify()
    if not settings.topic:
        return None
    return Digester(
        digests=DigestTable(Table(clients.client("dynamodb", config=_PATIENT), settings.table)),
        sns=clients.client("sns", config=_PATIENT),
        topic=settings.topic,
        period=timedelta(minutes=settings.digest_minutes),
        origin=_origin(settings),
        clock=lambda: datetime.now(UTC),
        telemetry=Telemetry(logger, metrics),
    )


def _origin(settings: environment.NotifyEnvironment) -> NoticeOrigin:
    return NoticeOrigin(settings.stack, settings.partition, settings.region, settings.account_id)


@metrics.log_metrics(raise_on_empty_metrics=False)
def handler(event: dict[str, Any], _context: Any) -> None:
    """Handle records of the table's stream, or ``{"notify": "digest"}``; an exception brings a batch back.

    Newly held devices are counted first: a bus that is away keeps no mail back.
    """
    digester = _digester()
    if event.get("notify") == "digest":
        if digester is not None:
            digester.send()
        return
    notifier = _notifier()
    if digester is not None:
        digester.note(event["Records"])
    if notifier is not None:
        notifier.handle(event["Records"])
