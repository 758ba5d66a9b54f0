"""YAML as a tree of nodes with positions, every scalar a string.

Read from PyYAML's event stream, so that nothing of YAML that surprises gets in: no value is turned into a number, a
date or a truth value (``NO`` is a country), and anchors, aliases, tags, merge keys, duplicate keys and second
documents are errors with their place. A file larger than MAX_BYTES, deeper than MAX_DEPTH or with more values than
MAX_NODES is refused.
"""

import re
from collections.abc import Iterator
from typing import Any

import yaml

from jitr.rules.file import syntax
from jitr.rules.file.problems import Place, ProblemCollector, quoted
from jitr.values import dataclass

MAX_BYTES = 4 * 1024 * 1024
MAX_DEPTH = 20
MAX_NODES = 500_000
_PEM_OR_DER = re.compile(rb"(?:\xef\xbb\xbf)?\s*-----BEGIN ([A-Z0-9 .#]{1,40})-----|\x30[\x80-\x84]")

# libyaml where PyYAML was built with it: about twenty times as fast, the same events at the same positions.
_Loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


@dataclass(frozen=True, slots=True)
class Scalar:
    """A text. ``style`` is empty for a plain one, else the character that quotes it or opens the block."""

    text: str
    place: Place
    style: str = ""


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list of nodes."""

    items: tuple["Node", ...]
    place: Place


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys and values in the file's order, no key twice. ``flow`` is True for one in braces."""

    entries: tuple[tuple[Scalar, "Node"], ...]
    place: Place
    flow: bool = False


@dataclass(frozen=True, slots=True)
class Broken:
    """A stand-in for a node that is already reported as an error."""

    place: Place


Node = Scalar | Sequence | Mapping | Broken


class _Stop(Exception):
    """The rest of the file cannot be made sense of; why has been noted."""


def read_text(data: bytes, source: str) -> tuple[str, ProblemCollector]:
    """Return a file's text with line ends as ``\\n``, and findings to go with it.

    Raises RulesError for a file too large, not UTF-8, or with characters that do not print.
    """
    if len(data) > MAX_BYTES:
        findings = ProblemCollector(source, ())
        hint = "put devices on device lists: rules refer to those by name"
        findings.error(Place(1, 1), f"the file is larger than {MAX_BYTES // 1024**2} MiB", hint)
        findings.raise_errors()
    text = _decoded(data, source)
    findings = ProblemCollector(source, text.split("\n"))
    _check_printable(text, findings)
    findings.raise_errors()
    return text, findings


def parse(text: str, findings: ProblemCollector) -> Node | None:
    """Parse a YAML document; None if it cannot be read to its end. What is wrong goes to ``findings``."""
    tree = _Tree(_events(text), findings)
    try:
        return tree.document()
    except yaml.MarkedYAMLError as error:
        place, message, hint = syntax.explain(error, findings)
        tree.forget_texts_up_to(place.line)
        findings.error(place, message, hint)
    except _Stop:
        pass
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        # PyYAML lets some numbers in escapes and directives escape as ValueError.
        findings.error(Place(1, 1), f"this is not YAML: {quoted(str(error))}")
    finally:
        tree.tell_texts_that_run_on()
    return None


def _other_file(data: bytes) -> str | None:
    """Return what a file is that people give in place of rules; None for any other."""
    found = _PEM_OR_DER.match(data)
    if found is None:
        return None
    return f"a PEM file ({found[1].decode()})" if found[1] else "a certificate or a key (DER)"


