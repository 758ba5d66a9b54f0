"""Queue and function in simulated time, with the visibility, receives and time-outs of the template."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from jitr.aws.iot import Iot
from jitr.aws.pacing import Pace
from jitr.aws.quotas import Quotas
from jitr.services.registration.batch import Batch
from jitr.services.registration.registrar import Registrar
from testkit import pki
from testkit.aws.admission import FACTORY, FULL, rules
from testkit.aws.faults import Killed
from testkit.aws.world import ACCOUNT, Silent, World
from testkit.knocks import allow
from testkit.template import RESOURCES

QUEUE = RESOURCES["RegistrationQueue"]["Properties"]
FUNCTION = RESOURCES["RegisterFunction"]["Properties"]
RECEIVES = int(QUEUE["RedrivePolicy"]["maxReceiveCount"])
TIMEOUT = float(FUNCTION["Timeout"])
DEVICES = [FACTORY.device(f"snr-{number:04d}").issue() for number in range(2)]


@dataclass
class Service:
    """The queue and the function, which Lambda starts whenever a message is visible."""

    world: World
    slow: float = 0.0  # seconds that each call takes
    fault: Callable[[str], Any] | None = None  # what an operation is answered with, or raises
    ends: datetime | None = None
    killed: int = 0
    invocations: int = 0
    calls: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.world.telemetry = Silent()
        sqs: Any = self.world.sqs
        sqs.redrive[self.world.queue_url] = (self.world.failures_url, RECEIVES)
        start = self.world.now
        self.pace = Pace(
            Quotas(environments=5),
            clock=lambda: (self.world.now - start).total_seconds(),
            sleep=lambda seconds: self.world.later(seconds=seconds),
        )
        for client in (self.world.iot, self.world.dynamodb):
            client.meta.events.register("before-call", self._before)
        self.batch = Batch(
            handler=Registrar(
                iot=Iot(self.world.iot, self.pace),
                table=self.world.table,
                account_id=ACCOUNT,
                clock=lambda: self.world.now,
                telemetry=self.world.telemetry,
            ),
            sqs=lambda: self.world.sqs,
            queue_url=self.world.queue_url,
            failures_url=self.world.failures_url,
            telemetry=self.world.telemetry,
            clock=lambda: self.world.now,
            jitter=lambda: 0.0,  # the shortest waits, which use up most receives
        )

    def _before(self, model: Any, **_context: Any) -> Any:
        if self.ends is None:
            return None  # it is the test that asks
        self.pace.in_time()
        self.calls.append(model.name)
        self.world.later(seconds=self.slow)
        if self.world.now >= self.ends:
            raise Killed  # Lambda ends the function at its time-out
        answer = None if self.fault is None else self.fault(model.name)
        if answer is None:
            return None
        response = type("Response", (), {"status_code": 400, "headers": {}})()
        return response, answer

    def run(self, until: datetime) -> None:
        """Everything that happens until a moment."""
        sqs: Any = self.world.sqs
        while True:
            visible = sqs.next_visible(self.world.queue_url)
            if visible is None or visible > until:
                break
            self.world.now = max(self.world.now, visible)
            self._invoke(sqs)
        self.world.now = max(self.world.now, until)

    def _invoke(self, sqs: Any) -> None:
        records = sqs.take(self.world.queue_url)
        if not records:
            return
        self.invocations += 1
        end = self.ends = self.world.now + timedelta(seconds=TIMEOUT)
        try:
            answer = self.batch.handle(records, lambda: int((end - self.world.now).total_seconds() * 1000))
        except Killed:
            self.killed += 1
            self.world.now = end
        else:
            sqs.done(self.world.queue_url, records, [each["itemIdentifier"] for each in answer["batchItemFailures"]])
        self.ends = None

    def send(self, device: pki.Issued) -> None:
        """A device knocks."""
        body = self.world.event(device.sha256, FACTORY.id)
        self.world.sqs.send_message(QueueUrl=self.world.queue_url, MessageBody=body)


def prepare(world: World) -> Service:
    """Rules are in force, and the devices are registered."""
    world.register_ca(FACTORY)
    world.publish(rules(allow(grant=FULL, max_devices=5)))
    for device in DEVICES:
        world.connect(device)
    return Service(world)
