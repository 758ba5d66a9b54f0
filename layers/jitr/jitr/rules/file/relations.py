"""How two rules relate: whether one surely matches every device that another matches, or surely none of them.

Only what can be proven from the conditions is claimed; False is "not proven". Whoever asks gives a budget, because
rules with many values each take long to compare.
"""

from jitr.rules.conditions import (
    AttributeCondition,
    CaCondition,
    Condition,
    Glob,
    ListCondition,
    SerialCondition,
    WindowCondition,
)
from jitr.rules.model import Rule, Rules
from jitr.values import dataclass


class BudgetSpent(Exception):
    """There was too much to compare."""


@dataclass(slots=True)
class Budget:
    """How many more comparisons of two values may be made."""

    left: int

    def spend(self, comparisons: int) -> None:
        """Count down the comparisons that are left. Raises BudgetSpent when there are none."""
        self.left -= comparisons
        if self.left < 0:
            raise BudgetSpent


class Relations:
    """Compares rules of one file."""

    def __init__(self, rules: Rules, budget: Budget) -> None:
        self._budget = budget
        self._ids = {alias: frozenset(ca.ids) for alias, ca in rules.cas.items()}
        self._prefixes: dict[str, str | None] = {}
        # The conditions of each rule, those that tell rules apart best first.
        self._conditions = {
            rule.name: {each.name: each for each in sorted(rule.conditions, key=_selectivity)}
            for rule in (*rules.deny, *rules.allow)
        }

    def covers(self, wider: Rule, narrower: Rule) -> bool:
        """Return whether every device that fully matches ``narrower`` fully matches ``wider``."""
        self._budget.spend(1)
        there = self._conditions[narrower.name]
        for name, condition in self._conditions[wider.name].items():
            other = there.get(name)
            if other is None or not self._implies(other, condition):
                return False
        return bool(wider.conditions)

    def disjoint(self, one: Rule, other: Rule) -> bool:
        """Return whether no device can fully match both."""
        self._budget.spend(1)
        there = self._conditions[other.name]
        return any(
            name in there and self._excludes(condition, there[name])
            for name, condition in self._conditions[one.name].items()
        )

    def _cas(self, condition: CaCondition) -> frozenset[str]:
        return frozenset().union(*(self._ids.get(alias, ()) for alias in condition.aliases))

    def _implies(self, narrower: Condition, wider: Condition) -> bool:
        match narrower, wider:
            case CaCondition(), CaCondition():
                return narrower.aliases == wider.aliases or self._cas(narrower) <= self._cas(wider)
            case ListCondition(), ListCondition():
                return set(narrower.lists) <= set(wider.lists)
            case SerialCondition(), SerialCondition():
                return self._spans_inside(_serials(narrower), _serials(wider))
            case WindowCondition(), WindowCondition():
                return self._spans_inside(_days(narrower), _days(wider))
            case AttributeCondition(), AttributeCondition():
                self._budget.spend(len(narrower.patterns) * len(wider.patterns))
                return all(any(self._subsumes(w, n) for w in wider.patterns) for n in narrower.patterns)
        return False

    def _subsumes(self, wider: Glob, narrower: Glob) -> bool:
        """Return whether every text that ``narrower`` matches surely matches ``wider``."""
        if wider.pattern == narrower.pattern:
            return True
        if narrower.literal is not None:
            return wider.matches(narrower.literal)
        prefix = self._prefixes.get(wider.pattern, _UNKNOWN)
        if prefix is _UNKNOWN:
            prefix = self._prefixes[wider.pattern] = _prefix(wider)
        return prefix is not None and narrower.literal_prefix.startswith(prefix)

    def _excludes(self, one: Condition, other: Condition) -> bool:
        match one, other:
            case CaCondition(), CaCondition():
                return self._cas(one).isdisjoint(self._cas(other))
            case SerialCondition(), SerialCondition():
                return self._spans_apart(_serials(one), _serials(other))
            case WindowCondition(), WindowCondition():
                return self._spans_apart(_days(one), _days(other))
            case AttributeCondition(), AttributeCondition():
                self._budget.spend(len(one.patterns) * len(other.patterns))
                return all(_apart(a, b) for a in one.patterns for b in other.patterns)
        return False

    def _spans_inside(self, narrower: list[tuple[int, int]], wider: list[tuple[int, int]]) -> bool:
        self._budget.spend(len(narrower) * len(wider))
        joined = _joined(wider)
        return all(any(first >= a and last <= b for a, b in joined) for first, last in narrower)

    def _spans_apart(self, one: list[tuple[int, int]], other: list[tuple[int, int]]) -> bool:
        self._budget.spend(len(one) * len(other))
        return all(last < a or b < first for first, last in one for a, b in other)


def _selectivity(condition: Condition) -> int:
    return {"ca": 3, "window": 2, "serial_number": 1}.get(condition.name, 0)


def _serials(condition: SerialCondition) -> list[tuple[int, int]]:
    return [(each.first, each.last) for each in condition.ranges]


def _days(condition: WindowCondition) -> list[tuple[int, int]]:
    return [(each.first.toordinal(), each.last.toordinal()) for each in condition.windows]


def _joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Merge the same numbers into as few spans as possible."""
    joined: list[tuple[int, int]] = []
    for first, last in sorted(spans):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = joined[-1][0], max(last, joined[-1][1])
        else:
            joined.append((first, last))
    return joined


_UNKNOWN = "\0"  # no text of a rules file has it


def _prefix(pattern: Glob) -> str | None:
    """Return what a pattern wants texts to start with, if it wants nothing else."""
    if pattern.literal is not None or not pattern.pattern.endswith("*"):
        return None
    return Glob(pattern.pattern[:-1]).literal


def _apart(one: Glob, other: Glob) -> bool:
    """Return whether surely no text matches both."""
    if one.literal is not None:
        return not other.matches(one.literal)
    if other.literal is not None:
        return not one.matches(other.literal)
    a, b = one.literal_prefix, other.literal_prefix
    return not a.startswith(b) and not b.startswith(a)
