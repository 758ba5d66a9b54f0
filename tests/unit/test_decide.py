"""The decision: a table of cases, one rule a test, and what must hold for every input."""

from dataclasses import replace
from datetime import date, timedelta

import pytest
from testkit.knocks import (
    NOW,
    allow,
    ca_facts,
    codes,
    decided,
    deny,
    knock,
    rules,
)

from jitr.decision.decide import DUE_ELSEWHERE, DUE_LATEST, decide, held_instead, unreadable
from jitr.devicelists.rows import ListRow
from jitr.facts import ChainFacts, KeyFacts, Knock, SignatureFacts
from jitr.reasons import CODES, Reason, Verdict, by_weight, verdict_of
from jitr.rules.conditions import Window
from jitr.rules.model import Crl, Grant

TWICE = (("common_name", "snr-0001"), ("common_name", "snr-0002"))
BAD_SIGNATURE = ChainFacts(signature_valid=False, names_equal=True)


def test_a_device_that_an_allow_rule_matches_is_admitted_with_its_grant() -> None:
    decision = decided(knock(), rules(allow()))
    assert decision.verdict is Verdict.ADMIT
    assert (decision.rule, decision.at) == ("line-a", "admission.yaml:10")
    assert codes(decision) == ["allow.rule"]
    assert decision.grant is not None
    assert decision.grant.thing == "snr-0001"


def test_nobody_is_admitted_without_an_allow_rule() -> None:
    assert codes(decided(knock(), rules())) == ["allow.unmatched"]


def test_a_rule_without_conditions_matches_nobody() -> None:
    empty = replace(allow(), conditions=())
    assert decided(knock(), rules(empty)).verdict is Verdict.HOLD


def test_the_default_is_hold_and_reject_only_where_the_file_says_so() -> None:
    assert decided(knock(), rules()).verdict is Verdict.HOLD
    closed = decided(knock(), rules(default=Verdict.REJECT))
    assert (closed.verdict, codes(closed)) == (Verdict.REJECT, ["allow.unmatched"])


def test_deny_wins_over_allow_wherever_it_stands() -> None:
    decision = decided(knock(), rules(allow(), deny(common_name="snr-*", reason="Recall 17")))
    assert decision.verdict is Verdict.REJECT
    assert (decision.rule, codes(decision)) == ("recalled", ["deny.rule"])
    assert "Recall 17" in decision.reasons[0].message


def test_every_deny_rule_that_matches_is_told() -> None:
    decision = decided(knock(), rules(deny("one", ca="factory-a"), deny("two", common_name="snr-0001")))
    assert codes(decision).count("deny.rule") == 2


def test_only_a_deny_rule_that_says_so_revokes() -> None:
    assert not decided(knock(), rules(deny(ca="factory-a"))).revoke
    assert decided(knock(), rules(deny(ca="factory-a", revoke=True))).revoke
    assert not decided(knock(), rules(allow())).revoke


def test_the_first_matching_allow_rule_in_the_file_gives_the_grant() -> None:
    second = allow("second", grant=Grant(iot_policies=("Other",)), common_name="snr-*")
    assert decided(knock(), rules(allow(), second)).rule == "line-a"
    assert decided(knock(), rules(second, allow())).rule == "second"


def test_a_grant_that_cannot_be_filled_in_holds_and_never_falls_through_to_the_next_rule() -> None:
    first = allow(grant=Grant(iot_policies=("Sensor",), thing="{attr.batch}"))
    decision = decided(knock(), rules(first, allow("second", common_name="*")))
    assert (decision.verdict, decision.rule) == (Verdict.HOLD, "line-a")
    assert codes(decision) == ["grant.template-missing"]


@pytest.mark.parametrize(
    ("device", "code", "verdict"),
    [
        (knock(chain=BAD_SIGNATURE), "chain.bad-signature", Verdict.REJECT),
        (knock(chain=ChainFacts(signature_valid=True, names_equal=False)), "chain.name-mismatch", Verdict.REJECT),
        (knock(ca=None), "chain.ca-missing", Verdict.HOLD),
        (knock(ca=ca_facts(status="INACTIVE")), "chain.ca-inactive", Verdict.HOLD),
        (knock(ca=ca_facts(not_after=NOW - timedelta(1))), "chain.ca-expired", Verdict.HOLD),
        (knock(ca=ca_facts(is_ca=False)), "chain.ca-not-a-ca", Verdict.HOLD),
        (knock(ca=ca_facts(may_sign=False)), "chain.ca-not-a-ca", Verdict.HOLD),
        (knock(ca=ca_facts(name_constraints=True)), "chain.name-constraints", Verdict.HOLD),
        (knock(is_ca=True), "certificate.is-ca", Verdict.REJECT),
        (knock(not_after=NOW - timedelta(1)), "certificate.expired", Verdict.REJECT),
        (knock(not_before=NOW + timedelta(1)), "certificate.not-yet-valid", Verdict.HOLD),
        (knock(extended_key_usage=("serverAuth",)), "certificate.no-client-auth", Verdict.HOLD),
        (knock(unknown_critical_extensions=("1.2.3.4",)), "certificate.critical-extension", Verdict.HOLD),
        (knock(key=KeyFacts("RSA", 1024)), "certificate.key", Verdict.HOLD),
        (knock(key=KeyFacts("Ed25519")), "certificate.key", Verdict.HOLD),
        (knock(signature=SignatureFacts("RSA", "sha1")), "certificate.signature-hash", Verdict.HOLD),
        (knock(subject=(("common_name", "snr.1"),)), "grant.thing-name", Verdict.HOLD),
    ],
)
def test_what_is_wrong_with_a_certificate_outweighs_an_allow_rule(device: Knock, code: str, verdict: Verdict) -> None:
    decision = decided(device, rules(allow()))
    assert (decision.verdict, codes(decision)) == (verdict, [code])
    assert decision.grant is None


