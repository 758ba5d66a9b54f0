"""Closing the record of a certificate that is gone: what it reserved is free again, in the same transaction."""

import hashlib
from dataclasses import replace
from typing import Any

import pytest
from testkit import pki
from testkit.aws.world import World
from testkit.knocks import allow
from testkit.knocks import rules as made_rules
from testkit.odd_certificates import compressed

from jitr.aws.dynamodb.table import Conflict, to_item
from jitr.aws.iot import Iot
from jitr.records.record import Record
from jitr.records.reservation import Holder, Reservation
from jitr.rules.model import Ca, Grant
from jitr.services.registration.reservations import Reservations

FACTORY = pki.ca("Factory A")
DEVICE = FACTORY.usual_device("snr-0001").key("P-256", "one").issue()
OTHER = FACTORY.usual_device("snr-0001").key("P-256", "another").issue()


@pytest.fixture
def ready(world: World) -> World:
    """One device is in, under a rule with one place, and so is its thing."""
    world.register_ca(FACTORY)
    grant(world, thing="{common_name}")
    world.connect(DEVICE)
    world.knock(DEVICE, FACTORY)
    assert world.status(DEVICE) == "ACTIVE"
    return world


def grant(world: World, **given: Any) -> None:
    """Put a rule with one place and such a grant in force."""
    rules = made_rules(allow(grant=Grant(iot_policies=("Sensor",), **given), max_devices=1, ca="factory-a"))
    world.publish(replace(rules, cas={"factory-a": Ca("factory-a", (FACTORY.id,), 3)}))


def record_of(world: World, device: pki.Issued) -> Record:
    """The record, which has to be there."""
    found = world.record(device)
    assert found is not None
    return found


def reservations(world: World) -> Reservations:
    """What commands make of a deployment."""
    return Reservations(world.table, Iot(world.iot))


def taken(world: World) -> int:
    """How many places of the rule are taken."""
    return int(next(iter(world.table.get([{"pk": "PLACES#line-a", "sk": "PLACES"}])))["taken"])


def test_record_name_and_place_go_together(ready: World) -> None:
    """That the thing is ours stays known, so that another device may claim its name."""
    reservations(ready).close(record_of(ready, DEVICE))
    assert ready.record(DEVICE) is None
    assert taken(ready) == 0
    left = reservations(ready).read("THING#snr-0001")
    assert left is not None
    assert (left.holders, left.made, left.places) == ({}, True, {})
    ready.connect(OTHER)
    ready.knock(OTHER, FACTORY)
    assert (ready.status(OTHER), taken(ready)) == ("ACTIVE", 1)


def test_with_the_thing_gone_nothing_is_remembered_of_its_name(ready: World) -> None:
    """A thing of that name that somebody makes later is not ours."""
    reservations(ready).close(record_of(ready, DEVICE), thing_gone=True)
    assert reservations(ready).read("THING#snr-0001") is None
    assert taken(ready) == 0


def test_a_name_that_another_certificate_holds_stays_reserved(ready: World) -> None:
    """Of two certificates with one key, as renewed with the same key, the other one keeps name and place."""
    twin = FACTORY.usual_device("snr-0001").key("P-256", "one").serial(77).issue()
    ready.connect(twin)
    ready.knock(twin, FACTORY)
    reservations(ready).close(record_of(ready, DEVICE), thing_gone=True)
    left = reservations(ready).read("THING#snr-0001")
    assert left is not None
    assert (left.certificates, left.places, taken(ready)) == ((twin.sha256,), {"line-a": 1}, 1)


def test_a_place_without_a_thing_is_released(ready: World) -> None:
    reservations(ready).close(record_of(ready, DEVICE))
    grant(ready)
    ready.connect(OTHER)
    ready.knock(OTHER, FACTORY)
    record = record_of(ready, OTHER)
    assert str(record.reservation).startswith("KEY#")
    reservations(ready).close(record)
    left = reservations(ready).read(str(record.reservation))
    assert left is None or (left.holders, left.places) == ({}, {})
    assert taken(ready) == 0


