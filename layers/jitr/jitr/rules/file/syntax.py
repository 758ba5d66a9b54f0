"""What a person did, where PyYAML only says what it expected.

The two parsers of PyYAML word their errors differently, so the explanation rests on the context they name, which is
the same in both, and on the source line.
"""

import re
from typing import Any

import yaml

from jitr.rules.file.problems import Place, ProblemCollector, quoted

Explanation = tuple[Place, str, str | None]

_QUOTE_IT = 'put the value in quotes: "..."'
_NOT_CLOSED = "this quote is never closed"


def explain(error: yaml.MarkedYAMLError, findings: ProblemCollector) -> Explanation:
    """Return where a syntax error is, what it is and what to do about it."""
    problem, context = error.problem or "", error.context or ""
    place = _place(error.problem_mark or error.context_mark)
    start = _place(error.context_mark or error.problem_mark)
    line = findings.line(place.line)
    before, after = line[: place.column - 1], line[place.column - 1 :]
    if after.startswith("\t") and not before.strip():
        return place, "a tab cannot indent: YAML wants spaces", "replace the tab by spaces"
    if "cannot start any token" in problem:
        return place, f"a value cannot start with {quoted(after[:1])}", _QUOTE_IT
    if "not allowed" in problem:
        return _misplaced(place, before, after, problem)
    within = _within(context, problem, place, start, findings)
    if within is not None:
        return within
    if "flow" in context:
        return _in_brackets(place, start, before, after, context)
    if "block" in context:
        return _in_block(place, before, after)
    return place, f"this is not YAML: {quoted(f'{context}: {problem}' if context else problem)}", None


def _place(mark: Any) -> Place:
    return Place(1, 1) if mark is None else Place(mark.line + 1, mark.column + 1)


def _within(context: str, problem: str, place: Place, start: Place, findings: ProblemCollector) -> Explanation | None:
    """Errors inside of one scalar or of what stands before one."""
    if "quoted scalar" in context or "double-quoted" in context:
        return _in_quotes(place, start, problem, findings)
    if "block scalar" in context:
        return start, "'|' or '>' in front of a value begins a text on the lines below", _QUOTE_IT
    if "simple key" in context:
        return _neither(start, findings)
    if re.search(r"an? (alias|anchor|tag)$", context):
        return _property(start, findings.line(start.line))
    return None


def _in_quotes(place: Place, start: Place, problem: str, findings: ProblemCollector) -> Explanation:
    if "escape" not in problem and "hexdecimal" not in problem and "hexadecimal" not in problem:
        line = findings.line(start.line)
        return Place(start.line, start.column, max(1, len(line.rstrip()) - start.column + 1)), _NOT_CLOSED, None
    line = findings.line(place.line)
    backslash = line.rfind("\\", 0, place.column)
    at = Place(place.line, backslash + 1, 2) if backslash >= 0 else place
    message = f"{quoted(line[at.column - 1 :][:2])} is no escape that YAML knows, or not a whole one"
    return at, message, "a backslash in double quotes is written \\\\; in single quotes it stands for itself"


_PROPERTIES = {"*": "alias", "&": "anchor", "!": "tag"}


def _property(start: Place, line: str) -> Explanation:
    character = line[start.column - 1 : start.column]
    word = re.split(r"\s#|[\s,\]}]|$", line[start.column - 1 :], maxsplit=1)[0] or character
    kind = _PROPERTIES.get(character, "property")
    return (
        Place(start.line, start.column, max(1, len(word))),
        f"{quoted(character)} in front of a value begins a YAML {kind}, which rules files do not use",
        f'for the text itself put it in quotes: "{word}"',
    )


def _misplaced(place: Place, before: str, after: str, problem: str) -> Explanation:
    """Explain an indicator (``:``, ``-`` or ``?``) where YAML expects none."""
    if after.startswith("?") or "mapping keys" in problem:
        word = re.split(r"\s", after, maxsplit=1)[0]
        return place, "'?' in front of a value has a meaning of its own in YAML", f'put it in quotes: "{word}"'
    if after.startswith("-"):
        hint = "begin the list on the next line, or write it as [a, b]"
        return place, "a list cannot begin on the line of its key", hint
    if re.match(r"\s*(-\s+)*[^\s:#][^:]*:\s", before):
        return place, "a value with ': ' in it must be in quotes", _QUOTE_IT
    key = before.strip()
    at = Place(place.line, place.column - len(before.lstrip()), max(1, len(key)))
    hint = "keys of one mapping begin in one column, and each has a `:` and a space; look at the line above, too"
    return at, f"the key {quoted(key)} is indented too far here, or the line above lacks its `:`", hint


def _neither(start: Place, findings: ProblemCollector) -> Explanation:
    line = findings.line(start.line)
    rest = line[start.column - 1 :].rstrip()
    hint = "write `key: value`, with a space after the `:`"
    return Place(start.line, start.column, max(1, len(rest))), f"{quoted(rest)} is neither a key nor a list entry", hint


def _in_brackets(place: Place, start: Place, before: str, after: str, context: str) -> Explanation:
    bracket = "{" if "mapping" in context else "["
    if after.startswith("{") or before.endswith("}"):
        return place, "a template must be in quotes here", 'put the whole value in quotes: "...{name}..."'
    if not after:
        place = start
    closing = "}" if bracket == "{" else "]"
    where = "" if start.line == place.line else f" of line {start.line}"
    return place, f"the {bracket}{where} is not closed, or a comma is missing", f"close it with {closing}"


def _in_block(place: Place, before: str, after: str) -> Explanation:
    in_brackets = re.search(r"[:-]\s+([\[{].*[\]}])$", before.rstrip())
    if in_brackets:
        value = in_brackets[1] + re.split(r"\s#|\s*$", after, maxsplit=1)[0]
        return place, "text follows the closing bracket", f'for a template put it in quotes: "{value[:80]}"'
    if re.search(r"[:-]\s+([\"']).*\1$", before.rstrip()):
        return place, "text follows the closing quote", "put all of the value into the quotes"
    if after[:1] and after[0] in "]},":
        return place, f"{quoted(after[0])} closes nothing here", _QUOTE_IT
    at = Place(place.line, place.column, max(1, len(after.rstrip())))
    hint = "keys of one mapping, and the dashes of one list, begin in one column"
    return at, "this line's indentation fits none of the lines above", hint
