"""Edits while an admission is carried out: what it rests on is looked at again right before ACTIVE and right after."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from testkit import pki
from testkit.aws.admission import DEVICE, FACTORY, FULL, OTHER, rules
from testkit.aws.fakes import fake_world
from testkit.aws.world import PENDING, World
from testkit.knocks import allow, deny

from jitr.aws.dynamodb.table import Conflict
from jitr.aws.iot import Iot
from jitr.aws.pacing import Pace
from jitr.aws.quotas import Quotas
from jitr.devicelists.rows import ListRow
from jitr.errors import Retry
from jitr.reasons import Verdict
from jitr.records.record import APPLIED, APPLYING, Record
from jitr.rules.model import Rules
from jitr.services.lists.device_lists import DeviceLists
from jitr.services.registration.delivery import Message
from jitr.x509.certificate import read_certificate

RECALLED = ListRow(common_name="snr-0001")
DURING, AFTER_THE_LOOK, AFTER_ACTIVE = "AttachPolicy", "before UpdateCertificate", "after UpdateCertificate"


def with_recall(**named: Any) -> Rules:
    return rules(deny(lists=("recall",)), allow(grant=replace(FULL, **named)))


@pytest.fixture
def ready() -> Iterator[World]:
    """A device that would be admitted, and a deny list that does not name it."""
    with fake_world() as world:
        world.at_once = in_turn  # so that other hands act one after the other
        world.registrar = world.fresh_registrar()
        world.register_ca(FACTORY)
        world.connect(DEVICE)
        world.publish(with_recall())
        world.put_on("recall", ListRow(common_name="somebody else"))
        world.calls.made.clear()
        yield world


def in_turn(works: Iterable[Callable[[], None]]) -> None:
    for each in works:
        each()


def at(world: World, when: str, does: Callable[[], None], *, times: int = 1) -> None:
    """Have something done by another hand, at a call of the register function's."""
    event, _, operation = when.rpartition(" ")
    left = [times]

    def hook(**_context: Any) -> None:
        if left[0] > 0:
            left[0] -= 1
            does()

    name = "after-call" if event == "after" else "before-call"
    world.iot.meta.events.register_first(f"{name}.iot.{operation}", hook)


def recall(world: World) -> Callable[[], None]:
    return lambda: world.put_on("recall", RECALLED)


def message(world: World, identifier: str = "m1", deliveries: int = 1) -> Message:
    body = world.event(DEVICE.sha256, FACTORY.id)
    return replace(world.message(body, deliveries), id=identifier)


def deliver_until_done(world: World) -> None:
    again = message(world)
    for deliveries in range(1, 9):
        try:
            world.registrar.handle(replace(again, deliveries=deliveries))
        except Retry:
            continue
        return
    raise AssertionError("eight deliveries were not enough")


def on_record(world: World) -> Record:
    record = world.record(DEVICE)
    assert record is not None
    return record


def updates(world: World) -> int:
    return world.calls.of("iot").count("UpdateCertificate")


@pytest.mark.parametrize("when", [DURING, AFTER_THE_LOOK, AFTER_ACTIVE])
def test_a_device_that_is_recalled_while_it_is_admitted_does_not_stay_in(ready: World, when: str) -> None:
    at(ready, when, recall(ready))
    deliver_until_done(ready)
    record = on_record(ready)
    assert ready.status(DEVICE) == "INACTIVE"
    assert (record.decision, record.state, record.withdrawn) == (Verdict.REJECT, APPLIED, False)
    assert ready.codes(DEVICE) == ["deny.rule"]
    assert record.reservation is None  # its name is free again


def test_an_edit_before_the_last_look_keeps_the_certificate_from_ever_becoming_active(ready: World) -> None:
    at(ready, DURING, recall(ready))
    deliver_until_done(ready)
    assert updates(ready) == 1  # to INACTIVE


