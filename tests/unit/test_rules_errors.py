"""Wrong rules files: for every kind of mistake one case, with the exact place and the gist of what is said.

In each text «» are around what the error must underline.
"""

import pytest
from testkit import pki
from testkit.rules import ID_A, in_allow, in_file, in_grant, in_test, marked, places, problems, told
from testkit.wrong_rules import CAS, CONDITIONS, EIGHT, FILE, FLOOR, GRANTS, RULES, TEMPLATES, TESTS, Mistake

from jitr.errors import InputError
from jitr.rules.file.problems import MOST_PROBLEMS, RulesError
from jitr.rules.file.reader import RulesContext, read_rules
from jitr.rules.file.source import MAX_BYTES


@pytest.mark.parametrize(
    "case",
    [*FILE, *CAS, *FLOOR, *RULES, *CONDITIONS, *GRANTS, *TEMPLATES, *TESTS],
    ids=lambda case: case.name,
)
def test_wrong_file(case: Mistake) -> None:
    text, expected = marked(case.text)
    found = problems(text)
    assert case.gist in told(found[0])
    assert places(found) == expected


def test_eight_mistakes_are_told_at_once_in_the_files_order() -> None:
    text, expected = marked(EIGHT)
    found = problems(text)
    assert len(expected) == 8
    assert places(found) == expected


def test_an_error_shows_file_line_column_the_line_what_is_meant_and_a_way_out() -> None:
    with pytest.raises(RulesError) as caught:
        read_rules(in_allow("ca: factry-a").encode(), source="rules/admission.yaml")
    assert str(caught.value).splitlines() == [
        "rules/admission.yaml has 1 error:",
        "rules/admission.yaml:7:9: error: unknown CA alias 'factry-a'",
        "    ca: factry-a",
        "        ^~~~~~~~",
        "did you mean 'factory-a'?",
    ]


def test_wide_characters_and_tabs_are_underlined_where_they_show() -> None:
    problem = problems(in_file("default:\t[] # x").replace("[]", "日本"))[0]
    assert problem.excerpt == "default: 日本 # x"
    assert problem.underline == "         ^~~~"


def test_a_long_line_is_shown_around_what_is_meant() -> None:
    values = ", ".join(f"v{number:04d}" for number in range(400))
    problem = problems(in_allow(f"ca: factory-a\ntitle: [{values}, v0007, {values.replace('v', 'w')}]"))[0]
    assert len(problem.excerpt) <= 160
    assert problem.excerpt[problem.underline.index("^") :].startswith("v0007, w0000")


def test_an_error_is_told_in_json_with_its_place() -> None:
    assert problems(in_file("default: no"))[0].to_json() == {
        "file": "admission.yaml",
        "line": 5,
        "column": 10,
        "length": 2,
        "severity": "error",
        "message": "'no' is not a default",
        "hint": "it is one of: hold, reject",
    }


def test_a_file_with_more_errors_than_anybody_reads_tells_the_first() -> None:
    text = "format: 1\n" + "".join(f"key-{number}: x\n" for number in range(MOST_PROBLEMS + 50))
    with pytest.raises(RulesError, match=rf"has more than {MOST_PROBLEMS} errors") as caught:
        read_rules(text.encode(), source="admission.yaml")
    assert len(caught.value.problems) == MOST_PROBLEMS


def test_mistakes_in_cas_do_not_make_rules_wrong_that_name_them() -> None:
    assert [each.line for each in problems(in_allow("ca: factory-a").replace(ID_A, "abc"))] == [3]
    assert [
        each.line for each in problems("format: 1\ncas: none\nallow:\n" + in_allow("ca: a").split("allow:\n")[1])
    ] == [2]


def test_a_rule_without_readable_name_does_not_make_expectations_wrong() -> None:
    test = "name: a\nat: 2026-01-01\ndevice: {}\nexpect: {decision: admit, rule: other}"
    assert [each.line for each in problems(in_test(test).replace("name: rule-1", "name: -"))] == [6]


