"""``jitr rules init``, ``check`` and ``schema``, as somebody types them: output, exit codes, files."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from testkit import pki
from testkit.editor import as_an_editor_reads, validator
from testkit.rules import EXAMPLE, ID_A, marked
from testkit.wrong_rules import EIGHT

from jitr.decision.selftest import FailedTests
from jitr.errors import InputError
from jitr.rules.file.schema import json_schema
from jitr_cli.main import jitr
from jitr_operations.rules.files import read_and_test, read_rules_file
from jitr_operations.rules.starting import STARTER


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory that commands run in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(jitr, ["rules", *arguments], prog_name="jitr")


def printed(result: Result) -> Any:
    """The one JSON document on standard output."""
    return json.loads(result.stdout)


class TestInit:
    def test_it_writes_a_file_that_is_in_order_and_the_schema_beside_it(self, here: Path) -> None:
        result = run("init")
        assert result.exit_code == 0
        assert "jitr rules check admission.yaml" in result.stdout
        checked = run("check", "admission.yaml")
        assert (checked.exit_code, checked.stderr) == (0, "")
        assert "2 rules, 3 tests passed" in checked.stdout
        assert json.loads((here / "admission.schema.json").read_text()) == json_schema()

    def test_an_editor_is_told_where_the_schema_is_and_agrees(self) -> None:
        assert STARTER.startswith("# yaml-language-server: $schema=admission.schema.json\n")
        validator().validate(as_an_editor_reads(STARTER))

    def test_what_is_commented_out_is_right_too(self) -> None:
        """Whoever takes away a # gets a file that is in order."""
        uncommented, count = re.subn(r"^( {4,6})# (\w+: )", r"\1\2", STARTER, flags=re.MULTILINE)
        assert count == 8
        Path("all.yaml").write_text(uncommented)
        checked = run("check", "all.yaml")
        assert checked.exit_code == 1  # no error, but the tests now miss conditions
        assert "1 of 3 tests failed" in checked.stdout

    def test_nothing_is_overwritten(self, here: Path) -> None:
        (here / "mine.yaml").write_text("mine")
        result = run("init", "mine.yaml")
        assert result.exit_code == 2
        assert "mine.yaml exists, and was left as it is" in result.stderr
        assert [each.name for each in here.iterdir()] == ["mine.yaml"]
        assert (here / "mine.yaml").read_text() == "mine"

    def test_a_schema_that_is_there_stays(self, here: Path) -> None:
        (here / "admission.schema.json").write_text("{}")
        result = run("init", "a.yaml", "--json")
        assert printed(result) == {"files": ["a.yaml"]}
        assert (here / "admission.schema.json").read_text() == "{}"

    def test_a_directory_that_is_not_there(self) -> None:
        result = run("init", "nowhere/a.yaml")
        assert result.exit_code == 2
        assert "nowhere/a.yaml: No such file or directory" in result.stderr


