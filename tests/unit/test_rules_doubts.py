"""Warnings, and the relations between rules that they rest on."""

from datetime import UTC, date, datetime

import pytest
from testkit.rules import ID_A, ID_B, in_allow, in_file, marked, places, read

from jitr.rules.file import doubts
from jitr.rules.file.problems import Problem
from jitr.rules.file.reader import RulesContext
from jitr.rules.file.relations import Budget, BudgetSpent


def warnings(text: str, known: RulesContext | None = None) -> tuple[Problem, ...]:
    """The warnings of a file, which must point at what is marked."""
    plain, expected = marked(text)
    found = read(plain, known).warnings
    assert places(found) == expected
    assert {each.severity for each in found} <= {"warning"}
    return found


def test_a_warning_is_told_as_one() -> None:
    (warning,) = warnings(in_allow("name: «a»\norganization: b"))
    assert str(warning).startswith("admission.yaml:6:11: warning: the rule 'a' has neither `list` nor `ca`")


@pytest.mark.parametrize("rule", ["ca: factory-a", "list: l", "ca: factory-a\nlist: l"])
def test_a_rule_with_list_or_ca_is_not_for_every_ca(rule: str) -> None:
    assert not warnings(in_allow(rule))


def test_a_deny_rule_for_every_ca_is_told() -> None:
    deny, allow = warnings(in_file("deny:\n  - {name: «a», serial_number: 1}\n«allow»: []"))
    assert "rejects devices of every CA" in deny.message
    assert "no device can get in" in allow.message


def test_no_allow_rule_is_told() -> None:
    (warning,) = warnings("«format»: 1")
    assert "no allow rule" in warning.message


class TestLetters:
    @pytest.mark.parametrize(
        ("pattern", "told"),
        [
            ("\u0455nr-*", "U+0455 (CYRILLIC SMALL LETTER DZE) among Latin letters"),
            ("cafe\u0301-*", "has letters and their accents apart (not Unicode's form NFC)"),
            ("snr\u2013*", "U+2013 (EN DASH) in place of a hyphen"),
            ("snr-\uff11?", "U+FF11 (FULLWIDTH DIGIT ONE), which stands for a plainer character"),
        ],
    )
    @pytest.mark.parametrize("effect", ["allow", "deny"])
    def test_a_pattern_with_characters_that_look_like_others_is_told(
        self, effect: str, pattern: str, told: str
    ) -> None:
        """Such a deny rule keeps nobody out, and such an allow rule lets nobody in."""
        rule = f'  - {{name: a, ca: factory-a, common_name: [snr-1, «"{pattern}"»]'
        allowed = f"allow:\n{rule}, grant: {{iot_policies: [Sensor]}}}}"
        rules = allowed if effect == "allow" else f"deny:\n{rule}}}\n«allow»: []"
        first = next(each for each in warnings(in_file(rules)) if "pattern" in each.message)
        assert told in first.message

    @pytest.mark.parametrize("pattern", ["Séns ors-*", "Датчик-*", "снр-1", "№5 – *", "温度*"])
    def test_letters_of_every_script_are_as_good_as_any(self, pattern: str) -> None:
        assert not warnings(in_allow(f'ca: factory-a\ncommon_name: "{pattern}"'))


class TestWindows:
    TEXT = in_allow("ca: factory-a\n«window»: [2025-01-01..2025-12-31, 2026-01-01..2026-06-30]")

    def test_a_rule_whose_windows_have_all_closed_matches_nothing(self) -> None:
        (warning,) = warnings(self.TEXT, RulesContext(today=date(2026, 7, 1)))
        assert "its window has closed" in warning.message

    @pytest.mark.parametrize("today", [None, date(2026, 6, 30), date(2024, 1, 1)])
    def test_one_with_an_open_window_or_one_to_come_does(self, today: date | None) -> None:
        assert not read(marked(self.TEXT)[0], RulesContext(today=today)).warnings


class TestExpiry:
    TEXT = in_allow("ca: [factory-a, factory-b]\nwindow: [2026-01-01..2026-06-30, «2027-01-01..2027-06-30»]")

    def test_a_ca_that_expires_before_a_window_closes_is_told_at_the_window(self) -> None:
        (warning,) = warnings(self.TEXT, RulesContext(ca_not_after={ID_A: datetime(2027, 6, 30, tzinfo=UTC)}))
        assert "'factory-a' expires on 2027-06-30, before this window closes" in warning.message

    @pytest.mark.parametrize("not_after", [{}, {ID_A: datetime(2027, 7, 1, tzinfo=UTC)}])
    def test_one_that_lives_longer_or_is_not_known_is_not(self, not_after: dict[str, datetime]) -> None:
        assert not read(marked(self.TEXT)[0], RulesContext(ca_not_after=not_after)).warnings

    def test_of_several_certificates_under_one_alias_the_last_to_expire_counts(self) -> None:
        text = marked(self.TEXT)[0].replace(f"ids: {ID_A}", f"ids: [{ID_A}, {ID_B}]")
        ends = {ID_A: datetime(2026, 1, 1, tzinfo=UTC), ID_B: datetime(2030, 1, 1, tzinfo=UTC)}
        assert not read(text, RulesContext(ca_not_after=ends)).warnings
        assert not read(text, RulesContext(ca_not_after={ID_A: ends[ID_A]})).warnings


