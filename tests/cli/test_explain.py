"""`jitr explain` offline: the decision about one certificate and why, from files alone."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from testkit import crls, pki
from testkit import ocsp as answers
from testkit.manifests import SIGNER, Lot, manifest

from jitr.times import rfc3339
from jitr.x509.certificate import read_ca
from jitr.x509.ocsp import question_about
from jitr_cli.main import jitr

FACTORY = pki.ca("Factory A")
NOW = "2026-03-01T12:00:00Z"

RULES = """\
format: 1
cas:
  factory-a: {{ids: ["{factory_a}"]}}
deny:
  - {{name: recalled, list: recall-17, reason: Recall 17}}
allow:
  - name: line-a
    ca: factory-a
    common_name: "snr-*"
    organization: OKIDA
    list: line-a-2026
    window: 2026-01-01..2026-06-30
    max_devices: 10
    grant: {{thing: "{{common_name}}", attributes: {{batch: "{{attr.batch}}"}}, iot_policies: [Sensor]}}
"""


@dataclass
class Bench:
    """A folder with a rules file, the lists that it names and CA certificates."""

    folder: Path

    def write(self, name: str, data: bytes | str) -> Path:
        """Write a file into the folder."""
        file = self.folder / name
        file.write_bytes(data if isinstance(data, bytes) else data.encode())
        return file

    def explain(self, certificate: bytes, *more: str, ca: bytes = FACTORY.pem, at: str = NOW) -> Result:
        """Run `jitr explain` on a certificate with everything that it needs."""
        device, issuer = self.write("device.pem", certificate), self.write("ca.pem", ca)
        arguments = [
            *("--rules", str(self.folder / "admission.yaml"), "--certificate", str(device)),
            *("--ca", f"factory-a={issuer}", "--at", at),
            *(
                "--list",
                f"line-a-2026={self.folder / 'line-a.csv'}",
                "--list",
                f"recall-17={self.folder / 'recall.csv'}",
            ),
        ]
        return CliRunner().invoke(jitr, ["explain", *arguments, *more])

    def told(self, certificate: bytes, **changes: Any) -> dict[str, Any]:
        """The document that it prints with --json."""
        found: dict[str, Any] = json.loads(self.explain(certificate, "--json", **changes).stdout)
        return found


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Rules for Factory A; snr-0001 to snr-0003 on the list, snr-0003 recalled."""
    made = Bench(tmp_path)
    made.write("admission.yaml", RULES.format(factory_a=FACTORY.id))
    made.write("line-a.csv", "common_name,attr.batch\nsnr-0001,7\nsnr-0002,\nsnr-0003,7\n")
    made.write("recall.csv", "common_name\nsnr-0003\n")
    return made


def device(name: str = "snr-0001") -> pki.CertificateDraft:
    """A device's certificate with nothing wrong in it."""
    return FACTORY.usual_device(name)


def test_an_admission_is_exit_0_and_says_what_was_not_checked(bench: Bench) -> None:
    result = bench.explain(device().issue().pem, "--json")
    told = json.loads(result.stdout)
    assert result.exit_code == 0
    assert (told["decision"], told["rule"], told["at"]) == ("admit", "line-a", "admission.yaml:7")
    assert told["grant"]["thing"] == "snr-0001"
    assert told["grant"]["attributes"] == {"batch": "7"}
    assert [each for each in told["not_checked"] if "grant.thing-claimed" in each]
    assert [each for each in told["not_checked"] if "grant.max-devices" in each]
    assert told["facts"]["serial_number"] == "1001"


def test_the_document_has_the_fields_that_the_design_names(bench: Bench) -> None:
    told = bench.told(device("gateway").issue().pem)
    assert {"decision", "rule", "reasons", "near_misses", "facts", "grant", "not_checked"} <= set(told)
    assert set(told["near_misses"][0]) == {"rule", "at", "matched", "failed"}
    assert all(set(each) == {"code", "message"} for each in told["reasons"])
    assert (told["rule"], told["grant"]) == (None, None)


