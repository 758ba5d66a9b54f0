"""What commands remember of a deployment is never taken for what it is not.

Commands find the account and the stack's outputs, and later ones take their word for two minutes: of the same keys,
profile, Region, endpoint, settings and stack, in the same account, by both clocks. Before anything is changed AWS is
asked whether that is still so.
"""

import json
import os
import time
from pathlib import Path
from typing import Any

import boto3
import pytest
from testkit.cli.command_line import REGION, Aws, Run
from testkit.cli.stack import LOCAL_STATE, TEMPLATE

from jitr.aws.dynamodb.table import Table
from jitr.services.lists.device_lists import DeviceLists
from jitr_operations import remembered
from jitr_operations.deployment import Choice, Memory

_DISCOVERY = ["GetCallerIdentity", "DescribeStacks"]


def _discovered(aws: Aws, run: Run, *command: object) -> list[str]:
    """Run a command that is done; return what it asked to find its deployment."""
    before = len(aws.calls)
    done = run(*command)
    assert done.exit_code == 0, done.output
    return [each for each in aws.operations[before:] if each in _DISCOVERY]


def _file() -> Path:
    [file] = remembered.folder().iterdir()
    return file


@pytest.fixture
def known(aws: Aws, run: Run, table: Table) -> Table:
    """A deployment that an earlier command found."""
    assert run("lists", "ls").exit_code == 0
    assert _discovered(aws, run, "lists", "ls") == []
    return table


def test_the_deployment_is_found_once_for_commands_in_a_row(aws: Aws, run: Run, known: Table) -> None:
    for command in (("held", "ls"), ("decisions", "ls"), ("rules", "history"), ("history",)):
        assert _discovered(aws, run, *command) == []


def test_what_is_remembered_is_for_its_user_alone_and_holds_no_key(known: Table) -> None:
    assert remembered.folder().stat().st_mode & 0o777 == 0o700
    assert _file().stat().st_mode & 0o777 == 0o600
    text = _file().read_text()
    assert json.loads(text).keys() == {"time", "monotonic", "account_id", "outputs"}
    assert "testing" not in text + _file().name  # both keys


@pytest.mark.parametrize("command", [("status",), ("fleet", "check"), ("failures", "sweep", "--yes")], ids=" ".join)
def test_commands_that_look_at_the_whole_or_take_long_ask_anew(
    aws: Aws, run: Run, known: Table, command: tuple[str, ...]
) -> None:
    before = len(aws.calls)
    run(*command)
    assert aws.operations[before:][:2] == _DISCOVERY


@pytest.mark.parametrize(
    "setting",
    [
        ("AWS_ACCESS_KEY_ID", "another"),
        ("AWS_ENDPOINT_URL_CLOUDFORMATION", f"https://cloudformation.{REGION}.amazonaws.com"),
        ("AWS_USE_FIPS_ENDPOINT", "false"),
        ("AWS_ROLE_ARN", "arn:aws:iam::210987654321:role/other"),
    ],
    ids=lambda setting: setting[0],
)
def test_with_other_keys_or_settings_nothing_is_remembered(
    aws: Aws, run: Run, known: Table, monkeypatch: pytest.MonkeyPatch, setting: tuple[str, str]
) -> None:
    monkeypatch.setenv(*setting)
    assert _discovered(aws, run, "lists", "ls") == _DISCOVERY


