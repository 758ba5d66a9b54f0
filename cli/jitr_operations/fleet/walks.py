"""Going through pages of anything, each written down together with the mark of the next, so that nothing is lost."""

from collections.abc import Callable, Iterable, Sequence, Sized
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

from jitr.aws.dynamodb.table import BATCH_GET
from jitr.errors import Refused
from jitr_operations.fleet.notebook import DONE, Notebook

_AT_ONCE = 4  # walks

NextPage = Callable[[str | None], tuple[Any, str | None]]
Keep = Callable[[Any], None]


class Walks:
    """The walks of one check. ``advance`` is told how many things each page had, and of whatever else is done."""

    def __init__(self, notebook: Notebook) -> None:
        self._notebook = notebook
        self.advance: Callable[[int], None] = lambda _steps: None

    def through(self, name: str, page: NextPage, keep: Keep) -> None:
        """Go through all pages of something, from where its walk stopped, and keep each with the mark of the next."""
        walk = _Walk(self._notebook, name, page, keep)
        while not walk.done:
            self.advance(walk.keep(walk.next_page()))

    def side_by_side(self, pages: Iterable[tuple[str, NextPage]], keep: Keep) -> None:
        """Ask for pages of several walks at once; what comes is kept one after the other."""
        walks = [_Walk(self._notebook, name, page, keep) for name, page in pages]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            under_way: dict[Future[tuple[Any, str | None]], _Walk] = {
                pool.submit(walk.next_page): walk for walk in walks if not walk.done
            }
            try:
                while under_way:
                    done, _ = wait(under_way, return_when=FIRST_COMPLETED)
                    for each in done:
                        walk = under_way.pop(each)
                        self.advance(walk.keep(each.result()))
                        if not walk.done:
                            under_way[pool.submit(walk.next_page)] = walk
            finally:
                for each in under_way:
                    each.cancel()


class _Walk:
    """All pages of something, one after the other."""

    def __init__(self, notebook: Notebook, name: str, page: NextPage, keep: Keep) -> None:
        self._notebook, self._name, self._page, self._keep = notebook, name, page, keep
        self._mark = notebook.mark(name)
        self.done = self._mark == DONE

    def next_page(self) -> tuple[Any, str | None]:
        """Ask for the next page. One whose mark AWS IoT no longer knows is asked for from the beginning."""
        try:
            return self._page(self._mark)
        except Refused as refused:
            if self._mark is None or refused.code != "InvalidRequestException":
                raise
            return self._page(None)

    def keep(self, found: tuple[Any, str | None]) -> int:
        """Write a page down, and return how many things it has."""
        page, mark = found
        with self._notebook.writing():
            self._keep(page)
            self._notebook.set_mark(self._name, mark)
        self._mark, self.done = mark, mark is None
        return len(page) if isinstance(page, Sized) else 0


def next_mark(ids: Sequence[str]) -> str | None:
    """Return after which certificate the next page begins; None where this one, of ``BATCH_GET``, was not full."""
    return ids[-1] if len(ids) == BATCH_GET else None
