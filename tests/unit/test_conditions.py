"""The conditions of a rule: when each holds, when it is ambiguous, and the sentence for a near miss."""

from datetime import UTC, date, datetime, timedelta

import pytest
from testkit.knocks import NOW, allow, seen
from testkit.work import ending

from jitr.devicelists.rows import ListRow, Membership
from jitr.rules.conditions import (
    AMBIGUOUS,
    FAILS,
    HOLDS,
    AttributeCondition,
    CaCondition,
    Condition,
    ConditionResult,
    Glob,
    ListCondition,
    SerialCondition,
    SerialRange,
    Window,
    WindowCondition,
)
from jitr.rules.index import RuleIndex

# --- globs


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("snr-0001", "snr-0001", True),
        ("snr-0001", "SNR-0001", False),
        ("snr-0001", "snr-00011", False),
        ("snr-0001", "xsnr-0001", False),
        ("snr-0001", "snr-0001\n", False),
        ("snr-*", "snr-", True),
        ("snr-*", "snr-a\nb", True),
        ("snr-*", "xsnr-1", False),
        ("*-1", "snr-1", True),
        ("*-1", "snr-1\n", False),
        ("s*r*1", "snr-r-1", True),
        ("snr-?", "snr-1", True),
        ("snr-?", "snr-", False),
        ("snr-?", "snr-12", False),
        ("snr-?", "snr-\n", True),
        ("snr-?", "snr-\U0001f600", True),
        ("?*", "", False),
        ("*", "", True),
        ("**", "anything", True),
        (r"snr\*", "snr*", True),
        (r"snr\*", "snr-1", False),
        (r"snr\?*", "snr?1", True),
        (r"snr\?*", "snr11", False),
        (r"a\\*", "a\\b", True),
        (r"a\\", "a\\", True),
        (r"\a\b", "ab", True),
        (r"\[*", "[1", True),
        ("[ab]*", "a1", False),
        ("[ab]*", "[ab]1", True),
        ("[!a]?", "[!a]x", True),
        ("a.c*", "abc", False),
        ("a+*", "aa", False),
        ("(a|b)*", "a", False),
        ("^a*$", "^abc$", True),
        ("{a,b}*", "a", False),
        ("ß*", "SS", False),
    ],
)
def test_a_pattern_is_for_the_whole_value_and_only_star_and_question_mark_are_special(
    pattern: str, text: str, fits: bool
) -> None:
    assert Glob.problem(pattern) is None
    assert Glob(pattern).matches(text) is fits


@pytest.mark.parametrize(
    ("pattern", "literal", "prefix"),
    [
        ("snr-1", "snr-1", "snr-1"),
        ("snr-*", None, "snr-"),
        ("*", None, ""),
        ("s?r", None, "s"),
        (r"a\*b", "a*b", "a*b"),
        (r"a\*b*", None, "a*b"),
        (r"a\\*", None, "a\\"),
        (r"a\\", "a\\", "a\\"),
        ("a\\\n", "a\n", "a\n"),
    ],
)
def test_the_literal_and_the_prefix_of_a_pattern(pattern: str, literal: str | None, prefix: str) -> None:
    assert (Glob(pattern).literal, Glob(pattern).literal_prefix) == (literal, prefix)


def test_a_pattern_that_cannot_be_used_is_told_why() -> None:
    assert Glob.problem("") == "an empty pattern matches nothing"
    assert Glob.problem("a\\") == r"the pattern ends in a single \: write \\ for a backslash"
    assert Glob.problem("a\\\\") is None


@pytest.mark.parametrize("pattern", ["*a" * 30 + "*b", "*?" * 30 + "b", "*aa?a" * 10 + "b", "a*" * 30 + "b*c"])
def test_a_hostile_value_takes_no_time(pattern: str) -> None:
    with ending():
        assert not Glob(pattern).matches("a" * 10_000)


# --- subject attributes


def attribute(*patterns: str, name: str = "common_name") -> AttributeCondition:
    return AttributeCondition(name, tuple(Glob(each) for each in patterns))


