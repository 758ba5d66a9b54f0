"""Crash anywhere: whatever befalls the function at a call, further deliveries leave what one without a fault leaves.

The points come from the calls that a run without faults makes, so a new call is covered on its own. At each point the
function is killed or runs into its time-out, before AWS did the call or after (the answer is lost with the function);
or it lives, and the call is throttled, AWS cannot be reached, or only the answer is lost. Then the same message comes
again; or the device's next knock comes first.

In some scenarios rules or lists are edited meanwhile, at one moment of the admission, whenever that comes.

All of it is played on the clients in memory, and some on moto; ``make soak`` plays all of it there as well.
"""

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from threading import get_ident
from typing import Any

import pytest
from testkit import pki
from testkit.aws.admission import DEVICE, FACTORY, FULL, OTHER, both, rules, same_name
from testkit.aws.fakes import VISIBILITY, fake_world
from testkit.aws.faults import AFTER, BEFORE, InjectedFault, Killed
from testkit.aws.world import PENDING, Silent, World, listening, moto_world, new_clients
from testkit.knocks import allow, deny

from jitr.devicelists.rows import ListRow
from jitr.errors import Retry
from jitr.records.record import APPLYING_AT_MOST

SECOND = same_name()
HEIR = same_name(FACTORY)
POLICIES_ONLY = replace(FULL, thing=None, thing_type=None, attributes={}, thing_groups=())

FUNCTION_TIMEOUT = timedelta(seconds=30)  # as in template.yaml

GONE = ("killed", "timed out")


@dataclass(frozen=True)
class Scenario:
    """Something that happened before, and the delivery that faults strike."""

    name: str
    prepare: Callable[[World], None]
    knocks: tuple[pki.Issued, pki.CA] = (DEVICE, FACTORY)
    expected: str = "ACTIVE"
    edit: "Edit | None" = None


@dataclass(frozen=True)
class Edit:
    """What another hand edits, and when: once, around the first call of an operation to AWS IoT."""

    when: str  # before-call | after-call
    operation: str
    does: Callable[[World], None]


def _nothing(_world: World) -> None:
    pass


def _rules(*each: Any) -> Callable[[World], None]:
    return lambda world: world.publish(rules(*each))


def _held_then_listed(world: World) -> None:
    world.publish(rules(allow(lists=("line-a",), grant=FULL)))
    world.knock(DEVICE, FACTORY)
    world.put_on("line-a", ListRow(common_name="snr-0001"))


def _second_knocks(renewal: str, second: pki.Issued, most: int | None = None) -> Callable[[World], None]:
    def prepare(world: World) -> None:
        given = both(renewal=renewal, renewal_from=("factory-a",))
        world.publish(replace(given, allow=tuple(replace(each, max_devices=most) for each in given.allow)))
        world.knock(DEVICE, FACTORY)
        world.connect(second)

    return prepare


def _foreign_thing(world: World) -> None:
    world.publish(rules(allow(grant=replace(FULL, existing="adopt", thing_type=None))))
    world.iot.create_thing(thingName="snr-0001", attributePayload={"attributes": {"line": "b"}})


def _missing_policy(world: World) -> None:
    world.publish(rules(allow(grant=replace(FULL, iot_policies=("Sensor", "Gone")), max_devices=3)))


def _failed_with_more(world: World) -> None:
    world.publish(rules(allow(grant=replace(FULL, iot_policies=("Sensor", "Gone")))))
    world.knock(DEVICE, FACTORY)
    world.publish(rules(allow(grant=replace(FULL, thing_type=None, attributes={"site": "b"}, thing_groups=()))))


def _settled(world: World) -> None:
    world.knock(DEVICE, FACTORY)


def _settled_long_ago(world: World) -> None:
    world.knock(DEVICE, FACTORY)
    world.later(minutes=10)


def _rules_changed_to_reject(world: World) -> None:
    world.publish(rules(allow(lists=("line-a",))))
    world.knock(DEVICE, FACTORY)
    world.publish(rules(deny(ca="factory-a")))


def _denies(world: World) -> None:
    world.put_on("recall", ListRow(common_name="snr-0001"))


def _revokes(world: World) -> None:
    world.publish(rules(deny(ca="factory-a", revoke=True)))


def _no_longer_allows(world: World) -> None:
    world.publish(rules(allow(lists=("line-a",), grant=FULL)))


def _denies_others(world: World) -> None:
    world.put_on("recall", ListRow(common_name="snr-0002"))


# Between the decision and ACTIVE; between the last look before it and ACTIVE; between ACTIVE and the look after it.
MOMENTS = (("before-call", "CreateThing"), ("before-call", "UpdateCertificate"), ("after-call", "UpdateCertificate"))
EDITED = [
    Scenario(
        f"{what}, {when} {operation}",
        _rules(deny(lists=("recall",)), allow(grant=FULL, max_devices=1)),
        expected=expected,
        edit=Edit(when, operation, does),
    )
    for what, does, ends in (
        ("recalled", _denies, ("INACTIVE", "INACTIVE", "INACTIVE")),
        ("revoked", _revokes, ("REVOKED", "REVOKED", "REVOKED")),
        ("no longer allowed", _no_longer_allows, (PENDING, "INACTIVE", "INACTIVE")),  # never ACTIVE: it waits as it is
        ("others recalled", _denies_others, ("ACTIVE", "ACTIVE", "ACTIVE")),
    )
    for (when, operation), expected in zip(MOMENTS, ends, strict=True)
]