def test_an_admission_that_was_cut_off_after_active_is_looked_at_again_by_the_next_delivery(ready: World) -> None:
    def killed() -> None:
        recall(ready)()
        raise RuntimeError("the function was killed")

    at(ready, AFTER_ACTIVE, killed)
    with pytest.raises(RuntimeError):
        ready.registrar.handle(message(ready))
    assert (ready.status(DEVICE), on_record(ready).state) == ("ACTIVE", APPLYING)
    ready.registrar.handle(message(ready, deliveries=2))
    assert ready.status(DEVICE) == "INACTIVE"
    assert on_record(ready).decision is Verdict.REJECT


def test_a_recall_that_revokes_does_so_with_a_device_that_is_just_being_admitted(ready: World) -> None:
    ready.publish(rules(deny(lists=("recall",), revoke=True), allow(grant=FULL)))
    at(ready, AFTER_ACTIVE, recall(ready))
    deliver_until_done(ready)
    assert ready.status(DEVICE) == "REVOKED"


def test_what_is_looked_at_before_active_is_looked_at_when_its_turn_has_come(ready: World) -> None:
    now, waits = [0.0], list[float]()

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        now[0] += seconds
        recall(ready)()  # while it waits

    quotas = Quotas(certificates=0.5, policies=1000, things=1000, share=1.0)
    pace = Pace(quotas, lambda: now[0], sleep)
    ready.registrar = ready.fresh_registrar(iot=Iot(ready.iot, pace))
    pace.take("UpdateCertificate")  # somebody else's
    with pytest.raises(Retry, match="edited"):
        ready.registrar.handle(message(ready))
    assert waits
    assert ready.status(DEVICE) == PENDING


def test_an_edit_that_changes_nothing_for_a_device_does_not_hold_its_admission_up(ready: World) -> None:
    lots = iter(range(1000))

    def edit() -> None:
        number = next(lots)
        ready.put_on("recall", ListRow(common_name=f"other-{number}"))
        ready.publish(rules(deny(lists=("recall",)), allow(grant=FULL), deny("x", common_name=f"other-{number}")))

    for operation in ("DescribeCertificate", "CreateThing", "AttachPolicy", AFTER_THE_LOOK, AFTER_ACTIVE):
        at(ready, operation, edit, times=1000)
    ready.registrar.handle(message(ready))
    record = on_record(ready)
    assert record.unchanged(ready.table.heads())
    assert ready.calls.of("iot").count("DescribeCertificate") == 1
    assert updates(ready) == 1
    assert (ready.status(DEVICE), record.state, record.decision) == ("ACTIVE", APPLIED, Verdict.ADMIT)


def test_an_admission_that_nobody_disturbs_costs_two_table_reads_more_and_no_call(ready: World) -> None:
    ready.registrar.handle(message(ready))
    asked = ready.calls.of("iot")
    assert asked.count("DescribeCertificate") == updates(ready) == 1
    before, after = ready.calls.made.index("iot:UpdateCertificate"), ready.calls.made[-2:]
    assert ready.calls.made[before - 1] == "dynamodb:BatchGetItem"
    assert after == ["dynamodb:BatchGetItem", "dynamodb:TransactWriteItems"]


def test_an_edit_before_active_has_the_device_admitted_with_what_it_is_granted_by_then(ready: World) -> None:
    at(ready, "AddThingToThingGroup", lambda: ready.publish(with_recall(iot_policies=("Other",))))
    deliver_until_done(ready)
    assert ready.status(DEVICE) == "ACTIVE"
    assert ready.policies(DEVICE) == {"Other"}
    assert on_record(ready).unchanged(ready.table.heads())


def test_a_device_that_is_in_keeps_what_it_was_granted_where_its_grant_is_edited(ready: World) -> None:
    at(ready, AFTER_ACTIVE, lambda: ready.publish(with_recall(iot_policies=("Other",))))
    ready.registrar.handle(message(ready))
    record = on_record(ready)
    assert ready.status(DEVICE) == "ACTIVE"
    assert ready.policies(DEVICE) == {"Sensor", "Other"}
    assert (record.state, record.grant and record.grant["iot_policies"]) == (APPLIED, ["Sensor", "Other"])