def test_all_reasons_surface_rejects_first() -> None:
    device = knock(not_before=NOW + timedelta(1), is_ca=True, chain=BAD_SIGNATURE)
    decision = decided(device, rules(allow(), deny(ca="factory-a")))
    assert codes(decision) == ["chain.bad-signature", "certificate.is-ca", "deny.rule", "certificate.not-yet-valid"]


def test_a_ca_whose_revocation_list_was_not_read_admits_nobody() -> None:
    in_force = rules(allow())
    with_crl = replace(in_force.cas["factory-a"], crls=(Crl("https://ca.example/a.crl", Verdict.ADMIT),))
    decision = decided(knock(), replace(in_force, cas={"factory-a": with_crl}))
    assert (decision.verdict, codes(decision)) == (Verdict.HOLD, ["revocation.unusable"])


# --- attributes that a certificate has twice


def test_a_repeated_attribute_matches_a_deny_rule_by_any_of_its_values() -> None:
    assert decided(knock(subject=TWICE), rules(deny(common_name="snr-0002"))).verdict is Verdict.REJECT


def test_a_repeated_attribute_holds_for_an_allow_rule_also_where_the_default_is_reject() -> None:
    decision = decided(knock(subject=TWICE), rules(allow(common_name="snr-*"), default=Verdict.REJECT))
    assert (decision.verdict, codes(decision)) == (Verdict.HOLD, ["allow.ambiguous"])


def test_a_repeated_attribute_does_not_fill_a_template() -> None:
    decision = decided(knock(subject=TWICE), rules(allow()))
    assert codes(decision) == ["grant.template-missing"]
    assert "2 times" in decision.reasons[0].message


def test_a_rule_that_does_not_ask_for_the_repeated_attribute_admits() -> None:
    plain = allow(grant=Grant(iot_policies=("Sensor",)), ca="factory-a")
    assert decided(knock(subject=TWICE), rules(plain)).verdict is Verdict.ADMIT


# --- lists


def test_a_device_is_admitted_only_from_the_list_that_its_rule_names() -> None:
    in_force = rules(allow(lists=("line-a-2026",)))
    assert decided(knock(), in_force, {"line-a-2026": [ListRow(common_name="snr-0001")]}).verdict is Verdict.ADMIT
    assert decided(knock(), in_force, {"line-a-2026": [ListRow(common_name="SNR-0001")]}).verdict is Verdict.HOLD
    assert decided(knock(), in_force).near_misses[0].failed[0].message == "list line-a-2026: not on it"


def test_the_row_of_the_first_list_named_feeds_templates_and_its_thing_name_overrides() -> None:
    grant = Grant(iot_policies=("Sensor",), thing="{common_name}", attributes={"batch": "{attr.batch}"})
    in_force = rules(allow(lists=("first", "second"), grant=grant))
    lists = {
        "first": [ListRow(common_name="snr-0001", thing_name="pump-1", attributes={"batch": "7"})],
        "second": [ListRow(common_name="snr-0001", attributes={"batch": "8"})],
    }
    decision = decided(knock(), in_force, lists)
    assert decision.grant is not None
    assert (decision.grant.thing, decision.grant.attributes) == ("pump-1", {"batch": "7"})


def test_a_row_that_pins_another_key_is_no_place_for_this_one() -> None:
    in_force = rules(allow(lists=("line-a",)))
    pinned = [ListRow(common_name="snr-0001", public_key_sha256="ee" * 32)]
    decision = decided(knock(), in_force, {"line-a": pinned})
    assert (decision.verdict, codes(decision)) == (Verdict.HOLD, ["allow.ambiguous"])


def test_a_row_counts_for_a_deny_rule_by_any_of_its_keys() -> None:
    pinned = [ListRow(common_name="snr-0001", public_key_sha256="ee" * 32)]
    assert decided(knock(), rules(allow(), deny(lists=("bad",))), {"bad": pinned}).verdict is Verdict.REJECT


