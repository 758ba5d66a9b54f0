"""Whether the devices of a verification would be decided by one stack alone."""

from jitr.errors import InputError
from jitr_operations.accounts import Account
from jitr_operations.deployment import Deployment
from jitr_operations.rules.topic_rules import taking


def require_alone(account: Account) -> None:
    """Raise InputError where another topic rule would get the events of the devices, too, or a deployed stack none.

    Raises botocore's errors where one may not look: then nothing is made.
    """
    found = taking(account)
    if isinstance(account, Deployment) and found.told is not None:
        raise InputError(f"{found.told}. Nothing was made")
    for each in found.others:
        instead = f"verify that one (`jitr verify --stack {each.stack}`)" if each.stack else "have it rest meanwhile"
        raise InputError(f"{each.what}: nothing was made. Take another account or Region, or {instead}")
