"""Publishes rules and device lists that are uploaded to the configuration bucket, and writes verdicts beside them."""

import json
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

from aws_lambda_powertools import Metrics
from botocore.config import Config

from jitr.aws import clients, environment
from jitr.aws.dynamodb.table import Table
from jitr.aws.metrics import NAMESPACE
from jitr.aws.telemetry import Telemetry, make_logger
from jitr.errors import InputError
from jitr.records.upload import UploadedObject, UploadOutcome, UploadVerdict, read_record
from jitr.services.lists.device_lists import KEPT_DAYS
from jitr.services.lists.leftovers import Leftovers
from jitr.services.lists.list_import import Imports
from jitr.services.publishing.uploads import UploadHandler
from jitr.times import rfc3339

logger = make_logger(environment.log_level())
metrics = Metrics(namespace=NAMESPACE)

# Nobody waits at a door for these calls: the SDK may insist.
_CONFIG = Config(connect_timeout=3, read_timeout=20, retries={"mode": "standard", "total_max_attempts": 6})
_RESERVE = 60_000  # milliseconds, to write down how far it is, and the verdict
_OLD_GENERATION = timedelta(hours=1)
_GIVEN_UP = timedelta(days=1)


class _Publisher:
    """One invocation."""

    def __init__(self, context: Any) -> None:
        self._settings = environment.publish()
        self._telemetry = Telemetry(logger, metrics)
        self._left = context.get_remaining_time_in_millis
        self._table = Table(clients.client("dynamodb", config=_CONFIG), self._settings.table)
        self._uploads = UploadHandler(
            s3=clients.client("s3", config=_CONFIG),
            iot=lambda: clients.client("iot", config=_CONFIG),
            table=self._table,
            imports=Imports(self._table, clock=_now, token=_generation, hurry=self._hurry),
            clock=_clock,
            told=self._tell,
            late=self._hurry,
            history_days=self._settings.history_days,
        )

    def uploaded(self, record: dict[str, Any], edition: str | None) -> None:
        """Publish what an event of S3 tells of. What is not done when the time is up goes on in the next invocation."""
        try:
            uploaded = read_record(record)
        except InputError:
            logger.exception("not an event of S3")
            return
        if uploaded.left_alone:
            return
        verdict = self._uploads.handle(uploaded, edition)
        if verdict is None:
            logger.info("not judged: it has its verdict, or is not the latest version", extra=_about(uploaded))
        elif not verdict.final:
            # AWS Lambda ends a chain of more than 16 such invocations, and tells the refusals topic of it. A list of
            # MAX_LIST_BYTES takes fewer; an import that gets nowhere ends there.
            clients.client("lambda", config=_CONFIG).invoke(
                FunctionName=self._settings.function,
                InvocationType="Event",
                Payload=json.dumps({"Records": [record], "edition": verdict.details["edition"]}).encode(),
            )

    def tidy(self) -> None:
        """Let the rows go that no reader looks at any more."""
        now = datetime.now(UTC)
        ends = int((now + _OLD_GENERATION).timestamp())
        Leftovers(self._table, hurry=self._hurry).sweep(
            expires_at=ends,
            given_up_before=rfc3339(now - _GIVEN_UP),
            kept_since=rfc3339(now - timedelta(days=KEPT_DAYS)),
        )

    def _hurry(self) -> bool:
        return bool(self._left() < _RESERVE)

    def _tell(self, verdict: UploadVerdict) -> None:
        # The first line: those after it repeat lines of the file, which belong beside it and not in a log.
        told = {"verdict": verdict.message.partition("\n")[0]}
        logger.info(f"upload {verdict.outcome.value}", extra=_about(verdict.uploaded) | told)
        if verdict.outcome is UploadOutcome.REFUSED:
            self._telemetry.count("DropsRefused")
            clients.client("sns", config=_CONFIG).publish(
                TopicArn=self._settings.refusals_topic,
                Subject="jitr refused what was uploaded to the configuration bucket",
                Message=verdict.text(),
            )
        elif verdict.final:
            self._telemetry.count("DropsPublished")


def _about(uploaded: UploadedObject) -> dict[str, Any]:
    return {"key": uploaded.key, "version": uploaded.version, "by": uploaded.by}


def _clock() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def _now() -> str:
    return rfc3339(_clock())


def _generation() -> str:
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"


@metrics.log_metrics(raise_on_empty_metrics=False)
def handler(event: dict[str, Any], context: Any) -> None:
    """Answer S3's events about objects, or the schedule that asks to tidy up."""
    publisher = _Publisher(context)
    for record in event.get("Records", ()):
        publisher.uploaded(record, event.get("edition"))
    if event.get("source") == "aws.events":
        publisher.tidy()