def test_a_device_that_no_rule_allows_any_more_is_out_and_held_and_gets_in_again_once_one_does(ready: World) -> None:
    at(ready, AFTER_ACTIVE, lambda: ready.publish(rules(allow(lists=("line-a",), grant=FULL))))
    deliver_until_done(ready)
    record = on_record(ready)
    assert ready.status(DEVICE) == "INACTIVE"
    assert (record.decision, record.state, record.withdrawn) == (Verdict.HOLD, APPLIED, True)
    ready.put_on("line-a", RECALLED)
    ready.knock(DEVICE, FACTORY)  # the recheck function's message is one
    record = on_record(ready)
    assert ready.status(DEVICE) == "ACTIVE"
    assert (record.decision, record.state, record.withdrawn) == (Verdict.ADMIT, APPLIED, False)


def test_an_edit_while_an_admission_is_taken_back_is_not_lost(ready: World) -> None:
    def lets_nobody_in() -> None:
        ready.publish(rules(allow(lists=("line-a",), grant=FULL)))
        at(ready, "before UpdateCertificate", lambda: ready.put_on("line-a", RECALLED))

    at(ready, AFTER_ACTIVE, lets_nobody_in)
    deliver_until_done(ready)
    assert ready.status(DEVICE) == "ACTIVE"
    assert on_record(ready).decision is Verdict.ADMIT


def test_a_certificate_that_another_hand_made_active_is_not_taken_back(ready: World) -> None:
    at(ready, AFTER_ACTIVE, lambda: ready.publish(rules(allow(lists=("line-a",), grant=FULL))))
    deliver_until_done(ready)
    ready.iot.update_certificate(certificateId=DEVICE.sha256, newStatus="ACTIVE")
    ready.later(minutes=2)
    ready.put_on("line-a", RECALLED)
    ready.knock(DEVICE, FACTORY)
    assert ready.status(DEVICE) == "ACTIVE"


def test_what_was_taken_back_and_then_changed_by_other_hands_is_not_let_in_again_by_an_edit(ready: World) -> None:
    """It was found ACTIVE in between, when an edit would admit it: INACTIVE is then not the function's doing."""
    at(ready, AFTER_ACTIVE, lambda: ready.publish(rules(allow(lists=("line-a",), grant=FULL))))
    deliver_until_done(ready)
    assert on_record(ready).withdrawn
    ready.iot.update_certificate(certificateId=DEVICE.sha256, newStatus="ACTIVE")
    ready.later(minutes=5)
    ready.put_on("line-a", RECALLED)
    ready.registrar.handle(message(ready))
    assert not on_record(ready).withdrawn
    ready.iot.update_certificate(certificateId=DEVICE.sha256, newStatus="INACTIVE")
    ready.later(minutes=5)
    ready.put_on("line-a", ListRow(common_name="somebody else"))
    ready.registrar.handle(message(ready))
    assert ready.status(DEVICE) == "INACTIVE"


def test_a_denied_device_is_out_also_where_another_hand_wrote_its_record_meanwhile(ready: World) -> None:
    def overtaken() -> None:
        recall(ready)()
        ready.table.put_record(replace(on_record(ready), knocks=7))

    at(ready, AFTER_ACTIVE, overtaken)
    with pytest.raises(Conflict):
        ready.registrar.handle(message(ready))
    assert ready.status(DEVICE) == "INACTIVE"


# --- what a withdrawn device leaves to the next one


def attached(world: World) -> tuple[list[str], list[str]]:
    """The IoT policies and the things of DEVICE."""
    arn = world.iot.describe_certificate(certificateId=DEVICE.sha256)["certificateDescription"]["certificateArn"]
    policies = world.iot.list_attached_policies(target=arn)["policies"]
    return [each["policyName"] for each in policies], world.iot.list_principal_things(principal=arn)["things"]


