"""Crash anywhere: whatever call the function dies at, a second delivery leaves what one without a fault leaves.

The points come from the calls that a run without faults makes, so a new call is covered on its own. At each point
the function is killed before the call, killed after it (done at AWS, but the answer lost), and throttled.
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from jitr.errors import Retry
from jitr.lists import ListRow
from tests import pki
from tests.aws.test_register import DEVICE, FACTORY, FULL, OTHER, both, rules, same_name
from tests.aws.world import World, listening, moto_world, new_clients
from tests.knocks import allow, deny

SECOND = same_name()
POLICIES_ONLY = replace(FULL, thing=None, thing_type=None, attributes={}, thing_groups=())


class Killed(BaseException):
    """The function's process is gone: nothing in it can catch this."""


@dataclass
class Fault:
    """Strikes at the n-th call that the function makes, once."""

    at: int
    how: str  # before | after | throttled
    calls: int = 0
    struck: str | None = None
    _striking: bool = field(default=False, repr=False)

    def before(self, **context: Any) -> Any:
        """Called by botocore before each call."""
        self.calls += 1
        if self.calls != self.at:
            return None
        self.struck = context["model"].name
        if self.how == "before":
            raise Killed
        if self.how == "throttled":
            response = type("Response", (), {"status_code": 400, "headers": {}})()
            return response, {
                "Error": {"Code": "ThrottlingException", "Message": "slow down"},
                "ResponseMetadata": {"HTTPStatusCode": 400},
            }
        self._striking = True
        return None

    def after(self, **_context: Any) -> None:
        """Called by botocore after each call."""
        if self._striking:
            self._striking = False
            raise Killed


@dataclass(frozen=True)
class Scenario:
    """Something that happened before, and the delivery that faults strike."""

    name: str
    prepare: Callable[[World], None]
    deliver: Callable[[World], None] = lambda world: world.knock(DEVICE, FACTORY)
    expected: str = "ACTIVE"


def _nothing(_world: World) -> None:
    pass


def _rules(*each: Any) -> Callable[[World], None]:
    return lambda world: world.publish(rules(*each))


def _held_then_listed(world: World) -> None:
    world.publish(rules(allow(lists=("line-a",), grant=FULL)))
    world.knock(DEVICE, FACTORY)
    world.put_on("line-a", ListRow(common_name="snr-0001"))


def _second_knocks(renewal: str) -> Callable[[World], None]:
    def prepare(world: World) -> None:
        world.publish(both(renewal=renewal))
        world.knock(DEVICE, FACTORY)
        world.connect(SECOND)

    return prepare


def _knock_of_second(world: World) -> None:
    world.knock(SECOND, OTHER)


def _foreign_thing(world: World) -> None:
    world.publish(rules(allow(grant=replace(FULL, existing="adopt", thing_type=None))))
    world.iot.create_thing(thingName="snr-0001", attributePayload={"attributes": {"line": "b"}})


def _missing_policy(world: World) -> None:
    world.publish(rules(allow(grant=replace(FULL, iot_policies=("Sensor", "Gone")), max_devices=3)))


def _settled(world: World) -> None:
    world.knock(DEVICE, FACTORY)


def _settled_long_ago(world: World) -> None:
    world.knock(DEVICE, FACTORY)
    world.later(minutes=10)


def _rules_changed_to_reject(world: World) -> None:
    world.publish(rules(allow(lists=("line-a",))))
    world.knock(DEVICE, FACTORY)
    world.publish(rules(deny(ca="factory-a")))


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
    Scenario("hold for a claimed thing", _second_knocks("hold"), _knock_of_second),
    Scenario("renewal coexist", _second_knocks("coexist"), _knock_of_second),
    Scenario("renewal replace", _second_knocks("replace"), _knock_of_second, expected="INACTIVE"),
    Scenario("adopt an existing thing", _foreign_thing),
    Scenario("hold for a missing IoT policy", _missing_policy, expected="PENDING_ACTIVATION"),
    Scenario("a settled knock", _settled),
    Scenario("a later knock of a settled device", _settled_long_ago),
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_crash_at_any_call_changes_nothing_about_the_end(scenario: Scenario) -> None:
    end, calls = _run(scenario, None)
    assert end["status"] == scenario.expected
    for point in range(1, calls + 1):
        for how in ("before", "after", "throttled"):
            fault = Fault(point, how)
            after_fault, _ = _run(scenario, fault)
            assert after_fault == end, f"{how} {fault.struck} (call {point} of {calls})"


CLIENTS = new_clients()


def _run(scenario: Scenario, fault: Fault | None) -> tuple[Mapping[str, Any], int]:
    """The end of a scenario with a fault in its delivery, and how many calls the delivery without a fault makes."""
    with moto_world(CLIENTS) as world, ExitStack() as stack:
        world.register_ca(FACTORY)
        world.register_ca(OTHER)
        world.connect(DEVICE)
        world.publish(rules(allow(grant=FULL)))
        scenario.prepare(world)
        world.registrar = world.fresh_registrar()
        world.calls.made.clear()
        exposed: list[str] = []
        stack.enter_context(listening(world.iot, "before-call.iot.UpdateCertificate", _watch(world, exposed)))
        if fault is not None:
            for client in (world.iot, world.dynamodb):
                stack.enter_context(listening(client, "before-call", fault.before, first=True))
                stack.enter_context(listening(client, "after-call", fault.after))
        _deliver_until_done(world, scenario)
        calls = len(world.calls.made)
        assert exposed == [], "a certificate became ACTIVE without its IoT policies"
        return _snapshot(world), calls


def _deliver_until_done(world: World, scenario: Scenario) -> None:
    """As SQS does: again, to a fresh process, until it is done."""
    for _ in range(5):
        try:
            scenario.deliver(world)
        except (Killed, Retry):
            world.registrar = world.fresh_registrar()
            continue
        return
    raise AssertionError("five deliveries were not enough")


def _watch(world: World, exposed: list[str]) -> Callable[..., None]:
    """Looks, before every UpdateCertificate to ACTIVE, whether the certificate has an IoT policy by then."""

    def watch(**context: Any) -> None:
        request = context["params"]
        certificate_id = request["url_path"].rpartition("/")[2]
        if request["query_string"]["newStatus"] == "ACTIVE":
            found = world.iot.describe_certificate(certificateId=certificate_id)["certificateDescription"]
            if not world.iot.list_attached_policies(target=found["certificateArn"])["policies"]:
                exposed.append(certificate_id)

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
        "groups": [each["thingName"] for each in things if _groups(world, each["thingName"])],
        "records": {device.sha256: _record(world, device) for device in (DEVICE, SECOND)},
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
    return record.decision, record.state, record.rule, codes, record.grant, record.reservation, record.stays_pending


def _reservations(world: World) -> dict[str, Any]:
    items = world.dynamodb.scan(TableName="jitr", ConsistentRead=True)["Items"]
    kept = [each for each in items if each["sk"]["S"] in ("RESERVATION", "PLACES")]
    return {each["pk"]["S"]: {name: value for name, value in each.items() if name != "revision"} for each in kept}
