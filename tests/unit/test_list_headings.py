"""CSV whose columns somebody else named: a person says which they are, and the others are left out."""

import pytest

from jitr.devicelists.csv.duplicates import Duplicates
from jitr.devicelists.csv.reader import Reader, serials_in
from jitr.devicelists.rows import ListRow

FACTORY = "Pos;Serial No;Tested by;Lot\n1;snr-1;Ann;7\n2;snr-2;Bob;8\n"


def reader(text: str, **headings: str) -> Reader:
    named = {heading: column for column, heading in headings.items()}
    data = text.encode()
    return Reader(
        [data],
        source="f.csv",
        duplicates=Duplicates(),
        serials=lambda: serials_in(lambda: [data], headings=named),
        headings=named,
    )


def read(text: str, **headings: str) -> list[ListRow]:
    made = reader(text, **headings)
    found = [each.row for each in made]
    made.raise_problems()
    return found


def test_a_column_is_what_it_is_said_to_be_and_others_are_left_out_and_named() -> None:
    made = reader(FACTORY, common_name="Serial No")
    assert [each.row for each in made] == [ListRow(common_name="snr-1"), ListRow(common_name="snr-2")]
    assert made.said == ("3 columns are left out, for which no --column is given: 'Pos', 'Tested by', 'Lot'",)


def test_attributes_are_named_too() -> None:
    (first, _) = read(FACTORY, **{"common_name": "Serial No", "attr.lot": "Lot"})
    assert first == ListRow(common_name="snr-1", attributes={"lot": "7"})


def test_a_column_that_has_its_own_name_keeps_it() -> None:
    (row,) = read("Serial No,note,other\nsnr-1,on the roof,x\n", common_name="Serial No")
    assert row == ListRow(common_name="snr-1", note="on the roof")


def test_a_column_of_that_name_is_left_out_where_another_is_said_to_be_it() -> None:
    (row,) = read("common_name,Serial No\nwrong,snr-1\n", common_name="Serial No")
    assert row == ListRow(common_name="snr-1")


def test_a_heading_that_is_not_there_is_told_with_the_nearest() -> None:
    made = reader(FACTORY, common_name="Serial no.")
    assert list(made) == []
    assert made.problems[0].at("f.csv") == (
        "f.csv:1:1: --column common_name: no column is called 'Serial no.': did you mean 'Serial No'?"
    )


def test_a_problem_is_told_with_the_column_s_place_in_the_file() -> None:
    made = reader("Pos;Serial No\n1;7.4E+11\n", common_name="Serial No")
    list(made)
    assert made.problems[0].at("f.csv").startswith("f.csv:2:2: common_name: '7.4E+11'")


def test_what_is_in_left_out_columns_is_no_mistake_whatever_it_is() -> None:
    assert len(read('A;B;C\n#N/A;snr-1;"=1+1"\nNULL;snr-2;\n', common_name="B")) == 2


def test_a_cell_beyond_the_header_is_a_mistake_all_the_same() -> None:
    made = reader("A;B\n1;snr-1;stray\n", common_name="B")
    list(made)
    assert "'stray' is under no column name" in made.problems[0].message


@pytest.mark.parametrize(("column", "expected"), [("serial_number", "1001"), ("serial_number:dec", "3e9")])
def test_serial_numbers_are_read_as_in_a_column_of_that_name(column: str, expected: str) -> None:
    (row, *_) = read("SN,CA\n1001,f\n1f,f\n" if ":" not in column else "SN,CA\n1001,f\n", **{column: "SN", "ca": "CA"})
    assert row.serial_number == expected
