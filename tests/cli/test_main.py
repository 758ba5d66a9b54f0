"""`jitr` itself: its commands, its errors and exit codes, where it works, and what it prints."""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError, ReadTimeoutError
from testkit.cli.command_line import ACCOUNT, REGION, Aws, Run
from testkit.cli.stack import LOCAL_STATE

from jitr import __version__
from jitr.errors import InputError, Poison, Retry
from jitr_cli import main
from jitr_cli.console import output
from jitr_cli.console.lazy import Lazy, LazyGroup
from jitr_cli.console.options import AT_MOST, FILE, FILE_OR_OUTPUT
from jitr_operations.deployment import Choice
from jitr_operations.local_state import local_stack

pytestmark = pytest.mark.usefixtures("workdir")


# --- commands


def test_help_lists_the_commands_and_names_the_exit_codes(run: Run) -> None:
    result = run("--help")
    assert result.exit_code == 0
    assert "Certificate authorities" in result.stdout
    assert "70 a bug" in result.stdout


def test_version(run: Run) -> None:
    assert run("--version").stdout == f"jitr, version {__version__}\n"


def test_no_command_is_wrong_use(run: Run) -> None:
    assert run().exit_code == 2


@pytest.mark.parametrize(("typed", "meant"), [("divice", "device"), ("c", "ca"), ("CA", "ca")])
def test_an_unknown_command_suggests_the_nearest(run: Run, typed: str, meant: str) -> None:
    result = run(typed)
    assert result.exit_code == 2
    assert f"'{meant}'" in result.stderr or "There are:" in result.stderr


def test_an_unknown_subcommand_suggests_the_nearest(run: Run) -> None:
    result = run("ca", "regsiter")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "register" in result.stderr


def test_a_command_whose_module_is_missing_is_not_there(run: Run) -> None:
    lazy = Lazy("jitr_cli.no_such_module:command", "Nothing.")
    assert not lazy.exists
    group = LazyGroup(name="group", lazy={"nothing": lazy})
    assert group.list_commands(click.Context(group)) == []
    assert group.get_command(click.Context(group), "nothing") is None


def test_local_outside_a_checkout_says_that_it_needs_one(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(main.jitr._lazy, "local", Lazy("jitr_elsewhere.cli:local", ""))
    result = run("local", "up", "--anything")
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        "error: `jitr local` needs a checkout of the project: clone it, then `make setup` there"
    ]


