"""Tells others on the event bus what was decided on devices and what operators changed."""

from datetime import UTC, datetime
from functools import cache
from typing import Any

from aws_lambda_powertools import Metrics
from botocore.config import Config

from jitr.aws import clients, environment
from jitr.aws.metrics import NAMESPACE
from jitr.aws.telemetry import Telemetry, make_logger
from jitr.records.notices import NoticeOrigin
from jitr.services.notifying.notifier import Notifier

logger = make_logger(environment.log_level())
metrics = Metrics(namespace=NAMESPACE)

_PATIENT = Config(connect_timeout=2, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 3})


@cache
def _notifier() -> Notifier:
    """Made at the first invocation, so that importing this module asks nothing of AWS or the environment."""
    settings = environment.read_for_notify()
    return Notifier(
        events=clients.client("events", config=_PATIENT),
        bus=settings.bus,
        sqs=clients.client("sqs", config=_PATIENT),
        failures=settings.failures_queue_url,
        origin=NoticeOrigin(settings.stack, settings.partition, settings.region, settings.account_id),
        clock=lambda: datetime.now(UTC),
        telemetry=Telemetry(logger, metrics),
    )


@metrics.log_metrics(raise_on_empty_metrics=False)
def handler(event: dict[str, Any], _context: Any) -> None:
    """Handle records of the table's stream; an exception brings the batch back."""
    _notifier().handle(event["Records"])
