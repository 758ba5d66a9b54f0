"""Logs and metrics: one structured line and one metric for everything that becomes of a message.

No line holds a PEM, a key or a whole event; what comes from a certificate is in ``reasons`` and escaped by JSON.
"""

import logging
import warnings

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit, single_metric

from jitr.aws.metrics import NAMESPACE


def make_logger(level: str) -> Logger:
    """Return a function's logger, with a least level of its own.

    Powertools would take Lambda's level where there is one. That one is never above INFO, because Lambda would drop
    metrics, which are lines without a level. Lambda believes a line's level only if its time is as in RFC 3339.
    https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html
    """
    logger = Logger(use_rfc3339=True)
    logging.getLogger(logger.name).setLevel(level)
    # Powertools writes a line that is no JSON where an invocation counts nothing, which is usual here.
    warnings.filterwarnings("ignore", "No application metrics to publish")
    return logger


class Telemetry:
    """The logger and the metrics of one function."""

    def __init__(self, logger: Logger, metrics: Metrics) -> None:
        self.logger = logger
        self.metrics = metrics

    def about(self, certificate_id: str) -> None:
        """Put this certificateId into every line from here on."""
        self.logger.append_keys(certificateId=certificate_id)

    def about_nothing(self) -> None:
        """Drop the certificateId: the next message is another device's."""
        self.logger.remove_keys(["certificateId"])

    def count(self, name: str, number: int = 1, *, reason: str | None = None) -> None:
        """Add to a metric, and to the same metric by reason."""
        self._add(name, MetricUnit.Count, number, reason)

    def milliseconds(self, name: str, value: float) -> None:
        """Record a length of time."""
        self._add(name, MetricUnit.Milliseconds, value, None)

    def seconds(self, name: str, value: float, *, reason: str) -> None:
        """Record a longer length of time, and the same by reason."""
        self._add(name, MetricUnit.Seconds, value, reason)

    def _add(self, name: str, unit: MetricUnit, value: float, reason: str | None) -> None:
        self.metrics.add_metric(name=name, unit=unit, value=value)
        if reason is None:
            return
        dimensions = {"service": str(self.metrics.service), "reason": reason}
        with single_metric(name=name, unit=unit, value=value, namespace=NAMESPACE, default_dimensions=dimensions):
            pass
