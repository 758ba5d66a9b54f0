"""Options that leave nothing to each other, and words that can mean nothing: refused before anything is asked."""

from datetime import timedelta
from pathlib import Path

import pytest
from testkit.cli.command_line import Aws, Run
from testkit.manifests import SIGNER

from jitr.aws.dynamodb.table import Table
from jitr.services.lists.device_lists import DeviceLists
from jitr.times import rfc3339
from jitr_operations.table import now


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("fleet", "check", "--only", "gone", "--deactivate", "--yes"), "--only leaves them all out"),
        (("fleet", "check", "--only", "reject", "--reattach", "--yes"), "--reattach is for drift"),
        (("fleet", "check", "--only", "reject", "--attachments"), "--attachments is for drift"),
        (("fleet", "check", "--only", "unknown", "--rule", "line-a"), "no rule let those in"),
        (("fleet", "check", "--yes"), "--yes goes with --deactivate or --reattach"),
        (("ca", "rollover", "a", "b", "--force"), "--force goes with --export"),
        (("ca", "rollover", "a", "b", "--of", "both"), "--of goes with --export"),
        (("ca", "rollover", "a", "b", "--yes"), "--yes goes with --finish"),
        (("ca", "rollover", "a", "b", "--message", "x"), "--message goes with --finish"),
        (("ca", "verification-csr", "--force"), "--force goes with --out"),
        (("ca", "register", "a.pem", "--sni-only", "--passphrase-file", "p"), "--passphrase-file goes with --key"),
        (("events", "make", "a.pem", "--force"), "--force goes with --out"),
        (("lists", "import", "a", "a.csv", "--replace", "--overwrite"), "--overwrite goes with --merge"),
        (("lists", "import", "a", "a.csv", "--dry-run", "--yes"), "--dry-run and --yes exclude each other"),
        (("lists", "export", "a", "-", "--force"), "--force goes with FILE"),
        (("failures", "sweep", "--dry-run", "--yes"), "--dry-run and --yes exclude each other"),
        (("device", "deactivate", "--list", "a", "--dry-run", "--yes"), "--dry-run and --yes exclude each other"),
        (("device", "deactivate", "--list", "a", "--dry-run", "--csv", "f"), "--dry-run and --csv exclude each other"),
        (("held", "recheck", "3f9c0c6f", "--reason", "apply.refused"), "--reason goes with --all"),
        (("verify", "--clean", "--yes"), "--clean and --yes exclude each other"),
        (("verify", "--clean", "--own-stack"), "--clean and --own-stack exclude each other"),
        (("verify", "--clean", "--report", "r.md"), "--clean and --report exclude each other"),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, tuple) else "",
)
def test_an_option_that_another_leaves_nothing_to_is_wrong_use(
    run: Run, aws: Aws, words: tuple[str, ...], says: str
) -> None:
    """A command that does nothing of what was asked must not end well."""
    result = run(*words)
    assert (result.exit_code, says in result.stderr, aws.calls) == (2, True, []), result.output


@pytest.mark.parametrize(
    "words",
    [
        ("fleet", "check"),
        ("fleet", "export", "fleet.csv"),
        ("decisions", "ls"),
        ("held", "ls"),
        ("history",),
        ("rules", "replay"),
    ],
    ids=" ".join,
)
def test_since_a_time_that_is_yet_to_come_is_refused(run: Run, aws: Aws, words: tuple[str, ...]) -> None:
    """Nothing can be since then: it is a slip, and an empty answer would be believed."""
    result = run(*words, "--since", rfc3339(now() + timedelta(days=1)))
    assert (result.exit_code, "this is yet to come" in result.stderr, aws.calls) == (2, True, []), result.output


def test_since_a_moment_ago_by_another_clock_is_taken(table: Table, run: Run) -> None:
    """A mail names the time when a device came, to the millisecond and by AWS's clock."""
    assert run("held", "ls", "--since", rfc3339(now() + timedelta(seconds=30))).exit_code == 0


@pytest.mark.parametrize(
    "words",
    [
        ("fleet", "export", "-"),
        ("fleet", "check", "--resume", "-"),
        ("ca", "rollover", "a", "b", "--export", "-"),
        ("ca", "verification-csr", "--out", "-"),
        ("events", "make", "a.pem", "--out", "-"),
        ("rules", "init", "-"),
    ],
    ids=" ".join,
)
def test_a_dash_is_no_file_where_it_is_not_standard_output(run: Run, aws: Aws, words: tuple[str, ...]) -> None:
    """Else a file is made that is called so, and whoever waits for standard output gets nothing."""
    result = run(*words)
    assert (result.exit_code, "'-': name a file" in result.stderr, aws.calls) == (2, True, []), result.output
    assert not Path("-").exists()


@pytest.mark.parametrize("option", ["--stack", "--region", "--profile", "--endpoint-url"])
@pytest.mark.parametrize("text", ["", " "], ids=["empty", "blank"])
def test_an_empty_option_does_not_choose_another_place(run: Run, aws: Aws, option: str, text: str) -> None:
    """As where a script's variable is not set: the stack, Region or account of the environment would be taken."""
    result = run("decisions", "ls", option, text)
    assert (result.exit_code, f"{option} is empty" in result.stderr, aws.calls) == (2, True, []), result.output


@pytest.mark.parametrize(
    ("content", "option", "says"),
    [
        (b"common_name\na\n", ("--signer", "signer.pem"), "--signer is for signed manifests"),
        (SIGNER.pem, ("--signer", "signer.pem"), "--signer is for signed manifests"),
        (SIGNER.pem, ("--by", "common-name"), "--by is for lite manifests"),
        (SIGNER.pem, ("--set", "E0E1"), "--set is for folders and archives of Infineon's"),
    ],
    ids=["a signer of CSV", "a signer of certificates", "by common name", "a set"],
)
@pytest.mark.parametrize("command", [("import", "line-a"), ("verify",)], ids=" ".join)
def test_an_option_that_means_nothing_for_such_a_file_is_refused(
    table: Table, run: Run, command: tuple[str, ...], content: bytes, option: tuple[str, ...], says: str
) -> None:
    """Whoever gives --signer believes that what is imported was signed."""
    Path("signer.pem").write_bytes(SIGNER.pem)
    Path("lot").write_bytes(content)
    result = run("lists", *command, "lot", *option)
    assert (result.exit_code, says in result.stderr) == (2, True), result.output
    assert DeviceLists(table).all() == {}


@pytest.mark.parametrize("text", ["common_name\na\n", "-----BEGIN CERTIFICATE-----\n"], ids=["CSV", "certificate"])
def test_a_sheet_of_what_is_no_spreadsheet_is_refused(table: Table, run: Run, text: str) -> None:
    Path("sensors.csv").write_text(text)
    result = run("lists", "import", "line-a", "sensors.csv", "--sheet", "Lot 7", "--yes")
    assert (result.exit_code, "--sheet is for spreadsheets, and this is none" in result.stderr) == (2, True)