def test_a_record_without_reservation_is_just_deleted(ready: World) -> None:
    """Also one whose reservation is held by others meanwhile."""
    ready.connect(OTHER)
    ready.knock(OTHER, FACTORY)
    held = record_of(ready, OTHER)
    assert held.reservation is None
    reservations(ready).close(replace(held, reservation="THING#snr-0001"))
    assert ready.record(OTHER) is None
    assert taken(ready) == 1


@pytest.mark.parametrize("device", [DEVICE, OTHER])
def test_what_was_decided_meanwhile_is_not_thrown_away(ready: World, device: pki.Issued) -> None:
    """With a reservation and without: nothing is changed, and the caller reads again."""
    if device is OTHER:
        ready.connect(OTHER)
        ready.knock(OTHER, FACTORY)
    before = record_of(ready, device)
    ready.table.put_record(before)
    with pytest.raises(Conflict):
        reservations(ready).close(before)
    assert ready.record(device) is not None
    assert taken(ready) == 1


def test_closing_twice_is_a_conflict_and_changes_nothing(ready: World) -> None:
    record = record_of(ready, DEVICE)
    reservations(ready).close(record)
    with pytest.raises(Conflict):
        reservations(ready).close(record)
    assert taken(ready) == 0


# --- a key that its certificate writes in another form than the canonical one


def earlier(world: World, name: str, digests: dict[str, str]) -> None:
    """Have a reservation as earlier versions made it: by the SHA-256 of the key as the certificate writes it."""
    found = reservations(world).read(name)
    assert found is not None
    keys = {digests[key]: list(holder.certificates) for key, holder in found.holders.items()}
    item = next(iter(world.table.get([{"pk": name, "sk": "RESERVATION"}])))
    del item["holders"]
    moved = {"pk": name.replace(*next(iter(digests.items())))}
    world.dynamodb.put_item(TableName=world.table.name, Item=to_item(item | {"keys": keys} | moved))


@pytest.mark.parametrize("thing", ["{common_name}", None])
def test_what_a_key_reserved_in_an_earlier_version_is_still_its_own(world: World, thing: str | None) -> None:
    """Renewed with the same key, it takes its own name and place, and no second one."""
    first = compressed(FACTORY.usual_device("snr-0001").key("P-256", "one"))
    assert first.public_key_info is not None
    written = hashlib.sha256(first.public_key_info).hexdigest()
    canonical = hashlib.sha256(pki.public_key(first.key_pair)).hexdigest()
    world.register_ca(FACTORY)
    grant(world, thing=thing)
    device, renewed = first.issue(), first.serial(78).issue()
    world.connect(device)
    world.knock(device, FACTORY)
    earlier(world, "THING#snr-0001" if thing else f"KEY#{canonical}", {canonical: written})
    world.connect(renewed)
    world.knock(renewed, FACTORY)
    assert (world.codes(renewed), world.status(renewed)) == (["allow.rule"], "ACTIVE")
    assert taken(world) == 1


def test_both_digests_of_a_key_are_one_holder() -> None:
    """And take one place: that of the one that has one."""
    before = Reservation("THING#snr-0001", {"written": Holder(("a", "b")), "another": Holder(("c",))})
    after = before.known_as("canonical", "written")
    assert after.holders == {"another": Holder(("c",)), "canonical": Holder(("a", "b"))}
    assert before.known_as("canonical", None) is before
    with_place = Holder(("a",), rule="line-a")
    for own in (Holder(("d",)), Holder(("d",), rule="line-a"), Holder(("d",), rule="line-a", shares=True)):
        both = Reservation("THING#snr-0001", {"canonical": own, "written": with_place})
        merged = both.known_as("canonical", "written")
        assert (merged.holders["canonical"].certificates, merged.places) == (("d", "a"), {"line-a": 1})