def test_another_profile_has_a_memory_of_its_own(
    aws: Aws, run: Run, known: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where two profiles have the same keys, and where the settings of one change."""
    config = tmp_path / "config"
    keys = "aws_access_key_id = testing\naws_secret_access_key = testing\n"
    config.write_text(f"[profile one]\n{keys}[profile two]\n{keys}")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    for name in ("one", "two"):
        assert _discovered(aws, run, "lists", "ls", "--profile", name) == _DISCOVERY
        assert _discovered(aws, run, "lists", "ls", "--profile", name) == []
    config.write_text(config.read_text().replace("one]\n", "one]\nretry_mode = standard\n"))
    assert _discovered(aws, run, "lists", "ls", "--profile", "one") == _DISCOVERY


def test_another_region_stack_or_endpoint_is_another_deployment(aws: Aws, run: Run, known: Table) -> None:
    cloudformation = boto3.client("cloudformation", region_name=REGION)
    cloudformation.create_stack(StackName="other", TemplateBody=json.dumps(TEMPLATE))
    assert _discovered(aws, run, "lists", "ls", "--stack", "other") == _DISCOVERY
    elsewhere = run("lists", "ls", "--region", "eu-west-1")
    assert "there is no stack jitr in account 123456789012, Region eu-west-1" in elsewhere.stderr
    before = len(aws.calls)
    run("lists", "ls", "--endpoint-url", f"https://cloudformation.{REGION}.amazonaws.com")
    assert aws.operations[before:][:1] == ["GetCallerIdentity"]


def test_temporary_keys_go_by_their_account(aws: Aws, run: Run, known: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command may get new ones: what counts is whose they are, where botocore knows that."""
    monkeypatch.setenv("AWS_ACCOUNT_ID", "123456789012")
    for number, found in enumerate((_DISCOVERY, [])):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", f"temporary-{number}")
        monkeypatch.setenv("AWS_SESSION_TOKEN", f"token-{number}")
        assert _discovered(aws, run, "lists", "ls") == found
    monkeypatch.setenv("AWS_ACCOUNT_ID", "210987654321")
    assert _discovered(aws, run, "lists", "ls") == _DISCOVERY


# --- a stack that changed meanwhile


def _replace_stack() -> str:
    """Delete the stack and deploy it again, with another table; return the new table's name."""
    cloudformation = boto3.client("cloudformation", region_name=REGION)
    cloudformation.delete_stack(StackName="jitr")
    cloudformation.create_stack(StackName="jitr", TemplateBody=json.dumps(TEMPLATE))
    outputs = cloudformation.describe_stacks(StackName="jitr")["Stacks"][0]["Outputs"]
    return next(each["OutputValue"] for each in outputs if each["OutputKey"] == "TableName")


def test_a_table_that_is_gone_has_the_stack_looked_for_again_once(aws: Aws, run: Run, known: Table) -> None:
    name = _replace_stack()
    assert name != known.name
    done = run("lists", "ls")
    assert done.exit_code == 0, done.output
    assert json.loads(_file().read_text())["outputs"]["TableName"] == name


def test_a_stack_that_is_gone_is_told(aws: Aws, run: Run, known: Table) -> None:
    boto3.client("cloudformation", region_name=REGION).delete_stack(StackName="jitr")
    done = run("lists", "ls")
    assert (done.exit_code, "there is no stack jitr in account" in done.stderr) == (2, True)
    assert not list(remembered.folder().iterdir())


def test_an_error_that_has_another_cause_is_told_as_it_is(aws: Aws, run: Run, known: Table) -> None:
    """The stack is looked for, found to be the same, and the command is not run again."""
    asked = []

    def refuse(given: dict[str, Any]) -> Any:
        asked.append(given)
        raise boto3.client("dynamodb", region_name=REGION).exceptions.ClientError(
            {"Error": {"Code": "AccessDeniedException", "Message": "not you"}}, "Query"
        )

    aws.overrides["Query"] = refuse
    done = run("held", "ls")
    assert (done.exit_code, "not you" in done.stderr, len(asked)) == (3, True, 1)


def _kept_table(aws: Aws) -> None:
    """Have another stack of that name in place of the one that is known, whose table stays: nothing fails by itself."""
    cloudformation = boto3.client("cloudformation", region_name=REGION)
    cloudformation.create_stack(StackName="successor", TemplateBody=json.dumps(TEMPLATE))
    real = aws.real

    def describe(given: dict[str, Any]) -> Any:
        return real(cloudformation, "DescribeStacks", {**given, "StackName": "successor"})

    aws.overrides["DescribeStacks"] = describe


def test_before_a_change_the_stack_is_looked_for(aws: Aws, run: Run, known: Table) -> None:
    """Data outlives its stack: a write into the table of a stack that was replaced would succeed, and be lost."""
    _kept_table(aws)
    done = run("lists", "add", "line-a", "common_name=snr-9", "--yes")
    assert done.exit_code == 0, done.output
    written = {
        given["TransactItems"][0] and _table_of(given) for name, given in aws.calls if name == "TransactWriteItems"
    }
    assert json.loads(_file().read_text())["outputs"]["TableName"] in written
    assert not DeviceLists(known).all()


def _table_of(given: dict[str, Any]) -> str:
    [action] = given["TransactItems"][0].values()
    return str(action["TableName"])


def test_a_change_to_a_stack_that_stands_asks_once(aws: Aws, run: Run, known: Table) -> None:
    before = len(aws.calls)
    assert run("lists", "add", "line-a", "common_name=snr-9", "--yes").exit_code == 0
    assert aws.operations[before:].count("DescribeStacks") == 1
    assert DeviceLists(known).all().keys() == {"line-a"}


def test_an_output_that_an_update_brought_is_found(aws: Aws, run: Run, known: Table) -> None:
    content = json.loads(_file().read_text())
    del content["outputs"]["TableName"]
    _file().write_text(json.dumps(content))
    assert run("lists", "ls").exit_code == 0
    assert json.loads(_file().read_text())["outputs"]["TableName"] == known.name


# --- clocks, and files that others may have written


@pytest.mark.parametrize("clock", ["time", "monotonic"])
@pytest.mark.parametrize("seconds", [-1.0, remembered.LIFETIME], ids=["set back", "over"])
def test_both_clocks_must_say_that_it_is_recent(aws: Aws, run: Run, known: Table, clock: str, seconds: float) -> None:
    """One is moved by people, the other begins anew when the machine does."""
    content = json.loads(_file().read_text())
    content[clock] = getattr(time, clock)() - seconds
    _file().write_text(json.dumps(content))
    assert _discovered(aws, run, "lists", "ls") == _DISCOVERY


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"time": "now", "monotonic": 1, "account_id": "1", "outputs": {}}',
        b'{"time": 1e999, "monotonic": 1, "account_id": "1", "outputs": {}}',
        b"[" * 100_000,
        b" " * remembered.MOST_OCTETS + b"{}",
    ],
    ids=range(9),
)
def test_a_damaged_file_counts_as_none_and_is_replaced(aws: Aws, run: Run, known: Table, content: bytes) -> None:
    _file().write_bytes(content)
    assert _discovered(aws, run, "lists", "ls") == _DISCOVERY
    assert _discovered(aws, run, "lists", "ls") == []


