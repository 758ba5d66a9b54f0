"""The deployed table, for commands: with AWS's passing errors told as what they are."""

import getpass
from datetime import UTC, datetime

from jitr.aws.dynamodb.table import Table
from jitr.times import rfc3339
from jitr_operations.deployment import Deployment


def table_of(deployment: Deployment) -> Table:
    """Return the table of a deployment."""
    return Table(deployment.client("dynamodb"), deployment.output("TableName"))


def now() -> datetime:
    """Return the time, aware, to the second: what commands write down."""
    return datetime.now(UTC).replace(microsecond=0)


def now_text() -> str:
    """Return the time as it is written down."""
    return rfc3339(now())


def operator(deployment: Deployment) -> str:
    """Return who is doing this: the caller's ARN as AWS knows it, and the user's name on this machine."""
    arn = deployment.client("sts").get_caller_identity()["Arn"]
    try:
        return f"{arn} ({getpass.getuser()})"
    except (OSError, KeyError):  # a user without a name, in some containers
        return arn
