"""moto, giving the same answers with less work.

moto looks for each member of an answer under several names, and works them out anew for each member of each item. On
a table of small items that is half of the time of a test. They follow from the member and from the class of what is
answered with, so that they are worked out once; as are the operations of a service, which moto lists at each call.

Before a transaction it copies the whole table, once for each action, so that it can put it back. The partitions that
the actions name are enough.
"""

import functools
from copy import deepcopy
from types import SimpleNamespace
from typing import Any, TypeAlias

from botocore.model import Shape
from moto.core import responses
from moto.core.serialize import AttributePickerContext, XFormedAttributePicker
from moto.core.utils import MISSING  # type: ignore[attr-defined]
from moto.dynamodb import models
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.dynamo_type import DynamoType
from moto.dynamodb.models.table import Table

Actions: TypeAlias = list[dict[str, Any]]

_work_out = XFormedAttributePicker.get_possible_keys
_pick = XFormedAttributePicker.__call__
_transact = DynamoDBBackend.transact_write_items
_known: dict[tuple[Shape, str, type], tuple[str, ...]] = {}


def hurry() -> None:
    """Have moto remember names and copy little, for as long as this process lasts."""
    responses.method_names_from_class = functools.cache(responses.method_names_from_class)  # type: ignore[attr-defined]
    XFormedAttributePicker.get_possible_keys = names  # type: ignore[method-assign, assignment]
    XFormedAttributePicker.__call__ = _quick_pick  # type: ignore[method-assign, assignment]
    models.copy = SimpleNamespace(deepcopy=_copy)  # type: ignore[attr-defined, assignment]
    DynamoDBBackend.transact_write_items = transact  # type: ignore[method-assign, assignment]


def names(picker: XFormedAttributePicker, context: AttributePickerContext) -> tuple[str, ...]:
    """Return the names that a member may have in an object, each once, the likeliest first."""
    member = context.shape, context.key, type(context.obj)
    if (known := _known.get(member)) is None:
        known = _known[member] = tuple(dict.fromkeys(_work_out(picker, context)))
    return known


def _quick_pick(picker: XFormedAttributePicker, context: AttributePickerContext) -> Any:
    if type(context.obj) is not dict or picker.response_transformers:
        return _pick(picker, context)
    for name in names(picker, context):
        value = context.obj.get(name, MISSING)
        if value is not MISSING:
            return value
    return None


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
