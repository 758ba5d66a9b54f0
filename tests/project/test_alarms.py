"""Each way to fail that docs/alarms.md lists raises the alarms that it names, and no others; they do not flap.

The function's own batch handler works on a simulated queue, and alarms are evaluated as the template has them.
"""

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest
from bench.simulation.clock import EPOCH, Clock
from bench.simulation.cloudwatch import CloudWatch
from bench.simulation.queue import Bill, Crashed, Environments, Queue
from bench.simulation.world import Counted
from testkit.template import TEMPLATE
from testkit.transformed import LOCAL_ACCOUNT, deployed

from jitr.errors import Poison, Retry
from jitr.services.registration.batch import Batch

ROOT = Path(__file__).parents[2]
HOUR = 3600.0
LASTS, ENDS = 12 * HOUR, 10 * HOUR
BEGINS = HOUR  # until then all is well
ALARMS = {
    name: each["Properties"]
    for name, each in deployed(FleetCheck="daily").items()
    if each["Type"] == "AWS::CloudWatch::Alarm"
}
FAILURE_QUEUES = ("RegistrationFailures", "RuleFailures", "RecheckFailures", "NotifyFailures")


class Told(Counted):
    """Gives CloudWatch what the functions count."""

    def __init__(self, clock: Clock, watch: CloudWatch) -> None:
        super().__init__()
        self._clock, self._watch = clock, watch

    def count(self, name: str, number: int = 1, *, reason: str | None = None) -> None:
        self.seconds(name, number, reason=reason)

    def seconds(self, name: str, value: float, *, reason: str | None) -> None:
        self._watch.put(self._clock.now, "jitr", name, value, service="jitr")
        if reason is not None:
            self._watch.put(self._clock.now, "jitr", name, value, service="jitr", reason=reason)


