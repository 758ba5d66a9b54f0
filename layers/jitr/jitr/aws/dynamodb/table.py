"""The table: one DynamoDB table for heads, rules, lists, decisions and reservations.

Keys and item shapes are written down in ``docs/contracts.md``. Reads that decide something are consistent.
"""

import hashlib
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from botocore.exceptions import ClientError

from jitr.aws.errors import code_of, told_apart
from jitr.devicelists.rows import ListRow, Membership, RowKey, device_keys, membership
from jitr.errors import Refused, Retry
from jitr.facts import Knock
from jitr.records.heads import Heads, ListHead
from jitr.records.held import hints
from jitr.records.record import FORMAT, Record
from jitr.records.search import SHA256, search_keys

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

Item = dict[str, Any]

HEADS = {"pk": "HEADS", "sk": "HEADS"}
_CHUNK = 350_000  # bytes; an item holds at most 400 KB
_ROW_SHARDS = 16  # a list's rows spread over this many partition keys
_STATE_SHARDS = 8  # and so do the decisions of one verdict, in the index
SEARCH_SHARDS = 4  # and so do search keys of one kind, each of which a search asks
BATCH_GET = 100  # DynamoDB API reference, BatchGetItem

# The keys of the table and of its indexes.
_PARTITION = {None: "pk", "by_state": "state_shard", "by_due": "due_shard"}
_SORT = {None: "sk", "by_state": "state_at", "by_due": "due_at"}
# What DynamoDB takes of bounds on a sort key, both ends included. DynamoDB API reference, Query
_BOUNDS = ("since", "until", "beginning")
_COMPARED: Mapping[tuple[str, ...], str] = {
    (): "",
    (":since",): " AND #sort >= :since",
    (":until",): " AND #sort <= :until",
    (":since", ":until"): " AND #sort BETWEEN :since AND :until",
    (":beginning",): " AND begins_with(#sort, :beginning)",
}


# What a glance at a record needs: what ``transitions.remember`` asks of it, no facts, reasons or near misses.
_GLANCE = (
    *("pk", "rules", "lists", "format", "certificate_id", "ca_certificate_id", "decision", "state", "decided_at"),
    *("knocked_at", "since", "meaning", "editions", "due", "delivery", "stays_pending", "reopened", "described_at"),
    *("knocks", "counted_at", "revision"),
)


class Asked(TypedDict, total=False):
    """What is asked of a partition: of an index; of sort keys from ``since`` to ``until``, or with a ``beginning``.

    They come in order, or the last ones first with ``newest_first``; ``after`` an item that ``page`` has answered; at
    most ``limit`` in one answer of DynamoDB.
    """

    index: str | None
    since: str | None
    until: str | None
    beginning: str | None
    newest_first: bool
    after: Item | None
    limit: int


_A_FEW: Asked = {"limit": BATCH_GET}


class Conflict(Retry):
    """Somebody else wrote the item meanwhile: read again, decide again."""

    def __init__(self, what: str) -> None:
        super().__init__("conflict", f"{what} was changed by another hand meanwhile")


def certificate_key(certificate_id: str) -> Item:
    """Return the key of a certificate's decision record."""
    return {"pk": f"CERTIFICATE#{certificate_id}", "sk": "DECISION"}


def key_of(item: Mapping[str, Any]) -> Item:
    """Return an item's key in the table, also of an item in an index."""
    return {"pk": item["pk"], "sk": item["sk"]}


def certificate_of(item: Mapping[str, Any]) -> str:
    """Return which certificate an item is about, by its key."""
    pk: str = item["pk"]
    return pk.removeprefix("CERTIFICATE#")


def by_hand_key(certificate_id: str) -> Item:
    """Return the key of what operators did to a certificate's status by hand."""
    return certificate_key(certificate_id) | {"sk": "BY_HAND"}


def reservation_key(name: str) -> Item:
    """Return the key of a reservation, such as ``THING#press-1``: see ``jitr.records.reservation``."""
    return {"pk": name, "sk": "RESERVATION"}


def row_key(name: str, generation: str, key: RowKey) -> Item:
    """Return the key of a list's row, found by one of the row's own keys."""
    digest = hashlib.sha256(str(key).encode()).digest()
    return {"pk": f"LIST#{name}#{generation}#{digest[0] % _ROW_SHARDS:02d}", "sk": str(key)}