def test_a_damaged_certificate_is_held_as_the_function_holds_it(bench: Bench) -> None:
    """A certificate that cannot be read is a decision; bytes that are none are bad input."""
    told = bench.told(device().extension("extendedKeyUsage", b"damaged").without("keyUsage").issue().pem)
    assert (told["decision"], told["reasons"][0]["code"]) == ("hold", "certificate.unreadable")
    assert bench.explain(device().extension("subjectAltName", b"damaged").issue().pem).exit_code == 1


@pytest.mark.parametrize(
    ("draft", "code"),
    [
        (pki.ca_draft().basic_constraints(ca=True).extension("keyUsage", b"damaged"), "chain.ca-unreadable"),
        (pki.ca_draft().basic_constraints(ca=True).serial(0), "chain.ca-serial-number"),
        (pki.ca_draft().basic_constraints(ca=True).serial(-5), "chain.ca-serial-number"),
    ],
)
def test_a_ca_holds_its_devices_offline_under_the_code_that_the_function_gives(
    bench: Bench, draft: pki.CertificateDraft, code: str
) -> None:
    ca = pki.make(draft)
    bench.write("admission.yaml", RULES.format(factory_a=ca.id))
    told = bench.told(ca.usual_device().issue().pem, ca=ca.pem)
    assert (told["decision"], [each["code"] for each in told["reasons"]]) == ("hold", [code])
    assert told["facts"]["ca_certificate_id"] == ca.id


def test_of_cas_given_one_that_cannot_be_read_is_taken_only_where_no_other_is_the_devices(bench: Bench) -> None:
    damaged = pki.make(pki.ca_draft().basic_constraints(ca=True).extension("keyUsage", b"damaged"))
    text = RULES.format(factory_a=FACTORY.id).replace("deny:", f'  other: {{ids: ["{damaged.id}"]}}\ndeny:')
    bench.write("admission.yaml", text)
    other = bench.write("other.pem", damaged.pem)
    result = bench.explain(device().issue().pem, "--ca", f"other={other}", "--json")
    assert json.loads(result.stdout)["decision"] == "admit"


def other_key() -> pki.Issued:
    """A device of a CA with Factory A's name and another key."""
    impostor = pki.make(pki.ca_draft("Factory A", kind="P-384").basic_constraints(ca=True))
    return impostor.usual_device("snr-0001").issue()


STAY_OUT: list[tuple[str, Callable[[], pki.Issued], str, str]] = [
    ("not on the list", lambda: device("snr-9999").issue(), "hold", "allow.unmatched"),
    ("another name", lambda: device("gateway-1").issue(), "hold", "allow.unmatched"),
    ("recalled", lambda: device("snr-0003").issue(), "reject", "deny.rule"),
    ("no batch in its row", lambda: device("snr-0002").issue(), "hold", "grant.template-missing"),
    ("itself a CA", lambda: FACTORY.device().basic_constraints(ca=True).issue(), "reject", "certificate.is-ca"),
    ("expired", lambda: device().valid(not_after=pki.NOW - timedelta(1)).issue(), "reject", "certificate.expired"),
    ("too early", lambda: device().valid(pki.NOW + timedelta(1)).issue(), "hold", "certificate.not-yet-valid"),
    ("same name, other CA key", other_key, "reject", "chain.bad-signature"),
    (
        "a server's",
        lambda: FACTORY.device().extended_key_usage("serverAuth").issue(),
        "hold",
        "certificate.no-client-auth",
    ),
    ("SHA-1", lambda: device().signed_with("sha1").issue(), "hold", "certificate.signature-hash"),
    ("RSA-1024", lambda: device().key("RSA-1024").issue(), "hold", "certificate.key"),
    ("Ed25519", lambda: device().key("Ed25519").issue(), "hold", "certificate.key"),
    (
        "two common names",
        lambda: device().subject(("O", "OKIDA"), ("CN", "snr-0001"), ("CN", "snr-0002")).issue(),
        "hold",
        "allow.ambiguous",
    ),
]