@pytest.mark.parametrize("change", [{"account_id": 1}, {"outputs": {"TableName": None}}, {"outputs": ["TableName"]}])
def test_values_that_are_no_text_count_for_nothing(aws: Aws, run: Run, known: Table, change: dict[str, Any]) -> None:
    _file().write_text(json.dumps(json.loads(_file().read_text()) | change))
    assert _discovered(aws, run, "lists", "ls") == _DISCOVERY


@pytest.mark.parametrize("mode", [0o620, 0o602])
@pytest.mark.parametrize("of", ["file", "folder"])
def test_what_others_may_write_counts_for_nothing(aws: Aws, run: Run, known: Table, mode: int, of: str) -> None:
    place = _file() if of == "file" else remembered.folder()
    place.chmod(mode | (0o100 if of == "folder" else 0))
    assert _discovered(aws, run, "lists", "ls") == _DISCOVERY


def test_what_another_user_owns_counts_for_nothing(
    aws: Aws, run: Run, known: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = os.geteuid()
    monkeypatch.setattr("os.geteuid", lambda: mine + 1)
    assert _discovered(aws, run, "lists", "ls") == _DISCOVERY


def test_a_link_is_not_followed(aws: Aws, run: Run, known: Table, tmp_path: Path) -> None:
    file = _file()
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    assert _discovered(aws, run, "lists", "ls") == _DISCOVERY


def test_where_nothing_can_be_kept_commands_work_as_well(
    aws: Aws, run: Run, table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    for _ in range(2):
        assert _discovered(aws, run, "lists", "ls") == _DISCOVERY


def test_what_ran_out_is_dropped_when_something_new_is_remembered(known: Table) -> None:
    old = _file()
    os.utime(old, (1.0, 1.0))
    remembered.remember("other", remembered.Discovered("123456789012", {}))
    assert not old.exists()
    assert remembered.recall("other") == remembered.Discovered("123456789012", {})


# --- the local stack


def test_each_local_stack_is_another_deployment(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its address, names and keys may be those of the one before."""
    file = workdir / ".local" / "stack.json"
    file.parent.mkdir()
    file.write_text(json.dumps(LOCAL_STATE))
    outputs = iter([{"TableName": "first"}, {"TableName": "second"}])
    monkeypatch.setattr("jitr_operations.deployment._outputs", lambda *_: next(outputs))

    def table() -> str:
        return Choice(local=True, memory=Memory()).deployment().output("TableName")

    assert [table(), table()] == ["first", "first"]
    os.utime(file, (1.0, 1.0))
    assert table() == "second"
