"""Work that uses one core whole, spread over all of them by processes of this command's own."""

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import chain, islice
from multiprocessing import get_context, parent_process
from typing import TypeVar

from jitr.errors import Retry

A = TypeVar("A")
B = TypeVar("B")

HERE_FIRST = 30  # things: where there are no more, this process is done before another has started


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def on_all_cores(work: Callable[[A], B], things: Iterable[A]) -> Iterator[B]:
    """Return what ``work`` makes of each thing, in their order, worked on by as many processes as there are cores.

    The first are worked on here, and so are all on a machine with one core, or where processes cannot share memory.
    No more are taken than are worked on, so memory stays flat. ``work`` and things are pickled. Raises Retry where a
    process was ended by others.
    """
    things = iter(things)
    yield from map(work, islice(things, HERE_FIRST))
    following = list(islice(things, 1))
    count = cores()
    pool = _pool(count) if following and count > 1 else None
    if pool is None:
        yield from map(work, chain(following, things))
        return
    under_way: deque[Future[B]] = deque()
    try:
        for each in chain(following, things):
            with _no_interrupt():
                under_way.append(pool.submit(work, each))
            if len(under_way) >= 2 * count:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    except BrokenProcessPool:
        raise Retry("process", "a process of this command was ended, for want of memory perhaps: try again") from None
    finally:
        pool.shutdown(cancel_futures=True)


def _pool(count: int) -> ProcessPoolExecutor | None:
    """Return processes that are not forked, as threads of this one may hold locks; None where there can be none."""
    try:
        return ProcessPoolExecutor(count, get_context("spawn"), _begin)
    except (ImportError, OSError):  # no semaphores, without /dev/shm
        return None


def _begin() -> None:
    """Leave Ctrl-C to the process that began this one, and end with it, however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def _no_interrupt() -> Iterator[None]:
    """Hold Ctrl-C back while processes are begun: one that has not come to ``_begin`` would tell of it at length."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
