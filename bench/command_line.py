"""What a command costs to run, against one call of AWS's own command line: processor time, on the same local stack.

Both are installed in ``.venv-bench``, as their users have them, with bytecode. Commands take turns; what the stack does
for them is not counted. The ratios of the turns lie within a few per cent of one another, so five are enough. The
discovery of the deployment is remembered, as it is for the second command in a row.
"""

import compileall
import os
import resource
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from testkit.stack.plant import Plant, until

from bench.measure import Timings
from bench.results import ROOT, Result
from jitr_local.session import running_stack

_ENVIRONMENT = ROOT / ".venv-bench"
_OURS = (ROOT / "cli", ROOT / "layers" / "jitr")
_JITR = (str(_ENVIRONMENT / "bin/python"), "-c", "from jitr_cli.main import run; run()")
_AWS = "aws dynamodb get-item"
_MOST = {"held ls": 1.0, "explain": 1.0, "lists add": 1.0, "status": 1.3}  # times AWS's command
_COMPLETIONS = {"held <Tab>": "jitr held ", "lists show <Tab>": "jitr lists show "}
_MOST_TO_COMPLETE = 150  # ms; of commands and options: names are asked of the deployment


def run(*, quick: bool) -> Result:
    """Measure it."""
    result = Result("command_line")
    _compile()
    with running_stack() as stack, TemporaryDirectory(prefix="jitr-bench-") as name:
        plant = Plant(stack, Path(name).resolve())
        held = _one_held(plant)
        commands = {
            _AWS: _aws(plant.stack.outputs["TableName"]),
            "held ls": (*_JITR, "held", "ls"),
            "explain": (*_JITR, "explain", held),
            "lists add": (*_JITR, "lists", "add", "bench-devices", "common_name=bench-1", "--yes"),
            "status": (*_JITR, "status"),
        }
        variables = plant.variables | {"PYTHONPATH": os.pathsep.join(map(str, _OURS)), "XDG_CACHE_HOME": name}
        seconds = _turns(commands, variables, 2 if quick else 5)
    _tell(result, seconds)
    return result


def _compile() -> None:
    """Make the bytecode that is there from the second run on."""
    if not _ENVIRONMENT.is_dir():
        raise FileNotFoundError(f"{_ENVIRONMENT} is not there: `make bench` makes it")
    for each in (_ENVIRONMENT / "lib", *_OURS):
        compileall.compile_dir(each, quiet=2)


def _one_held(plant: Plant) -> str:
    """Have a device wait that no rule lets in, and return its certificateId."""
    factory = plant.factory("bench")
    plant.publish(plant.rules(factory))
    made = plant.knocks(plant.device(factory, "elsewhere-1"), lambda made: plant.record(made))
    until(lambda: plant.under_way() == 0, "its knocks are handled")
    return made.certificate_id


def _aws(table: str) -> Sequence[str]:
    key = '{"pk": {"S": "HEADS"}, "sk": {"S": "HEADS"}}'
    return (str(_ENVIRONMENT / "bin/aws"), "dynamodb", "get-item", "--table-name", table, "--key", key)


def _turns(commands: Mapping[str, Sequence[str]], variables: Mapping[str, str], turns: int) -> Timings:
    completions = {
        name: {"COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))} for name, words in _COMPLETIONS.items()
    }
    seconds: dict[str, list[float]] = {each: [] for each in (*commands, *completions)}
    for turn in range(turns + 1):  # the first warms up, and remembers the deployment
        for name, command in commands.items():
            seconds[name].append(_processor_time(command, variables))
        for name, words in completions.items():
            told = {**variables, **words, "_JITR_COMPLETE": "bash_complete"}
            seconds[name].append(_processor_time(_JITR, told))
        if turn == 0:
            seconds = {each: [] for each in seconds}
    return Timings(seconds)


def _processor_time(command: Sequence[str], variables: Mapping[str, str]) -> float:
    """Run a command, and return its seconds of processor, in the system as well."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode in (0, 1), (command, done.stderr)  # 1: explained, and held
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _tell(result: Result, seconds: Timings) -> None:
    rows = [
        (
            f"jitr {each}" if each != _AWS else each,
            seconds.of(each).times(1000).told(0),
            seconds.ratio(each, _AWS).told(2),
        )
        for each in seconds.seconds
    ]
    result.table("processor", ("", "processor time, ms", f"against `{_AWS}`"), rows)
    for each, most in _MOST.items():
        ratio = seconds.ratio(each, _AWS)
        goal = f"Processor time of `jitr {each}`, against `{_AWS}`"
        result.goal(goal, f"at most {most} ×", f"{ratio.told(2)} ×", met=ratio.median <= most)
    taken = seconds.of("held <Tab>").times(1000)
    result.goal(
        "Processor time of a completion",
        f"at most {_MOST_TO_COMPLETE} ms",
        f"{taken.told(0)} ms",
        met=taken.median <= _MOST_TO_COMPLETE,
    )
