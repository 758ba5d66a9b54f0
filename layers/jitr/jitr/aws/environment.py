"""The one module that reads the environment of a function."""

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Environment:
    """What the template tells a function."""

    table: str
    registration_queue_url: str
    failures_queue_url: str
    account_id: str


def read() -> Environment:
    """The environment of this function. Raises KeyError for a variable that the template did not set."""
    return Environment(
        table=os.environ["JITR_TABLE"],
        registration_queue_url=os.environ["JITR_REGISTRATION_QUEUE_URL"],
        failures_queue_url=os.environ["JITR_FAILURES_QUEUE_URL"],
        account_id=os.environ["JITR_ACCOUNT_ID"],
    )