def _decoded(data: bytes, source: str) -> str:
    other = _other_file(data)
    if other is not None:
        findings = ProblemCollector(source, [""])  # nothing of it is shown: it may be a key
        findings.error(Place(1, 1), f"this is {other}, and no rules file", "rules are YAML, and name CA certificates")
        findings.raise_errors()
    problem: tuple[int, str] | None = None
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        problem = 0, "the file is UTF-16, not UTF-8"
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        text = data.decode("utf-8", errors="replace")
        problem = problem or (error.start, f"byte 0x{data[error.start]:02x} is not UTF-8")
    text = _with_plain_line_ends(text.removeprefix("\ufeff"))
    if problem:
        before = _with_plain_line_ends(data[: problem[0]].decode("utf-8", errors="replace").removeprefix("\ufeff"))
        findings = ProblemCollector(source, text.split("\n"))
        place = Place(before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)
        findings.error(place, problem[1], "save the file as UTF-8")
        findings.raise_errors()
    return text


def _with_plain_line_ends(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


# What YAML calls not printable (YAML 1.1 section 5.1), and what prints as nothing, as a space that is none, as a line
# end that editors do not show, or reorders the text around it (Unicode TR36).
_UNPRINTABLE = re.compile(
    "[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
    "|[\xa0\xad\u061c\u180e\u2007\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff\ufff9-\ufffb]"
)
_MOST_UNPRINTABLE = 10


def _check_printable(text: str, findings: ProblemCollector) -> None:
    line, line_start = 1, 0
    for count, found in enumerate(_UNPRINTABLE.finditer(text)):
        if count == _MOST_UNPRINTABLE:
            break
        line += text.count("\n", line_start, found.start())
        line_start = text.rfind("\n", 0, found.start()) + 1
        message = f"the character U+{ord(found[0]):04X} cannot be seen or is taken for another"
        hint = 'remove it; where a value really has it, write it as an escape in double quotes, such as "\\u00a0"'
        findings.error(Place(line, found.start() - line_start + 1), message, hint)


def _events(text: str) -> Iterator[yaml.Event]:
    yield from yaml.parse(text, Loader=_Loader)


class _Tree:
    """Builds the tree from events."""

    def __init__(self, events: Iterator[yaml.Event], findings: ProblemCollector) -> None:
        self._events = events
        self._findings = findings
        self._nodes = 0
        self._run_on: list[tuple[Place, int]] = []  # plain texts over several lines, and the last of these lines

    def forget_texts_up_to(self, line: int) -> None:
        """Keep quiet about a text that ran on into a line that is wrong anyway: it is one mistake, not two."""
        self._run_on = [each for each in self._run_on if each[1] < line]

    def tell_texts_that_run_on(self) -> None:
        """Report texts over several lines: YAML joins them, which hides a wrong indentation."""
        for place, _ in self._run_on:
            message = "this text runs on over several lines: perhaps the next line is indented too far"
            self._findings.error(place, message, "put it on one line, or in quotes")

    def document(self) -> Node | None:
        next(self._events)  # the start of the stream
        start = next(self._events)
        if isinstance(start, yaml.StreamEndEvent):
            self._findings.error(Place(1, 1), "the file is empty", "`jitr rules init` writes one to start from")
            return None
        if isinstance(start, yaml.DocumentStartEvent) and (start.version or start.tags):
            place = self._place(start)
            self._findings.error(place, "a YAML directive has no meaning here", "remove the line")
        node = self._node(next(self._events), 1)
        next(self._events)  # the document's end
        after = next(self._events)
        if not isinstance(after, yaml.StreamEndEvent):
            message = "a second document begins here: a rules file is one document"
            self._findings.error(self._place(after), message, "remove the `---`, or keep the rest in another file")
            return None
        return node

    def _node(self, event: yaml.Event, depth: int) -> Node:
        place = self._place(event)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, place)
        if depth > MAX_DEPTH:
            self._findings.error(place, f"nested deeper than {MAX_DEPTH} levels")
            raise _Stop
        self._nodes += 1
        if self._nodes > MAX_NODES:
            hint = "put devices on device lists: rules refer to those by name"
            self._findings.error(place, f"more than {MAX_NODES:,} keys and values", hint)
            raise _Stop
        self._check_properties(event, place)
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, place)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(place, depth)
        flow = isinstance(event, yaml.MappingStartEvent) and bool(event.flow_style)
        return self._mapping(place, flow, depth)

    def _scalar(self, event: yaml.ScalarEvent, place: Place) -> Node:
        style = event.style or ""
        last_line = _mark(event.end_mark)[0]
        if not style and last_line > place.line:
            self._run_on.append((place, last_line))
            return Broken(place)
        return Scalar(event.value, place, style)

    def _alias(self, event: yaml.AliasEvent, place: Place) -> Broken:
        message = f"*{event.anchor} is a YAML alias, which rules files do not use"
        hint = f'for a pattern put it in quotes: "{self._rest_of_value(place)}"'
        self._findings.error(place, message, hint)
        return Broken(place)

    def _rest_of_value(self, place: Place) -> str:
        """Return the plain text at a place, to the end of what a person would take for the value."""
        rest = self._findings.line(place.line)[place.column - 1 :]
        return re.split(r"\s#|[\s,\]}]|$", rest, maxsplit=1)[0][:60]

    def _check_properties(self, event: yaml.Event, place: Place) -> None:
        anchor = getattr(event, "anchor", None)
        if anchor is not None:
            at = Place(place.line, place.column, len(anchor) + 1)
            hint = "write the value out where it is needed; put a text that starts with & in quotes"
            self._findings.error(at, f"&{anchor} is a YAML anchor, which rules files do not use", hint)
        tag = getattr(event, "tag", None)
        if tag is not None:
            hint = "remove it; put a text that starts with ! in quotes"
            self._findings.error(place, "a YAML tag (!) has no meaning here: values are typed by their key", hint)

    def _sequence(self, start: Place, depth: int) -> Sequence:
        items = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._node(event, depth + 1))
        return Sequence(tuple(items), self._to_end(start, event))

    def _mapping(self, start: Place, flow: bool, depth: int) -> Mapping:
        entries: dict[str, tuple[Scalar, Node]] = {}
        first = start
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._node(event, depth + 1)
            value = self._node(next(self._events), depth + 1)
            first = key.place if first is start and not flow else first
            if isinstance(key, Scalar):
                self._enter(entries, key, value)
            elif not isinstance(key, Broken):
                hint = 'for a template put it in quotes: "{...}"'
                self._findings.error(key.place, "a key must be a plain name", hint)
        return Mapping(tuple(entries.values()), self._to_end(start, event) if flow else first, flow)

    def _enter(self, entries: dict[str, tuple[Scalar, Node]], key: Scalar, value: Node) -> None:
        if key.text == "<<" and not key.style:
            hint = "write the keys out"
            self._findings.error(key.place, "<< is a YAML merge key, which rules files do not use", hint)
        elif key.text in entries:
            first = entries[key.text][0].place.line
            message = f"the key {quoted(key.text)} is here twice; the first is on line {first}"
            self._findings.error(key.place, message, "keep one of them")
        else:
            entries[key.text] = key, value

    def _place(self, event: yaml.Event) -> Place:
        line, column = _mark(event.start_mark)
        return Place(line, column, self._length(line, column, event))

    def _to_end(self, start: Place, event: yaml.Event) -> Place:
        """Return the place of a flow collection: from its bracket to its end, or to the end of the line."""
        if self._findings.line(start.line)[start.column - 1 : start.column] not in ("[", "{"):
            return start
        return Place(start.line, start.column, self._length(start.line, start.column, event))

    def _length(self, line: int, column: int, event: yaml.Event) -> int:
        """From a place to the end of an event, or to the end of the line where that is further down."""
        last_line, end = _mark(event.end_mark)
        if last_line != line:
            end = len(self._findings.line(line).rstrip()) + 1
        return max(1, end - column)


def _mark(mark: Any) -> tuple[int, int]:
    """Line and column of a mark, from 1. PyYAML gives every event its marks, whatever its types say."""
    return (1, 1) if mark is None else (mark.line + 1, mark.column + 1)
