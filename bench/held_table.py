"""A table in memory that holds 100,000 devices: it finds partitions without looking at all items, and pages them."""

from bisect import bisect_right
from collections import defaultdict
from typing import Any, cast

from boto3.dynamodb.types import Binary
from testkit.aws.fakes import FakeDynamodb

from jitr.aws.dynamodb.table import from_item, to_item

Key = tuple[str, str]

_INDEXED = ("pk", "state_shard", "due_shard")


class _Items(dict[Key, dict[str, Any]]):
    """Items by their keys, and the keys of each partition of the table and its indexes."""

    def __init__(self) -> None:
        super().__init__()
        self.partitions: defaultdict[tuple[str, str], set[Key]] = defaultdict(set)
        self.sorted: dict[tuple[str, str], list[tuple[str, Key]]] = {}

    def __setitem__(self, key: Key, item: dict[str, Any]) -> None:
        self.pop(key, None)
        super().__setitem__(key, item)
        for each in self._partitions_of(item):
            self.partitions[each].add(key)
            self.sorted.pop(each, None)

    def pop(self, key: Key, *default: Any) -> Any:
        item = super().pop(key, *default)
        for each in self._partitions_of(item or {}):
            self.partitions[each].discard(key)
            self.sorted.pop(each, None)
        return item

    def in_order(self, name: str, partition: str, sort: str) -> list[tuple[str, Key]]:
        """The sort keys and keys of a partition."""
        place = (name, partition)
        if place not in self.sorted:
            self.sorted[place] = sorted((self[key][sort], key) for key in self.partitions[place])
        return self.sorted[place]

    def _partitions_of(self, item: dict[str, Any]) -> list[tuple[str, str]]:
        return [(name, item[name]) for name in _INDEXED if name in item]


class HeldTable(FakeDynamodb):
    """DynamoDB as the recheck function asks it; also counts the items that it gave."""

    def __init__(self) -> None:
        super().__init__()
        self.items: _Items = _Items()
        self.given = 0

    def _put(self, item: dict[str, Any]) -> None:
        super()._put(
            {name: cast(Any, value).value if isinstance(value, Binary) else value for name, value in item.items()}
        )

    def _batch_get_item(self, RequestItems: Any) -> Any:  # noqa: N803
        ((table, wanted),) = RequestItems.items()
        keys = [(key["pk"]["S"], key["sk"]["S"]) for key in wanted["Keys"]]
        found = [self.items[key] for key in keys if key in self.items]
        self.given += len(found)
        return {"Responses": {table: [to_item(each) for each in found]}, "UnprocessedKeys": {}}

    def _query(
        self,
        ExpressionAttributeValues: Any,  # noqa: N803
        ExpressionAttributeNames: Any,  # noqa: N803
        ScanIndexForward: bool = True,  # noqa: N803
        **more: Any,
    ) -> Any:
        if not ScanIndexForward:
            raise NotImplementedError("newest first")
        values = from_item(ExpressionAttributeValues)
        index: str | None = more.get("IndexName")
        sort = {None: "sk", "by_state": "state_at", "by_due": "due_at"}[index]
        order = self.items.in_order(ExpressionAttributeNames["#partition"], values[":partition"], sort)
        start = 0
        if "ExclusiveStartKey" in more:
            last = from_item(more["ExclusiveStartKey"])
            start = bisect_right(order, (last[sort], (last["pk"], last["sk"])))
        end = len(order) if ":until" not in values else bisect_right(order, (values[":until"], ("~", "~")))
        page = order[start : min(end, start + more.get("Limit", len(order)))]
        found = [self.items[key] for _, key in page]
        self.given += len(found)
        keys = ("pk", "sk") if index is None else ("pk", "sk", sort, ExpressionAttributeNames["#partition"])
        shown = found if index is None else [{name: each[name] for name in keys} for each in found]
        answer: dict[str, Any] = {"Items": [to_item(each) for each in shown]}
        if start + len(page) < end:
            answer["LastEvaluatedKey"] = to_item({name: found[-1][name] for name in keys})
        return answer
