"""Right rules files: what each key becomes."""

from datetime import UTC, date, datetime

import pytest
from testkit.rules import EXAMPLE, ID_A, ID_B, in_allow, in_file, in_grant, in_test, read

from jitr.devicelists.rows import ListRow
from jitr.facts import Attribute, KeyFacts
from jitr.reasons import Verdict
from jitr.rules.conditions import (
    AttributeCondition,
    CaCondition,
    Condition,
    Glob,
    ListCondition,
    SerialCondition,
    SerialRange,
    Window,
    WindowCondition,
)
from jitr.rules.file.kinds import SUBJECT_ATTRIBUTES, Serial, SerialNumbers
from jitr.rules.file.reader import read_rules
from jitr.rules.file.rules_file import Expectation, RuleTestDevice
from jitr.rules.model import Ca, Crl, DenyRule, Floor, Grant, Rules, load


def conditions(rule: str) -> tuple[Condition, ...]:
    """The conditions of an allow rule."""
    return read(in_allow(rule)).rules.allow[0].conditions


def test_serial_numbers_may_be_negative_and_any_of_them_admitted() -> None:
    """RFC 5280 section 4.1.2.2; the compiled form of rules that do not say so is what it was."""
    text = in_file("certificate: {serial_numbers: any}")
    rules = read(text).rules
    assert rules.floor == Floor(serial_numbers="any")
    assert load(rules.compiled) == rules
    assert "serial_numbers" not in read(in_file("certificate: {min_rsa_bits: 3072}")).rules.to_json()["certificate"]
    assert SerialNumbers().parse("-ff..-0x1") == SerialRange(-255, -1)
    assert Serial().parse("-001F") == "-1f"


def test_the_example_is_read_whole() -> None:
    rules_file = read(EXAMPLE)
    assert rules_file.warnings == ()
    assert rules_file.rules.cas == {"factory-a": Ca("factory-a", (ID_A,), 5, (Crl("s3://example-crls/factory-a.crl"),))}
    assert rules_file.rules.floor == Floor()
    assert rules_file.rules.deny == (
        DenyRule("recalled-boards", 13, (ListCondition(("recall-17",)),), "Recall 17, bad radio"),
    )
    (allow,) = rules_file.rules.allow
    assert (allow.name, allow.line, allow.max_devices) == ("line-a-sensors", 17, 5000)
    assert allow.conditions == (
        CaCondition(("factory-a",)),
        SerialCondition((SerialRange(0x1000, 0x1FFF),)),
        WindowCondition((Window(date(2026, 1, 1), date(2026, 6, 30)),)),
        AttributeCondition("common_name", (Glob("snr-*"),)),
        AttributeCondition("organization", (Glob("OKIDA"),)),
        ListCondition(("line-a-2026",)),
    )
    assert allow.grant == Grant(
        iot_policies=("Sensor",),
        thing="{common_name}",
        thing_type="Sensor",
        attributes={"line": "a", "batch": "{attr.batch}"},
        thing_groups=("line-a",),
    )


def test_a_private_network_is_allowed_in_so_many_words_and_compiled_only_then() -> None:
    """A file that says nothing of it has the digest that it always had, and rules compiled before it allow none."""
    text = f"format: 1\ncas: {{a: {{ids: {ID_A}, crl: {{url: https://crl.example.com/a.crl, {{}}}}}}}}\n"
    silent, no, yes = (
        read_rules(text.replace("{}", said).encode(), source="admission.yaml").rules
        for said in ("when_stale: hold", "private_network: false", "private_network: true")
    )
    assert [each.cas["a"].crls[0].private_network for each in (silent, no, yes)] == [False, False, True]
    assert silent.digest == no.digest
    assert b"private_network" not in silent.compiled
    assert load(yes.compiled) == yes
    assert yes.meaning != no.meaning


def test_compiled_rules_load_as_the_same_rules() -> None:
    rules = read(EXAMPLE).rules
    assert load(rules.compiled) == rules


def test_the_least_file_is_one_line() -> None:
    assert read("format: 1").rules == Rules("admission.yaml")


def test_sections_that_are_empty_lists_are_read() -> None:
    assert read("format: 1\ncas: {}\ndeny: []\nallow: []\ntests: []\n").rules == Rules("admission.yaml")


@pytest.mark.parametrize(
    "source", ["admission.yaml", "/srv/rules/admission.yaml", "s3://bucket/admission.yaml", r"C:\a\admission.yaml"]
)
def test_where_the_file_lies_does_not_change_the_digest(source: str) -> None:
    rules_file = read_rules(EXAMPLE.encode(), source=source)
    assert (rules_file.source, rules_file.rules.source) == (source, "admission.yaml")
    assert rules_file.rules.digest == read(EXAMPLE).rules.digest


