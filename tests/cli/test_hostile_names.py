"""Names that strangers choose, on every way out: each leaves in a form that does no harm, or is refused with its code.

A certificate's common name is whatever its CA signed, and a CA may sign what a device asked for.
"""

import csv
import io
import json
import re
import shlex
import unicodedata
from dataclasses import dataclass
from pathlib import Path

import pytest
import regex
from aws_lambda_powertools import Logger
from click.testing import CliRunner
from testkit import pki
from testkit.cli.command_line import Run
from testkit.knocks import allow, rules
from testkit.pki import NOW

from jitr.decision.chain import verify_chain
from jitr.decision.decide import Decision, decide
from jitr.devicelists.csv.reader import read_list, write_rows
from jitr.devicelists.rows import ListRow, Membership
from jitr.devicelists.values import read_row
from jitr.facts import Knock
from jitr.reasons import CODES, Verdict
from jitr.rules.model import Grant
from jitr.unseen import quote
from jitr.x509.certificate import read_ca, read_certificate
from jitr_cli.console.output import safe
from jitr_cli.main import jitr

FACTORY = pki.ca("Factory A")


@dataclass(frozen=True)
class Hostile:
    """A name, and where it may get through as it is: AWS IoT takes more in an attribute than in a thing's name."""

    name: str
    attribute: bool = False
    policy: bool = True
    on_lists: bool = True


NAMES = {
    "bell": Hostile("snr\x07", on_lists=False),
    "escape sequence": Hostile("snr\x1b[2J\x1b]0;title\x07", on_lists=False),
    "delete": Hostile("snr\x7f", on_lists=False),
    "C1 control": Hostile("snr\x9b31m", on_lists=False),
    "NUL": Hostile("snr-0001\x00.evil", on_lists=False),
    "newline": Hostile("snr-0001\nsnr-0002", on_lists=False),
    "carriage return": Hostile("snr-0001\rsnr-0002", on_lists=False),
    "tab": Hostile("snr\t0001", on_lists=False),
    "line separator": Hostile("snr\u20280001", on_lists=False),
    "bidi override": Hostile("snr-\u202e1000", on_lists=False),
    "zero width": Hostile("snr\u200b-0001", on_lists=False),
    "no-break space": Hostile("snr\u00a00001", on_lists=False),
    "ideographic space": Hostile("snr\u30000001", on_lists=False),
    "variation selector": Hostile("snr-0001\ufe0f", on_lists=False),
    "variation selector of plane 14": Hostile("snr-0001\U000e0100", on_lists=False),
    "grapheme joiner": Hostile("snr\u034f-0001", on_lists=False),
    "Hangul filler": Hostile("snr-0001\u3164", on_lists=False),
    "Hangul choseong filler": Hostile("snr-0001\u115f", on_lists=False),
    "blank of Braille": Hostile("snr-0001\u2800", on_lists=False),
    "byte order mark": Hostile("\ufeffsnr-0001", on_lists=False),
    "homograph": Hostile("snr-\u0430001"),
    "policy variable": Hostile("${iot:ClientId}", policy=False),
    "policy wildcard": Hostile("*", policy=False),
    "policy wildcard for one": Hostile("snr-000?", policy=False),
    "topic wildcard": Hostile("+", policy=False),
    "topic wildcard for all": Hostile("#", attribute=True, policy=False),
    "topic level": Hostile("snr-0001/x", attribute=True, policy=False),
    "path": Hostile("../../snr", attribute=True, policy=False),
    "formula": Hostile("=1+1", policy=False),
    "formula that links": Hostile('=HYPERLINK("https://a.example")', policy=False),
    "formula with @": Hostile("@SUM(A1)"),
    "formula with -": Hostile("-1", attribute=True),
    "formula in full width": Hostile("\uff1d1"),
    "number": Hostile("1E5", attribute=True),
    "apostrophe": Hostile("'=1"),
    "separators and quotes": Hostile('a","b;c'),
    "shell": Hostile("a; rm -rf ~ `id` $(id)", policy=False),
    "shell quotes": Hostile("a'b\"c\\"),
    "option": Hostile("--force", attribute=True),
    "markup": Hostile("[red]snr[/red][link=https://a.example]x[/link]", attribute=True, policy=False),
    "JSON": Hostile('"},{"certificateId":"'),
    "empty": Hostile("", attribute=True, on_lists=False),
    "300 characters": Hostile("s" * 300, attribute=True),
}
EACH = pytest.mark.parametrize("hostile", NAMES.values(), ids=NAMES)