SCENARIOS = [
    Scenario("admit with thing, type, group and IoT policies", _nothing),
    Scenario("admit with IoT policies only", _rules(allow(grant=POLICIES_ONLY))),
    Scenario("admit under max_devices", _rules(allow(grant=FULL, max_devices=1))),
    Scenario("admit under max_devices without a thing", _rules(allow(grant=POLICIES_ONLY, max_devices=1))),
    Scenario("hold", _rules(allow(lists=("line-a",))), expected="PENDING_ACTIVATION"),
    Scenario("reject", _rules(deny(ca="factory-a")), expected="INACTIVE"),
    Scenario("revoke", _rules(deny(ca="factory-a", revoke=True)), expected="REVOKED"),
    Scenario("admit after a hold and an edit", _held_then_listed),
    Scenario("reject after a hold and new rules", _rules_changed_to_reject, expected="INACTIVE"),
    Scenario("hold for a claimed thing", _second_knocks("hold", SECOND), (SECOND, OTHER)),
    Scenario("renewal coexist", _second_knocks("coexist", SECOND), (SECOND, OTHER)),
    Scenario("renewal replace", _second_knocks("replace", SECOND), (SECOND, OTHER), expected="INACTIVE"),
    Scenario("renewal coexist, counted", _second_knocks("coexist", HEIR, 2), (HEIR, FACTORY)),
    Scenario(
        "renewal replace in the last place", _second_knocks("replace", HEIR, 1), (HEIR, FACTORY), expected="INACTIVE"
    ),
    Scenario("adopt an existing thing", _foreign_thing),
    Scenario("hold for a missing IoT policy", _missing_policy, expected="PENDING_ACTIVATION"),
    Scenario("admit with less than a failed admission gave", _failed_with_more),
    Scenario("a settled knock", _settled),
    Scenario("a later knock of a settled device", _settled_long_ago),
    *EDITED,
]


Made = Callable[[], AbstractContextManager[World]]


def _on_moto() -> AbstractContextManager[World]:
    return moto_world(CLIENTS)


CLIENTS = new_clients()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_crash_at_any_call_changes_nothing_about_the_end(scenario: Scenario) -> None:
    print(_crash_everywhere(fake_world, scenario), "faults")  # pytest -rP shows it


SOME = [each for each in SCENARIOS if each.name == "renewal replace"]


@pytest.mark.parametrize("scenario", SCENARIOS if "JITR_SOAK_EXAMPLES" in os.environ else SOME, ids=lambda s: s.name)
def test_nor_does_it_on_moto(scenario: Scenario) -> None:
    """The clients in memory are known to behave as moto does."""
    with fake_world() as one, moto_world(CLIENTS) as other:
        ends = [_run(each, scenario, InjectedFault(0, "none")) for each in (one, other)]
    assert ends[0] == ends[1]
    _crash_everywhere(_on_moto, scenario, ("killed before", "killed after"))


def _crash_everywhere(
    made: Made,
    scenario: Scenario,
    hows: tuple[str, ...] = BEFORE + AFTER,
) -> int:
    """How many faults were injected: every one of them at every call that a run without any makes."""
    with made() as world:
        end, calls = _run(world, scenario, InjectedFault(0, "none"))
    assert end["status"] == scenario.expected
    faults = [InjectedFault(point, how) for point in range(1, calls + 1) for how in hows]
    # Who is alive puts the message back; only where the function is gone another message finds its work unfinished.
    faults += [
        replace(each, next_knock_first=True) for each in faults if each.how.startswith(GONE) and made is fake_world
    ]
    for fault in faults:
        with made() as world:
            after_fault, _ = _run(world, scenario, fault)
        assert fault.struck
        assert _told(scenario, after_fault) == _told(scenario, end), str(fault)
    return len(faults)


def _told(scenario: Scenario, end: Mapping[str, Any]) -> Mapping[str, Any]:
    """What of an end is the same whatever befell. An edit may find the certificate pending still, and what is attached
    to one that is not ACTIVE depends on how far its admission had come.
    """
    if scenario.edit is None or end["status"] == "ACTIVE":
        return end
    status = "out" if end["status"] in (PENDING, "INACTIVE") else end["status"]
    records = {each: record and record[:-1] for each, record in end["records"].items()}
    holders = {name: (item.get("keys"), item.get("taken")) for name, item in end["reservations"].items()}
    return {"status": status, "records": records, "reservations": holders}