@pytest.mark.parametrize(
    ("condition", "subject", "outcome"),
    [
        (attribute("snr-*"), [("common_name", "snr-1")], HOLDS),
        (attribute("pump-*", "snr-*"), [("common_name", "snr-1")], HOLDS),
        (attribute("snr-*"), [("common_name", "pump-1")], FAILS),
        (attribute("snr-*"), [("organization", "snr-1")], FAILS),
        (attribute("*"), [], FAILS),
        (attribute("*"), [("common_name", "")], HOLDS),
        (attribute("snr-*"), [("common_name", "snr-1"), ("organization", "a"), ("organization", "b")], HOLDS),
        (attribute("snr-*"), [("common_name", "snr-1"), ("common_name", "admin")], AMBIGUOUS),
        (attribute("snr-*"), [("common_name", "admin"), ("common_name", "snr-1")], AMBIGUOUS),
        (attribute("snr-*"), [("common_name", "snr-1"), ("common_name", "snr-1")], AMBIGUOUS),
        (attribute("snr-*"), [("common_name", "a"), ("common_name", "b")], FAILS),
    ],
)
def test_an_attribute_that_the_certificate_has_twice_never_holds(
    condition: Condition, subject: list[tuple[str, str]], outcome: ConditionResult
) -> None:
    assert condition.check(seen(*subject)) is outcome


@pytest.mark.parametrize(
    ("condition", "subject", "sentence"),
    [
        (attribute("snr-*"), [], "the certificate's subject has no common_name"),
        (attribute("snr-*"), [("common_name", "pump-1")], "common_name is 'pump-1', not 'snr-*'"),
        (attribute("a", "b"), [("common_name", "c")], "common_name is 'c', not 'a' or 'b'"),
        (
            attribute("a"),
            [("common_name", "a"), ("common_name", "b\x1b[31m")],
            "the certificate has common_name 2 times ('a', 'b\\x1b[31m'): none counts for an allow rule",
        ),
    ],
)
def test_an_attribute_that_does_not_hold_says_what_it_is(
    condition: Condition, subject: list[tuple[str, str]], sentence: str
) -> None:
    assert condition.failure(seen(*subject)) == sentence


# --- CA


def test_a_ca_condition_holds_for_any_alias_of_the_devices_ca() -> None:
    assert CaCondition(("factory-a", "factory-b")).check(seen(aliases=("all", "factory-b"))) is HOLDS
    assert CaCondition(("factory-a",)).check(seen(aliases=("factory-b",))) is FAILS
    assert CaCondition(("factory-a",)).check(seen(aliases=())) is FAILS


def test_a_ca_condition_that_fails_names_both_cas() -> None:
    condition = CaCondition(("factory-a", "factory-b"))
    assert condition.failure(seen(aliases=("x", "w"))) == "its CA is w, x, not factory-a or factory-b"
    assert condition.failure(seen(aliases=())) == (
        "its CA is one that the rules do not name, not factory-a or factory-b"
    )


# --- serial numbers


@pytest.mark.parametrize(
    ("serial_number", "outcome"),
    [("fff", FAILS), ("1000", HOLDS), ("1fff", HOLDS), ("2000", FAILS), ("5", HOLDS), ("0", FAILS), ("f" * 40, FAILS)],
)
def test_a_serial_range_has_both_of_its_ends(serial_number: str, outcome: ConditionResult) -> None:
    condition = SerialCondition((SerialRange(0x1000, 0x1FFF), SerialRange(5, 5)))
    assert condition.check(seen(serial_number=serial_number)) is outcome


def test_a_serial_number_outside_says_the_ranges_in_hex() -> None:
    condition = SerialCondition((SerialRange(0x1000, 0x1FFF), SerialRange(0xA, 0xA)))
    assert condition.failure(seen(serial_number="2000")) == "serial number 2000 is not in 1000..1fff or a"


# --- lists

ROW = ListRow(common_name="snr-1")
FULL, HALF = Membership(ROW), Membership(ROW, "on it by common_name, but the row's serial_number is another")


@pytest.mark.parametrize(
    ("lists", "outcome"),
    [
        ({"a": FULL}, HOLDS),
        ({"a": None, "b": FULL}, HOLDS),
        ({"a": HALF, "b": FULL}, HOLDS),
        ({"a": HALF, "b": None}, AMBIGUOUS),
        ({"a": None, "b": HALF}, AMBIGUOUS),
        ({"a": None, "b": None}, FAILS),
        ({"c": FULL}, FAILS),
        ({}, FAILS),
    ],
)
def test_a_list_condition_holds_for_any_list_that_has_the_device(
    lists: dict[str, Membership | None], outcome: ConditionResult
) -> None:
    assert ListCondition(("a", "b")).check(seen(lists=lists)) is outcome


def test_a_list_condition_that_fails_says_so_for_each_list() -> None:
    condition = ListCondition(("line-a-2026", "line-b"))
    assert condition.failure(seen(lists={"line-a-2026": None, "line-b": HALF})) == (
        "list line-a-2026: not on it; list line-b: on it by common_name, but the row's serial_number is another"
    )
    assert ListCondition(("line-a-2026",)).failure(seen()) == (
        "list line-a-2026: not looked up, another condition failed"
    )


# --- windows

