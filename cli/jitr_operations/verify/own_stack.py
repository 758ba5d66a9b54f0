"""A stack that a verification deploys for itself, known by its name and a tag, and deleted again with all it holds."""

import re
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from jitr.errors import Refused
from jitr_operations import aws_answers, telling
from jitr_operations.accounts import Account
from jitr_operations.deployment import Deployment, deployed
from jitr_operations.verify.alone import require_alone
from jitr_operations.verify.assumptions import Report
from jitr_operations.verify.belongings import PREFIX, TAG, tried
from jitr_operations.verify.package import Package
from jitr_operations.verify.usage import StackUsage, Usage, resources_of
from jitr_operations.verify.verification import Endpoint, Extent, Verification, new_run
from jitr_operations.verify.waiting import until

# A role and a table take seconds, a deletion up to a quarter of an hour: see functions/cleanup.
_STACK_WITHIN = 1800  # seconds
_LOOKED_AT_EVERY = 2
_PARAMETERS = {"DataDeletionPolicy": "Delete", "LogRetentionDays": "1"}


@dataclass(frozen=True, slots=True)
class OwnStack:
    """One run on a stack of its own: the stack, the bucket that its code is deployed from, and the verification."""

    account: Account
    package: Package
    endpoint: Endpoint
    extent: Extent = field(default_factory=Extent)
    run: str = field(default_factory=new_run)

    @property
    def name(self) -> str:
        """The stack's name."""
        return f"{PREFIX}{self.run}"

    def make(self) -> Report:
        """Deploy the stack, look at each assumption with it, and delete it, also where that is cut short.

        Raises InputError where another topic rule takes registration events, too, before anything is made, and Refused
        where the stack cannot be made.
        """
        usage = Usage.of(self.account)
        require_alone(self.account)
        began = time.monotonic()
        try:
            deployment = self._deploy()
            resources = resources_of(self.account, self.name)
            report = Verification(
                deployment, self.endpoint, self.extent, run=self.run, own_stack=True, usage=usage
            ).make()
        finally:
            telling.note(f"Deleting stack {self.name}, which may take ten minutes.")
            left = remove(self.account, self.run)
        report.left += left
        usage.stack = StackUsage(self.name, round(time.monotonic() - began), resources)
        return report

    def _deploy(self) -> Deployment:
        telling.note(f"Deploying stack {self.name}, which takes some minutes.")
        cloudformation = self.account.client("cloudformation")
        stack = cloudformation.create_stack(
            StackName=self.name,
            TemplateURL=self._upload(),
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in _PARAMETERS.items()],
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
            Tags=[{"Key": TAG, "Value": self.run}],
        )["StackId"]
        status = _ended(cloudformation, stack)
        if status != "CREATE_COMPLETE":
            raise Refused("CreateStack", status, _reason(cloudformation, stack))
        return deployed(self.account, self.name)

    def _upload(self) -> str:
        """Put code and template into a bucket of their own, and return where the template is."""
        s3, bucket = self.account.client("s3"), f"{self.name}-{_place(self.account)}"
        where: Any = {"CreateBucketConfiguration": {"LocationConstraint": self.account.region}}
        s3.create_bucket(Bucket=bucket, **({} if self.account.region == "us-east-1" else where))
        keys = {name: f"{number}.zip" for number, name in enumerate(self.package.code)}
        for name, key in keys.items():
            with tempfile.TemporaryFile() as file:
                self.package.write(name, file)
                file.seek(0)
                s3.put_object(Bucket=bucket, Key=key, Body=file)
        text = self.package.at(lambda name: f"s3://{bucket}/{keys[name]}")
        s3.put_object(Bucket=bucket, Key="template.yaml", Body=text.encode())
        return f"{s3.meta.endpoint_url}/{bucket}/template.yaml"


def remove(account: Account, run: str | None = None) -> list[str]:
    """Delete the stack and the bucket of a run, or of every run, and return what could not be."""
    from botocore.exceptions import ClientError

    left = []
    try:
        for name, stack in list(_stacks(account, run)):
            left += tried(f"stack {name}", partial(_delete, account, stack))
        for bucket in list(_buckets(account, run)):
            left += tried(f"bucket {bucket}", partial(_delete_bucket, account, bucket))
    except ClientError as problem:
        if run is not None or not aws_answers.is_denied(problem):
            raise
        telling.note(f"Whether a stack of a verification is left is not known: {problem}")
    return left


def _stacks(account: Account, run: str | None) -> Iterator[tuple[str, str]]:
    """Yield names and ids of the stacks that have both the name and the tag."""
    for page in account.client("cloudformation").get_paginator("describe_stacks").paginate():
        for each in page["Stacks"]:
            tags = {tag["Key"]: tag["Value"] for tag in each.get("Tags", [])}
            found = tags.get(TAG)
            if found is not None and each["StackName"] == f"{PREFIX}{found}" and run in (None, found):
                yield each["StackName"], each["StackId"]


def _buckets(account: Account, run: str | None) -> Iterator[str]:
    name = re.compile(f"{PREFIX}{run or '[0-9a-f]{8}'}-{re.escape(_place(account))}")
    for each in account.client("s3").list_buckets()["Buckets"]:
        if name.fullmatch(each["Name"]):
            yield each["Name"]


def _place(account: Account) -> str:
    return f"{account.account_id}-{account.region}"


def _delete(account: Account, stack: str) -> None:
    cloudformation = account.client("cloudformation")
    cloudformation.delete_stack(StackName=stack)
    status = _ended(cloudformation, stack)
    if status != "DELETE_COMPLETE":
        raise Refused("DeleteStack", status, _reason(cloudformation, stack))


def _delete_bucket(account: Account, bucket: str) -> None:
    s3 = account.client("s3")
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for each in page.get("Contents", []):
            s3.delete_object(Bucket=bucket, Key=each["Key"])
    s3.delete_bucket(Bucket=bucket)


def _ended(cloudformation: Any, stack: str) -> str:
    """Wait until nothing is done to a stack any more, and return its status."""

    def status() -> str:
        return str(cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"])

    until(lambda: not status().endswith("_IN_PROGRESS"), _STACK_WITHIN, pause=_LOOKED_AT_EVERY)
    return status()


def _reason(cloudformation: Any, stack: str) -> str:
    """Return why a stack could not be made or deleted: the first failure, which the others follow from."""
    pages = cloudformation.get_paginator("describe_stack_events").paginate(StackName=stack)
    events = [each for page in pages for each in page["StackEvents"]]  # the latest first
    failed = [each for each in events if each["ResourceStatus"].endswith("_FAILED")]
    if not failed:
        return "CloudFormation says no more: look at its events"
    return f"{failed[-1]['LogicalResourceId']}: {failed[-1].get('ResourceStatusReason', 'no reason given')}"
