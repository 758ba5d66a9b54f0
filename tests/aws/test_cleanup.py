"""CleanupFunction: the table is protected while its stack stands, and what is to go with the stack goes."""

# ruff: noqa: N803 - arguments are called as boto3 calls them

import importlib.util
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

ROOT = Path(__file__).parents[2]
DETACHED_COUNTS_FOR = 300  # s, as AWS says of DeletePolicy


class NotFound(ClientError):
    def __init__(self) -> None:
        super().__init__({"Error": {"Code": "ResourceNotFoundException", "Message": ""}}, "")


class Conflict(ClientError):
    def __init__(self) -> None:
        super().__init__({"Error": {"Code": "DeleteConflictException", "Message": "attached"}}, "DeletePolicy")


class Exceptions:
    ResourceNotFoundException = NotFound
    DeleteConflictException = Conflict


class Cloud:
    """CloudFormation, DynamoDB, AWS IoT and S3 as far as the function asks them; time passes as it waits."""

    exceptions = Exceptions

    def __init__(self) -> None:
        self.status = "CREATE_IN_PROGRESS"
        self.now = 0.0
        self.protected = False
        self.busy = 0
        self.policy: list[str] | None = ["1", "2"]
        self.targets: list[str] = []
        self.detached_at = -float("inf")
        self.attaches_again: list[tuple[float, str]] = []
        self.objects = ["a", "b"]
        self.answers: list[dict[str, Any]] = []

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        while self.attaches_again and self.attaches_again[0][0] <= self.now:
            self.targets.append(self.attaches_again.pop(0)[1])

    def urlopen(self, request: Any, timeout: float) -> Any:
        self.answers.append(json.loads(request.data))
        return io.BytesIO()

    # CloudFormation
    def describe_stacks(self, StackName: str) -> Any:
        return {"Stacks": [{"StackStatus": self.status}]}

    # DynamoDB
    def describe_table(self, TableName: str) -> Any:
        return {"Table": {"DeletionProtectionEnabled": self.protected}}

    def update_table(self, TableName: str, DeletionProtectionEnabled: bool) -> None:
        if self.busy:
            self.busy -= 1
            raise ClientError({"Error": {"Code": "ResourceInUseException", "Message": "UPDATING"}}, "UpdateTable")
        self.protected = DeletionProtectionEnabled

    # AWS IoT
    def list_targets_for_policy(self, policyName: str, pageSize: int) -> Any:
        if self.policy is None:
            raise NotFound
        return {"targets": self.targets[:pageSize]}

    def detach_policy(self, policyName: str, target: str) -> None:
        self.targets.remove(target)
        self.detached_at = self.now

    def list_policy_versions(self, policyName: str) -> Any:
        assert self.policy is not None
        versions = [{"versionId": each, "isDefaultVersion": each == self.policy[-1]} for each in self.policy]
        return {"policyVersions": versions}

    def delete_policy_version(self, policyName: str, policyVersionId: str) -> None:
        assert self.policy is not None
        self.policy.remove(policyVersionId)

    def delete_policy(self, policyName: str) -> None:
        if self.targets or self.now - self.detached_at < DETACHED_COUNTS_FOR or len(self.policy or ()) > 1:
            raise Conflict
        self.policy = None

    # S3
    def get_paginator(self, _: str) -> Any:
        return self

    def paginate(self, Bucket: str) -> Any:
        return [{"Versions": [{"Key": each, "VersionId": "1"} for each in self.objects]}]

    def delete_objects(self, Bucket: str, Delete: Any) -> Any:
        self.objects = [each for each in self.objects if each not in {one["Key"] for one in Delete["Objects"]}]
        return {}

    # Lambda
    def get_remaining_time_in_millis(self) -> int:
        return round((900 - self.now) * 1000)


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


