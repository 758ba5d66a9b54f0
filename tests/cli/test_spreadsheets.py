"""Spreadsheets as device lists: cells are told by their places, and digits that are lost are never guessed."""

import base64
import builtins
import csv
import datetime
import json
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import openpyxl
import pytest
from testkit.cli.command_line import Run
from testkit.manifests import SIGNER, Lot

from jitr.aws.dynamodb.table import Table
from jitr.devicelists.csv.sheets import letters
from jitr.services.lists.device_lists import DeviceLists
from jitr_operations.lists import spreadsheets

LOT = Lot()
KEY = "-----BEGIN PRIVATE KEY-----\nMIGHAgEA\n-----END PRIVATE KEY-----\n"


def workbook(*rows: list[Any], start: int = 1, name: str = "lot.xlsx", **more: list[list[Any]]) -> Path:
    """Save a workbook: rows of its first sheet, from a row on, and more sheets by their names."""
    made = openpyxl.Workbook()
    sheet: Any = made.active
    for number, row in enumerate(rows, start):
        for column, value in enumerate(row, 1):
            sheet.cell(number, column, value)
    for title, others in more.items():
        other = made.create_sheet(title)
        for row in others:
            other.append(row)
    made.save(name)
    return Path(name)


def on_list(table: Table) -> list[dict[str, Any]]:
    lists = DeviceLists(table)
    there = lists.all()
    if "line-a" not in there:
        return []
    return sorted((row.to_json() for row in lists.rows("line-a", there["line-a"].head.generation)), key=str)


