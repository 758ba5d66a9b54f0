"""An operator's word in place of a rule's matching, and rejected devices that are reopened."""

from dataclasses import replace

from testkit.aws.admission import DEVICE, FACTORY, FULL, rules
from testkit.aws.world import PENDING, World
from testkit.knocks import allow, deny

from jitr.decision.decide import OperatorWord
from jitr.reasons import Verdict
from jitr.records.record import APPLIED
from jitr.times import rfc3339

ADMIT = OperatorWord(Verdict.ADMIT, "Ada", "2026-03-01T12:00:00Z", "line-a", "label misprinted")
REJECT = OperatorWord(Verdict.REJECT, "Ada", "2026-03-01T12:00:00Z", message="stolen")


def say(world: World, word: OperatorWord) -> None:
    """What `jitr held admit` and `reject` write, and the event that they send."""
    record = world.record(DEVICE)
    assert record is not None
    world.table.put_record(replace(record, word=word.to_json(), due=world.now))
    world.knock(DEVICE, FACTORY)


def reopen(world: World) -> None:
    """What `jitr decisions reopen` writes, and the event that it sends."""
    record = world.record(DEVICE)
    assert record is not None
    world.table.put_record(replace(record, reopened={"by": "Ada", "at": rfc3339(world.now)}, word=None))
    world.knock(DEVICE, FACTORY)


def held(world: World, *more: object) -> World:
    """DEVICE is on hold: rule line-a wants it on a list."""
    world.register_ca(FACTORY)
    world.connect(DEVICE)
    world.publish(rules(allow(common_name="other-*", grant=FULL), *more))
    world.knock(DEVICE, FACTORY)
    assert world.status(DEVICE) == PENDING
    return world


def test_a_word_admits_under_the_grant_of_the_rule_it_names_and_is_recorded(world: World) -> None:
    say(held(world), ADMIT)
    record = world.record(DEVICE)
    assert record is not None
    assert (world.status(DEVICE), record.rule, world.codes(DEVICE)) == ("ACTIVE", "line-a", ["allow.operator"])
    assert world.policies(DEVICE) == {"Sensor", "Other"}
    assert "Ada" in record.reasons[0]["message"]
    assert "label misprinted" in record.reasons[0]["message"]


def test_denials_still_hold_against_a_word(world: World) -> None:
    held(world)
    world.publish(rules(allow(common_name="other-*", grant=FULL), deny(ca="factory-a")))
    say(world, ADMIT)
    assert (world.status(DEVICE), world.codes(DEVICE)) == ("INACTIVE", ["deny.rule"])


def test_certificate_checks_still_hold_against_a_word(world: World) -> None:
    held(world)
    world.later(days=4000)
    say(world, ADMIT)
    assert world.codes(DEVICE)[0] == "certificate.expired"
    assert world.status(DEVICE) == "INACTIVE"


def test_guards_still_hold_against_a_word(world: World) -> None:
    held(world)
    world.iot.create_thing(thingName="snr-0001")
    say(world, ADMIT)
    assert (world.status(DEVICE), world.codes(DEVICE)) == (PENDING, ["grant.thing-exists"])


def test_a_word_for_a_rule_that_is_gone_admits_nobody(world: World) -> None:
    held(world)
    world.publish(rules(allow("another", common_name="other-*", grant=FULL)))
    say(world, ADMIT)
    assert (world.status(DEVICE), world.codes(DEVICE)) == (PENDING, ["allow.unmatched"])


def test_a_word_rejects(world: World) -> None:
    say(held(world), REJECT)
    assert (world.status(DEVICE), world.codes(DEVICE)) == ("INACTIVE", ["deny.operator", "allow.unmatched"])


def test_a_rejected_device_that_is_reopened_is_decided_again_and_admitted(world: World) -> None:
    held(world)
    world.publish(rules(deny(ca="factory-a")))
    world.knock(DEVICE, FACTORY)
    assert world.status(DEVICE) == "INACTIVE"
    world.publish(rules(allow(grant=FULL)))
    reopen(world)
    record = world.record(DEVICE)
    assert record is not None
    assert (world.status(DEVICE), record.state, record.reopened) == ("ACTIVE", APPLIED, None)


def test_a_reopened_device_that_no_rule_matches_yet_is_held_and_can_get_in_later(world: World) -> None:
    held(world)
    world.publish(rules(deny(ca="factory-a")))
    world.knock(DEVICE, FACTORY)
    world.publish(rules(allow(common_name="other-*", grant=FULL)))
    reopen(world)
    record = world.record(DEVICE)
    assert record is not None
    assert (record.decision, world.status(DEVICE)) == (Verdict.HOLD, "INACTIVE")
    world.publish(rules(allow(grant=FULL)))
    world.knock(DEVICE, FACTORY)
    assert world.status(DEVICE) == "ACTIVE"


def test_without_being_reopened_an_inactive_certificate_stays_as_it_is(world: World) -> None:
    held(world)
    world.publish(rules(deny(ca="factory-a")))
    world.knock(DEVICE, FACTORY)
    world.publish(rules(allow(grant=FULL)))
    world.later(hours=1)
    world.knock(DEVICE, FACTORY)
    assert world.status(DEVICE) == "INACTIVE"


def test_a_revoked_certificate_stays_revoked_even_if_it_is_reopened(world: World) -> None:
    held(world)
    world.publish(rules(deny(ca="factory-a", revoke=True)))
    world.knock(DEVICE, FACTORY)
    world.publish(rules(allow(grant=FULL)))
    reopen(world)
    assert world.status(DEVICE) == "REVOKED"


def test_a_reopened_device_whose_admission_was_cut_short_is_admitted_by_the_next_delivery(world: World) -> None:
    held(world)
    world.publish(rules(deny(ca="factory-a")))
    world.knock(DEVICE, FACTORY)
    world.publish(rules(allow(grant=FULL)))
    with world.killed_at_the_status(after=False):
        reopen(world)
    assert world.status(DEVICE) == "INACTIVE"
    world.knock(DEVICE, FACTORY)
    assert world.status(DEVICE) == "ACTIVE"
