"""The local stack starts on free ports, tells where it is, and leaves nothing behind however it ends."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from jitr_local import environment, ministack, processes, sam_local, stack
from jitr_local.cli import local, variables_of
from jitr_local.errors import NotSetUp, StackError
from jitr_local.folder import Folder
from jitr_local.ministack import Ports
from jitr_local.processes import Process, wait_until
from jitr_local.session import running_stack
from jitr_local.stack import LocalStack

SMALL_TEMPLATE = """\
AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Resources:
  Queue: {Type: AWS::SQS::Queue}
Outputs:
  QueueUrl: {Value: !Ref Queue}
"""


@pytest.fixture
def small_template(tmp_path: Path) -> Path:
    path = tmp_path / "template.yaml"
    path.write_text(SMALL_TEMPLATE)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    folder = Folder(tmp_path / "stack")
    folder.create()
    yield folder
    for process in folder.processes():
        folder.stop(process)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """Where a test may start a stack of its own; stopped after it, should the test fail."""
    yield tmp_path / "stack"
    stack.down(tmp_path / "stack")


def sleeper(folder: Folder, code: str = "") -> Process:
    """A process that does not end by itself, noted in ``folder``, and past its first steps if it has any."""
    mark = folder.tmp / "started"
    script = f"import pathlib, time\n{code}\npathlib.Path({str(mark)!r}).touch()\ntime.sleep(600)"
    process = folder.start([sys.executable, "-c", script], {}, folder.log)
    assert wait_until(mark.exists, 20)
    return process


def commands_naming(text: str) -> list[str]:
    return [row.command for row in processes._rows() if text in row.command]


# --- Processes -----------------------------------------------------------------------------------------------------


def test_a_process_that_ended_is_not_running_even_before_it_is_reaped(folder: Folder) -> None:
    process = folder.start([sys.executable, "-c", ""], {}, folder.log)
    assert wait_until(lambda: not processes.is_running(process), 20)


def test_a_later_process_with_the_same_id_is_neither_taken_for_the_first_nor_stopped(folder: Folder) -> None:
    running = sleeper(folder)
    earlier = replace(running, started="long ago")
    assert not processes.is_running(earlier)
    processes.stop(earlier, folder.root / "elsewhere")
    assert processes.is_running(running)


def test_stopping_a_process_stops_what_it_started(folder: Folder) -> None:
    child = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])"
    process = sleeper(folder, child)
    group = [row.process for row in processes._rows() if row.group == process.pid]
    assert len(group) == 2
    folder.stop(process)
    assert not [one for one in group if processes.is_running(one)]
    assert folder.processes() == []


def test_a_process_that_ignores_sigterm_is_killed(folder: Folder) -> None:
    process = sleeper(folder, "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)")
    processes.stop(process, folder.root, grace=0.2)
    assert not processes.is_running(process)


def test_orphans_of_a_process_that_crashed_are_found_by_their_folder(folder: Folder) -> None:
    script = folder.tmp / "worker.py"
    script.write_text("import time; time.sleep(600)")
    process = sleeper(folder, f"import subprocess, sys; subprocess.Popen([sys.executable, {str(script)!r}])")
    os.kill(process.pid, signal.SIGKILL)
    assert wait_until(lambda: not processes.is_running(process), 20)
    assert commands_naming(str(script))
    folder.stop(process)
    assert not commands_naming(str(script))


def test_ps_says_the_same_as_proc(folder: Folder) -> None:
    process = sleeper(folder)
    try:
        (by_ps,) = processes._rows_of_ps(process.pid)
    except FileNotFoundError:
        pytest.skip("this machine has no ps")
    assert (by_ps.process.pid, by_ps.group) == (process.pid, process.pid)
    assert by_ps.command.startswith(sys.executable)
    assert by_ps.process in [row.process for row in processes._rows_of_ps(None)]


# --- The folder ----------------------------------------------------------------------------------------------------


def test_only_one_command_works_in_a_folder_at_a_time(folder: Folder) -> None:
    with folder.locked(), pytest.raises(StackError, match="another command"), folder.locked():
        pass
    with folder.locked():
        pass


def test_a_second_start_in_a_folder_is_refused_while_the_first_is_at_work(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(*_arguments: object) -> None:
        for command in (stack.up, stack.down):
            with pytest.raises(StackError, match="another command"):
                command(folder.root)

    monkeypatch.setattr(stack, "_start", start)
    stack.up(folder.root)


def test_removing_leaves_what_is_not_the_stack_s(folder: Folder) -> None:
    other = folder.root / "notes.txt"
    other.write_text("mine")
    folder.remove()
    assert list(folder.root.iterdir()) == [other]
    other.unlink()
    folder.remove()
    assert not folder.root.exists()


def test_nothing_runs_in_an_empty_folder_and_stopping_it_is_no_error(tmp_path: Path) -> None:
    assert stack.status(tmp_path).stack is None
    assert stack.down(tmp_path / "nowhere") is False
    with pytest.raises(StackError, match="jitr local up"):
        stack.load(tmp_path)


def test_a_stack_whose_process_is_gone_is_not_running_and_down_removes_it(folder: Folder) -> None:
    process = sleeper(folder)
    state = LocalStack(
        "http://127.0.0.1:1", "r", "0", "k", "s", "jitr", "localhost", 2, folder.broker_ca, process.pid, folder.log
    )
    folder.state_file.write_text(json.dumps(state.as_json()))
    folder.broker_ca.write_text("")
    with pytest.raises(StackError, match=r"does not answer.*jitr local down"):
        stack.up(folder.root)
    os.kill(process.pid, signal.SIGKILL)
    assert wait_until(lambda: not processes.is_running(process), 20)
    assert "gone" in stack.status(folder.root).detail
    assert stack.down(folder.root) is True
    assert not folder.root.exists()


def test_a_start_that_was_cut_short_is_stopped_by_down(folder: Folder) -> None:
    process = sleeper(folder)
    assert "being started" in stack.status(folder.root).detail
    assert stack.down(folder.root) is True
    assert not processes.is_running(process)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"broker_ca": 1, "log": 2}'])
def test_a_state_file_that_cannot_be_read_is_told_in_one_line(folder: Folder, content: str) -> None:
    folder.state_file.write_text(content)
    with pytest.raises(StackError, match=r"stack\.json cannot be read: .*jitr local down") as caught:
        stack.status(folder.root)
    assert "\n" not in str(caught.value)
    assert stack.down(folder.root) is True


# --- The environment -----------------------------------------------------------------------------------------------

PATHS = {"home": Path("/s/home"), "tmp": Path("/s/tmp")}
DEVELOPER = {
    "PATH": "/bin", "AWS_PROFILE": "work", "AWS_SESSION_TOKEN": "t", "AWS_ENDPOINT_URL": "https://x", "HOME": "/h",
    "PYTHONPATH": "/p", "GITHUB_TOKEN": "t", "https_proxy": "http://proxy", "PIP_INDEX_URL": "https://index",
}  # fmt: skip


def test_functions_see_nothing_of_the_developer_s_environment_but_the_path() -> None:
    seen = environment.for_ministack(DEVELOPER, state=Path("/s/state"), objects=Path("/s/s3"), **PATHS)
    assert {name for name in seen if seen[name] == DEVELOPER.get(name)} == {"PATH"}
    assert not {"AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "PYTHONPATH", "https_proxy"} & set(seen)
    assert seen["AWS_CONFIG_FILE"] == seen["AWS_SHARED_CREDENTIALS_FILE"] == os.devnull


def test_a_build_reaches_the_package_index_and_makes_the_layer_for_the_functions_interpreter() -> None:
    seen = environment.for_build(DEVELOPER, pip_python=Path("/v/python"), functions_python=Path("/f/python"), **PATHS)
    assert (seen["PIP_INDEX_URL"], seen["https_proxy"], seen["HOME"]) == ("https://index", "http://proxy", "/h")
    assert (seen["JITR_LAYER_FOR"], seen["JITR_LAYER_PYTHON"]) == ("local", "/f/python")
    assert not {"AWS_PROFILE", "GITHUB_TOKEN"} & set(seen)


# --- Starting MiniStack --------------------------------------------------------------------------------------------


def test_ports_are_free_and_differ() -> None:
    ports = ministack.free_ports()
    assert ports.gateway != ports.mqtt
    for port in (ports.gateway, ports.mqtt):
        with socket.create_server(("", port)):
            pass


def test_a_ministack_that_dies_is_told_with_the_end_of_its_log(folder: Folder, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho it is broken\nexit 7\n")
    python.chmod(0o700)
    with pytest.raises(StackError, match=r"exit 7(.|\n)*it is broken"):
        ministack.start(python, folder, {})


def ministack_environment(folder: Folder) -> dict[str, str]:
    return environment.for_ministack(
        os.environ, home=folder.home, tmp=folder.tmp, state=folder.state, objects=folder.objects
    )


@pytest.mark.stack
@pytest.mark.parametrize("taken", ["gateway", "mqtt"])
def test_other_ports_are_tried_when_one_was_taken_meanwhile(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, taken: str
) -> None:
    """With the MQTT port taken MiniStack stays healthy, and with the other one it ends."""
    with socket.create_server(("0.0.0.0", 0)) as squatter:  # noqa: S104
        other = ministack.free_ports()
        clash = replace(other, **{taken: squatter.getsockname()[1]})
        choices = iter([clash, ministack.free_ports()])
        monkeypatch.setattr(ministack, "free_ports", lambda: next(choices))
        process, ports = ministack.start(stack._tool("stack", "python"), folder, ministack_environment(folder))
        assert ports not in (clash, other)
        ministack.handshake(ports.mqtt, folder.broker_ca.read_text())
        assert folder.processes() == [process]


@pytest.mark.stack
def test_a_missing_environment_is_told_with_what_installs_it(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, small_template: Path
) -> None:
    monkeypatch.setattr(stack, "CHECKOUT", folder.root)
    with pytest.raises(NotSetUp, match="make setup"):
        stack.up(folder.root, template=small_template)
    assert not folder.root.exists()


# --- The stack -----------------------------------------------------------------------------------------------------


@pytest.mark.stack
def test_the_template_s_outputs_name_what_was_deployed(local_stack: LocalStack) -> None:
    assert local_stack.stack_name == "jitr"
    assert {"TableName", "RegistrationQueueUrl", "RegisterFunctionName"} <= set(local_stack.outputs)
    tables = local_stack.session().client("dynamodb").list_tables()["TableNames"]
    assert local_stack.outputs["TableName"] in tables


@pytest.mark.stack
def test_the_broker_is_this_stack_s(local_stack: LocalStack) -> None:
    ministack.handshake(local_stack.mqtt_port, local_stack.broker_ca.read_text())
    with (
        socket.create_connection((local_stack.mqtt_host, local_stack.mqtt_port), timeout=10) as plain,
        local_stack.tls_context().wrap_socket(plain, server_hostname=local_stack.mqtt_host) as tls,
    ):
        assert tls.version() == "TLSv1.3"


@pytest.mark.stack
def test_clients_go_to_the_stack_whatever_the_developer_s_configuration_says(
    local_stack: LocalStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_USE_FIPS_ENDPOINT", "true")
    identity = local_stack.session().client("sts").get_caller_identity()
    assert identity["Account"] == local_stack.account_id


@pytest.mark.stack
def test_the_state_file_says_where_the_stack_is_to_this_user_only(local_stack: LocalStack) -> None:
    file = local_stack.log.with_name("stack.json")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    content = json.loads(file.read_text())
    assert content["endpoint_url"] == local_stack.endpoint_url
    assert set(content) == {
        "endpoint_url", "region", "account_id", "access_key_id", "secret_access_key", "stack_name",
        "mqtt_host", "mqtt_port", "broker_ca", "pid", "log",
    }  # fmt: skip
    assert stack.load(file.parent).as_json() == local_stack.as_json()


@pytest.mark.stack
def test_what_env_prints_is_enough_for_a_shell(local_stack: LocalStack) -> None:
    printed = CliRunner().invoke(local, ["--folder", str(local_stack.log.parent), "env"])
    assert printed.exit_code == 0
    ask = "import boto3; print(boto3.client('sts').get_caller_identity()['Account'])"
    answer = subprocess.run(
        ["/bin/sh", "-c", f'{printed.output}\nexec "$0" -c "{ask}"', sys.executable],
        env={"AWS_PROFILE": "no-such-profile", "HTTP_PROXY": "http://127.0.0.1:1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.strip() == local_stack.account_id


@pytest.mark.stack
def test_what_env_writes_for_sam_local_reaches_the_stack_from_the_address_of_a_bridge(
    local_stack: LocalStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One relay, however often it is asked for; it ends with the stack, as every process of it."""
    monkeypatch.setattr(sam_local, "_gateway", lambda: "127.0.0.1")
    arguments = ["--folder", str(local_stack.log.parent), "env", "--sam"]
    before = Folder(local_stack.log.parent).processes()
    written = []
    for _ in range(2):
        result = CliRunner().invoke(local, arguments)
        assert result.exit_code == 0, result.output
        written.append(json.loads(local_stack.log.with_name("sam-local.json").read_text()))
    assert "sam local invoke RegisterFunction -e events/first-connection.json --env-vars" in result.stderr
    assert "sam local" not in result.stdout
    assert written[0] == written[1]
    (relay,) = [one for one in Folder(local_stack.log.parent).processes() if one not in before]
    assert processes.is_running(relay)
    variables = written[0]["RegisterFunction"]
    assert variables["JITR_TABLE"] == local_stack.outputs["TableName"]
    assert variables["AWS_ENDPOINT_URL"] != local_stack.endpoint_url
    reached = replace(local_stack, endpoint_url=variables["AWS_ENDPOINT_URL"]).session().client("dynamodb")
    assert reached.describe_table(TableName=variables["JITR_TABLE"])["Table"]["TableStatus"] == "ACTIVE"


