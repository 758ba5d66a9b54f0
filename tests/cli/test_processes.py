"""Work spread over all cores: as one would do it after the other, and gone with the command whatever happens."""

import math
import operator
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from testkit.stack.plant import until

from jitr.errors import Retry
from jitr_operations import processes
from jitr_operations.processes import HERE_FIRST, on_all_cores


@pytest.fixture
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "cores", lambda: 2)


@pytest.mark.usefixtures("two_cores")
def test_results_come_in_the_order_of_the_things_and_few_are_taken_ahead() -> None:
    taken: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(60):
            taken.append(number)
            yield number

    ahead = []
    found = []
    for result in on_all_cores(operator.neg, numbers()):
        found.append(result)
        ahead.append(len(taken) - len(found))
    assert found == [-number for number in range(60)]
    assert max(ahead) == 3  # two that are worked on, and one for each to go on with
    assert max(ahead[:HERE_FIRST]) == 0


@pytest.mark.usefixtures("two_cores")
def test_more_than_a_few_things_are_worked_on_by_other_processes() -> None:
    by = list(on_all_cores(_pid_of, range(HERE_FIRST + 20)))
    assert set(by[:HERE_FIRST]) == {os.getpid()}
    assert os.getpid() not in by[HERE_FIRST:]


def _ends(really: bool) -> None:
    if really:
        os._exit(1)


def _no_semaphores(_method: str) -> None:
    raise OSError(38, "Function not implemented")  # Lambda, where there is no /dev/shm


@pytest.mark.parametrize(
    "change", [("cores", lambda: 1), ("get_context", _no_semaphores)], ids=["one core", "no shared memory"]
)
def test_where_processes_are_of_no_use_or_not_to_be_had_the_work_is_done_here(
    monkeypatch: pytest.MonkeyPatch, change: tuple[str, Callable[..., object]]
) -> None:
    monkeypatch.setattr(processes, "cores", lambda: 2)
    monkeypatch.setattr(processes, *change)
    assert set(on_all_cores(_pid_of, range(HERE_FIRST + 20))) == {os.getpid()}


@pytest.mark.usefixtures("two_cores")
def test_a_mistake_in_the_work_is_raised_where_its_turn_comes() -> None:
    results = on_all_cores(math.sqrt, [0] * HERE_FIRST + [4, 9, -1, *range(20)])
    assert [next(results) for _ in range(HERE_FIRST + 2)] == [0] * HERE_FIRST + [2, 3]
    with pytest.raises(ValueError, match=r"math domain error|nonnegative"):
        next(results)


@pytest.mark.usefixtures("two_cores")
def test_a_process_that_others_end_is_told_in_a_line() -> None:
    with pytest.raises(Retry, match="a process of this command was ended"):
        list(on_all_cores(_ends, [False] * HERE_FIRST + [True] * 20))


_AT_WORK = """
import time
from jitr_operations import processes
processes.cores = lambda: 2
for _ in processes.on_all_cores(time.sleep, [0.01] * 100_000):
    print(".", flush=True)
"""


def _pid_of(_thing: int) -> int:
    return os.getpid()


@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "kill -9"])
def test_processes_end_with_the_command_and_say_nothing(ended_by: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _AT_WORK],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as command:
        assert command.stdout is not None
        for _ in range(processes.HERE_FIRST + 1):
            assert command.stdout.readline() == ".\n"
        if ended_by is signal.SIGINT:
            os.killpg(command.pid, ended_by)  # as a terminal does: to all of them
        else:
            command.kill()
        _, said = command.communicate(timeout=60)

    def gone() -> bool:
        try:
            os.killpg(command.pid, 0)
        except ProcessLookupError:
            return True
        return False

    until(gone, "the processes end")
    assert said.count("Traceback") == (ended_by is signal.SIGINT)  # that of the command itself
    assert "Process Spawn" not in said
