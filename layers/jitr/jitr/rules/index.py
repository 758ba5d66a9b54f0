"""Which rules could match a device at all, so that the others cost nothing.

Each rule hangs on one *anchor*: a literal common name, a device list, or the literal beginning of a common name.
A rule whose anchor the device does not have cannot match it. Rules of other CAs are never looked at.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Generic, Protocol, TypeVar

from jitr.rules.conditions import AttributeCondition, Circumstances, Condition, Glob


class Indexed(Protocol):
    """What the index reads of a rule."""

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """All of them must hold."""
        ...

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

    def of_cas(self, aliases: frozenset[str]) -> Iterator[R]:
        """Every rule that is for one of the aliases or for any CA."""
        return (self._rules[each] for each in self._bucket(aliases).all)

    def candidates(self, seen: Circumstances, *, anchor_lists: bool = True) -> Iterator[R]:
        """The rules that could match.

        Without ``anchor_lists`` it asks no membership: for finding out which lists are worth looking up.
        """
        return (self._rules[each] for each in self._bucket(seen.knock.aliases).candidates(seen, anchor_lists))

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
        self._listed: list[int] = []  # what by_list holds, for the search that asks no membership
        self._rest: list[int] = []
        for place, rule in placed:
            self.all.append(place)
            self._hang(place, rule)
        self._prefix_lengths = sorted({len(each) for each in self._by_prefix})

    def _hang(self, place: int, rule: Indexed) -> None:
        names = _common_names(rule)
        if names and all(each.literal is not None for each in names):
            for each in names:
                self._by_name[each.literal or ""].append(place)
        elif rule.lists:
            self._listed.append(place)
            for name in rule.lists:
                self._by_list[name].append(place)
        elif names and all(each.literal_prefix for each in names):
            for each in names:
                self._by_prefix[each.literal_prefix].append(place)
        else:
            self._rest.append(place)

    def candidates(self, seen: Circumstances, anchor_lists: bool) -> list[int]:
        places = set(self._rest)
        for name in seen.knock.certificate.values("common_name"):
            places.update(self._by_name.get(name, ()))
            for length in self._prefix_lengths:
                places.update(self._by_prefix.get(name[:length], ()))
        if anchor_lists:
            for name in self._by_list:
                if seen.memberships.get(name) is not None:
                    places.update(self._by_list[name])
        else:
            places.update(self._listed)
        return sorted(places)


def _common_names(rule: Indexed) -> tuple[Glob, ...]:
    return next(
        (
            each.patterns
            for each in rule.conditions
            if isinstance(each, AttributeCondition) and each.name == "common_name"
        ),
        (),
    )
