"""Roll-overs that were counted, kept with the lists of their devices until they are counted again."""

import shutil
import tempfile
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from jitr_operations.cas.succession import CaPair
from jitr_operations.fleet.matching import DeviceKind
from jitr_operations.fleet.rollover import Rollover

_MOST_KEPT = 5  # a list of a million certificates takes about 130 MB on disk


@dataclass(frozen=True, slots=True)
class CountedRollover:
    """What was found of a roll-over, and the folder that has its lists."""

    found: Rollover
    folder: Path

    def list_of(self, kind: DeviceKind) -> Path:
        """Return the file that has the devices of a kind."""
        return self.folder / f"{kind}.csv"


class Rollovers:
    """The roll-overs of a page that were counted. The lists go with the process."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="jitr-page-")
        self._kept: OrderedDict[tuple[str, str], CountedRollover] = OrderedDict()
        self._lock = Lock()

    def keep(self, found: Rollover) -> None:
        """Keep what was found in place of what was found before. The oldest go where there are too many.

        Raises InputError where the lists cannot be written.
        """
        counted = CountedRollover(found, Path(tempfile.mkdtemp(dir=self._folder.name)))
        try:
            for kind in DeviceKind:
                found.export(counted.list_of(kind), kind, force=False)
        except BaseException:
            shutil.rmtree(counted.folder)
            raise
        gone = list[CountedRollover]()
        with self._lock:
            if (before := self._kept.pop(_place(found.pair), None)) is not None:
                gone.append(before)
            self._kept[_place(found.pair)] = counted
            while len(self._kept) > _MOST_KEPT:
                gone.append(self._kept.popitem(last=False)[1])
        for each in gone:
            shutil.rmtree(each.folder)

    def get(self, pair: CaPair) -> CountedRollover | None:
        """Return what was found of a roll-over, with its CAs as they are now; or None: not counted, or gone."""
        with self._lock:
            kept = self._kept.get(_place(pair))
            if kept is not None:
                kept.found.pair = pair
            return kept


def _place(pair: CaPair) -> tuple[str, str]:
    return pair.old.ca.id, pair.new.ca.id
