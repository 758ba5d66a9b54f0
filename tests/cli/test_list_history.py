"""How a list came to be: imports and single edits in one history, each with who, when and why."""

import json
from pathlib import Path
from typing import Any

import pytest
from testkit.cli.command_line import Run

pytestmark = pytest.mark.usefixtures("table")


def of(run: Run, name: str, *more: str) -> list[dict[str, Any]]:
    found = run("lists", "history", name, "--json", *more)
    assert found.exit_code == 0, found.stderr
    told: list[dict[str, Any]] = json.loads(found.stdout)
    return told


def test_a_single_edit_is_in_a_list_s_history_with_who_when_and_why(run: Run) -> None:
    assert run("lists", "add", "line-a", "common_name=a", "attr.lot=7", "--message", "late board").exit_code == 0
    assert run("lists", "add", "line-a", "common_name=a", "attr.lot=8", "--yes").exit_code == 0
    assert run("lists", "remove", "line-a", "common_name=a", "-m", "scrapped").exit_code == 0
    removed, changed, added = of(run, "line-a")
    assert [each["mode"] for each in (added, changed, removed)] == ["add", "add", "remove"]
    assert (added["why"], changed["why"], removed["why"]) == ("late board", None, "scrapped")
    assert (added["before"], added["after"]) == ({}, {"common_name": "a", "attr.lot": "7"})
    assert (changed["before"]["attr.lot"], changed["after"]["attr.lot"]) == ("7", "8")
    assert removed["before"] == {"common_name": "a", "attr.lot": "8"}
    assert all(each["by"].startswith("arn:aws:") and each["list"] == "line-a" for each in (added, changed, removed))
    shown = run("lists", "history", "line-a").stdout
    assert "scrapped" in shown
    assert "common_name: a" in shown


def test_imports_and_edits_stand_in_the_order_of_time_and_each_once(run: Run) -> None:
    Path("a.csv").write_text("common_name\na\n", "utf-8")
    assert run("lists", "import", "line-a", "a.csv").exit_code == 0
    assert run("lists", "add", "line-a", "common_name=b").exit_code == 0
    assert run("lists", "delete", "line-a", "--yes").exit_code == 0
    assert run("lists", "restore", "line-a", "--yes").exit_code == 0
    assert sorted(each["mode"] for each in of(run, "line-a")) == ["add", "delete", "merge", "restore"]
    assert [each["mode"] for each in of(run, "line-a", "--limit", "2")] == ["restore", "delete"]
    mistyped = run("lists", "history", "line-b")
    assert (mistyped.exit_code, "there is no list line-b" in mistyped.stderr) == (2, True)


def test_what_is_not_done_is_not_in_the_history(run: Run) -> None:
    assert run("lists", "add", "line-a", "common_name=a").exit_code == 0
    assert run("lists", "remove", "line-a", "common_name=b").exit_code == 1
    assert len(of(run, "line-a")) == 1