class TestBytes:
    """What is wrong before there is any YAML."""

    @pytest.mark.parametrize(
        ("data", "what"),
        [
            (b"-----BEGIN CERTIFICATE-----\nMIIB\n", "a PEM file (CERTIFICATE)"),
            (b"\xef\xbb\xbf\n-----BEGIN PRIVATE KEY-----\nsecret\n", "a PEM file (PRIVATE KEY)"),
            (pki.ca("x").der, "a certificate or a key (DER)"),
        ],
        ids=["certificate", "key", "DER"],
    )
    def test_a_certificate_or_key_in_place_of_rules_is_told_and_nothing_of_it_is_shown(
        self, data: bytes, what: str
    ) -> None:
        (found,) = problems(data)
        assert found.message == f"this is {what}, and no rules file"
        assert found.excerpt == ""

    def test_a_byte_that_is_not_utf8_is_told_with_its_place(self) -> None:
        found = problems("format: 1\ndefault: höld\n".encode("latin-1"))
        assert places(found) == [(2, 11, 1)]
        assert told(found[0]) == "byte 0xf6 is not UTF-8 | save the file as UTF-8"

    @pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
    def test_utf16_is_told_as_such_or_by_its_nul_characters(self, encoding: str) -> None:
        found = problems("format: 1\n".encode(encoding))
        assert found[0].line == 1
        assert "UTF-16" in found[0].message or "U+0000" in found[0].message

    def test_characters_that_nobody_sees_are_refused_with_their_place(self) -> None:
        text, expected = marked(
            "format: 1\n# «\u202e»right to left\n«\xa0» default: hold\ndef«\u200b»ault: hold«\x07»\n"
        )
        found = problems(text)
        assert places(found) == expected
        assert "U+202E" in found[0].message
        assert "\\u00a0" in (found[0].hint or "")

    def test_a_byte_order_mark_inside_the_file_is_refused(self) -> None:
        assert places(problems("format: 1\n\ufeffdefault: hold\n")) == [(2, 1, 1)]

    def test_a_file_that_is_too_large_is_refused_unread(self) -> None:
        found = problems(b"#" * (MAX_BYTES + 1))
        assert told(found[0]) == (
            "the file is larger than 4 MiB | put devices on device lists: rules refer to those by name"
        )

    def test_places_do_not_depend_on_line_ends_and_byte_order_mark(self) -> None:
        text = in_allow("ca: factry-a")
        plain = places(problems(text))
        assert places(problems(text.replace("\n", "\r\n"))) == plain
        assert places(problems(text.replace("\n", "\r"))) == plain
        assert places(problems("\ufeff" + text)) == plain


class TestKnown:
    """What is known outside the file is checked, with a suggestion."""

    TEXT = in_grant(
        "thing: t\nthing_type: «Sensr»\nthing_groups: [hall, «hal»]\niot_policies: «Sensors»",
        "ca: factory-a\nlist: «line»",
    )

    def test_names_that_do_not_exist_are_errors(self) -> None:
        text, expected = marked(self.TEXT)
        known = RulesContext(lists={"line-a"}, iot_policies={"Sensor"}, thing_types={"Sensor"}, thing_groups={"hall"})
        found = problems(text, known)
        assert places(found) == expected
        assert [told(each) for each in found] == [
            "there is no device list 'line' | did you mean 'line-a'?",
            "there is no thing type 'Sensr' | did you mean 'Sensor'?",
            "there is no thing group 'hal' | did you mean 'hall'?",
            "there is no IoT policy 'Sensors' | did you mean 'Sensor'?",
        ]

    def test_what_is_not_known_is_not_checked(self) -> None:
        text, _ = marked(self.TEXT)
        read_rules(text.encode(), source="admission.yaml", known=RulesContext(iot_policies={"Sensors"}))


def test_what_reading_a_ca_certificate_says_is_an_error_at_its_path() -> None:
    def certificate_id(path: str) -> str:
        raise InputError(f"{path}: No such file")

    text, expected = marked("format: 1\ncas: {a: {certificate: «a.pem»}}\n")
    with pytest.raises(RulesError) as caught:
        read_rules(text.encode(), source="admission.yaml", certificate_id=certificate_id)
    assert places(caught.value.problems) == expected
    assert caught.value.problems[0].message == "a.pem: No such file"
