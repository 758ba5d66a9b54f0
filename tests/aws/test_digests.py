"""Digests for people: every newly held device is counted once, and no more mails are sent than people can read."""

import json
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from testkit.aws.digests import PERIOD, FakeTopic, digester, held, stream_of
from testkit.aws.fakes import FakeDynamodb, fake_world, refusal
from testkit.aws.faults import AFTER, BEFORE, InjectedFault, Killed
from testkit.aws.world import REGION, World, listening
from testkit.knocks import OTHER_CA_ID

from jitr.errors import Retry
from jitr.reasons import Verdict
from jitr.records.digests import FORGOTTEN_AFTER, LEASE, MOST_KINDS
from jitr.records.record import Record
from jitr.rules.conditions import not_on


@pytest.fixture
def topic() -> FakeTopic:
    return FakeTopic()


@pytest.fixture
def plant() -> Any:
    with fake_world() as made:
        yield made


def told(world: World, topic: FakeTopic, *records: Record) -> None:
    """Devices are held, and a minute later the schedule looks whether a digest is due."""
    digester(world, topic).note(stream_of(records))
    world.later(minutes=1)
    digester(world, topic).send()


def test_the_first_held_device_is_told_at_once_and_those_after_it_once_in_a_period(
    plant: World, topic: FakeTopic
) -> None:
    told(plant, topic, held(1))
    assert [each.devices for each in topic.mails] == [1]
    for number in range(2, 16):
        told(plant, topic, held(number))
    assert len(topic.mails) == 1
    told(plant, topic, held(16))
    assert [(each.number, each.devices) for each in topic.mails] == [(1, 1), (2, 15)]


LACKS_LINE_A: dict[str, Any] = {
    "rule": "a",
    "failed": [{"condition": "list", "message": f"{not_on('gone')}; {not_on('line-a')}"}],
}
OTHER_KINDS: dict[str, Callable[[int], Record]] = {
    "reason": lambda number: held(number, "grant.thing-claimed"),
    "CA": lambda number: held(number, ca=OTHER_CA_ID),
    "list": lambda number: held(number, editions={"line-a": "1"}, near_misses=(LACKS_LINE_A,)),
}


@pytest.mark.parametrize("other", OTHER_KINDS.values(), ids=OTHER_KINDS)
def test_a_device_of_another_reason_ca_or_list_does_not_wait_for_the_period(
    plant: World, topic: FakeTopic, other: Callable[[int], Record]
) -> None:
    for record in (held(1), held(2), other(3), other(4), held(5)):
        told(plant, topic, record)
    assert [each.devices for each in topic.mails] == [1, 2]


def test_the_list_of_a_kind_is_one_that_would_let_the_device_in_and_no_deny_list(
    plant: World, topic: FakeTopic
) -> None:
    """Who reads the mail puts the device on it: one that keeps devices out must not be named."""
    lacks_more = {"rule": "b", "failed": [*LACKS_LINE_A["failed"], {"condition": "window", "message": "not yet"}]}
    told(plant, topic, held(1, editions={"blocked": "1", "line-a": "1"}, near_misses=(LACKS_LINE_A,)))
    assert "All that they lack is a row on the list line-a." in topic.mails[0].text
    assert "blocked" not in topic.mails[0].text
    told(plant, topic, held(2, editions={"line-a": "1"}, near_misses=(lacks_more,)))
    assert "All that they lack" not in topic.mails[1].text


def test_a_kind_that_nobody_was_told_of_for_a_month_is_new_again(plant: World, topic: FakeTopic) -> None:
    told(plant, topic, held(1))
    plant.later(seconds=FORGOTTEN_AFTER.total_seconds())
    told(plant, topic, held(2, "grant.thing-claimed"))
    told(plant, topic, held(3))
    assert [each.devices for each in topic.mails] == [1, 1, 1]


def test_only_devices_that_begin_to_wait_are_counted(plant: World, topic: FakeTopic) -> None:
    """Neither knocks, nor those that waited before for another reason, nor those that were let in or rejected."""
    waited = held(1, told={"decision": "hold", "reason": "chain.ca-inactive"})
    knocked = held(2)
    knocked = held(2, told=knocked.in_a_word)
    told(plant, topic, waited, knocked, held(3, decision=Verdict.ADMIT), held(4, decision=Verdict.REJECT))
    digester(plant, topic).note([{"eventName": "REMOVE", "dynamodb": {"Keys": {}}}])
    assert topic.mails == []
    told(plant, topic, held(5, told={"decision": "reject", "reason": "deny.rule"}))
    assert [each.devices for each in topic.mails] == [1]


