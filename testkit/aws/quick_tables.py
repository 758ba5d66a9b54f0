"""moto's DynamoDB, giving the same answers with less work.

Before a transaction moto copies the whole table, once for each action, so that it can put it back. The partitions that
the actions name are enough.

For each attribute of an item that it puts in it measures all those before it. The whole item is enough.

For each query it puts all items of the table in order, and each comparison works out what the keys' types are. Keys
that are strings are compared as such.
"""

from copy import deepcopy
from types import SimpleNamespace
from typing import Any, TypeAlias

from moto.dynamodb import models
from moto.dynamodb.exceptions import ItemSizeTooLarge
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.dynamo_type import DDBType, DynamoType, Item
from moto.dynamodb.models.table import Table

Actions: TypeAlias = list[dict[str, Any]]

_transact = DynamoDBBackend.transact_write_items
_in_order = Table.all_items
_equal = DynamoType.__eq__
_fill = Item.__init__
_MOST = 405_000  # bytes, as in LimitedSizeDict


def hurry() -> None:
    """Have moto copy and compare little, for as long as this process lasts."""
    models.copy = SimpleNamespace(deepcopy=_copy)  # type: ignore[attr-defined, assignment]
    DynamoDBBackend.transact_write_items = transact  # type: ignore[method-assign, assignment]
    Table.all_items = in_order  # type: ignore[method-assign, assignment]
    Item.__init__ = fill  # type: ignore[method-assign, assignment]
    DynamoType.__eq__ = _quick_equal  # type: ignore[method-assign]


def fill(item: Item, hash_key: DynamoType, range_key: DynamoType | None, attrs: dict[str, Any]) -> None:
    """Make an item. Raises ItemSizeTooLarge."""
    _fill(item, hash_key, range_key, {})
    for name, value in attrs.items():
        dict.__setitem__(item.attrs, name, DynamoType(value))
    if item.size() > _MOST:
        raise ItemSizeTooLarge


def in_order(table: Table) -> list[Item]:
    """Return all items by their keys."""
    if table.hash_key_type != DDBType.STRING or table.range_key_type != DDBType.STRING:
        return _in_order(table)
    items: Any = (item for partition in table.items.values() for item in partition.values())
    return sorted(items, key=lambda item: (item.hash_key.value, item.range_key.value))


def _quick_equal(one: DynamoType, other: DynamoType) -> bool:
    if one.type == other.type == DDBType.STRING:
        return bool(one.value == other.value)
    return _equal(one, other)


def transact(backend: DynamoDBBackend, actions: Actions) -> None:
    """Write what the actions say, or nothing: for tables with a sort key."""
    named = [action for each in actions for action in each.values() if action.get("TableName") in backend.tables]
    before = _before(backend, named)
    streams = {name: list(shard.items) for name, _ in before if (shard := backend.tables[name].stream_shard)}
    try:
        _transact(backend, actions)
    except Exception:
        for (name, partition), items in before.items():
            _put_back(backend.tables[name], partition, items)
        for name, records in streams.items():
            backend.tables[name].stream_shard.items = records  # type: ignore[union-attr]
        raise


def _before(backend: DynamoDBBackend, named: Actions) -> dict[tuple[str, DynamoType], dict[Any, Any]]:
    """Return the partitions that actions name. Their items are copied, for an update changes them in place."""
    partitions: dict[tuple[str, DynamoType], dict[Any, Any]] = {}
    for action in named:
        table = backend.tables[action["TableName"]]
        partition, key = backend.get_keys_value(table, action.get("Key") or action["Item"])
        items = partitions.setdefault((table.name, partition), dict(table.items.get(partition, {})))
        if key in items:
            items[key] = deepcopy(items[key])
    return partitions


def _put_back(table: Table, partition: DynamoType, items: dict[Any, Any]) -> None:
    if items:
        table.items[partition] = items
    else:
        table.items.pop(partition, None)


def _copy(thing: Any) -> Any:
    """Copy all but tables: transactions put those back (above)."""
    return thing if isinstance(thing, Table) else deepcopy(thing)
