"""The one module that reads the environment of a function."""

import os
from datetime import timedelta

from jitr.aws.quotas import Quotas
from jitr.values import dataclass


@dataclass(frozen=True, slots=True)
class Environment:
    """RegisterFunction's settings from the template."""

    table: str
    registration_queue_url: str
    failures_queue_url: str
    account_id: str


def read() -> Environment:
    """Read the environment of this function. Raises KeyError for a variable that the template did not set."""
    return Environment(
        table=os.environ["JITR_TABLE"],
        registration_queue_url=os.environ["JITR_REGISTRATION_QUEUE_URL"],
        failures_queue_url=os.environ["JITR_FAILURES_QUEUE_URL"],
        account_id=os.environ["JITR_ACCOUNT_ID"],
    )


@dataclass(frozen=True, slots=True)
class RecheckEnvironment:
    """RecheckFunction's settings from the template."""

    table: str
    registration_queue_url: str
    account_id: str
    most_waiting: int  # messages in the registration queue above which nothing is added


def read_for_recheck() -> RecheckEnvironment:
    """Read the environment of this function. Raises KeyError for a variable that the template did not set."""
    return RecheckEnvironment(
        table=os.environ["JITR_TABLE"],
        registration_queue_url=os.environ["JITR_REGISTRATION_QUEUE_URL"],
        account_id=os.environ["JITR_ACCOUNT_ID"],
        most_waiting=int(os.environ["JITR_MOST_WAITING"]),
    )


@dataclass(frozen=True, slots=True)
class FleetEnvironment:
    """FleetFunction's settings from the template."""

    table: str
    every: timedelta  # how often the fleet is checked
    soon: timedelta  # how long before its end a device's certificate is told of


# ``off`` has no schedule: the function runs only where somebody invokes it.
_EVERY = {"off": timedelta(days=1), "daily": timedelta(days=1), "weekly": timedelta(days=7)}


def read_for_fleet() -> FleetEnvironment:
    """Read the environment of this function. Raises KeyError for a variable that the template did not set."""
    return FleetEnvironment(
        table=os.environ["JITR_TABLE"],
        every=_EVERY[os.environ["JITR_FLEET_CHECK"]],
        soon=timedelta(days=int(os.environ["JITR_EXPIRING_SOON_DAYS"])),
    )


def log_level() -> str:
    """Return the least level to log, as LogLevel says; INFO where nothing says so."""
    return os.environ.get("LOG_LEVEL", "INFO")


def quotas() -> Quotas:
    """Read the account's quotas, and the share that is this function's.

    The template's defaults stand in for what is not set: FleetFunction needs few of them, and while an update is under
    way new code runs with the old environment.
    """
    return Quotas(
        certificates=float(os.environ.get("JITR_CERTIFICATE_QUOTA", "10")),
        policies=float(os.environ.get("JITR_POLICY_QUOTA", "15")),
        things=float(os.environ.get("JITR_THING_QUOTA", "100")),
        share=float(os.environ.get("JITR_QUOTA_SHARE", "98")) / 100,
        environments=int(os.environ.get("JITR_MAXIMUM_CONCURRENCY", "8")),
        ocsp=float(os.environ.get("JITR_OCSP_PER_SECOND", "10")),
    )


OFF = "off"  # in place of an event bus


@dataclass(frozen=True, slots=True)
class NotifyEnvironment:
    """NotifyFunction's settings from the template."""

    bus: str  # or OFF
    table: str
    topic: str  # that digests go to; empty: nobody gets any
    digest_minutes: int
    failures_queue_url: str
    stack: str
    partition: str
    region: str
    account_id: str


def read_for_notify() -> NotifyEnvironment:
    """Read the environment of this function. Raises KeyError for a variable that the template did not set.

    Those of digests may be absent, as while an update is under way: none are made then.
    """
    return NotifyEnvironment(
        bus=os.environ["JITR_EVENT_BUS"],
        table=os.environ.get("JITR_TABLE", ""),
        topic=os.environ.get("JITR_NOTIFICATIONS_TOPIC", ""),
        digest_minutes=int(os.environ.get("JITR_DIGEST_MINUTES", "15")),
        failures_queue_url=os.environ["JITR_NOTIFY_FAILURES_URL"],
        stack=os.environ["JITR_STACK"],
        partition=os.environ["JITR_PARTITION"],
        region=os.environ["AWS_REGION"],  # of Lambda's making
        account_id=os.environ["JITR_ACCOUNT_ID"],
    )


@dataclass(frozen=True, slots=True)
class PublishEnvironment:
    """PublishFunction's settings from the template."""

    table: str
    refusals_topic: str
    function: str
    history_days: int  # that entries of the history are kept; 0 for ever


def publish() -> PublishEnvironment:
    """Read the environment of PublishFunction. Raises KeyError for a variable that is not set.

    Without ``JITR_HISTORY_DAYS``, as while an update is under way, the history is kept for ever.
    """
    return PublishEnvironment(
        table=os.environ["JITR_TABLE"],
        refusals_topic=os.environ["JITR_REFUSALS_TOPIC"],
        function=os.environ["AWS_LAMBDA_FUNCTION_NAME"],  # of Lambda's making
        history_days=int(os.environ.get("JITR_HISTORY_DAYS", "0")),
    )
