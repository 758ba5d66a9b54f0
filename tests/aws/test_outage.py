"""AWS throttles, is slow or is away, for six hours: messages wait, nothing is decided wrongly, and nothing is lost.

Queue, Lambda and time are simulated; visibility, receives and time-outs are those of the template itself.
"""

import importlib.util
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ConnectTimeoutError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from testkit.aws.fakes import fake_world, refusal
from testkit.aws.service import DEVICES, Service, prepare
from testkit.aws.world import PENDING, World

from jitr.aws.pacing import TIME_FOR_ONE_CALL

SIX_HOURS = timedelta(hours=6)


@pytest.fixture
def world() -> Iterator[World]:
    """An account where devices have connected and everybody of factory A gets in."""
    with _world() as made:
        yield made


def _world() -> Any:
    return fake_world()


@cache
def operations() -> tuple[str, ...]:
    """Every call that an admission makes, found by admitting."""
    with _world() as world:
        service = prepare(world)
        for device in DEVICES:
            service.send(device)
        service.run(world.now + timedelta(minutes=1))
        assert [world.status(each) for each in DEVICES] == ["ACTIVE"] * 2
        return tuple(sorted(set(service.calls)))


def _throttling(operation: str) -> Callable[[str], Any]:
    table = operation in {"BatchGetItem", "Query", "TransactWriteItems", "UpdateItem", "PutItem"}
    code = "ProvisionedThroughputExceededException" if table else "ThrottlingException"
    return lambda asked: refusal(operation, code).response if asked == operation else None


def _cancelled(asked: str) -> Any:
    """DynamoDB throttles the items of a transaction. (API reference, TransactWriteItems: cancellation reasons)"""
    reasons = [{"Code": "ThrottlingError"}, {"Code": "None"}]
    cancelled = refusal(asked, "TransactionCanceledException", CancellationReasons=reasons)
    return cancelled.response if asked == "TransactWriteItems" else None


def _away(*operations: str) -> Callable[[str], Any]:
    def away(asked: str) -> Any:
        if not operations or asked in operations:
            raise ConnectTimeoutError(endpoint_url="https://aws")

    return away


def _error(code: str, status: int = 400) -> Callable[[str], Any]:
    return lambda asked: refusal(asked, code, status).response


TABLE = ("BatchGetItem", "Query", "TransactWriteItems", "UpdateItem", "PutItem")
OUTAGES: dict[str, tuple[Callable[[str], Any] | None, float]] = {
    "the table's transactions are throttled": (_cancelled, 0.05),
    "the table cannot be reached": (_away(*TABLE), 8.0),
    "the table is gone": (lambda op: refusal(op, "ResourceNotFoundException").response if op in TABLE else None, 0.05),
    "nothing can be reached": (_away(), 8.0),
    "AWS answers 503": (_error("ServiceUnavailableException", 503), 0.05),
    "AWS denies everything": (_error("AccessDeniedException", 403), 0.05),
    "every call takes 3 s": (None, 3.0),
    "every call takes 5 s": (None, 5.0),
    "every call outlasts what a call may take": (None, 12.0),
}


def _live_through(world: World, fault: Callable[[str], Any] | None, slow: float) -> Service:
    service = prepare(world)
    service.fault, service.slow = fault, slow
    begin = world.now
    for hour in (0, 2, 4):  # they knock again and again while they are not in
        service.run(begin + timedelta(hours=hour))
        for device in DEVICES:
            if world.status(device) == PENDING:
                service.send(device)
    service.run(begin + SIX_HOURS)
    assert world.failures() == [], "lost to an outage"
    for device in DEVICES:
        assert world.status(device) == PENDING or world.policies(device) == {"Sensor", "Other"}
        record = world.record(device)
        assert record is None or record.decision == "admit", "decided wrongly"
    service.fault, service.slow = None, 0.05
    service.run(world.now + timedelta(minutes=10))
    assert [world.status(each) for each in DEVICES] == ["ACTIVE"] * 2
    assert world.failures() == []
    assert all(world.policies(each) == {"Sensor", "Other"} for each in DEVICES)
    return service


def test_six_hours_of_throttling_of_any_call_lose_nothing() -> None:
    """Each call that an admission makes, throttled for six hours; ten minutes later everybody is in."""
    assert {"DescribeCertificate", "UpdateCertificate", "AttachPolicy", "TransactWriteItems"} <= set(operations())
    for operation in operations():
        with _world() as world:
            service = _live_through(world, _throttling(operation), 0.05)
            # And what waits asks little: less than one call a minute for each of the six messages.
            assert service.calls.count(operation) < 6 * 6 * 60 + 100, operation


@pytest.mark.parametrize("outage", OUTAGES, ids=str)
def test_six_hours_of_an_outage_lose_nothing(world: World, outage: str) -> None:
    _live_through(world, *OUTAGES[outage])


def test_a_queue_that_cannot_be_told_to_wait_loses_nothing(world: World) -> None:
    """A message then comes back after the queue's own visibility timeout."""

    def refuse(**_arguments: Any) -> Any:
        raise refusal("ChangeMessageVisibility", "ThrottlingException")

    world.sqs.change_message_visibility = refuse  # type: ignore[method-assign]
    _live_through(world, _throttling("DescribeCertificate"), 0.05)


def test_what_aws_refuses_for_good_is_asked_once_and_not_again_before_it_is_due(world: World) -> None:
    service = prepare(world)
    service.fault = lambda asked: refusal(asked, "LimitExceededException").response if asked == "AttachPolicy" else None
    for _ in range(50):
        service.send(DEVICES[0])
        service.run(world.now + timedelta(seconds=30))
    assert (service.calls.count("AttachPolicy"), service.calls.count("DescribeCertificate")) == (1, 1)
    assert world.codes(DEVICES[0]) == ["apply.limit"]
    service.fault = None
    world.later(hours=1)
    service.send(DEVICES[0])
    service.run(world.now + timedelta(minutes=1))
    assert world.status(DEVICES[0]) == "ACTIVE"


# --- the batch and its deadline


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_a_batch_stops_before_its_deadline_however_long_its_calls_take(data: st.DataObject) -> None:
    """As long as no call takes longer than its own time-outs let it (below)."""
    with _world() as world:
        service = prepare(world)
        for number in range(8):
            service.send(DEVICES[number % 2])

        def some_time(_operation: str) -> None:
            service.slow = data.draw(st.sampled_from([0.01, 0.01, 0.3, 2.0, 8.9]))

        service.fault = some_time
        service.run(world.now + timedelta(minutes=5))
        assert service.killed == 0


def test_the_time_outs_of_the_functions_clients_fit_into_the_time_that_is_left_for_one_call() -> None:
    """Attempts, each with its connecting and its reading, and the SDK's pause of at most a second between them."""
    path = Path(__file__).parents[2] / "functions/register/app.py"
    spec = importlib.util.spec_from_file_location("register_app", path)
    assert spec is not None
    assert spec.loader is not None
    app: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(app)
    for config in (app._IOT, app._OTHERS):
        attempts = config.retries["total_max_attempts"]
        longest = attempts * (config.connect_timeout + config.read_timeout) + (attempts - 1)
        assert longest * 1000 < TIME_FOR_ONE_CALL