def test_a_comment_that_moves_a_rule_changes_the_digest_and_not_the_meaning() -> None:
    moved, rules = read(EXAMPLE.replace("allow:", "# a comment\nallow:")).rules, read(EXAMPLE).rules
    assert moved.digest != rules.digest
    assert moved.meaning == rules.meaning


def test_a_country_is_a_country() -> None:
    assert conditions("ca: factory-a\ncountry: [NO, DE]")[1] == AttributeCondition("country", (Glob("NO"), Glob("DE")))


@pytest.mark.parametrize("text", ["0123", "1e3", "true", "2026-01-01", "12:30", "1_000", "~a"])
def test_an_unquoted_value_is_text_as_it_stands(text: str) -> None:
    assert conditions(f"ca: factory-a\ntitle: {text}")[1] == AttributeCondition("title", (Glob(text),))


@pytest.mark.parametrize("name", SUBJECT_ATTRIBUTES)
def test_every_subject_attribute_is_a_condition_and_a_template(name: str) -> None:
    rule = read(in_grant(f'thing: "{{{name}}}"\niot_policies: p', f"{name}: a*\nca: factory-a")).rules.allow[0]
    assert AttributeCondition(name, (Glob("a*"),)) in rule.conditions
    assert rule.grant.thing == f"{{{name}}}"


def test_a_single_value_and_a_list_of_one_are_the_same() -> None:
    one = "ca: factory-a\nlist: l\ntitle: t\nserial_number: a\nwindow: 2026-01-01..2026-01-01"
    many = "ca: [factory-a]\nlist: [l]\ntitle: [t]\nserial_number: [a]\nwindow: [2026-01-01..2026-01-01]"
    assert conditions(one) == conditions(many)


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("1000", 0x1000, 0x1000),
        ("'0x1000'", 0x1000, 0x1000),
        ("0X1000", 0x1000, 0x1000),
        ("0A:1B", 0x0A1B, 0x0A1B),
        ("000a", 10, 10),
        ("0", 0, 0),
        ("1000..1fff", 0x1000, 0x1FFF),
        ("0x10:00..1FFF", 0x1000, 0x1FFF),
        ("7..7", 7, 7),
        ("f" * 40, 2**160 - 1, 2**160 - 1),
    ],
)
def test_a_serial_number_is_always_hex(text: str, first: int, last: int) -> None:
    assert conditions(f"ca: factory-a\nserial_number: {text}")[1] == SerialCondition((SerialRange(first, last),))


def test_a_window_can_be_without_end() -> None:
    window = conditions("ca: factory-a\nwindow: 2026-01-01..9999-12-31")[1]
    assert window == WindowCondition((Window(date(2026, 1, 1), date.max),))


def test_a_pattern_keeps_its_escapes() -> None:
    assert conditions("ca: factory-a\ntitle: 'a\\*b'")[1] == AttributeCondition("title", (Glob(r"a\*b"),))


def test_conditions_compile_in_order_of_cost_whatever_their_order_in_the_file() -> None:
    texts = ["list: l", "title: t", "window: 2026-01-01..2026-01-01", "serial_number: a", "ca: factory-a"]
    assert conditions("\n".join(texts)) == conditions("\n".join(reversed(texts)))


def test_ids_are_lower_case_without_colons() -> None:
    colons = ":".join(ID_A[place : place + 2] for place in range(0, 64, 2)).upper()
    assert read(f'format: 1\ncas: {{a: {{ids: ["{colons}", {ID_B}]}}}}').rules.cas["a"].ids == (ID_A, ID_B)


def test_a_ca_can_be_named_by_its_certificate() -> None:
    text = "format: 1\ncas: {a: {certificate: [a.pem, b.pem]}}"
    rules_file = read_rules(text.encode(), source="f", certificate_id={"a.pem": ID_A, "b.pem": ID_B}.__getitem__)
    assert rules_file.rules.cas["a"].ids == (ID_A, ID_B)


def test_the_floor_can_be_raised() -> None:
    text = in_file("certificate: {min_rsa_bits: 3072, curves: P-384, signature_hashes: [sha512, sha384]}")
    assert read(text).rules.floor == Floor(3072, ("P-384",), ("sha512", "sha384"))


def test_deny_rules_can_revoke() -> None:
    (deny,) = read(in_file("deny:\n  - {name: a, ca: factory-a, revoke: true}")).rules.deny
    assert (deny.revoke, deny.reason) == (True, None)


def test_a_reason_can_be_folded_from_several_lines() -> None:
    (deny,) = read(in_file("deny:\n  - name: a\n    ca: factory-a\n    reason: >\n      one\n      two\n")).rules.deny
    assert deny.reason == "one two"