WINDOW = Window(date(2026, 1, 1), date(2026, 6, 30))


@pytest.mark.parametrize(
    ("moment", "outcome"),
    [
        (datetime(2025, 12, 31, 23, 59, 59, 999_999, UTC), FAILS),
        (datetime(2026, 1, 1, tzinfo=UTC), HOLDS),
        (datetime(2026, 6, 30, 23, 59, 59, 999_999, UTC), HOLDS),
        (datetime(2026, 7, 1, tzinfo=UTC), FAILS),
        (datetime.fromisoformat("2026-07-01T01:59:59+02:00"), HOLDS),
    ],
)
def test_a_window_is_whole_utc_days_with_both_of_its_ends(moment: datetime, outcome: ConditionResult) -> None:
    assert WindowCondition((WINDOW,)).check(seen(at=moment)) is outcome


def test_a_window_of_one_day_and_one_without_end() -> None:
    day = Window(date(2026, 3, 1), date(2026, 3, 1))
    assert NOW in day
    assert NOW + timedelta(days=1) not in day
    assert datetime(9999, 12, 31, 23, 59, tzinfo=UTC) in Window(date(2026, 1, 1), date.max)
    assert datetime(1, 1, 1, tzinfo=UTC) in Window(date.min, date.max)


@pytest.mark.parametrize(
    ("moment", "sentence"),
    [
        (datetime(2026, 7, 4, tzinfo=UTC), "window 2026-01-01..2026-06-30 closed 3 days ago"),
        (datetime(2026, 7, 2, 23, tzinfo=UTC), "window 2026-01-01..2026-06-30 closed 1 day ago"),
        (datetime(2026, 7, 1, 5, 59, tzinfo=UTC), "window 2026-01-01..2026-06-30 closed 5 hours ago"),
        (datetime(2026, 7, 1, 0, 1, tzinfo=UTC), "window 2026-01-01..2026-06-30 closed 1 minute ago"),
        (datetime(2026, 7, 1, tzinfo=UTC), "window 2026-01-01..2026-06-30 closed less than a minute ago"),
        (datetime(2025, 12, 31, 23, 59, 30, tzinfo=UTC), "window 2026-01-01..2026-06-30 opens in less than a minute"),
        (datetime(2025, 12, 31, 12, tzinfo=UTC), "window 2026-01-01..2026-06-30 opens in 12 hours"),
        (datetime(2025, 12, 1, tzinfo=UTC), "window 2026-01-01..2026-06-30 opens in 31 days"),
    ],
)
def test_a_window_that_does_not_hold_says_by_how_much(moment: datetime, sentence: str) -> None:
    assert WindowCondition((WINDOW,)).failure(seen(at=moment)) == sentence


def test_several_windows_hold_as_any_and_fail_as_each() -> None:
    condition = WindowCondition((WINDOW, Window(date(2027, 1, 1), date(2027, 1, 31))))
    assert condition.check(seen(at=datetime(2027, 1, 15, tzinfo=UTC))) is HOLDS
    assert condition.failure(seen(at=datetime(2026, 7, 2, tzinfo=UTC))) == (
        "window 2026-01-01..2026-06-30 closed 1 day ago; window 2027-01-01..2027-01-31 opens in 183 days"
    )


def test_the_next_opening_is_the_earliest_to_come() -> None:
    windows = [Window(date(year, 1, 1), date(year, 1, 31)) for year in (2028, 2025, 2027)]
    index = RuleIndex([allow(ca="factory-a", window=each) for each in windows])
    aliases = frozenset({"factory-a"})
    assert index.next_opening(aliases, NOW) == datetime(2027, 1, 1, tzinfo=UTC)
    assert index.next_opening(aliases, datetime(2027, 1, 1, tzinfo=UTC)) == datetime(2028, 1, 1, tzinfo=UTC)
    assert index.next_opening(aliases, datetime(2028, 1, 1, tzinfo=UTC)) is None
    assert index.next_opening(frozenset({"factory-b"}), NOW) is None


# --- compiled form


@pytest.mark.parametrize(
    ("condition", "name", "compiled"),
    [
        (CaCondition(("a", "b")), "ca", ["a", "b"]),
        (attribute(r"a\*", name="organization"), "organization", [r"a\*"]),
        (SerialCondition((SerialRange(10, 31),)), "serial_number", [["a", "1f"]]),
        (ListCondition(("a",)), "list", ["a"]),
        (WindowCondition((WINDOW,)), "window", [["2026-01-01", "2026-06-30"]]),
    ],
)
def test_the_compiled_form_of_a_condition(condition: Condition, name: str, compiled: object) -> None:
    assert (condition.name, condition.to_json()) == (name, compiled)
