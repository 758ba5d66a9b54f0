"""What commands say of the cells that they took for something else, and how those that refuse them say it."""

import json
from pathlib import Path

import pytest
from testkit import lists as list_edits
from testkit.cli.command_line import Run

from jitr.aws.dynamodb.table import Table
from jitr.devicelists.csv.serials import Base, KnownSerials
from jitr.services.lists import list_import
from jitr.services.lists.device_lists import DeviceLists
from jitr.services.lists.list_import import DeviceFile


def on_list(table: Table, name: str) -> list[dict[str, object]]:
    lists = DeviceLists(table)
    rows = lists.rows(name, lists.all()[name].head.generation)
    return sorted((row.to_json() for row in rows), key=str)


def test_an_import_says_how_many_cells_it_took_for_something_else_and_as_what(table: Table, run: Run) -> None:
    Path("r.csv").write_text('common_name\n="snr-1"\n"=""snr-2"""\nsubject=CN = snr-3\nsnr-4\n')
    result = run("lists", "import", "line-a", "r.csv", "--json")
    assert result.exit_code == 0, result.stderr
    said = ['read 2 cells of the form ="x" as x', "read 1 cell of the form subject=CN=x as x"]
    assert json.loads(result.stdout)["read_as"] == said
    assert all(f"r.csv: {each}" in result.stderr for each in said)
    assert [row["common_name"] for row in on_list(table, "line-a")] == ["snr-1", "snr-2", "snr-3", "snr-4"]


def test_an_import_of_decimal_serial_numbers_says_so_and_writes_what_it_said(table: Table, run: Run) -> None:
    Path("r.csv").write_text(f"serial_number,ca\n{10**38 + 3},factory-a\n")
    result = run("lists", "import", "line-a", "r.csv")
    assert "read 1 serial number of digits only as decimal: every one of them is digits only" in result.stderr
    assert on_list(table, "line-a") == [{"serial_number": f"{10**38 + 3:x}", "ca": "factory-a"}]


def test_a_row_that_is_added_is_read_as_the_cells_of_a_file_are_and_that_is_said(table: Table, run: Run) -> None:
    result = run("lists", "add", "line-a", 'common_name=="snr-1"')
    assert (result.exit_code, 'read 1 cell of the form ="x" as x' in result.stderr) == (0, True)
    assert run("lists", "add", "line-a", "serial_number:dec=4097", "ca=factory-a").exit_code == 0
    assert on_list(table, "line-a") == [{"common_name": "snr-1"}, {"serial_number": "1001", "ca": "factory-a"}]
    assert run("lists", "remove", "line-a", "serial_number:hex=1001", "ca=factory-a").exit_code == 0
    assert on_list(table, "line-a") == [{"common_name": "snr-1"}]


@pytest.mark.parametrize("value", ["#N/A", "=A1", "Total", "subject=O = x"])
def test_a_row_that_is_added_is_refused_for_the_same_damage(table: Table, run: Run, value: str) -> None:
    assert run("lists", "add", "line-a", f"common_name={value}").exit_code == 2
    assert DeviceLists(table).all() == {}


def test_an_import_that_was_begun_as_hex_does_not_go_on_as_decimal(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = DeviceFile("f", lambda: [b"serial_number,ca\n1001,f\n1002,f\n"])
    known = KnownSerials()
    monkeypatch.setattr(list_import, "known_serials", lambda _table: known)
    imports = list_edits.imports_into(table)
    decimal = imports.check("l", source, advance=lambda _bytes: None)
    known.add(("f",), "1001")
    as_hex = imports.check("l", source, advance=lambda _bytes: None)
    assert (decimal.serials.base, as_hex.serials.base) == (Base.DEC, Base.HEX)
    assert decimal.digest != as_hex.digest