def certificate(name: str) -> pki.Issued:
    return FACTORY.usual_device().subject(("O", "OKIDA"), ("CN", name)).issue()


def decided(name: str, grant: Grant, row: ListRow | None = None) -> Decision:
    reading, ca = read_certificate(certificate(name).der), read_ca(FACTORY.pem, status="ACTIVE")
    knock = Knock(reading.facts, FACTORY.id, ca.facts, verify_chain(reading, ca), frozenset({"factory-a"}))
    lists = () if row is None else ("line-a",)
    memberships = {} if row is None else {"line-a": Membership(row)}
    rule = allow(grant=grant, ca="factory-a", lists=lists)
    decision = decide(knock, rules(rule), memberships, NOW, NOW)
    assert {each.code for each in decision.reasons} <= set(CODES)
    return decision


def codes(decision: Decision) -> set[str]:
    return {each.code for each in decision.reasons}


# --- AWS IoT


THING_NAME = re.compile(r"[a-zA-Z0-9:_-]{1,128}")
ATTRIBUTE = re.compile(r"[a-zA-Z0-9_.,@/:#=\[\]-]{0,800}")


@EACH
def test_as_a_thing_name(hostile: Hostile) -> None:
    """It is in topics and ARNs. Never cleaned up: two devices could become one."""
    decision = decided(hostile.name, Grant(iot_policies=("Sensor",), thing="{common_name}"))
    if THING_NAME.fullmatch(hostile.name):
        assert decision.verdict is Verdict.ADMIT
        assert decision.grant is not None
        assert decision.grant.thing == hostile.name
    else:
        assert decision.verdict is Verdict.HOLD
        assert "grant.thing-name" in codes(decision)


@EACH
def test_as_a_thing_name_from_a_list(hostile: Hostile) -> None:
    row = ListRow(common_name="snr-0001", thing_name=hostile.name)
    decision = decided("snr-0001", Grant(iot_policies=("Sensor",), thing="{common_name}"), row)
    if not THING_NAME.fullmatch(hostile.name):
        assert codes(decision) == {"grant.thing-name"}
        assert not isinstance(read_row({"common_name": "a", "thing_name": hostile.name}), ListRow) or not hostile.name


@EACH
def test_as_a_thing_s_attribute(hostile: Hostile) -> None:
    """Thing types, thing groups and IoT policies are no templates: nothing of a name gets there."""
    given = Grant(("Sensor",), thing="snr-{serial_number}", attributes={"name": "{common_name}"}, thing_groups=("a",))
    decision = decided(hostile.name, given)
    assert ("grant.attribute" in codes(decision)) == (not hostile.attribute)
    if decision.grant is not None and decision.verdict is Verdict.ADMIT:
        assert ATTRIBUTE.fullmatch(decision.grant.attributes["name"])
        assert (decision.grant.thing_groups, decision.grant.iot_policies) == (("a",), ("Sensor",))


@EACH
def test_as_an_attribute_from_a_list(hostile: Hostile) -> None:
    row = ListRow(common_name="snr-0001", attributes={"batch": hostile.name})
    grant = Grant(iot_policies=("Sensor",), thing="{common_name}", attributes={"batch": "{attr.batch}"})
    assert ("grant.attribute" in codes(decided("snr-0001", grant, row))) == (not hostile.attribute)


@EACH
def test_as_a_variable_in_an_iot_policy(hostile: Hostile) -> None:
    """``${iot:Certificate.Subject.CommonName}``, where the thing has another name or there is no thing.

    AWS IoT Core Developer Guide, "AWS IoT Core policy variables": ``*`` is a wildcard, and + and # are themselves, so
    that a device of that name may subscribe to ``devices/+/...``; one with a slash has topics below another's.
    """
    for grant in (Grant(iot_policies=("Sensor",)), Grant(iot_policies=("Sensor",), thing="snr-{serial_number}")):
        decision = decided(hostile.name, grant)
        if hostile.policy:
            assert decision.verdict is Verdict.ADMIT
        else:
            assert (decision.verdict, codes(decision)) == (Verdict.HOLD, {"grant.policy-variable"})


