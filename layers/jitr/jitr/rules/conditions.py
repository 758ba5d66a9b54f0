"""The conditions of a rule. Each is a small value with one question, ``check``, and one sentence, ``failure``.

A condition holds, does not hold, or is *ambiguous*: it holds for one of several values that the certificate has
of the same subject attribute. A deny rule takes an ambiguous condition as holding, an allow rule does not.
"""

import fnmatch
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from enum import Enum
from functools import cached_property
from typing import Any, NamedTuple, Protocol

from jitr.devicelists.rows import Membership
from jitr.facts import Knock
from jitr.text import cut
from jitr.times import span
from jitr.unseen import quote
from jitr.values import dataclass


class ConditionResult(Enum):
    """The answer of one condition about one device."""

    HOLDS = "holds"
    AMBIGUOUS = "ambiguous"
    FAILS = "fails"


HOLDS, AMBIGUOUS, FAILS = ConditionResult.HOLDS, ConditionResult.AMBIGUOUS, ConditionResult.FAILS


class Circumstances(NamedTuple):
    """The subject of conditions: the device, its memberships by list name, and the time of its knock.

    A list that is absent from ``memberships`` was not looked up; one that maps to None does not have the device.
    """

    knock: Knock
    memberships: Mapping[str, Membership | None]
    knocked_at: datetime

    @property
    def lists(self) -> list[str]:
        """The lists that have the device."""
        return [name for name, membership in self.memberships.items() if membership is not None]


class Condition(Protocol):
    """The interface of every condition."""

    @property
    def name(self) -> str:
        """The condition's key in the rules file."""
        ...

    def check(self, seen: Circumstances) -> ConditionResult:
        """Return whether the condition holds."""
        ...

    def failure(self, seen: Circumstances) -> str:
        """Return by how much it failed: a sentence for a near miss. Only asked when ``check`` did not say HOLDS."""
        ...

    def to_json(self) -> Any:
        """Return the condition's value in the compiled rules."""
        ...


@dataclass(frozen=True)
class Glob:
    r"""A pattern for a whole string: ``*`` any run of characters, ``?`` any one, ``\`` takes the next one literally.

    Case matters and nothing else is special. Matching takes linear time however many stars there are, because
    :func:`fnmatch.translate` writes expressions that do not backtrack.
    """

    pattern: str

    @cached_property
    def _expression(self) -> re.Pattern[str]:
        translated = []
        characters = iter(self.pattern)
        for each in characters:
            if each == "\\":
                translated.append(_plain(next(characters, each)))
            elif each == "[":
                translated.append(_plain(each))
            else:
                translated.append(each)
        return re.compile(fnmatch.translate("".join(translated)))

    @cached_property
    def literal(self) -> str | None:
        """The one string that the pattern matches, or None where it has a wildcard."""
        prefix = self.literal_prefix
        return prefix if self._wildcard_at == len(self.pattern) else None

    @cached_property
    def literal_prefix(self) -> str:
        """The beginning of every matching string."""
        plain = self.pattern[: self._wildcard_at]
        return re.sub(r"\\(.)", r"\1", plain, flags=re.DOTALL)

    @cached_property
    def _wildcard_at(self) -> int:
        wildcard = re.match(r"(?:\\.|[^*?\\])*", self.pattern, flags=re.DOTALL)
        return wildcard.end() if wildcard else 0

    def matches(self, text: str) -> bool:
        """Return whether the whole text fits."""
        if not text.startswith(self.literal_prefix):
            return False  # most do not even get to the expression, which is dear to compile
        if self.literal is not None:
            return text == self.literal
        return self._expression.match(text) is not None

    @classmethod
    def problem(cls, pattern: str) -> str | None:
        """Return why a pattern cannot be used, or None."""
        if not pattern:
            return "an empty pattern matches nothing"
        if re.fullmatch(r"(?:\\.|[^\\])*", pattern, flags=re.DOTALL) is None:
            return r"the pattern ends in a single \: write \\ for a backslash"
        return None


def _plain(character: str) -> str:
    """One character as fnmatch takes it without a meaning of its own."""
    return f"[{character}]" if character in "*?[" else character


@dataclass(frozen=True, slots=True)
class CaCondition:
    """The device's CA is one of these aliases."""

    aliases: tuple[str, ...]
    name: str = "ca"

    def check(self, seen: Circumstances) -> ConditionResult:
        return HOLDS if not seen.knock.aliases.isdisjoint(self.aliases) else FAILS

    def failure(self, seen: Circumstances) -> str:
        known = ", ".join(sorted(seen.knock.aliases)) or "one that the rules do not name"
        return f"its CA is {known}, not {_either(self.aliases)}"

    def to_json(self) -> list[str]:
        return list(self.aliases)