def test_an_expired_row_counts_as_absent() -> None:
    in_force = rules(allow(lists=("line-a",)))
    row = ListRow(common_name="snr-0001", expires=NOW)
    assert decided(knock(), in_force, {"line-a": [row]}).verdict is Verdict.HOLD
    assert decided(knock(), in_force, {"line-a": [row]}, now=NOW - timedelta(seconds=1)).verdict is Verdict.ADMIT


# --- windows, near misses, due


def test_a_window_is_for_when_the_device_knocked_and_validity_is_for_now() -> None:
    in_force = rules(allow(ca="factory-a", window=Window(date(2026, 2, 1), date(2026, 2, 28))))
    knocked_at = NOW - timedelta(days=1, minutes=1)
    assert decided(knock(), in_force, knocked_at=knocked_at).verdict is Verdict.ADMIT
    assert decided(knock(), in_force).verdict is Verdict.HOLD


def test_a_near_miss_says_which_conditions_matched_and_by_how_much_the_others_failed() -> None:
    window = Window(date(2026, 1, 1), date(2026, 2, 25))
    decision = decided(knock(), rules(allow(ca="factory-a", common_name="snr-*", window=window)))
    near = decision.near_misses[0]
    assert (near.rule, near.at, set(near.matched)) == ("line-a", "admission.yaml:10", {"ca", "common_name"})
    assert [(each.condition, each.message) for each in near.failed] == [
        ("window", "window 2026-01-01..2026-02-25 closed 3 days ago")
    ]


def test_the_nearest_rule_is_told_first() -> None:
    far = allow("far", ca="factory-b", common_name="x", organization="y")
    near = allow("near", ca="factory-a", common_name="other")
    decision = decided(knock(), rules(far, near))
    assert decision.near_misses[0].rule == "near"


def test_a_held_device_is_due_when_its_window_opens_when_it_becomes_valid_or_in_a_day() -> None:
    opens = rules(allow(ca="factory-a", window=Window(date(2026, 3, 2), date(2026, 3, 9))))
    assert decided(knock(), opens).due == NOW.replace(day=2, hour=0)
    soon = NOW + timedelta(hours=3)
    assert decided(knock(not_before=soon), rules(allow())).due == soon
    assert decided(knock(), rules()).due == NOW + DUE_LATEST


def test_a_window_that_opened_between_knock_and_decision_makes_the_device_due_at_once() -> None:
    """Its knock was too early; its next one, or the next recheck, is decided and not just counted."""
    opens = rules(allow(ca="factory-a", window=Window(date(2026, 3, 1), date(2026, 3, 9))))
    late = decide(knock(), opens, {}, NOW, NOW.replace(month=2, day=28))
    assert (late.verdict, late.due) == (Verdict.HOLD, NOW.replace(hour=0))


def test_what_no_edit_announces_is_due_within_the_hour() -> None:
    inactive = decided(knock(ca=ca_facts(status="INACTIVE")), rules(allow()))
    assert inactive.due == NOW + DUE_ELSEWHERE
    admitted = decided(knock(), rules(allow()))
    held = held_instead(admitted, Reason("grant.thing-claimed", "taken"), NOW)
    assert (held.verdict, held.rule, held.due) == (Verdict.HOLD, "line-a", NOW + DUE_ELSEWHERE)


def test_a_certificate_that_cannot_be_read_is_held_under_its_code() -> None:
    assert unreadable("certificate.unreadable", "no", NOW).verdict is Verdict.HOLD


def test_only_an_admitted_or_rejected_device_has_no_due() -> None:
    assert decided(knock(), rules(allow())).due is None
    assert decided(knock(), rules(deny(ca="factory-a"))).due is None


# --- digests, meanings, reasons


def test_a_moved_rule_is_another_digest_and_the_same_meaning() -> None:
    here, there = rules(allow()), rules(replace(allow(), line=11))
    assert here.digest != there.digest
    assert here.meaning == there.meaning


def test_a_changed_thing_attribute_named_line_is_a_changed_meaning() -> None:
    one = allow(grant=Grant(iot_policies=("Sensor",), thing="t", attributes={"line": "a"}))
    two = allow(grant=Grant(iot_policies=("Sensor",), thing="t", attributes={"line": "b"}))
    assert rules(one).meaning != rules(two).meaning


def test_the_verdict_is_the_most_severe_effect_and_reasons_go_by_weight() -> None:
    hold, reject = Reason("allow.unmatched", "m"), Reason("deny.rule", "m")
    assert verdict_of([hold, reject]) is Verdict.REJECT
    assert by_weight([hold, reject, hold]) == (reject, hold)
    with pytest.raises(ValueError, match="empty"):
        verdict_of([])


def test_poison_is_no_reason_for_a_decision() -> None:
    with pytest.raises(ValueError, match="poison"):
        _ = Reason("event.account", "m").effect
    assert all(each.remedy and each.meaning for each in CODES.values())