@pytest.mark.parametrize(("_what", "make", "decision", "code"), STAY_OUT, ids=[each[0] for each in STAY_OUT])
def test_what_must_stay_out_stays_out_and_says_why(
    bench: Bench, _what: str, make: Callable[[], pki.Issued], decision: str, code: str
) -> None:
    result = bench.explain(make().pem, "--json")
    told = json.loads(result.stdout)
    assert (result.exit_code, told["decision"], told["reasons"][0]["code"]) == (1, decision, code)


def test_a_near_miss_says_which_conditions_failed_and_by_how_much(bench: Bench) -> None:
    near = bench.told(device("snr-9999").issue().pem, at="2026-07-04")["near_misses"][0]
    assert (near["rule"], near["at"]) == ("line-a", "admission.yaml:7")
    assert set(near["matched"]) == {"ca", "common_name", "organization"}
    assert {each["condition"]: each["message"] for each in near["failed"]} == {
        "window": "window 2026-01-01..2026-06-30 closed 3 days ago",
        "list": "list line-a-2026: not on it",
    }


def test_for_people_verdict_rule_reasons_near_misses_and_facts_are_told_without_colour_codes(bench: Bench) -> None:
    text = bench.explain(device("snr-9999").issue().pem).stdout
    for part in (
        "HOLD",
        "allow.unmatched",
        "Near misses",
        "line-a (admission.yaml:7)",
        "not on it",
        "common_name=snr-9999",
    ):
        assert part in text
    assert "\x1b" not in text


def test_control_characters_of_a_certificate_do_not_reach_the_terminal(bench: Bench) -> None:
    text = bench.explain(device("snr-\x1b[31m\u202e").issue().pem).stdout
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_the_classic_openssl_files_are_admitted(bench: Bench, tmp_path: Path) -> None:
    """A version 1 leaf of a CA with nothing but basicConstraints, not critical."""
    ca, leaf = pki.classic_files(tmp_path)
    made = x509.load_pem_x509_certificate(ca)
    rules = RULES.format(factory_a=made.fingerprint(hashes.SHA256()).hex())
    bench.write("admission.yaml", rules.replace("2026-06-30", "9999-12-31"))
    told = bench.told(leaf, ca=ca, at=rfc3339(made.not_valid_before_utc + timedelta(days=1)))
    assert (told["decision"], told["facts"]["version"]) == ("admit", 1)


NO_CERTIFICATES = {
    "a key": (pki.private_pem(pki.key()), "private key"),
    "nothing": (b"", "empty"),
    "text": (b"hello", "certificate"),
    "damaged": (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "certificate"),
}


@pytest.mark.parametrize("kind", NO_CERTIFICATES)
def test_a_file_that_is_no_certificate_is_exit_2_and_named_for_what_it_is(bench: Bench, kind: str) -> None:
    data, told = NO_CERTIFICATES[kind]
    result = bench.explain(data)
    assert result.exit_code == 2
    assert "device.pem" in result.stderr
    assert told in result.stderr
    assert "Traceback" not in result.output


def test_a_list_that_the_rules_name_and_that_was_not_given_is_exit_2(bench: Bench) -> None:
    leaf, ca = bench.write("device.pem", device().issue().pem), bench.write("ca.pem", FACTORY.pem)
    arguments = ["--rules", str(bench.folder / "admission.yaml"), "--certificate", str(leaf), "--ca", f"factory-a={ca}"]
    result = CliRunner().invoke(jitr, ["explain", *arguments])
    assert result.exit_code == 2
    assert "--list line-a-2026=FILE" in result.stderr


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--ca", "factory-x=ca.pem"), "no CA of that name"),
        (("--ca", "factory-a"), "ALIAS=FILE"),
        (("--ca", "factory-a=again.pem"), "given twice"),
        (("--list", "line-a-2026"), "NAME=FILE"),
    ],
)
def test_wrong_options_are_exit_2(bench: Bench, more: tuple[str, ...], told: str) -> None:
    result = bench.explain(device().issue().pem, *more)
    assert (result.exit_code, told in result.stderr) == (2, True)


def test_a_time_that_is_none_is_exit_2(bench: Bench) -> None:
    result = bench.explain(device().issue().pem, at="yesterday")
    assert (result.exit_code, "RFC 3339" in result.stderr) == (2, True)


