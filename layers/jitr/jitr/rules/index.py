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
    """What the index reads of a rule."""

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
        """The rules that the device missed by the fewest conditions, at most so many.

        Of the first MOST_LOOKED_AT that are for its CA or for any; of those of other CAs only where there are no such.
        """
        aliases = seen.knock.aliases
        if aliases not in self._nearest:
            own = [self._rules[each] for each in self._bucket(aliases).all[:MOST_LOOKED_AT]]
            self._nearest[aliases] = Nearest(own or self._rules[:MOST_LOOKED_AT])
        return self._nearest[aliases].to(seen, count)

    def candidates(self, seen: Circumstances, *, anchor_lists: bool = True) -> Iterator[R]:
        """The rules that could match.

        Without ``anchor_lists`` it asks no membership: for finding out which lists are worth looking up.
        """
        if not self._rules:
            return iter(())
        return map(self._rules.__getitem__, self._bucket(seen.knock.aliases).candidates(seen, anchor_lists))

    def next_opening(self, aliases: frozenset[str], after: datetime) -> datetime | None:
        """When the next window begins of a rule that is for one of the aliases or for any CA."""
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
    """The rules of some CA aliases, by anchor; values are places in the file's order."""

    def __init__(self, placed: Iterable[tuple[int, Indexed]]) -> None:
        self.all: list[int] = []
        self._by_name: dict[str, list[int]] = defaultdict(list)
        self._by_prefix: dict[str, list[int]] = defaultdict(list)
        self._by_list: dict[str, list[int]] = defaultdict(list)
        # What by_list holds, for the search that asks no membership: by the beginnings of names, and without such.
        self._listed_by_prefix: dict[str, list[int]] = defaultdict(list)
        self._listed: list[int] = []
        self._rest: list[int] = []
        openings: set[datetime] = set()
        for place, rule in placed:
            self.all.append(place)
            self._hang(place, rule)
            openings.update(_openings(rule))
        self.openings = sorted(openings)
        self._prefix_lengths = sorted({len(each) for each in (*self._by_prefix, *self._listed_by_prefix)})

    def _hang(self, place: int, rule: Indexed) -> None:
        names = _common_names(rule)
        if names and all(each.literal is not None for each in names):
            for each in names:
                self._by_name[each.literal or ""].append(place)
        elif rule.lists:
            for name in rule.lists:
                self._by_list[name].append(place)
            if not _hung_by_prefix(self._listed_by_prefix, names, place):
                self._listed.append(place)
        elif not _hung_by_prefix(self._by_prefix, names, place):
            self._rest.append(place)

    def candidates(self, seen: Circumstances, anchor_lists: bool) -> list[int]:
        places = set(self._rest)
        if anchor_lists:
            by_prefix: tuple[dict[str, list[int]], ...] = (self._by_prefix,)
            for name, membership in seen.memberships.items():
                if membership is not None:
                    places.update(self._by_list.get(name, ()))
        else:
            by_prefix = (self._by_prefix, self._listed_by_prefix)
            places.update(self._listed)
        for name in seen.knock.certificate.values("common_name"):
            places.update(self._by_name.get(name, ()))
            for length in self._prefix_lengths:
                for each in by_prefix:
                    places.update(each.get(name[:length], ()))
        return sorted(places) if len(places) > 1 else list(places)


def _hung_by_prefix(by_prefix: dict[str, list[int]], names: tuple[Glob, ...], place: int) -> bool:
    """Hang a rule on the literal beginnings of its names; whether each of them has one."""
    if not names or not all(each.literal_prefix for each in names):
        return False
    for each in names:
        by_prefix[each.literal_prefix].append(place)
    return True


def _openings(rule: Indexed) -> Iterator[datetime]:
    for each in rule.conditions:
        if isinstance(each, WindowCondition):
            yield from (window.opens for window in each.windows)


def _common_names(rule: Indexed) -> tuple[Glob, ...]:
    return next(
        (
            each.patterns
            for each in rule.conditions
            if isinstance(each, AttributeCondition) and each.name == "common_name"
        ),
        (),
    )
