"""What was built runs on the Lambda runtime API, with nothing but its own folder, its layer and the AWS SDK."""

import json
import os
import platform
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from testkit import event_files
from testkit.function_variables import NOWHERE

from jitr_local import processes, runtime
from jitr_local.errors import NotSetUp, StackError
from jitr_local.functions import Function, read_functions
from jitr_local.runtime import Answer, running

ROOT = Path(__file__).parents[2]
FUNCTIONS = read_functions(ROOT / "template.yaml")
REGISTER = FUNCTIONS["RegisterFunction"]

pytestmark = [
    pytest.mark.built,
    pytest.mark.xdist_group("built"),
    pytest.mark.skipif(platform.system() != "Linux", reason="the Lambda runtime emulator is for Linux only"),
]

# Does as its event says.
PROBE = """
import importlib.util, os, sys, time

def handler(event, context):
    print("said", event)
    if "sleep" in event:
        time.sleep(event["sleep"])
    if "exit" in event:
        os._exit(event["exit"])
    if "raise" in event:
        raise ValueError(event["raise"])
    origins = {name: importlib.util.find_spec(name) for name in event.get("find", ())}
    return {
        "path": sys.path, "pid": os.getpid(), "environment": dict(os.environ), "name": context.function_name,
        "found": {name: spec and spec.origin for name, spec in origins.items()},
        "milliseconds": context.get_remaining_time_in_millis(),
    }
"""


@pytest.fixture
def probe(tmp_path: Path) -> tuple[Function, Path]:
    """A function that takes orders, beside an empty layer. Its handler's name is found in the list of processes."""
    name = f"probe_{tmp_path.name}_{os.getpid()}"
    (tmp_path / "Probe").mkdir()
    (tmp_path / "Probe" / f"{name}.py").write_text(PROBE)
    (tmp_path / "Layer" / "python").mkdir(parents=True)
    function = Function("Probe", f"{name}.handler", 1, 128, ("Layer",), {}, frozenset())
    return function, tmp_path


@pytest.fixture
def started(probe: tuple[Function, Path]) -> Iterator[runtime.Runtime]:
    with running(*probe, NOWHERE) as one:
        yield one


def ask(started: runtime.Runtime, **event: object) -> Answer:
    return started.invoke(json.dumps(event).encode())


def left_of(function: Function) -> list[str]:
    """The commands that run, and name the function's handler."""
    return [row.command for row in processes._rows() if function.handler in row.command]


# What was built


def test_the_built_function_starts_and_answers(build: Path) -> None:
    with running(REGISTER, build, NOWHERE) as started:
        answer = started.invoke(b'{"Records": []}')
    assert (answer.failed, json.loads(answer.body)) == (False, {"batchItemFailures": []}), answer


def test_an_outage_of_aws_loses_no_message(build: Path) -> None:
    """Poison that cannot be moved, and a device that cannot be looked up: all of them go back to the queue."""
    for name in ("poison-not-json.json", "first-connection.json"):
        content = event_files.text(name)
        with running(REGISTER, build, NOWHERE) as started:
            answer = started.invoke(content.encode())
        failed = [each["itemIdentifier"] for each in json.loads(answer.body)["batchItemFailures"]]
        assert failed == [each["messageId"] for each in event_files.records(content)], answer


def test_the_built_function_leaves_nothing_in_its_build(build: Path) -> None:
    assert not [each for name in FUNCTIONS for each in (build / name).rglob("__pycache__")]


# What a function finds


def test_a_function_finds_its_own_folder_its_layer_and_the_aws_sdk_alone(
    probe: tuple[Function, Path], started: runtime.Runtime
) -> None:
    folder = probe[1]
    (folder / "Layer" / "python" / "in_layer.py").write_text("")
    elsewhere = [
        "jitr",
        "jitr_cli",
        "jitr_operations",
        "jitr_local",
        "click",
        "rich",
        "yaml",
        "moto",
        "pytest",
        "cryptography",
    ]
    answer = json.loads(ask(started, find=["in_layer", "boto3", "botocore", *elsewhere]).body)
    assert answer["path"][:2] == [str(folder / "Probe"), str(folder / "Layer/python")]
    assert not [each for each in answer["path"] if "site-packages" in each]
    assert answer["found"].pop("in_layer") == str(folder / "Layer/python/in_layer.py")
    assert all(answer["found"].pop(name) for name in ("boto3", "botocore"))
    assert answer["found"] == dict.fromkeys(elsewhere)


