"""A simulated account with devices that knock, and whoever answers them."""

import json
import logging
import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, cast

from aws_lambda_powertools import Logger, Metrics
from testkit import pki
from testkit.aws import fakes

from bench.simulation.account import QUOTAS, Dynamodb, Gate, SimulatedIot
from bench.simulation.clock import EPOCH, Clock
from bench.simulation.queue import Bill, Environments, Queue
from jitr.aws.dynamodb.table import Table, row_key
from jitr.aws.iot import Iot
from jitr.aws.pacing import Pace
from jitr.aws.quotas import Quotas
from jitr.aws.telemetry import Telemetry
from jitr.devicelists.rows import RowKey
from jitr.rules.model import Rules
from jitr.services.lists.device_lists import DeviceLists
from jitr.services.publishing.publication import publish
from jitr.services.registration.batch import Batch
from jitr.services.registration.registrar import Registrar
from jitr.times import rfc3339

ACCOUNT = "123456789012"
CERTIFICATES = f"{fakes.ARN}:cert"
CONCURRENCY = 8  # template.yaml, MaximumConcurrency

# As AWS's device SDKs: the wait doubles from the first to the longest (1 s and 128 s), half of it by chance.
FIRST_WAIT, LONGEST_WAIT = 1.0, 128.0
_CONNECT = 0.25  # seconds of TLS and MQTT
_RULE = 0.05  # from the connection to the queue


class Counted(Telemetry):
    """Counts in memory, logs nothing."""

    def __init__(self) -> None:
        quiet = logging.getLogger("bench.simulation")
        quiet.disabled = True
        super().__init__(cast(Logger, quiet), Metrics(namespace="bench", service="bench"))
        self.counts: Counter[str] = Counter()
        self.times: list[float] = []

    def about(self, certificate_id: str) -> None:
        """Nobody reads it."""

    def about_nothing(self) -> None:
        """Nobody reads it."""

    def count(self, name: str, number: int = 1, *, reason: str | None = None) -> None:
        """Add some."""
        self.counts[name] += number
        if reason is not None:
            self.counts[f"{name}:{reason}"] += number

    def milliseconds(self, name: str, value: float) -> None:  # noqa: ARG002
        """Keep one."""
        self.times.append(value)

    def seconds(self, name: str, value: float, *, reason: str) -> None:
        """Nobody reads it."""


@dataclass
class SimulatedDevice:
    """One device: when it knocked first, how often, and when it was through."""

    issued: pki.Issued
    id: str
    first: float | None = None
    knocks: int = 0
    connected: float | None = None


