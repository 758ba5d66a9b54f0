"""Tests run on a moto with less to do: its answers are those that moto gives by itself."""

import copy
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto.core.serialize import BaseJSONSerializer, XFormedAttributePicker
from moto.dynamodb import models
from moto.dynamodb.models import dynamodb_backends
from moto.dynamodb.models.dynamo_type import DynamoType, Item
from moto.dynamodb.models.table import Table
from moto.sqs.models import Queue
from testkit.aws import quick_moto, quick_tables
from testkit.aws.world import ACCOUNT, REGION, World

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
    for key in ("b", "z", "\u00e4", "\U0001f600", "a"):
        world.dynamodb.put_item(TableName=name, Item=_ITEM | {"sk": {"S": key}})
    s3 = boto3.client("s3", region_name=REGION)
    cloudformation = boto3.client("cloudformation", region_name=REGION)
    asked: list[Any] = [
        world.dynamodb.get_item(TableName=name, Key={"pk": {"S": "a"}, "sk": {"S": "b"}}),
        world.dynamodb.get_item(TableName=name, Key={"pk": {"S": "a"}, "sk": {"S": "missing"}}),
        world.dynamodb.scan(TableName=name),
        *(
            world.dynamodb.query(
                TableName=name,
                KeyConditionExpression="pk = :pk AND sk > :a",
                ExpressionAttributeValues={":pk": {"S": "a"}, ":a": {"S": "a"}},
                ScanIndexForward=forward,
            )
            for forward in (True, False)
        ),
        world.dynamodb.describe_table(TableName=name),
        world.iot.list_policies(),
        world.sqs.get_queue_attributes(QueueUrl=world.queue_url, AttributeNames=["All"]),
        cloudformation.describe_stacks(),
        s3.list_buckets(),
    ]
    return [{key: each[key] for key in each if key != "ResponseMetadata"} for each in asked]


def test_moto_answers_alike_whether_it_remembers_or_works_out(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    first, again = _answers(world), _answers(world)
    with monkeypatch.context() as patched:
        patched.setattr(XFormedAttributePicker, "get_possible_keys", quick_moto._work_out)
        patched.setattr(XFormedAttributePicker, "__call__", quick_moto._pick)
        patched.setattr(BaseJSONSerializer, "_serialize_type_structure", quick_moto._write_structure)
        patched.setattr(Table, "all_items", quick_tables._in_order)
        patched.setattr(DynamoType, "__eq__", quick_tables._equal)
        by_itself = _answers(world)
    assert first[0]["Item"] == _ITEM
    assert first == again == by_itself


_THERE, _GONE, _NEW, _OTHER = ({"pk": {"S": pk}, "sk": {"S": sk}} for pk, sk in ("at", "ag", "bn", "co"))
_TWO = {":two": {"N": "2"}}
_NESTED: dict[str, Any] = {"nested": {"M": {"l": {"L": [{"N": "1"}]}}}}
_CHANGES: list[Any] = [
    {"Update": {"Key": _THERE, "UpdateExpression": "SET nested.l[0] = :two", "ExpressionAttributeValues": _TWO}},
    {"Delete": {"Key": _GONE}},
    {"Put": {"Item": _NEW | _NESTED}},
]
_LAST: dict[str, Any] = {
    "refused": {"ConditionCheck": {"Key": _OTHER, "ConditionExpression": "attribute_not_exists(pk)"}},
    "another action on an item": {"Put": {"Item": _NEW}},
    "written": {"Delete": {"Key": _OTHER}},
}


@pytest.mark.parametrize("last", _LAST)
def test_a_transaction_ends_alike_whether_moto_copies_the_table_or_what_is_named(
    world: World, monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    """The same error or none, the same items, and the same stream."""
    quickly = _transacted(world, "quick", [*_CHANGES, _LAST[last]])
    with monkeypatch.context() as patched:
        patched.setattr(models, "copy", copy)
        patched.setattr(models.DynamoDBBackend, "transact_write_items", quick_tables._transact)
        by_itself = _transacted(world, "slow", [*_CHANGES, _LAST[last]])
    assert quickly == by_itself
    error, items, events = quickly
    assert (error is None) == (last == "written")
    assert (items == [each | _NESTED for each in (_GONE, _THERE, _OTHER)]) == (last != "written")
    assert len(events) == (3 if error else 7)


def _transacted(world: World, name: str, actions: list[Any]) -> tuple[Any, list[Any], list[Any]]:
    """Return how a transaction on a table of its own ended, the items after it, and what the stream tells of them."""
    keys: list[Any] = [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}]
    world.dynamodb.create_table(
        TableName=name,
        KeySchema=keys,
        AttributeDefinitions=[{"AttributeName": each["AttributeName"], "AttributeType": "S"} for each in keys],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )
    for each in (_THERE, _GONE, _OTHER):
        world.dynamodb.put_item(TableName=name, Item=each | _NESTED)
    named: Any = [{kind: action | {"TableName": name} for kind, action in each.items()} for each in actions]
    error = None
    try:
        world.dynamodb.transact_write_items(TransactItems=named)
    except ClientError as refused:
        error = refused.response["Error"]
    return error, world.dynamodb.scan(TableName=name)["Items"], _told(name)


def _told(name: str) -> list[Any]:
    """Return what the stream of a table has to tell."""
    shard = dynamodb_backends[ACCOUNT][REGION].tables[name].stream_shard
    assert shard is not None
    told = [each.to_json() for each in shard.items]
    images = ("SequenceNumber", "OldImage", "NewImage")
    return [(each["eventName"], [each["dynamodb"].get(name) for name in images]) for each in told]


@pytest.mark.parametrize("length", [404_980, 405_000])
def test_an_item_is_refused_as_too_large_at_the_same_size(
    world: World, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    """An item's size is that of its names and its values: here 11 bytes and one attribute."""
    item = {"pk": {"S": "a"}, "sk": {"S": "b"}, "notes": {"S": "x" * length}}
    quickly = _put(world, item)
    with monkeypatch.context() as patched:
        patched.setattr(Item, "__init__", quick_tables._fill)
        assert quickly == _put(world, item)
    assert (quickly is None) == (length < 405_000 - 11)


def _put(world: World, item: Any) -> Any:
    """Return the error with which an item is refused, or None."""
    try:
        world.dynamodb.put_item(TableName=world.table.name, Item=item)
    except ClientError as refused:
        return refused.response["Error"]
    return None


def test_an_empty_queue_is_answered_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Queue, "wait_for_messages", _forbidden)
    assert "Messages" not in world.sqs.receive_message(QueueUrl=world.queue_url, WaitTimeSeconds=20)


def _forbidden(*_given: Any) -> None:
    raise AssertionError("it waits")
