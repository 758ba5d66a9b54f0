"""Checks the devices that are in, a quarter of an hour at a time, and tells CloudWatch what it found."""

import time
from datetime import UTC, datetime
from functools import cache, partial
from typing import Any

from aws_lambda_powertools import Metrics
from botocore.config import Config

from jitr.aws import clients, environment
from jitr.aws.crl_sources import CrlSources
from jitr.aws.crls import Crls
from jitr.aws.dynamodb.table import Table
from jitr.aws.iot import Iot
from jitr.aws.iot_listings import Listings
from jitr.aws.metrics import NAMESPACE
from jitr.aws.pacing import Pace
from jitr.aws.telemetry import Telemetry, make_logger
from jitr.aws.web import Web
from jitr.services.fleet.pages import FleetPages
from jitr.services.fleet.scheduled import FleetCheck, scheduled_examiner

# Both take the stack's name as their service, from POWERTOOLS_SERVICE_NAME: two stacks in one account are told apart.
logger = make_logger(environment.log_level())
metrics = Metrics(namespace=NAMESPACE)

# What AWS IoT throttles is asked for again by ``Listings``, after the pause that the pace makes.
_IOT = Config(connect_timeout=3, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 1})
_OTHERS = Config(connect_timeout=2, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 5})


@cache
def _check() -> FleetCheck:
    """Made at the first invocation, so that importing this module asks nothing of AWS or the environment."""
    settings = environment.read_for_fleet()
    telemetry = Telemetry(logger, metrics)
    pace = Pace(environment.quotas(), clock=time.monotonic, sleep=time.sleep)
    client = clients.client("iot", config=_IOT)
    iot, table = Iot(client, pace), Table(clients.client("dynamodb", config=_OTHERS), settings.table)
    crls = Crls(CrlSources(lambda: clients.client("s3", config=_OTHERS), Web()), telemetry)

    def now() -> datetime:
        return datetime.now(UTC)

    pages = partial(
        FleetPages,
        table=table,
        iot=iot,
        listings=Listings(client, pace),
        examiner=scheduled_examiner(table, iot, crls, now),
        clock=now,
        soon=settings.soon,
    )
    return FleetCheck(table=table, iot=iot, pages=pages, clock=now, telemetry=telemetry, every=settings.every)


@metrics.log_metrics(raise_on_empty_metrics=False)
def handler(event: dict[str, Any], context: Any) -> None:
    """Handle ``{"fleet": "due"}``, from the schedule, or ``{"fleet": "now"}``; the next invocation goes on."""
    _check().handle(event, context.get_remaining_time_in_millis)
