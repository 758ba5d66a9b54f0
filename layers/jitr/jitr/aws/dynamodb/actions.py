"""The actions of a transaction, from plain values: DynamoDB API reference, TransactWriteItems."""

from collections.abc import Mapping
from typing import Any

from jitr.aws.dynamodb.table import Item, to_item


def where(condition: str, values: Item | None = None, names: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return what makes an action depend on what is there."""
    return {"ConditionExpression": condition, **_used(values, names)}


def put(table: str, item: Item, **condition: Any) -> Item:
    """Return the action that writes an item; ``condition`` is that of ``where`` or ``over``."""
    return {"Put": {"TableName": table, "Item": to_item(item), **condition}}


def delete(table: str, key: Item, **condition: Any) -> Item:
    """Return the action that deletes an item; ``condition`` as for ``put``."""
    return {"Delete": {"TableName": table, "Key": to_item(key), **condition}}


def update(
    table: str,
    key: Item,
    change: str,
    values: Item,
    names: Mapping[str, str] | None = None,
    condition: str | None = None,
) -> Item:
    """Return the action that changes an item; ``values`` and ``names`` are those of the condition as well."""
    conditional = {} if condition is None else {"ConditionExpression": condition}
    return {
        "Update": {
            "TableName": table,
            "Key": to_item(key),
            "UpdateExpression": change,
            **conditional,
            **_used(values, names),
        }
    }


def _used(values: Item | None, names: Mapping[str, str] | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if names:
        found["ExpressionAttributeNames"] = dict(names)
    if values:
        found["ExpressionAttributeValues"] = to_item(values)
    return found
