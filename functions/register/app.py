"""Answers AWS IoT's registration events: one SQS batch an invocation."""

import random
import time
from datetime import UTC, datetime
from functools import cache
from typing import Any

from aws_lambda_powertools import Metrics
from botocore.config import Config

from jitr.aws import clients, environment
from jitr.aws.crl_sources import CrlSources
from jitr.aws.crls import Crls
from jitr.aws.dynamodb.table import Table
from jitr.aws.iot import Iot
from jitr.aws.metrics import NAMESPACE
from jitr.aws.ocsp_responders import OcspResponders
from jitr.aws.pacing import Pace
from jitr.aws.telemetry import Telemetry, make_logger
from jitr.aws.web import Web
from jitr.services.registration.batch import Batch
from jitr.services.registration.registrar import Registrar

# Both take the stack's name as their service, from POWERTOOLS_SERVICE_NAME: two stacks in one account are told apart.
logger = make_logger(environment.log_level())
metrics = Metrics(namespace=NAMESPACE)

# AWS IoT's quotas are scarce: its throttling is answered by the queue, which waits, not by the SDK, which insists.
_IOT = Config(connect_timeout=3, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 1})
_OTHERS = Config(connect_timeout=1, read_timeout=3, retries={"mode": "standard", "total_max_attempts": 2})
# A list that cannot be had is asked for again in a minute, and the one at hand counts meanwhile.
_CRLS = Config(connect_timeout=1, read_timeout=3, retries={"mode": "standard", "total_max_attempts": 1})


@cache
def _batch() -> Batch:
    """Make it at the first invocation, so that importing this module asks nothing of AWS or the environment."""
    settings = environment.read()
    random.seed()  # else environments from one snapshot (SnapStart) would all come back at the same moments
    telemetry = Telemetry(logger, metrics)
    pace = Pace(environment.quotas(), clock=time.monotonic, sleep=time.sleep)
    dynamodb = clients.client("dynamodb", config=_OTHERS)
    dynamodb.meta.events.register("before-call", pace.in_time)
    web = Web()
    registrar = Registrar(
        iot=Iot(clients.client("iot", config=_IOT), pace),
        table=Table(dynamodb, settings.table),
        account_id=settings.account_id,
        clock=lambda: datetime.now(UTC),
        telemetry=telemetry,
        crls=Crls(CrlSources(lambda: clients.client("s3", config=_CRLS), web), telemetry),
        ocsp=OcspResponders(web, telemetry, turn=pace.take),
    )
    return Batch(
        handler=registrar,
        sqs=lambda: clients.client("sqs", config=_OTHERS),
        queue_url=settings.registration_queue_url,
        failures_url=settings.failures_queue_url,
        telemetry=telemetry,
        clock=lambda: datetime.now(UTC),
        jitter=random.random,
    )


@metrics.log_metrics(raise_on_empty_metrics=False)
def handler(event: dict[str, Any], context: Any) -> dict[str, list[dict[str, str]]]:
    """Handle a batch of registration events; what is reported as failed comes back, the rest is done with."""
    return _batch().handle(event["Records"], context.get_remaining_time_in_millis)
