"""docs/json.md, held against every document that a test has a command print."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import click

PAGE = Path(__file__).parents[2] / "docs" / "json.md"
_ROW = re.compile(r"^\| `jitr ([a-z -]+)` \| (object|list) \| ([^|]*) \|", re.MULTILINE)
_KEY = re.compile(r"`(\w+)`")
_SOMETIMES = "sometimes"


@dataclass(frozen=True, slots=True)
class Documented:
    """What the page says that a command prints: an object, or a list of objects, with keys."""

    is_list: bool
    always: frozenset[str]
    sometimes: frozenset[str]


@cache
def documented() -> dict[str, Documented]:
    """The page's rows by command."""
    return dict(_rows(PAGE.read_text("utf-8")))


def _rows(text: str) -> Iterator[tuple[str, Documented]]:
    for command, kind, keys in _ROW.findall(text):
        always, _, sometimes = keys.partition(_SOMETIMES)
        yield command, Documented(kind == "list", frozenset(_KEY.findall(always)), frozenset(_KEY.findall(sometimes)))


def command_in(root: click.Command, words: Sequence[str]) -> str:
    """The command that a line of words calls, without options and arguments."""
    path: list[str] = []
    command: click.Command | None = root
    for word in words:
        if not isinstance(command, click.Group):
            break
        command = command.get_command(click.Context(command), word)
        path.append(word)
    return " ".join(path)


def check(command: str, printed: str) -> None:
    """Fail unless a document is as the page says."""
    if command == "rules schema":
        return
    document: Any = json.loads(printed)
    page = documented().get(command)
    assert page is not None, f"docs/json.md does not say what `jitr {command} --json` prints"
    assert isinstance(document, list) is page.is_list, f"`jitr {command}` prints {type(document).__name__}"
    for each in document if page.is_list else [document]:
        unknown = each.keys() - page.always - page.sometimes
        assert not unknown, f"docs/json.md does not tell of {sorted(unknown)} in `jitr {command} --json`"
        missing = page.always - each.keys()
        assert not missing, f"`jitr {command} --json` lacks {sorted(missing)}, which docs/json.md promises"
