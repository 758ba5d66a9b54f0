"""A rules file with the ids of its CAs in place of the files that named them, so that it can be published anywhere.

Everything else stays as it was written, comments included.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import yaml

from jitr.errors import InputError
from jitr.rules.file.problems import RulesError
from jitr.rules.file.reader import read_rules
from jitr.rules.model import Rules
from jitr_operations.rules.named_files import cas_in, named_files


@dataclass(frozen=True)
class _Edit:
    """Characters from ``start`` up to ``end`` that another text takes the place of."""

    start: int
    end: int
    text: str


def names_files(text: str) -> bool:
    """Return whether a rules file names CA certificates by their files; what is no rules file does not."""
    try:
        return any(True for _ in _edits(text, None))
    except RulesError:
        return False


def with_ids(text: str, rules: Rules) -> str:
    """Return the text with ``ids`` in place of each CA's ``certificate``, as ``rules``, compiled from it, have them.

    Raises InputError where what comes out would not mean the same.
    """
    changed = text
    try:
        for edit in sorted(_edits(text, rules), key=lambda each: each.start, reverse=True):
            changed = changed[: edit.start] + edit.text + changed[edit.end :]
        responders = named_files(text, rules).responders  # those stay named
        read = read_rules(changed.encode(), source=rules.source, responder=responders.__getitem__)
        same = read.rules.meaning == rules.meaning
    except RulesError:
        same = False
    if not same:
        raise InputError(
            f"{rules.source} cannot be written with ids: print it without --ids, and keep the CA files too"
        )
    return changed


class _Lines:
    """A text in which PyYAML's marks, lines and columns, are found as offsets."""

    def __init__(self, text: str) -> None:
        self._starts = [0]
        for line in text.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))

    def at(self, mark: yaml.Mark) -> int:
        return self._starts[mark.line] + mark.column


def _edits(text: str, rules: Rules | None) -> Iterator[_Edit]:
    lines = _Lines(text)
    for alias, entry, value in cas_in(text):
        if entry.value == "certificate":  # a CA has either this or ids
            ca_in_force = None if rules is None else rules.cas.get(alias)
            ids = () if ca_in_force is None else ca_in_force.ids
            written = ", ".join(f'"{each}"' for each in ids)
            yield _Edit(lines.at(entry.start_mark), lines.at(_end(value)), f"ids: [{written}]")


def _end(node: yaml.Node) -> yaml.Mark:
    """Return where a value ends; PyYAML says of a list of lines that it ends where the next thing begins."""
    if isinstance(node, yaml.SequenceNode) and not node.flow_style and node.value:
        return _end(node.value[-1])
    return node.end_mark