@pytest.mark.stack
@pytest.mark.parametrize("gateway", [None, "192.0.2.77"])
def test_without_a_bridge_of_this_machine_it_names_the_host_as_docker_desktop_does(
    local_stack: LocalStack, monkeypatch: pytest.MonkeyPatch, gateway: str | None
) -> None:
    monkeypatch.setattr(sam_local, "_gateway", lambda: gateway)
    (variables, *_) = json.loads(sam_local.write_variables(local_stack).read_text()).values()
    assert variables["AWS_ENDPOINT_URL"] == local_stack.endpoint_url.replace("127.0.0.1", "host.docker.internal")


@pytest.mark.stack
def test_up_finds_the_stack_that_runs(local_stack: LocalStack) -> None:
    arguments = ["--folder", str(local_stack.log.parent)]
    again = CliRunner().invoke(local, [*arguments, "up", "--json"])
    assert (again.exit_code, json.loads(again.stdout)) == (0, local_stack.as_json())
    there = CliRunner().invoke(local, [*arguments, "status", "--json"])
    assert (there.exit_code, json.loads(there.stdout)["stack"]) == (0, local_stack.as_json())
    assert "ALL interfaces" in CliRunner().invoke(local, [*arguments, "status"]).output


# --- Leaving nothing behind ----------------------------------------------------------------------------------------


