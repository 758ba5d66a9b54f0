"""What a device must have for a rule or a condition to match it: found by look-up, so that the others cost nothing.

An *anchor* is a literal name, a device list, or the literal beginning of a name. What hangs on an anchor that the
device does not have cannot match it.
"""

from collections import defaultdict
from collections.abc import Iterable

from jitr.rules.conditions import Glob


class Anchors:
    """Places of rules or conditions in a sequence, by their anchors."""

    def __init__(self) -> None:
        self._by_name: dict[str, list[int]] = defaultdict(list)
        self._by_list: dict[str, list[int]] = defaultdict(list)
        self._by_prefix: dict[int, dict[str, list[int]]] = {}  # by the length of the prefix, then by the prefix
        self._rest: list[int] = []

    def hang(self, place: int, names: tuple[Glob, ...], lists: tuple[str, ...]) -> None:
        """Hang a place on the best anchor that it has: literal names, else lists, else the beginnings of its names."""
        if names and all(each.literal is not None for each in names):
            for each in names:
                self._by_name[each.literal or ""].append(place)
        elif lists:
            for name in lists:
                self._by_list[name].append(place)
        elif names and all(each.literal_prefix for each in names):
            for each in names:
                prefix = each.literal_prefix
                self._by_prefix.setdefault(len(prefix), defaultdict(list))[prefix].append(place)
        else:
            self._rest.append(place)

    def places(self, names: Iterable[str], lists: Iterable[str]) -> list[int]:
        """Return the places that one of the names or lists may match, in order."""
        found = set(self._rest)
        for name in lists:
            found.update(self._by_list.get(name, ()))
        for name in names:
            found.update(self._by_name.get(name, ()))
            for length, by_prefix in self._by_prefix.items():
                found.update(by_prefix.get(name[:length], ()))
        return sorted(found) if len(found) > 1 else list(found)
