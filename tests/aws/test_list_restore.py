"""A list that was replaced or deleted: what was removed is told exactly, and can be had back for a week."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from testkit import lists as list_edits
from testkit.aws.fakes import fake_world
from testkit.drawn_lists import FILES

from jitr.aws.dynamodb.table import Conflict, Table
from jitr.devicelists.changes import Effect
from jitr.devicelists.rows import ListRow, RowKey
from jitr.services.lists.device_lists import DeviceLists
from jitr.services.lists.difference import Difference, difference
from jitr.services.lists.leftovers import Leftovers

NAME = "line-a"
NOW = datetime(2026, 3, 1, tzinfo=UTC)
DAYS = [f"2026-03-{day:02d}T00:00:00Z" for day in range(1, 20)]


@pytest.fixture
def table() -> Iterator[Table]:
    with fake_world() as world:
        yield world.table


def on(*numbers: int) -> list[ListRow]:
    return [ListRow(common_name=f"snr-{number}") for number in numbers]


def names(table: Table) -> list[str]:
    lists = DeviceLists(table)
    return sorted(row.common_name or "" for row in lists.rows(NAME, lists.all()[NAME].head.generation))


def expected(old: tuple[ListRow, ...], new: tuple[ListRow, ...]) -> tuple[dict[str, int], list[ListRow]]:
    """What a look at both lists says."""

    def shares(row: ListRow, others: tuple[ListRow, ...]) -> bool:
        return any(set(row.found_by()) & set(other.found_by()) for other in others)

    def stays(row: ListRow) -> bool:
        """Whether the new list says as much of the device: an expired row keeps neither in nor out."""
        found = [other for other in new if row.found_by()[0] in other.found_by()]
        found = found or [other for other in new if set(row.found_by()) & set(other.found_by())]
        return any(not row.counts(NOW) or other.counts(NOW) for other in found)

    removed = [row for row in old if not stays(row)]
    added = [row for row in new if not shares(row, old)]
    same = [row for row in new if row in old]
    changed = len(new) - len(added) - len(same)
    counts = {"added": len(added), "changed": changed, "unchanged": len(same), "removed": len(removed)}
    return counts, removed


@settings(max_examples=300, deadline=None)
@given(FILES, FILES)
def test_what_becomes_of_a_replaced_list_is_told_row_by_row(old: tuple[ListRow, ...], new: tuple[ListRow, ...]) -> None:
    with fake_world() as world:
        list_edits.replace(world.table, NAME, *old)
        before = DeviceLists(world.table).all()[NAME].head.generation
        list_edits.replace(world.table, NAME, *new)
        after = DeviceLists(world.table).all()[NAME].head.generation
        found = difference(world.table, NAME, before, after, at=NOW, hurry=lambda: False)
        assert found is not None
        counts, removed = expected(old, new)
        assert found.counts() == counts
        assert sorted(map(str, found.shown)) == sorted(map(str, removed))


def test_of_many_removed_rows_the_first_are_shown_and_the_rest_is_counted() -> None:
    found = Difference()
    for row in on(*range(25)):
        found.take(row)
    assert (found.removed, len(found.shown), found.counts()["removed"]) == (25, 20, 25)


def test_a_replacement_without_time_to_compare_is_made_all_the_same(table: Table) -> None:
    list_edits.replace(table, NAME, *on(1, 2))
    before = DeviceLists(table).all()[NAME].head.generation
    assert difference(table, NAME, before, before, at=NOW, hurry=lambda: True) is None


def test_a_replacement_says_what_it_did(table: Table) -> None:
    list_edits.replace(table, NAME, *on(1, 2, 3))
    imports = list_edits.imports_into(table)
    checked = imports.check(NAME, list_edits.csv_of(on(3, 4)), advance=lambda _bytes: None)
    found = imports.replace(NAME, checked, by="tests", advance=lambda _rows: None)
    assert found is not None
    assert found.effects == {Effect.ADDS: 1, Effect.CHANGES: 0, Effect.NOTHING: 1}
    assert sorted(row.common_name or "" for row in found.shown) == ["snr-1", "snr-2"]


# --- had back


def test_a_replaced_list_is_had_back_as_it_was_and_that_is_undone_the_same_way(table: Table) -> None:
    lists = DeviceLists(table)
    list_edits.replace(table, NAME, *on(1, 2, 3), at=DAYS[0])
    list_edits.merge(table, NAME, *on(4), at=DAYS[1])
    list_edits.replace(table, NAME, *on(9), at=DAYS[2])
    editions = [table.heads().edition(NAME)]
    for then in (["snr-1", "snr-2", "snr-3", "snr-4"], ["snr-9"], ["snr-1", "snr-2", "snr-3", "snr-4"]):
        info = lists.restore(NAME, at=DAYS[3])
        assert info is not None
        assert (names(table), info.rows) == (then, len(then))
        editions.append(table.heads().edition(NAME))
    assert len(set(editions)) == len(editions), "a held device would not be decided again"


def test_a_deleted_list_is_had_back(table: Table) -> None:
    list_edits.replace(table, NAME, *on(1, 2), at=DAYS[0])
    DeviceLists(table).delete(NAME, at=DAYS[1])
    DeviceLists(table).restore(NAME, at=DAYS[2])
    assert names(table) == ["snr-1", "snr-2"]


def test_a_list_that_was_deleted_and_made_anew_is_had_back_as_it_was_last(table: Table) -> None:
    """By time: the new one's editions begin again."""
    lists = DeviceLists(table)
    list_edits.replace(table, NAME, *on(1), at=DAYS[0])
    for row in on(2, 3):
        lists.add(NAME, row, at=DAYS[1], new_generation="g")
    lists.delete(NAME, at=DAYS[2])
    list_edits.replace(table, NAME, *on(7), at=DAYS[3])
    list_edits.replace(table, NAME, *on(8), at=DAYS[4])
    lists.restore(NAME, at=DAYS[5])
    assert names(table) == ["snr-7"]


