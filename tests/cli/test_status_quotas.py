"""`jitr status` tells where the stack paces its calls by other quotas than the account has."""

from typing import Any

import pytest
from testkit.cli.command_line import Aws, Run

from jitr.aws.dynamodb.table import Table


@pytest.fixture
def stack(ready: Table, aws: Aws) -> Aws:
    """A stack with the template's own quotas."""
    real = aws.real

    def described(given: dict[str, Any]) -> Any:
        import boto3

        answer = real(boto3.client("cloudformation", region_name="eu-central-1"), "DescribeStacks", given)
        for each in answer["Stacks"]:
            defaults = {"CertificateQuota": "10", "PolicyQuota": "15", "ThingQuota": "100"}
            each["Parameters"] = [{"ParameterKey": name, "ParameterValue": each} for name, each in defaults.items()]
        return answer

    aws.overrides["DescribeStacks"] = described
    return aws


def shown(aws: Aws, **values: float) -> None:
    """What Service Quotas shows of AWS IoT Core."""
    quotas = [{"QuotaName": f"{name} API transactions per second", "Value": each} for name, each in values.items()]
    aws.overrides["ListServiceQuotas"] = lambda _: {"Quotas": quotas}


def test_a_quota_that_was_raised_and_one_that_is_lower_are_told(stack: Aws, run: Run) -> None:
    shown(stack, DescribeCertificate=50, UpdateCertificate=40, AttachPolicy=10, CreateThing=100)
    told = run("status").stdout
    flat = " ".join(told.split())
    assert "CertificateQuota is 10, and the account's quota 40: devices wait longer than they need to" in flat
    assert "PolicyQuota is 15, and the account's quota 10: AWS IoT throttles; deploy with PolicyQuota=10" in flat
    assert "ThingQuota" not in flat


def test_quotas_that_may_not_be_asked_for_keep_status_from_nothing(stack: Aws, run: Run) -> None:
    from botocore.exceptions import ClientError

    def refuse(_: Any) -> Any:
        raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "ListServiceQuotas")

    stack.overrides["ListServiceQuotas"] = refuse
    result = run("status", "--json")
    assert (result.exit_code, '"quotas": null' in result.stdout) == (0, True)
