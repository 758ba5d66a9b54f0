"""Which rules a device missed by the fewest conditions."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Generic, Protocol, TypeVar

from jitr.rules.anchors import Anchors
from jitr.rules.conditions import HOLDS, AttributeCondition, Circumstances, Condition, ListCondition


class Conditional(Protocol):
    """A rule, as this module reads it."""

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """All of them must hold."""
        ...


R = TypeVar("R", bound=Conditional)


class Nearest(Generic[R]):
    """Some rules by their conditions. However many there are, only what the device could fulfil is checked, and once.

    Rules are *alike* if they have equally many conditions, and share all that another rule has, too. A device misses
    them by equally many, unless it fulfils one that only one rule has.
    """

    def __init__(self, rules: Sequence[R]) -> None:
        self._rules = rules
        # By identity: equal conditions of a loaded file are one object (jitr.rules.model).
        rules_with = Counter(id(each) for rule in rules for each in rule.conditions)
        self._conditions = _Conditions(each for rule in rules for each in rule.conditions)
        self._rule_of: dict[int, int] = {}  # by a condition that only one rule has
        alike: dict[tuple[int, frozenset[int]], list[int]] = defaultdict(list)
        for place, rule in enumerate(rules):
            shared = frozenset(id(each) for each in rule.conditions if rules_with[id(each)] > 1)
            self._rule_of.update({id(each): place for each in rule.conditions if id(each) not in shared})
            alike[len(rule.conditions), shared].append(place)
        self._alike = list(alike.values())

    def to(self, seen: Circumstances, count: int) -> list[R]:
        """Return the rules that missed by the fewest conditions, at most so many; equal ones in their own order."""
        holding = self._conditions.holding(seen)

        def missed(place: int) -> int:
            return sum(id(each) not in holding for each in self._rules[place].conditions)

        places = {place for alike in self._alike for place in alike[:count]}
        places.update(self._rule_of[each] for each in holding & self._rule_of.keys())
        nearest = sorted(sorted(places), key=missed)
        return [self._rules[place] for place in nearest[:count]]


class _Conditions:
    """Conditions by what a device must have for them to hold, each known by its identity."""

    def __init__(self, conditions: Iterable[Condition]) -> None:
        self._all = list({id(each): each for each in conditions}.values())
        self._by_attribute: dict[str, Anchors] = defaultdict(Anchors)
        self._others = Anchors()
        for place, each in enumerate(self._all):
            if isinstance(each, AttributeCondition):
                self._by_attribute[each.name].hang(place, each.patterns, ())
            else:
                self._others.hang(place, (), each.lists if isinstance(each, ListCondition) else ())

    def holding(self, seen: Circumstances) -> set[int]:
        """Return those that hold."""
        places = self._others.places((), seen.lists)
        for name, anchors in self._by_attribute.items():
            places += anchors.places(seen.knock.certificate.values(name), ())
        could = [self._all[place] for place in places]
        return {id(each) for each in could if each.check(seen) is HOLDS}
