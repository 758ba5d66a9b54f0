"""docs/json.md tells of every command that has ``--json``; whatever tests print with it is held against the page."""

from collections.abc import Iterator

import click
import pytest
from testkit.cli import documents

from jitr_cli.main import jitr
from jitr_local.cli import local


def commands(command: click.Command, path: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command below a group, by its words."""
    if not isinstance(command, click.Group):
        yield path, command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        found = local if (path, name) == ("", "local") else command.get_command(context, name)
        assert found is not None
        yield from commands(found, f"{path} {name}".strip())


def test_the_page_tells_of_every_command_that_prints_json_and_of_no_other() -> None:
    with_json = {path for path, each in commands(jitr) if any("--json" in one.opts for one in each.params)}
    assert with_json - {"rules schema"} == set(documents.documented())  # which prints a schema, told of in words


def test_a_document_that_is_not_as_the_page_says_is_found() -> None:
    documents.check("held recheck", '{"rechecked": 1}')
    for wrong in ("{}", '{"rechecked": 1, "more": 2}', "[]", '[{"rechecked": 1}]'):
        with pytest.raises(AssertionError):
            documents.check("held recheck", wrong)
    with pytest.raises(AssertionError):
        documents.check("held dance", "{}")
