"""Which rules a device missed by the fewest conditions."""

from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from jitr.rules.conditions import HOLDS, Circumstances, Condition


class Conditional(Protocol):
    """A rule, as this module reads it."""

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """All of them must hold."""
        ...


R = TypeVar("R", bound=Conditional)


class Nearest(Generic[R]):
    """Some rules by their conditions: each condition is checked once for a device, however many rules have it."""

    def __init__(self, rules: Sequence[R]) -> None:
        self._rules = rules
        # By condition: equal ones of a loaded file are one object (jitr.rules.model).
        places: dict[int, tuple[Condition, list[int]]] = {}
        for place, rule in enumerate(rules):
            for condition in rule.conditions:
                places.setdefault(id(condition), (condition, []))[1].append(place)
        self._places = list(places.values())

    def to(self, seen: Circumstances, count: int) -> list[R]:
        """Return the rules that missed by the fewest conditions, at most so many; equal ones in their own order."""
        missed = [0] * len(self._rules)
        for condition, places in self._places:
            if condition.check(seen) is not HOLDS:
                for place in places:
                    missed[place] += 1
        order = sorted(range(len(missed)), key=missed.__getitem__)
        return [self._rules[place] for place in order[:count]]
