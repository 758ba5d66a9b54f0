"""How much the page asks of AWS for each view, however large the fleet is."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from testkit.cli.command_line import Aws, Run
from testkit.cli.operating import FACTORY, hold_many, write_many
from testkit.cli.stack import Queues
from testkit.page import Page

from jitr.aws.dynamodb.history import entry_puts
from jitr.aws.dynamodb.table import Table, to_item
from jitr.records.history import Author, HistoryKind, entry

DEVICE = f"{1:064x}"
VIEWS = (
    "/",
    "/held",
    "/held?reason=certificate.expired",  # nobody is held for that: it looks as far as it ever does
    "/devices",
    "/devices?verdict=reject",
    "/devices?q=snr-",
    f"/devices/{DEVICE}",
    "/lists",
    "/lists/line-a",
    "/lists/line-a?q=snr-1",
    "/rules",
    "/rules/1",
    "/rules/edit",
    "/cas",
    f"/cas/{FACTORY.id}",
    "/cas/register",
    "/failures",
    "/failures?reason=event.no-such",  # nothing failed for that: it looks as far as it ever does
    "/history",
    "/history?by=nobody",
    f"/history?device={DEVICE}",
)
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
)


def grow(table: Table, run: Run, first: int, end: int) -> None:
    """Add so many held devices, list rows, versions of the rules, changes, and failed messages.

    Rows are put in place of all: moto copies the whole table for each transaction, and adding them takes one a row.
    """
    numbers = range(first, end)
    hold_many(table, numbers, found=True)
    Path("rows.csv").write_text("common_name\n" + "".join(f"row-{each}\n" for each in range(end)))
    assert run("lists", "import", "line-a", "rows.csv", "--replace", "--yes").exit_code == 0
    write_many(table, _versions(table, numbers))
    write_many(table, _changes(table, numbers))
    queues = Queues()
    for each in numbers:
        queues.fail(str(each), "event.bug")


def _versions(table: Table, numbers: range) -> list[Any]:
    [latest] = [each for each in table.query("VERSIONS") if each["version"] == 1]
    return [to_item(latest | {"sk": f"VERSION#{each + 1:06d}", "version": each + 1}) for each in numbers]


def _changes(table: Table, numbers: range) -> list[Any]:
    author, at = Author("arn:aws:iam::1:user/deniz", "command line"), datetime(2026, 3, 1, tzinfo=UTC)
    puts = []
    for each in numbers:
        made = entry(
            author,
            at + timedelta(minutes=each),
            str(each),
            HistoryKind.LIST,
            "lists add line-a",
            subject="line-a",
            devices=[DEVICE],
        )
        puts += entry_puts(table.name, made)
    return [each["Put"]["Item"] for each in puts]


def test_no_view_asks_more_of_aws_the_larger_the_fleet_is(
    page: Page, ready: Table, run: Run, iot: Any, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither more devices, list rows, rules versions, changes nor failures; and nothing is ever scanned."""
    for name, value in BOUNDS:
        monkeypatch.setattr(name, value)
    asked = []
    for first, end in ((1, 41), (41, 161)):
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
