"""The page's views, and fleets of any size for them to be of."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from jitr.aws.dynamodb.history import entry_puts
from jitr.aws.dynamodb.table import Table, to_item
from jitr.records.history import Author, HistoryKind, entry
from testkit.cli.command_line import Run
from testkit.cli.operating import FACTORY, hold_many, write_many
from testkit.cli.stack import Queues

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
    "/lists/line-a?note=nowhere",  # no row has it: it looks as far as it ever does
    "/rules",
    "/rules/1",
    "/rules/edit",
    "/cas",
    f"/cas/{FACTORY.id}",
    f"/cas/{FACTORY.id}/rollover",
    "/cas/register",
    "/failures",
    "/failures?reason=event.forged",  # nothing failed for that: it looks as far as it ever does
    "/history",
    "/history?by=nobody",
    f"/history?device={DEVICE}",
)


def grow(table: Table, run: Run, first: int, end: int) -> None:
    """Add so many held devices, list rows, versions of the rules, changes, and failed messages.

    Rows are put in place of all: adding them takes a transaction for each.
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