def row_partitions(name: str, generation: str) -> Iterator[str]:
    """Return every partition key under which a generation of a list has rows."""
    return (f"LIST#{name}#{generation}#{shard:02d}" for shard in range(_ROW_SHARDS))


def state_shards(decision: str) -> Iterator[str]:
    """Return every partition of the index ``by_state`` that has decisions of a verdict."""
    return (f"{decision}#{shard}" for shard in range(_STATE_SHARDS))


def due_shards() -> Iterator[str]:
    """Return every partition of the index ``by_due``."""
    return (f"due#{shard}" for shard in range(_STATE_SHARDS))


def hint_key(hint: str, certificate_id: str) -> Item:
    """Return the key of one of a held device's hints, see ``jitr.records.held``."""
    return {"pk": f"HELD#{hint}", "sk": certificate_id}


def search_partition(kind: str, shard: int | str) -> str:
    """Return a partition of the search keys of a kind."""
    return f"FIND#{kind}#{shard}"


def search_item_key(key: str, certificate_id: str) -> Item:
    """Return the key of one of a record's search keys, see ``jitr.records.search``.

    Digests spread by their first digit, which whoever searches knows; all else by the certificate, in few partitions.
    """
    kind, _, value = key.partition("#")
    shard = value[0] if kind == SHA256 else int(certificate_id[:8], 16) % SEARCH_SHARDS
    return {"pk": search_partition(kind, shard), "sk": f"{value}#{certificate_id}"}


