"""Has held devices decided again: after changes of rules and lists, and every minute those that are due."""

from datetime import UTC, datetime
from functools import cache
from typing import Any

from aws_lambda_powertools import Metrics
from botocore.config import Config

from jitr.aws import clients, environment
from jitr.aws.dynamodb.table import Table
from jitr.aws.metrics import NAMESPACE
from jitr.aws.registration_queue import RegistrationQueue
from jitr.aws.telemetry import Telemetry, make_logger
from jitr.services.recheck.recheck import Recheck

# Both take the stack's name as their service, from POWERTOOLS_SERVICE_NAME: two stacks in one account are told apart.
logger = make_logger(environment.log_level())
metrics = Metrics(namespace=NAMESPACE)

_PATIENT = Config(connect_timeout=2, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 3})


@cache
def _recheck() -> Recheck:
    """Make it at the first invocation, so that importing this module asks nothing of AWS or the environment."""
    settings = environment.read_for_recheck()
    return Recheck(
        table=Table(clients.client("dynamodb", config=_PATIENT), settings.table),
        queue=RegistrationQueue(
            clients.client("sqs", config=_PATIENT),
            settings.registration_queue_url,
            settings.account_id,
            settings.most_waiting,
        ),
        clock=lambda: datetime.now(UTC),
        telemetry=Telemetry(logger, metrics),
    )


@metrics.log_metrics(raise_on_empty_metrics=False)
def handler(event: dict[str, Any], context: Any) -> None:
    """Handle changes from the table's stream, or ``{"recheck": "due"}``; an exception brings the invocation back."""
    _recheck().handle(event, context.get_remaining_time_in_millis)
