"""What a knock means in the light of the record, and which statuses are ours to change."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from testkit.pki import NOW

from jitr.decision.plan import ACTIVE, INACTIVE, PENDING, REVOKED
from jitr.reasons import Verdict
from jitr.records.event import EVENT_CLOCK_SKEW, RegistrationEvent
from jitr.records.heads import Heads
from jitr.records.record import APPLIED, APPLYING, APPLYING_AT_MOST, Record
from jitr.records.transitions import (
    DESCRIBE_AGAIN,
    Remembered,
    in_other_hands,
    may_be_changed,
    remember,
    status_was_set,
    waits_on,
)

DEVICE, CA, OTHER_CA = "d" * 64, "a" * 64, "b" * 64
HEADS = Heads("digest", "meaning")
LATER = NOW + EVENT_CLOCK_SKEW + timedelta(seconds=1)
SECOND = timedelta(seconds=1)


def record(decision: Verdict = Verdict.HOLD, state: str = APPLIED, **more: Any) -> Record:
    usual: dict[str, Any] = {"decided_at": NOW, "knocked_at": NOW, "since": NOW, "meaning": "meaning", "facts": {}}
    return Record(DEVICE, CA, decision, state, **usual | {"delivery": "m1" if state == APPLYING else None} | more)


def knock(ca: str = CA) -> RegistrationEvent:
    return RegistrationEvent(DEVICE, ca, LATER)


@pytest.mark.parametrize(
    ("before", "meant"),
    [
        (None, Remembered.UNKNOWN),
        (record(), Remembered.HELD),
        (record(meaning="edited"), Remembered.DECIDE_AGAIN),
        (record(due=LATER), Remembered.DECIDE_AGAIN),
        (record(due=LATER, facts=None), Remembered.UNKNOWN),
        (record(meaning=None, described_at=LATER - DESCRIBE_AGAIN + SECOND), Remembered.HELD),
        (record(meaning=None, described_at=LATER - DESCRIBE_AGAIN), Remembered.DECIDE_AGAIN),
        (record(Verdict.ADMIT), Remembered.UNKNOWN),
        (record(Verdict.ADMIT, described_at=LATER - SECOND), Remembered.SETTLED),
        (record(Verdict.REJECT, stays_pending=True), Remembered.HELD),
        (record(Verdict.REJECT, described_at=LATER, reopened={"by": "x"}), Remembered.UNKNOWN),
        (record(Verdict.ADMIT, APPLYING, decided_at=LATER - SECOND), Remembered.BUSY),
        (record(Verdict.ADMIT, APPLYING, decided_at=LATER - SECOND, delivery="m2"), Remembered.UNKNOWN),
        (record(Verdict.ADMIT, APPLYING, decided_at=LATER - APPLYING_AT_MOST), Remembered.UNKNOWN),
    ],
)
def test_a_knock_means_what_the_record_makes_of_it(before: Record | None, meant: Remembered) -> None:
    assert remember(before, knock(), HEADS, LATER, "m2") is meant


def test_a_knock_from_before_the_decision_is_settled_with_it() -> None:
    early = replace(knock(), knocked_at=NOW + EVENT_CLOCK_SKEW)
    assert remember(record(Verdict.ADMIT), early, HEADS, LATER) is Remembered.SETTLED


@pytest.mark.parametrize("decision", list(Verdict))
def test_no_record_speaks_for_a_certificate_under_another_ca(decision: Verdict) -> None:
    assert remember(record(decision), knock(OTHER_CA), HEADS, LATER) is Remembered.OTHER_CA


def test_while_a_decision_is_applied_nobody_else_touches_the_certificate_whatever_ca_is_named() -> None:
    before = record(Verdict.ADMIT, APPLYING, decided_at=LATER - SECOND)
    assert remember(before, knock(OTHER_CA), HEADS, LATER, "m2") is Remembered.BUSY


@pytest.mark.parametrize(
    ("before", "statuses"),
    [
        (None, {PENDING}),
        (record(), {PENDING}),
        (record(Verdict.ADMIT), {PENDING}),
        (record(Verdict.REJECT), {PENDING}),
        (record(Verdict.REJECT, reopened={"by": "x"}), {PENDING, INACTIVE}),
        (record(withdrawn=True), {PENDING, INACTIVE}),
        (record(Verdict.HOLD, APPLYING, withdrawn=True), {PENDING, INACTIVE, ACTIVE}),
        (record(Verdict.REJECT, APPLYING, withdrawn=True), {PENDING, INACTIVE, ACTIVE}),
        (record(Verdict.ADMIT, APPLYING), {PENDING}),
    ],
)
def test_only_pending_certificates_are_ours_and_those_whose_status_is_our_own_doing(
    before: Record | None, statuses: set[str]
) -> None:
    everything = (PENDING, ACTIVE, INACTIVE, REVOKED)
    assert {each for each in everything if may_be_changed(before, each)} == statuses


@pytest.mark.parametrize(
    ("decision", "statuses"),
    [(Verdict.ADMIT, {ACTIVE}), (Verdict.REJECT, {INACTIVE, REVOKED}), (Verdict.HOLD, set())],
)
def test_a_decision_was_cut_off_after_its_last_step_where_the_status_is_the_one_it_sets(
    decision: Verdict, statuses: set[str]
) -> None:
    everything = (PENDING, ACTIVE, INACTIVE, REVOKED)
    assert {each for each in everything if status_was_set(record(decision, APPLYING), each)} == statuses
    assert not any(status_was_set(record(decision), each) for each in everything)


def test_a_status_that_another_hand_set_ends_what_was_ours_of_it() -> None:
    before = record(Verdict.HOLD, APPLYING, withdrawn=True, reopened={"by": "x"})
    after = in_other_hands(before, REVOKED, LATER)
    assert (after.state, after.withdrawn, after.reopened, after.delivery) == (APPLIED, False, None, None)


def test_inactive_by_our_own_rejection_stays_reopened() -> None:
    before = record(Verdict.REJECT, reopened={"by": "x"})
    assert in_other_hands(before, INACTIVE, LATER).reopened == {"by": "x"}


def test_a_held_device_in_other_hands_is_not_due_every_minute_and_is_decided_anew_when_it_knocks() -> None:
    after = in_other_hands(record(due=NOW), ACTIVE, LATER)
    assert after.due is not None
    assert after.due > LATER + timedelta(hours=1)
    assert remember(after, knock(), HEADS, LATER + DESCRIBE_AGAIN) is Remembered.DECIDE_AGAIN


def test_a_rejection_that_aws_iot_refused_goes_on_waiting_until_it_was_due() -> None:
    before, again = record(Verdict.REJECT, stays_pending=True, due=LATER), record(Verdict.REJECT)
    assert (waits_on(before, again).stays_pending, waits_on(before, again).due) == (True, LATER)
    assert waits_on(record(), again) == again