def to_item(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Return plain values as DynamoDB takes them. Raises TypeError for what the table never holds, like fractions."""
    return {name: _typed(value) for name, value in plain.items()}


def from_item(item: Mapping[str, Any]) -> Item:
    """Return plain values from DynamoDB. Every number in the table is whole.

    What this version never writes, such as a set, stays as DynamoDB gives it: the item's format tells of it.
    """
    return {name: _plain(value) for name, value in item.items()}


# boto3 has these two as well, for every type there is, and takes several times as long.
def _typed(value: Any) -> dict[str, Any]:
    match value:
        case str():
            return {"S": value}
        case bool():
            return {"BOOL": value}
        case int():
            return {"N": str(value)}
        case None:
            return {"NULL": True}
        case Mapping():
            return {"M": {name: _typed(each) for name, each in value.items()}}
        case list() | tuple():
            return {"L": [_typed(each) for each in value]}
        case bytes():
            return {"B": value}
    raise TypeError(f"the table holds no {type(value).__name__}")


def _plain(value: Mapping[str, Any]) -> Any:
    ((kind, inner),) = value.items()
    match kind:
        case "N":
            try:
                return int(inner)
            except ValueError:
                return inner
        case "M":
            return {name: _plain(each) for name, each in inner.items()}
        case "L":
            return [_plain(each) for each in inner]
        case "NULL":
            return None
    return inner


def is_newer(plain: Item) -> bool:
    """Return whether an item was written by a later version, in a format that this one does not know."""
    return int(plain.get("format", FORMAT)) > FORMAT


def understood(plain: Item) -> Item:
    """Return the item as it is. Raises Retry for one that a newer version wrote: no guessing."""
    if is_newer(plain):
        raise Retry(
            "format",
            f"the table's item {plain.get('pk')} has format {plain['format']}, this version reads {FORMAT}: "
            "deploy the newer version again",
        )
    return plain


class Table:
    """The table, as functions and the command line use it.

    Every method raises Retry where DynamoDB could not answer now, and Conflict where a condition did not hold.
    """

    def __init__(self, client: "DynamoDBClient", name: str) -> None:
        self.client = client
        self.name = name

    def record_and_heads(self, certificate_id: str) -> tuple[Record | None, Heads]:
        """Read the decision record of a certificate and the heads, in one request."""
        keys = [certificate_key(certificate_id), HEADS]
        found = {item["pk"]: item for item in self.get(keys)}
        record = found.get(keys[0]["pk"])
        return (None if record is None else Record.from_json(record)), heads_from(found.get("HEADS"))

    def glance(self, certificate_ids: Sequence[str]) -> tuple[dict[str, Item], Heads]:
        """Read the heads, and what of some certificates' records says whether there is anything to do.

        In one request for up to 99 certificates; ``Record.glanced`` reads an item.
        """
        keys = [HEADS, *map(certificate_key, certificate_ids)]
        found = {item["pk"]: item for item in self.get(keys, only=_GLANCE, of_any_format=True)}
        heads = heads_from(understood(found.pop("HEADS", {})))
        return {certificate_of(item): item for item in found.values()}, heads

    def records(self, certificate_ids: Sequence[str]) -> Iterator[Record]:
        """Read the existing decision records of some certificates, in no order."""
        return map(Record.from_json, self.get([certificate_key(each) for each in certificate_ids]))

    def on_record(self, certificate_id: str) -> tuple[bool, bool]:
        """Return whether a certificate was decided, and whether an operator did anything to it by hand."""
        decided, by_hand = certificate_key(certificate_id), by_hand_key(certificate_id)
        found = {item["sk"] for item in self.get([decided, by_hand])}
        return decided["sk"] in found, by_hand["sk"] in found

    def heads(self) -> Heads:
        """Read what is in force now."""
        return heads_from(self.one(HEADS))

    def rows(self, wanted: Mapping[str, ListHead], keys: Sequence[RowKey]) -> dict[str, list[tuple[RowKey, ListRow]]]:
        """Read the rows that the keys find on each of the lists, in their generations in force."""
        places = {}
        for name, head in wanted.items():
            for key in keys:
                place = row_key(name, head.generation, key)
                places[place["pk"], place["sk"]] = (name, key)
        found: dict[str, list[tuple[RowKey, ListRow]]] = {name: [] for name in wanted}
        for item in self.get([{"pk": pk, "sk": sk} for pk, sk in places]):
            name, key = places[item["pk"], item["sk"]]
            found[name].append((key, ListRow.from_json(item["row"])))
        return found

    def memberships(
        self, knock: Knock, names: Collection[str], heads: Heads, at: datetime
    ) -> dict[str, Membership | None]:
        """Read a device's place on each of some lists ``at`` a time; None on a list that does not have it."""
        lists = {name: heads.lists[name] for name in names if name in heads.lists}
        found = self.rows(lists, device_keys(knock))
        return {name: membership(knock, found.get(name, ()), at) for name in names}

    def get(self, keys: Sequence[Item], *, only: Sequence[str] = (), of_any_format: bool = False) -> Iterator[Item]:
        """Read the existing items of these keys, by consistent reads, in no order; or only these attributes.

        ``of_any_format`` is for those who look at each item's format themselves: one of them then keeps no other back.
        """
        names = {f"#{place}": name for place, name in enumerate(only)}
        asked: Any = {"ConsistentRead": True}
        if names:
            asked |= {"ProjectionExpression": ",".join(names), "ExpressionAttributeNames": names}
        for start in range(0, len(keys), BATCH_GET):
            wanted = [to_item(key) for key in keys[start : start + BATCH_GET]]
            while wanted:
                with told_apart():
                    answer = self.client.batch_get_item(RequestItems={self.name: {"Keys": wanted} | asked})
                found = map(from_item, answer["Responses"].get(self.name, []))
                yield from found if of_any_format else map(understood, found)
                left = answer["UnprocessedKeys"]
                unread = list(left[self.name]["Keys"]) if self.name in left else []
                if len(unread) == len(wanted):
                    raise Retry("throttled", "the table gave none of the items that were asked for")
                wanted = unread

    def one(self, key: Item, *, of_any_format: bool = False) -> Item | None:
        """Read the item of a key as ``get`` does; None if there is none."""
        return next(self.get([key], of_any_format=of_any_format), None)

    def query(self, partition: str, **asked: Unpack[Asked]) -> Iterator[Item]:
        """Yield every item of a partition, page by page."""
        for page in self.raw_pages(partition, **asked):
            yield from map(understood, map(from_item, page))

    def raw_pages(self, partition: str, **asked: Unpack[Asked]) -> Iterator[list[dict[str, Any]]]:
        """Yield the same as DynamoDB gives it: pages of items with typed values."""
        arguments = self._asking(partition, **asked)
        while True:
            page = self._queried(arguments)
            yield page["Items"]
            if "LastEvaluatedKey" not in page:
                return
            arguments["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def pages(self, partition: str, **asked: Unpack[Asked]) -> Iterator[list[Item]]:
        """Yield some items of a partition at a time.

        For partitions whose items are places of others (hints, search keys, and those of the indexes): formats are
        looked at where those are read.
        """
        for page in self.raw_pages(partition, **_A_FEW | asked):
            yield list(map(from_item, page))

    def page(self, partition: str, **asked: Unpack[Asked]) -> tuple[list[Item], Item | None]:
        """Read one page as ``pages`` has them, and after which item the next one comes; None if it is the last."""
        page = self._queried(self._asking(partition, **_A_FEW | asked))
        last = page.get("LastEvaluatedKey")
        return list(map(from_item, page["Items"])), None if last is None else from_item(last)

    def _asking(self, partition: str, **asked: Unpack[Asked]) -> dict[str, Any]:
        """Return the arguments of a query. Raises KeyError for bounds that DynamoDB does not take together."""
        index = asked.get("index")
        bounds = {f":{each}": value for each in _BOUNDS if (value := asked.get(each)) is not None}
        arguments: dict[str, Any] = {
            "TableName": self.name,
            "KeyConditionExpression": "#partition = :partition" + _COMPARED[tuple(bounds)],
            "ExpressionAttributeNames": {"#partition": _PARTITION[index]} | ({"#sort": _SORT[index]} if bounds else {}),
            "ExpressionAttributeValues": to_item({":partition": partition, **bounds}),
            "ScanIndexForward": not asked.get("newest_first", False),
            **({"ConsistentRead": True} if index is None else {"IndexName": index}),
        }
        if (limit := asked.get("limit")) is not None:
            arguments["Limit"] = limit
        if (after := asked.get("after")) is not None:
            arguments["ExclusiveStartKey"] = to_item(after)
        return arguments

    def _queried(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        with told_apart():
            return self.client.query(**arguments)

    def update(
        self, key: Item, update: str, values: Item, names: Mapping[str, str], condition: str | None
    ) -> Item | None:
        """Update an item; the result is what it is afterwards, None where the condition does not hold."""
        conditional: dict[str, Any] = {} if condition is None else {"ConditionExpression": condition}
        answer = _if_it_holds(
            self.client.update_item,
            TableName=self.name,
            Key=to_item(key),
            UpdateExpression=update,
            ExpressionAttributeNames=dict(names),
            ExpressionAttributeValues=to_item(values),
            ReturnValues="ALL_NEW",
            **conditional,
        )
        return None if answer is None else from_item(answer["Attributes"])

    def blob(self, partition: str) -> bytes | None:
        """Read a stored document that may be larger than an item; None if there is none, or not whole."""
        chunks = list(self.query(partition))
        if not chunks or len(chunks) != int(chunks[0]["of"]):
            return None
        try:
            return zlib.decompress(b"".join(bytes(each["data"]) for each in chunks))
        except zlib.error:
            return None

    def put_blob(self, partition: str, document: bytes) -> None:
        """Store a document in as many items as it takes. Writing the same again changes nothing."""
        packed = zlib.compress(document, 9)
        chunks = [packed[start : start + _CHUNK] for start in range(0, len(packed), _CHUNK)]
        for number, chunk in enumerate(chunks):
            place = {"pk": partition, "sk": f"CHUNK#{number:04d}"}
            item = place | {"format": FORMAT, "of": len(chunks), "data": chunk}
            with told_apart():
                self.client.put_item(TableName=self.name, Item=to_item(item))

    def put(self, item: Item) -> None:
        """Write an item whatever was there."""
        with told_apart():
            self.client.put_item(TableName=self.name, Item=to_item(item))

    def put_record(self, record: Record, *, beside: Sequence[Mapping[str, Any]] = ()) -> Record:
        """Write a decision record over the revision it was made from; the result is what is stored.

        Alone, if no hint comes or goes with it, and nothing is written ``beside`` it: in a transaction DynamoDB charges
        twice as much for it.
        """
        after, writes = record_writes(self.name, record)
        writes = [*writes, *map(dict, beside)]
        if len(writes) == 1:
            failed = _if_it_holds(self.client.put_item, **writes[0]["Put"]) is None
        else:
            failed = bool(self.transact(writes))
        if failed:
            raise Conflict(f"the record of {record.certificate_id}")
        return after

    def transact(self, actions: Sequence[Mapping[str, Any]]) -> list[str]:
        """Carry out all actions or none. The result is empty on success, else a cancellation code for each action.

        Only failed conditions are told in the result; conflicts and throttling raise Retry.
        """
        with told_apart():
            try:
                self.client.transact_write_items(TransactItems=list(actions))  # type: ignore[arg-type]
            except ClientError as error:
                if code_of(error) != "TransactionCanceledException":
                    raise
                return _cancellation(error)
        return []

    def count_knock(self, record: Record, at: str) -> None:
        """Add one to the (approximate) count of a held device's knocks, unless its record is gone meanwhile."""
        _if_it_holds(
            self.client.update_item,
            TableName=self.name,
            Key=to_item(certificate_key(record.certificate_id)),
            UpdateExpression="SET counted_at = :at, knocked_at = :at REMOVE telling ADD knocks :one",
            ConditionExpression="attribute_exists(pk)",
            ExpressionAttributeValues={":at": {"S": at}, ":one": {"N": "1"}},
        )


def _if_it_holds(write: Callable[..., Any], **arguments: Any) -> Any:
    """Return the answer to a conditional write of one item; None if the condition does not hold."""
    try:
        with told_apart():
            return write(**arguments)
    except Refused as refused:
        if refused.code != "ConditionalCheckFailedException":
            raise
        return None


def record_item(record: Record) -> Item:
    """Return a record as an item, placed in the index ``by_state`` and, if the device waits, in ``by_due``."""
    digit = int(record.certificate_id[:8], 16) % _STATE_SHARDS
    plain = record.to_json()
    place = {"state_shard": f"{record.decision.value}#{digit}", "state_at": plain["decided_at"]}
    if record.waiting and record.due is not None:
        place |= {"due_shard": f"due#{digit}", "due_at": plain["due"]}
    return certificate_key(record.certificate_id) | plain | place


def record_writes(table: str, record: Record) -> tuple[Record, list[Item]]:
    """Return a record as it is after it was written, and the actions that write it, for one transaction.

    The first puts the record, over the revision it was made from. The others keep the hints by which a held device
    is found: they are written with the first hold and go when it ends, so what is between costs nothing more. And they
    keep the keys by which it is searched: those are written with its first record, or by the first write of a record
    that an earlier version made, and hardly ever change.
    """
    after = replace(
        record, hints=hints(record), search_keys=search_keys(record), revision=record.revision + 1
    ).as_told()
    put = {"TableName": table, "Item": to_item(record_item(after)), **over(record.revision)}
    added = [hint_key(each, record.certificate_id) for each in after.hints if each not in record.hints]
    added += [
        search_item_key(each, record.certificate_id) for each in after.search_keys if each not in record.search_keys
    ]
    return after, [
        {"Put": put},
        *({"Put": {"TableName": table, "Item": to_item(each | {"format": FORMAT})}} for each in added),
        *deletes_beside(table, record, after),
    ]


def deletes_beside(table: str, record: Record, after: Record | None) -> list[Item]:
    """Return the actions that delete the hints and search keys which are no longer wanted: all, without ``after``."""
    hints_left, keys_left = ((), ()) if after is None else (after.hints, after.search_keys)
    gone = [hint_key(each, record.certificate_id) for each in record.hints if each not in hints_left]
    gone += [search_item_key(each, record.certificate_id) for each in record.search_keys if each not in keys_left]
    return [{"Delete": {"TableName": table, "Key": to_item(each)}} for each in gone]


def over(revision: int) -> dict[str, Any]:
    """Return the condition of a write over the revision that was read; 0 if there was no item.

    An item that was read and is gone is a conflict, too: what is about to be written rests on it.
    """
    if revision == 0:
        return {"ConditionExpression": "attribute_not_exists(pk)"}
    return {
        "ConditionExpression": "revision = :revision",
        "ExpressionAttributeValues": {":revision": {"N": str(revision)}},
    }


def heads_from(item: Item | None) -> Heads:
    """Return the heads from their item; without one nothing was ever published."""
    if item is None:
        return Heads()
    rules = item.get("rules") or {}
    return Heads(
        digest=rules.get("digest"),
        meaning=rules.get("meaning"),
        version=int(rules.get("version", 0)),
        lists={
            name: ListHead(each["generation"], int(each["edition"])) for name, each in (item.get("lists") or {}).items()
        },
    )


def _cancellation(error: ClientError) -> list[str]:
    """Return the code of each action of a cancelled transaction. Raises Retry unless a condition failed."""
    codes = [each.get("Code", "None") for each in error.response.get("CancellationReasons", [])]
    if "ConditionalCheckFailed" not in codes:
        raise Retry("throttled", f"the transaction was cancelled ({', '.join(codes) or 'no reason given'})")
    return codes
