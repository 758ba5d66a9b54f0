"""What is wrong with a rules file, and how it is told: all of it at once, each with its place and a way out."""

import unicodedata
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

from jitr.errors import InputError
from jitr.text import cut, nearest
from jitr.unseen import quote, why_unseen, written_out
from jitr.values import dataclass

MOST_PROBLEMS = 1000  # told of one file; a file with more is not a rules file gone wrong but another file

_EXCERPT = 160  # characters of a line that are shown
_MARGIN = 60  # of them before the offending text, where the line is longer
_CANDIDATES = 500  # names that a misspelt one is compared with


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a file: line and column count from 1, in characters; ``length`` in characters, on that line."""

    line: int
    column: int
    length: int = 1


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong (``severity`` error) or doubtful (warning) in a file."""

    line: int
    column: int
    length: int
    message: str
    hint: str | None = None
    severity: str = "error"
    source: str = ""
    excerpt: str = ""  # the source line, cut where it is long
    underline: str = ""

    def __str__(self) -> str:
        """Return it as compilers do: ``file:line:column: error: message``, the line, underlined, and the hint."""
        told = [f"{self.source}:{self.line}:{self.column}: {self.severity}: {self.message}"]
        if self.excerpt.strip():
            told += [self.excerpt, self.underline]
        if self.hint:
            told.append(self.hint)
        return "\n".join(told)

    def to_json(self) -> dict[str, Any]:
        """Return it as in ``jitr rules check --json``."""
        return {
            "file": self.source,
            "line": self.line,
            "column": self.column,
            "length": self.length,
            "severity": self.severity,
            "message": self.message,
            "hint": self.hint,
        }


class RulesError(InputError):
    """A rules file cannot be used. ``problems`` are all of its errors, in the file's order."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems[:MOST_PROBLEMS])
        count = f"more than {MOST_PROBLEMS}" if len(problems) > MOST_PROBLEMS else str(len(problems))
        headline = f"{problems[0].source} has {count} error{'' if count == '1' else 's'}:"
        super().__init__("\n".join([headline, *(str(each) for each in self.problems)]))


class TooManyProblems(Exception):
    """Enough was found: reading stops."""


class ProblemCollector:
    """The problems of one file, as they are found."""

    def __init__(self, source: str, lines: Sequence[str]) -> None:
        self.source = source
        self._lines = lines
        self._errors: dict[tuple[Place, str], Problem] = {}
        self._warnings: dict[tuple[Place, str], Problem] = {}

    def error(self, place: Place, message: str, hint: str | None = None) -> None:
        """Note an error. Raises TooManyProblems where there are more than anybody reads."""
        self._errors.setdefault((place, message), self._problem(place, message, hint, "error"))
        if len(self._errors) > MOST_PROBLEMS:
            raise TooManyProblems

    def warning(self, place: Place, message: str, hint: str | None = None) -> None:
        """Note something doubtful; those beyond MOST_PROBLEMS are dropped."""
        if len(self._warnings) < MOST_PROBLEMS:
            self._warnings.setdefault((place, message), self._problem(place, message, hint, "warning"))

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """The warnings, in the file's order."""
        return _in_order(self._warnings.values())

    def raise_errors(self) -> None:
        """Raise RulesError if there are errors."""
        if self._errors:
            raise RulesError(_in_order(self._errors.values()))

    def line(self, number: int) -> str:
        """Return one line of the file, counted from 1; empty past its end."""
        return self._lines[number - 1] if 0 < number <= len(self._lines) else ""

    def _problem(self, place: Place, message: str, hint: str | None, severity: str) -> Problem:
        excerpt, underline = _shown(self.line(place.line), place)
        length = max(1, place.length)
        hint = None if hint is None else _visible(hint)
        return Problem(
            place.line, place.column, length, message, hint, severity, self.source, excerpt=excerpt, underline=underline
        )


def _in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    return tuple(sorted(problems, key=lambda each: (each.line, each.column)))


def _shown(line: str, place: Place) -> tuple[str, str]:
    """Return the part of a line around a place, and the line that underlines it."""
    start = 0 if len(line) <= _EXCERPT else max(0, place.column - 1 - _MARGIN)
    part = line[start : start + _EXCERPT]
    part = "".join(" " if each == "\t" else "\ufffd" if _hidden(each) else each for each in part)
    before = place.column - 1 - start
    meant = part[before : before + max(1, place.length)]
    return part, " " * _width(part[:before]) + "^" + "~" * (_width(meant) - 1)


def _visible(text: str) -> str:
    """On one line: hints repeat the text as it is to be written, which may have a tab in it."""
    return "".join(written_out(each) if each.isprintable() else repr(each)[1:-1] for each in text)


def _hidden(character: str) -> bool:
    return not character.isprintable() or why_unseen(character) is not None


def _width(text: str) -> int:
    """Return the columns on a terminal: East Asian wide characters take two, combining marks none."""
    return sum(
        0 if unicodedata.combining(each) else 2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text
    )


def quoted(text: str) -> str:
    """Show a text from the file in a message: in quotes, escaped, not too long."""
    return quote(cut(text, 80))


def did_you_mean(word: str, candidates: Iterable[str]) -> str | None:
    """Return a hint with the candidate closest to a word, if one is close."""
    if len(word) > 128:
        return None
    by_folded = {each.lower(): each for each in islice(candidates, _CANDIDATES)}
    normalised = word.lower().replace("-", "_")
    for spelling in dict.fromkeys((word.lower(), normalised)):
        close = nearest(spelling, by_folded)
        if close:
            return f"did you mean {by_folded[close]!r}?"
    return None
