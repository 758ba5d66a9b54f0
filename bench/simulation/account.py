"""AWS IoT and DynamoDB of the simulated account: the fakes of the tests, with latencies, quotas and a bill.

AWS IoT answers ThrottlingException where a second's calls of an operation are used up: a token bucket an operation
that holds one second's calls. Latencies are assumptions, log-normal around these medians; the page tells them.
"""

import math
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

from boto3.dynamodb.types import Binary
from testkit.aws import fakes

from bench.simulation.clock import Clock
from bench.simulation.sizes import item_size
from jitr.aws.dynamodb.table import to_item

# https://docs.aws.amazon.com/general/latest/gr/iot-core.html, "AWS IoT Core API rate limits": calls a second.
QUOTAS: Mapping[str, float] = {
    "DescribeCertificate": 10,
    "UpdateCertificate": 10,
    "DescribeCACertificate": 10,
    "ListThingPrincipals": 10,
    "CreatePolicy": 10,
    "AttachPolicy": 15,
    "DetachPolicy": 15,
    "CreateThing": 100,
    "AttachThingPrincipal": 100,
    "DetachThingPrincipal": 100,
    "AddThingToThingGroup": 100,
    "UpdateThing": 100,
    "DescribeThing": 350,
}
# Medians in milliseconds, from inside the Region on a connection that is open.
LATENCIES: Mapping[str, float] = {
    "iot": 45,
    "BatchGetItem": 5,
    "Query": 6,
    "UpdateItem": 6,
    "PutItem": 6,
    "TransactWriteItems": 12,
    "sqs": 10,
}
_SPREAD = 0.25  # sigma of the logarithm
# Milliseconds of computing on a whole core: a call by boto3, an item that it reads, reading a certificate and deciding.
# Measured with boto3 1.40 on answers that were canned; template.yaml gives the function 512 MB, and Lambda a whole
# core for 1,769 MB (AWS Lambda Developer Guide, "Configure Lambda function memory").
_A_CALL, _AN_ITEM, _A_DECISION = 0.5, 0.15, 0.5
_OF_A_CORE = 512 / 1769
_THROTTLED_AFTER = 15  # ms: a refusal is quick


class Gate:
    """The account's quotas: who comes when the bucket of an operation is empty is refused."""

    def __init__(self, clock: Clock, quotas: Mapping[str, float] = QUOTAS) -> None:
        self._clock = clock
        self._quotas = quotas
        self._left = dict(quotas)
        self._at = dict.fromkeys(quotas, 0.0)
        self.open = False  # while the world is prepared

    def lets_through(self, operation: str) -> bool:
        """Take a token, if there is one."""
        if self.open:
            return True
        rate, now = self._quotas[operation], self._clock.now
        left = min(rate, self._left[operation] + (now - self._at[operation]) * rate)
        self._at[operation] = now
        self._left[operation] = left - 1 if left >= 1 else left
        return left >= 1


