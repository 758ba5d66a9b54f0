"""AWS's list prices, and what a run comes to.

us-east-1, US dollars, without free tier, discounts and taxes, as AWS's pricing pages had them in 2025: AWS Lambda
pricing (arm64, first tier), Amazon SQS pricing (standard queues, first tier), Amazon DynamoDB pricing for on-demand
capacity (since November 2024), AWS IoT Core pricing (registry, rules engine), Amazon CloudWatch pricing (standard
logs). Amazon EventBridge pricing (https://aws.amazon.com/eventbridge/pricing/) was read for how events are counted; the
price of one is what several guides quote from that page. Whoever finds another price changes it here, and `make bench`
does the rest.
"""

from collections.abc import Mapping
from dataclasses import dataclass

LAMBDA_GB_SECOND = 0.0000133334
LAMBDA_REQUEST = 0.20 / 1e6
SQS_REQUEST = 0.40 / 1e6
DYNAMODB_READ_UNIT = 0.125 / 1e6
DYNAMODB_WRITE_UNIT = 0.625 / 1e6
DYNAMODB_GB_MONTH = 0.25
EVENT = 1.00 / 1e6  # custom, for each 64 KB; the rules and targets of a bus cost nothing
IOT_RULE = (0.15 + 0.15) / 1e6  # triggered, with one action
IOT_REGISTRY = 1.25 / 1e6
LOGS_GB = 0.50  # ingested

MEMORY = 0.5  # GB, template.yaml
# An assumption, and the dearest: events that never share an invocation of NotifyFunction. The stream's records are read
# for nothing where Lambda reads them ("Amazon DynamoDB pricing", Streams).
NOTIFYING = 0.05  # seconds

# "AWS IoT Core additional metering details", Registry: these calls are charged, those about certificates and IoT
# policies are not.
REGISTRY = frozenset(
    {
        *("CreateThing", "DescribeThing", "UpdateThing", "AttachThingPrincipal", "DetachThingPrincipal"),
        *("AddThingToThingGroup", "ListThingPrincipals"),
    }
)


@dataclass(frozen=True, slots=True)
class Used:
    """What was used of what AWS charges for."""

    events: int  # registration events, each of which triggers the topic rule
    iot: Mapping[str, int]  # calls by operation
    invocations: int
    seconds: float  # of functions
    sqs: int = 0
    read_units: float = 0.0
    write_units: float = 0.0
    told: int = 0  # events put on the bus

    def dollars(self) -> dict[str, float]:
        """What it comes to, by service."""
        return {
            "IoT rule": self.events * IOT_RULE,
            "IoT registry": sum(count for name, count in self.iot.items() if name in REGISTRY) * IOT_REGISTRY,
            "SQS": self.sqs * SQS_REQUEST,
            "Lambda": _lambda(self.invocations, self.seconds) + _lambda(self.told, self.told * NOTIFYING),
            "DynamoDB": self.read_units * DYNAMODB_READ_UNIT + self.write_units * DYNAMODB_WRITE_UNIT,
            "EventBridge": self.told * EVENT,
        }


def _lambda(invocations: int, seconds: float) -> float:
    return invocations * LAMBDA_REQUEST + seconds * MEMORY * LAMBDA_GB_SECOND