def test_rules_with_errors_are_exit_2_with_all_of_them(bench: Bench) -> None:
    bench.write("admission.yaml", "format: 2\ndefualt: hold\nallow: []\n")
    result = bench.explain(device().issue().pem)
    assert result.exit_code == 2
    assert "admission.yaml:1" in result.stderr
    assert "admission.yaml:2" in result.stderr


def test_of_two_cas_with_one_subject_the_one_whose_key_signed_is_taken(bench: Bench) -> None:
    one, two = pki.classic_ca("one"), pki.classic_ca("two")
    bench.write(
        "admission.yaml",
        RULES.format(factory_a=one.id).replace("deny:", f'  factory-b: {{ids: ["{two.id}"]}}\ndeny:', 1),
    )
    second = bench.write("second.pem", two.pem)
    result = bench.explain(two.device("snr-0001").issue().pem, "--json", "--ca", f"factory-b={second}", ca=one.pem)
    told = json.loads(result.stdout)
    assert told["facts"]["ca_certificate_id"] == two.id
    assert told["reasons"][0]["code"] == "allow.unmatched"
    assert told["near_misses"][0]["failed"][0]["message"] == "its CA is factory-b, not factory-a"


def test_a_wrong_authority_key_identifier_is_a_warning_only(bench: Bench) -> None:
    told = bench.told(FACTORY.device().identifiers(authority=b"\x00" * 20).issue().pem)
    assert told["decision"] == "admit"
    assert len(told["warnings"]) == 1


def test_a_list_of_many_thousand_rows_is_read(bench: Bench) -> None:
    rows = "".join(f"snr-{number:06d},7\n" for number in range(20_000))
    bench.write("line-a.csv", f"common_name,attr.batch\n{rows}")
    assert bench.told(device("snr-019999").issue().pem)["decision"] == "admit"


# --- revocation lists


def with_crl(bench: Bench) -> None:
    """The same rules, with a revocation list for the CA."""
    text = (bench.folder / "admission.yaml").read_text()
    found = text.replace("]}", '], crl: {url: "s3://example-crls/a.crl"}}', 1)
    assert found != text
    bench.write("admission.yaml", found)


@pytest.mark.parametrize(
    ("entries", "code", "decision", "reasons"),
    [
        ([], 0, "admit", ["allow.rule"]),
        ([crls.entry(0x1001, "keyCompromise")], 1, "reject", ["revocation.revoked"]),
        ([crls.entry(0x1001, "certificateHold")], 1, "hold", ["revocation.on-hold"]),
        ([crls.entry(0x1002, "keyCompromise")], 0, "admit", ["allow.rule"]),
    ],
)
def test_a_revocation_list_is_given_as_a_file(
    bench: Bench, entries: list[bytes], code: int, decision: str, reasons: list[str]
) -> None:
    with_crl(bench)
    file = bench.write("a.crl", crls.pem(crls.crl(FACTORY, entries)))
    result = bench.explain(device().issue().pem, "--crl", f"factory-a={file}", "--json")
    assert result.exit_code == code, result.output
    told = json.loads(result.stdout)
    assert (told["decision"], [each["code"] for each in told["reasons"]]) == (decision, reasons)
    assert told["facts"]["revocation"]["s3://example-crls/a.crl"]["next_update"] == "2026-03-08T12:00:00Z"


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"no list at all", "neither DER nor"),
        (crls.crl(pki.ca("Factory B")), "Factory B"),
        (crls.crl(FACTORY, hash_name="sha1"), "sha1"),
    ],
    ids=["no list", "of another CA", "SHA-1"],
)
def test_a_revocation_list_that_cannot_be_used_holds_the_device(bench: Bench, data: bytes, told: str) -> None:
    with_crl(bench)
    found = bench.explain(device().issue().pem, "--crl", f"factory-a={bench.write('a.crl', data)}", "--json")
    assert found.exit_code == 1
    reasons = json.loads(found.stdout)["reasons"]
    assert [each["code"] for each in reasons] == ["revocation.unusable"]
    assert told in reasons[0]["message"]


