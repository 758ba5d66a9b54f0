"""Lets a stack that is to leave nothing behind be deleted: CloudFormation deletes neither a bucket with objects in it
nor an IoT policy that is attached.

CloudFormation hands it the requests for the resource Cleanup, and waits for an answer at their ResponseURL.
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref.html
"""

import json
from collections.abc import Callable
from typing import Any
from urllib.request import Request, urlopen

import boto3

# Where Cleanup alone is taken out of a stack that stays, its request is the same: nothing may be emptied then.
_ALL_GOES = {"DELETE_IN_PROGRESS", "ROLLBACK_IN_PROGRESS"}
_TIME_TO_ANSWER = 10_000  # ms

Left = Callable[[], int]


def handler(event: dict[str, Any], context: Any) -> None:
    """Do what a request of CloudFormation asks, and answer it, whatever happens: it would wait for an hour."""
    reason = ""
    try:
        if event["RequestType"] == "Delete" and _status(event["StackId"]) in _ALL_GOES:
            properties = event["ResourceProperties"]
            left: Left = context.get_remaining_time_in_millis
            _empty(properties["Bucket"], left)
            _detach(properties["IotPolicy"], left)
    except Exception as problem:  # noqa: BLE001 - told to CloudFormation, which tells it to whoever deletes the stack
        reason = f"{type(problem).__name__}: {problem}"
        print(json.dumps({"level": "ERROR", "message": "not cleaned up", "detail": reason}))
    _answer(event, reason)


def _status(stack: str) -> str:
    return boto3.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"]


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


def _detach(policy: str, left: Left) -> None:
    """Take the stack's IoT policy from every certificate and thing group that has it."""
    iot = boto3.client("iot")
    while targets := iot.list_targets_for_policy(policyName=policy, pageSize=100)["targets"]:
        for target in targets:
            _check(left)
            iot.detach_policy(policyName=policy, target=target)


def _check(left: Left) -> None:
    if left() < _TIME_TO_ANSWER:
        raise TimeoutError("there is more than fits into one run: delete the stack again, and it goes on")


def _answer(event: dict[str, Any], reason: str) -> None:
    body = {
        "Status": "FAILED" if reason else "SUCCESS",
        "Reason": reason or "done",
        "PhysicalResourceId": event.get("PhysicalResourceId", "cleanup"),
        **{name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")},
    }
    # The address is signed for a PUT without a content type.
    request = Request(event["ResponseURL"], json.dumps(body).encode(), {"Content-Type": ""}, method="PUT")  # noqa: S310
    with urlopen(request, timeout=5):  # noqa: S310
        pass
