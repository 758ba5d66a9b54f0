"""Which rules could match a device at all, so that the others cost nothing.

Each rule hangs on one anchor (``jitr.rules.anchors``). Rules of other CAs are never looked at. While nobody knows yet
which lists have the device, only rules with a list are looked at; they hang on their names, if these have a literal
beginning.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Generic, Protocol, TypeVar

from jitr.rules.anchors import Anchors
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
        bucket = self._bucket(seen.knock.aliases)
        return map(self._rules.__getitem__, bucket.by_lists.places(_names_of(seen), seen.lists))

    def candidates_by_list(self, seen: Circumstances) -> Iterator[R]:
        """Return the rules with a list that could match if it had the device, to find the lists worth a lookup."""
        if not self._rules:
            return iter(())
        bucket = self._bucket(seen.knock.aliases)
        return map(self._rules.__getitem__, bucket.with_lists.places(_names_of(seen), ()))

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
        self.by_lists = Anchors()  # for whoever knows which lists have the device
        self.with_lists = Anchors()  # of rules with a list, by their names: for whoever does not know yet
        openings: set[datetime] = set()
        for place, rule in placed:
            self.all.append(place)
            names = _common_names(rule)
            self.by_lists.hang(place, names, rule.lists)
            if rule.lists:
                self.with_lists.hang(place, names, ())
            openings.update(_openings(rule))
        self.openings = sorted(openings)


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
