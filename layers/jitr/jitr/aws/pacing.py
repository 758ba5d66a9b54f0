"""Waiting for one's turn to ask AWS IoT, as ``jitr.aws.quotas`` has it, for as long as the function still runs."""

from collections.abc import Callable
from threading import Lock
from typing import Any

from jitr.aws.quotas import QUOTA_OF, Quotas, RateLimiter
from jitr.errors import Retry

# The longest that a call to AWS takes, and what is left to do after it (functions/register sets the timeouts).
TIME_FOR_ONE_CALL = 10_000  # ms
# A message is not begun with less than this left. One that turns out slow stops on its way (Pace.in_time).
TIME_FOR_ONE = 12_000  # ms


class NotYet(Retry):
    """AWS IoT has to be asked, and it is not yet the turn of this message."""

    def __init__(self) -> None:
        super().__init__("pace", "AWS IoT was asked as often as the pace allows")


class Pace:
    """The pace of one execution environment. Without quotas nothing ever waits."""

    def __init__(self, quotas: Quotas | None, clock: Callable[[], float], sleep: Callable[[float], None]) -> None:
        self._buckets = {} if quotas is None else {each: RateLimiter(quotas.rate(each)) for each in QUOTA_OF}
        self._clock = clock  # monotonic, in seconds
        self._sleep = sleep
        self._lock = Lock()
        self._remaining: Callable[[], int] | None = None

    def within(self, remaining: Callable[[], int] | None) -> None:
        """Let nothing wait longer than the function runs; ``remaining`` tells how many ms that is."""
        self._remaining = remaining

    def in_time(self, **_event: Any) -> None:
        """Raise Retry if one more slow call would outlast the function.

        Also to be registered for boto3's event ``before-call``.
        """
        if self._remaining is not None and self._remaining() < TIME_FOR_ONE_CALL:
            raise Retry("deadline", "the function ran out of time while this message was handled")

    def wait(self, operation: str) -> float:
        """Return how long a call of this operation would have to wait now, in seconds."""
        with self._lock:
            return self._buckets[operation].wait(self._clock()) if operation in self._buckets else 0.0

    def until_ready(self, operation: str) -> None:
        """Wait until a call may be made, without making it.

        Raises Retry where there would be no time afterwards to begin a message.
        """
        if (wait := self.wait(operation)) > 0:
            self._pause(operation, wait, TIME_FOR_ONE)

    def until_turn(self, operation: str) -> None:
        """Wait for the turn of a call, without making it: for what has to be looked at right before it.

        Raises Retry where there is no time to wait.
        """
        self.in_time()
        while (wait := self.wait(operation)) > 0:
            self._pause(operation, wait, TIME_FOR_ONE_CALL)

    def take(self, operation: str) -> None:
        """Wait for the turn of a call that is about to be made. Raises Retry where there is no time to wait."""
        self.in_time()
        while operation in self._buckets:
            with self._lock:
                now = self._clock()
                wait = self._buckets[operation].wait(now)
                if wait <= 0:
                    self._buckets[operation].take(now)
                    return
            self._pause(operation, wait, TIME_FOR_ONE_CALL)

    def throttled(self, operation: str) -> None:
        """Delay the next calls of an operation that AWS IoT throttled."""
        if operation in self._buckets:
            with self._lock:
                self._buckets[operation].throttled(self._clock())

    def _pause(self, operation: str, wait: float, leave: int) -> None:
        if self._remaining is not None and self._remaining() - wait * 1000 < leave:
            raise Retry("pace", f"{operation} has to wait for its turn longer than the function runs")
        self._sleep(wait)


def unpaced() -> Pace:
    """Return a pace at which nothing ever waits, for callers who ask little."""
    return Pace(None, clock=lambda: 0.0, sleep=lambda _seconds: None)
