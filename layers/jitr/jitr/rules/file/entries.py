"""Reads a tree of nodes by the tables in ``fields``: every value typed, every mistake noted, none fatal.

What cannot be read is left out of its entry; what is left out has been told of.
"""

import re
from collections.abc import Iterator
from dataclasses import field
from typing import Any

from jitr.rules.file.fields import FILE
from jitr.rules.file.kinds import ScalarKind, Wrong
from jitr.rules.file.problems import Place, ProblemCollector, did_you_mean, quoted
from jitr.rules.file.shapes import AtLeastOne, Kind, Many, Needs, OneOrMany, RecordShape, TableShape, records_in
from jitr.rules.file.source import Broken, Mapping, Node, Scalar, Sequence
from jitr.values import dataclass


@dataclass(frozen=True, slots=True)
class At:
    """A value and where it stands."""

    value: Any
    node: Scalar

    @property
    def place(self) -> Place:
        """Its place in the file."""
        return self.node.place


@dataclass(slots=True)
class Entry:
    """A record as read: ``keys`` has every known key in it, ``found`` those that could be read."""

    record: RecordShape
    place: Place
    keys: dict[str, Scalar] = field(default_factory=dict)
    found: dict[str, Any] = field(default_factory=dict)

    @property
    def line(self) -> int:
        """The line on which the entry begins."""
        return self.place.line

    def one(self, name: str) -> At | None:
        """Return a value of a scalar kind, with its place."""
        found: At | None = self.found.get(name)
        return found

    def value(self, name: str, default: Any = None) -> Any:
        """Return a value of a scalar kind."""
        found = self.one(name)
        return default if found is None else found.value

    def many(self, name: str) -> tuple[At, ...]:
        """Return the values under OneOrMany, with their places."""
        found: tuple[At, ...] = self.found.get(name, ())
        return found

    def values(self, name: str, default: tuple[Any, ...] = ()) -> tuple[Any, ...]:
        """Return the values under OneOrMany."""
        return tuple(each.value for each in self.many(name)) or default

    def entry(self, name: str) -> "Entry | None":
        """Return a record."""
        found: Entry | None = self.found.get(name)
        return found

    def entries(self, name: str) -> tuple["Entry", ...]:
        """Return a list of records."""
        found: tuple[Entry, ...] = self.found.get(name, ())
        return found

    def table(self, name: str) -> tuple[tuple[At, Any], ...]:
        """Return the keys and values of a table; a value that could not be read is None."""
        found: tuple[tuple[At, Any], ...] = self.found.get(name, ())
        return found

    def key_place(self, name: str) -> Place:
        """Return where a key stands; where it is missing, the entry."""
        key = self.keys.get(name)
        return self.place if key is None else key.place