def test_the_rows_of_a_spreadsheet_are_a_list(table: Table, run: Run) -> None:
    day = datetime.date(2026, 6, 30)
    workbook(
        ["common_name", "attr.batch", "expires", "note"], ["snr-1", 7, day, "on\nthe roof"], ["snr-2", 7.5, None, None]
    )
    done = run("lists", "import", "line-a", "lot.xlsx", "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["rows"] == 2
    first, second = on_list(table)
    assert (first["common_name"], first["attr.batch"], first["expires"]) == ("snr-1", "7", "2026-07-01T00:00:00Z")
    assert (second["common_name"], second["attr.batch"]) == ("snr-2", "7.5")


@pytest.mark.parametrize("number", [1001, 350000000000000, 3.5e14, 1.5])
@pytest.mark.parametrize("column", ["common_name", "serial_number:hex", "serial_number:dec"])
def test_a_number_is_no_key_of_a_device_and_its_cell_is_named(
    table: Table, run: Run, column: str, number: float
) -> None:
    serial = column.startswith("serial")
    workbook(["Pos", column, "ca" if serial else "note"], [1, "1f" if "hex" in column else "16", "f"], [2, number, "f"])
    refused = run("lists", "import", "line-a", "lot.xlsx", "--column", f"{column}={column}")
    assert refused.exit_code == 2
    assert "lot.xlsx: B3: the cell is a number, '" in refused.stderr
    assert "format the column as text, and enter it again" in refused.stderr
    assert on_list(table) == []


def test_a_date_is_no_key_of_a_device(table: Table, run: Run) -> None:
    workbook(["common_name"], [datetime.date(2026, 3, 1)])
    refused = run("lists", "import", "line-a", "lot.xlsx")
    assert "lot.xlsx: A2: the cell is no text: a spreadsheet made '2026-03-01' of it" in refused.stderr


def test_mistakes_are_told_by_cell_wherever_the_sheet_begins(table: Table, run: Run) -> None:
    workbook([None, "common_name", "expires"], [None, "snr-1", "30.06.2026"], [None, "snr-1", None], start=4)
    refused = run("lists", "import", "line-a", "lot.xlsx")
    assert refused.exit_code == 2
    assert "lot.xlsx: C5: expires: '30.06.2026' is a date as one country" in refused.stderr


def test_a_device_that_is_there_twice_is_told_by_cell(table: Table, run: Run) -> None:
    workbook(["common_name"], ["snr-1"], ["snr-1"])
    refused = run("lists", "import", "line-a", "lot.xlsx")
    assert "lot.xlsx: A3: common_name: 'snr-1' is on line 2 already" in refused.stderr


def test_serial_numbers_of_digits_only_are_not_guessed(table: Table, run: Run) -> None:
    workbook(["serial_number", "ca"], ["1001", "f"])
    refused = run("lists", "import", "line-a", "lot.xlsx")
    assert "lot.xlsx: A2: serial_number: '1001' may be hex or decimal" in refused.stderr
    done = run("lists", "import", "line-a", "lot.xlsx", "--column", "serial_number:dec=serial_number")
    assert done.exit_code == 0, done.stderr
    assert on_list(table) == [{"serial_number": "3e9", "ca": "f"}]


def test_columns_that_somebody_else_named_are_said_by_option(table: Table, run: Run) -> None:
    workbook(["Pos", "Serial No"], [1, "snr-1"])
    done = run("lists", "import", "line-a", "lot.xlsx", "--column", "common_name=Serial No")
    assert done.exit_code == 0, done.stderr
    assert on_list(table) == [{"common_name": "snr-1"}]


def test_of_several_sheets_one_is_named(table: Table, run: Run) -> None:
    workbook(["common_name"], ["snr-1"], Other=[["common_name"], ["snr-2"]])
    refused = run("lists", "import", "line-a", "lot.xlsx")
    assert (
        refused.exit_code,
        "lot.xlsx: it has several sheets: say which, with --sheet: Sheet, Other" in refused.stderr,
    ) == (
        2,
        True,
    )
    assert run("lists", "import", "line-a", "lot.xlsx", "--sheet", "Other").exit_code == 0
    assert on_list(table) == [{"common_name": "snr-2"}]
    refused = run("lists", "import", "line-a", "lot.xlsx", "--sheet", "other")
    assert (refused.exit_code, "lot.xlsx: there is no sheet 'other'; there are: Sheet, Other" in refused.stderr) == (
        2,
        True,
    )


def test_a_spreadsheet_of_another_kind_is_told_what_to_do(table: Table, run: Run) -> None:
    with ZipFile("lot.ods", "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
    Path("lot.xls").write_bytes(b"\xd0\xcf\x11\xe0" + bytes(1000))
    for name, told in (("lot.ods", "save it so, or as CSV UTF-8"), ("lot.xls", "an Excel workbook of the old kind")):
        refused = run("lists", "import", "line-a", name)
        assert (refused.exit_code, told in refused.stderr) == (2, True)


def test_a_row_far_beyond_any_is_not_waited_for(table: Table, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spreadsheets, "_MOST_ROWS", 1000)
    workbook(["common_name"], ["snr-1"])
    made = openpyxl.load_workbook("lot.xlsx")
    made.active.cell(1_000_000, 1, "snr-2")
    made.save("lot.xlsx")
    refused = run("lists", "import", "line-a", "lot.xlsx")
    assert (refused.exit_code, "it has more than 1,000 rows, or says so" in refused.stderr) == (2, True)


def test_a_sheet_that_is_hidden_is_not_taken_for_the_list(table: Table, run: Run) -> None:
    path = workbook(["common_name"], ["snr-1"], Hidden=[["common_name"], ["snr-2"]])
    made = openpyxl.load_workbook(path)
    made["Hidden"].sheet_state = "hidden"
    made.save(path)
    assert run("lists", "import", "line-a", "lot.xlsx").exit_code == 0
    assert on_list(table) == [{"common_name": "snr-1"}]


def test_an_empty_spreadsheet_is_refused(table: Table, run: Run) -> None:
    workbook()
    refused = run("lists", "import", "line-a", "lot.xlsx")
    assert (refused.exit_code, "there is nothing in it" in refused.stderr) == (2, True)


@pytest.mark.parametrize("cut", [40, 500, 2000])
def test_a_damaged_spreadsheet_is_bad_input(table: Table, run: Run, cut: int) -> None:
    path = workbook(["common_name"], ["snr-1"])
    path.write_bytes(path.read_bytes()[:cut])
    assert run("lists", "import", "line-a", "lot.xlsx").exit_code == 2


def test_a_file_in_a_spreadsheet_that_is_damaged_is_bad_input(table: Table, run: Run) -> None:
    path = workbook(["common_name"], ["snr-1"])
    with ZipFile(path) as archive:
        files = {each: archive.read(each) for each in archive.namelist()}
    for name in files:
        for damage in (b"", b"<", files[name][: len(files[name]) // 2], files[name].replace(b"1", b"99999999999")):
            with ZipFile(path, "w") as archive:
                for each, data in files.items():
                    archive.writestr(each, damage if each == name else data)
            done = run("lists", "import", "line-b", "lot.xlsx")
            assert done.exit_code in (0, 2), (name, damage, done.output)
            assert "bug in jitr" not in done.stderr


def test_a_spreadsheet_that_becomes_too_large_is_not_read(
    table: Table, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = workbook(["common_name"], ["snr-1"])
    with ZipFile(path, "a", ZIP_DEFLATED) as archive:
        archive.writestr("xl/media/bomb", bytes(2_000_000))
    monkeypatch.setattr(spreadsheets, "_MOST_UNPACKED", 1_000_000)
    refused = run("lists", "import", "line-a", "lot.xlsx")
    assert (refused.exit_code, "becomes too large to be read" in refused.stderr) == (2, True)


def test_without_the_extra_it_is_said_how_to_get_it(table: Table, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: Any, **named: Any) -> Any:
        if name == "openpyxl":
            raise ImportError(name)
        return real(name, *arguments, **named)

    workbook(["common_name"], ["snr-1"])
    monkeypatch.setattr(builtins, "__import__", without)
    refused = run("lists", "import", "line-a", "lot.xlsx")
    monkeypatch.undo()
    assert (refused.exit_code, "pip install 'jitr[spreadsheets]'" in refused.stderr) == (2, True)


@pytest.mark.parametrize(("number", "name"), [(1, "A"), (26, "Z"), (27, "AA"), (52, "AZ"), (702, "ZZ"), (703, "AAA")])
def test_columns_are_called_as_a_spreadsheet_calls_them(number: int, name: str) -> None:
    assert letters(number) == name


@pytest.mark.parametrize("written", ["PEM", "base64"])
def test_certificates_in_cells_are_read_as_those_of_csv(table: Table, run: Run, written: str) -> None:
    """With what stands beside them, and the same rows whether the table is a spreadsheet or CSV."""
    made = [LOT.certificate(number) for number in range(3)]
    cells = [each.pem.decode() if written == "PEM" else base64.b64encode(each.der).decode() for each in made]
    rows: list[list[Any]] = [["Serial No", "attr.lot", "Certificate"], *([7, "17", cell] for cell in cells)]
    workbook(*rows)
    with Path("lot.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    done = run("lists", "import", "line-a", "lot.xlsx")
    assert done.exit_code == 0, done.stderr
    assert "read as a spreadsheet with a certificate in a cell of each row" in done.stderr
    assert "columns that are left out: 'Serial No'" in done.stderr
    of_sheet = [{**each, "note": None} for each in on_list(table)]
    assert run("lists", "import", "line-a", "lot.csv", "--replace", "--yes").exit_code == 0
    assert [{**each, "note": None} for each in on_list(table)] == of_sheet
    assert {each["attr.lot"] for each in of_sheet} == {"17"}
    assert len({each["public_key_sha256"] for each in of_sheet}) == 3


def test_a_certificate_that_is_none_is_told_with_its_row(table: Table, run: Run) -> None:
    pem = LOT.certificate(1).pem.decode()
    workbook(["attr.lot", "Certificate"], ["17", pem], ["17", pem.replace("MII", "AII")], ["17", KEY])
    done = run("lists", "import", "line-a", "lot.xlsx")
    assert done.exit_code == 2
    assert "lot.xlsx: row 3: " in done.stderr
    assert "lot.xlsx: row 4: it has a private key in it" in done.stderr
    assert on_list(table) == []


def test_a_table_of_espressif_s_in_a_spreadsheet_is_one(table: Table, run: Run) -> None:
    device = LOT.certificate(1)
    workbook(["MAC", "cn", "cert"], ["0123456789AB", f"sn{LOT.unique_id(1).upper()}", device.pem.decode()])
    done = run("lists", "import", "line-a", "lot.xlsx")
    assert done.exit_code == 0, done.stderr
    assert [each["attr.mac"] for each in on_list(table)] == ["0123456789AB"]


@pytest.mark.parametrize(
    ("option", "says"),
    [
        (("--from", "espressif"), "this spreadsheet is not what --from espressif reads"),
        (("--thing-name", "{cn}"), "it is CSV with columns of its own"),
        (("--signer", "signer.pem"), "--signer is for signed manifests"),
    ],
)
def test_a_spreadsheet_is_refused_with_an_option_that_is_not_for_it(
    table: Table, run: Run, option: tuple[str, ...], says: str
) -> None:
    Path("signer.pem").write_bytes(SIGNER.pem)
    workbook(["common_name"], ["snr-1"])
    done = run("lists", "import", "line-a", "lot.xlsx", *option)
    assert (done.exit_code, says in done.stderr) == (2, True), done.stderr