@dataclass
class Account:
    """A deployed stack at work; what is failing from BEGINS to ENDS is set by a failure of the page."""

    late: float = 60.0
    seed: int = 1
    clock: Clock = field(default_factory=Clock)
    handling: Callable[[], None] = lambda: None  # what becomes of an event that is stuck
    takes: float = 0.2  # seconds that it takes
    failures_full: bool = False  # RegistrationFailures takes nothing
    lying: dict[str, int] = field(default_factory=lambda: dict.fromkeys(FAILURE_QUEUES, 0))
    polled: bool = True
    scheduled: bool = True
    checking: bool = True
    found: dict[str, int] = field(default_factory=dict)  # by the last check of the fleet

    def __post_init__(self) -> None:
        self.watch = CloudWatch(self.late)
        self.random = random.Random(self.seed)
        self.queue = _Queue(self, self.clock, Bill())
        self.telemetry = Told(self.clock, self.watch)
        environments = Environments(self.clock, self.queue, Bill(), self._function, looks_every=5.0)
        environments.crashed = lambda: self.lambdas("RegisterFunction", "Errors")
        environments.start(2)
        self.every(60, self._gauges)
        self.every(60, self._schedule, at=self.random.random() * 60)
        self.every(900, self._check, at=(271 * self.seed) % 900)

    @property
    def failing(self) -> bool:
        return BEGINS <= self.clock.now < ENDS

    def every(self, seconds: float, what: Callable[[], None], at: float = 0.0) -> None:
        """Do something again and again."""

        def forever() -> None:
            while True:
                what()
                self.clock.sleep(seconds)

        self.clock.start(forever, at)

    def while_failing(self, seconds: float, what: Callable[[], None]) -> None:
        """Do something again and again as long as the failure lasts."""
        self.every(seconds, lambda: what() if self.failing else None, at=BEGINS)

    def lambdas(self, function: str, metric: str, value: float = 1) -> None:
        self.watch.put(self.clock.now, "AWS/Lambda", metric, value, FunctionName=function)

    def rule(self, metric: str, **more: str) -> None:
        self.watch.put(self.clock.now, "AWS/IoT", metric, 1, RuleName="RegistrationTopicRule", **more)

    def stuck(self, number: int) -> None:
        """Devices knock once, and then their events are all there is."""
        for each in range(number):
            at = BEGINS + self.random.random() * 300
            self.clock.start(lambda each=each: self.queue.send("{}", f"c{each}"), at)  # type: ignore[misc]

    def retries(self, cause: str) -> None:
        def handling() -> None:
            raise Retry(cause, "injected")

        self.handling = handling

    def raised(self, **more: Any) -> dict[str, list[bool]]:
        """The alarms that are raised since BEGINS, and their state at each minute from then on."""
        self.clock.run(LASTS)
        begins = int(BEGINS / 60)
        found = {name: self.watch.raised(alarm, LASTS, **more)[begins:] for name, alarm in ALARMS.items()}
        return {name: each for name, each in found.items() if any(each)}

    def settle_known(self, messages: Any) -> Any:
        return messages

    def handle(self, _message: Any) -> None:
        self.clock.sleep(self.takes)
        if self.failing:
            self.handling()

    def _function(self) -> Any:
        return Batch(
            handler=cast(Any, self),
            sqs=lambda: cast(Any, self.queue),
            queue_url="registration",
            failures_url="failures",
            telemetry=self.telemetry,
            clock=lambda: self.clock.time,
            jitter=self.random.random,
        ).handle

    def _gauges(self) -> None:
        now, name = self.clock.now, "ApproximateNumberOfMessagesVisible"
        lying = self.lying | {"RegistrationFailures": self.lying["RegistrationFailures"] + len(self.queue.failures)}
        for queue, number in lying.items():
            self.watch.put(now, "AWS/SQS", name, number, QueueName=queue)
        self.watch.put(now, "AWS/SQS", name, self.queue.visible(), QueueName="RegistrationQueue")
        self.watch.put(
            now, "AWS/SQS", "ApproximateAgeOfOldestMessage", self.queue.age() or 0.0, QueueName="RegistrationQueue"
        )

    def _schedule(self) -> None:
        if self.scheduled or not self.failing:
            self.telemetry.count("ScheduledRechecks")

    def _check(self) -> None:
        if self.checking or not self.failing:
            self.telemetry.count("FleetCheckRuns")
            for name in ("FleetFindings", "ExpiringSoon"):
                self.telemetry.count(name, self.found.get(name, 0) if self.failing else 0)


class _Queue(Queue):
    """The registration queue; a failure may keep the function from polling it."""

    def __init__(self, account: Account, clock: Clock, bill: Bill) -> None:
        super().__init__(clock, bill)
        self._account = account

    def take(self) -> list[dict[str, Any]]:
        return super().take() if self._account.polled or not self._account.failing else []

    def _send_message(self, QueueUrl: str, MessageBody: str, MessageAttributes: Any) -> None:  # noqa: N803
        if self._account.failures_full and self._account.failing:
            from testkit.aws.fakes import refusal

            raise refusal("SendMessage", "AccessDenied", 403)
        super()._send_message(QueueUrl, MessageBody, MessageAttributes)


# --- Ways to fail, by their words in docs/alarms.md


def _crashes(account: Account) -> None:
    def handling() -> None:
        account.clock.sleep(25)
        raise Crashed

    account.handling = handling


def _not_started(account: Account) -> None:
    account.polled = False
    account.while_failing(60, lambda: account.lambdas("RegisterFunction", "Throttles"))


def _bug(account: Account) -> None:
    def handling() -> None:
        raise RuntimeError

    account.handling = handling


def _poison(account: Account) -> None:
    def handling() -> None:
        raise Poison("event.ca-unknown", "injected")

    account.handling = handling


def _failures_full(account: Account) -> None:
    _poison(account)
    account.failures_full = True


def _not_polled(account: Account) -> None:
    account.polled = False


def _fleet_throttled(account: Account) -> None:
    account.retries("throttled")
    account.stuck(120)