@pytest.mark.stack
def test_a_stack_on_loan_leaves_no_process_and_no_file(
    small_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (scratch := tmp_path / "t").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    with running_stack(template=small_template) as running:
        root = running.log.parent
        queue = running.outputs["QueueUrl"]
        assert running.session().client("sqs").get_queue_attributes(QueueUrl=queue)
        assert commands_naming(str(scratch))  # the watcher
        (process,) = Folder(root).processes()
        group = [row.process for row in processes._rows() if row.group == process.pid]
    assert not [one for one in (process, *group) if processes.is_running(one)]
    assert not commands_naming(str(scratch))
    assert list(scratch.iterdir()) == []


BORROWER = """
import sys
from pathlib import Path
from jitr_local.session import running_stack
with running_stack(template=Path(sys.argv[1])) as stack:
    print(stack.pid, flush=True)
    sys.stdin.read()
"""


@pytest.mark.stack
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_borrower_that_is_stopped_or_killed_leaves_nothing(
    small_template: Path, tmp_path: Path, number: signal.Signals
) -> None:
    (scratch := tmp_path / "t").mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", BORROWER, str(small_template)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TMPDIR": str(scratch)},
    ) as borrower:
        assert borrower.stdout is not None
        process = processes.identify(int(borrower.stdout.readline()))
        assert process is not None
        borrower.send_signal(number)
        borrower.wait(30)
    assert wait_until(lambda: not commands_naming(str(scratch)), 30)
    assert not processes.is_running(process)
    assert list(scratch.iterdir()) == []


