"""The JSON Schema and docs/rules.md: right, and never stricter than the reader."""

import re
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from testkit import wrong_rules as wrong
from testkit.editor import as_an_editor_reads, validator
from testkit.rules import EXAMPLE, ID_A, ID_B, marked, read

from jitr.decision.selftest import run
from jitr.reasons import CODES
from jitr.rules.file.fields import (
    ALLOW,
    CA,
    CERTIFICATE,
    CONDITION_NAMES,
    CONDITIONS,
    CRL,
    DENY,
    DEVICE,
    EXPECT,
    FILE,
    GRANT,
    OCSP,
    PARTITION,
    ROW,
    TEST,
)
from jitr.rules.file.kinds import SUBJECT_ATTRIBUTES
from jitr.rules.file.problems import RulesError
from jitr.rules.file.reader import read_rules
from jitr.rules.file.schema import json_schema
from jitr.rules.file.shapes import Field

DOCS = Path(__file__).parents[2] / "docs"


# The schema


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(json_schema())


def test_it_takes_the_example() -> None:
    validator().validate(as_an_editor_reads(EXAMPLE))


@pytest.mark.parametrize("text", ["country: NO", "title: 0123", "title: true", "title: 1.5", "serial_number: 1000"])
def test_it_takes_what_the_reader_takes_for_text(text: str) -> None:
    file = f"format: 1\nallow:\n  - {{name: a, list: l, {text}, grant: {{iot_policies: 7}}}}\n"
    read(file)
    validator().validate(as_an_editor_reads(file))


ALL_WRONG = [
    *wrong.FILE,
    *wrong.CAS,
    *wrong.FLOOR,
    *wrong.RULES,
    *wrong.CONDITIONS,
    *wrong.GRANTS,
    *wrong.TEMPLATES,
    *wrong.TESTS,
]


# What takes more than a schema: YAML itself, names that other parts of the file give, order, arithmetic.
BEYOND_A_SCHEMA = {
    "duplicate key",
    "id twice",
    "certificate with nobody to read it",
    "alias like an id",
    "name taken by an allow rule",
    "name taken by a deny rule",
    "name taken on the same line",
    "max_devices with a leading zero",
    "pattern that ends in a backslash",
    "pattern with a line end",
    "pattern with a NUL",
    "unknown CA alias",
    "crl at https://169.254.169.254/latest/meta-data/",
    "crl at https://127.0.0.1:9001/2018-06-01/runtime/",
    "crl at https://localhost/a.crl",
    "crl at https://0.1.2.3/a.crl",
    "crl at https://240.0.0.1/a.crl",
    "crl at http://169.254.169.254/latest/meta-data/",
    "crl at http://localhost:8080/a.crl",
    'crl at "http://[::1]:8080/a.crl"',
    'crl at "http://[::ffff:169.254.169.254]/a.crl"',
    'crl at "http://[10.0.0.1]/a.crl"',
    "ocsp at http://169.254.169.254/latest/meta-data/",
    "ocsp at http://localhost:2560/",
    "ocsp at http://127.0.0.1/",
    "responder with nobody to read it",
    "no partitions at all",
    "delta at the address of the list",
    "partition twice",
    "distribution point twice",
    "partition in S3 that nobody names",
    "private_network of partitions in S3",
    "private_network of S3",
    "unknown CA alias like no other",
    "serial range reversed",
    "serial by a spreadsheet",
    "serial too long",
    "same serial twice",
    "window reversed",
    "window with no such day",
    "four attributes without type",
    "attribute value too long",
    "thing too long",
    "row attribute without list",
    "row attribute without list, in an attribute",
    "no such time",
    "time before all times",
    "unknown CA of a device",
    "validity reversed",
    "list that no rule names",
    "row with an unknown CA",
    "row with a time that the list reader refuses",
    "unknown rule",
    "allow rule that should reject",
    "thing for a held device",
    "policy value of another attribute",
    "renewal_from under hold",
    "renewal_from an unknown CA",
    "former name of a rule that is there",
    "former name of two rules",
}