class Timed(fakes.FakeClient):
    """A client whose calls take simulated time, and are counted."""

    def __init__(self, clock: Clock, seed: int) -> None:
        super().__init__()
        self.clock = clock
        self.calls: Counter[str] = Counter()
        self._random = random.Random(seed)  # noqa: S311 (the same run each time)

    def latency(self, operation: str) -> float:
        """Seconds that this call takes."""
        median = LATENCIES.get(operation) or LATENCIES[self.service]
        return self._random.lognormvariate(math.log(median / 1000), _SPREAD)

    def computing(self, operation: str, arguments: Mapping[str, Any]) -> float:
        """Seconds that the function computes around this call."""
        milliseconds = _A_CALL
        if operation == "BatchGetItem":
            ((_table, wanted),) = arguments["RequestItems"].items()
            milliseconds += _AN_ITEM * len(wanted["Keys"])
        elif operation == "DescribeCertificate":
            milliseconds += _A_DECISION
        return milliseconds / 1000 / _OF_A_CORE

    def _call(self, operation: str, does: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        self.clock.sleep(self.latency(operation) + self.computing(operation, arguments))
        self.calls[operation] += 1
        return does(**arguments) or {}


class SimulatedIot(Timed, fakes.FakeIot):
    """AWS IoT Core with quotas. ``admitted`` has when each certificate became ACTIVE."""

    def __init__(self, clock: Clock, gate: Gate, seed: int = 1) -> None:
        fakes.FakeIot.__init__(self)
        Timed.__init__(self, clock, seed)
        self._gate = gate
        self.throttled: Counter[str] = Counter()
        self.admitted: dict[str, float] = {}
        self.without_policy: list[str] = []  # became ACTIVE before any IoT policy was attached
        self._refusals = {name: fakes.refusal(name, "ThrottlingException") for name in QUOTAS}  # there are millions
        self.passed: dict[str, list[float]] = {name: [] for name in QUOTAS}  # when calls were let through

    def _call(self, operation: str, does: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        if not self._gate.lets_through(operation):
            self.calls[operation] += 1
            self.throttled[operation] += 1
            self.clock.sleep(_THROTTLED_AFTER / 1000)
            raise self._refusals[operation].with_traceback(None)
        self.passed[operation].append(self.clock.now)
        answer = super()._call(operation, does, arguments)
        if operation == "UpdateCertificate" and arguments["newStatus"] == "ACTIVE":
            identifier = arguments["certificateId"]
            self.admitted.setdefault(identifier, self.clock.now)
            if not self.certificates[identifier].policies:
                self.without_policy.append(identifier)
        return answer


class Dynamodb(Timed, fakes.FakeDynamodb):
    """The table, with a bill in request units. Items are kept typed as well: they are read often."""

    def __init__(self, clock: Clock, seed: int = 2) -> None:
        fakes.FakeDynamodb.__init__(self)
        Timed.__init__(self, clock, seed)
        self.read_units = 0.0
        self.write_units = 0.0
        self.read_of: Counter[str] = Counter()  # units by partition key
        self.written_of: Counter[str] = Counter()
        self.told = 0  # writes that an event is made from
        self._as_typed: dict[tuple[str, str], tuple[dict[str, Any], int]] = {}

    def _batch_get_item(self, RequestItems: Any) -> Any:  # noqa: N803
        ((table, wanted),) = RequestItems.items()
        names = [each.strip() for each in wanted.get("ProjectionExpression", "").split(",") if each]
        names = [wanted.get("ExpressionAttributeNames", {}).get(each, each) for each in names]
        found = []
        for key in wanted["Keys"]:
            item, size = self._typed((key["pk"]["S"], key["sk"]["S"]))
            units = max(1, math.ceil(size / 4096)) * (1 if wanted.get("ConsistentRead") else 0.5)
            self.read_units += units
            self.read_of[key["pk"]["S"]] += units  # type: ignore[assignment]
            if item is not None:
                found.append({name: item[name] for name in names if name in item} if names else item)
        return {"Responses": {table: found}, "UnprocessedKeys": {}}

    def _typed(self, key: tuple[str, str]) -> tuple[dict[str, Any] | None, int]:
        if key not in self.items:
            return None, 0
        if key not in self._as_typed:
            typed = _as_boto3_gives_it(self.items[key])
            self._as_typed[key] = (typed, item_size(typed))
        return self._as_typed[key]

    def _transact_write_items(self, TransactItems: Any, alone: str | None = None) -> None:  # noqa: N803
        super()._transact_write_items(TransactItems, alone)
        for action in TransactItems:
            ((_name, what),) = action.items()
            key = what.get("Key") or what["Item"]
            place = (key["pk"]["S"], key["sk"]["S"])
            self._as_typed.pop(place, None)
            units = max(1, math.ceil(self._typed(place)[1] / 1024))
            # Twice in a transaction; and one for the index, where the item is in it.
            units *= 1 if alone else 2
            self.write_units += units + ("state_shard" in self.items.get(place, {}))
            self.written_of[place[0]] += units
            self.told += "telling" in self.items.get(place, {})

    def sizes(self) -> Iterator[tuple[str, int]]:
        """Yield the partition key of each item and how many bytes it takes, 100 of them DynamoDB's own."""
        return ((pk, self._typed((pk, sk))[1] + 100) for pk, sk in self.items)

    def _put(self, item: dict[str, Any]) -> None:
        super()._put(item)
        self._as_typed.pop((item["pk"], item["sk"]), None)


def _as_boto3_gives_it(item: Mapping[str, Any]) -> dict[str, Any]:
    """Typed values; what is binary comes out of the fakes in boto3's own wrapping."""
    return to_item({name: bytes(cast(Any, each)) if isinstance(each, Binary) else each for name, each in item.items()})