@pytest.mark.stack
@pytest.mark.parametrize("as_soon_as", ["sam/build.log", "ministack.log", "broker-ca.pem", "sam/deploy.log"])
def test_a_start_that_is_interrupted_leaves_nothing(small_template: Path, elsewhere: Path, as_soon_as: str) -> None:
    script = "import sys; from pathlib import Path; from jitr_local import signals, stack\n"
    script += "with signals.as_interrupt(): stack.up(Path(sys.argv[1]), template=Path(sys.argv[2]))"
    command = [sys.executable, "-c", script, str(elsewhere), str(small_template)]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as starting:
        assert wait_until((elsewhere / as_soon_as).exists, 30)
        starting.send_signal(signal.SIGTERM)
        assert b"KeyboardInterrupt: SIGTERM" in starting.communicate(timeout=30)[1]
    assert not elsewhere.exists()
    assert not commands_naming(str(elsewhere))


@pytest.mark.stack
def test_a_template_that_does_not_deploy_is_told_and_leaves_nothing(small_template: Path, elsewhere: Path) -> None:
    small_template.write_text(SMALL_TEMPLATE.replace("AWS::SQS::Queue", "AWS::No::Such"))
    with pytest.raises(StackError, match=r"sam deploy failed(.|\n)*AWS::No::Such"):
        stack.up(elsewhere, template=small_template)
    assert not elsewhere.exists()