def _run(world: World, scenario: Scenario, fault: InjectedFault) -> tuple[Mapping[str, Any], int]:
    """The end of a scenario with a fault in its delivery, and how many calls the delivery without a fault makes."""
    world.register_ca(FACTORY)
    world.register_ca(OTHER)
    world.connect(DEVICE)
    world.publish(rules(allow(grant=FULL)))
    scenario.prepare(world)
    world.telemetry = Silent()
    world.registrar = world.fresh_registrar()
    exposed: list[str] = []
    with ExitStack() as stack:
        watch = _watch(world, exposed)
        stack.enter_context(listening(world.iot, "before-parameter-build.iot.UpdateCertificate", watch))
        if scenario.edit is not None:
            event = f"{scenario.edit.when}.iot.{scenario.edit.operation}"
            stack.enter_context(listening(world.iot, event, _once(world, scenario.edit, fault), first=True))
        for client in (world.iot, world.dynamodb):
            stack.enter_context(listening(client, "before-call", fault.before, first=True))
            stack.enter_context(listening(client, "after-call", fault.after))
        _deliver_until_done(world, scenario, fault)
    assert exposed == [], "a certificate became ACTIVE without its IoT policies"
    return _snapshot(world), fault.calls


def _deliver_until_done(world: World, scenario: Scenario, fault: InjectedFault) -> None:
    """As SQS does: again, to a fresh process, until it is done."""
    device, ca = scenario.knocks
    message = replace(world.message(world.event(device.sha256, ca.id)), id="first")
    if _deliver(world, message, fault):
        return
    if fault.next_knock_first:
        world.later(seconds=1)
        again = replace(world.message(world.event(device.sha256, ca.id)), id="second")
        _until_done(world, again, fault, APPLYING_AT_MOST)
    else:
        world.now += VISIBILITY
    _until_done(world, replace(message, deliveries=2), fault, VISIBILITY)


def _until_done(world: World, message: Any, fault: InjectedFault, wait: timedelta) -> None:
    for _ in range(9):
        if _deliver(world, message, fault):
            return
        world.now += wait
    raise AssertionError("nine deliveries were not enough")


def _deliver(world: World, message: Any, fault: InjectedFault) -> bool:
    """Whether the message is done with."""
    try:
        world.registrar.handle(message)
    except Killed:
        if fault.how.startswith("timed out"):
            world.now += FUNCTION_TIMEOUT
    except Retry:
        pass
    else:
        return True
    world.registrar = world.fresh_registrar()
    return False


def _once(world: World, edit: Edit, fault: InjectedFault) -> Callable[..., None]:
    """Edits at the first call, by calls that no fault strikes."""
    left = [edit]

    def hook(**_context: Any) -> None:
        if left:
            left.pop()
            fault.by_hand = get_ident()
            edit.does(world)
            fault.by_hand = None

    return hook


def _watch(world: World, exposed: list[str]) -> Callable[..., None]:
    """Looks, before every UpdateCertificate to ACTIVE, whether the certificate has an IoT policy by then."""

    def watch(params: Mapping[str, Any], **_context: Any) -> None:
        if params["newStatus"] == "ACTIVE":
            found = world.iot.describe_certificate(certificateId=params["certificateId"])["certificateDescription"]
            if not world.iot.list_attached_policies(target=found["certificateArn"])["policies"]:
                exposed.append(params["certificateId"])

    return watch


def _snapshot(world: World) -> dict[str, Any]:
    """What AWS IoT and the table hold about the devices, without times and counts."""
    things = world.iot.list_things()["things"]
    return {
        "status": world.status(DEVICE),
        "certificates": {
            each["certificateId"]: (each["status"], _policies(world, each["certificateArn"]))
            for each in world.iot.list_certificates()["certificates"]
        },
        "things": {
            each["thingName"]: (each["attributes"], each.get("thingTypeName"), _principals(world, each["thingName"]))
            for each in things
        },
        "groups": {each["thingName"]: sorted(_groups(world, each["thingName"])) for each in things},
        "records": {device.sha256: _record(world, device) for device in (DEVICE, SECOND, HEIR)},
        "reservations": _reservations(world),
    }


def _policies(world: World, arn: str) -> list[str]:
    return sorted(each["policyName"] for each in world.iot.list_attached_policies(target=arn)["policies"])


def _principals(world: World, thing: str) -> list[str]:
    return sorted(world.iot.list_thing_principals(thingName=thing)["principals"])


def _groups(world: World, thing: str) -> list[str]:
    return [str(each["groupName"]) for each in world.iot.list_thing_groups_for_thing(thingName=thing)["thingGroups"]]


def _record(world: World, device: pki.Issued) -> tuple[Any, ...] | None:
    record = world.record(device)
    if record is None:
        return None
    codes = [each["code"] for each in record.reasons]
    end = record.decision, record.state, record.rule, codes, record.grant, record.reservation, record.stays_pending
    return *end, record.withdrawn


def _reservations(world: World) -> dict[str, Any]:
    items = world.dynamodb.scan(TableName="jitr", ConsistentRead=True)["Items"]
    kept = [each for each in items if each["sk"]["S"] in ("RESERVATION", "PLACES")]
    return {each["pk"]["S"]: {name: value for name, value in each.items() if name != "revision"} for each in kept}
