"""What holds for any rules and any device: deny wins, order changes nothing, the index misses no rule."""

from typing import Any, TypeAlias

from hypothesis import given
from hypothesis import strategies as st
from testkit.knocks import (
    NOW,
    allow,
    decided,
    deny,
    knock,
    rules,
)
from testkit.work import steps

from jitr.decision.decide import _outcome, lists_needed
from jitr.devicelists.rows import ListRow, Membership, membership_in, rows_by_key
from jitr.facts import ChainFacts, Knock
from jitr.reasons import Verdict
from jitr.rules.conditions import FAILS, HOLDS, Circumstances
from jitr.rules.model import Rules, load

Conditions: TypeAlias = list[dict[str, Any]]
Lists: TypeAlias = dict[str, list[ListRow]]
_CONDITIONS = st.fixed_dictionaries(
    {},
    optional={
        "ca": st.sampled_from(["factory-a", "factory-b"]),
        "common_name": st.sampled_from(["snr-*", "snr-0001", "pump-?", "*"]),
        "organization": st.sampled_from(["OKIDA", "Other", "*"]),
        "lists": st.sampled_from([("one",), ("two",), ("one", "two")]),
        "serial_number": st.sampled_from([(0x1000, 0x1FFF), (0, 5)]),
    },
).filter(bool)
_ALLOWS = st.lists(_CONDITIONS, max_size=4)
_DEVICES = st.builds(
    lambda names, organization, serial, is_ca, signed: knock(
        subject=(("organization", organization), *(("common_name", each) for each in names)),
        serial_number=serial,
        is_ca=is_ca,
        chain=ChainFacts(signature_valid=signed, names_equal=True),
    ),
    st.sampled_from([("snr-0001",), ("snr-2",), ("pump-1",), ("",), ("snr-2", "pump-1"), ()]),
    st.sampled_from(["OKIDA", "Other"]),
    st.sampled_from(["1001", "3", "ffff"]),
    st.booleans(),
    st.booleans(),
)
_ROWS = st.sampled_from([ListRow(common_name="snr-0001"), ListRow(common_name="pump-1")])
_LISTS = st.fixed_dictionaries({"one": st.lists(_ROWS, max_size=2), "two": st.lists(_ROWS, max_size=2)})


def _rules(allows: Conditions, denies: Conditions) -> Rules:
    return rules(
        *(allow(f"allow-{number}", **each) for number, each in enumerate(allows)),
        *(deny(f"deny-{number}", **each) for number, each in enumerate(denies)),
    )


@given(device=_DEVICES, allows=_ALLOWS, denies=_ALLOWS, lists=_LISTS, data=st.data())
def test_the_order_of_rules_never_changes_the_verdict(
    device: Knock, allows: Conditions, denies: Conditions, lists: Lists, data: st.DataObject
) -> None:
    before = decided(device, _rules(allows, denies), lists)
    after = decided(
        device,
        _rules(data.draw(st.permutations(allows)), data.draw(st.permutations(denies))),
        lists,
    )
    assert before.verdict is after.verdict


@given(device=_DEVICES, allows=_ALLOWS, denies=_ALLOWS, extra=_CONDITIONS, lists=_LISTS)
def test_adding_a_deny_rule_never_admits(
    device: Knock, allows: Conditions, denies: Conditions, extra: dict[str, Any], lists: Lists
) -> None:
    before = decided(device, _rules(allows, denies), lists)
    after = decided(device, _rules(allows, [*denies, extra]), lists)
    assert not (after.verdict is Verdict.ADMIT and before.verdict is not Verdict.ADMIT)


