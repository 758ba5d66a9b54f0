"""Held devices are decided again after an edit, when they are due, and on an operator's word; and only then."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from testkit import lists as list_edits
from testkit.aws.admission import DEVICE, FACTORY, FULL, OTHER, rules
from testkit.aws.held import (
    clones,
    deliver,
    due_at,
    hints_in,
    plenty,
    queued,
    recheck_of,
    seed,
    stream_of,
    stream_record,
)
from testkit.aws.world import PENDING, World, moto_world, new_clients
from testkit.knocks import allow, deny
from testkit.odd_certificates import compressed

from jitr.aws.dynamodb.changes import MOST_KEYS, change_item, everyone_wanted
from jitr.aws.dynamodb.passes import LEASE, Passes, PassKind
from jitr.aws.dynamodb.table import BATCH_GET, to_item
from jitr.devicelists.rows import ListRow, RowKey
from jitr.errors import Retry
from jitr.reasons import Verdict
from jitr.records.held import MOST_NAMES
from jitr.records.record import Record
from jitr.rules.conditions import Window
from jitr.services.lists.device_lists import DeviceLists
from jitr.services.recheck import recheck
from jitr.times import rfc3339
from jitr.x509.certificate import read_certificate

LISTED = rules(allow(lists=("line-a",), grant=FULL))
FACTS = read_certificate(DEVICE.pem).facts
NAME = ListRow(common_name="snr-0001")
CLIENTS = new_clients()


@pytest.fixture
def held() -> Iterator[World]:
    """One device is held because it is not on list line-a; all changes up to now were seen."""
    with moto_world(CLIENTS) as world:
        world.register_ca(FACTORY)
        world.register_ca(OTHER)
        world.connect(DEVICE)
        world.publish(LISTED)
        world.knock(DEVICE, FACTORY)
        world.later(minutes=5)
        world.calls.made.clear()
        yield world


def _record(world: World) -> Record:
    record = world.record(DEVICE)
    assert record is not None
    return record


def _after_last(world: World, *, most_waiting: int = 500) -> None:
    """The stream brings the changes of this moment."""
    recheck_of(world, most_waiting).handle(_latest(world), plenty)


def _latest(world: World) -> dict[str, Any]:
    records = stream_of(world)["Records"]
    return {"Records": [each for each in records if each["dynamodb"]["NewImage"]["at"]["S"] == rfc3339(world.now)]}


def _after(world: World, *, most_waiting: int = 500) -> int:
    """The stream brings the changes of this moment; the result is how many devices are decided again for them."""
    _after_last(world, most_waiting=most_waiting)
    return len(queued(world))


def _tick(world: World, *, most_waiting: int = 500) -> int:
    recheck_of(world, most_waiting).handle({"recheck": "due"}, plenty)
    return len(queued(world))


# --- edits of rows


@pytest.mark.parametrize(
    "row",
    [
        NAME,
        ListRow(certificate_sha256=DEVICE.sha256),
        ListRow(public_key_sha256=FACTS.public_key_sha256),
        ListRow(ca="factory-a", serial_number=FACTS.serial_number),
        ListRow(ca=FACTORY.id, serial_number=FACTS.serial_number),
    ],
    ids=["common name", "certificate", "public key", "serial number by alias", "serial number by id"],
)
def test_a_row_finds_the_held_device_by_each_kind_of_key(held: World, row: ListRow) -> None:
    held.put_on("line-a", row)
    _after_last(held)
    assert deliver(held) == 1
    assert held.status(DEVICE) == "ACTIVE"


def test_a_row_finds_the_held_device_by_the_other_form_of_its_certificate(held: World) -> None:
    facts = _record(held).facts
    assert facts is not None
    held.put_on("line-a", ListRow(certificate_sha256=facts["chain"]["twin_sha256"]))
    assert _after(held) == 1


@pytest.mark.parametrize("form", ["public_key_sha256", "written_key_sha256"])
def test_a_row_finds_the_held_device_by_either_digest_of_its_key(held: World, form: str) -> None:
    device = compressed(FACTORY.usual_device("snr-0009").key("P-256", "another")).issue()
    held.connect(device)
    held.knock(device, FACTORY)
    record = held.record(device)
    assert record is not None
    assert record.facts is not None
    held.put_on("line-a", ListRow(public_key_sha256=record.facts[form]))
    _after_last(held)
    deliver(held)
    assert held.status(device) == "ACTIVE"


def test_another_devices_row_has_nobody_decided_again(held: World) -> None:
    held.put_on("line-a", ListRow(common_name="snr-0002"))
    assert _after(held) == 0


def test_a_row_on_a_list_that_no_rule_looks_at_has_nobody_decided_again(held: World) -> None:
    held.put_on("somebody-elses", NAME)
    assert _after(held) == 0


def test_a_row_that_changes_no_verdict_has_nobody_decided_again(held: World) -> None:
    held.put_on("line-a", ListRow(common_name="snr-0001", public_key_sha256="ab" * 32))  # another key's place
    assert _after(held) == 0


def test_a_row_of_a_deny_list_rejects_a_held_device(held: World) -> None:
    held.publish(rules(allow(lists=("line-a",), grant=FULL), deny(lists=("recall",))))
    held.put_on("recall", NAME)
    recheck_of(held).handle(stream_of(held), plenty)
    deliver(held)
    assert held.status(DEVICE) == "INACTIVE"


def test_a_removed_row_that_stood_in_the_way_has_the_device_decided_again(held: World) -> None:
    row = ListRow(common_name="snr-0001", public_key_sha256="ab" * 32)
    held.put_on("line-a", row, ListRow(certificate_sha256=DEVICE.sha256, expires=held.now))
    DeviceLists(held.table).remove("line-a", RowKey("common_name", "snr-0001"), at=rfc3339(held.now))
    held.put_on("line-a", NAME)
    recheck_of(held).handle(stream_of(held), plenty)
    assert deliver(held) >= 1
    assert held.status(DEVICE) == "ACTIVE"


def test_the_same_change_brought_twice_does_no_harm(held: World) -> None:
    held.put_on("line-a", NAME)
    for _ in range(2):
        _after_last(held)
    assert deliver(held) == 2
    assert held.status(DEVICE) == "ACTIVE"


def test_an_admitted_device_is_not_looked_at(held: World) -> None:
    held.put_on("line-a", NAME)
    recheck_of(held).handle(stream_of(held), plenty)
    deliver(held)
    held.put_on("line-a", replace(NAME, note="again"))
    assert _after(held) == 0
    assert hints_in(held) == set()


def test_an_edit_asks_nothing_of_aws_iot_and_writes_no_record(held: World) -> None:
    held.put_on("line-a", NAME)
    before = _record(held)
    held.calls.made.clear()
    recheck_of(held).handle(stream_of(held), plenty)
    assert held.calls.of("iot") == []
    assert _record(held) == before


@pytest.mark.parametrize("fleet", [10, 250])
def test_what_an_edit_of_one_row_costs_does_not_depend_on_how_many_devices_are_held(held: World, fleet: int) -> None:
    seed(held, clones(_record(held), (f"other-{each}" for each in range(fleet))))
    held.put_on("line-a", NAME)
    changes = _latest(held)
    held.calls.made.clear()
    recheck_of(held).handle(changes, plenty)
    made = held.calls.of("dynamodb")
    assert held.calls.of("sqs") == ["SendMessageBatch"]
    assert len(made) <= 10, made


def test_a_name_that_very_many_held_devices_share_is_left_to_a_pass(
    held: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recheck, "MOST_AT_ONCE", BATCH_GET)
    seed(held, clones(_record(held), ["snr-0001"] * (2 * BATCH_GET)))
    held.put_on("line-a", NAME)
    asked = _after(held, most_waiting=1)  # no room for a pass
    assert asked == BATCH_GET
    assert Passes(held.table).take(PassKind.CHANGED, held.now) is not None


# --- rules and whole lists


def test_rules_that_admit_a_held_device_let_it_in(held: World) -> None:
    held.publish(rules(allow(grant=FULL)))
    recheck_of(held).handle(stream_of(held), plenty)
    assert deliver(held) == 1
    assert held.status(DEVICE) == "ACTIVE"


def test_rules_that_still_hold_a_device_have_nobody_decided_again(held: World) -> None:
    held.publish(rules(allow(lists=("line-b",), grant=FULL)))
    assert _after(held) == 0


def test_rules_under_which_a_device_is_due_sooner_have_it_decided_again(held: World) -> None:
    first = held.now.date().replace(day=2)
    opens = Window(first, first.replace(day=28))
    held.publish(rules(allow(window=opens, grant=FULL)))
    recheck_of(held).handle(stream_of(held), plenty)
    assert deliver(held) == 1
    assert held.status(DEVICE) == PENDING
    held.later(hours=14)
    assert held.now.date() == first
    recheck_of(held).handle({"recheck": "due"}, plenty)
    assert deliver(held) == 1
    assert held.status(DEVICE) == "ACTIVE"


def test_a_replaced_list_lets_in_who_is_on_it_now(held: World) -> None:
    rows = [NAME, *(ListRow(common_name=f"x-{each}") for each in range(MOST_KEYS))]
    list_edits.replace(held.table, "line-a", *rows, at=rfc3339(held.now))
    recheck_of(held).handle(stream_of(held), plenty)
    deliver(held)
    assert held.status(DEVICE) == "ACTIVE"


def test_only_those_whose_decision_would_be_another_are_decided_again(held: World) -> None:
    seed(held, clones(_record(held), (f"other-{each}" for each in range(150))))
    held.put_on("line-a", *(ListRow(common_name=f"other-{each}") for each in range(MOST_KEYS + 20)))
    assert _after(held) == MOST_KEYS + 20


def test_a_change_that_cannot_be_read_is_taken_for_any(held: World) -> None:
    held.put_on("line-a", NAME)
    strange = to_item({"pk": "CHANGES", "sk": "x", "format": 2, "kind": "rows", "at": "soon"})
    recheck_of(held).handle({"Records": [stream_record(strange)]}, plenty)
    assert len(queued(held)) == 1


def test_what_else_is_in_the_stream_is_passed_over(held: World) -> None:
    held.put_on("line-a", NAME)
    other = to_item({"pk": "HEADS", "sk": "HEADS"})
    gone = stream_record(to_item({"pk": "CHANGES", "sk": "x"})) | {"eventName": "REMOVE"}
    recheck_of(held).handle({"Records": [stream_record(other), gone]}, plenty)
    assert queued(held) == []


def test_a_record_that_cannot_be_read_keeps_nobody_else_waiting(held: World) -> None:
    (broken,) = clones(_record(held), ["other"])
    seed(held, [broken])
    held.table.update(
        {"pk": f"CERTIFICATE#{broken.certificate_id}", "sk": "DECISION"},
        "SET #f = :f",
        {":f": 7},
        {"#f": "format"},
        None,
    )
    held.publish(rules(allow(common_name="snr-*", grant=FULL)))
    recheck_of(held).handle(stream_of(held), plenty)
    asked = {json.loads(each)["certificateId"] for each in queued(held)}
    assert asked == {DEVICE.sha256, broken.certificate_id}  # the queue is where failures are looked after


# --- passes: one at a time, from a checkpoint, for any number of changes


FLEET = 80


def _fleet(world: World, size: int = FLEET) -> None:
    """Held devices that all are on the list that was put in place of the one they were held for."""
    seed(world, clones(_record(world), (f"other-{each}" for each in range(size))), hints=False)
    rows = [NAME, *(ListRow(common_name=f"other-{each}") for each in range(size))]
    list_edits.replace(world.table, "line-a", *rows, at=rfc3339(world.now))


class Clock:
    """The milliseconds left: enough for so many looks at it."""

    def __init__(self, looks: int) -> None:
        self.looks = looks

    def __call__(self) -> int:
        self.looks -= 1
        return 60_000 if self.looks >= 0 else 0


def test_a_pass_that_outlasts_its_invocation_goes_on_where_it_was(held: World) -> None:
    _fleet(held)
    asked: list[str] = []
    recheck_of(held).handle(stream_of(held), Clock(3))
    for _ in range(20):
        asked += queued(held)
        held.later(minutes=1)
        recheck_of(held).handle({"recheck": "due"}, Clock(3))
    names = [json.loads(each)["certificateId"] for each in asked]
    assert len(names) == len(set(names)) == FLEET + 1


def test_a_change_while_a_pass_runs_calls_for_another_one(held: World) -> None:
    _fleet(held)
    recheck_of(held).handle(stream_of(held), Clock(3))
    early = {json.loads(each)["certificateId"] for each in queued(held)}
    assert 0 < len(early) < FLEET + 1
    held.later(minutes=1)
    recheck_of(held).handle(stream_of(held), lambda: 0)  # the same changes: another pass is wanted
    held.later(minutes=1)
    again = 0
    for _ in range(4):
        again += _tick(held)
        held.later(minutes=1)
    assert again == (FLEET + 1 - len(early)) + FLEET + 1


def test_any_number_of_changes_before_a_pass_call_for_one(held: World) -> None:
    _fleet(held, 50)
    for _ in range(5):
        held.publish(LISTED)
    assert _after(held) == 51
    assert _tick(held) == 0


def test_two_invocations_do_not_run_two_passes(held: World) -> None:
    _fleet(held, 20)
    passes = Passes(held.table)
    passes.want(PassKind.CHANGED)
    mine = passes.take(PassKind.CHANGED, held.now)
    assert mine is not None
    assert _tick(held) == 0
    assert passes.take(PassKind.CHANGED, held.now) is None


def test_a_pass_whose_invocation_died_is_taken_on_after_its_lease(held: World) -> None:
    _fleet(held, 20)
    passes = Passes(held.table)
    passes.want(PassKind.CHANGED)
    dead = passes.take(PassKind.CHANGED, held.now)
    assert dead is not None
    held.now += LEASE
    assert _tick(held) == 21
    assert passes.move(dead, dead.place, held.now) is None  # had it only been slow, it would learn of it now
    passes.finish(dead)
    passes.let_go(dead)
    assert _tick(held) == 0


def test_a_pass_stops_while_the_queue_is_full_and_goes_on_when_there_is_room(held: World) -> None:
    _fleet(held, 100)
    recheck_of(held, most_waiting=20).handle(stream_of(held), plenty)
    url = held.queue_url
    first = int(
        held.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]["ApproximateNumberOfMessages"]
    )
    assert 0 < first < 101
    held.later(minutes=1)
    recheck_of(held, most_waiting=20).handle({"recheck": "due"}, plenty)
    assert len(queued(held)) == first  # nothing was added to a queue that is full
    asked = first
    for _ in range(20):
        held.later(minutes=1)
        asked += _tick(held, most_waiting=20)
    assert asked == 101


# --- due


def test_a_device_is_decided_again_when_it_is_due_and_not_before(held: World) -> None:
    assert _tick(held) == 0
    held.later(hours=24)
    assert _tick(held) == 1


def test_a_due_device_is_asked_for_once_until_it_is_decided(held: World) -> None:
    held.later(hours=24)
    assert _tick(held) == 1
    held.later(minutes=1)
    assert _tick(held) == 0


def test_a_due_device_whose_message_was_lost_is_asked_for_again(held: World) -> None:
    held.later(hours=24)
    assert _tick(held) == 1
    held.later(minutes=31)
    assert _tick(held) == 1


def test_a_due_device_that_was_decided_again_is_due_again_a_day_later(held: World) -> None:
    held.later(hours=24)
    recheck_of(held).handle({"recheck": "due"}, plenty)
    assert deliver(held) == 1
    assert due_at(held, DEVICE) == rfc3339(held.now.replace(day=held.now.day + 1))
    held.later(minutes=31)
    assert _tick(held) == 0


def test_an_admitted_device_is_never_due(held: World) -> None:
    held.put_on("line-a", NAME)
    held.knock(DEVICE, FACTORY)
    assert due_at(held, DEVICE) is None
    held.later(days=3)
    assert _tick(held) == 0


def test_a_device_held_for_an_inactive_ca_gets_in_after_it_is_active_again(held: World) -> None:
    held.publish(rules(allow(grant=FULL)))
    held.iot.update_ca_certificate(certificateId=FACTORY.id, newStatus="INACTIVE")
    held.knock(DEVICE, FACTORY)
    assert held.codes(DEVICE) == ["chain.ca-inactive"]
    held.iot.update_ca_certificate(certificateId=FACTORY.id, newStatus="ACTIVE")
    held.later(hours=1)
    recheck_of(held).handle({"recheck": "due"}, plenty)
    deliver(held)
    assert held.status(DEVICE) == "ACTIVE"


def test_no_more_due_devices_are_asked_for_than_the_queue_has_room_for(held: World) -> None:
    record = _record(held)
    seed(held, clones(record, (f"other-{each}" for each in range(150))), hints=False)
    held.later(hours=24)
    recheck_of(held, most_waiting=60).handle({"recheck": "due"}, plenty)
    asked = len(queued(held))
    assert 60 <= asked <= 60 + BATCH_GET
    for _ in range(20):
        asked += _tick(held, most_waiting=60)
    assert asked == 151


# --- an operator's word


def test_all_held_devices_are_decided_again_on_an_operators_word(held: World) -> None:
    seed(held, clones(_record(held), (f"other-{each}" for each in range(30))))
    held.table.put(change_item(everyone_wanted(rfc3339(held.now))))
    assert _after(held) == 31
    held.later(minutes=1)
    assert _tick(held) == 0


def test_the_functions_own_message_does_the_same(held: World) -> None:
    recheck_of(held).handle({"recheck": "every"}, plenty)
    assert len(queued(held)) == 1


def test_a_device_that_is_decided_again_on_a_word_is_decided_whatever_did_not_change(held: World) -> None:
    recheck_of(held).handle({"recheck": "every"}, plenty)
    before = _record(held).decided_at
    deliver(held)
    assert _record(held).decided_at > before
    assert _record(held).decision is Verdict.HOLD


@pytest.mark.parametrize("event", [{}, {"recheck": "nobody"}, {"source": "aws.events"}], ids=str)
def test_an_event_that_asks_for_nothing_known_is_an_error(held: World, event: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="recheck"):
        recheck_of(held).handle(event, plenty)


def test_without_rules_nobody_is_decided_again() -> None:
    with moto_world(CLIENTS) as world:
        world.put_on("line-a", NAME)
        recheck_of(world).handle(stream_of(world), plenty)
        assert queued(world) == []


def test_messages_that_the_queue_did_not_take_are_sent_again(held: World, monkeypatch: pytest.MonkeyPatch) -> None:
    held.put_on("line-a", NAME)
    send = held.sqs.send_message_batch
    failures = [{"Failed": [{"Id": "0", "SenderFault": False, "Code": "InternalError"}]}] * 2

    def flaky(**arguments: Any) -> Any:
        return failures.pop() if failures else send(**arguments)

    monkeypatch.setattr(held.sqs, "send_message_batch", flaky)
    assert _after(held) == 1
    failures += [{"Failed": [{"Id": "0", "SenderFault": False, "Code": "InternalError"}]}] * 3
    with pytest.raises(Retry):
        _after(held)


# --- the hints by which held devices are found


def test_a_hold_costs_its_hints_once(held: World) -> None:
    there = hints_in(held)
    assert len(there) == 4  # public key, the other form of the certificate, serial number, name
    held.publish(rules(allow(lists=("line-b",), grant=FULL)))
    held.calls.made.clear()
    held.knock(DEVICE, FACTORY)
    assert [each for each in held.calls.of("dynamodb") if each not in ("BatchGetItem", "Query")] == ["PutItem"]
    assert hints_in(held) == there


def test_a_rejected_device_leaves_no_hints(held: World) -> None:
    held.publish(rules(deny(ca="factory-a")))
    held.knock(DEVICE, FACTORY)
    assert held.status(DEVICE) == "INACTIVE"
    assert hints_in(held) == set()


def test_a_certificate_with_very_many_names_costs_no_more_than_some_hints(held: World) -> None:
    many = FACTORY.usual_device().subject(*(("CN", f"n-{each}") for each in range(40))).issue()
    held.connect(many)
    held.knock(many, FACTORY)
    assert len([each for _, each in hints_in(held) if each == many.sha256]) == 3 + MOST_NAMES
