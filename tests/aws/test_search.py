"""Devices found by the beginning of what somebody reads out, in a bounded number of reads."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from testkit.aws.admission import FACTORY, rules
from testkit.aws.held import clones, seed
from testkit.aws.world import World, moto_world
from testkit.knocks import allow

from jitr.aws.dynamodb.searching import MOST, search
from jitr.reasons import Verdict


@pytest.fixture
def world() -> Iterator[World]:
    """A stack whose rule admits ``snr-*``."""
    with moto_world() as made:
        made.register_ca(FACTORY)
        made.publish(rules(allow(common_name="snr-*")))
        yield made


def ids(world: World, text: str) -> list[str]:
    """Which devices a text finds."""
    return [each.certificate_id for each in search(world.table, text)[0]]


def keys_in(world: World) -> set[tuple[str, str]]:
    """Every search key in the table."""
    items = world.dynamodb.scan(TableName=world.table.name, ConsistentRead=True)["Items"]
    return {(each["pk"]["S"], each["sk"]["S"]) for each in items if each["pk"]["S"].startswith("FIND#")}


def test_every_device_that_ever_knocked_is_found_in_any_state(world: World) -> None:
    admitted, held = FACTORY.device("snr-0001").issue(), FACTORY.device("gateway-1").issue()
    for device in (admitted, held):
        world.connect(device)
        world.knock(device, FACTORY)
    assert [each.decision for each in search(world.table, "SNR-0")[0]] == [Verdict.ADMIT]
    assert [each.decision for each in search(world.table, "gate")[0]] == [Verdict.HOLD]
    for device in (admitted, held):
        for text in (device.sha256[:8], device.sha256):
            assert device.sha256 in ids(world, text)


def test_search_keys_are_written_once_and_gone_with_their_record(world: World) -> None:
    from jitr.aws.iot import Iot
    from jitr.services.registration.reservations import Reservations

    device = FACTORY.device("snr-0001").issue()
    world.connect(device)
    world.knock(device, FACTORY)
    there = keys_in(world)
    world.later(minutes=5)
    world.knock(device, FACTORY)
    assert keys_in(world) == there != set()
    record = world.record(device)
    assert record
    Reservations(world.table, Iot(world.iot)).close(record)
    assert (keys_in(world), ids(world, "snr")) == (set(), [])


def test_the_keys_are_those_of_the_record_in_every_state(world: World) -> None:
    """A thing's name comes with an admission, and what is found is checked against the record itself."""
    device = FACTORY.device("gateway-1").issue()
    world.connect(device)
    world.knock(device, FACTORY)
    record = world.record(device)
    assert record
    assert record.search_keys
    admitted = world.table.put_record(replace(record, decision=Verdict.ADMIT, grant={"thing": "pump-7"}))
    assert ids(world, "pump") == [device.sha256]
    world.table.put_record(replace(admitted, decision=Verdict.REJECT, grant=None))
    assert ids(world, "pump") == []
    assert ids(world, "gateway") == [device.sha256]


def test_a_search_reads_no_more_of_many_devices_than_of_few(world: World) -> None:
    device = FACTORY.device("gateway-1").issue()
    world.connect(device)
    world.knock(device, FACTORY)
    record = world.record(device)
    assert record
    counts = []
    for names in ([f"one-{number}" for number in range(20)], [f"one-more-{number}" for number in range(MOST * 5)]):
        seed(world, clones(record, names))
        world.calls.made.clear()
        found, more = search(world.table, "one")
        counts.append(len(world.calls.of("dynamodb")))
    assert counts[0] == counts[1] <= 10
    assert (len(found), more) == (MOST, True)


def test_devices_come_in_the_order_of_what_is_searched(world: World) -> None:
    device = FACTORY.device("gateway-1").issue()
    world.connect(device)
    world.knock(device, FACTORY)
    record = world.record(device)
    assert record
    seed(world, clones(record, (f"a-{number:02}" for number in (3, 1, 2, 4))))
    found, _ = search(world.table, "a-")
    names = [next(a["value"] for a in (each.facts or {})["subject"] if a["name"] == "common_name") for each in found]
    assert names == ["a-01", "a-02", "a-03", "a-04"]