@dataclass(frozen=True, slots=True)
class AttributeCondition:
    """A subject attribute matches one of these patterns."""

    name: str
    patterns: tuple[Glob, ...]

    def check(self, seen: Circumstances) -> ConditionResult:
        values = seen.knock.certificate.values(self.name)
        for value in values:
            for pattern in self.patterns:
                if pattern.matches(value):
                    return HOLDS if len(values) == 1 else AMBIGUOUS
        return FAILS

    def failure(self, seen: Circumstances) -> str:
        values = seen.knock.certificate.values(self.name)
        if not values:
            return f"the certificate's subject has no {self.name}"
        told = ", ".join(cut(quote(value), 80) for value in values[:_MOST_TOLD])
        if self.check(seen) is AMBIGUOUS:
            return f"the certificate has {self.name} {len(values)} times ({told}): none counts for an allow rule"
        return f"{self.name} is {told}, not {_either(quote(each.pattern) for each in self.patterns)}"

    def to_json(self) -> list[str]:
        return [each.pattern for each in self.patterns]


@dataclass(frozen=True, slots=True)
class SerialRange:
    """Certificate serial numbers from ``first`` to ``last``, both inclusive."""

    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.first:x}" if self.first == self.last else f"{self.first:x}..{self.last:x}"


@dataclass(frozen=True, slots=True)
class SerialCondition:
    """The certificate's serial number is in one of these ranges."""

    ranges: tuple[SerialRange, ...]
    name: str = "serial_number"

    def check(self, seen: Circumstances) -> ConditionResult:
        serial = int(seen.knock.certificate.serial_number, 16)
        return HOLDS if any(each.first <= serial <= each.last for each in self.ranges) else FAILS

    def failure(self, seen: Circumstances) -> str:
        return f"serial number {seen.knock.certificate.serial_number} is not in {_either(map(str, self.ranges))}"

    def to_json(self) -> list[list[str]]:
        return [[f"{each.first:x}", f"{each.last:x}"] for each in self.ranges]


@dataclass(frozen=True, slots=True)
class ListCondition:
    """The device is on one of these device lists."""

    lists: tuple[str, ...]
    name: str = "list"

    def check(self, seen: Circumstances) -> ConditionResult:
        best = FAILS
        for each in self.lists:
            membership = seen.memberships.get(each)
            if membership is None:
                continue
            if not membership.ambiguous:
                return HOLDS
            best = AMBIGUOUS
        return best

    def failure(self, seen: Circumstances) -> str:
        return "; ".join(_list_failure(each, seen) for each in self.lists[:_MOST_TOLD])

    def to_json(self) -> list[str]:
        return list(self.lists)


def _list_failure(name: str, seen: Circumstances) -> str:
    if name not in seen.memberships:
        return f"list {name}: not looked up, another condition failed"
    membership = seen.memberships[name]
    return not_on(name) if membership is None else f"list {name}: {membership.ambiguous}"


def not_on(name: str) -> str:
    """Return what is said of a device that a list does not have, and that it would only have to be put on."""
    return f"list {name}: not on it"


@dataclass(frozen=True)
class Window:
    """UTC days from ``first`` to ``last``, both inclusive."""

    first: date
    last: date

    @cached_property
    def opens(self) -> datetime:
        """The first moment of it."""
        return datetime.combine(self.first, time.min, UTC)

    @cached_property
    def closed(self) -> datetime:
        """The first moment after it."""
        if self.last == date.max:
            return datetime.max.replace(tzinfo=UTC)
        return datetime.combine(self.last + timedelta(days=1), time.min, UTC)

    def __contains__(self, moment: datetime) -> bool:
        return self.opens <= moment < self.closed

    def __str__(self) -> str:
        return f"{self.first}..{self.last}"


@dataclass(frozen=True, slots=True)
class WindowCondition:
    """The device knocked within one of these windows."""

    windows: tuple[Window, ...]
    name: str = "window"

    def check(self, seen: Circumstances) -> ConditionResult:
        for window in self.windows:
            if seen.knocked_at in window:
                return HOLDS
        return FAILS

    def failure(self, seen: Circumstances) -> str:
        return "; ".join(_window_failure(each, seen.knocked_at) for each in self.windows[:_MOST_TOLD])

    def to_json(self) -> list[list[str]]:
        return [[each.first.isoformat(), each.last.isoformat()] for each in self.windows]


def _window_failure(window: Window, moment: datetime) -> str:
    if moment < window.opens:
        return f"window {window} opens in {span(window.opens - moment)}"
    return f"window {window} closed {span(moment - window.closed)} ago"


_MOST_TOLD = 5


def _either(values: Iterable[str]) -> str:
    """Join the first few of them; a record and a line on a screen have room for no more."""
    known = list(values)
    told = " or ".join(cut(each, 80) for each in known[:_MOST_TOLD])
    return told if len(known) <= _MOST_TOLD else f"{told} or {len(known) - _MOST_TOLD} more"