class Entries:
    """Reads nodes by their kinds."""

    def __init__(self, findings: ProblemCollector) -> None:
        self._findings = findings

    def file(self, node: Node) -> Entry | None:
        """Read the whole file. None if it is not a mapping at all."""
        return self._record(FILE, node, None)

    def _read(self, kind: Kind, node: Node, key: Scalar | None) -> Any:
        if isinstance(kind, RecordShape):
            return self._record(kind, node, key)
        if isinstance(kind, Many):
            return self._many(kind, node, key)
        if isinstance(kind, OneOrMany):
            return self._one_or_many(kind, node, key)
        if isinstance(kind, TableShape):
            return self._table(kind, node, key)
        return self._scalar(kind, node, key)

    # one text

    def _scalar(self, kind: ScalarKind, node: Node, key: Scalar | None) -> At | None:
        if not isinstance(node, Scalar):
            self._not_a_text(node, key)
            return None
        text = node.text.rstrip("\n") if node.style in ("|", ">") else node.text
        if self._is_nothing(node, key) or self._has_controls(node, text):
            return None
        try:
            return At(kind.parse(text), node)
        except Wrong as wrong:
            self._findings.error(self.within(node, wrong.span), wrong.message, wrong.hint)
            return None

    def _not_a_text(self, node: Node, key: Scalar | None) -> None:
        if isinstance(node, Broken):
            return
        template = _unquoted_template(node)
        if template is not None:
            message = "unquoted braces are a mapping to YAML, not a template"
            self._findings.error(node.place, message, f'put it in quotes: "{{{template}}}"')
            return
        what = "a list" if isinstance(node, Sequence) else "a mapping"
        name = f"{quoted(key.text)} takes" if key else "here goes"
        self._findings.error(node.place, f"{name} one text, not {what}")

    def _is_nothing(self, node: Scalar, key: Scalar | None) -> bool:
        """Return whether a value is empty or YAML's null, and report it: it is as likely forgotten as meant."""
        if node.style or node.text not in ("", "~", "null", "Null", "NULL"):
            return False
        if node.text:
            self._findings.error(
                node.place, f"{node.text} is no value", f'for the text put it in quotes: "{node.text}"'
            )
        elif key is not None:
            self._findings.error(key.place, f"{quoted(key.text)} has no value", "write one, or remove the key")
        else:
            self._findings.error(node.place, "an empty list entry", "write a value, or remove the `-`")
        return True

    def _has_controls(self, node: Scalar, text: str) -> bool:
        found = re.search("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]", text)
        if found is None:
            return False
        what = "a line end" if found[0] == "\n" else f"the control character U+{ord(found[0]):04X}"
        self._findings.error(node.place, f"a value is one line of text; this has {what} in it")
        return True

    def within(self, node: Scalar, span: tuple[int, int] | None) -> Place:
        """Return the place of a part of a text if the file has the text as it is; else of the whole text."""
        if span is None:
            return node.place
        start = node.place.column - 1 + (1 if node.style in ("'", '"') else 0)
        line = self._findings.line(node.place.line)
        if node.style in ("|", ">") or line[start : start + len(node.text)] != node.text:
            return node.place
        return Place(node.place.line, start + span[0] + 1, max(1, span[1] - span[0]))

    # several values

    def _one_or_many(self, kind: OneOrMany, node: Node, key: Scalar | None) -> tuple[At, ...] | None:
        if not isinstance(node, Sequence):
            single = self._scalar(kind.kind, node, key)
            return None if single is None else (single,)
        if not node.items:
            self._findings.error(node.place, "an empty list", "name at least one value, or remove the key")
        if len(node.items) > kind.most:
            message = f"{len(node.items)} values, and {kind.most} is the most"
            self._findings.error(key.place if key else node.place, message, kind.hint)
            return None
        seen: dict[Any, At] = {}
        for item in node.items:
            read = self._scalar(kind.kind, item, None)
            if read is not None and seen.setdefault(read.value, read) is not read:
                self._findings.error(read.place, f"{quoted(read.node.text)} is here twice", "keep one of them")
        return tuple(seen.values()) or None

    def _many(self, kind: Many, node: Node, key: Scalar | None) -> tuple[Entry, ...] | None:
        if not isinstance(node, Sequence):
            if isinstance(node, Scalar) and self._is_nothing(node, key):
                return None
            if not isinstance(node, Broken):
                where = f"under {quoted(key.text)} " if key else ""
                self._findings.error(node.place, f"{where}goes a list", "begin each entry with `- `")
            return None
        if len(node.items) > kind.most:
            message = f"{len(node.items)} entries, and {kind.most} is the most"
            self._findings.error(key.place if key else node.place, message)
            return None
        read = (self._record(kind.record, item, None) for item in node.items)
        return tuple(each for each in read if each is not None)

    # mappings

    def _entries(self, node: Node, what: str, key: Scalar | None) -> Iterator[tuple[Scalar, Node]] | None:
        if isinstance(node, Mapping):
            return iter(node.entries)
        if isinstance(node, Scalar) and self._is_nothing(node, key):
            return None
        if not isinstance(node, Broken):
            is_list = isinstance(node, Sequence)
            hint = "write its keys below, each as `key: value`" + (", without a `-`" if is_list else "")
            message = f"{what} is a mapping of keys and values, not {'a list' if is_list else 'a text'}"
            self._findings.error(node.place, message, hint)
        return None

    def _table(self, kind: TableShape, node: Node, key: Scalar | None) -> tuple[tuple[At, Any], ...] | None:
        entries = self._entries(node, quoted(key.text) if key else kind.what, key)
        if entries is None or not isinstance(node, Mapping):
            return None
        if len(node.entries) > kind.most:
            message = f"{len(node.entries)} entries, and {kind.most} is the most"
            self._findings.error(key.place if key else node.place, message)
            return None
        found = []
        for name, value in entries:
            read_name = self._scalar(kind.key, name, None)
            read = self._read(kind.value, value, name)
            if read_name is not None:
                found.append((read_name, read))
        return tuple(found)

    def _record(self, record: RecordShape, node: Node, key: Scalar | None) -> Entry | None:
        entries = self._entries(node, record.what, key)
        if entries is None:
            return None
        entry = Entry(record, node.place)
        for name, value in entries:
            known = record.field(name.text)
            if known is None:
                self._unknown_key(record, name)
                continue
            entry.keys[name.text] = name
            read = self._read(known.kind, value, name)
            if read is not None:
                entry.found[name.text] = read
        self._check(entry)
        return entry

    def _unknown_key(self, record: RecordShape, key: Scalar) -> None:
        message = f"unknown key {quoted(key.text)} in {record.what}"
        meant = _ALSO_CALLED.get(key.text.lower())
        if meant in record.by_name:
            hint: str | None = f"did you mean {meant!r}?"
        else:
            at_home = _HOMES.get(key.text)
            hint = f"it is a key of {at_home}" if at_home else did_you_mean(key.text, record.by_name)
        if hint is None and record.extra is not None:
            hint = f"a column of your own is named attr.NAME, such as attr.{key.text[:64]}"
        if hint is None:
            hint = f"its keys are: {', '.join(record.by_name)}" if len(record.by_name) <= 10 else None
        self._findings.error(key.place, message, hint)

    def _check(self, entry: Entry) -> None:
        """Check what must be there, alone or together."""
        record = entry.record
        for each in record.fields:
            if each.required and each.name not in entry.keys:
                hint = f"for example `{each.name}: {each.example}`" if each.example else None
                self._findings.error(entry.place, f"{record.what} needs the key {each.name!r}", hint)
        for constraint in record.constraints:
            if isinstance(constraint, Needs):
                if constraint.key in entry.keys and constraint.needed not in entry.keys:
                    hint = f"add `{constraint.needed}`"
                    self._findings.error(entry.key_place(constraint.key), constraint.message, hint)
            else:
                self._check_alternatives(entry, constraint)

    def _check_alternatives(self, entry: Entry, constraint: AtLeastOne) -> None:
        there = [each for each in entry.keys if each in constraint.keys]
        if not there:
            self._findings.error(entry.place, constraint.message, constraint.hint)
        elif constraint.only_one and len(there) > 1:
            message = f"{entry.record.what} takes either {quoted(there[0])} or {quoted(there[1])}, not both"
            self._findings.error(entry.keys[there[1]].place, message, "remove one of them")