def _lies(queue: str) -> Callable[[Account], None]:
    def inject(account: Account) -> None:
        account.while_failing(ENDS, lambda: account.lying.update({queue: 1}))

    return inject


def _rule_fails(account: Account) -> None:
    account.while_failing(240, lambda: account.rule("Failure", ActionType="SqsAction"))
    _lies("RuleFailures")(account)


def _rule_fails_twice(account: Account) -> None:
    account.while_failing(240, lambda: account.rule("Failure", ActionType="SqsAction"))
    account.while_failing(240, lambda: account.rule("ErrorActionFailure", ActionType="SqsAction"))


def _rule_throttled(account: Account) -> None:
    account.while_failing(240, lambda: account.rule("RuleMessageThrottled"))


def _no_schedule(account: Account) -> None:
    account.scheduled = False


def _recheck_fails(account: Account) -> None:
    account.scheduled = False
    account.while_failing(60, lambda: account.lambdas("RecheckFunction", "Errors"))


def _stream_fails(account: Account) -> None:
    account.while_failing(150, lambda: account.lambdas("RecheckFunction", "Errors"))
    account.while_failing(
        150, lambda: account.lambdas("RecheckFunction", "IteratorAge", (account.clock.now - BEGINS) * 1000)
    )


def _bus_is_away(account: Account) -> None:
    account.while_failing(150, lambda: account.lambdas("NotifyFunction", "Errors"))
    account.while_failing(
        150, lambda: account.lambdas("NotifyFunction", "IteratorAge", (account.clock.now - BEGINS) * 1000)
    )


def _topic_is_away(account: Account) -> None:
    """The lease of a digest has every other minute fail."""
    account.while_failing(120, lambda: account.lambdas("NotifyFunction", "Errors"))


def _no_check(account: Account) -> None:
    account.checking = False


def _found(name: str) -> Callable[[Account], None]:
    return lambda account: account.found.update({name: 3})


def _publish(metric: str, every: float) -> Callable[[Account], None]:
    return lambda account: account.while_failing(every, lambda: account.lambdas("PublishFunction", metric))


def _counted(name: str, every: float) -> Callable[[Account], None]:
    return lambda account: account.while_failing(every, lambda: account.telemetry.count(name))


def _retries(cause: str) -> Callable[[Account], None]:
    return lambda account: account.retries(cause)


FAILURES: dict[str, Callable[[Account], None]] = {
    "AWS IoT or DynamoDB fails": _retries("unavailable"),
    "AWS cannot be reached": _retries("unreachable"),
    "a few events are throttled": _retries("throttled"),
    "a fleet is throttled": _fleet_throttled,
    "the function's role is denied something": _retries("denied"),
    "no rules are in force": _retries("rules"),
    "an earlier version was deployed over a later one": _retries("format"),
    "a message meets a bug": _bug,
    "an event can never be handled": _poison,
    "`RegistrationFailures` takes no message": _failures_full,
    "the register function crashes or times out": _crashes,
    "Lambda does not start the register function": _not_started,
    "the event source mapping is disabled": _not_polled,
    "the topic rule's action fails": _rule_fails,
    "the topic rule's action and its error action fail": _rule_fails_twice,
    "the rules engine throttles the topic rule": _rule_throttled,
    "the schedule, or its role, is gone": _no_schedule,
    "the recheck function fails": _recheck_fails,
    "the recheck function fails on changes": _stream_fails,
    "changes were given up on": _lies("RecheckFailures"),
    "the event bus does not answer": _bus_is_away,
    "events were put aside": _lies("NotifyFailures"),
    "the topic for digests refuses messages": _topic_is_away,
    "the check of the fleet fails, or its schedule is gone": _no_check,
    "devices are in that should not be": _found("FleetFindings"),
    "devices' certificates end soon": _found("ExpiringSoon"),
    "the publish function fails": _publish("Errors", 240),
    "Lambda does not start the publish function": _publish("Throttles", 240),
    "an upload is refused": _counted("DropsRefused", 290),
    "revocation lists cannot be had": _counted("CrlFailures", 1790),
    "OCSP responders do not answer": _counted("OcspFailures", 1790),
}
# Whose stuck events come to an end by themselves: their alarm ends before the failure does.
ENDS_BY_ITSELF = {"BugsAlarm"}


