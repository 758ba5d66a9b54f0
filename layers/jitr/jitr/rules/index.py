"""Which rules could match a device at all, so that the others cost nothing.

Each rule hangs on one *anchor*: a literal common name, a device list, or the literal beginning of a common name.
A rule whose anchor the device does not have cannot match it. Rules of other CAs are never looked at. While nobody
knows yet which lists have the device, a rule with a list hangs on its names, if they have a literal beginning.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Generic, Protocol, TypeVar

from jitr.rules.conditions import AttributeCondition, Circumstances, Glob, WindowCondition
from jitr.rules.nearest import Conditional, Nearest

MOST_LOOKED_AT = 500  # rules, for those that a device nearly matched


class Indexed(Conditional, Protocol):
    """A rule, as the index reads it."""

    @property
    def cas(self) -> tuple[str, ...] | None:
        """The CA aliases the rule is for; None: every CA."""
        ...

    @property
    def lists(self) -> tuple[str, ...]:
        """The device lists it refers to."""
        ...


R = TypeVar("R", bound=Indexed)


class RuleIndex(Generic[R]):
    """Rules of one kind (deny or allow), found by CA and anchor, always in the file's order."""

    def __init__(self, rules: Sequence[R]) -> None:
        self._rules = rules
        self._buckets: dict[frozenset[str], _Bucket] = {}
        self._nearest: dict[frozenset[str], Nearest[R]] = {}

    def nearest(self, seen: Circumstances, count: int) -> list[R]:
        """Return the rules that the device missed by the fewest conditions, at most so many.

        Of the first MOST_LOOKED_AT that are for its CA or for any; of those of other CAs only where there are no such.
        """
        aliases = seen.knock.aliases
        if aliases not in self._nearest:
            own = [self._rules[each] for each in self._bucket(aliases).all[:MOST_LOOKED_AT]]
            self._nearest[aliases] = Nearest(own or self._rules[:MOST_LOOKED_AT])
        return self._nearest[aliases].to(seen, count)

    def candidates(self, seen: Circumstances) -> Iterator[R]:
        """Return the rules that could match, now that it is known which lists have the device."""
        if not self._rules:
            return iter(())
        lists = [name for name, membership in seen.memberships.items() if membership is not None]
        return map(self._rules.__getitem__, self._bucket(seen.knock.aliases).by_lists.places(_names_of(seen), lists))

    def candidates_on_any_list(self, seen: Circumstances) -> Iterator[R]:
        """Return the rules that could match if every list had the device, to find the lists worth a lookup."""
        if not self._rules:
            return iter(())
        return map(self._rules.__getitem__, self._bucket(seen.knock.aliases).by_names.places(_names_of(seen), ()))

    def next_opening(self, aliases: frozenset[str], after: datetime) -> datetime | None:
        """Return when the next window begins of a rule that is for one of the aliases or for any CA."""
        openings = self._bucket(aliases).openings
        place = bisect_right(openings, after)
        return openings[place] if place < len(openings) else None

    def _bucket(self, aliases: frozenset[str]) -> "_Bucket":
        if aliases not in self._buckets:
            self._buckets[aliases] = _Bucket(
                (place, rule)
                for place, rule in enumerate(self._rules)
                if rule.cas is None or not aliases.isdisjoint(rule.cas)
            )
        return self._buckets[aliases]


class _Bucket:
    """The rules of some CA aliases; a place is one in the file's order."""

    def __init__(self, placed: Iterable[tuple[int, Indexed]]) -> None:
        self.all: list[int] = []
        self.by_lists = _Anchors()  # for whoever knows which lists have the device
        self.by_names = _Anchors()  # for whoever does not
        openings: set[datetime] = set()
        for place, rule in placed:
            self.all.append(place)
            names = _common_names(rule)
            self.by_lists.hang(place, names, rule.lists)
            self.by_names.hang(place, names, ())
            openings.update(_openings(rule))
        self.openings = sorted(openings)


class _Anchors:
    """Places of rules by their anchors."""

    def __init__(self) -> None:
        self._by_name: dict[str, list[int]] = defaultdict(list)
        self._by_list: dict[str, list[int]] = defaultdict(list)
        self._by_prefix: dict[int, dict[str, list[int]]] = {}  # by the length of the prefix, then by the prefix
        self._rest: list[int] = []

    def hang(self, place: int, names: tuple[Glob, ...], lists: tuple[str, ...]) -> None:
        """Hang a rule on the best anchor that it has: literal names, else lists, else the beginnings of its names."""
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
        """Return the places of the rules that one of the names or lists may match, in order."""
        found = set(self._rest)
        for name in lists:
            found.update(self._by_list.get(name, ()))
        for name in names:
            found.update(self._by_name.get(name, ()))
            for length, by_prefix in self._by_prefix.items():
                found.update(by_prefix.get(name[:length], ()))
        return sorted(found) if len(found) > 1 else list(found)


def _openings(rule: Indexed) -> Iterator[datetime]:
    for each in rule.conditions:
        if isinstance(each, WindowCondition):
            yield from (window.opens for window in each.windows)


def _names_of(seen: Circumstances) -> tuple[str, ...]:
    return seen.knock.certificate.values("common_name")


def _common_names(rule: Indexed) -> tuple[Glob, ...]:
    return next(
        (
            each.patterns
            for each in rule.conditions
            if isinstance(each, AttributeCondition) and each.name == "common_name"
        ),
        (),
    )