class TestAliases:
    CAS = f"format: 1\ncas: {{«a»: {{ids: {ID_A}}}}}\n"
    ALLOW = "allow: [{name: r, list: l, grant: {iot_policies: p}}]\n"

    def test_an_alias_that_no_rule_uses_is_told(self) -> None:
        (warning,) = warnings(self.CAS + self.ALLOW)
        assert "no rule uses the CA alias 'a'" in warning.message

    def test_one_that_a_test_uses_is_used(self) -> None:
        test = "tests: [{name: t, at: 2026-03-01, device: {ca: a}, expect: {decision: hold}}]\n"
        assert not read(marked(self.CAS)[0] + self.ALLOW + test).warnings

    def test_one_with_a_revocation_list_is_used(self) -> None:
        crl = "crl: {url: s3://example-crls/a.crl}"
        assert not read(marked(self.CAS)[0].replace("}}", f", {crl}}}}}") + self.ALLOW).warnings


class TestDenied:
    @pytest.mark.parametrize(
        ("deny", "allow"),
        [
            ("ca: factory-a", "ca: factory-a\ncommon_name: a"),
            ("list: l", "ca: factory-a\nlist: l"),
            ("organization: O*", "ca: factory-a\norganization: [OK, O]"),
            ("ca: [factory-a, factory-b]", "ca: factory-b"),
            ("serial_number: [0..f, 10..ff]", "ca: factory-a\nserial_number: 8..80"),
        ],
    )
    def test_an_allow_rule_whose_devices_are_all_denied_is_told(self, deny: str, allow: str) -> None:
        found = read(in_allow(f"name: a\n{allow}") + f"deny:\n  - name: d\n    {deny}\n").warnings
        assert any("never admits: the deny rule 'd'" in each.message for each in found)

    def test_one_of_which_some_may_get_in_is_not(self) -> None:
        text = in_allow("ca: factory-a") + "deny:\n  - {name: d, ca: factory-a, common_name: a}\n"
        assert not warnings(text)


class TestCovered:
    def test_a_rule_after_one_that_matches_all_it_matches_is_never_used(self) -> None:
        (warning,) = warnings(in_allow("ca: factory-a", "name: «b»\nca: factory-a\nlist: l"))
        assert "'b' is never used: the rule 'rule-1' (line 6) stands before it" in warning.message

    def test_the_more_special_rule_first_is_how_exceptions_are_written(self) -> None:
        assert not warnings(in_allow("ca: factory-a\nlist: l\ntitle: x", "ca: factory-a\nlist: l", "ca: factory-a"))


class TestOverlap:
    def test_two_rules_for_one_list_that_can_match_one_device_are_told(self) -> None:
        (warning,) = warnings(in_allow("list: [k, l]\ntitle: a*", "name: «b»\nlist: [l, m]\ncountry: DE"))
        assert "a device on the list 'l' can match both the rule 'rule-1' (line 6) and 'b'" in warning.message

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("ca: factory-a", "ca: factory-b"),
            ("title: a", "title: b"),
            ("title: 'a*'", "title: 'b*'"),
            ("title: a", "title: 'b?'"),
            ("serial_number: 0..f", "serial_number: 10..1f"),
            ("window: 2026-01-01..2026-01-31", "window: 2026-02-01..2026-02-28"),
        ],
    )
    def test_two_that_exclude_each_other_are_not(self, one: str, other: str) -> None:
        assert not warnings(in_allow(f"list: l\n{one}\ncountry: DE", f"list: l\n{other}\nstate: BY"))

    def test_two_of_different_lists_are_not(self) -> None:
        assert not warnings(in_allow("list: k\ntitle: a", "list: l\ntitle: a"))


def test_a_file_too_large_to_compare_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doubts, "_COMPARISONS", 20)
    rules = [f"name: a{number}\nca: factory-a\ntitle: t{number}" for number in range(10)]
    (warning,) = warnings(in_allow(*rules).replace("allow:", "«allow»:"))
    assert "some were not compared" in warning.message


def test_a_budget_ends() -> None:
    budget = Budget(2)
    budget.spend(2)
    with pytest.raises(BudgetSpent):
        budget.spend(1)