PARTITIONS = """crl: {partitions: [
      {url: "s3://example-crls/1", point: "http://crl.example.com/1", delta: "s3://example-crls/1d"},
      {url: "http://crl.example.com/2"}]}}"""


def in_partitions(bench: Bench) -> list[str]:
    """Rules with a list in two partitions; the files of the first, which is the device's, and of the second."""
    text = (bench.folder / "admission.yaml").read_text()
    bench.write("admission.yaml", text.replace("]}", f"], {PARTITIONS}", 1))
    first, second = (crls.partition(f"http://crl.example.com/{each}") for each in (1, 2))
    made = {
        "1.crl": crls.crl(FACTORY, extensions=(first,)),
        "1d.crl": crls.delta(FACTORY, [crls.entry(0x1001, "superseded")], extensions=(first,)),
        "2.crl": crls.crl(FACTORY, extensions=(second,)),
    }
    return [f"factory-a={bench.write(name, data)}" for name, data in made.items()]


def test_partitions_and_delta_lists_are_given_as_files_that_say_themselves_which_they_are(bench: Bench) -> None:
    files = in_partitions(bench)
    pem = crls.naming(device(), "http://crl.example.com/1").issue().pem
    result = bench.explain(pem, *(option for file in files for option in ("--crl", file)), "--json")
    told = json.loads(result.stdout)
    assert (told["decision"], [each["code"] for each in told["reasons"]]) == ("reject", ["revocation.revoked"])
    assert told["facts"]["revocation"]["s3://example-crls/1 and s3://example-crls/1d"]["delta"]["number"] == "2"
    people = bench.explain(pem, *(option for file in files for option in ("--crl", file)))
    assert "delta list of 2026-03-01T11:00:00Z" in people.stdout
    assert bench.explain(device().issue().pem, "--crl", files[2]).exit_code == 1, "it names no partition, and is held"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([0], "gives factory-a a delta revocation list for http://crl.example.com/1, which is not given"),
        ([1], "gives factory-a a revocation list for http://crl.example.com/1, which is not given"),
        ([0, 0, 1], "is a second list of s3://example-crls/1"),
    ],
)
def test_a_partition_or_delta_list_that_is_missing_or_given_twice_is_one_line(
    bench: Bench, given: list[int], told: str
) -> None:
    files = in_partitions(bench)
    pem = crls.naming(device(), "http://crl.example.com/1").issue().pem
    result = bench.explain(pem, *(option for each in given for option in ("--crl", files[each])))
    assert (result.exit_code, result.stdout) == (2, "")
    assert told in result.stderr


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (crls.crl(FACTORY, extensions=(crls.partition("http://crl.example.com/3"),)), "has no partition"),
        (crls.delta(FACTORY, extensions=(crls.partition("http://crl.example.com/2"),)), "gives that CA no `delta`"),
        (b"no list at all", "neither DER nor"),
    ],
    ids=["of another partition", "a delta list that the rules do not have", "no list"],
)
def test_a_file_that_is_none_of_the_partitions_is_one_line(bench: Bench, data: bytes, told: str) -> None:
    in_partitions(bench)
    result = bench.explain(device().issue().pem, "--crl", f"factory-a={bench.write('x.crl', data)}")
    assert (result.exit_code, result.stdout) == (2, "")
    assert told in result.stderr


def test_a_revocation_list_that_counts_and_was_not_given_is_asked_for(bench: Bench) -> None:
    with_crl(bench)
    result = bench.explain(device().issue().pem)
    assert result.exit_code == 2
    assert "--crl factory-a=FILE" in result.stderr


def test_a_revocation_list_of_an_unknown_alias_is_an_error_and_one_that_decides_nothing_a_warning(bench: Bench) -> None:
    file = bench.write("a.crl", crls.crl(FACTORY, [crls.entry(0x1001)]))
    assert bench.explain(device().issue().pem, "--crl", f"factory-z={file}").exit_code == 2
    result = bench.explain(device().issue().pem, "--crl", f"factory-a={file}")
    assert result.exit_code == 0
    assert "decides nothing" in result.stderr


