"""How much the page asks of AWS for each view, however large the fleet is."""

from collections import Counter
from typing import Any

import pytest
from testkit.cli.command_line import Aws, Run
from testkit.cli.views import VIEWS, grow
from testkit.page import Page

from jitr.aws.dynamodb.table import Table

MOST = 25  # what a view looks at of each: here so few that a small fleet has more
BOUNDS: tuple[tuple[str, Any], ...] = (
    ("jitr_operations.status.newest.MOST", MOST),
    (
        "jitr_operations.decisions.paging.page.__kwdefaults__",
        {"since": None, "after": None, "size": MOST, "most": MOST},
    ),
    ("jitr_operations.history.reading.page.__kwdefaults__", {"after": None, "size": MOST, "most": MOST}),
    ("jitr_operations.history.reading.MOST_OF_A_DEVICE", MOST),
    ("jitr_page.rooms.failures.REQUESTS", 2),
    ("jitr_operations.lists.notes.MOST", MOST),
)


def test_no_view_asks_more_of_aws_the_larger_the_fleet_is(
    page: Page, ready: Table, run: Run, iot: Any, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither more devices, list rows, rules versions, changes nor failures; and nothing is ever scanned."""
    for name, value in BOUNDS:
        monkeypatch.setattr(name, value)
    asked = []
    for first, end in ((1, 31), (31, 91)):
        grow(ready, run, first, end)
        asked.append({path: work(page, aws, path) for path in VIEWS})
    few, many = asked
    assert [path for path in VIEWS if not many[path] <= few[path]] == []
    assert not any("Scan" in each for each in many.values())


def work(page: Page, aws: Aws, path: str) -> Counter[str]:
    """The requests that a view takes, by operation."""
    aws.calls.clear()
    page.text(path)
    return Counter(aws.operations)


@pytest.fixture
def page(ready: Table) -> Page:
    """The page of a stack with rules and a list in force, opened."""
    return Page().enter()
