"""Devices found to be recalled, kept until somebody says so: what was shown, and nothing else, is cut off."""

import secrets
from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock

from jitr_operations.fleet.recalls import Recall

_MOST_KEPT = 20


@dataclass(frozen=True, slots=True)
class ListRecall:
    """A recall that was looked at, and the list that it is of."""

    list_name: str
    recall: Recall


class Recalls:
    """The recalls of a page that were looked at, by ids that nobody can guess."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, ListRecall] = OrderedDict()
        self._lock = Lock()

    def keep(self, recall: ListRecall) -> str:
        """Keep what was found, and return its id. The oldest go where there are too many."""
        made = secrets.token_urlsafe(16)
        with self._lock:
            self._kept[made] = recall
            while len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
        return made

    def get(self, recall: str) -> ListRecall | None:
        """Return what was found."""
        return self._kept.get(recall)

    def take(self, recall: str) -> ListRecall | None:
        """Return what was found, and keep it no more."""
        with self._lock:
            return self._kept.pop(recall, None)