# --- people and their tools


def is_plain(text: str) -> bool:
    """Nothing in it steers a terminal, ends a line or reorders what is around it."""
    return not any(
        unicodedata.category(each) in {"Cc", "Cf", "Cs", "Zl", "Zp"}
        or (unicodedata.category(each) == "Zs" and each != " ")
        or regex.fullmatch(r"[\p{Default_Ignorable_Code_Point}\u2800]", each)
        for each in text
    )


@EACH
def test_in_a_log_line(hostile: Hostile) -> None:
    """One event, one line, and JSON."""
    grant = Grant(iot_policies=("Sensor",), thing="{common_name}", attributes={"name": "{common_name}"})
    decision = decided(hostile.name, grant)
    stream = io.StringIO()
    logger = Logger(service=f"names {quote(hostile.name)}", stream=stream)
    logger.info("hold", extra={"reasons": [{"code": each.code, "message": each.message} for each in decision.reasons]})
    (line,) = stream.getvalue().removesuffix("\n").split("\n")
    assert is_plain(line)
    assert len(line) < 2000
    assert [each["code"] for each in json.loads(line)["reasons"]] == [each.code for each in decision.reasons]


@EACH
def test_on_a_device_list_and_in_its_export(hostile: Hostile) -> None:
    """What is let onto a list comes back as it was, and no cell of it is a formula."""
    row = read_row({"common_name": hostile.name, "note": hostile.name})
    assert isinstance(row, ListRow) == hostile.on_lists
    if isinstance(row, ListRow):
        text = "".join(write_rows([row]))
        assert list(read_list(text.encode(), "f")) == [row]
        for cell in next(csv.reader(text.splitlines()[1:])):
            assert not cell.startswith(("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20", "\t", "\r"))
    exported = "".join(write_rows([ListRow(common_name=hostile.name, serial_number="1")]))
    cells = next(csv.reader(io.StringIO(exported.partition("\n")[2], newline="")))
    assert not cells[0].startswith(("=", "+", "-", "@", "\t", "\r", "\n")), "also of a row that is there already"


@EACH
def test_on_a_terminal(hostile: Hostile, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(FACTORY.pem)
    (tmp_path / "device.pem").write_bytes(certificate(hostile.name).pem)
    (tmp_path / "admission.yaml").write_text(
        f"format: 1\ncas: {{factory-a: {{ids: {FACTORY.id}}}}}\nallow:\n"
        '  - {name: all, ca: factory-a, grant: {thing: "{common_name}", iot_policies: Sensor}}\n'
    )
    arguments = [
        *("explain", "--rules", tmp_path / "admission.yaml", "--certificate", tmp_path / "device.pem"),
        *("--ca", f"factory-a={tmp_path / 'ca.pem'}", "--at", "2026-03-01T12:00:00Z"),
    ]
    for more in ([], ["--json"]):
        done = CliRunner().invoke(jitr, [*map(str, arguments), *more])
        assert done.exit_code in (0, 1), done.output
        assert is_plain(done.output.replace("\n", ""))
        assert not re.search(r"^snr-0002", done.output, re.MULTILINE), "a line of its own"
    assert json.loads(done.stdout)["decision"] in ("admit", "hold")
    assert is_plain(safe(hostile.name))


SHELL = ["a b", "$(touch hit)", "`touch hit`", "a;touch hit", "a'b", 'a"b', "a&b", "~x", "a*"]


@pytest.mark.parametrize("name", SHELL)
def test_in_a_command_that_is_suggested(run: Run, workdir: Path, name: str) -> None:
    """Whoever copies it into a shell runs that command, on those files, and nothing else."""
    made = run("ca", "create", name)
    assert made.exit_code == 0, made.stderr
    (suggested,) = re.findall(r"Next: (.*)", made.stderr)
    assert shlex.split(suggested) == ["jitr", "ca", "register", f"{name}.pem", "--key", f"{name}.key"]
    for character in "$`;&*":
        assert character not in re.sub(r"'[^']*'", "", suggested)
    started = run("rules", "init", f"{name}.yaml")
    assert started.exit_code == 0, started.stderr
    (suggested,) = re.findall(r"Go on: (.*)", started.stdout)
    assert shlex.split(suggested) == ["jitr", "rules", "check", f"{name}.yaml"]
