"""Whether the devices of a verification would be decided by one stack alone."""

from jitr.errors import InputError
from jitr_operations.deployment import Account
from jitr_operations.rules.topic_rules import others


def require_alone(account: Account) -> None:
    """Raise InputError where another topic rule would get the events of the devices, too, and might let them in.

    Raises botocore's errors where one may not look: then nothing is made.
    """
    for each in others(account):
        instead = f"verify that one (`jitr verify --stack {each.stack}`)" if each.stack else "have it rest meanwhile"
        raise InputError(f"{each.what}: nothing was made. Take another account or Region, or {instead}")
