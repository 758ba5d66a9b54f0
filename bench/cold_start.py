"""Cold starts on the real Lambda runtime API: a fresh process each time, from its start to the first answer.

Each function as `sam build` makes it, for this machine, with nothing but its own folder, its layers and the AWS SDK on
its path, as Lambda has it. The emulator (AWS's runtime interface emulator) starts the process when the first event
comes. Functions and baselines take turns.
"""

import compileall
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from testkit.function_variables import NOWHERE

from bench.built import build, megabytes
from bench.measure import Timings
from bench.nothing_there import nothing_there
from bench.results import ROOT, Result
from jitr_local.functions import Function, read_functions
from jitr_local.runtime import running

# Times a handler that only makes two clients. Devices wait for the first two.
_MOST = {"RegisterFunction": 1.0, "RecheckFunction": 1.0, "PublishFunction": 1.1, "NotifyFunction": 1.1}
_MOST_MEGABYTES = 25.0

_SDK = ("boto3", "botocore", "dateutil", "jmespath", "s3transfer", "six", "urllib3", "awslambdaric", "simplejson")

_EMPTY = "def handler(event, context):\n    return {}\n"
_CLIENTS = """
import boto3

iot = boto3.client("iot")
dynamodb = boto3.client("dynamodb")

def handler(event, context):
    return {}
"""

# An event that asks for nothing: clients and settings are made, and only the recheck asks the table something.
_NOTHING = b'{"Records": []}'
_FUNCTIONS = tuple(_MOST)

# What CloudFormation gives the functions.
_VARIABLES = NOWHERE | {
    "JITR_MOST_WAITING": "500",
    "JITR_REFUSALS_TOPIC": "arn:aws:sns:us-east-1:123456789012:refusals",
    "JITR_EVENT_BUS": "default",
    "JITR_NOTIFY_FAILURES_URL": "http://127.0.0.1:1/notify-failures",
    "JITR_STACK": "bench",
    "JITR_PARTITION": "aws",
    "POWERTOOLS_SERVICE_NAME": "bench",
}


def run(*, quick: bool) -> Result:
    """Measure it."""
    result = Result("cold_start")
    with _built() as (folder, functions), nothing_there() as address:
        variables = _VARIABLES | {"AWS_ENDPOINT_URL": address}
        seconds = _turns(folder, functions, variables, 2 if quick else 15)
        _tell(result, seconds)
        _imports(result, folder, functions, variables)
        _layer(result, folder)
    return result


def _compile_sdk() -> None:
    """Lambda's runtime has the bytecode of its SDK; an environment that was just made has not."""
    for name in _SDK:
        specification = find_spec(name)
        assert specification is not None
        for place in specification.submodule_search_locations or [specification.origin or ""]:
            compileall.compile_dir(place, quiet=2) if Path(place).is_dir() else compileall.compile_file(place, quiet=2)


@contextmanager
def _built() -> Iterator[tuple[Path, dict[str, Function]]]:
    _compile_sdk()
    with TemporaryDirectory(prefix="jitr-bench-") as name:
        folder = build(Path(name).resolve())
        template = read_functions(ROOT / "template.yaml")
        functions = {each: template[each] for each in _FUNCTIONS}
        for title, code in (("empty", _EMPTY), ("clients", _CLIENTS)):
            (folder / title).mkdir()
            (folder / title / "app.py").write_text(code)
            functions[title] = Function(title, "app.handler", 30, 512, (), {}, frozenset())
        yield folder, functions


def _turns(folder: Path, functions: Mapping[str, Function], variables: Mapping[str, str], turns: int) -> Timings:
    names = list(functions)
    for each in names:
        _first_answer(
            folder, functions[each], variables
        )  # the files are read, and the SDK's bytecode is there, as on Lambda
    seconds: dict[str, list[float]] = {each: [] for each in names}
    for turn in range(turns):
        at = turn % len(names)
        for each in names[at:] + names[:at]:
            seconds[each].append(_first_answer(folder, functions[each], variables))
    return Timings(seconds)


def _first_answer(folder: Path, function: Function, variables: Mapping[str, str]) -> float:
    """Seconds from the first event to its answer, in which the process is started."""
    with running(function, folder, variables) as started:
        before = time.monotonic()
        answer = started.invoke(_NOTHING)
        seconds = time.monotonic() - before
    assert not answer.failed, answer
    return seconds


def _tell(result: Result, seconds: Timings) -> None:
    titles = {"empty": "a handler that is empty", "clients": "a handler that makes two boto3 clients"}
    rows = [
        (titles.get(each, each), seconds.of(each).times(1000).told(0), seconds.ratio(each, "clients").told(2))
        for each in seconds.seconds
    ]
    result.table("start", ("", "process start to first answer, ms", "against two clients"), rows)
    for each in _FUNCTIONS:
        ratio = seconds.ratio(each, "clients")
        met = ratio.median <= _MOST[each]
        goal = f"Cold start of {each}, against a handler that makes two boto3 clients"
        result.goal(goal, f"at most {_MOST[each]} ×", f"{ratio.told(2)} ×", met=met)


def _layer(result: Result, folder: Path) -> None:
    size = megabytes(folder / "JitrLayer")
    result.goal("The layer, unzipped", f"at most {_MOST_MEGABYTES:.0f} MB", f"{size:.1f} MB", met=size <= 25)


def _imports(result: Result, folder: Path, functions: Mapping[str, Function], variables: Mapping[str, str]) -> None:
    """Where the time of importing goes, by package; one run each."""
    found = {each: _imported(folder, functions[each], variables) for each in (*_FUNCTIONS, "clients")}
    packages = sorted({name for each in found.values() for name, spent in each.items() if spent >= 2_000})
    rows = [(each, *(f"{found[name][each] / 1000:.0f}" for name in found)) for each in packages]
    rows.append(("all others", *(f"{_rest(each, packages) / 1000:.0f}" for each in found.values())))
    rows.append(("together", *(f"{each.total() / 1000:.0f}" for each in found.values())))
    result.table("imports", ("imported, ms", *_FUNCTIONS, "two clients"), rows)


def _rest(spent: Counter[str], packages: list[str]) -> int:
    return sum(each for name, each in spent.items() if name not in packages)


def _imported(folder: Path, function: Function, variables: Mapping[str, str]) -> Counter[str]:
    """Microseconds by package, Python's own modules together."""
    with running(function, folder, {**variables, "PYTHONPROFILEIMPORTTIME": "1"}) as started:
        log = started.invoke(_NOTHING).log
    spent: Counter[str] = Counter()
    for line in log.splitlines():
        parts = line.removeprefix("import time:").split("|")
        if len(parts) == 3 and parts[0].strip().isdigit():
            name = parts[2].strip().partition(".")[0]
            spent["Python's own" if name in sys.stdlib_module_names else name] += int(parts[0])
    return spent