def test_it_refuses_what_the_reader_refuses_but_for_what_no_schema_can_say() -> None:
    """These are the reader's own cases of wrong files, so what the schema refuses of them the reader refuses too."""
    taken = {case.name for case in ALL_WRONG if validator().is_valid(as_an_editor_reads(marked(case.text)[0]))}
    assert taken == BEYOND_A_SCHEMA


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "format: '1.0'",
        "format: 1\nallow: {}",
        "format: 1\ncas: []",
        "format: 1\nallow: [{name: a, list: null, grant: {iot_policies: p}}]",
        "format: 1\nallow: [{name: a, list: [], grant: {iot_policies: p}}]",
        "format: 1\nallow: [{name: a, list: [l, l], grant: {iot_policies: p}}]",
        "format: 1\nallow: [{name: a, list: {l: m}, grant: {iot_policies: p}}]",
        "format: 1\nallow: [{name: a, list: l, grant: {}}]",
        "format: 1\nallow: [{name: a, list: l, grant: {thing: '{x}', iot_policies: p}}]",
        "format: 1\nallow: [{name: a, list: l, grant: {thing_groups: g}}]",
        "format: 1\nallow: [{name: a, list: l, max_devices: 0, grant: {iot_policies: p}}]",
        "format: 1\nallow: [{name: a, list: l, max_devices: 1.5, grant: {iot_policies: p}}]",
        "format: 1\nallow: [{name: a, list: l, window: 2026-01-01, grant: {iot_policies: p}}]",
        "format: 1\nallow: [{name: a b, list: l, grant: {iot_policies: p}}]",
        "format: 1\ndeny: [{name: a, list: l, revoke: 1}]",
        "format: 1\ndeny: [{name: a}]",
        "format: 1\ntests: [{name: a, at: now, device: {}, expect: {decision: hold}}]",
        "format: 1\ntests: [{name: a, at: 2026-01-01, device: {x: 1}, expect: {decision: hold}}]",
    ],
)
def test_what_it_refuses_the_reader_refuses(text: str) -> None:
    assert not validator().is_valid(as_an_editor_reads(text))
    with pytest.raises(RulesError):
        read_rules(text.encode(), source="admission.yaml")


def test_every_key_has_a_description_and_nothing_else_is_allowed() -> None:
    schema = json_schema()
    for record in (schema, *schema["$defs"].values()):
        assert record["additionalProperties"] is False
        assert all(each["description"] for each in record["properties"].values())


# The tables


@pytest.mark.parametrize(
    "record",
    [FILE, CA, CRL, OCSP, CERTIFICATE, DENY, ALLOW, GRANT, TEST, DEVICE, ROW, EXPECT],
    ids=lambda record: record.what,
)
def test_every_key_is_documented(record: Any) -> None:
    for each in record.fields:
        assert each.doc.endswith("."), each.name


def test_every_subject_attribute_is_a_documented_condition() -> None:
    """And so is nothing that is not listed here: CONTRIBUTING.md sends whoever adds a condition to this line."""
    assert set(CONDITION_NAMES) == {"ca", "list", "serial_number", "window", *SUBJECT_ATTRIBUTES}


# The least that each record needs, and which others a key needs beside it.
LEAST = {
    "ca": {"ids": ID_A},
    "crl": {"url": "s3://abc/d"},
    "partition": {"url": "http://crl.example.com/8.crl"},
    "ocsp": {"url": "http://ocsp.example.com/"},
    "certificate": {"min_rsa_bits": "2048"},
    "deny": {"name": "recalled-boards", "list": "l"},
    "allow": {"name": "line-a-sensors", "list": "line-a-2026"},
    "grant": {"thing": "t", "iot_policies": "p"},
    "test": {"name": "a", "at": "2026-03-01"},
    "device": {"title": "t"},
    "row": {"common_name": "a"},
    "expect": {"decision": "admit"},
}
RECORDS = [CA, CRL, PARTITION, OCSP, CERTIFICATE, DENY, ALLOW, GRANT, TEST, DEVICE, ROW, EXPECT]
BESIDE = {
    ("row", "serial_number"): {"ca": "factory-a"},
    ("row", "ca"): {"serial_number": "1"},
    ("crl", "private_network"): {"url": "https://crl.example.com/a.crl"},
    ("crl", "delta"): {"url": "https://crl.example.com/a.crl"},
    ("grant", "renewal_from"): {"renewal": "replace"},
}
EXAMPLES = [
    (place, each) for place, record in zip(LEAST, RECORDS, strict=True) for each in record.fields if each.example
]


