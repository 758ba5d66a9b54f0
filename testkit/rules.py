"""Rules files for tests: parts put together, and texts in which «» mark what an error must point at."""

from collections.abc import Iterable
from textwrap import dedent, indent

import pytest

from jitr.errors import InputError
from jitr.rules.file.problems import Problem, RulesError
from jitr.rules.file.reader import RulesContext, read_rules
from jitr.rules.file.rules_file import RulesFile

ID_A, ID_B = "a0" * 32, "b1" * 32
# Both have revocation lists, so that no file is warned of an alias that no rule uses.
CAS = f"""\
cas:
  factory-a: {{ids: {ID_A}, crl: {{url: s3://example-crls/a.crl}}}}
  factory-b: {{ids: {ID_B}, crl: {{url: s3://example-crls/b.crl}}}}
"""
GRANT = "grant: {iot_policies: Sensor}"

# One of everything.
EXAMPLE = f"""\
# yaml-language-server: $schema=admission.schema.json
format: 1
default: hold
cas:
  factory-a:
    ids: ["{ID_A}"]  # `jitr ca ls` prints it
    crl: {{url: "s3://example-crls/factory-a.crl", when_stale: hold}}
certificate:
  min_rsa_bits: 2048
  curves: [P-256, P-384, P-521]
  signature_hashes: [sha256, sha384, sha512]
deny:
  - name: recalled-boards
    list: recall-17
    reason: Recall 17, bad radio
allow:
  - name: line-a-sensors
    ca: factory-a
    common_name: "snr-*"
    organization: OKIDA
    list: line-a-2026
    serial_number: "1000..1fff"
    window: 2026-01-01..2026-06-30
    max_devices: 5000
    grant:
      thing: "{{common_name}}"
      thing_type: Sensor
      attributes: {{line: a, batch: "{{attr.batch}}"}}
      thing_groups: [line-a]
      iot_policies: [Sensor]
      renewal: hold
      existing: hold
tests:
  - name: a sensor of line a gets in
    at: 2026-03-01
    device: {{ca: factory-a, common_name: snr-0001, organization: OKIDA, serial_number: "1001"}}
    lists: {{line-a-2026: [{{common_name: snr-0001, attr.batch: "7"}}]}}
    expect: {{decision: admit, rule: line-a-sensors, thing: snr-0001}}
"""


def lines(text: str, by: int) -> str:
    """A text from a test, indented by so many spaces."""
    return indent(dedent(text).strip("\n"), " " * by) + "\n"


def in_file(rest: str) -> str:
    """A file with this in it, and CAs."""
    return f"format: 1\n{CAS}{lines(rest, 0)}"


def in_allow(*rules: str) -> str:
    """A file with allow rules that have this in them, and names and grants unless they say their own."""
    texts = []
    for number, rule in enumerate(rules, 1):
        text = lines(rule, 4)
        name = "" if text.strip("« ").startswith("name") else f"    name: rule-{number}\n"
        grant = "" if "grant" in rule else f"    {GRANT}\n"
        texts.append("  -" + (name + text + grant)[3:])
    return f"format: 1\n{CAS}allow:\n{''.join(texts)}"


def in_grant(text: str, rule: str = "ca: factory-a") -> str:
    """A file with one allow rule whose grant is this."""
    return in_allow(f"{lines(rule, 0)}grant:\n{lines(text, 2)}")


def in_test(text: str) -> str:
    """A file with one rule, for factory-a and line-a, and one test that has this in it."""
    rule = f"{{name: rule-1, ca: factory-a, list: line-a, {GRANT}}}"
    return f"format: 1\n{CAS}allow:\n  - {rule}\ntests:\n  -{lines(text, 4)[3:]}"


def marked(text: str) -> tuple[str, list[tuple[int, int, int]]]:
    """The text without its «» marks, and line, column and length (at least 1) of what was in each."""
    places = []
    plain, *parts = text.split("«")
    for part in parts:
        meant, _, rest = part.partition("»")
        places.append((plain.count("\n") + 1, len(plain) - plain.rfind("\n"), max(1, len(meant))))
        plain += meant + rest
    return plain, places


def read(text: str, known: RulesContext | None = None) -> RulesFile:
    """The file, which must be without errors."""
    return read_rules(text.encode(), source="admission.yaml", known=known)


def problems(text: str | bytes, known: RulesContext | None = None) -> tuple[Problem, ...]:
    """The errors of a file, which must have some."""
    data = text.encode() if isinstance(text, str) else text
    with pytest.raises(RulesError) as caught:
        read_rules(data, source="admission.yaml", known=known)
    assert isinstance(caught.value, InputError)
    return caught.value.problems


def places(found: Iterable[Problem]) -> list[tuple[int, int, int]]:
    """Line, column and length of problems."""
    return [(each.line, each.column, each.length) for each in found]


def told(problem: Problem) -> str:
    """What a problem says, with its hint."""
    return f"{problem.message} | {problem.hint}"