def test_start_up_imports_neither_aws_nor_certificates() -> None:
    code = (
        "import sys; sys.argv = ['jitr', '--help']\n"
        "from jitr_cli.main import run\n"
        "try: run()\n"
        "except SystemExit: print('loaded', sorted(sys.modules.keys() & "
        "{'boto3', 'botocore', 'cryptography', 'rich', 'yaml', 'jitr_local.cli', 'jitr_cli.commands.ca.group'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "loaded []"


# --- errors and exit codes


@pytest.fixture
def fails(run: Run, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Run a command that raises what it is given."""

    def fails(error: BaseException, *options: str) -> Any:
        @click.command()
        def breaking() -> None:
            raise error

        monkeypatch.setitem(main.jitr.commands, "breaking", breaking)
        return run(*options, "breaking")

    return fails


def _client_error(code: str, message: str = "no") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "RegisterCACertificate")


@pytest.mark.parametrize(
    ("error", "exit_code", "says"),
    [
        (InputError("x.yaml:3:1: unknown key"), 2, "error: x.yaml:3:1: unknown key"),
        (Poison("event.not-json", "not JSON"), 2, "error: not JSON"),
        (Retry("throttled", "throttled"), 3, "error: throttled"),
        (click.UsageError("wrong"), 2, "Error: wrong"),
        (click.BadParameter("wrong"), 2, "wrong"),
        (click.ClickException("wrong"), 2, "wrong"),
        (FileNotFoundError(2, "No such file or directory", "x.pem"), 2, "error: x.pem: No such file or directory"),
        (KeyboardInterrupt(), 130, "Interrupted."),
        (click.Abort(), 130, "Interrupted."),
        (BrokenPipeError(32, "Broken pipe"), 141, ""),
        (
            _client_error("AccessDeniedException", "not authorized"),
            3,
            "RegisterCACertificate: AccessDeniedException: not",
        ),
        (_client_error("ThrottlingException"), 3, "Run it again in a moment"),
        (_client_error("ExpiredToken"), 3, "Sign in again"),
        (NoCredentialsError(), 3, "Sign in ("),
        (EndpointConnectionError(endpoint_url="http://x"), 3, "Check the network"),
        (ReadTimeoutError(endpoint_url="http://x"), 3, "Check the network"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_an_error_has_its_exit_code_and_one_message(
    fails: Any, error: BaseException, exit_code: int, says: str
) -> None:
    result = fails(error)
    assert (result.exit_code, result.stdout) == (exit_code, "")
    assert says in result.stderr
    assert "Traceback" not in result.stderr


def test_an_answer_of_no_keeps_its_exit_code(fails: Any) -> None:
    assert fails(click.exceptions.Exit(1)).exit_code == 1


def test_a_bug_is_called_one_and_says_how_to_get_the_traceback(fails: Any) -> None:
    result = fails(ZeroDivisionError("division by zero"))
    assert result.exit_code == 70
    [line] = result.stderr.splitlines()
    assert f"this is a bug in jitr {__version__}: ZeroDivisionError at " in line
    assert "jitr --debug" in line
    assert "JITR_DEBUG=1" in line


def test_where_no_temporary_file_can_be_made_it_is_said(fails: Any) -> None:
    """As in a container whose file systems are for reading only: that is no bug."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", None)
        patch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/nowhere"])
        with pytest.raises(FileNotFoundError) as problem:
            tempfile.gettempdir()
    result = fails(problem.value)
    assert (result.exit_code, "error: temporary files can be made nowhere here. TMPDIR" in result.stderr) == (2, True)


def test_a_bug_shows_its_traceback_with_debug(fails: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Traceback" in fails(ZeroDivisionError(), "--debug").stderr
    monkeypatch.setenv("JITR_DEBUG", "1")
    assert "Traceback" in fails(ZeroDivisionError()).stderr


def test_a_reader_that_goes_away_causes_no_noise(tmp_path: Path) -> None:
    """As in `jitr ca create --help | head -0`, for a command's own output."""
    code = (
        "import click\nfrom jitr_cli import main\n"
        "@click.command()\ndef much():\n    click.echo('x' * 1_000_000)\n"
        "main.jitr.add_command(much)\nimport sys; sys.argv = ['jitr', 'much']\nmain.run()"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    stderr = process.stderr.read()
    process.stderr.close()
    assert (process.wait(), stderr) == (141, b"")


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-8"])
def test_a_name_that_a_terminal_has_no_sign_for_ends_no_command(encoding: str) -> None:
    """A device chooses its name, and anybody's terminal may be of another alphabet: it is written out."""
    code = (
        "import click, sys\nfrom jitr_cli import main\nfrom jitr_cli.console import output\n"
        "@click.command()\ndef told():\n    output.table(('name',), [('\u0141\u00f3d\u017a',)])\n"
        "main.jitr.add_command(told)\nsys.argv = ['jitr', 'told']\nmain.run()"
    )
    environment = os.environ | {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True)
    shown = "\u0141\u00f3d\u017a".encode(encoding, "backslashreplace")
    assert done.stdout.split() == [b"name", shown]


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-"])
def test_a_stream_that_is_closed_ends_no_command(closed: str) -> None:
    """Whoever starts a service may close them: what nobody reads is no bug, and nobody to ask is a plain no."""
    code = (
        "import click, sys\nfrom jitr_cli import main\nfrom jitr_cli.console import output\n"
        "@click.command()\ndef asks():\n    output.table(('name',), [('a',)])\n    output.confirm('Sure?', False)\n"
        "main.jitr.add_command(asks)\nsys.argv = ['jitr', 'asks']\nmain.run()"
    )
    words = ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-c", code]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert (done.returncode, b"this is a bug" in done.stderr) == (2, False)


def test_a_message_cannot_steer_the_terminal(fails: Any) -> None:
    result = fails(InputError("CN=\x1b[2J\u202eevil"))
    assert "error: CN=\\x1b[2J\\u202eevil" in result.stderr


# --- what is printed


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("snr-0001", "snr-0001"),
        ("Gözlem Ağı 测试", "Gözlem Ağı 测试"),
        ("a\x1b]0;title\x07b", "a\\x1b]0;title\\x07b"),
        ("a\u202eb\u2066c\u200fd", "a\\u202eb\\u2066c\\u200fd"),
        ("a\nb\rc\x85d\u2028e\x7f", "a\\x0ab\\x0dc\\x85d\\u2028e\\x7f"),
        ("\U000e0041", "\\U000e0041"),
        ("[red]a[/red]", "[red]a[/red]"),
    ],
)
def test_what_could_deceive_is_written_out(text: str, shown: str) -> None:
    assert output.safe(text) == shown


def test_line_ends_stay_in_text_of_our_own() -> None:
    assert output.safe("a\n\tb\x1b", lines=True) == "a\n\tb\\x1b"


def test_json_is_one_ascii_document_with_rfc_3339_times(capsys: pytest.CaptureFixture[str]) -> None:
    document = {"at": datetime(2026, 3, 1, tzinfo=UTC), "path": Path("a/b"), "name": "\u202e\x7f", "set": {"b", "a"}}
    output.emit(True, document, "not this")
    printed = capsys.readouterr().out
    assert printed.isascii()
    assert "\x7f" not in printed
    assert json.loads(printed) == {"at": "2026-03-01T00:00:00Z", "path": "a/b", "name": "\u202e\x7f", "set": ["a", "b"]}


def test_a_table_is_plain_and_aligned_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(("name", "at"), [("snr-1\x1b", None), ("s", datetime(2026, 3, 1, tzinfo=UTC))])
    assert capsys.readouterr().out.splitlines() == ["name       at", "snr-1\\x1b", "s          2026-03-01T00:00:00Z"]


def test_a_question_without_a_terminal_and_without_yes_is_bad_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """The question stands before the error, which says what answers it: an error asks nobody anything."""
    asked: list[str] = []
    monkeypatch.setattr(output, "note", asked.append)
    with pytest.raises(InputError, match="there is no terminal to ask this on: --yes answers it") as refused:
        output.confirm("Delete it?", yes=False)
    assert (asked, "?" in str(refused.value)) == (["Delete it?"], False)
    output.confirm("Delete it?", yes=True)


def test_a_refusal_ends_the_command_with_no(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setattr(click, "confirm", lambda *_args, **_options: False)
    with pytest.raises(click.exceptions.Exit) as refused:
        output.confirm("Delete it?", yes=False)
    assert refused.value.exit_code == 1


# --- which account, Region and stack


def local_state(folder: Path, **changes: Any) -> None:
    (folder / ".local").mkdir(exist_ok=True)
    (folder / ".local" / "stack.json").write_text(json.dumps(LOCAL_STATE | changes))


def test_aws_region_goes_before_aws_default_region(aws: Aws) -> None:
    found = Choice().account()
    assert (found.account_id, found.region) == (ACCOUNT, REGION)
    assert f"account {ACCOUNT}, Region {REGION}, endpoint https://iot.{REGION}.amazonaws.com" in found.where()


def test_aws_default_region_serves_where_aws_region_is_not_set(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION")
    assert Choice().account().region == "us-west-2"


def test_the_option_goes_before_both(aws: Aws) -> None:
    assert Choice(region="eu-west-1").account().region == "eu-west-1"


def test_no_region_is_bad_input(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(InputError, match="no Region: give --region, or set AWS_REGION"):
        Choice().account()


def test_an_impossible_region_is_bad_input(aws: Aws) -> None:
    with pytest.raises(InputError, match="not the name of a Region"):
        Choice(region="eu west!").account()


def test_an_unknown_profile_is_bad_input(aws: Aws) -> None:
    with pytest.raises(InputError, match="nope"):
        Choice(profile="nope").account()


def test_a_malformed_endpoint_is_bad_input(aws: Aws) -> None:
    with pytest.raises(InputError, match="endpoint"):
        Choice(endpoint_url="nowhere").account()


@pytest.mark.parametrize("url", ["ftp://localhost:21", "ws://x"])
def test_an_endpoint_of_another_protocol_is_bad_input(
    aws: Aws, monkeypatch: pytest.MonkeyPatch, run: Run, url: str
) -> None:
    """By option or by environment, and told before a call: it is no network's fault."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    for words in ((), ("--endpoint-url", url)):
        result = run("decisions", "ls", *words)
        assert (result.exit_code, f"the endpoint '{url}' cannot be used" in result.stderr) == (2, True), result.output
        monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    assert aws.calls == []


def test_a_stack_is_found_with_its_outputs(aws: Aws) -> None:
    aws.overrides["DescribeStacks"] = lambda given: {
        "Stacks": [
            {
                "StackName": given["StackName"],
                "StackStatus": "CREATE_COMPLETE",
                "Outputs": [{"OutputKey": "TableName", "OutputValue": "table-1"}],
            }
        ]
    }
    found = Choice(stack="other").deployment()
    assert (found.stack_name, found.output("TableName")) == ("other", "table-1")
    assert found.where().endswith(", stack other")
    assert found.client("iot") is found.client("iot")
    with pytest.raises(InputError, match="no output Queue"):
        found.output("Queue")


def test_a_missing_stack_names_account_and_region(aws: Aws) -> None:
    with pytest.raises(InputError, match=rf"no stack jitr in account {ACCOUNT}, Region {REGION}: deploy it"):
        Choice().deployment()


def test_a_stack_without_outputs_says_its_status(aws: Aws) -> None:
    aws.overrides["DescribeStacks"] = lambda _: {"Stacks": [{"StackStatus": "ROLLBACK_COMPLETE"}]}
    with pytest.raises(InputError, match="ROLLBACK_COMPLETE"):
        Choice().deployment()


def test_without_a_local_stack_local_says_how_to_start_one(run: Run) -> None:
    result = run("ca", "ls", "--local")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: no local stack is running: `jitr local up` starts one (there is no ")


def test_a_command_works_in_a_folder_that_is_gone(
    workdir: Path, run: Run, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A build's folder may be swept away under a shell: that is no bug, and AWS needs no folder."""
    (workdir / "gone").mkdir()
    monkeypatch.chdir(workdir / "gone")
    (workdir / "gone").rmdir()
    nowhere = run("status", "--local")
    assert (nowhere.exit_code, "no local stack is running" in nowhere.stderr) == (2, True)
    assert run("ca", "ls").exit_code == 0


def test_local_works_from_any_folder_and_says_where_it_looked(
    workdir: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outside a checkout the local stack is that of the checkout that jitr was installed from."""
    checkout = tmp_path_factory.mktemp("checkout")
    monkeypatch.setattr("jitr_operations.local_state._INSTALLED", checkout / "cli" / "jitr_cli")
    with pytest.raises(InputError) as told:
        local_stack()
    assert f"{workdir} and {checkout}/cli/jitr_cli, nor above" in str(told.value)
    local_state(checkout)
    assert local_stack().file == checkout / ".local" / "stack.json"
    local_state(workdir)  # where somebody is goes first
    assert local_stack().file == workdir / ".local" / "stack.json"


def test_the_local_stack_is_found_from_below_its_checkout(workdir: Path) -> None:
    local_state(workdir)
    below = workdir / "a" / "b"
    below.mkdir(parents=True)
    found = local_stack(below)
    assert (found.endpoint_url, found.mqtt_port) == ("http://127.0.0.1:4566", 8883)
    assert "secret" not in repr(found)


@pytest.mark.usefixtures("table")
@pytest.mark.parametrize("operation", ["DescribeStacks", "BatchGetItem"])
def test_a_local_stack_that_does_not_answer_is_one_line_with_what_starts_it(
    run: Run, aws: Aws, workdir: Path, operation: str
) -> None:
    """At whatever call it goes down; nothing is said of a network, a Region or credentials."""

    def down(_given: dict[str, Any]) -> Any:
        raise EndpointConnectionError(endpoint_url="http://127.0.0.1:4566")

    local_state(workdir, region=REGION)
    aws.overrides[operation] = down
    result = run("rules", "show", "--local")
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr.splitlines()[-1] == "error: the local stack does not answer: `jitr local up` starts it"


@pytest.mark.parametrize("left_out", LOCAL_STATE)
def test_a_damaged_state_file_says_what_is_missing(workdir: Path, left_out: str) -> None:
    local_state(workdir)
    file = workdir / ".local" / "stack.json"
    file.write_text(json.dumps({name: value for name, value in LOCAL_STATE.items() if name != left_out}))
    with pytest.raises(InputError, match=f"has no {left_out}"):
        local_stack()


@pytest.mark.parametrize("content", ["", "[]", "null", '{"endpoint_url": ', "\x00"])
def test_a_state_file_that_is_not_one_is_bad_input(workdir: Path, content: str) -> None:
    local_state(workdir)
    (workdir / ".local" / "stack.json").write_text(content)
    with pytest.raises(InputError, match="`jitr local up`"):
        local_stack()


def test_a_local_stack_that_is_not_on_this_machine_is_refused(workdir: Path) -> None:
    local_state(workdir, endpoint_url="https://iot.eu-central-1.amazonaws.com")
    with pytest.raises(InputError, match="not on this machine"):
        Choice(local=True).account()


def test_the_local_stack_gets_its_own_keys_whatever_the_environment_says(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local_state(workdir)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "real")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "real")
    monkeypatch.setenv("AWS_PROFILE", "nope")
    monkeypatch.setenv("AWS_ENDPOINT_URL_IOT", "https://iot.eu-central-1.amazonaws.com")
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    account = Choice(local=True).account()
    client: Any = account.client("iot")
    credentials = client._request_signer._credentials
    assert (credentials.access_key, credentials.token) == ("local", None)
    assert client.meta.endpoint_url == "http://127.0.0.1:4566"
    assert client.meta.config.proxies == {}
    assert (account.account_id, account.region) == ("000000000000", "us-east-1")


def test_keys_of_an_account_do_not_go_to_this_machine(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "real")
    with pytest.raises(InputError, match="use --local for the local stack"):
        Choice(endpoint_url="http://localhost:4566", region=REGION).account()


def test_the_local_stacks_keys_do_not_go_to_aws(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    local_state(workdir)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with pytest.raises(InputError, match="add --local"):
        Choice(region=REGION).account()


@pytest.mark.parametrize("option", ["--profile", "--region", "--endpoint-url"])
def test_local_excludes_what_says_another_place(run: Run, option: str) -> None:
    result = run("ca", "ls", "--local", option, "x")
    assert result.exit_code == 2
    assert f"--local and {option} exclude each other" in result.stderr


def test_no_credentials_say_how_to_sign_in(run: Run) -> None:
    result = run("ca", "ls", "--region", REGION)
    assert result.exit_code == 3
    assert "Sign in" in result.stderr


def test_the_entry_point_exits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["jitr", "--version"])
    with pytest.raises(SystemExit) as ended:
        main.run()
    assert ended.value.code == 0
    assert os.environ.get("JITR_DEBUG") is None


def commands_of(command: click.Command, path: str = "jitr") -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, by what is typed."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from commands_of(found, f"{path} {name}")
    else:
        yield path, command


def test_every_command_has_an_example_of_itself() -> None:
    without = [
        path for path, each in commands_of(main.jitr) if not re.search(rf"Examples?:.*{path}\b", each.help or "", re.S)
    ]
    assert without == []


def test_every_command_refuses_a_file_s_path_that_is_empty() -> None:
    """A script's unset variable is one, and Python takes it for the current directory."""
    lenient = [
        path
        for path, command in commands_of(main.jitr)
        for each in command.params
        if isinstance(each.type, click.Path)
        and each.type not in (FILE, FILE_OR_OUTPUT)
        and not path.startswith("jitr local")
    ]
    assert lenient == []
    with pytest.raises(click.BadParameter, match="it is empty: name a file"):
        FILE.convert("", None, None)


def test_every_limit_takes_a_number_that_is_more_than_there_can_be() -> None:
    """``islice`` takes none above ``sys.maxsize``: so many are as good as all."""
    limits = [
        (path, each.type)
        for path, command in commands_of(main.jitr)
        for each in command.params
        if each.name in ("limit", "most")
    ]
    assert len(limits) > 5
    assert [path for path, type_ in limits if type_ is not AT_MOST] == []
    assert (AT_MOST.convert("9" * 30, None, None), AT_MOST.convert("7", None, None)) == (sys.maxsize, 7)
    with pytest.raises(click.BadParameter):
        AT_MOST.convert("0", None, None)


@pytest.mark.parametrize("words", [("failures", "sweep", "--older-than"), ("failures", "redrive", "--pace")])
@pytest.mark.parametrize("value", ["nan", "inf", "9" * 30, "-1"])
def test_an_amount_that_nothing_can_be_reckoned_with_is_wrong_use(run: Run, words: tuple[str, ...], value: str) -> None:
    result = run(*words, value)
    assert (result.exit_code, f"Invalid value for '{words[-1]}'" in result.stderr) == (2, True), result.output


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_made_for_each_shell(shell: str) -> None:
    environment = os.environ | {"_JITR_COMPLETE": f"{shell}_source"}
    done = subprocess.run(
        [str(Path(sys.executable).parent / "jitr")], env=environment, capture_output=True, text=True, check=False
    )
    assert "_JITR_COMPLETE" in done.stdout
