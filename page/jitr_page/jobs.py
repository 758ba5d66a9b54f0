"""Work that takes longer than a request: it goes on when its tab is closed, and tells how far it is."""

import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from jitr.errors import InputError
from jitr_operations import telling
from jitr_page.hearing import Heard

MOST_KEPT = 50  # jobs that are over, the newest


class WayBack(NamedTuple):
    """Where one goes from a job that is over: the place as one speaks of it, and its address."""

    place: str
    address: str


@dataclass
class JobResult:
    """The result of a job: a sentence, a line for each failure, and the address to go to by itself."""

    sentence: str
    failed: list[str] = field(default_factory=list)
    then: str | None = None


@dataclass(kw_only=True)
class Job(Heard):
    """One piece of work. It is its operation's listener: what it is told is shown."""

    id: str
    title: str
    back: WayBack
    description: str = ""
    done: int = 0
    total: int | None = None
    outcome: JobResult | None = None
    problem: str | None = None
    over: threading.Event = field(default_factory=threading.Event, repr=False)

    @property
    def running(self) -> bool:
        """Whether it is under way."""
        return self.outcome is None and self.problem is None

    @contextmanager
    def progress(self, description: str, total: int | None) -> Iterator[Callable[[int], None]]:
        """Count steps."""
        self.description, self.done, self.total = description, 0, total

        def advance(steps: int) -> None:
            self.done += steps

        yield advance


class Jobs:
    """All jobs of a page. ``explain`` puts an error of AWS's into words, and raises what is none."""

    def __init__(self, explain: Callable[[Exception], str]) -> None:
        self._explain = explain
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()

    def get(self, job_id: str) -> Job | None:
        """Return a job, unless it is forgotten."""
        return self._jobs.get(job_id)

    @property
    def running(self) -> bool:
        """Whether any job is under way."""
        return any(each.running for each in list(self._jobs.values()))

    def under_way(self) -> list[Job]:
        """Return the jobs that are not over."""
        return [each for each in list(self._jobs.values()) if each.running]

    def under_way_for(self, address: str) -> Job | None:
        """Return a job that is not over and leads back to an address."""
        return next((each for each in self.under_way() if each.back.address == address), None)

    def start(self, title: str, back: WayBack, work: Callable[[], JobResult]) -> Job:
        """Begin a job in a thread of its own."""
        with self._lock:
            return self._begin(title, back, work)

    def start_or_join(self, title: str, back: WayBack, work: Callable[[], JobResult]) -> Job:
        """Return the job that is under way for a place; begin it if there is none. Two who ask at once get the same."""
        with self._lock:
            return self.under_way_for(back.address) or self._begin(title, back, work)

    def _begin(self, title: str, back: WayBack, work: Callable[[], JobResult]) -> Job:
        job = Job(id=secrets.token_urlsafe(8), title=title, back=back)
        over = [each.id for each in self._jobs.values() if not each.running]
        for each in over[: max(0, len(over) - MOST_KEPT)]:
            del self._jobs[each]
        self._jobs[job.id] = job
        threading.Thread(target=self._run, args=(job, work), daemon=True, name=f"job {job.id}").start()
        return job

    def _run(self, job: Job, work: Callable[[], JobResult]) -> None:
        with telling.heard_by(job):
            try:
                job.outcome = work()
            except InputError as problem:
                job.problem = str(problem)
            except Exception as problem:  # noqa: BLE001 - nobody else would see it
                job.problem = self._explain(problem)
            finally:
                job.over.set()
