"""How a device stands: its record, its certificate's status, operators' hands and today's decision, held together."""

from dataclasses import replace
from datetime import timedelta

import pytest
from testkit.knocks import CA_ID, NOW, decided, knock
from testkit.knocks import rules as made_rules

from jitr.fleet.standing import (
    ByHand,
    Standing,
    against_status,
    against_today,
    by_hand,
    is_recent,
    is_settling,
    says_nothing_of_the_device,
)
from jitr.reasons import Verdict
from jitr.records.by_hand import Act
from jitr.records.event import RegistrationEvent
from jitr.records.heads import Heads
from jitr.records.record import APPLIED, APPLYING, Record
from jitr.records.transitions import recorded

NOBODY, LET_IN, CUT_OFF = ByHand(), ByHand("ACTIVE"), ByHand("INACTIVE")
OVERRULED = ByHand("ACTIVE", overruled=True)


def act(status: str, before: str, *overruled: str) -> Act:
    return Act(status, before, by="ops", at="2026-03-01T12:00:00Z", overruled=overruled)


def record(decision: Verdict = Verdict.ADMIT) -> Record:
    event = RegistrationEvent("c1" * 32, CA_ID, NOW)
    held = recorded(
        decided(knock(), made_rules()), event=event, heads=Heads(), facts=None, state=APPLIED, now=NOW, previous=None
    )
    return replace(held, decision=decision)


@pytest.mark.parametrize(
    ("decision", "status", "hand", "told"),
    [
        (Verdict.ADMIT, "ACTIVE", NOBODY, None),
        (Verdict.ADMIT, None, NOBODY, Standing.GONE),
        (Verdict.ADMIT, None, CUT_OFF, Standing.GONE),
        (Verdict.ADMIT, "INACTIVE", NOBODY, Standing.CHANGED),
        (Verdict.ADMIT, "REVOKED", NOBODY, Standing.CHANGED),
        (Verdict.ADMIT, "INACTIVE", CUT_OFF, None),
        (Verdict.ADMIT, "REVOKED", CUT_OFF, None),
        (Verdict.ADMIT, "INACTIVE", LET_IN, Standing.CHANGED),
        (Verdict.ADMIT, "PENDING_ACTIVATION", NOBODY, Standing.CHANGED),
        (Verdict.ADMIT, "PENDING_ACTIVATION", CUT_OFF, Standing.CHANGED),
        (Verdict.HOLD, "PENDING_ACTIVATION", NOBODY, None),
        (Verdict.HOLD, None, NOBODY, None),
        (Verdict.HOLD, "ACTIVE", NOBODY, Standing.CHANGED),
        (Verdict.HOLD, "ACTIVE", LET_IN, None),
        (Verdict.REJECT, "ACTIVE", CUT_OFF, Standing.CHANGED),
        (Verdict.REJECT, "INACTIVE", NOBODY, None),
    ],
)
def test_a_status_that_neither_the_function_nor_a_command_of_ours_set_was_set_by_another_hand(
    decision: Verdict, status: str | None, hand: ByHand, told: Standing | None
) -> None:
    assert against_status(record(decision), status, hand, replaced=False) is told


def test_one_whose_place_another_certificate_took_is_inactive_as_it_should_be() -> None:
    assert against_status(record(), "INACTIVE", NOBODY, replaced=True) is None
    assert against_status(record(), "PENDING_ACTIVATION", NOBODY, replaced=True) is Standing.CHANGED


@pytest.mark.parametrize(
    ("admitted", "verdict", "hand", "told"),
    [
        (True, Verdict.ADMIT, NOBODY, None),
        (True, Verdict.HOLD, NOBODY, Standing.HOLD),
        (True, Verdict.REJECT, NOBODY, Standing.REJECT),
        (True, Verdict.HOLD, LET_IN, Standing.HOLD),
        (True, Verdict.REJECT, LET_IN, Standing.REJECT),
        (True, Verdict.REJECT, OVERRULED, None),
        (False, Verdict.HOLD, LET_IN, None),
        (False, Verdict.REJECT, LET_IN, Standing.REJECT),
        (False, Verdict.REJECT, OVERRULED, None),
        (False, Verdict.HOLD, NOBODY, Standing.HOLD),
    ],
)
def test_who_would_not_be_admitted_today_is_told_unless_an_operator_said_why_it_is_in(
    admitted: bool, verdict: Verdict, hand: ByHand, told: Standing | None
) -> None:
    assert against_today(admitted, verdict, hand) is told


def test_giving_a_grant_again_does_not_hide_who_let_a_device_in_or_cut_it_off() -> None:
    overruled, again = act("ACTIVE", "INACTIVE", "deny.rule"), act("ACTIVE", "ACTIVE")
    assert by_hand([overruled, again]) == OVERRULED
    assert by_hand([again]) == NOBODY
    assert by_hand([act("INACTIVE", "INACTIVE")]) == CUT_OFF  # to stay so, an operator said
    assert by_hand([]) == NOBODY


def test_a_device_that_is_being_decided_is_left_alone() -> None:
    """AWS IoT lists statuses as they were before its admission."""
    assert is_settling(replace(record(), state=APPLYING), NOW + timedelta(days=1))
    assert is_settling(record(), NOW)
    assert is_settling(record(), NOW - timedelta(hours=1))  # decided since the check began
    assert not is_settling(record(), NOW + timedelta(seconds=1))


def test_of_who_was_decided_just_before_a_listing_the_listing_says_nothing() -> None:
    assert is_recent(record(), NOW + timedelta(seconds=119))
    assert not is_recent(record(), NOW + timedelta(minutes=2))


@pytest.mark.parametrize(
    ("codes", "silent"),
    [
        (["revocation.unavailable"], True),
        (["revocation.stale", "revocation.unusable"], True),
        (["revocation.stale", "allow.unmatched"], False),
        (["revocation.on-hold"], False),
        ([], False),
    ],
)
def test_a_list_or_responder_that_cannot_be_used_says_nothing_of_the_device(codes: list[str], silent: bool) -> None:
    assert says_nothing_of_the_device(codes) is silent
