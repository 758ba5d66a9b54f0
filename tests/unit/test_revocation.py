"""What a revocation list means for a device: who is on it, how fresh it is, and who may do without."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from testkit.knocks import CA_ID, NOW, allow, codes, decided, knock, rules

from jitr.decision.decide import DUE_REVOCATION, Decision
from jitr.decision.revocation import crl_reasons
from jitr.facts import DeltaCrl, Revocation
from jitr.reasons import Verdict
from jitr.rules.model import Ca, Crl, Floor, Rules

URL = "s3://example-crls/factory-a.crl"
FRESH = Revocation(
    this_update=NOW - timedelta(hours=1), next_update=NOW + timedelta(days=7), number=7, signature_hashes=("sha256",)
)
DELTA = DeltaCrl(NOW - timedelta(minutes=30), NOW + timedelta(days=1), 8, 3)
REVOKED = replace(FRESH, revoked_at=NOW - timedelta(days=3), reason="keyCompromise")
ON_HOLD = replace(FRESH, revoked_at=NOW - timedelta(days=3), reason="certificateHold", on_hold=True)
ADMIT, HOLD, REJECT = Verdict.ADMIT, Verdict.HOLD, Verdict.REJECT


def configured(when_stale: Verdict = HOLD, floor: Floor | None = None) -> Rules:
    cas = {"factory-a": Ca("factory-a", (CA_ID,), 3, (Crl(URL, when_stale),))}
    return replace(rules(allow(), floor=floor), cas=cas)


def decide(found: Revocation | None, when_stale: Verdict = HOLD, now: datetime = NOW) -> Decision:
    device = replace(knock(), revocations={} if found is None else {URL: found})
    return decided(device, configured(when_stale), now=now)


def stale(found: Revocation) -> Revocation:
    return replace(found, next_update=NOW - timedelta(days=2))


@pytest.mark.parametrize(
    ("found", "when_stale", "verdict", "expected"),
    [
        (FRESH, HOLD, ADMIT, ["allow.rule"]),
        (REVOKED, HOLD, REJECT, ["revocation.revoked"]),
        (REVOKED, ADMIT, REJECT, ["revocation.revoked"]),
        (ON_HOLD, HOLD, HOLD, ["revocation.on-hold"]),
        (ON_HOLD, ADMIT, HOLD, ["revocation.on-hold"]),
        # out of date: it counts against a device, and not for one
        (stale(FRESH), HOLD, HOLD, ["revocation.stale"]),
        (stale(FRESH), ADMIT, ADMIT, ["allow.rule"]),
        (stale(REVOKED), HOLD, REJECT, ["revocation.revoked", "revocation.stale"]),
        (stale(REVOKED), ADMIT, REJECT, ["revocation.revoked"]),
        (stale(ON_HOLD), ADMIT, HOLD, ["revocation.on-hold"]),
        # never to be had: that is not late, and whoever keeps it away does not decide who gets in
        (Revocation(failure="HTTP 503"), HOLD, HOLD, ["revocation.unusable"]),
        (Revocation(failure="HTTP 503"), ADMIT, HOLD, ["revocation.unusable"]),
        (Revocation(), ADMIT, HOLD, ["revocation.unusable"]),
        # not to be used: no `when_stale` makes up for it
        (Revocation(problem="it is a delta revocation list"), HOLD, HOLD, ["revocation.unusable"]),
        (Revocation(problem="it is a delta revocation list"), ADMIT, HOLD, ["revocation.unusable"]),
        (replace(REVOKED, this_update=NOW + timedelta(hours=1)), ADMIT, HOLD, ["revocation.unusable"]),
        (replace(FRESH, signature_hashes=("sha1",)), ADMIT, HOLD, ["revocation.unusable"]),
        (None, ADMIT, HOLD, ["revocation.unusable"]),
    ],
)
def test_what_a_list_means(
    found: Revocation | None, when_stale: Verdict, verdict: Verdict, expected: list[str]
) -> None:
    decision = decide(found, when_stale)
    assert (decision.verdict, codes(decision)) == (verdict, expected)


@pytest.mark.parametrize(
    ("complete", "delta", "when_stale", "expected"),
    [
        (FRESH, DELTA, HOLD, ["allow.rule"]),
        (FRESH, replace(DELTA, next_update=NOW - timedelta(hours=1)), HOLD, ["revocation.stale"]),
        (FRESH, replace(DELTA, next_update=NOW - timedelta(hours=1)), ADMIT, ["allow.rule"]),
        (replace(FRESH, next_update=NOW - timedelta(hours=1)), DELTA, HOLD, ["revocation.stale"]),
        (FRESH, replace(DELTA, this_update=NOW + timedelta(hours=1)), ADMIT, ["revocation.unusable"]),
        (replace(FRESH, signature_hashes=("sha256", "sha1")), DELTA, ADMIT, ["revocation.unusable"]),
    ],
    ids=["both fresh", "delta ran out", "delta ran out, admit", "list ran out", "delta yet to come", "delta by SHA-1"],
)
def test_list_and_delta_list_both_have_to_be_fresh_and_above_the_floor(
    complete: Revocation, delta: DeltaCrl, when_stale: Verdict, expected: list[str]
) -> None:
    """A fresh delta list does not make up for a complete one that ran out; RFC 5280 section 6.3.3 (a) would let it."""
    assert codes(decide(replace(complete, delta=delta), when_stale)) == expected


def test_which_of_the_two_ran_out_is_told() -> None:
    crl = Crl(URL, delta="s3://example-crls/delta.crl")
    found = replace(FRESH, delta=replace(DELTA, next_update=NOW - timedelta(days=2)))
    [reason] = crl_reasons(crl, found, Floor(), NOW)
    assert "delta revocation list s3://example-crls/delta.crl ran out 2 days ago" in reason.message


HERE, ELSEWHERE = "http://crl.example.com/1", "http://crl.example.com/2"


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ((HERE,), ["allow.rule"]),
        ((ELSEWHERE, HERE), ["allow.rule"]),
        ((ELSEWHERE,), ["revocation.no-partition"]),
        ((HERE + "/",), ["revocation.no-partition"]),
        ((), ["revocation.no-partition"]),
        (None, ["revocation.no-partition"]),
    ],
    ids=["its own", "one of two", "another", "not letter for letter", "damaged", "none"],
)
def test_a_device_whose_distribution_point_the_rules_do_not_have_is_held(
    named: tuple[str, ...] | None, expected: list[str]
) -> None:
    of_partitions = (
        Crl("s3://lists/1", ADMIT, point=HERE),
        Crl("s3://lists/3", ADMIT, point="http://crl.example.com/3"),
    )
    in_force = replace(rules(allow()), cas={"factory-a": Ca("factory-a", (CA_ID,), 3, of_partitions)})
    device = knock()
    device = replace(device, certificate=replace(device.certificate, crl_addresses=named))
    decision = decided(replace(device, revocations={"s3://lists/1": FRESH}), in_force)
    assert codes(decision) == expected
    if "revocation.no-partition" in expected:
        assert "of none of the 2 partitions that the rules give factory-a" in decision.reasons[0].message


def test_the_last_second_of_a_list_counts_and_a_clock_a_little_ahead_does_no_harm() -> None:
    assert decide(replace(FRESH, next_update=NOW)).verdict is ADMIT
    assert decide(replace(FRESH, next_update=NOW - timedelta(seconds=1))).verdict is HOLD
    assert decide(replace(FRESH, this_update=NOW + timedelta(minutes=5))).verdict is ADMIT


def test_the_reason_the_time_and_the_failure_are_told() -> None:
    assert "keyCompromise" in decide(REVOKED).reasons[0].message
    assert "2026-02-26T12:00:00Z" in decide(ON_HOLD).reasons[0].message
    assert "HTTP 503" in decide(Revocation(failure="HTTP 503")).reasons[0].message
    old = decide(replace(stale(FRESH), failure="NoSuchKey")).reasons[0].message
    assert "2 days ago" in old
    assert "NoSuchKey" in old


def test_a_hold_that_a_newer_list_ends_is_due_when_lists_are_fetched_anew() -> None:
    for found in (ON_HOLD, stale(FRESH), Revocation(problem="delta")):
        assert decide(found).due == NOW + DUE_REVOCATION


def test_every_alias_s_list_counts_and_one_of_another_ca_does_not() -> None:
    second = Ca("lab", (CA_ID,), 5, (Crl("https://crl.example.com/lab.crl"),))
    other = Ca("factory-b", ("cb" * 32,), 6, (Crl("https://crl.example.com/b.crl"),))
    in_force = replace(configured(), cas=dict(configured().cas) | {"lab": second, "factory-b": other})
    device = replace(knock(aliases=frozenset({"factory-a", "lab"})), revocations={URL: FRESH})
    assert codes(decided(device, in_force)) == ["revocation.unusable"]
    both = replace(device, revocations={URL: FRESH, "https://crl.example.com/lab.crl": REVOKED})
    assert codes(decided(both, in_force)) == ["revocation.revoked"]
    assert codes(decided(replace(both, revocations={URL: FRESH} | {second.crls[0].url: FRESH}), in_force)) == [
        "allow.rule"
    ]


def test_a_list_is_asked_nothing_where_the_rules_configure_none() -> None:
    assert decided(replace(knock(), revocations={URL: REVOKED}), rules(allow())).verdict is ADMIT
