"""Thousands of made-up devices of a stolen CA key knock: what each costs, what the table and the log grow by.

Figures for ten thousand are in docs/performance.md; the bounds here are those, for each device.
"""

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from aws_lambda_powertools import Logger, Metrics
from testkit import pki
from testkit.aws.world import PENDING, World, moto_world
from testkit.knocks import allow, rules

from jitr.aws.telemetry import Telemetry
from jitr.rules.model import Ca

STOLEN = pki.ca("Factory A")
AT_ONCE = 10  # messages in a batch
MADE_UP = 2 * AT_ONCE

MOST_NAMES = 32  # attributes of a subject; with more a certificate is too large to be looked at

# For each device that is held, whatever its certificate says.
# The record; hints: public key, the other form of its certificate, serial number, 16 names at most; search keys: id,
# public key, serial number in hex and decimal, 4 names at most.
MOST_ITEMS = 28
MOST_BYTES = 24 * 1024  # of all its items together
MOST_LINES = 2  # of the log, each with a decision or a metric
MOST_LINE = 2 * 1024  # bytes


def usual(number: int) -> pki.Issued:
    return STOLEN.usual_device(f"made-up-{number:05d}").serial(0x10000 + number).issue()


def large(number: int) -> pki.Issued:
    """A certificate with very many long names, all different."""
    device = STOLEN.usual_device(f"large-{number:05d}").serial(0x20000 + number)
    return device.subject(*(("CN", f"{number:03d}-{each:03d}-{'n' * 50}") for each in range(MOST_NAMES))).issue()


@pytest.fixture
def flooded() -> Iterator[World]:
    with moto_world() as world:
        world.register_ca(STOLEN)
        in_force = rules(allow(common_name="snr-*"))
        world.publish(replace(in_force, cas={"factory-a": Ca("factory-a", (STOLEN.id,), 3)}))
        yield world


def items(world: World) -> list[dict[str, Any]]:
    pages = world.dynamodb.get_paginator("scan").paginate(TableName="jitr")
    return [each for page in pages for each in page["Items"]]


def knock(world: World, devices: list[pki.Issued]) -> None:
    """Each of them knocks once; as batches bring it."""
    for start in range(0, len(devices), AT_ONCE):
        records = [
            {
                "messageId": each.sha256,
                "receiptHandle": each.sha256,
                "body": world.event(each.sha256, STOLEN.id),
                "attributes": {
                    "ApproximateReceiveCount": "1",
                    "SentTimestamp": str(int(world.now.timestamp() * 1000)),
                },
            }
            for each in devices[start : start + AT_ONCE]
        ]
        assert world.batch().handle(records, lambda: 30_000) == {"batchItemFailures": []}


def logging_to(world: World, name: str) -> io.StringIO:
    """What the function logs from now on; a logger of one name keeps its first stream."""
    log = io.StringIO()
    world.telemetry = Telemetry(Logger(service=f"flood-{name}", stream=log), Metrics(namespace="test", service="flood"))
    # All metrics of a process are kept in one place, and printed once there are a hundred: earlier tests' are not ours.
    world.telemetry.metrics.clear_metrics()
    world.registrar = world.fresh_registrar()
    return log


@pytest.mark.parametrize("made_up", [usual, large])
def test_what_a_flood_of_made_up_devices_costs_is_bounded_for_each(
    flooded: World, made_up: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    devices = [made_up(number) for number in range(MADE_UP)]
    for each in devices:
        flooded.connect(each)
    before, log = items(flooded), logging_to(flooded, made_up.__name__)
    flooded.calls.made.clear()
    capsys.readouterr()

    knock(flooded, devices)
    asked = flooded.calls.of("iot")
    assert sorted(asked) == ["DescribeCACertificate", *["DescribeCertificate"] * MADE_UP]
    assert len(flooded.calls.of("dynamodb")) <= 4 * MADE_UP + MADE_UP // AT_ONCE + 2
    assert {flooded.status(each) for each in devices} == {PENDING}
    grown = [each for each in items(flooded) if each not in before]
    assert MADE_UP < len(grown) <= MOST_ITEMS * MADE_UP
    assert len(json.dumps(grown, default=str)) <= MOST_BYTES * MADE_UP
    said = [*log.getvalue().splitlines(), *capsys.readouterr().out.split("\n")]
    assert sum('"message":"held"' in each for each in said) >= MADE_UP
    assert len([each for each in said if each]) <= MOST_LINES * MADE_UP
    assert max(map(len, said)) <= MOST_LINE
    size, told = len(items(flooded)), len(log.getvalue())

    # From then on, for ever, as fast as they like.
    for minutes in (0, 0, 2):
        flooded.later(minutes=minutes)
        flooded.calls.made.clear()
        knock(flooded, devices)
        assert flooded.calls.of("iot") == []
        written = [each for each in flooded.calls.of("dynamodb") if each != "BatchGetItem"]
        assert written == ["UpdateItem"] * (MADE_UP if minutes else 0)
        assert len(flooded.calls.of("dynamodb")) - len(written) == MADE_UP // AT_ONCE
    assert len(items(flooded)) == size
    assert len(log.getvalue()) == told
    assert len(capsys.readouterr().out.splitlines()) <= 1  # counts of knocks, a line for each hundred


def test_a_ca_that_is_deactivated_lets_none_of_them_in_even_where_rules_would(flooded: World) -> None:
    """AWS IoT announces none of its devices any more; what lies on the queue by then is held."""
    flooded.iot.update_ca_certificate(certificateId=STOLEN.id, newStatus="INACTIVE")
    devices = [STOLEN.usual_device(f"snr-{number:04d}").serial(0x30000 + number).issue() for number in range(AT_ONCE)]
    for each in devices:
        flooded.connect(each)
    knock(flooded, devices)
    assert {flooded.status(each) for each in devices} == {PENDING}
    assert {code for each in devices for code in flooded.codes(each)} == {"chain.ca-inactive"}