def test_a_function_sees_its_variables_and_none_of_the_callers(
    probe: tuple[Function, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_PROFILE", "GITHUB_TOKEN", "HTTP_PROXY"):
        monkeypatch.setenv(name, "mine")
    with running(*probe, NOWHERE) as started:
        answer = json.loads(ask(started).body)
    assert NOWHERE.items() <= answer["environment"].items()
    assert "mine" not in answer["environment"].values()
    assert answer["environment"]["AWS_CONFIG_FILE"] == os.devnull
    assert answer["name"] == "Probe"
    assert 0 < answer["milliseconds"] <= 1000


# What can go wrong


def test_an_exception_is_a_failure_with_its_traceback_in_the_log(started: runtime.Runtime) -> None:
    answer = ask(started, **{"raise": "boom"})
    assert answer.failed
    assert json.loads(answer.body)["errorMessage"] == "boom"
    assert "said" in answer.log
    assert "ValueError: boom" in answer.log
    assert "(rapid)" not in answer.log


def test_a_function_that_takes_too_long_is_a_failure_after_its_timeout(started: runtime.Runtime) -> None:
    answer = ask(started, sleep=30)
    assert (answer.failed, answer.body) == (True, "Task timed out after 1.00 seconds")


def test_after_a_crash_the_next_event_gets_a_fresh_process(started: runtime.Runtime) -> None:
    first = json.loads(ask(started).body)["pid"]
    assert json.loads(ask(started).body)["pid"] == first
    assert ask(started, exit=3).failed
    assert json.loads(ask(started).body)["pid"] != first


def test_a_handler_that_cannot_be_imported_is_a_failure(probe: tuple[Function, Path]) -> None:
    function, folder = probe
    module = function.handler.partition(".")[0]
    (folder / "Probe" / f"{module}.py").write_text("import click")
    with running(function, folder, NOWHERE) as started:
        answer = ask(started)
    assert answer.failed
    assert "No module named 'click'" in answer.body


@pytest.mark.parametrize("taken", [0, 1], ids=["emulator", "runtime API"])
def test_other_ports_are_tried_where_somebody_was_quicker(
    probe: tuple[Function, Path], monkeypatch: pytest.MonkeyPatch, taken: int
) -> None:
    free = runtime._free_ports
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        clash = list(free())
        clash[taken] = squatter.getsockname()[1]
        choices = iter([tuple(clash)])
        monkeypatch.setattr(runtime, "_free_ports", lambda: next(choices, None) or free())
        with running(*probe, NOWHERE) as started:
            assert not ask(started).failed


def test_ports_that_are_never_free_are_told(probe: tuple[Function, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        port = squatter.getsockname()[1]
        monkeypatch.setattr(runtime, "_free_ports", lambda: (port, port))
        with pytest.raises(StackError, match="address already in use"), running(*probe, NOWHERE):
            pass
    assert not left_of(probe[0])


def test_where_there_is_no_emulator_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "sparc")
    with pytest.raises(NotSetUp, match="make setup"):
        runtime.find_emulator()
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    with pytest.raises(NotSetUp, match="sam local invoke"):
        runtime.find_emulator()


# Nothing is left


def test_nothing_is_left_after_it(probe: tuple[Function, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    folder = probe[1] / "tmp"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    with running(*probe, NOWHERE) as started:
        ask(started)
        assert len(left_of(probe[0])) == 2
    assert not left_of(probe[0])
    assert not list(folder.iterdir())


INTERRUPTED = """
import json, sys
from pathlib import Path
from jitr_local import runtime, signals
from jitr_local.functions import Function

function = Function("Probe", sys.argv[1], 60, 128, ("Layer",), {}, frozenset())
with signals.as_interrupt(), runtime.running(function, Path(sys.argv[2]), {}) as started:
    started.invoke(json.dumps({"sleep": 50}).encode())
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_nothing_is_left_of_one_that_is_interrupted_at_work(
    probe: tuple[Function, Path], tmp_path: Path, number: signal.Signals
) -> None:
    function, folder = probe
    (scratch := tmp_path / "tmp").mkdir()
    command = [sys.executable, "-c", INTERRUPTED, function.handler, str(folder)]
    with subprocess.Popen(command, env={**os.environ, "TMPDIR": str(scratch)}, stderr=subprocess.PIPE) as working:
        assert processes.wait_until(lambda: _said(scratch), 20)
        working.send_signal(number)
        assert b"KeyboardInterrupt" in working.communicate(timeout=20)[1]
    assert not left_of(function)
    assert not list(scratch.iterdir())


def _said(scratch: Path) -> bool:
    return any("said" in log.read_text() for log in scratch.glob("*/log"))