def recalled_key(world: World) -> Callable[[], None]:
    """A recall of DEVICE alone, not of its name."""
    key = read_certificate(DEVICE.der).facts.public_key_sha256
    return lambda: world.put_on("recall", ListRow(public_key_sha256=key))


def of_another_ca(world: World) -> pki.Issued:
    """A device of another CA that is given the same name, by a rule of its own."""
    world.register_ca(OTHER)
    allows = allow(grant=FULL), allow("line-b", ca="factory-b", grant=FULL)
    world.publish(rules(deny(lists=("recall",)), *allows))
    heir = OTHER.usual_device("snr-0001").key("P-256", "heir").issue()
    world.connect(heir)
    return heir


def test_the_thing_of_a_withdrawn_device_stays_with_its_ca(ready: World) -> None:
    """It was ACTIVE for a moment: that is as good as an admission that was settled."""
    heir = of_another_ca(ready)
    at(ready, AFTER_ACTIVE, recalled_key(ready))
    deliver_until_done(ready)
    ready.knock(heir, OTHER)
    assert (ready.status(heir), ready.codes(heir)) == (PENDING, ["grant.thing-claimed"])


@pytest.mark.parametrize("revoke", [False, True])
def test_a_withdrawn_device_keeps_neither_its_thing_nor_its_policies(ready: World, revoke: bool) -> None:
    """Made ACTIVE by hand later, it has nothing of the one that has the thing by then."""
    ready.publish(rules(deny(lists=("recall",), revoke=revoke), allow(grant=FULL)))
    at(ready, AFTER_ACTIVE, recall(ready))
    deliver_until_done(ready)
    assert attached(ready) == ([], [])
    assert on_record(ready).attached == {}


@pytest.mark.parametrize("revoke", [False, True])
@pytest.mark.parametrize("operation", ["UpdateCertificate", "DetachPolicy", "DetachThingPrincipal"])
@pytest.mark.parametrize("phase", ["before", "after"])
def test_a_withdrawal_that_is_cut_off_detaches_everything_in_the_next_delivery(
    ready: World, phase: str, operation: str, revoke: bool
) -> None:
    def killed() -> None:
        raise RuntimeError("the function was killed")

    def recalled() -> None:
        recall(ready)()
        at(ready, f"{phase} {operation}", killed)

    ready.publish(rules(deny(lists=("recall",), revoke=revoke), allow(grant=FULL)))
    ready.iot.meta.events.register_last("after-call.iot.UpdateCertificate", once(recalled))
    with pytest.raises(RuntimeError):
        ready.registrar.handle(message(ready))
    ready.registrar.handle(message(ready, deliveries=2))
    assert ready.status(DEVICE) in ("INACTIVE", "REVOKED")
    assert attached(ready) == ([], [])


def once(does: Callable[[], None]) -> Callable[..., None]:
    """A hook that does something the first time only."""
    left = [does]

    def hook(**_context: Any) -> None:
        while left:
            left.pop()()

    return hook


def test_a_withdrawn_device_that_is_let_in_again_has_its_thing_and_policies(ready: World) -> None:
    ready.publish(rules(allow(grant=FULL, lists=("line",))))
    ready.put_on("line", RECALLED)
    lists, (key, *_) = DeviceLists(ready.table), RECALLED.found_by()

    def taken_off() -> None:
        lists.remove("line", key, at="2026-03-01T00:00:00Z")

    at(ready, AFTER_ACTIVE, taken_off)
    deliver_until_done(ready)
    assert (ready.status(DEVICE), attached(ready)) == ("INACTIVE", ([], []))
    ready.put_on("line", RECALLED)
    ready.knock(DEVICE, FACTORY)
    assert (ready.status(DEVICE), attached(ready)) == ("ACTIVE", (list(FULL.iot_policies), ["snr-0001"]))
