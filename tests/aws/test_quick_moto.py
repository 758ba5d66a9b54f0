"""Tests run on a moto that remembers names: its answers are those that moto gives by itself."""

from typing import Any

import boto3
import pytest
from moto.core.serialize import XFormedAttributePicker
from testkit.aws import quick_moto
from testkit.aws.world import REGION, World

_ITEM: dict[str, Any] = {
    "pk": {"S": "a"},
    "sk": {"S": "b"},
    "all": {
        "M": {
            "S": {"S": ""},
            "l": {"L": [{"N": "1"}, {"BOOL": False}, {"NULL": True}, {"M": {"NS": {"NS": ["2", "3"]}}}]},
            "b": {"B": b"\x00"},
            "none": {"L": []},
        }
    },
}


def _answers(world: World) -> list[dict[str, Any]]:
    """Return answers of each way of writing them: JSON, JSON by path, a query's, XML; with and without items."""
    name = world.table.name
    world.dynamodb.put_item(TableName=name, Item=_ITEM)
    s3 = boto3.client("s3", region_name=REGION)
    cloudformation = boto3.client("cloudformation", region_name=REGION)
    asked: list[Any] = [
        world.dynamodb.get_item(TableName=name, Key={"pk": {"S": "a"}, "sk": {"S": "b"}}),
        world.dynamodb.get_item(TableName=name, Key={"pk": {"S": "a"}, "sk": {"S": "missing"}}),
        world.dynamodb.scan(TableName=name),
        world.dynamodb.describe_table(TableName=name),
        world.iot.list_policies(),
        world.sqs.get_queue_attributes(QueueUrl=world.queue_url, AttributeNames=["All"]),
        cloudformation.describe_stacks(),
        s3.list_buckets(),
    ]
    return [{key: each[key] for key in each if key != "ResponseMetadata"} for each in asked]


def test_moto_answers_alike_whether_it_remembers_names_or_works_them_out(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, again = _answers(world), _answers(world)
    with monkeypatch.context() as patched:
        patched.setattr(XFormedAttributePicker, "get_possible_keys", quick_moto._work_out)
        patched.setattr(XFormedAttributePicker, "__call__", quick_moto._pick)
        by_itself = _answers(world)
    assert first[0]["Item"] == _ITEM
    assert first == again == by_itself