def told() -> dict[str, tuple[set[str], float]]:
    """The table of the page: alarms, and the minutes after which the last of them is raised at the latest."""
    text = (ROOT / "docs/alarms.md").read_text("utf-8")
    rows = re.findall(r"^\| ([^|]+) \| ([^|]*Alarm[^|]*) \| (\d+) min \|$", text, re.MULTILINE)
    return {what: (set(re.findall(r"\[(\w+)\]", alarms)), float(minutes)) for what, alarms, minutes in rows}


@cache
def states(failure: str, events: int, seed: int, late: float, fetched: int) -> dict[str, list[bool]]:
    account = Account(seed=seed, late=late)
    FAILURES[failure](account)
    account.stuck(events)
    return account.raised(fetched=fetched)


@cache
def runs(failure: str) -> Sequence[dict[str, list[bool]]]:
    """One, two and five stuck events; data that comes at once and late; strict and lenient on missing data."""
    kinds = enumerate([(1, 0.0, 0), (1, 120.0, 0), (2, 60.0, 2), (5, 120.0, 0)])
    return [states(failure, events, seed, late, fetched) for seed, (events, late, fetched) in kinds]


# What is said of one failure is said of the same runs, in one worker.
EACH_FAILURE = [pytest.param(each, marks=pytest.mark.xdist_group(f"alarms: {each}")) for each in FAILURES]


def test_the_page_lists_every_failure_that_is_injected_and_no_other() -> None:
    assert told().keys() == FAILURES.keys()


def test_every_alarm_is_raised_by_some_failure_of_the_page() -> None:
    a_week = {"RegistrationFailuresAgeAlarm", "RuleFailuresAgeAlarm"}
    assert {name for alarms, _ in told().values() for name in alarms} == ALARMS.keys() - a_week


@pytest.mark.parametrize("failure", EACH_FAILURE)
def test_failure_raises_the_alarms_that_the_page_names_in_time(failure: str) -> None:
    alarms, minutes = told()[failure]
    for raised in runs(failure):
        assert raised.keys() == alarms
        assert max(each.index(True) + 1 for each in raised.values()) <= minutes


@pytest.mark.parametrize("failure", EACH_FAILURE)
def test_alarm_stays_raised_as_long_as_its_failure_lasts_and_then_ends(failure: str) -> None:
    """Nobody is woken twice by one stuck event, which comes back every few minutes only."""
    end = int((ENDS - BEGINS) / 60) - 1  # a heartbeat is heard at once
    for raised in runs(failure):
        for name, each in raised.items():
            changes = sum(one != other for one, other in pairwise([False, *each]))
            lies = any(f"{queue}Alarm" == name for queue in FAILURE_QUEUES)
            assert changes == (1 if lies else 2), name
            if name not in ENDS_BY_ITSELF:
                assert all(each[each.index(True) : end]), name


def test_no_alarm_is_raised_where_nothing_fails() -> None:
    account = Account()
    account.stuck(5)
    assert account.raised() == {}


def test_an_event_that_keeps_failing_is_given_up_after_about_31_hours() -> None:
    """500 deliveries are about 31 hours, as README and runbook say: not the queue's 14 days."""
    account = Account()
    waits: list[int] = []
    handler = Batch(
        handler=cast(Any, _Always()),
        sqs=lambda: cast(Any, _Visibility(waits)),
        queue_url="",
        failures_url="",
        telemetry=account.telemetry,
        clock=lambda: EPOCH,
        jitter=account.random.random,
    )
    for deliveries in range(1, 501):
        sent = str(int(EPOCH.timestamp() * 1000))
        attributes = {"ApproximateReceiveCount": str(deliveries), "SentTimestamp": sent}
        handler.handle([{"messageId": "m", "receiptHandle": "1", "body": "", "attributes": attributes}], lambda: 30_000)
    assert timedelta(hours=30) < timedelta(seconds=sum(waits)) < timedelta(hours=32)