def test_nothing_is_had_back_of_a_list_that_was_never_replaced(table: Table) -> None:
    list_edits.merge(table, NAME, *on(1))
    assert DeviceLists(table).restore(NAME, at=DAYS[1]) is None


def test_what_a_list_was_last_is_kept_for_a_week_and_what_it_was_before_that_goes_at_once(table: Table) -> None:
    lists, sweep = DeviceLists(table), Leftovers(table, workers=1).sweep
    for day, numbers in ((0, (1, 2)), (1, (3,)), (2, (4,))):
        list_edits.replace(table, NAME, *on(*numbers), at=DAYS[day])
    assert sweep(expires_at=99, given_up_before=DAYS[0], kept_since=DAYS[2]) == 1
    stored: Any = table.client
    assert sum(item.get("expires_at") == 99 for item in stored.items.values()) == 2
    assert sweep(expires_at=99, given_up_before=DAYS[0], kept_since=DAYS[2]) == 0
    lists.restore(NAME, at=DAYS[3])
    assert names(table) == ["snr-3"]
    assert sweep(expires_at=99, given_up_before=DAYS[0], kept_since=DAYS[9]) == 1
    assert lists.restore(NAME, at=DAYS[10]) is None


def test_rows_that_are_being_let_go_are_not_had_back(table: Table) -> None:
    list_edits.replace(table, NAME, *on(*range(40)), at=DAYS[0])
    list_edits.replace(table, NAME, *on(1), at=DAYS[1])
    Leftovers(table, hurry=lambda: True, workers=1).sweep(expires_at=99, given_up_before=DAYS[0])
    assert DeviceLists(table).restore(NAME, at=DAYS[2]) is None
    assert names(table) == ["snr-1"]


def test_a_sweep_that_had_its_list_before_it_was_had_back_lets_nothing_of_it_go(table: Table) -> None:
    list_edits.replace(table, NAME, *on(1, 2), at=DAYS[0])
    list_edits.replace(table, NAME, *on(3), at=DAYS[1])
    leftovers = Leftovers(table, workers=1)
    noted = leftovers._table.query

    def query(partition: str, **more: Any) -> Any:
        found = list(noted(partition, **more))
        if partition == "IMPORTS":
            table.query = noted  # type: ignore[method-assign]
            DeviceLists(table).restore(NAME, at=DAYS[2])
        return iter(found)

    table.query = query  # type: ignore[method-assign]
    leftovers.sweep(expires_at=99, given_up_before=DAYS[0])
    stored: Any = table.client
    assert names(table) == ["snr-1", "snr-2"]
    assert not any("expires_at" in item and "row" in item for item in stored.items.values())


def test_an_edit_made_while_a_list_is_had_back_is_not_lost(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    lists = DeviceLists(table)
    list_edits.replace(table, NAME, *on(1, 2), at=DAYS[0])
    list_edits.replace(table, NAME, *on(3), at=DAYS[1])
    put_head = DeviceLists.put_head

    def overtaken(self: DeviceLists, *arguments: Any, **more: Any) -> None:
        monkeypatch.setattr(DeviceLists, "put_head", put_head)
        lists.add(NAME, on(4)[0], at=DAYS[2], new_generation="g")
        put_head(self, *arguments, **more)

    monkeypatch.setattr(DeviceLists, "put_head", overtaken)
    with pytest.raises(Conflict):
        lists.restore(NAME, at=DAYS[2])
    assert names(table) == ["snr-3", "snr-4"]
    assert lists.find(NAME, lists.all()[NAME].head.generation, RowKey("common_name", "snr-4")) is not None
