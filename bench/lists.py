"""Device lists of 10,000 to 1,000,000 rows: import, look-up, export.

Import is compared with a bare batch writer that sends the same rows to the same table over as many connections, in
turns. Up to 100,000 rows the table is the local stack's. The million goes to a server that takes everything and keeps
nothing: what is measured there is our own work and memory, and the local stack would take minutes. The bare writer
sends no more than 100,000 rows: it keeps nothing from one batch to the next, so its rate is the same for a million.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from bench.list_work import name_of
from bench.measure import Spread, Timings
from bench.results import Result
from jitr.aws.dynamodb.table import Table
from jitr.devicelists.rows import RowKey
from jitr.services.lists.device_lists import DeviceLists
from jitr_local.cli import variables_of
from jitr_local.session import running_stack
from jitr_local.stack import LocalStack

_LEAST = 0.8  # of a bare writer's rate
_AT_ONCE = 50  # look-ups in a turn
_MOST_BARE = 100_000  # rows
_FLAT = 1.1  # times the look-up in the smallest list


@dataclass(frozen=True)
class ListTable:
    """A table that lists are written to."""

    told: str
    table: str
    variables: dict[str, str]

    def work(self, what: str, rows: int, name: str) -> dict[str, float]:
        """Have something done in a process of its own."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "JITR_"))}
        command = [sys.executable, "-m", "bench.list_work", what, str(rows), name, self.table]
        done = subprocess.run(command, env=kept | self.variables, stdout=subprocess.PIPE, text=True, check=True)
        found: dict[str, float] = json.loads(done.stdout)
        return found


def run(*, quick: bool) -> Result:
    """Measure it."""
    result = Result("lists")
    on_stack = ((1_000, 2), (2_000, 2)) if quick else ((10_000, 3), (100_000, 1))
    in_nothing = ((1_000, 1), (4_000, 1)) if quick else ((10_000, 2), (1_000_000, 1))
    with running_stack() as stack, nothing() as null:
        local = _of(stack)
        rows, ratios = [], []
        memory: dict[int, float] = {}
        for where, sizes in ((local, on_stack), (null, in_nothing)):
            for size, turns in sizes:
                row, ratio, megabytes = _imports(where, size, turns)
                rows.append(row)
                ratios.append((where, size, ratio))
                if where is null:
                    memory[size] = megabytes
        result.table(
            "import",
            ("rows", "table", "imported, rows a second", "bare writer, rows a second", "import / bare", "memory, MB"),
            rows,
        )
        _judge(result, ratios, memory)
        there = [size for size, _ in on_stack]
        _look_ups(result, stack, there, 5 if quick else 25)
        exports = [(size, local.work("export", size, _list(size))) for size in there]
        result.table(
            "export",
            ("rows", "rows a second", "memory, MB"),
            [(f"{size:,}", f"{size / each['seconds']:,.0f}", f"{each['megabytes']:.0f}") for size, each in exports],
        )
    return result


def _list(size: int) -> str:
    return f"rows-{size}"


def _of(stack: LocalStack) -> ListTable:
    return ListTable("the local stack's", stack.outputs["TableName"], variables_of(stack, {}))


@contextmanager
def nothing() -> Iterator[ListTable]:
    """A server, in a process of its own, that takes every write and keeps nothing."""
    command = [sys.executable, "-m", "bench.nothing_there"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdin is not None
        address = server.stdout.readline().strip()
        keys = {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench", "AWS_DEFAULT_REGION": "us-east-1"}
        try:
            yield ListTable("one that keeps nothing", "table", keys | {"AWS_ENDPOINT_URL": address})
        finally:
            server.stdin.close()


def _imports(where: ListTable, size: int, turns: int) -> tuple[tuple[str, ...], Spread, float]:
    """A row of the table; how the rates compare, turn by turn; and the most memory of an import."""
    ours: list[float] = []  # rows a second
    bare: list[float] = []
    memory = []
    for turn in range(turns):
        for what in ("import", "bare") if turn % 2 else ("bare", "import"):
            if what == "import":
                found = where.work(what, size, _list(size))
                ours.append(size / found["seconds"])
                memory.append(found["megabytes"])
            else:
                # New to the table in each turn, as a generation is: rows that it has already it takes in less time.
                rows = min(size, _MOST_BARE)
                bare.append(rows / where.work(what, rows, f"{_list(size)}-{turn}")["seconds"])
    ratio = Spread.of([a / b for a, b in zip(ours, bare, strict=True)])
    rates = [Spread.of(found).told(0) for found in (ours, bare)]
    return (f"{size:,}", where.told, *rates, ratio.told(2), f"{max(memory):.0f}"), ratio, max(memory)


def _judge(result: Result, ratios: list[tuple[ListTable, int, Spread]], memory: Mapping[int, float]) -> None:
    for where, size, ratio in ratios:
        result.goal(
            f"Import of {size:,} rows, table: {where.told}, against a bare batch writer's rate",
            f"at least {_LEAST} ×",
            f"{ratio.told(2)} ×",
            met=ratio.median >= _LEAST,
        )
    small, large = min(memory), max(memory)
    more = (memory[large] - memory[small]) * 2**20 / (large - small)
    result.goal(
        f"Memory of an import, {small:,} to {large:,} rows",
        "flat: at most 1.1 ×",
        f"{memory[small]:.0f} to {memory[large]:.0f} MB, {more:.0f} bytes a row more",
        met=memory[large] <= 1.1 * memory[small],
    )


def _look_ups(result: Result, stack: LocalStack, sizes: list[int], turns: int) -> None:
    table = Table(stack.session().client("dynamodb"), stack.outputs["TableName"])
    heads = DeviceLists(table).all()

    def look_up(size: int) -> Callable[[], Any]:
        wanted = {_list(size): heads[_list(size)].head}
        keys = [RowKey("public_key_sha256", "ab" * 32), RowKey("common_name", name_of(size // 2))]

        def once() -> Any:
            found = table.rows(wanted, keys)[_list(size)]
            assert len(found) == 1
            return found

        return once

    measured = _in_turns({f"{size:,}": look_up(size) for size in sizes}, turns)
    names = [f"{size:,}" for size in sizes]
    rows = [(each, measured.of(each).times(1000).told(2), measured.ratio(each, names[0]).told(2)) for each in names]
    result.table("look-up", ("rows", "a look-up, ms", "against the smallest"), rows)
    last = measured.ratio(names[-1], names[0])
    result.goal(
        f"A look-up in a list of {names[-1]} rows, against one of {names[0]}",
        f"at most {_FLAT} ×",
        f"{last.told(2)} ×",
        met=last.median <= _FLAT,
    )


def _in_turns(things: Mapping[str, Callable[[], Any]], turns: int) -> Timings:
    """Seconds a call on the clock on the wall: most of a look-up is waiting for the table."""
    seconds: dict[str, list[float]] = {name: [] for name in things}
    for _ in range(turns):
        for name, thing in things.items():
            before = time.perf_counter()
            for _ in range(_AT_ONCE):
                thing()
            seconds[name].append((time.perf_counter() - before) / _AT_ONCE)
    return Timings(seconds)
