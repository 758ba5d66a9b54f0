"""A world in memory as operators' commands see it: a deployed stack whose clients are the world's."""

from types import SimpleNamespace
from typing import Any, cast

from jitr_operations.deployment import Deployment
from testkit.aws.fakes import FakeClient
from testkit.aws.world import ACCOUNT, REGION, World

OPERATOR = f"arn:aws:sts::{ACCOUNT}:assumed-role/operators/somebody"
_PLENTY = {"CertificateQuota": "100000", "PolicyQuota": "100000", "ThingQuota": "100000"}  # nobody waits


class _FakeSts(FakeClient):
    service = "sts"

    def _get_caller_identity(self) -> Any:
        return {"Account": ACCOUNT, "Arn": OPERATOR}


class _FakeCloudFormation(FakeClient):
    service = "cloudformation"

    def _describe_stacks(self, StackName: str) -> Any:  # noqa: N803
        parameters = [{"ParameterKey": name, "ParameterValue": value} for name, value in _PLENTY.items()]
        return {"Stacks": [{"StackName": StackName, "Parameters": parameters}]}


def deployment_of(world: World) -> Deployment:
    """Return the deployment of a world in memory. Its clients have the events of all others."""
    clients: dict[str, Any] = {
        "iot": world.iot,
        "dynamodb": world.dynamodb,
        "sts": _FakeSts(),
        "cloudformation": _FakeCloudFormation(),
    }
    for each in clients.values():
        each.meta.endpoint_url = "memory"
    session = cast(Any, SimpleNamespace(get_partition_for_region=lambda _region: "aws"))
    outputs = {"TableName": world.table.name}
    return Deployment(ACCOUNT, REGION, None, session, _clients=clients, outputs=outputs)
