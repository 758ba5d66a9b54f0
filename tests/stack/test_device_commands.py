"""`jitr device …` where it counts: on devices that connect, with IoT policies enforced."""

import json
from contextlib import ExitStack
from typing import Any

import pytest
from testkit.stack.plant import Factory, Plant, PlantDevice, until

from jitr.reasons import Verdict
from jitr_local.device import Fate
from jitr_local.stack import LocalStack

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def hall(local_stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> tuple[Plant, Factory]:
    """A registered CA, and rules that let its devices in by their names."""
    plant = Plant(local_stack, tmp_path_factory.mktemp("hall"))
    factory = plant.factory("hall")
    plant.publish(plant.rules(factory))
    return plant, factory


def diagnosed(plant: Plant, made: PlantDevice, *more: str, code: int) -> dict[str, Any]:
    """The problems that a diagnosis found, by code, and whether the device was let in (under ``connected``)."""
    device = made.device
    where = ("--endpoint", f"{device.broker.host}:{device.broker.port}", "--ca-file", device.broker.ca)
    files = ("--certificate", device.certificate, "--key", device.key)
    result = plant.jitr("device", "diagnose", *where, *files, "--json", *more, code=code)
    document = json.loads(result.stdout)
    problems = {each["code"]: f"{each['message']} {each['remedy']}" for each in document["findings"] if not each["ok"]}
    return problems | {"connected": document["connected"], "published": document["published"]}


def again(plant: Plant, factory: Factory, name: str, folder: str) -> PlantDevice:
    """Another key and certificate under a name that is taken."""
    directory = plant.folder / folder
    plant.jitr("device", "issue", name, "--ca", factory.ca, "--out-dir", directory)
    return plant.made(name, directory / f"{name}.pem", directory / f"{name}.key")


def test_registered_by_hand_it_connects_and_what_it_may_not_is_diagnosed(hall: tuple[Plant, Factory]) -> None:
    """No event, no rule: the tutorial's second half. Then each of the things that can keep it out."""
    plant, factory = hall
    made = plant.device(factory, "by-hand-1")
    policy = plant.stack.outputs["DevicePolicyName"]
    registering = ("device", "register", made.device.certificate)
    plant.jitr(*registering, "--activate", "--without-iot-policy")
    assert "no-iot-policy" in diagnosed(plant, made, code=1)

    plant.jitr(*registering, "--activate", "--iot-policy", policy, "--thing", "by-hand-1")
    with made.knocking() as device:
        until(lambda: device.fate is not Fate.KNOCKING, "it connects")
    assert device.fate is Fate.PUBLISHED
    assert plant.record(made) is None

    good = diagnosed(plant, made, "--topic", "devices/by-hand-1/hello", code=0)
    assert (good["connected"], good["published"]) == (True, True)
    assert "publish" in diagnosed(plant, made, "--topic", "devices/other/hello", code=1)
    assert "as by-hand-1 it is let in" in diagnosed(plant, made, "--client-id", "other", code=1)["client-id"]
    plant.jitr("device", "deactivate", "by-hand-1", "--yes")
    assert "inactive" in diagnosed(plant, made, code=1)
    plant.jitr("device", "activate", "by-hand-1")
    assert diagnosed(plant, made, code=0)["connected"]
    plant.jitr("device", "revoke", "by-hand-1", "--yes")
    assert "revoked" in diagnosed(plant, made, code=1)


def test_a_device_that_is_held_is_diagnosed_with_its_reason(hall: tuple[Plant, Factory]) -> None:
    """The diagnosis is its first connection; being hung up on is all that the device itself sees."""
    plant, factory = hall
    made = plant.device(factory, "stranger-1")
    found = diagnosed(plant, made, "--wait", "30", code=1)
    assert "hold, allow.unmatched" in found["pending"]
    assert "See the near misses" in found["pending"]
    shown = plant.json("device", "show", made.certificate_id[:12])["devices"][0]
    assert (shown["status"], shown["record"]["decision"]) == ("PENDING_ACTIVATION", "hold")
    assert "hung-up" in diagnosed(plant, made, "--no-account", "--wait", "0", code=1)


def test_a_device_of_an_unknown_ca_is_refused_in_tls(hall: tuple[Plant, Factory]) -> None:
    plant, _ = hall
    plant.jitr("ca", "create", "nobody", "--out-dir", plant.folder)
    made = plant.device(Factory("nobody", plant.folder / "nobody.pem", ""), "nobody-1")
    found = diagnosed(plant, made, code=1)
    assert {"not-registered", "chain-missing"} <= found.keys()
    assert "no registered CA signed it" in found["not-registered"]


def test_a_list_recalls_who_is_in_and_delete_frees_the_name(hall: tuple[Plant, Factory]) -> None:
    """Two are in, one of them is recalled. The other's name is claimed in vain by a second key until it is deleted."""
    plant, factory = hall
    recalled, kept = plant.device(factory, "hall-1"), plant.device(factory, "hall-2")
    second = again(plant, factory, "hall-2", "second")
    with ExitStack() as stack:
        for each in (recalled, kept):
            stack.enter_context(each.knocking())
        for each in (recalled, kept):
            until(lambda each=each: each.device.fate is not Fate.KNOCKING, "it gets in")  # type: ignore[misc]
    with second.knocking():
        held = until(lambda: plant.record(second), "it is held")
    assert (held.decision, held.reasons[0]["code"]) == (Verdict.HOLD, "grant.thing-claimed")

    plant.jitr("lists", "add", "recall-17", "common_name=hall-1")
    shown = plant.json("device", "deactivate", "--list", "recall-17", "--dry-run")["devices"]
    assert [(each["common_name"], each["found_by"]) for each in shown] == [("hall-1", "common_name")]
    plant.jitr("device", "deactivate", "--list", "recall-17", "--yes")
    assert (plant.status(recalled), plant.status(kept)) == ("INACTIVE", "ACTIVE")

    deleted = plant.json("device", "delete", kept.certificate_id, "--deactivate", "--yes")
    assert deleted["reservation_released"] == "THING#hall-2"
    assert (plant.status(kept), plant.record(kept)) == (None, None)
    third = again(plant, factory, "hall-2", "third")
    with third.knocking() as device:
        until(lambda: device.fate is not Fate.KNOCKING, "the name is free")
    assert (device.fate, plant.status(third)) == (Fate.PUBLISHED, "ACTIVE")
    things = plant.json("device", "show", "hall-2")["devices"]
    assert [each["certificate_id"] for each in things] == [third.certificate_id]
