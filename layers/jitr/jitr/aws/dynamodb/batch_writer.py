"""Writing very many items: several requests under way at once, and patience where the table takes only some of them."""

import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any, TypeVar

from jitr.aws.dynamodb.table import Table
from jitr.aws.dynamodb.typed_writes import send_as_they_are
from jitr.aws.errors import told_apart
from jitr.errors import Retry

A = TypeVar("A")
B = TypeVar("B")

WORKERS = 8  # requests under way at once; botocore keeps ten connections
BATCH_WRITE = 25  # DynamoDB API reference, BatchWriteItem
# About two minutes of being throttled, one request after another: a table that doubles its capacity is done by then.
_MOST_TRIES = 30
_LONGEST_WAIT = 5.0  # seconds


def batched(things: Iterable[A], size: int) -> Iterator[tuple[A, ...]]:
    """Split the things into tuples of at most ``size``, in order."""
    iterator = iter(things)
    while some := tuple(islice(iterator, size)):
        yield some


def in_order(work: Callable[[A], B], things: Iterable[A], workers: int) -> Iterator[B]:
    """Apply ``work`` to each thing with ``workers`` at a time; return the results in order.

    No more things are taken than are worked on, so memory stays flat. The first exception ends it all.
    """
    if workers <= 1:
        yield from map(work, things)
        return
    pool = ThreadPoolExecutor(workers)
    under_way: deque[Future[B]] = deque()
    try:
        for each in things:
            under_way.append(pool.submit(work, each))
            if len(under_way) >= 2 * workers:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


class BatchWriter:
    """Puts and deletes in batches. Raises Retry where the table did not take them in the end."""

    def __init__(
        self,
        table: Table,
        *,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        send_as_they_are(table.client)
        self._table = table
        self._sleep = sleep
        self._jitter = jitter

    def write(self, requests: Sequence[Any]) -> None:
        """Carry out write requests; no key may be in one batch twice."""
        for wanted in batched(requests, BATCH_WRITE):
            self._write(list(wanted))

    def _write(self, wanted: list[Any]) -> None:
        for attempt in range(_MOST_TRIES):
            wanted = self._once(wanted)
            if not wanted:
                return
            # Full jitter: https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/
            self._sleep(min(_LONGEST_WAIT, 0.05 * 2**attempt) * self._jitter())
        raise Retry("throttled", "the table did not take all rows: run the same command again to go on")

    def _once(self, wanted: list[Any]) -> list[Any]:
        """Return what the table did not take."""
        try:
            with told_apart():
                answer = self._table.client.batch_write_item(RequestItems={self._table.name: wanted})
        except Retry as retry:
            if retry.cause != "throttled":
                raise
            return wanted
        return list(answer.get("UnprocessedItems", {}).get(self._table.name, []))