def test_what_the_stream_brings_again_is_counted_once_whether_the_digest_was_sent_or_not(
    plant: World, topic: FakeTopic
) -> None:
    """A bus that is away brings a batch back for an hour, and other devices with it."""
    for minute in range(60):
        told(plant, topic, held(1), held(2), held(100 + minute // 30))
    assert sum(each.devices for each in topic.mails) == 4
    told(plant, topic, held(1, revision=5), held(3))  # held again, later
    plant.later(seconds=PERIOD.total_seconds())
    told(plant, topic)
    assert sum(each.devices for each in topic.mails) == 6


def test_a_device_that_is_twice_in_a_batch_is_counted_once(plant: World, topic: FakeTopic) -> None:
    told(plant, topic, held(1), held(1, revision=4))
    assert [each.devices for each in topic.mails] == [1]


def test_however_many_devices_come_a_digest_is_one_small_item_and_one_mail(plant: World, topic: FakeTopic) -> None:
    """Counting a batch is two calls, sending five; neither depends on how many came before."""
    batches = 10
    name = "\N{PILE OF POO}" * 3_000
    for batch in range(batches):
        plant.calls.made.clear()
        records = [held(batch * 100 + each, f"reason-{each % 30}", name=name) for each in range(100)]
        digester(plant, topic).note(stream_of(records))
        assert plant.calls.of("dynamodb") == ["BatchGetItem", "TransactWriteItems"] * 2  # 99 fit beside the digest
    dynamodb: Any = plant.dynamodb
    assert isinstance(dynamodb, FakeDynamodb)
    assert len(json.dumps(dynamodb.items["DIGEST", "DIGEST"])) < 100_000
    plant.calls.made.clear()
    digester(plant, topic).send()
    assert plant.calls.of("dynamodb") == ["BatchGetItem", "TransactWriteItems"] * 2
    (mail,) = topic.mails
    assert mail.devices == batches * 100
    assert len(mail.text.encode()) < 64_000
    assert mail.text.count("devices: reason-") == MOST_KINDS
    assert "devices more, of kinds that have no room here" in mail.text


def test_while_the_topic_is_away_nothing_is_lost_and_devices_are_counted_on(plant: World, topic: FakeTopic) -> None:
    def away(**_arguments: Any) -> None:
        raise refusal("Publish", "AuthorizationError", 403)

    there, topic.publishes = topic.publishes, away
    for number in range(1, 5):
        digester(plant, topic).note(stream_of([held(number)]))
        plant.later(seconds=LEASE.total_seconds())
        with pytest.raises(Exception, match="AuthorizationError"):
            digester(plant, topic).send()
    topic.publishes = there
    plant.later(seconds=LEASE.total_seconds())
    digester(plant, topic).send()
    plant.later(seconds=PERIOD.total_seconds())
    digester(plant, topic).send()
    assert [(each.number, each.devices) for each in topic.mails] == [(1, 1), (2, 3)]


def test_two_that_look_at_the_same_time_send_one_mail(plant: World, topic: FakeTopic) -> None:
    """EventBridge Scheduler may invoke twice, and a minute's invocation may still run when the next one begins."""
    digester(plant, topic).note(stream_of([held(1)]))
    there, other = topic.publishes, FakeTopic()

    def slow(**arguments: Any) -> None:
        digester(plant, other).send()
        digester(plant, topic).note(stream_of([held(2)]))
        there(**arguments)

    topic.publishes = slow
    digester(plant, topic).send()
    assert [(each.number, each.devices) for each in topic.mails] == [(1, 1)]
    assert other.mails == []
    topic.publishes = there
    plant.later(seconds=PERIOD.total_seconds())
    digester(plant, topic).send()
    assert [(each.number, each.devices) for each in topic.mails] == [(1, 1), (2, 1)]


def _run(fault: InjectedFault | None) -> tuple[list[tuple[int, int, bool]], int]:
    """Two batches and their mails, with a fault at one call; what is cut off comes again. The mails, and the calls."""
    with fake_world() as world, ExitStack() as stack:
        topic = FakeTopic()
        if fault is not None:
            for client in (world.dynamodb, topic):
                stack.enter_context(listening(client, "before-call", fault.before, first=True))
                stack.enter_context(listening(client, "after-call", fault.after))
        calls: list[str] = []
        for client in (world.dynamodb, topic):
            stack.enter_context(listening(client, "before-call", lambda **context: calls.append(context["model"].name)))
        batches = [stream_of([held(1), held(2)]), stream_of([held(2), held(3, "grant.thing-claimed")])]
        for batch in batches:
            _until_done(partial(digester(world, topic).note, batch))
            _until_done(digester(world, topic).send)
            world.later(seconds=PERIOD.total_seconds())
        for _ in range(3):
            _until_done(digester(world, topic).send)
            world.later(seconds=PERIOD.total_seconds())
        return [(each.number, each.devices, "broke off before" in each.text) for each in topic.mails], len(calls)


def _until_done(step: Callable[[], None]) -> None:
    try:
        step()
    except (Killed, Retry, ClientError):
        _until_done(step)


def test_cut_off_at_any_call_every_device_is_mailed_and_a_repeat_says_that_it_is_one() -> None:
    """The same number means the same mail: counted by numbers, each device is told once."""
    whole, calls = _run(None)
    assert whole == [(1, 2, False), (2, 1, False)]
    for point in range(1, calls + 1):
        for how in (*BEFORE, *AFTER):
            fault = InjectedFault(point, how)
            mails, _ = _run(fault)
            numbers = [number for number, _, _ in mails]
            assert sum({number: devices for number, devices, _ in mails}.values()) == 3, fault
            assert numbers == sorted(numbers), fault
            assert len(mails) <= 3, fault
            again = [told for (number, _, told), before in zip(mails[1:], numbers, strict=False) if number == before]
            assert all(again), fault


def test_a_digest_reaches_whoever_subscribes_to_the_topic(world: World) -> None:
    """On moto: the conditions are DynamoDB's, and subject and text are such as SNS takes."""
    sns: Any = boto3.client("sns", region_name=REGION)
    arn = sns.create_topic(Name="people")["TopicArn"]
    names: Any = ["QueueArn"]
    queue = world.sqs.get_queue_attributes(QueueUrl=world.failures_url, AttributeNames=names)["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=queue)
    sender = digester(world, sns, arn)
    for _ in range(2):
        sender.note(stream_of([held(1), held(2)]))
    sender.note(stream_of([held(2), held(3)]))
    for _ in range(2):
        sender.send()
        world.later(minutes=1)
    (message,) = world.failures()
    mail = json.loads(message["Body"])
    assert mail["Subject"] == "jitr: 3 devices began to wait (jitr)"
    assert "3 devices: allow.unmatched" in mail["Message"]
