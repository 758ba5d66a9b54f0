"""What SECURITY.md promises and only a whole stack shows: real devices, with IAM and IoT policies enforced."""

import json
import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
from testkit.stack.connections import connected
from testkit.stack.plant import Plant, PlantDevice, until

from jitr.reasons import Verdict
from jitr_local.device import CONNECT_TIMEOUT
from jitr_local.stack import LocalStack

pytestmark = pytest.mark.stack


# --- The sample IoT policy


def may_connect(made: PlantDevice, client_id: str) -> bool:
    with connected(made, client_id) as session:
        return session is not None


def may_publish(made: PlantDevice, topic: str) -> bool:
    with connected(made, made.device.name) as session:
        assert session is not None
        session.client.publish(topic, b"{}", qos=1)
        return session.wait_for(session.published, CONNECT_TIMEOUT)


def may_subscribe(made: PlantDevice, topic_filter: str) -> bool:
    answered, reasons = threading.Event(), list[Any]()
    with connected(made, made.device.name) as session:
        assert session is not None

        def on_subscribe(_client: Any, _userdata: Any, _mid: Any, told: list[Any], _properties: Any) -> None:
            reasons.extend(told)
            answered.set()

        session.client.on_subscribe = on_subscribe
        session.client.subscribe(topic_filter, qos=1)
        return session.wait_for(answered, CONNECT_TIMEOUT) and not any(each.is_failure for each in reasons)


def test_a_second_device_reaches_no_topic_shadow_or_client_id_of_the_first(plant: Plant) -> None:
    """The first one's name begins with all of the second one's, which a careless wildcard would take for its own."""
    factory = plant.factory("next-door")
    plant.publish(plant.rules(factory))
    second, first = (plant.knocks(plant.device(factory, f"next-door-{number}")) for number in ("1", "10"))
    theirs, own = first.device.name, second.device.name

    assert may_connect(second, own)
    assert may_publish(second, f"devices/{own}/hello")
    assert may_subscribe(second, f"devices/{own}/#")

    client_ids = [theirs, f"{own}0", f"{own}/", "anybody"]
    shadows = [f"$aws/things/{theirs}/shadow{name}" for name in ("", "/name/settings")]
    topics = [
        *(f"devices/{theirs}{rest}" for rest in ("/hello", "/", "")),
        *(f"{shadow}/{verb}" for shadow in shadows for verb in ("get", "update", "delete")),
        f"$aws/things/{theirs}/jobs/get",
        "devices",
        "elsewhere",
    ]
    filters = [
        *topics,
        *(f"devices/{rest}" for rest in (f"{theirs}/#", "#", "+/hello", "+/#")),
        *(f"{shadow}/#" for shadow in shadows),
        "$aws/things/+/shadow/update/accepted",
        "$aws/events/#",
        "+/+/+",
        "#",
    ]
    assert [each for each in client_ids if may_connect(second, each)] == []
    assert [each for each in topics if may_publish(second, each)] == []
    assert [each for each in filters if may_subscribe(second, each)] == []


# --- Names


def test_of_devices_that_race_for_one_thing_name_exactly_one_gets_in(plant: Plant) -> None:
    """Four keys from two CAs for each of three names, all knocking at once."""
    factories = [plant.factory(f"racing-{letter}") for letter in "ab"]
    rules = plant.rules(*factories).read_text()
    for each in factories:
        rules = rules.replace(f'common_name: "{each.name}-*"', 'common_name: "racer-*"')
    file = plant.folder / "racing.yaml"
    file.write_text(rules)
    plant.publish(file)
    names = [f"racer-{number}" for number in range(3)]
    racers: dict[str, list[PlantDevice]] = {name: [] for name in names}
    for name in names:
        for number, factory in enumerate(factories * 2):
            folder = plant.folder / f"racer-{number}"
            folder.mkdir(exist_ok=True)
            plant.jitr("device", "issue", name, "--ca", factory.ca, "--out-dir", folder)
            racers[name].append(plant.made(name, folder / f"{name}.pem", folder / f"{name}.key"))
    everybody = [made for each in racers.values() for made in each]
    with ExitStack() as knocking:
        for made in everybody:
            knocking.enter_context(made.knocking())
        until(lambda: all(map(_settled(plant), everybody)), "every racer is decided")
    for name, rivals in racers.items():
        statuses = [plant.status(each) for each in rivals]
        assert sorted(map(str, statuses)) == ["ACTIVE", *["PENDING_ACTIVATION"] * 3], name
        winner = rivals[statuses.index("ACTIVE")]
        principals = plant.iot.list_thing_principals(thingName=name)["principals"]
        assert [each.rpartition("/")[2] for each in principals] == [winner.certificate_id]
        records = [plant.record(each) for each in rivals if each is not winner]
        reasons = {reason["code"] for each in records if each is not None for reason in each.to_json()["reasons"]}
        assert reasons == {"grant.thing-claimed"}


def _settled(plant: Plant) -> Callable[[PlantDevice], bool]:
    def settled(made: PlantDevice) -> bool:
        record = plant.record(made)
        if record is None or record.state != "applied":
            return False
        return record.decision is not Verdict.ADMIT or plant.status(made) == "ACTIVE"

    return settled


# --- Services that are let in


def test_each_service_that_may_invoke_a_function_may_for_this_account_only(local_stack: LocalStack) -> None:
    """SAM writes these permissions. Without ARN or account of the source the service would be anybody's deputy."""
    functions = [value for name, value in local_stack.outputs.items() if name.endswith("FunctionName")]
    client, statements = local_stack.session().client("lambda"), list[dict[str, Any]]()
    for function in functions:
        try:
            policy = client.get_policy(FunctionName=function)["Policy"]
        except client.exceptions.ResourceNotFoundException:
            continue  # its events are fetched, or come by a role
        statements += json.loads(policy)["Statement"]
    assert statements
    for statement in statements:
        said = {key.lower() for condition in statement.get("Condition", {}).values() for key in condition}
        assert said & {"aws:sourcearn", "aws:sourceaccount"}, statement
