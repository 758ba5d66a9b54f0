"""What CloudFormation says of the deployment on the local stack: whether there is one, and why one failed."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError, WaiterError

from jitr_local.errors import StackError

if TYPE_CHECKING:
    import boto3

# A stack in one of these states has nothing to work with: it was deleted, or never made.
_NOTHING_THERE = ("DELETE_", "ROLLBACK_", "CREATE_FAILED", "REVIEW_IN_PROGRESS")


def is_deployed(session: "boto3.Session", stack_name: str) -> bool:
    """Return whether the CloudFormation stack is there. Raises StackError if CloudFormation does not say."""
    try:
        (found,) = session.client("cloudformation").describe_stacks(StackName=stack_name)["Stacks"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "ValidationError":  # what CloudFormation calls a stack that is not there
            return False
        raise StackError(f"CloudFormation does not say whether {stack_name} is deployed: {error}") from error
    return not found["StackStatus"].startswith(_NOTHING_THERE)


def delete(session: "boto3.Session", stack_name: str) -> None:
    """Delete what a creation that failed left of a stack: CloudFormation updates no such stack. Raises StackError."""
    cloudformation = session.client("cloudformation")
    try:
        cloudformation.delete_stack(StackName=stack_name)
        cloudformation.get_waiter("stack_delete_complete").wait(
            StackName=stack_name, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
        )
    except (ClientError, WaiterError) as error:
        raise StackError(f"what is left of the CloudFormation stack {stack_name} cannot be deleted: {error}") from error


def why_failed(session: "boto3.Session", stack_name: str, since: datetime) -> str | None:
    """Return the first failure after ``since`` as one line, with what to do if it is known; None if there is none."""
    try:
        events: list[Any] = session.client("cloudformation").describe_stack_events(StackName=stack_name)["StackEvents"]
    except ClientError:
        return None  # CloudFormation was not reached, or the stack is gone: the output of SAM has to do
    failed = [
        each for each in events if each["Timestamp"] >= since and each.get("ResourceStatus", "").endswith("_FAILED")
    ]
    if not failed:
        return None
    first = failed[-1]  # the newest comes first
    reason = " ".join(first.get("ResourceStatusReason", "no reason given").split())
    told = f"{first['LogicalResourceId']} ({first.get('ResourceType', 'AWS::CloudFormation::Stack')}): {reason}"
    if "already exists" in reason:
        told += "; a stack before this one left it: `jitr local down` and `jitr local up` begin without it"
    return told
