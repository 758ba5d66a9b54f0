"""What earlier grants gave is taken back: groups, type, attributes and IoT policies end as the grant in force says."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from testkit.aws.admission import DEVICE, FACTORY, rules
from testkit.aws.fakes import FakeDynamodb, FakeIot, fake_world
from testkit.aws.faults import InjectedFault, Killed
from testkit.aws.world import World, listening
from testkit.knocks import allow, deny

from jitr.aws.iot import Iot
from jitr.decision.plan import Given
from jitr.records.record import APPLIED
from jitr.rules.model import Grant
from jitr.services.registration.reservations import Reservations

HIGH = Grant(
    iot_policies=("Sensor", "Gone"),
    thing="{common_name}",
    thing_type="Sensor",
    attributes={"role": "admin", "line": "a"},
    thing_groups=("admins", "line-a"),
)
LOW = Grant(iot_policies=("Other",), thing="{common_name}", attributes={"line": "b"}, thing_groups=("line-a",))
# The same name with another key, of the same CA.
NEXT = FACTORY.usual_device("snr-0001", kind="P-384").issue()


@pytest.fixture
def world() -> Iterator[World]:
    with fake_world() as made:
        made.iot.create_thing_group(thingGroupName="admins")
        made.iot.create_thing_group(thingGroupName="by-hand")
        made.register_ca(FACTORY)
        made.connect(DEVICE)
        yield made


def fake(world: World) -> FakeIot:
    iot: Any = world.iot
    assert isinstance(iot, FakeIot)
    return iot


def has(world: World, name: str = "snr-0001") -> tuple[set[str], dict[str, str], str | None]:
    """The groups, attributes and type of a thing."""
    thing = fake(world).things[name]
    return set(thing.groups), thing.attributes, thing.kind


def reservation(world: World) -> dict[str, Any]:
    dynamodb: Any = world.dynamodb
    assert isinstance(dynamodb, FakeDynamodb)
    return dynamodb.items["THING#snr-0001", "RESERVATION"]


def give_high(world: World) -> None:
    world.iot.create_policy(policyName="Gone", policyDocument="{}")
    world.publish(rules(allow(grant=HIGH)))
    world.knock(DEVICE, FACTORY)
    assert has(world) == ({"admins", "line-a"}, {"role": "admin", "line": "a"}, "Sensor")


def delete_device(world: World) -> None:
    """As `jitr device delete` does without ``--thing``."""
    certificate = fake(world).certificates.pop(DEVICE.sha256)
    assert certificate.policies
    record = world.record(DEVICE)
    assert record is not None
    Reservations(world.table, Iot(world.iot)).close(record)


def test_what_a_failed_admission_gave_is_taken_back_by_the_next_that_succeeds(world: World) -> None:
    world.publish(rules(allow(grant=HIGH)))
    world.knock(DEVICE, FACTORY)
    assert world.codes(DEVICE) == ["apply.iot-policy-missing"]
    assert has(world)[0] >= {"admins"}
    world.publish(rules(allow(grant=LOW)))
    world.knock(DEVICE, FACTORY)
    assert (world.status(DEVICE), world.policies(DEVICE)) == ("ACTIVE", {"Other"})
    assert has(world) == ({"line-a"}, {"line": "b"}, None)
    assert Given.from_json(reservation(world)["given"]) == Given.by(LOW)


def test_what_a_deleted_device_was_granted_is_not_for_the_next_one_of_its_name(world: World) -> None:
    give_high(world)
    delete_device(world)
    world.publish(rules(allow(grant=LOW)))
    world.connect(NEXT)
    world.knock(NEXT, FACTORY)
    assert world.status(NEXT) == "ACTIVE"
    assert has(world) == ({"line-a"}, {"line": "b"}, None)


def test_it_is_taken_back_before_the_next_one_is_active(world: World) -> None:
    give_high(world)
    delete_device(world)
    world.publish(rules(allow(grant=LOW)))
    world.connect(NEXT)
    seen = []

    def look(**context: Any) -> None:
        seen.append(has(world))

    with listening(world.iot, "before-call.iot.UpdateCertificate", look):
        world.knock(NEXT, FACTORY)
    assert seen == [({"line-a"}, {"line": "b"}, None)]


def test_what_was_given_by_hand_stays(world: World) -> None:
    give_high(world)
    delete_device(world)
    world.iot.add_thing_to_thing_group(thingGroupName="by-hand", thingName="snr-0001")
    world.iot.update_thing(thingName="snr-0001", attributePayload={"attributes": {"site": "3"}, "merge": True})
    world.publish(rules(allow(grant=LOW)))
    world.connect(NEXT)
    world.knock(NEXT, FACTORY)
    assert has(world) == ({"line-a", "by-hand"}, {"line": "b", "site": "3"}, None)


def test_of_an_adopted_thing_only_what_was_granted_here_is_taken_back(world: World) -> None:
    world.iot.create_thing(thingName="snr-0001", attributePayload={"attributes": {"site": "3"}})
    world.iot.add_thing_to_thing_group(thingGroupName="by-hand", thingName="snr-0001")
    world.iot.create_policy(policyName="Gone", policyDocument="{}")
    world.publish(rules(allow(grant=replace(HIGH, existing="adopt"))))
    world.knock(DEVICE, FACTORY)
    assert has(world) == ({"by-hand", "admins", "line-a"}, {"site": "3", "role": "admin", "line": "a"}, "Sensor")
    delete_device(world)
    world.publish(rules(allow(grant=replace(LOW, existing="adopt"))))
    world.connect(NEXT)
    world.knock(NEXT, FACTORY)
    assert has(world) == ({"by-hand", "line-a"}, {"site": "3", "line": "b"}, None)


def test_a_renewal_under_the_same_grant_asks_aws_iot_no_more_than_before(world: World) -> None:
    world.publish(rules(allow(grant=replace(LOW, renewal="coexist"))))
    world.knock(DEVICE, FACTORY)
    world.connect(NEXT)
    world.calls.made.clear()
    world.knock(NEXT, FACTORY)
    assert world.status(NEXT) == "ACTIVE"
    asked = world.calls.of("iot")
    assert sorted(asked[:-1]) == [
        "AddThingToThingGroup",
        "AttachPolicy",
        "AttachThingPrincipal",
        "CreateThing",
        "DescribeCertificate",
        "UpdateCertificate",
    ]


def test_a_crash_while_it_is_taken_back_leaves_it_written_down(world: World) -> None:
    give_high(world)
    delete_device(world)
    world.publish(rules(allow(grant=LOW)))
    world.connect(NEXT)
    for point in range(1, 30):
        fault = InjectedFault(point, "killed before")
        with listening(world.iot, "before-call", fault.before, first=True):
            try:
                world.later(minutes=5)
                world.knock(NEXT, FACTORY)
            except Killed:
                continue
        break
    assert has(world) == ({"line-a"}, {"line": "b"}, None)
    record = world.record(NEXT)
    assert record is not None
    assert (record.state, world.status(NEXT)) == (APPLIED, "ACTIVE")


@pytest.mark.parametrize("existing", ["hold", "adopt"])
def test_of_a_name_that_an_earlier_version_reserved_the_thing_is_asked_what_it_has_unless_it_may_be_adopted(
    world: World, existing: str
) -> None:
    give_high(world)
    delete_device(world)
    del reservation(world)["given"]
    world.publish(rules(allow(grant=replace(LOW, existing=existing))))
    world.connect(NEXT)
    world.knock(NEXT, FACTORY)
    kept = ({"admins", "line-a"}, {"role": "admin", "line": "b"}, "Sensor")
    assert has(world) == (({"line-a"}, {"line": "b"}, None) if existing == "hold" else kept)
    assert "given" in reservation(world)


def test_a_dynamic_group_that_a_thing_is_in_keeps_nobody_out(world: World) -> None:
    give_high(world)
    delete_device(world)
    del reservation(world)["given"]
    iot = fake(world)

    def refuse(thingGroupName: str, thingName: str) -> None:  # noqa: N803
        from testkit.aws.fakes import refusal

        raise refusal("RemoveThingFromThingGroup", "InvalidRequestException")

    iot._remove_thing_from_thing_group = refuse  # type: ignore[method-assign]
    world.publish(rules(allow(grant=LOW)))
    world.connect(NEXT)
    world.knock(NEXT, FACTORY)
    assert world.status(NEXT) == "ACTIVE"


def test_an_admission_that_was_taken_back_leaves_no_iot_policy_to_the_next(world: World) -> None:
    world.iot.create_policy(policyName="Gone", policyDocument="{}")
    world.publish(rules(allow(grant=HIGH)))

    def edited(**_context: Any) -> None:
        if len(edits):
            edits.pop()
            world.publish(rules(deny(ca="factory-a")))

    edits = [1]
    with listening(world.iot, "after-call.iot.UpdateCertificate", edited):
        world.knock(DEVICE, FACTORY)
    assert world.status(DEVICE) == "INACTIVE"
    record = world.record(DEVICE)
    assert record is not None
    world.table.put_record(replace(record, reopened={"by": "Ada", "at": "2026-03-01T12:00:00Z"}))
    world.publish(rules(allow(grant=LOW)))
    world.later(minutes=2)
    world.knock(DEVICE, FACTORY)
    assert (world.status(DEVICE), world.policies(DEVICE)) == ("ACTIVE", {"Other"})
    assert has(world) == ({"line-a"}, {"line": "b"}, None)


def test_a_name_that_is_shared_is_as_the_grant_that_was_applied_last_says(world: World) -> None:
    world.iot.create_policy(policyName="Gone", policyDocument="{}")
    world.publish(rules(allow(grant=replace(HIGH, renewal="coexist"))))
    world.knock(DEVICE, FACTORY)
    world.publish(rules(allow(grant=replace(LOW, renewal="coexist"))))
    world.connect(NEXT)
    world.knock(NEXT, FACTORY)
    assert has(world) == ({"line-a"}, {"line": "b"}, None)
