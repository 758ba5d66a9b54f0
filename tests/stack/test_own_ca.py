"""CAs of one's own on the local stack: docs/own-ca.md as it stands, and what becomes of devices when a CA goes."""

import os
import shutil
import socket
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from testkit.stack.page_reader import PageReader, sections
from testkit.stack.plant import Factory, Plant, PlantDevice, until

from jitr.reasons import Verdict
from jitr_local.cli import variables_of
from jitr_local.device import Device, Fate
from jitr_local.stack import CHECKOUT, LocalStack

pytestmark = pytest.mark.stack

PAGE = CHECKOUT / "docs" / "own-ca.md"
BY_HAND = {"Where this works"}  # starts a stack of its own, or is for an AWS account
FIRST = "With jitr"
WITH_OPENSSL = [
    "With openssl",
    "A key that never leaves its vault",
    "A root, and the CA below it that signs",
    "Register a device by hand",
    "Look after CAs",
    "Revoke devices",
    "Remove a CA",
]


# --- the page


@pytest.fixture(scope="module")
def reader(local_stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> PageReader:
    """Somebody who has read the page to the end of its first way."""
    folder = tmp_path_factory.mktemp("own-ca")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    reader = PageReader(PAGE, folder, {"PATH": path, "HOME": str(folder)} | variables_of(local_stack, {}))
    reader.follow(FIRST)
    return reader


@pytest.mark.docs
def test_every_command_of_the_page_is_run_here() -> None:
    assert sections(PAGE, "sh").keys() == {*BY_HAND, FIRST, *WITH_OPENSSL}


@pytest.mark.docs
def test_the_page_brings_a_device_in_with_our_commands(reader: PageReader, plant: Plant) -> None:
    certificate = plant.iot.describe_certificate(certificateId=reader.id_of("drill-0001"))["certificateDescription"]
    assert certificate["status"] == "ACTIVE"
    assert certificate["caCertificateId"] == reader.id_of("drill-shop")


@pytest.mark.docs
@pytest.mark.skipif(shutil.which("openssl") is None, reason="this machine has no openssl")
def test_the_page_brings_a_device_in_with_openssl_and_takes_the_ca_away(reader: PageReader, plant: Plant) -> None:
    for heading in WITH_OPENSSL:
        reader.follow(heading)
    assert "presses" in reader.printed["Look after CAs"]
    held = {each["certificateId"] for each in plant.iot.list_ca_certificates()["certificates"]}
    registered = [name for name in ("drill-shop", "press-shop", "vault", "batch-7") if reader.id_of(name) in held]
    assert registered == ["drill-shop", "vault", "batch-7"]
    certificate = plant.iot.describe_certificate(certificateId=reader.id_of("press-0001"))["certificateDescription"]
    assert certificate["status"] == "ACTIVE"
    revoked = plant.iot.describe_certificate(certificateId=reader.id_of("press-0002"))["certificateDescription"]
    assert revoked["status"] == "INACTIVE"


# --- two CAs, one of which goes


def let_in(made: PlantDevice) -> None:
    """The device gets in and publishes."""
    with made.knocking() as device:
        until(lambda: device.fate is not Fate.KNOCKING, f"{device.name} gets in")
    assert device.fate is Fate.PUBLISHED, device.last_error


def again(made: PlantDevice) -> PlantDevice:
    """The same device after a restart."""
    old = made.device
    return PlantDevice(Device(old.name, old.certificate, old.key, old.topic, old.broker), made.certificate_id)


def knocks_in_vain(made: PlantDevice) -> None:
    """The device tries more than once, and is not let in."""
    with made.knocking() as device:
        until(lambda: device.attempts >= 2, f"{device.name} tries again")
    assert device.fate is not Fate.PUBLISHED


def test_devices_outlive_their_ca_and_a_ca_that_goes_takes_no_other_along(plant: Plant) -> None:
    """Two CAs with devices under each. One is deactivated, then deleted: its devices stay ACTIVE, connect and publish;
    one that waits goes on waiting; new ones under it are not registered. The other CA and its devices notice nothing.
    """
    goes, stays = plant.factory("goes"), plant.factory("stays")
    plant.publish(plant.rules(goes, stays))
    of_goes = [plant.device(goes, f"goes-000{number}") for number in (1, 2)]
    of_stays = plant.device(stays, "stays-0001")
    waiting = plant.device(goes, "waiting-0001")  # no rule lets it in
    for made in (*of_goes, of_stays):
        let_in(made)
    knocks_in_vain(waiting)
    until(lambda: plant.record(waiting), "it is held")
    before = plant.iot.describe_ca_certificate(certificateId=stays.id)["certificateDescription"]

    steps = (
        (("ca", "deactivate", goes.ca, "--yes"), "INACTIVE"),
        (("ca", "delete", goes.ca, "--yes"), "deleted"),
    )
    for number, (command, outcome) in enumerate(steps):
        done = plant.jitr(*command)
        assert outcome in done.stdout
        assert "no new device under it is registered" in done.stderr
        for made in of_goes:
            assert plant.status(made) == "ACTIVE"
            let_in(again(made))
        newcomer = plant.device(goes, f"goes-1{number}")
        knocks_in_vain(newcomer)
        assert (plant.status(newcomer), plant.record(newcomer)) == (None, None)
        knocks_in_vain(again(waiting))
        assert plant.status(waiting) == "PENDING_ACTIVATION"

    assert plant.iot.describe_ca_certificate(certificateId=stays.id)["certificateDescription"] == before
    assert plant.status(of_stays) == "ACTIVE"
    let_in(again(of_stays))
    let_in(plant.device(stays, "stays-0002"))


def test_a_ca_that_comes_back_has_its_id_and_its_rules_count_again(plant: Plant) -> None:
    """Deleted and registered anew; a device that was turned away meanwhile gets in at its next knock."""
    back = plant.factory("back")
    plant.publish(plant.rules(back))
    plant.jitr("ca", "delete", back.ca, "--deactivate", "--yes")
    made = plant.device(back, "back-0001")
    knocks_in_vain(made)
    found = plant.json("ca", "register", back.ca, "--key", back.ca.with_suffix(".key"))
    assert (found["ca_certificate_id"], found["was_registered"]) == (back.id, False)
    let_in(again(made))


# --- what the commands see


def test_ls_and_show_tell_of_devices_and_rules(plant: Plant) -> None:
    seen, unnamed = plant.factory("seen"), plant.factory("unnamed")
    plant.publish(plant.rules(seen))
    let_in(plant.device(seen, "seen-0001"))
    knocks_in_vain(plant.device(seen, "other-0001"))
    shown = plant.json("ca", "show", seen.id)
    assert (shown["aliases"], [each["rule"] for each in shown["rules"]]) == (["seen"], ["seen"])
    assert shown["devices"] == {"ACTIVE": 1, "PENDING_ACTIVATION": 1}
    assert shown["days_left"] == 364
    listed = {each["ca_certificate_id"]: each for each in plant.json("ca", "ls")["cas"]}
    assert listed[seen.id] == {name: value for name, value in shown.items() if name != "created"}
    assert (listed[unnamed.id]["aliases"], listed[unnamed.id]["rules"], listed[unnamed.id]["devices"]) == ([], [], {})


def connect_without_name(made: PlantDevice, stack: LocalStack) -> None:
    """Connect as a client that does not say which server it wants."""
    name = made.device.name.encode()
    # MQTT 3.1.1 section 3.1: CONNECT with a clean session.
    connect = b"\x00\x04MQTT\x04\x02\x00\x3c" + len(name).to_bytes(2) + name
    context = stack.tls_context()
    context.check_hostname = False
    context.load_cert_chain(made.device.certificate, made.device.key)
    with (
        socket.create_connection((stack.mqtt_host, stack.mqtt_port), timeout=10) as plain,
        context.wrap_socket(plain) as secure,
        suppress(OSError),
    ):
        secure.sendall(bytes((0x10, len(connect))) + connect)
        assert secure.recv(4) != b"\x20\x02\x00\x00"  # CONNACK, accepted


def test_a_ca_in_mode_sni_only_needs_no_proof_and_devices_that_send_the_server_s_name(plant: Plant) -> None:
    """A device that sends it gets in. One that does not is not even registered."""
    plant.jitr("ca", "create", "shared", "--organization", "SHARED", "--out-dir", plant.folder)
    ca = plant.folder / "shared.pem"
    found = plant.json("ca", "register", ca, "--sni-only")
    assert (found["mode"], found["status"]) == ("SNI_ONLY", "ACTIVE")
    factory = Factory("shared", ca, found["ca_certificate_id"])
    plant.publish(plant.rules(factory))
    made = plant.device(factory, "shared-0001")
    connect_without_name(made, plant.stack)
    assert plant.status(made) is None
    let_in(made)
    record = plant.record(made)
    assert record is not None
    assert record.decision is Verdict.ADMIT
