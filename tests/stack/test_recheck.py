"""Held devices get in after an edit, end to end: table, stream, recheck function, queue, register function."""

import os
import time
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from testkit.aws.held import clones
from testkit.stack.plant import Factory, Plant, PlantDevice, until

from jitr.aws.dynamodb.table import record_writes
from jitr.reasons import Verdict
from jitr.records.record import Record
from jitr_local.device import Fate

pytestmark = pytest.mark.stack

# The promise: from the edit to an active certificate.
PROMISED = 60.0
HELD = int(os.environ.get("JITR_SOAK_HELD", "300"))


def _listed(plant: Plant, factory: Factory, on_list: str | None) -> Path:
    """Rules that let the devices of a factory in if they are on a list, or all of them."""
    file = plant.rules(factory)
    if on_list:
        file.write_text(file.read_text().replace("    grant:", f"    list: {on_list}\n    grant:"))
    return file


def _held(plant: Plant, name: str) -> tuple[Factory, PlantDevice, Record]:
    """A device that knocked, is held because it is on no list, and has given up."""
    factory = plant.factory(name)
    plant.jitr("lists", "add", f"{name}-list", f"common_name={name}-other")
    plant.publish(_listed(plant, factory, f"{name}-list"))
    made = plant.device(factory, f"{name}-1")
    with made.knocking():
        record = until(lambda: plant.record(made), "its first knock is decided")
    assert record.decision is Verdict.HOLD
    until(lambda: plant.under_way() == 0, "all of its knocks are handled")
    return factory, made, record


def _active(plant: Plant, made: PlantDevice, since: float) -> float:
    until(lambda: plant.status(made) == "ACTIVE", "it is let in", PROMISED)
    return time.monotonic() - since


def test_a_device_that_only_reconnects_as_usual_is_in_within_a_minute_of_its_row(plant: Plant) -> None:
    _, made, _ = _held(plant, "reconnect")
    with made.knocking() as device:
        attempts = device.attempts
        until(lambda: device.attempts > attempts + 1, "it knocks in vain")
        record = plant.record(made)
        assert record is not None
        assert (record.decision, plant.status(made)) == (Verdict.HOLD, "PENDING_ACTIVATION")
        began = time.monotonic()
        plant.jitr("lists", "add", "reconnect-list", "common_name=reconnect-1")
        _active(plant, made, began)
        until(lambda: device.fate is not Fate.KNOCKING, "it is let in when it reconnects")
    assert device.fate is Fate.PUBLISHED, device.last_error


def test_a_device_that_does_nothing_is_let_in_within_a_minute_of_its_row(plant: Plant) -> None:
    _, made, _ = _held(plant, "quiet")
    began = time.monotonic()
    plant.jitr("lists", "add", "quiet-list", "common_name=quiet-1")
    _active(plant, made, began)


def test_a_device_that_does_nothing_is_let_in_by_rules_that_are_published(plant: Plant) -> None:
    factory, made, _ = _held(plant, "pass")
    began = time.monotonic()
    plant.publish(_listed(plant, factory, None))
    _active(plant, made, began)


def test_an_edit_of_one_row_takes_as_long_where_very_many_devices_are_held(plant: Plant) -> None:
    """``JITR_SOAK_HELD`` says how many: 100,000 in ``make soak``."""
    _, made, record = _held(plant, "many")
    _seed(plant, record, HELD)
    began = time.monotonic()
    plant.jitr("lists", "add", "many-list", "common_name=many-1")
    took = _active(plant, made, began)
    print(f"{HELD} devices held, ACTIVE {took:.1f} s after `jitr lists add`")


def _seed(plant: Plant, record: Record, count: int) -> None:
    """Held devices like one that there is, with all that makes them findable."""
    table = plant.table
    puts = (
        write["Put"]["Item"]
        for each in clones(record, (f"many-{number}" for number in range(2, count + 2)))
        for write in record_writes(table.name, each)[1]
    )
    while some := list(islice(puts, 25)):
        requests: Any = [{"PutRequest": {"Item": each}} for each in some]
        table.client.batch_write_item(RequestItems={table.name: requests})
