"""Importing lists: checked whole first, never half a list to a reader, gone on with wherever it was cut off."""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from testkit import lists as list_edits
from testkit.aws.fakes import FakeDynamodb, fake_world

from jitr.aws.dynamodb.batch_writer import BatchWriter, batched, in_order
from jitr.aws.dynamodb.table import Conflict, Table
from jitr.devicelists.changes import Effect
from jitr.devicelists.csv import duplicates
from jitr.devicelists.csv.reader import ListError, read_list
from jitr.devicelists.rows import ListRow
from jitr.errors import InputError, Retry
from jitr.services.lists import list_import
from jitr.services.lists.device_lists import IMPORTS, DeviceLists
from jitr.services.lists.leftovers import Leftovers
from jitr.services.lists.list_import import MERGE, REPLACE, Checked, DeviceFile, Imports, Unfinished

AT = "2026-03-01T00:00:00Z"
ROWS = 230  # several requests, several batches


class Cut(Exception):
    """The process ends here."""


@pytest.fixture
def table() -> Iterator[Table]:
    with fake_world() as world:
        yield world.table


@pytest.fixture(autouse=True)
def _noted_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(list_import, "_NOTED_EVERY", 100)


def rows(first: int, last: int, **more: str) -> list[ListRow]:
    return [ListRow(common_name=f"snr-{number:04d}", **more) for number in range(first, last)]  # type: ignore[arg-type]


def names(table: Table, name: str = "line-a") -> list[str]:
    """What a reader of the list finds."""
    lists = DeviceLists(table)
    return sorted(row.common_name or "" for row in lists.rows(name, lists.all()[name].head.generation))


def checked(imports: Imports, source: DeviceFile, table: Table, mode: str = MERGE) -> Checked:
    there = DeviceLists(table).all().get("line-a")
    against = there.head.generation if there and mode == MERGE else None
    return imports.check("line-a", source, against=against, overwrite=False, advance=lambda _bytes: None)


def carry_out(imports: Imports, found: Checked, mode: str) -> None:
    work = imports.replace if mode == REPLACE else imports.merge
    work("line-a", found, by="tests", advance=lambda _rows: None)


