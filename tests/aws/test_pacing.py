"""AWS IoT is asked at the account's pace: who waits, who does not, and what a batch does when the time is short."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
from testkit import pki
from testkit.aws.admission import FACTORY, rules
from testkit.aws.fakes import fake_world, refusal
from testkit.aws.world import ACCOUNT, PENDING, World
from testkit.knocks import allow

from jitr.aws.dynamodb.table import HEADS, to_item
from jitr.aws.iot import Iot
from jitr.aws.pacing import Pace
from jitr.aws.quotas import QUOTA_OF, Quotas
from jitr.services.registration.batch import Batch
from jitr.services.registration.registrar import Registrar

DEVICES = [FACTORY.device(f"snr-{number:04d}").issue() for number in range(10)]


@dataclass
class Paced:
    """A world whose function asks AWS IoT for certificates ``rate`` times a second, on the world's clock."""

    world: World
    rate: float = 2.0
    lasts: float = 30.0  # seconds that an invocation may take
    asked: list[tuple[str, float]] = field(default_factory=list)  # operation, and seconds since the beginning
    began: float = 0.0
    heads: int = 0  # how often the table was asked what is in force

    def __post_init__(self) -> None:
        self._start = self.world.now
        self.world.iot.meta.events.register("before-call", self._note)
        self.world.table.client.meta.events.register("before-parameter-build.dynamodb.BatchGetItem", self._note_read)
        quotas = Quotas(certificates=self.rate, share=1.0)
        pace = Pace(quotas, clock=self._seconds, sleep=lambda seconds: self.world.later(seconds=seconds))
        registrar = Registrar(
            iot=Iot(self.world.iot, pace),
            table=self.world.table,
            account_id=ACCOUNT,
            clock=lambda: self.world.now,
            telemetry=self.world.telemetry,
        )
        self.batch = Batch(
            handler=registrar,
            sqs=lambda: self.world.sqs,
            queue_url=self.world.queue_url,
            failures_url=self.world.failures_url,
            telemetry=self.world.telemetry,
            clock=lambda: self.world.now,
            jitter=lambda: 1.0,
        )

    def _seconds(self) -> float:
        return (self.world.now - self._start).total_seconds()

    def _note(self, model: Any, **_context: Any) -> None:
        self.asked.append((model.name, self._seconds()))

    def _note_read(self, params: Any, **_context: Any) -> None:
        ((_table, wanted),) = params["RequestItems"].items()
        self.heads += to_item(HEADS) in wanted["Keys"]

    def send(self, *devices: pki.Issued) -> None:
        """Each of the devices knocks; its event is on the queue."""
        for device in devices:
            body = self.world.event(device.sha256, FACTORY.id)
            self.world.sqs.send_message(QueueUrl=self.world.queue_url, MessageBody=body)

    def invoke(self) -> list[str]:
        """One invocation with what is visible on the queue; what came back."""
        sqs: Any = self.world.sqs
        records = sqs.take(self.world.queue_url)
        end = self._seconds() + self.lasts
        self.began = self._seconds()
        answer = self.batch.handle(records, lambda: int((end - self._seconds()) * 1000))
        failed = [each["itemIdentifier"] for each in answer["batchItemFailures"]]
        sqs.done(self.world.queue_url, records, failed)
        return failed

    def of(self, operation: str) -> list[float]:
        """When an operation was asked for, in seconds since the invocation began."""
        return [at - self.began for name, at in self.asked if name == operation]


@pytest.fixture
def world() -> Iterator[World]:
    """An account where everybody of factory A gets in."""
    with fake_world() as made:
        made.register_ca(FACTORY)
        made.publish(rules(allow()))
        yield made


def test_a_batch_asks_no_faster_than_its_pace(world: World) -> None:
    paced = Paced(world)
    for device in DEVICES:
        world.connect(device)
    paced.send(*DEVICES)
    assert paced.invoke() == []
    for operation in ("DescribeCertificate", "UpdateCertificate"):
        asked = paced.of(operation)
        assert len(asked) == 10
        assert all(later - earlier >= 0.499 for earlier, later in pairwise(asked[1:]))
    assert paced.of("DescribeCertificate")[-1] < 5.1
    assert [world.status(each) for each in DEVICES] == ["ACTIVE"] * 10


def test_what_needs_no_call_does_not_wait_behind_what_does(world: World) -> None:
    """Knocks of held and of settled devices are done with before the first message waits for its turn."""
    settled, held, *newcomers = DEVICES
    world.publish(rules(allow(lists=("line-a",))))
    for device in DEVICES:
        world.connect(device)
    world.knock(held, FACTORY)
    world.publish(rules(allow()))
    world.knock(settled, FACTORY)
    world.publish(rules(allow(lists=("line-a",))))
    world.knock(held, FACTORY)
    world.later(seconds=120)
    done: list[tuple[str, float]] = []
    paced = Paced(world, rate=1.0, lasts=60)
    world.telemetry.count = lambda name, **_more: done.append((name, paced._seconds()))  # type: ignore[method-assign]
    paced.send(*newcomers, held)
    world.sqs.send_message(
        QueueUrl=world.queue_url,
        MessageBody=world.event(settled.sha256, FACTORY.id, timestamp=int((pki.NOW).timestamp() * 1000)),
    )
    paced.invoke()
    assert {at for name, at in done if name in ("HeldKnocks", "SettledKnocks")} == {0.0}
    assert len([at for name, at in done if name == "Held"]) == 8
    assert max(at for name, at in done if name == "Held") == pytest.approx(7.0)