@pytest.fixture
def ask(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """CloudFormation's request for a resource, and the answer to it."""
    spec = importlib.util.spec_from_file_location("cleanup_app", ROOT / "functions/cleanup/app.py")
    assert spec is not None
    assert spec.loader is not None
    app = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(app)
    monkeypatch.setattr(app, "boto3", type("Boto3", (), {"client": staticmethod(lambda _: cloud)}))
    monkeypatch.setattr(app, "urlopen", cloud.urlopen)
    monkeypatch.setattr(app.time, "sleep", cloud.sleep)

    def asked(resource: str, request: str, keeps: str | None = "Retain", **more: Any) -> dict[str, Any]:
        properties = {"Table": "table", "Bucket": "bucket", "IotPolicy": "policy", "DataDeletionPolicy": keeps}
        if keeps is None:  # as of a version that had Cleanup only where data was to be deleted
            properties = {"Bucket": "bucket", "IotPolicy": "policy"}
        event = {
            "RequestType": request,
            "ResourceType": f"Custom::{resource}",
            "LogicalResourceId": resource,
            "StackId": "arn:aws:cloudformation:eu-central-1:123456789012:stack/jitr/1",
            "RequestId": "r",
            "ResponseURL": "https://example.com/answer",
            "ResourceProperties": properties,
            **more,
        }
        app.handler(event, cloud)
        return cloud.answers[-1]

    return asked


# --- Protection


def test_the_table_of_a_stack_that_keeps_its_data_is_protected_once_it_stands(cloud: Cloud, ask: Any) -> None:
    cloud.busy = 2  # another change of the table is under way
    answer = ask("Protection", "Create")
    assert (answer["Status"], answer["PhysicalResourceId"], cloud.protected) == ("SUCCESS", "protection", True)


def test_a_first_deployment_that_is_rolled_back_gets_its_table_deleted(cloud: Cloud, ask: Any) -> None:
    """CloudFormation deletes no table that is protected, and the next deployment would find the rest in its way."""
    ask("Protection", "Create")
    cloud.status = "ROLLBACK_IN_PROGRESS"
    assert ask("Protection", "Delete")["Status"] == "SUCCESS"
    assert not cloud.protected


@pytest.mark.parametrize("status", ["DELETE_IN_PROGRESS", "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS"])
def test_what_a_deleted_stack_leaves_stays_protected(cloud: Cloud, ask: Any, status: str) -> None:
    """And where an update is rolled back, the table of the earlier version."""
    ask("Protection", "Create")
    cloud.status = status
    assert ask("Protection", "Delete")["Status"] == "SUCCESS"
    assert cloud.protected


def test_a_stack_that_turns_to_deleting_its_data_lets_the_table_go_and_back_again(cloud: Cloud, ask: Any) -> None:
    for keeps in ("Retain", "Delete", "Retain"):
        assert ask("Protection", "Update", keeps)["Status"] == "SUCCESS"
        assert cloud.protected is (keeps == "Retain")


# --- Cleanup


def test_the_iot_policy_is_deleted_however_long_what_was_detached_counts(cloud: Cloud, ask: Any) -> None:
    """AWS says of DeletePolicy: up to five minutes after it is detached. Earlier versions of it go as well."""
    cloud.status, cloud.targets = "DELETE_IN_PROGRESS", [f"cert/{at}" for at in range(250)]
    assert ask("Cleanup", "Delete", "Delete")["Status"] == "SUCCESS"
    assert (cloud.policy, cloud.targets, cloud.objects) == (None, [], [])
    assert DETACHED_COUNTS_FOR <= cloud.now < DETACHED_COUNTS_FOR + 10


def test_a_registration_under_way_that_attaches_the_iot_policy_again_does_not_keep_it(cloud: Cloud, ask: Any) -> None:
    cloud.status, cloud.targets = "DELETE_IN_PROGRESS", ["cert/1"]
    cloud.attaches_again = [(20, "cert/2"), (290, "cert/3")]
    assert ask("Cleanup", "Delete", "Delete")["Status"] == "SUCCESS"
    assert (cloud.policy, cloud.targets) == (None, [])


def test_what_takes_longer_than_a_run_fails_with_what_to_do_and_the_next_run_goes_on(cloud: Cloud, ask: Any) -> None:
    cloud.status, cloud.targets = "DELETE_IN_PROGRESS", ["cert/1"]
    cloud.attaches_again = [(at, f"cert/{at}") for at in range(200, 900, 200)]
    answer = ask("Cleanup", "Delete", "Delete")
    assert (answer["Status"], "delete the stack again" in answer["Reason"]) == ("FAILED", True)
    assert cloud.now < 900
    cloud.now, cloud.attaches_again, cloud.detached_at = 0, [], -1000
    assert ask("Cleanup", "Delete", "Delete")["Status"] == "SUCCESS"
    assert ask("Cleanup", "Delete", "Delete")["Status"] == "SUCCESS"  # also where all is gone


@pytest.mark.parametrize(
    ("keeps", "status"),
    [
        ("Retain", "DELETE_IN_PROGRESS"),
        ("Retain", "ROLLBACK_IN_PROGRESS"),
        ("Delete", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"),
        ("Delete", "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS"),
        (None, "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"),
    ],
)
def test_nothing_is_emptied_where_data_is_kept_or_the_stack_stays(
    cloud: Cloud, ask: Any, keeps: str | None, status: str
) -> None:
    cloud.status, cloud.targets = status, ["cert/1"]
    assert ask("Cleanup", "Delete", keeps)["Status"] == "SUCCESS"
    assert (cloud.policy, cloud.targets, cloud.objects) == (["1", "2"], ["cert/1"], ["a", "b"])


@pytest.mark.parametrize("keeps", ["Delete", None])
def test_a_stack_of_an_earlier_version_is_cleaned_up_like_one_of_this(
    cloud: Cloud, ask: Any, keeps: str | None
) -> None:
    cloud.status = "DELETE_IN_PROGRESS"
    assert ask("Cleanup", "Delete", keeps, PhysicalResourceId="cleanup")["PhysicalResourceId"] == "cleanup"
    assert (cloud.policy, cloud.objects) == (None, [])