class TestCheck:
    def check(self, text: str | bytes, *options: str) -> Result:
        Path("a.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
        return run("check", "a.yaml", *options)

    def test_a_file_in_order(self) -> None:
        result = self.check(EXAMPLE.replace("2026-06-30", "9999-12-31"))
        assert result.exit_code == 0
        summary, digest = result.stdout.splitlines()
        assert summary == "a.yaml: 2 rules, 1 test passed"
        assert digest.startswith("digest: ")
        assert len(digest) == len("digest: ") + 64

    def test_a_file_in_order_in_json(self) -> None:
        result = self.check(EXAMPLE.replace("2026-06-30", "9999-12-31"), "--json")
        assert result.exit_code == 0
        told = printed(result)
        assert len(told.pop("digest")) == 64
        assert told == {
            "file": "a.yaml",
            "ok": True,
            "rules": {"deny": 1, "allow": 1},
            "tests": {"passed": 1, "failed": 0},
            "errors": [],
            "warnings": [],
            "failures": [],
        }

    def test_every_mistake_is_told_on_standard_error(self) -> None:
        result = self.check(marked(EIGHT)[0])
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.startswith("error: a.yaml has 8 errors:\na.yaml:2:1: error: unknown key 'defualt'")
        assert result.stderr.count(": error: ") == 8
        assert "    ca: factry-a\n        ^~~~~~~~\ndid you mean 'factory-a'?" in result.stderr

    def test_every_mistake_is_told_in_json(self) -> None:
        result = self.check(marked(EIGHT)[0], "--json")
        assert result.exit_code == 2
        told = printed(result)
        assert (told["ok"], told["digest"], len(told["errors"])) == (False, None, 8)
        assert told["errors"][0]["hint"] == "did you mean 'default'?"

    def test_a_test_that_fails_is_the_answer_no(self) -> None:
        result = self.check(STARTER.replace("snr-*", "snx-*"))
        assert result.exit_code == 1
        assert result.stdout.startswith("a.yaml: 2 rules, 1 of 3 tests failed\n")
        assert 'a.yaml:40: test "a sensor gets in" expected admit by sensors' in result.stderr
        told = printed(self.check(STARTER.replace("snr-*", "snx-*"), "--json"))
        assert (told["ok"], told["tests"]) == (False, {"passed": 2, "failed": 1})
        assert told["failures"][0]["line"] == 40

    def test_warnings_are_told_and_harm_nothing(self) -> None:
        text = "format: 1\nallow: [{name: a, title: b, window: 2020-01-01..2020-12-31, grant: {iot_policies: c}}]\n"
        result = self.check(text)
        assert result.exit_code == 0
        assert "a.yaml:2:16: warning: the rule 'a' has neither `list` nor `ca`" in result.stderr
        assert "its window has closed" in result.stderr
        assert len(printed(self.check(text, "--json"))["warnings"]) == 2

    @pytest.mark.parametrize(("name", "gist"), [("nope.yaml", "No such file"), (".", "directory")])
    def test_a_file_that_cannot_be_read(self, name: str, gist: str) -> None:
        result = run("check", name)
        assert (result.exit_code, result.stdout) == (2, "")
        assert gist in result.stderr
        assert len(result.stderr.splitlines()) == 1

    @pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no endless file here")
    def test_an_endless_file_is_not_read_to_its_end(self) -> None:
        result = run("check", "/dev/zero")
        assert result.exit_code == 2
        assert "more than 4194304 bytes" in result.stderr

    def test_nothing_in_a_file_steers_the_terminal(self) -> None:
        result = self.check('format: 1\ndefault: "\\x1b[31m"\n"\\x1b]0;k": 1\n')
        assert result.exit_code == 2
        assert "\x1b" not in result.stderr


class TestCertificates:
    """CAs named by their certificate's file."""

    TEXT = "format: 1\ncas: {a: {certificate: a.pem}}\nallow: [{name: r, ca: a, %s grant: {iot_policies: p}}]\n"

    def check(self, data: bytes | None, rule: str = "") -> Result:
        folder = Path("rules")
        folder.mkdir(exist_ok=True)
        (folder / "a.yaml").write_text(self.TEXT % rule)
        if data is not None:
            (folder / "a.pem").write_bytes(data)
        return run("check", "rules/a.yaml")

    def test_the_file_beside_the_rules_gives_the_id(self) -> None:
        ca = pki.ca()
        assert self.check(ca.pem).exit_code == 0
        assert read_rules_file(Path("rules/a.yaml")).cas["a"].ids == (ca.id,)

    def test_one_that_expires_before_a_window_closes_is_told(self) -> None:
        result = self.check(pki.ca().pem, "window: 2026-01-01..9999-12-31,")
        assert result.exit_code == 0
        assert "the CA 'a' expires on" in result.stderr

    @pytest.mark.parametrize(
        ("data", "gist"),
        [
            (None, "a.pem: No such file"),
            (b"", "a.pem: "),
            (b"-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n", "private key"),
        ],
    )
    def test_what_is_no_certificate_is_told_at_its_path(self, data: bytes | None, gist: str) -> None:
        result = self.check(data)
        assert result.exit_code == 2
        assert "rules/a.yaml:2:24: error: " in result.stderr
        assert gist in result.stderr

    def test_a_device_certificate_is_not_a_ca(self) -> None:
        result = self.check(pki.ca().usual_device().issue().pem)
        assert "this is not the certificate of a CA" in result.stderr


def test_publishing_reads_rules_whose_tests_pass(here: Path) -> None:
    (here / "a.yaml").write_text(STARTER)
    rules, text = read_and_test(here / "a.yaml")
    assert (rules.source, text.decode()) == ("a.yaml", STARTER)
    (here / "b.yaml").write_text(STARTER.replace("snr-*", ID_A))
    with pytest.raises(FailedTests, match=r"1 test in the file failed:\n.*b.yaml:40: test") as caught:
        read_and_test(here / "b.yaml")
    assert isinstance(caught.value, InputError)


def test_the_schema_is_printed() -> None:
    assert printed(run("schema")) == printed(run("schema", "--json")) == json_schema()