@pytest.mark.stack
def test_a_stack_is_found_redeployed_only_if_asked_and_stopped_once(small_template: Path, elsewhere: Path) -> None:
    first = stack.up(elsewhere, template=small_template)
    small_template.write_text(
        SMALL_TEMPLATE.replace("Outputs:", "  Topic: {Type: AWS::SNS::Topic}\nOutputs:\n  Topic: {Value: !Ref Topic}")
    )
    assert stack.up(elsewhere, template=small_template).outputs.keys() == {"QueueUrl"}
    again = stack.up(elsewhere, template=small_template, redeploy=True)
    assert again == first
    assert again.outputs.keys() == {"QueueUrl", "Topic"}

    def run(command: str) -> tuple[int, str]:
        result = CliRunner().invoke(local, ["--folder", str(elsewhere), command, "--json"])
        return result.exit_code, result.stdout

    assert run("down") == (0, '{"stopped": true}\n')
    assert run("down") == (0, '{"stopped": false}\n')
    assert run("status")[0] == 1
    assert run("env") == (1, "")
    assert not elsewhere.exists()


KEEPS_A_POLICY = SMALL_TEMPLATE.replace(
    "Outputs:",
    """\
  Policy:
    Type: AWS::IoT::Policy
    DeletionPolicy: Retain
    Properties:
      PolicyName: kept
      PolicyDocument: {Version: "2012-10-17", Statement: [{Effect: Allow, Action: "iot:Connect", Resource: "*"}]}
Outputs:""",
)


@pytest.mark.stack
def test_a_deleted_stack_is_noticed_and_what_hinders_its_deployment_is_told_in_one_line(
    small_template: Path, elsewhere: Path
) -> None:
    """`up` deploys what was deleted, without --redeploy; `status` does not call it one that runs."""
    small_template.write_text(KEEPS_A_POLICY)
    running = stack.up(elsewhere, template=small_template)
    cloudformation = running.session().client("cloudformation")

    def status() -> tuple[int, str]:
        result = CliRunner().invoke(local, ["--folder", str(elsewhere), "status"])
        return result.exit_code, result.output

    assert status()[0] == 0
    cloudformation.delete_stack(StackName=running.stack_name)
    cloudformation.get_waiter("stack_delete_complete").wait(StackName=running.stack_name)
    gone = (1, "MiniStack runs, but its CloudFormation stack is gone: `jitr local up` deploys it\n")
    assert status() == gone
    for _ in range(2):  # the second meets what is left of the first
        with pytest.raises(
            StackError, match=r"sam deploy failed: Policy \(AWS::IoT::Policy\): .*already exists"
        ) as told:
            stack.up(elsewhere, template=small_template)
        assert "\n" not in str(told.value)
        assert "`jitr local down` and `jitr local up` begin without it" in str(told.value)
    said: list[str] = []
    small_template.write_text(SMALL_TEMPLATE)
    assert stack.up(elsewhere, template=small_template, say=said.append).outputs.keys() == {"QueueUrl"}
    assert said == ["its CloudFormation stack is gone: building and deploying again ..."]
    assert status()[0] == 0


def test_the_caller_s_no_proxy_is_kept(tmp_path: Path) -> None:
    some = LocalStack("http://127.0.0.1:1", "r", "0", "k", "s", "jitr", "localhost", 2, tmp_path, 3, tmp_path)
    assert variables_of(some, {"NO_PROXY": "a.example,localhost"})["NO_PROXY"] == "a.example,localhost,127.0.0.1"


def test_endpoints_are_on_the_loopback() -> None:
    assert Ports(4566, 8883).endpoint_url == "http://127.0.0.1:4566"