def test_default_can_be_reject() -> None:
    assert read(in_file("default: reject")).rules.default is Verdict.REJECT


@pytest.mark.parametrize("thing", ["{serial_number}", "a-{attr.x}-b", "{country}:{attr.a.b-c}", "hall_3"])
def test_templates(thing: str) -> None:
    rule = read(in_grant(f'thing: "{thing}"\niot_policies: p', "list: l")).rules.allow[0]
    assert rule.grant.thing == thing


def test_fifty_attributes_with_a_type_and_three_without() -> None:
    fifty = ", ".join(f"a{number}: b" for number in range(50))
    read(in_grant(f"thing: t\nthing_type: u\niot_policies: p\nattributes: {{{fifty}}}"))
    read(in_grant("thing: t\niot_policies: p\nattributes: {a: b, c: d, e: f}"))


def test_renewal_and_existing() -> None:
    grant = read(in_grant("thing: t\niot_policies: p\nrenewal: coexist\nexisting: adopt")).rules.allow[0].grant
    assert (grant.renewal, grant.existing) == ("coexist", "adopt")


def test_a_renewal_may_come_from_other_cas() -> None:
    grant = (
        read(in_grant("thing: t\niot_policies: p\nrenewal: replace\nrenewal_from: [factory-b]")).rules.allow[0].grant
    )
    assert (grant.renewal, grant.renewal_from) == ("replace", ("factory-b",))


def test_a_renamed_rule_is_counted_under_its_first_name() -> None:
    """Two rules may have changed names."""
    rules = read(in_allow("name: a\nca: factory-a\nformerly: b", "name: b\nca: factory-b\nformerly: a")).rules
    assert [each.places for each in rules.allow] == ["b", "a"]
    assert [rules.allow_by_name[name].name for name in "ab"] == ["a", "b"]
    assert read(in_allow("name: a\nca: factory-a\nformerly: old")).rules.allow_by_name["old"].name == "a"


def test_what_iot_policies_do_not_go_by() -> None:
    """Attributes of the certificate, alternative names, and the thing's own attributes."""
    text = "thing: t\niot_policies: p\nattributes: {a: b}\nnot_in_policies: [organization, attributes.a]"
    assert read(in_grant(text)).rules.allow[0].grant.not_in_policies == ("organization", "attributes.a")
    assert read(in_grant("iot_policies: p\nnot_in_policies: title")).rules.allow[0].grant.not_in_policies == ("title",)


FULL_TEST = """
name: a test
at: 2026-03-01T12:00:00+02:00
knocked_at: 2026-02-01
device:
  ca: factory-a
  common_name: [a, b]
  country: NO
  serial_number: 0x00FF
  public_key_sha256: BB00000000000000000000000000000000000000000000000000000000000000
  not_before: 2025-01-01
  key: RSA-4096
  signature_hash: sha1
lists:
  line-a:
    - {common_name: a, expires: 2026-12-31, thing_name: t, note: n, attr.batch: 7}
    - {serial_number: 0x0F, ca: factory-a}
expect: {decision: hold, reason: [certificate.signature-hash, allow.ambiguous]}
"""


def test_a_test_is_read_with_its_device_lists_and_expectation() -> None:
    (test,) = read(in_test(FULL_TEST)).tests
    assert (test.name, test.line) == ("a test", 8)
    assert test.at == datetime(2026, 3, 1, 10, tzinfo=UTC)
    assert test.knocked_at == datetime(2026, 2, 1, tzinfo=UTC)
    assert test.device == RuleTestDevice(
        ca="factory-a",
        subject=(Attribute("common_name", "a"), Attribute("common_name", "b"), Attribute("country", "NO")),
        serial_number="ff",
        public_key_sha256="bb" + "0" * 62,
        not_before=datetime(2025, 1, 1, tzinfo=UTC),
        key=KeyFacts("RSA", 4096),
        signature_hash="sha1",
    )
    expires = datetime(2027, 1, 1, tzinfo=UTC)
    assert test.lists == {
        "line-a": (
            ListRow(common_name="a", expires=expires, thing_name="t", note="n", attributes={"batch": "7"}),
            ListRow(serial_number="f", ca="factory-a"),
        )
    }
    assert test.expect == Expectation(Verdict.HOLD, reasons=("certificate.signature-hash", "allow.ambiguous"))


def test_a_test_knocks_when_it_is_decided_unless_it_says_otherwise() -> None:
    (test,) = read(in_test("name: a\nat: 2026-03-01\ndevice: {}\nexpect: {decision: hold}")).tests
    assert test.knocked_at == test.at
