"""Calls that overlap: who waits for them waits for the longest, not for their sum."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor


def at_once(works: Iterable[Callable[[], None]]) -> None:
    """Do all of it, each work in a thread of its own where there are several.

    Every one has ended before this does. Of their exceptions the first one's counts, in the order given.
    """
    wanted = list(works)
    if len(wanted) < 2:
        for each in wanted:
            each()
        return
    with ThreadPoolExecutor(len(wanted)) as pool:
        under_way = [pool.submit(each) for each in wanted]
    for done in under_way:
        done.result()