@pytest.mark.parametrize(("place", "field"), EXAMPLES, ids=lambda each: getattr(each, "name", each))
def test_the_example_of_every_key_is_read(place: str, field: Field) -> None:
    records = {name: dict(keys) for name, keys in LEAST.items()}
    records[place] |= {field.name: field.example} | BESIDE.get((place, field.name), {})
    if field.name == "certificate":
        del records["ca"]["ids"]

    def block(name: str, by: int) -> str:
        return indent("\n".join(f"{key}: {value}" for key, value in records[name].items()), " " * by)

    lists = "" if "lists" in records["test"] else f"    lists:\n      line-a-2026:\n        -\n{block('row', 10)}\n"
    file = (
        f"format: 1\ncas:\n  factory-a:\n    ids: {ID_B}\n  b:\n{block('ca', 4)}\n    crl:\n{block('crl', 6)}\n"
        f"    ocsp:\n{block('ocsp', 6)}\n"
        f"  c:\n    ids: {'cc' * 32}\n    crl:\n      partitions:\n        -\n{block('partition', 10)}\n"
        f"certificate:\n{block('certificate', 2)}\ndeny:\n  -\n{block('deny', 4)}\n"
        f"allow:\n  -\n{block('allow', 4)}\n    grant:\n{block('grant', 6)}\n"
        f"  -\n    name: another\n    list: line-a-2026\n    grant: {{iot_policies: p}}\n"
        f"tests:\n  -\n{block('test', 4)}\n    device:\n{block('device', 6)}\n{lists}"
        f"    expect:\n{block('expect', 6)}\n"
    )
    read_rules(file.encode(), source="admission.yaml", certificate_id=lambda _: ID_A, responder=lambda _: "MA==")


# The reference


def examples() -> list[str]:
    document = (DOCS / "rules.md").read_text(encoding="utf-8")
    return re.findall(r"```yaml\n(.*?)```", document, flags=re.DOTALL)


def completed(example: str) -> str:
    """An example as a file: as it is, with `format` and CAs, or within a rule or a grant."""
    keys = re.findall(r"^(\w+):", example, flags=re.MULTILINE)
    if "format" in keys:
        return example
    file = "format: 1\n" + (
        "" if "cas" in keys else f"cas: {{factory-a: {{ids: {ID_A}}}, factory-b: {{ids: {ID_A}}}}}\n"
    )
    if set(keys) <= set(FILE.by_name):
        return file + example
    if set(keys) <= set(CONDITION_NAMES):
        return f"{file}allow:\n  - name: a\n{indent(example, '    ')}    grant: {{iot_policies: p}}\n"
    grant = indent(example, "      ")
    return f"{file}allow:\n  - name: a\n    list: l\n    grant:\n{grant}"


@pytest.mark.parametrize("example", examples())
def test_every_example_in_the_reference_is_read_and_its_tests_pass(example: str) -> None:
    file = completed(example)
    rules_file = read_rules(file.encode(), source="rules.md", certificate_id=lambda _: ID_A, responder=lambda _: "MA==")
    assert run(rules_file) == ()
    validator().validate(as_an_editor_reads(file))


def test_every_condition_and_grant_key_is_in_an_example_or_a_table() -> None:
    document = (DOCS / "rules.md").read_text(encoding="utf-8")
    for each in (*CONDITIONS, *GRANT.fields):
        assert f"`{each.name}: " in document


def test_every_reason_code_in_the_reference_exists() -> None:
    document = (DOCS / "rules.md").read_text(encoding="utf-8")
    codes = re.findall(r"`((?:event|certificate|chain|revocation|deny|allow|grant|apply)\.[a-z-]+)`", document)
    assert codes
    assert set(codes) <= set(CODES)