def test_a_list_can_be_a_signed_manifest_or_certificates(bench: Bench) -> None:
    """Without a signer that is named, nothing in a manifest is believed: no AWS is asked for those that are kept."""
    lot = Lot(FACTORY)
    bench.write("signer.pem", SIGNER.pem)
    bench.write("lot.json", manifest([lot.element(1), lot.element(2)]))
    bench.write("lot.pem", lot.certificate(1).pem)
    bench.write(
        "admission.yaml",
        f"format: 1\ncas: {{factory-a: {{ids: ['{FACTORY.id}']}}}}\nallow:\n"
        "  - {name: lot, ca: factory-a, list: lot, grant: {thing: 'a', iot_policies: [Sensor]}}\n",
    )
    folder = bench.folder
    listed, stranger = lot.certificate(1).pem, lot.certificate(3).pem
    signer = ("--signer", str(folder / "signer.pem"))
    for more in ((f"lot={folder}/lot.json", *signer), (f"lot={folder}/lot.pem",)):
        assert bench.explain(listed, "--list", *more).exit_code == 0
        assert bench.explain(stranger, "--list", *more).exit_code == 1
    refused = bench.explain(listed, "--list", f"lot={folder}/lot.json")
    assert (refused.exit_code, "no signer of manifests is known" in refused.stderr) == (2, True)
    refused = bench.explain(listed, "--list", f"lot={folder}/lot.pem", *signer)
    assert (refused.exit_code, "--signer is for signed manifests" in refused.stderr) == (2, True)


# --- OCSP


def with_ocsp(bench: Bench) -> None:
    """Let the rules give factory-a a responder."""
    text = (bench.folder / "admission.yaml").read_text()
    found = text.replace("]}", "], ocsp: {url: http://ocsp.example.com/a}}", 1)
    assert found != text
    bench.write("admission.yaml", found)


CERTIFICATE_ID = answers.asked(question_about(read_ca(FACTORY.pem, status=""), 0x1001).encoded)[0]
ANSWER = answers.ResponseDraft(FACTORY, CERTIFICATE_ID)


@pytest.mark.parametrize(
    ("answer", "code", "codes"),
    [
        (ANSWER.issue(), 0, ["allow.rule"]),
        (ANSWER.but(status=answers.revoked(1)).issue(), 1, ["revocation.revoked"]),
        (ANSWER.but(status=answers.UNKNOWN).issue(), 1, ["revocation.unknown"]),
        (ANSWER.but(next_update=pki.NOW - timedelta(hours=1)).issue(), 1, ["revocation.unusable"]),
        (answers.refusal(3), 1, ["revocation.unavailable"]),
        (b"nothing", 1, ["revocation.unusable"]),
    ],
    ids=["good", "revoked", "unknown", "ran out", "tryLater", "no answer"],
)
def test_a_device_is_explained_by_what_its_ca_s_responder_answered(
    bench: Bench, answer: bytes, code: int, codes: list[str]
) -> None:
    with_ocsp(bench)
    file = bench.write("a.ors", answer)
    result = bench.explain(device().issue().pem, "--ocsp", f"factory-a={file}", "--json")
    assert result.exit_code == code, result.stderr
    told = json.loads(result.stdout)
    assert [each["code"] for each in told["reasons"]] == codes
    assert "http://ocsp.example.com/a" in told["facts"]["ocsp"]


def test_an_answer_that_the_rules_ask_for_and_that_is_not_given_is_asked_for(bench: Bench) -> None:
    with_ocsp(bench)
    result = bench.explain(device().issue().pem)
    assert result.exit_code == 2
    assert "--ocsp factory-a=FILE, as `openssl ocsp -respout FILE` writes it" in result.stderr


def test_what_a_responder_said_is_shown_to_people(bench: Bench) -> None:
    with_ocsp(bench)
    result = bench.explain(device().issue().pem, "--ocsp", f"factory-a={bench.write('a.ors', ANSWER.issue())}")
    assert "good, by the CA itself, of 2026-03-01T12:00:00Z to 2026-03-01T13:00:00Z" in " ".join(result.stdout.split())
