"""Devices found to be recalled, kept until somebody says so: what was shown, and nothing else, is cut off."""

import secrets
from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock

from jitr_operations.devices.recall import Match

_MOST_KEPT = 20


@dataclass(frozen=True, slots=True)
class Recall:
    """The ACTIVE devices that are on a list, those that were still being decided, and what is odd about its rows."""

    list_name: str
    found: tuple[Match, ...]
    under_way: tuple[str, ...]
    remarks: tuple[str, ...]


class Recalls:
    """The recalls of a page that were looked at, by ids that nobody can guess."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Recall] = OrderedDict()
        self._lock = Lock()

    def keep(self, recall: Recall) -> str:
        """Keep what was found, and return its id. The oldest go where there are too many."""
        made = secrets.token_urlsafe(16)
        with self._lock:
            self._kept[made] = recall
            while len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
        return made

    def get(self, recall: str) -> Recall | None:
        """Return what was found."""
        return self._kept.get(recall)

    def take(self, recall: str) -> Recall | None:
        """Return what was found, and keep it no more."""
        with self._lock:
            return self._kept.pop(recall, None)
