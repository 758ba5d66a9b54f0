"""What the Tab key suggests: names in the deployment; and nothing, quickly, where there is none to ask."""

from typing import Any

import click
import pytest
from click.shell_completion import ShellComplete
from testkit.cli.command_line import Run

from jitr.aws.dynamodb.table import Table
from jitr.reasons import CODES
from jitr_cli.console import completion
from jitr_cli.main import jitr


def suggested(*words: str, incomplete: str = "") -> list[str]:
    """What is suggested after some words."""
    found = ShellComplete(jitr, {}, "jitr", "_JITR_COMPLETE").get_completions(list(words), incomplete)
    return [each.value for each in found]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("lists", "show"), ["line-a"]),
        (("lists", "import"), ["line-a"]),
        (("device", "deactivate", "--list"), ["line-a"]),
        (("device", "deactivate", "--crl"), ["factory-a"]),
        (("held", "admit", "3f9c", "--rule"), ["line-a"]),
        (("held", "ls", "--ca"), ["factory-a"]),
        (("decisions", "ls", "--stack", "jitr", "--rule"), ["line-a"]),
    ],
)
def test_names_of_the_deployment_are_suggested(ready: Table, words: tuple[str, ...], expected: list[str]) -> None:
    assert suggested(*words) == expected
    assert suggested(*words, incomplete="zz") == []


def test_reason_codes_are_suggested_without_aws() -> None:
    expected = [each for each in CODES if each.startswith("allow.")]
    assert suggested("held", "ls", "--reason", incomplete="allow.") == expected


def test_without_a_deployment_nothing_is_suggested_and_nothing_said(
    aws: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert suggested("lists", "show", "--stack", "elsewhere") == []
    assert capsys.readouterr() == ("", "")


def test_a_slow_answer_is_not_waited_for(ready: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    from threading import Event

    done = Event()
    monkeypatch.setattr(completion, "PATIENCE", 0.01)
    monkeypatch.setattr(completion, "_table", lambda _context: done.wait(30))
    assert suggested("lists", "show") == []
    done.set()


def test_names_that_would_steer_the_shell_are_not_suggested(
    ready: Table, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile = ["good", "$(reboot)", "two\nlines", "a b", "\x1b[31m", ";ls"]
    complete = completion._completion(lambda _table: hostile)
    found = complete(click.Context(jitr), click.Option(["--x"]), "")
    assert [each.value for each in found] == ["good"]