class _Always:
    """A handler that cannot ask AWS."""

    def handle(self, _message: Any) -> None:
        raise Retry("unreachable", "injected")


class _Visibility:
    """Notes for how long messages are hidden."""

    def __init__(self, waits: list[int]) -> None:
        self._waits = waits

    def change_message_visibility(self, VisibilityTimeout: int, **_more: Any) -> None:  # noqa: N803
        self._waits.append(VisibilityTimeout)


@pytest.mark.parametrize("queue", ["RegistrationFailures", "RuleFailures"])
def test_listing_a_failure_queue_ends_no_alarm_on_it(queue: str) -> None:
    """`jitr failures ls` hides messages while it looks, up to five minutes if it is cut off."""
    watch = CloudWatch()
    for minute in range(120):
        hidden = minute % 20 in range(5)
        watch.put(minute * 60.0, "AWS/SQS", "ApproximateNumberOfMessagesVisible", 0 if hidden else 1, QueueName=queue)
    raised = watch.raised(ALARMS[f"{queue}Alarm"], 2 * HOUR)
    assert all(raised[raised.index(True) :])


@pytest.mark.parametrize("queue", ["RegistrationFailures", "RuleFailures"])
def test_what_lies_in_a_failure_queue_for_a_week_is_told_again_however_often_it_was_listed(queue: str) -> None:
    """By how many lie there: from its third receive on a message has no age for SQS."""
    watch = CloudWatch()
    for hour in range(9 * 24):
        watch.put(hour * HOUR, "AWS/SQS", "ApproximateNumberOfMessagesVisible", int(hour >= 24), QueueName=queue)
    raised = watch.raised(ALARMS[f"{queue}AgeAlarm"], 9 * 24 * HOUR)
    assert 6 * 24 * 60 <= raised.index(True) + 1 - 24 * 60 <= 7 * 24 * 60
    assert not any(raised[: 6 * 24 * 60])


def test_one_condition_alone_says_what_the_local_stack_is_and_its_alarms_need_no_query() -> None:
    """MiniStack takes a pseudo parameter in a condition for its name, which that condition knows of."""
    assert [name for name, each in TEMPLATE["Conditions"].items() if "AWS::AccountId" in str(each)] == [
        "OnTheLocalStack"
    ]
    local = [
        each["Properties"] for each in deployed(LOCAL_ACCOUNT).values() if each["Type"] == "AWS::CloudWatch::Alarm"
    ]
    assert len(local) == len(ALARMS)
    assert not [each for each in local if "Metrics" in each]


@pytest.mark.parametrize(
    "failure",
    [
        "a message meets a bug",
        "the register function crashes or times out",
        "the function's role is denied something",
        "no rules are in force",
        "an earlier version was deployed over a later one",
    ],
)
def test_a_version_that_is_no_good_raises_an_alarm_while_it_has_a_tenth_of_the_events(failure: str) -> None:
    """The shortest gradual deployment lasts fifteen minutes; then the version would have all events."""
    account = Account(late=120.0)
    FAILURES[failure](account)
    whole = account.handling
    account.handling = lambda: whole() if account.random.random() < 0.1 else None
    for number in range(300):  # 20 devices a minute
        account.clock.start(lambda number=number: account.queue.send("{}", f"c{number}"), BEGINS + 3 * number)  # type: ignore[misc]
    group = deployed(DeploymentType="Canary10Percent15Minutes")["RegisterFunctionDeploymentGroup"]["Properties"]
    watched = {each["Name"]["Ref"] for each in group["AlarmConfiguration"]["Alarms"]}
    raised = account.raised()
    assert min(raised[name].index(True) for name in watched & raised.keys()) < 15