@dataclass
class SimulatedWorld:
    """The account. ``knocks`` is told the body of every registration event, and the certificate that it is about."""

    ca: pki.CA
    seed: int = 1
    concurrency: int = CONCURRENCY
    quotas: int = 1  # times the default ones
    clock: Clock = field(default_factory=Clock)
    devices: list[SimulatedDevice] = field(default_factory=list)
    bill: Bill = field(default_factory=Bill)
    telemetry: Counted = field(default_factory=Counted)
    events: int = 0
    stopped: bool = False

    def __post_init__(self) -> None:
        self.gate = Gate(self.clock, {name: each * self.quotas for name, each in QUOTAS.items()})
        self.iot = SimulatedIot(self.clock, self.gate, 3 * self.seed - 2)
        self.dynamodb = Dynamodb(self.clock, 3 * self.seed - 1)
        self.queue = Queue(self.clock, self.bill, 3 * self.seed)
        self.table = Table(cast(Any, self.dynamodb), "jitr")
        self.iot.policies.add("Sensor")
        self.iot.cas[self.ca.id] = (self.ca.pem.decode(), "ACTIVE")
        self.random = random.Random(self.seed)  # noqa: S311 (the same run each time)
        self.queue.undecided = self.undecided
        self.knocks: Callable[[str, str], None] = self.queue.send

    def publish(self, rules: Rules) -> None:
        """Put rules in force, before time begins."""
        publish(self.table, rules, b"", self.table.heads(), at=rfc3339(EPOCH), by="bench")

    def enlist(self, name: str, rows: Iterable[str]) -> None:
        """Put a device list of common names in force, before time begins."""
        head = DeviceLists(self.table).ensure(name, rfc3339(EPOCH), "one")
        for each in rows:
            key = RowKey("common_name", each)
            self.dynamodb._put(row_key(name, head.generation, key) | {"format": 1, "row": {"common_name": each}})
        self.forget()

    def forget(self) -> None:
        """Nothing that was done until now counts: it was the preparation."""
        self.bill.__init__()  # type: ignore[misc]
        self.iot.calls.clear()
        self.dynamodb.calls.clear()
        self.dynamodb.read_units = self.dynamodb.write_units = 0.0
        self.dynamodb.read_of.clear()
        self.dynamodb.written_of.clear()
        self.dynamodb.told = 0
        self.telemetry.counts.clear()

    def handler(self) -> Callable[[list[dict[str, Any]], Callable[[], int]], dict[str, list[dict[str, str]]]]:
        """What functions/register makes at its first invocation, on simulated clients and time."""
        default = Quotas()
        quotas = Quotas(
            certificates=default.certificates * self.quotas,
            policies=default.policies * self.quotas,
            things=default.things * self.quotas,
            environments=self.concurrency,
        )
        pace = Pace(quotas, clock=lambda: self.clock.now, sleep=self.clock.sleep)
        registrar = Registrar(
            iot=Iot(cast(Any, self.iot), pace),
            table=self.table,
            account_id=ACCOUNT,
            clock=lambda: self.clock.time,
            telemetry=self.telemetry,
            at_once=self.clock.at_once,
        )
        return Batch(
            handler=registrar,
            sqs=lambda: cast(Any, self.queue),
            queue_url="registration",
            failures_url="failures",
            telemetry=self.telemetry,
            clock=lambda: self.clock.time,
            jitter=self.random.random,
        ).handle

    def register(self) -> Environments:
        """Let the register function poll the queue."""
        environments = Environments(self.clock, self.queue, self.bill, self.handler)
        environments.start(self.concurrency)
        return environments

    def arrive(self, issued: list[pki.Issued], within: float, *, longest: float = LONGEST_WAIT) -> None:
        """New devices connect for the first time, spread evenly over so many seconds from now."""
        for each in issued:
            device = SimulatedDevice(each, each.sha256)
            self.devices.append(device)
            at = self.clock.now + self.random.random() * within
            self.clock.start(lambda device=device: self._live(device, longest), at)  # type: ignore[misc]

    def _live(self, device: SimulatedDevice, longest: float) -> None:
        """Connect, be hung up on, wait, connect again, until it is let in."""
        wait = FIRST_WAIT
        while not self.stopped:
            self.clock.sleep(_CONNECT)
            if self.knock(device):
                return
            self.clock.sleep(min(wait, longest) * (0.5 + self.random.random() / 2))
            wait *= 2

    def knock(self, device: SimulatedDevice) -> bool:
        """One connection; whether the device is through."""
        found = self.iot.certificates.get(device.id)
        if found is None:
            self.iot._registered(device.issued.pem.decode(), self.ca.id, "PENDING_ACTIVATION")
            found = self.iot.certificates[device.id]
        if device.first is None:
            device.first = self.clock.now
        if found.status == "ACTIVE" and found.policies:
            device.connected = self.clock.now
            return True
        if found.status == "PENDING_ACTIVATION":
            device.knocks += 1
            self.events += 1
            body = self.event(device)
            self.clock.start(lambda: self.knocks(body, device.id), self.clock.now + _RULE)
        return False

    def event(self, device: SimulatedDevice) -> str:
        """The registration event of a knock now."""
        return json.dumps(
            {
                "certificateId": device.id,
                "caCertificateId": self.ca.id,
                "timestamp": int((EPOCH.timestamp() + self.clock.now) * 1000),
                "certificateStatus": "PENDING_ACTIVATION",
                "awsAccountId": ACCOUNT,
                "certificateRegistrationTimestamp": None,
            }
        )

    def held(self, certificate_id: str) -> bool:
        """Whether a device is on hold."""
        item = self.dynamodb.items.get((f"CERTIFICATE#{certificate_id}", "DECISION"))
        return item is not None and item["decision"] == "hold"

    def undecided(self, certificate_id: str) -> bool:
        """Whether nothing came of a device yet."""
        return certificate_id not in self.iot.admitted and not self.held(certificate_id)
