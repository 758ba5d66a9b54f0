"""Fixtures for tests on AWS in process."""

from collections.abc import Iterator

import boto3
import botocore.session
import pytest
from testkit.aws import quick_botocore
from testkit.aws.api_models import api_models
from testkit.aws.bucket import BUCKET, Bucket
from testkit.aws.world import REGION, World, moto_world

quick_botocore.hurry()


@pytest.fixture(autouse=True)
def _api_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Share AWS's API models among all clients, whoever makes them."""
    monkeypatch.setattr(botocore.session, "create_loader", api_models)


@pytest.fixture
def world() -> Iterator[World]:
    """An account of its own for one test."""
    with moto_world() as made:
        yield made


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    with moto_world() as world:
        s3 = boto3.client("s3", region_name=REGION)
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        yield Bucket(world, s3)
