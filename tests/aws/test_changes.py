"""Every edit tells of itself: a change is written in the transaction that puts the edit in force."""

from typing import Any

import pytest
from testkit import lists as list_edits
from testkit.aws.admission import rules
from testkit.aws.world import World
from testkit.knocks import allow

from jitr.aws.dynamodb.changes import MOST_KEYS, PARTITION, Change, ChangeKind
from jitr.aws.dynamodb.table import Conflict
from jitr.devicelists.rows import ListRow, RowKey
from jitr.services.lists.device_lists import DeviceLists
from jitr.services.publishing.publication import publish
from jitr.times import rfc3339

AT = "2026-03-01T12:00:00Z"
KEY = "ab" * 32


def _changes(world: World) -> list[Change]:
    return [Change.from_json(each) for each in world.table.query(PARTITION)]


def _names(*names: str) -> list[ListRow]:
    return [ListRow(common_name=each) for each in names]


def _replace(world: World, *rows: ListRow) -> None:
    list_edits.replace(world.table, "line-a", *rows, at=AT)


def test_an_added_row_is_named_by_each_of_its_keys(world: World) -> None:
    world.put_on("line-a", ListRow(common_name="snr-1", public_key_sha256=KEY))
    last = _last(world)
    assert (last.kind, last.list) == (ChangeKind.ROWS, "line-a")
    assert set(last.keys) == {RowKey("common_name", "snr-1"), RowKey("public_key_sha256", KEY)}


def test_a_changed_row_is_named_by_the_keys_that_it_no_longer_has_too(world: World) -> None:
    world.put_on("line-a", ListRow(common_name="snr-1", public_key_sha256=KEY))
    world.later(seconds=1)
    world.put_on("line-a", *_names("snr-1"))
    assert set(_last(world).keys) == {RowKey("common_name", "snr-1"), RowKey("public_key_sha256", KEY)}


def test_a_removed_row_is_named_by_the_keys_that_it_had(world: World) -> None:
    world.put_on("line-a", ListRow(common_name="snr-1", public_key_sha256=KEY))
    world.later(seconds=1)
    DeviceLists(world.table).remove("line-a", RowKey("common_name", "snr-1"), at=rfc3339(world.now))
    assert set(_last(world).keys) == {RowKey("common_name", "snr-1"), RowKey("public_key_sha256", KEY)}


def test_more_rows_than_a_change_can_name_are_the_list(world: World) -> None:
    world.put_on("line-a", *_names(*(f"snr-{each}" for each in range(MOST_KEYS + 1))))
    assert (_last(world).kind, _last(world).list) == (ChangeKind.LIST, "line-a")


def test_a_replaced_and_a_deleted_list_say_so(world: World) -> None:
    _replace(world, *_names("snr-1"))
    DeviceLists(world.table).delete("line-a", at=AT)
    assert [(each.kind, each.list) for each in _changes(world)] == [(ChangeKind.LIST, "line-a")] * 2


def test_a_publication_says_so(world: World) -> None:
    world.publish(rules(allow()))
    assert [each.kind for each in _changes(world)] == [ChangeKind.RULES]


def test_an_edit_that_lost_the_race_tells_of_nothing(world: World) -> None:
    before = world.table.heads()
    world.publish(rules(allow()))
    with pytest.raises(Conflict):
        publish(world.table, rules(allow(name="b")), b"", before, at=AT, by="tests")
    assert len(_changes(world)) == 1


def test_a_change_goes_by_itself(world: World) -> None:
    world.publish(rules(allow()))
    item: Any = next(iter(world.table.query(PARTITION)))
    assert item["expires_at"] > world.now.timestamp()


def test_a_change_of_another_format_is_refused() -> None:
    with pytest.raises(ValueError, match="format 2"):
        Change.from_json({"format": 2, "kind": "rules", "at": AT})


def _last(world: World) -> Change:
    """The latest that says something: making an empty list is an edit, too."""
    return [each for each in _changes(world) if each.keys or each.kind is not ChangeKind.ROWS][-1]
