"""What CloudFormation does not do for a stack: protect its table once it stands, and empty what is to go with it.

CloudFormation deletes neither a bucket with objects in it, nor an IoT policy that is attached, nor a table that is
protected; and a protected table would be in the way of a first deployment that fails. It hands this function the
requests for the resources Protection and Cleanup, and waits for an answer at their ResponseURL.
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref.html
"""

import json
import time
from collections.abc import Callable
from typing import Any
from urllib.request import Request, urlopen

import boto3
from botocore.exceptions import ClientError

# Where Cleanup alone is taken out of a stack that stays, as an earlier version did, its request is the same.
_ALL_GOES = {"DELETE_IN_PROGRESS", "ROLLBACK_IN_PROGRESS"}
_TIME_TO_ANSWER = 10_000  # ms
# "It can take up to five minutes after a policy is detached before it's ready to be deleted."
# https://docs.aws.amazon.com/iot/latest/apireference/API_DeletePolicy.html
_BETWEEN_TRIES = 5  # s
# The table is being changed, or the role is so new that DynamoDB does not know yet what it may.
_PASSING = {"ResourceInUseException", "LimitExceededException", "AccessDeniedException"}

Left = Callable[[], int]


def handler(event: dict[str, Any], context: Any) -> None:
    """Do what a request of CloudFormation asks, and answer it, whatever happens: it would wait until its time is up."""
    reason = ""
    try:
        asked = _protection if event["ResourceType"] == "Custom::Protection" else _cleanup
        asked(event, context.get_remaining_time_in_millis)
    except Exception as problem:  # noqa: BLE001 - told to CloudFormation, which tells it to whoever deploys
        reason = f"{type(problem).__name__}: {problem}"
        print(json.dumps({"level": "ERROR", "message": "not done", "detail": reason}))
    _answer(event, reason)


def _protection(event: dict[str, Any], left: Left) -> None:
    """Protect the table of a stack that keeps its data, and of no other.

    What is deleted with it stays protected. Only where a first deployment is rolled back the table goes, too: an update
    that is rolled back leaves the table to the earlier version.
    """
    properties = event["ResourceProperties"]
    if event["RequestType"] != "Delete":
        _protect(properties["Table"], properties["DataDeletionPolicy"] != "Delete", left)
    elif _status(event["StackId"]) == "ROLLBACK_IN_PROGRESS":
        _protect(properties["Table"], False, left)


def _cleanup(event: dict[str, Any], left: Left) -> None:
    properties = event["ResourceProperties"]
    # An earlier version had Cleanup only where data was to be deleted.
    deletes = properties.get("DataDeletionPolicy", "Delete") == "Delete"
    if event["RequestType"] == "Delete" and deletes and _status(event["StackId"]) in _ALL_GOES:
        if "Table" in properties:
            _protect(properties["Table"], False, left)
        _take_away(properties["IotPolicy"], left)
        _empty(properties["Bucket"], left)


def _status(stack: str) -> str:
    return boto3.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"]


def _protect(table: str, protected: bool, left: Left) -> None:
    """Have a table refuse to be deleted, or not."""
    dynamodb = boto3.client("dynamodb")
    while True:
        try:
            found = dynamodb.describe_table(TableName=table)["Table"]
            if found.get("DeletionProtectionEnabled", False) != protected:
                dynamodb.update_table(TableName=table, DeletionProtectionEnabled=protected)
        except dynamodb.exceptions.ResourceNotFoundException:
            if protected:
                raise
        except ClientError as problem:
            if problem.response["Error"]["Code"] not in _PASSING:
                raise
            _wait(left)
            continue
        return


def _take_away(policy: str, left: Left) -> None:
    """Delete the stack's IoT policy, after it was taken from every certificate and thing group that has it.

    CloudFormation then finds it gone. It is tried until the time is up: what was detached counts for a while, and a
    registration that was under way may have attached it again.
    """
    iot = boto3.client("iot")
    while True:
        try:
            _detach(iot, policy, left)
            for version in iot.list_policy_versions(policyName=policy)["policyVersions"]:
                if not version["isDefaultVersion"]:
                    iot.delete_policy_version(policyName=policy, policyVersionId=version["versionId"])
            iot.delete_policy(policyName=policy)
        except iot.exceptions.ResourceNotFoundException:
            pass
        except iot.exceptions.DeleteConflictException:
            _wait(left)
            continue
        return


def _detach(iot: Any, policy: str, left: Left) -> None:
    while targets := iot.list_targets_for_policy(policyName=policy, pageSize=100)["targets"]:
        for target in targets:
            _check(left)
            iot.detach_policy(policyName=policy, target=target)


def _empty(bucket: str, left: Left) -> None:
    """Delete every version of every object."""
    s3 = boto3.client("s3")
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        _check(left)
        found = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
        objects: Any = [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in found]
        if objects:
            done = s3.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
            if done.get("Errors"):
                raise RuntimeError(f"{bucket}: {done['Errors'][0]}")


def _check(left: Left) -> None:
    if left() < _TIME_TO_ANSWER:
        raise TimeoutError("there is more than fits into one run: delete the stack again, and it goes on")


def _wait(left: Left) -> None:
    time.sleep(_BETWEEN_TRIES)
    _check(left)


def _answer(event: dict[str, Any], reason: str) -> None:
    body = {
        "Status": "FAILED" if reason else "SUCCESS",
        "Reason": reason or "done",
        "PhysicalResourceId": event.get("PhysicalResourceId", event["LogicalResourceId"].lower()),
        **{name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")},
    }
    # The address is signed for a PUT without a content type.
    request = Request(event["ResponseURL"], json.dumps(body).encode(), {"Content-Type": ""}, method="PUT")  # noqa: S310
    with urlopen(request, timeout=5):  # noqa: S310
        pass