@given(device=_DEVICES, allows=_ALLOWS, denies=_ALLOWS, lists=_LISTS)
def test_the_index_finds_the_rules_that_looking_at_every_rule_finds(
    device: Knock, allows: Conditions, denies: Conditions, lists: Lists
) -> None:
    in_force = _rules(allows, denies)
    memberships = {name: membership_in(device, rows_by_key(rows), NOW) for name, rows in lists.items()}
    seen = Circumstances(device, memberships, NOW)
    for index, every in ((in_force.allow_index, in_force.allow), (in_force.deny_index, in_force.deny)):
        indexed = [rule.name for rule in index.candidates(seen) if _outcome(rule, seen) is not FAILS]
        assert indexed == [rule.name for rule in every if _outcome(rule, seen) is not FAILS]


@given(device=_DEVICES, allows=_ALLOWS, denies=_ALLOWS)
def test_a_list_is_worth_a_lookup_if_only_a_list_is_missing_for_one_of_its_rules_to_match(
    device: Knock, allows: Conditions, denies: Conditions
) -> None:
    in_force = _rules(allows, denies)
    on_every_list = Circumstances(device, dict.fromkeys(("one", "two"), Membership(ListRow())), NOW)
    matching = [rule for rule in (*in_force.allow, *in_force.deny) if _outcome(rule, on_every_list) is not FAILS]
    assert lists_needed(device, in_force, NOW) == tuple(sorted({each for rule in matching for each in rule.lists}))


def test_finding_the_lists_worth_a_lookup_takes_as_long_however_many_rules_have_no_list() -> None:
    def searched(unlisted: int) -> int:
        named: Conditions = [{"ca": "factory-a", "common_name": "snr-*", "organization": "OKIDA"}] * unlisted
        in_force = load(_rules([*named, {"ca": "factory-a", "lists": ("one",)}], []).compiled)
        assert lists_needed(knock(), in_force, NOW) == ("one",)  # and the index is made
        return steps(lambda: lists_needed(knock(), in_force, NOW))

    assert searched(100) == searched(10)


@given(device=_DEVICES, allows=st.lists(_CONDITIONS, max_size=16), lists=_LISTS, loaded=st.booleans())
def test_the_nearest_rules_are_those_that_counting_every_condition_finds(
    device: Knock, allows: Conditions, lists: Lists, loaded: bool
) -> None:
    """By how many conditions do not hold, then in the file's order; whether equal conditions are one object or not."""
    in_force = _rules(allows, [])
    in_force = load(in_force.compiled) if loaded else in_force
    memberships = {name: membership_in(device, rows_by_key(rows), NOW) for name, rows in lists.items()}
    seen = Circumstances(device, memberships, NOW)
    own = [rule for rule in in_force.allow if rule.cas is None or not device.aliases.isdisjoint(rule.cas)]
    missed = [sum(each.check(seen) is not HOLDS for each in rule.conditions) for rule in own or in_force.allow]
    order = sorted(range(len(missed)), key=missed.__getitem__)[:3]
    assert in_force.allow_index.nearest(seen, 3) == [(own or in_force.allow)[place] for place in order]


def test_finding_the_nearest_rules_asks_no_condition_that_needs_another_name_or_list() -> None:
    """So that strangers cost the same however many production lines the rules have."""

    def asked(lines: int) -> int:
        named = [
            {"ca": "factory-a", "organization": "OKIDA", "common_name": f"line-{each:03}-*"} for each in range(lines)
        ]
        listed = [{"ca": "factory-a", "lists": (f"line-{each}",)} for each in range(lines)]
        in_force = load(_rules(named + listed, []).compiled)
        seen = Circumstances(knock(), {}, NOW)
        assert len(in_force.allow_index.nearest(seen, 5)) == 5  # and the index is made
        return steps(lambda: in_force.allow_index.nearest(seen, 5))

    assert asked(200) == asked(20)


@given(allows=_ALLOWS, denies=_ALLOWS)
def test_compiled_rules_load_back_the_same(allows: Conditions, denies: Conditions) -> None:
    in_force = _rules(allows, denies)
    loaded = load(in_force.compiled)
    assert loaded == in_force
    assert (loaded.digest, loaded.meaning) == (in_force.digest, in_force.meaning)