def cut_at(table: Table, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process ends before the ``number``-th write from now on."""
    left = [number]
    client: Any = table.client

    def count(real: Any) -> Any:
        def call(**arguments: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise Cut
            return real(**arguments)

        return call

    for name in ("batch_write_item", "transact_write_items"):
        monkeypatch.setattr(client, name, count(getattr(client, name)), raising=False)


# --- cut off


@pytest.mark.parametrize("keeps", [True, False], ids=["rows kept", "read again"])
@pytest.mark.parametrize("mode", [MERGE, REPLACE])
def test_an_import_that_is_cut_off_anywhere_goes_on_and_ends_as_if_it_had_not_been(
    mode: str, keeps: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every write in turn. The count of rows is exact, and a replace shows its readers all or nothing."""
    source = list_edits.csv_of(rows(50, 50 + ROWS))
    source = source if keeps else replace(source, kept=None)
    for number in range(60):
        with fake_world() as world, monkeypatch.context() as patch:
            list_edits.replace(world.table, "line-a", *rows(0, 100))
            imports = list_edits.imports_into(world.table)
            found = checked(imports, source, world.table, mode)
            cut_at(world.table, number, patch)
            try:
                carry_out(imports, found, mode)
            except Cut:
                cut = True
            else:
                cut = False
            patch.undo()
            if cut and mode == REPLACE:
                assert len(names(world.table)) in (100, ROWS)
            if cut:
                found = checked(imports, source, world.table, mode)
                carry_out(imports, found, mode)
            expected = {f"snr-{each:04d}" for each in range(50, 50 + ROWS)}
            expected |= {f"snr-{each:04d}" for each in range(100)} if mode == MERGE else set()
            assert names(world.table) == sorted(expected), f"cut at write {number}"
            assert DeviceLists(world.table).all()["line-a"].rows == len(expected), f"cut at write {number}"
            assert [each["mode"] for each in world.table.query(IMPORTS) if each["mode"] != "left"] == []
            if not cut:
                return
    pytest.fail("the import never came to its end")


def test_what_was_written_is_not_written_again(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    source = list_edits.csv_of(rows(0, ROWS))
    imports = list_edits.imports_into(table)
    found = checked(imports, source, table, REPLACE)
    with monkeypatch.context() as patch:
        cut_at(table, 9, patch)  # after the note of 100 rows: 1 note, 4 batches of 25, 1 note
        with pytest.raises(Cut):
            carry_out(imports, found, REPLACE)
    begun = imports.under_way("line-a", found, REPLACE)
    assert begun is not None
    assert (begun.done, begun.by) == (100, "tests")
    told: list[int] = []
    imports.replace("line-a", found, by="tests", advance=told.append)
    assert sum(told) == ROWS - 100


def test_an_import_without_time_stops_at_a_note_and_goes_on_later(table: Table) -> None:
    source = list_edits.csv_of(rows(0, ROWS))
    hurry = Imports(table, clock=lambda: AT, token=lambda: "g2", hurry=lambda: True, workers=1)
    found = checked(hurry, source, table, REPLACE)
    done = []
    for _ in range(4):
        with pytest.raises(Unfinished) as stopped:
            carry_out(hurry, found, REPLACE)
        done.append(stopped.value.done)
    assert done == [50, 100, 150, 200]
    assert DeviceLists(table).all() == {}
    carry_out(hurry, found, REPLACE)
    assert len(names(table)) == ROWS


def test_several_connections_at_once_write_the_same(table: Table) -> None:
    imports = Imports(table, clock=lambda: AT, token=lambda: "g", workers=4)
    found = checked(imports, list_edits.csv_of(rows(0, ROWS)), table)
    carry_out(imports, found, MERGE)
    assert DeviceLists(table).all()["line-a"].rows == ROWS
    assert names(table) == [row.common_name for row in rows(0, ROWS)]


# --- two at once


def test_of_two_who_import_the_same_file_at_once_the_second_is_told(table: Table) -> None:
    source = list_edits.csv_of(rows(0, ROWS))
    first, second = list_edits.imports_into(table), list_edits.imports_into(table)
    found = checked(first, source, table)
    once = [True]

    def overtake(_rows: int) -> None:
        if once.pop() if once else False:
            carry_out(second, found, MERGE)

    with pytest.raises(Conflict):
        first.merge("line-a", found, by="tests", advance=overtake)
    assert DeviceLists(table).all()["line-a"].rows == len(names(table)) == ROWS


@pytest.mark.parametrize("mode", [MERGE, REPLACE])
def test_an_import_does_not_lose_the_edit_of_another_hand(table: Table, mode: str) -> None:
    list_edits.replace(table, "line-a", *rows(0, 5))
    imports = list_edits.imports_into(table)
    found = checked(imports, list_edits.csv_of(rows(2, 60)), table, mode)
    once = [True]

    def other(_rows: int) -> None:
        if once.pop() if once else False:
            DeviceLists(table).add("line-a", ListRow(common_name="late"), at=AT, new_generation="x")

    work = imports.replace if mode == REPLACE else imports.merge
    if mode == REPLACE:
        with pytest.raises(Conflict):
            work("line-a", found, by="tests", advance=other)
        assert "late" in names(table)
        carry_out(imports, found, REPLACE)  # said again, now knowing
        assert len(names(table)) == 58
    else:
        work("line-a", found, by="tests", advance=other)
        assert len(names(table)) == 61


# --- checked first


def test_a_file_that_changes_while_it_is_imported_does_not_come_into_force(table: Table) -> None:
    texts = [b"common_name\nsnr-1\nsnr-2\n", b"common_name\nsnr-1\nsnr-3\n"]
    imports = list_edits.imports_into(table)
    found = imports.check("line-a", DeviceFile("f.csv", lambda: [texts[0]]), advance=lambda _bytes: None)
    other = Checked(DeviceFile("f.csv", lambda: [texts[1]]), found.digest, found.rows)
    with pytest.raises(InputError, match=r"f\.csv was changed while it was imported"):
        carry_out(imports, other, REPLACE)
    assert DeviceLists(table).all() == {}


@pytest.mark.parametrize("against", [None, "g"])
def test_what_is_there_twice_is_told_as_when_the_list_is_read_once(
    table: Table, against: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With its place and count, the progress told once, and no file left of the keys."""
    monkeypatch.setattr(duplicates, "_AT_ONCE", 4)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    lines = [*(f"snr-{number}," for number in range(30)), "snr-3,x", "bad ,", *(f"snr-{each}," for each in range(25))]
    text = ("common_name,note\n" + "\n".join(lines)).encode()
    with pytest.raises(ListError) as once:
        read_list(text, "f.csv")
    told: list[int] = []
    with pytest.raises(ListError) as found:
        Imports(table, clock=lambda: AT, token=lambda: "g").check(
            "line-a", DeviceFile("f.csv", lambda: [text]), against=against, overwrite=False, advance=told.append
        )
    assert found.value.count == once.value.count == 27
    assert found.value.problems == once.value.problems
    assert sum(told) == len(text)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_changes_while_it_is_checked_is_told_so(table: Table) -> None:
    texts = iter([b"common_name\nsnr-1\nsnr-1\n", b"common_name\nsnr-1\nsnr-2\n"])
    with pytest.raises(InputError, match=r"f\.csv was changed while it was checked"):
        list_edits.imports_into(table).check(
            "line-a", DeviceFile("f.csv", lambda: [next(texts)]), advance=lambda _bytes: None
        )


def test_rows_are_compared_with_the_list(table: Table) -> None:
    list_edits.merge(table, "line-a", *rows(0, 3))
    text = b"common_name,attr.batch\nsnr-0000,\nsnr-0001,7\nsnr-0009,\n"
    found = checked(list_edits.imports_into(table), DeviceFile("f.csv", lambda: [text]), table)
    assert found.effects == {Effect.ADDS: 1, Effect.CHANGES: 1, Effect.NOTHING: 1}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "common_name,public_key_sha256\nsnr-9," + "ab" * 32,
            "f.csv:2:2: public_key_sha256: 'ababababababababababababababababababa...' is on the list already, "
            "for the device with common_name 'snr-1'",
        ),
        (
            "common_name,certificate_sha256\nsnr-1," + "cd" * 32,
            "f.csv:2:1: common_name: 'snr-1' is on the list already, for the device with certificate_sha256 "
            "'efefefefefefefefefefefefefefefefefefe...'",
        ),
        (
            "common_name,public_key_sha256\nsnr-2," + "ab" * 32 + "\n",
            "f.csv:2:2: public_key_sha256: 'ababababababababababababababababababa...' is on the list already, "
            "for the device with common_name 'snr-1'",
        ),
        (
            "common_name,public_key_sha256\nsnr-1,\n," + "ab" * 32,
            "f.csv:3:2: public_key_sha256: this row and line 2 are one device on the list",
        ),
    ],
    ids=["a key of another device", "another certificate", "two devices", "one device on two lines"],
)
def test_a_row_that_would_take_another_device_s_place_is_a_mistake(table: Table, text: str, told: str) -> None:
    one = ListRow(common_name="snr-1", public_key_sha256="ab" * 32, certificate_sha256="ef" * 32)
    list_edits.merge(table, "line-a", one, ListRow(common_name="snr-2"))
    with pytest.raises(ListError) as error:
        checked(list_edits.imports_into(table), DeviceFile("f.csv", lambda: [text.encode()]), table)
    assert told in str(error.value)


def test_the_first_20_mistakes_are_told_in_the_order_of_lines_and_the_rest_counted(table: Table) -> None:
    list_edits.merge(
        table, "line-a", *(ListRow(common_name=f"old-{n}", public_key_sha256=f"{n + 1:064x}") for n in range(30))
    )
    lines = "".join(f"new-{n},{n + 1:064x}\n" + ("bad\x01,\n" if n < 5 else "") for n in range(30))
    with pytest.raises(ListError) as error:
        checked(
            list_edits.imports_into(table),
            DeviceFile("f.csv", lambda: [f"common_name,public_key_sha256\n{lines}".encode()]),
            table,
        )
    assert error.value.count == 35
    assert [each.line for each in error.value.problems] == list(range(2, 22))
    assert str(error.value).endswith("f.csv: and 15 more")


def test_with_overwrite_the_row_takes_the_other_s_place_whole(table: Table) -> None:
    list_edits.merge(table, "line-a", ListRow(common_name="snr-1", public_key_sha256="ab" * 32))
    source = list_edits.csv_of([ListRow(common_name="snr-2", public_key_sha256="ab" * 32)])
    imports = list_edits.imports_into(table)
    generation = DeviceLists(table).all()["line-a"].head.generation
    found = imports.check("line-a", source, against=generation, overwrite=True, advance=lambda _bytes: None)
    carry_out(imports, found, MERGE)
    assert names(table) == ["snr-2"]
    assert DeviceLists(table).all()["line-a"].rows == 1


# --- what is left


def test_rows_of_a_replaced_list_expire_and_those_in_force_do_not(table: Table) -> None:
    list_edits.replace(table, "line-a", *rows(0, 60))
    list_edits.replace(table, "line-a", *rows(0, 30))
    assert Leftovers(table).sweep(expires_at=99, given_up_before=AT) == 1
    client: Any = table.client
    stored: FakeDynamodb = client
    expiring = [key for key, item in stored.items.items() if item.get("expires_at") == 99]
    assert len(expiring) == 60
    assert len(names(table)) == 30
    assert list(table.query(IMPORTS)) == []


def test_an_import_nobody_goes_on_with_is_given_up_after_a_while_and_leaves_nothing(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    imports = list_edits.imports_into(table)
    found = checked(imports, list_edits.csv_of(rows(0, ROWS)), table, REPLACE)
    with monkeypatch.context() as patch:
        cut_at(table, 8, patch)
        with pytest.raises(Cut):
            carry_out(imports, found, REPLACE)
    leftovers = Leftovers(table)
    assert leftovers.sweep(expires_at=99, given_up_before=AT) == 0  # not yet
    assert leftovers.sweep(expires_at=99, given_up_before="2026-03-01T00:00:01Z") == 1
    client: Any = table.client
    left = [item for (pk, _), item in client.items.items() if pk.startswith("LIST#")]
    assert left
    assert {item["expires_at"] for item in left} == {99}
    carry_out(imports, found, REPLACE)  # begins anew, in a generation of its own
    assert len(names(table)) == ROWS
    assert not any(
        "expires_at" in item
        for (pk, _), item in client.items.items()
        if pk.startswith(f"LIST#line-a#{DeviceLists(table).all()['line-a'].head.generation}")
    )


def test_letting_go_without_time_goes_on_at_the_next_sweep(table: Table) -> None:
    list_edits.replace(table, "line-a", *rows(0, 60))
    list_edits.replace(table, "line-a", *rows(0, 30))
    assert Leftovers(table, hurry=lambda: True).sweep(expires_at=99, given_up_before=AT) == 0
    assert Leftovers(table).sweep(expires_at=99, given_up_before=AT) == 1


# --- writing


def test_what_the_table_does_not_take_is_written_again_after_a_growing_while(table: Table) -> None:
    waits: list[float] = []
    answers = iter([3, 2, 1, 0])
    client: Any = table.client
    real = client.batch_write_item

    def some(RequestItems: Any) -> Any:  # noqa: N803
        ((name, wanted),) = RequestItems.items()
        left = next(answers)
        real(RequestItems={name: wanted[left:]})
        return {"UnprocessedItems": {name: wanted[:left]} if left else {}}

    client.batch_write_item = some
    writer = BatchWriter(table, sleep=waits.append, jitter=lambda: 1.0)
    writer.write([{"PutRequest": {"Item": {"pk": {"S": f"p{n}"}, "sk": {"S": "s"}}}} for n in range(5)])
    assert waits == [0.05, 0.1, 0.2]
    assert len([key for key in client.items if key[0].startswith("p")]) == 5


def test_a_table_that_takes_nothing_for_minutes_is_a_retry(table: Table) -> None:
    waits: list[float] = []
    client: Any = table.client
    client.batch_write_item = lambda RequestItems: {"UnprocessedItems": RequestItems}  # noqa: N803
    writer = BatchWriter(table, sleep=waits.append, jitter=lambda: 1.0)
    with pytest.raises(Retry, match="run the same command again"):
        writer.write([{"PutRequest": {"Item": {"pk": {"S": "p"}, "sk": {"S": "s"}}}}])
    assert 100 < sum(waits) < 300


@pytest.mark.parametrize("workers", [1, 3])
def test_work_is_done_in_order_and_not_taken_long_before_it_is_done(workers: int) -> None:
    taken = []

    def things() -> Iterator[int]:
        for number in range(50):
            taken.append(number)
            yield number

    for done in in_order(lambda number: number, things(), workers):
        assert done >= len(taken) - 2 * workers - 1
    assert [*batched(range(5), 2)] == [(0, 1), (2, 3), (4,)]
