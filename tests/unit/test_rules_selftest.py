"""The tests in a rules file: what a made-up device is, and when a test fails."""

from datetime import UTC, datetime, timedelta

import pytest
from testkit.rules import ID_A, in_test, read

from jitr.decision.selftest import knock_of, run
from jitr.facts import KeyFacts

AT = datetime(2026, 3, 1, tzinfo=UTC)


def outcome(device: str, expect: str, more: str = "", at: str = "2026-03-01") -> list[str]:
    """What is said of a test in a file whose one rule wants factory-a and the list line-a."""
    text = f"name: t\nat: {at}\n{more}\ndevice: {{{device}}}\nexpect: {{{expect}}}"
    return [str(each) for each in run(read(in_test(text)))]


ON_LIST = "lists: {line-a: [{common_name: snr-1}]}"
LISTED = "ca: factory-a, common_name: snr-1"


@pytest.mark.parametrize(
    ("device", "expect", "more"),
    [
        pytest.param(LISTED, "decision: admit, rule: rule-1, reason: allow.rule", ON_LIST, id="on the list"),
        pytest.param(LISTED, "decision: hold, reason: allow.unmatched", "", id="a list not given is empty"),
        pytest.param(LISTED, "decision: hold", "lists: {line-a: []}", id="a list given without rows is empty"),
        pytest.param("common_name: snr-1", "decision: hold", ON_LIST, id="of a CA that the rules do not name"),
        pytest.param("ca: factory-b, common_name: snr-1", "decision: hold", ON_LIST, id="of another CA"),
        pytest.param(
            "ca: factory-a, common_name: [snr-1, snr-2]",
            "decision: hold, reason: allow.ambiguous",
            ON_LIST,
            id="with a name twice",
        ),
        pytest.param(
            "ca: factory-a, serial_number: 0A",
            "decision: admit",
            "lists: {line-a: [{serial_number: '0x00a', ca: factory-a}]}",
            id="by serial number",
        ),
        pytest.param(
            f"ca: factory-a, public_key_sha256: {ID_A}",
            "decision: admit",
            f"lists: {{line-a: [{{public_key_sha256: {ID_A.upper()}}}]}}",
            id="by public key",
        ),
        pytest.param(
            LISTED,
            "decision: hold",
            "lists: {line-a: [{common_name: snr-1, expires: 2026-02-28}]}",
            id="on a row that has expired",
        ),
        pytest.param(
            f"{LISTED}, not_after: 2026-02-01",
            "decision: reject, reason: certificate.expired",
            ON_LIST,
            id="with a certificate that has expired",
        ),
        pytest.param(
            f"{LISTED}, not_before: 2026-04-01",
            "decision: hold, reason: certificate.not-yet-valid",
            ON_LIST,
            id="with a certificate that is not valid yet",
        ),
        pytest.param(
            f"{LISTED}, key: RSA-1024", "decision: hold, reason: certificate.key", ON_LIST, id="with a weak key"
        ),
        pytest.param(f"{LISTED}, key: RSA-2048", "decision: admit", ON_LIST, id="with an RSA key"),
        pytest.param(
            f"{LISTED}, signature_hash: sha1",
            "decision: hold, reason: certificate.signature-hash",
            ON_LIST,
            id="with a weak signature",
        ),
    ],
)
def test_a_device(device: str, expect: str, more: str) -> None:
    assert outcome(device, expect, more) == []


def test_a_failing_test_says_what_was_expected_what_came_and_why() -> None:
    (told,) = outcome(LISTED, "decision: admit, rule: rule-1, thing: snr-1")
    assert told.startswith(
        'admission.yaml:8: test "t" expected admit by rule-1 as thing snr-1, got hold: allow.unmatched (no allow rule'
    )
    assert "list line-a: not on it" in told


def test_an_admission_that_was_not_expected_names_the_rule() -> None:
    (told,) = outcome(LISTED, "decision: reject", ON_LIST)
    assert told == 'admission.yaml:8: test "t" expected reject, got admit by rule-1'


def test_a_reason_that_does_not_come_fails_the_test() -> None:
    (told,) = outcome(LISTED, "decision: hold, reason: [allow.unmatched, certificate.key]")
    assert "expected hold with allow.unmatched, certificate.key" in told


THING = """\
format: 1
cas: {factory-a: {ids: %s}}
deny: [{name: no, ca: factory-a, title: bad}]
allow: [{name: yes-1, ca: factory-a, grant: {thing: "{common_name}", iot_policies: p}}]
tests: [{name: t, at: 2026-03-01, device: {ca: factory-a, common_name: a, title: %s}, expect: {%s}}]
"""


@pytest.mark.parametrize(
    ("title", "expect", "failure"),
    [
        ("good", "decision: admit, thing: a", None),
        ("good", "decision: admit, thing: b", "expected admit as thing b, got admit by yes-1 as thing a"),
        ("bad", "decision: reject, rule: no, reason: deny.rule", None),
        ("bad", "decision: admit", "expected admit, got reject by no: deny.rule (rule no"),
    ],
)
def test_things_and_deny_rules(title: str, expect: str, failure: str | None) -> None:
    failures = [str(each) for each in run(read(THING % (ID_A, title, expect)))]
    assert len(failures) == (failure is not None)
    assert failure is None or failure in failures[0]


def test_the_window_is_of_the_knock_and_validity_of_now() -> None:
    text = in_test(
        f"name: t\nat: 2026-07-01\nknocked_at: 2026-06-30\ndevice: {{{LISTED}}}\n{ON_LIST}\nexpect: {{decision: admit}}"
    ).replace("list: line-a,", "list: line-a, window: 2026-06-01..2026-06-30,")
    assert run(read(text)) == ()
    assert len(run(read(text.replace("knocked_at: 2026-06-30", "knocked_at: 2026-07-01")))) == 1


def test_a_revocation_list_that_the_rules_name_does_not_hold_made_up_devices() -> None:
    assert "crl:" in in_test("")
    assert outcome(LISTED, "decision: admit", ON_LIST) == []


@pytest.mark.parametrize("at", ["0001-01-01", "9999-12-31T23:59:59Z", "2024-02-29"])
def test_any_time_will_do(at: str) -> None:
    assert outcome(LISTED, "decision: admit", ON_LIST, at=at) == []


def test_a_made_up_certificate_is_in_order_and_the_same_each_time() -> None:
    rules_file = read(in_test(f"name: t\nat: 2026-03-01\ndevice: {{{LISTED}}}\nexpect: {{decision: hold}}"))
    knock = knock_of(rules_file.tests[0], rules_file.rules)
    certificate = knock.certificate
    assert certificate.not_before < AT < certificate.not_after - timedelta(days=300)
    assert certificate.key == KeyFacts("EC", 256, "P-256")
    assert (knock.ca_certificate_id, knock.aliases) == (ID_A, frozenset({"factory-a"}))
    assert knock == knock_of(rules_file.tests[0], rules_file.rules)
    assert len({certificate.certificate_sha256, certificate.public_key_sha256}) == 2


def test_a_failure_in_json() -> None:
    text = f"name: t\nat: 2026-03-01\ndevice: {{{LISTED}}}\n{ON_LIST}\nexpect: {{decision: hold}}"
    (failure,) = run(read(in_test(text)))
    assert failure.to_json() == {
        "file": "admission.yaml",
        "line": 8,
        "test": "t",
        "expected": "hold",
        "got": "admit by rule-1",
    }