def _unquoted_template(node: Node) -> str | None:
    """Return what is in the braces, if somebody wrote ``{name}`` without quotes."""
    if isinstance(node, Mapping) and node.flow and len(node.entries) == 1:
        key, value = node.entries[0]
        if isinstance(value, Scalar) and not value.text and not value.style:
            return key.text[:60]
    return None


# What other programs and the certificates themselves call these keys.
_ALSO_CALLED = {
    "cn": "common_name",
    "c": "country",
    "l": "locality",
    "st": "state",
    "province": "state",
    "o": "organization",
    "organisation": "organization",
    "ou": "organizational_unit",
    "uid": "user_id",
    "dc": "domain_component",
    "email": "email_address",
    "serial": "serial_number",
    "lists": "list",
    "group": "thing_groups",
    "policy": "iot_policies",
    "thing_name": "thing",
    "limit": "max_devices",
    "issuer": "ca",
    "expected": "expect",
    "time": "at",
}


def _homes() -> dict[str, str]:
    """Return the keys that only one record knows, and which."""
    homes: dict[str, set[str]] = {}
    for record in records_in(FILE):
        for name in record.by_name:
            homes.setdefault(name, set()).add(record.what)
    return {name: next(iter(places)) for name, places in homes.items() if len(places) == 1}


_HOMES = _homes()