def test_a_batch_of_one_devices_knocks_costs_one_description(world: World) -> None:
    paced = Paced(world, rate=0.1)
    world.connect(DEVICES[0])
    paced.send(*[DEVICES[0]] * 10)
    assert paced.invoke() == []
    assert len(paced.of("DescribeCertificate")) == 1
    assert paced._seconds() == 0  # nor does any of them wait, though the glance found nothing decided


def test_newcomers_that_wait_for_their_turn_are_looked_up_once_when_it_has_come(world: World) -> None:
    """And twice around ACTIVE. Until then the glance at their batch is enough: all devices read the heads, one key."""
    paced = Paced(world)
    for device in DEVICES:
        world.connect(device)
    paced.send(*DEVICES)
    assert paced.invoke() == []
    assert [world.status(each) for each in DEVICES] == ["ACTIVE"] * 10
    assert paced.heads == 1 + 3 * len(DEVICES)


def test_what_needs_no_call_is_told_by_the_glance_although_nothing_was_decided(world: World) -> None:
    """An event of a CA that nobody registered neither waits behind newcomers nor has the table read."""
    paced, put_back = Paced(world), list[float]()
    for device in DEVICES[:3]:
        world.connect(device)
    world.telemetry.seconds = lambda *_told, **_more: put_back.append(paced._seconds())  # type: ignore[method-assign]
    paced.send(*DEVICES[:3])
    for device in DEVICES[3:]:
        body = world.event(device.sha256, "ab" * 32)
        world.sqs.send_message(QueueUrl=world.queue_url, MessageBody=body)
    assert len(paced.invoke()) == 7
    assert put_back == [0.0] * 7
    assert (paced.of("DescribeCertificate"), paced.heads) == ([0.0, 0.0, 0.5], 1 + 3 * 3)


def test_a_device_that_another_environment_admitted_while_its_message_waited_is_not_described(world: World) -> None:
    paced = Paced(world, rate=0.5)
    first, second = DEVICES[:2]
    world.connect(first)
    world.connect(second)
    others = world.registrar
    paced.send(first, second)

    def admit_second(**_context: Any) -> None:
        if paced.of("UpdateCertificate"):
            world.iot.meta.events.unregister("after-call", admit_second)
            others.handle(world.message(world.event(second.sha256, FACTORY.id)))

    world.iot.meta.events.register("after-call", admit_second)
    assert paced.invoke() == []
    assert len(paced.of("DescribeCertificate")) == 2  # ours of the first, theirs of the second
    assert world.status(second) == "ACTIVE"


def test_who_cannot_have_a_turn_in_this_invocation_is_put_back_to_wait_and_asks_nothing(world: World) -> None:
    paced = Paced(world, rate=0.1)
    for device in DEVICES:
        world.connect(device)
    paced.send(*DEVICES)
    assert len(paced.invoke()) == 8
    assert (len(paced.of("DescribeCertificate")), len(paced.of("UpdateCertificate"))) == (2, 2)
    assert paced._seconds() <= 18
    sqs: Any = world.sqs
    assert sqs.take(world.queue_url) == []  # they do not come back at once
    assert [world.status(each) for each in DEVICES].count(PENDING) == 8


def test_a_throttled_call_makes_the_next_ones_of_its_kind_wait(world: World) -> None:
    paced = Paced(world, rate=10.0)
    for device in DEVICES[:3]:
        world.connect(device)
    real: Callable[..., Any] = world.iot.describe_certificate
    answers = iter([True])

    def throttled_once(**arguments: Any) -> Any:
        if next(answers, False):
            raise refusal("DescribeCertificate", "ThrottlingException")
        return real(**arguments)

    world.iot.describe_certificate = throttled_once  # type: ignore[method-assign]
    paced.send(*DEVICES[:3])
    assert len(paced.invoke()) == 1
    assert paced.of("DescribeCertificate")[0] >= 1.0


def test_every_call_that_the_function_makes_of_aws_iot_is_paced(world: World) -> None:
    """The adapter's methods and the table of quotas name the same operations."""
    asked: list[str] = []

    class Noting(Pace):
        def take(self, operation: str) -> None:
            asked.append(operation)

    iot = Iot(world.iot, Noting(Quotas(), clock=lambda: 0.0, sleep=lambda _seconds: None))
    made: list[str] = []
    world.iot.meta.events.register("before-call", lambda model, **_more: made.append(model.name))
    world.registrar = Registrar(
        iot=iot, table=world.table, account_id=ACCOUNT, clock=lambda: world.now, telemetry=world.telemetry
    )
    world.connect(DEVICES[0])
    made.clear()
    world.knock(DEVICES[0], FACTORY)
    assert asked == made
    assert set(asked) <= set(QUOTA_OF)
