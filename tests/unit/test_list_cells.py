"""What cells stand for: each is taken for what it certainly means, and that is said, or is an error with its place."""

import hashlib
from collections.abc import Iterator

import pytest

from jitr.devicelists.csv.reader import ListError, Reader, read_list, serials_in, write_rows
from jitr.devicelists.csv.serials import Base, KnownSerials, SerialColumn, judge, look
from jitr.devicelists.rows import COLUMNS, ListRow

SHA = "0a" * 32
D39 = (177860565322912551485094850643435652321, 284535634410917533937726757688444911587)


def reading(text: str) -> tuple[list[ListRow], Reader]:
    data = text.encode()
    reader = Reader([data], source="f", serials=lambda: serials_in(lambda: [data]))
    return [each.row for each in reader], reader


def quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"'


@pytest.mark.parametrize(
    ("column", "cell", "value", "form"),
    [
        ("common_name", '="snr-0001"', "snr-0001", '="x"'),
        ("common_name", '= "snr-0001"', "snr-0001", '="x"'),
        ("common_name", '="740000000000"', "740000000000", '="x"'),
        ("common_name", "subject=CN = snr-0001", "snr-0001", "subject=CN=x"),
        ("common_name", "subject=CN=snr-0001", "snr-0001", "subject=CN=x"),
        ("common_name", "subject= /O=Acme/CN=snr-0001", "snr-0001", "subject=CN=x"),
        ("common_name", "Subject: C=DE, O=Acme, CN=snr-0001", "snr-0001", "subject=CN=x"),
        ("common_name", 'subject=O = "Acme, Inc.", CN = snr-0001', "snr-0001", "subject=CN=x"),
        ("common_name", "CN=snr-0001,O=Acme\\, Inc.,C=DE", "snr-0001", "CN=x"),
        ("common_name", "cn=snr-0001", "snr-0001", "CN=x"),
        ("common_name", "/CN=snr-0001", "snr-0001", "CN=x"),
        ("common_name", "2.5.4.3=snr-0001+C=DE", "snr-0001", "CN=x"),
        ("serial_number", "serial=1F03", "1f03", "serial=x"),
        ("serial_number", "serial=1003", "1003", "serial=x"),
        ("serial_number", "serial=-1F", "-1f", "serial=x"),
        ("serial_number", "Serial Number: (Negative)10:03", "-1003", "serial=x"),
        ("serial_number", "Serial Number: 4098 (0x1002)", "1002", "10 (0xA)"),
        ("serial_number", '="1f03"', "1f03", '="x"'),
        ("certificate_sha256", f"SHA256(stdin)= {SHA}", SHA, "SHA256=x"),
        ("certificate_sha256", f"SHA2-256(stdin)= {SHA}", SHA, "SHA256=x"),
        ("certificate_sha256", "sha256 Fingerprint=" + ":".join(["0A"] * 32), SHA, "SHA256=x"),
        ("public_key_sha256", f"(stdin)= {SHA}", SHA, "SHA256=x"),
        ("public_key_sha256", f"{SHA}  -", SHA, "x FILE"),
        ("certificate_sha256", f"arn:aws:iot:eu-central-1:123456789012:cert/{SHA}", SHA, "arn:…:cert/x"),
        ("thing_name", '="pump-1"', "pump-1", '="x"'),
        ("note", '="on the roof"', "on the roof", '="x"'),
    ],
)
def test_a_cell_that_certainly_means_a_value_is_taken_for_it_and_that_is_said(
    column: str, cell: str, value: str, form: str
) -> None:
    key, sha = ("certificate_sha256", "0b" * 32) if column != "certificate_sha256" else ("common_name", "snr-9")
    ca = ",ca" if column == "serial_number" else ""
    (row,), reader = reading(f"{key},{column}{ca}\n{sha},{quoted(cell)}{ca and ',factory-a'}\n")
    assert row.to_json()[column] == value
    assert reader.said == (f"read 1 cell of the form {form} as x",)


@pytest.mark.parametrize(
    "cell",
    [
        "=CONCATENATE(A1;B1)", "=A1", '="a"&"b"', '="', "#N/A", "#NAME?", "#REF!", "#VALUE!", "#DIV/0!", "#NV",
        "#BEZUG!", "########", "Err:502", "740000000000.00", "740,000,000,000", "1'000'000", "7.4E+11", "NULL", "null",
        "None", "NaN", "n/a", "\\N", "-", "--", "?", "Total", "total:", "Grand Total", "Total: 5000", "Summe",
        "5000 rows", "(5,000 rows affected)", "common_name", "# recalled in March", "----------", "03/01/2026",
        "1.3.2026", "01-Mar", "Mar-26", "1-Mrz", "DNS:snr-0001", "CN: snr-0001", '{"S":"snr-0001"}', "<td>snr</td>",
        "snr&amp;1", '"snr-0001"', "arn:aws:iot:eu-central-1:123456789012:thing/x", "GrÃ¶ÃŸe", "snr-\ufffd",
        "issuer=CN = factory", "O=Acme", "CN=a,CN=b", "subject=O = Acme", "CN=Acme, Inc.", 'CN="a"', "CN=", "/CN=a/b",
        "CN=a\\,b", "subject=snr-0001",
    ],
)  # fmt: skip
def test_a_cell_that_is_certainly_no_common_name_is_an_error_with_its_place_and_a_way_to_insist(cell: str) -> None:
    with pytest.raises(ListError) as caught:
        read_list(f"note,common_name\nx,{quoted(cell)}\n".encode(), "f")
    (problem,) = caught.value.problems
    assert (problem.line, problem.column) == (2, 2)
    record = "".join(write_rows([ListRow(common_name=cell)]))
    if "\ufffd" not in cell:
        assert record.splitlines()[1].lstrip('"').startswith("'")
    assert read_list(record.encode(), "f") == (ListRow(common_name=cell),), "an apostrophe says that it is so"


@pytest.mark.parametrize("cell", ["1f03\n1f04", "1f03 \r\n 1f04"])
def test_a_line_break_between_the_digits_of_a_serial_number_is_an_error(cell: str) -> None:
    with pytest.raises(ListError) as caught:
        read_list(f'serial_number:hex,ca\n"{cell}",f\n'.encode(), "f")
    assert "has a line break between digits: give each serial number a row of its own" in str(caught.value)


def test_serial_numbers_in_groups_are_read_as_one_and_that_is_said_but_for_octets() -> None:
    _, reader = reading("serial_number:hex,ca\n1f03 1f04,f\n1f 05,f\n1f06 1f07 1f08,f\n")
    assert reader.said == (
        "read 2 serial numbers with blanks as one number each (first line 2, '1f03 1f04'): "
        "if a cell has several, give each a row of its own",
    )


@pytest.mark.parametrize("alias", ["NA", "null", "none", "ca", "NaN"])
def test_a_ca_that_is_called_as_a_word_for_nothing_is_exported_so_that_it_imports_back(alias: str) -> None:
    row = ListRow(serial_number="1f", ca=alias)
    assert read_list("".join(write_rows([row])).encode(), "f") == (row,)


@pytest.mark.parametrize("cell", ["=A1", "#N/A", "#REF!", "########"])
@pytest.mark.parametrize("column", [*(each for each in COLUMNS if each not in ("ca", "common_name")), "attr.x"])
def test_formulas_and_a_spreadsheets_errors_are_errors_in_every_column(column: str, cell: str) -> None:
    key = "common_name" if column != "serial_number" else "common_name,ca"
    values = "snr-1" if column != "serial_number" else "snr-1,f"
    with pytest.raises(ListError) as caught:
        read_list(f"{column},{key}\n{cell},{values}\n".encode(), "f")
    assert [(each.line, each.column) for each in caught.value.problems] == [(2, 1)]


@pytest.mark.parametrize(
    "name",
    ["snr-0001", "Pump A=3", "a=b", "10.0.0.1", "aa:bb:cc:dd:ee:ff", "12:34:56", "urn:dev:1", "2026-03-01", "T-1000",
     "Sum-1", "a/b", "pump, 7", "größe-1", "café №5", "1.10", "snr#1", "x&y", "-17", "Total-5"],
)  # fmt: skip
def test_a_name_that_only_looks_unusual_is_a_name(name: str) -> None:
    rows, reader = reading(f"common_name\n{quoted(name)}\n")
    assert [each.common_name for each in rows] == [name]
    assert (reader.said, reader.problems) == ((), [])


def test_a_row_that_repeats_the_header_is_told() -> None:
    with pytest.raises(ListError, match="the name of the column: is the header in the file twice"):
        read_list(b"common_name,note\nsnr-1,x\ncommon_name,note\n", "f")


def test_numbers_that_all_end_in_zeros_where_a_spreadsheet_knows_no_more_digits_are_an_error() -> None:
    with pytest.raises(ListError) as caught:
        read_list(b"note,common_name\n,8949020000001230000\n,8949020000005670000\n", "f")
    assert str(caught.value).startswith("f:2:2: common_name: '8949020000001230000': a spreadsheet turned this into")
    assert len(read_list(b"common_name\n8949020000001230000\n8949020000005678123\n", "f")) == 2
    assert len(read_list(b"common_name\n'8949020000001230000\n'8949020000005670000\n", "f")) == 2


# --- what a spreadsheet does to an export


@pytest.mark.parametrize("header", ["serial_number,ca", "serial_number:dec,ca", "serial_number:hex,ca"])
@pytest.mark.parametrize(
    "cells", [("724958632361994000", "824958632361994000"), ("724958632361994" + "0" * 15,)], ids=["two", "one long"]
)
def test_serial_numbers_that_a_spreadsheet_cut_are_an_error_however_they_are_read(
    header: str, cells: tuple[str, ...]
) -> None:
    """A recall by such numbers would keep nobody out; an apostrophe before one says that it is so."""
    with pytest.raises(ListError) as caught:
        reading("\n".join([header, *(f"{each},f" for each in cells), ""]))[1].raise_problems()
    assert {(each.line, each.column) for each in caught.value.problems} == {(2, 1)}
    assert "floating-point" in str(caught.value)
    insisted, reader = reading("\n".join([header, *(f"'{each},f" for each in cells), ""]))
    assert (len(insisted), reader.problem_count) == (len(cells), 0)


@pytest.mark.parametrize(
    "name",
    ["740000000000", "0012", "1e5", "1E5", "3-1", "1/2", "10:30", "1.10", "TRUE", "true", "MAR1", "Sept-2", "1 Jan",
     "50%", "€5", "12,5", "2026-03-01", "123456789012345678"],
)  # fmt: skip
def test_no_cell_of_an_export_is_turned_into_another_value_by_a_spreadsheet(name: str) -> None:
    row = ListRow(common_name=name, note=name, attributes={"x": name})
    header, record = write_rows([row])
    assert record.rstrip().replace('"', "") == f"'{name},'{name},'{name}"
    assert read_list((header + record).encode(), "f") == (row,)


def test_an_export_says_that_its_serial_numbers_are_hex_and_keeps_them_from_a_spreadsheet() -> None:
    rows = (
        ListRow(serial_number="1001", ca="f"),
        ListRow(serial_number="1e5", ca="f"),
        ListRow(serial_number="9" * 20, ca="f"),
    )
    text = "".join(write_rows(rows))
    assert text == f"serial_number:hex,ca\r\n1001,f\r\n'1e5,f\r\n'{'9' * 20},f\r\n"
    assert read_list(text.encode(), "f") == rows


# --- serial numbers, hex or decimal


def serials(*cells: str, ca: str = "f", known: KnownSerials | None = None) -> tuple[list[str | None], Reader]:
    data = ("serial_number,ca\n" + "".join(f"{each},{ca}\n" for each in cells)).encode()
    reader = Reader([data], source="f", serials=lambda: serials_in(lambda: [data], lambda: known or KnownSerials()))
    return [each.row.serial_number for each in reader], reader


def test_serial_numbers_of_digits_only_all_over_a_file_are_decimal_and_that_is_said() -> None:
    found, reader = serials(*map(str, D39))
    assert found == [f"{each:x}" for each in D39]
    assert reader.said == (
        "read 2 serial numbers of digits only as decimal: every one of them is digits only "
        "(if that is wrong, name the column serial_number:hex)",
    )


def test_one_cell_that_can_only_be_hex_makes_the_column_hex_and_that_is_said() -> None:
    found, reader = serials("1001", "1002", "10:03", "5")
    assert found == ["1001", "1002", "1003", "5"]
    assert reader.said == (
        "read 2 serial numbers of digits only as hex: others in the column have hex digits or are written as hex "
        "(if that is wrong, name the column serial_number:dec)",
    )


def test_more_digits_than_hex_can_have_are_decimal() -> None:
    number = 461501637330902918203684832716283019655932542976
    found, reader = serials("1001", str(number))
    assert found == ["3e9", f"{number:x}"]
    assert "some have more than 40 digits" in reader.said[0]


def test_a_long_decimal_among_hex_is_told_as_probably_decimal() -> None:
    _, reader = serials("1f03", "4" * 48)
    assert [each.message for each in reader.problems] == [
        "48 hex digits: a serial number has at most 40 (RFC 5280); is it decimal? "
        "Then name the column serial_number:dec"
    ]


@pytest.mark.parametrize(("of_device", "base"), [("1001", Base.HEX), ("3e9", Base.DEC)])
def test_the_devices_on_record_tell_how_digits_are_read(of_device: str, base: Base) -> None:
    known = KnownSerials()
    known.add(("f", "0" * 64), of_device)
    found, reader = serials("1001", "2002", known=known)
    assert found == (["1001", "2002"] if base is Base.HEX else ["3e9", "7d2"])
    assert "so one is a device on record" in reader.said[0]


def test_devices_of_another_ca_tell_nothing() -> None:
    known = KnownSerials()
    known.add(("g",), "1001")
    assert serials("1001", known=known)[0] == ["3e9"]


def test_where_devices_fit_either_reading_every_such_cell_is_an_error() -> None:
    known = KnownSerials()
    known.add(("f",), "1001")
    known.add(("f",), "7d2")
    found, reader = serials("1001", "2002", "7", known=known)
    assert found == ["7"]
    assert [(each.line, each.column) for each in reader.problems] == [(2, 1), (3, 1)]
    assert "may be hex or decimal: name the column serial_number:hex or serial_number:dec" in reader.problems[0].message


def test_the_length_of_the_cas_other_serial_numbers_tells_how_digits_are_read() -> None:
    known = KnownSerials()
    known.add(("f",), "85cf" * 8)
    looked = SerialColumn(None, sample=(("f", str(D39[0])),))
    assert judge(looked, known).base is Base.DEC
    assert judge(SerialColumn(None, sample=(("f", "1234567890123456" * 2),)), known).base is Base.HEX


def test_a_column_is_read_only_up_to_the_first_cell_that_is_surely_hex() -> None:
    def pieces() -> list[bytes]:
        return [b"serial_number,ca\n1001,f\n1f03,f\n", *[b"1002,f\n"] * 3]

    read = 0

    def counted() -> Iterator[bytes]:
        nonlocal read
        for each in pieces():
            read += 1
            yield each

    assert look(counted).base is Base.HEX
    assert read <= 2


def test_a_column_that_says_its_type_twice_or_a_type_that_there_is_not_is_told() -> None:
    with pytest.raises(ListError, match="the column is there twice"):
        read_list(b"serial_number:hex,serial_number,ca\n1,1,f\n", "f")
    with pytest.raises(ListError, match=r"it is serial_number:hex or serial_number:dec"):
        read_list(b"serial_number:oct,ca\n1,f\n", "f")
    with pytest.raises(ListError, match=r"did you mean serial_number:dec\?"):
        read_list(b"Serial:dec,ca\n1,f\n", "f")


@pytest.mark.parametrize("column", ["certificate_sha256", "public_key_sha256", "ca"])
@pytest.mark.parametrize(
    ("digest", "told"),
    [
        (hashlib.sha256(b"").hexdigest(), "e3b0c442…b855 is the SHA-256 of nothing: the command before the hash"),
        (hashlib.sha256(b"\n").hexdigest(), "is the SHA-256 of an empty line"),
        ("0" * 64, "is 64 zeros"),
        ("F" * 64, "is 64 times f"),
    ],
)
def test_a_digest_of_nothing_is_an_error_with_its_place_however_it_is_written(
    column: str, digest: str, told: str
) -> None:
    colons = ":".join(digest[place : place + 2] for place in range(0, 64, 2))
    written = [digest, colons, f'="{digest}"']
    if column != "ca":
        written.append(f"SHA2-256(stdin)= {digest}")
    for cell in written:
        with pytest.raises(ListError) as error:
            read_list(f"serial_number:hex,{column}{',ca' * (column != 'ca')}\n,{quoted(cell)}\n".encode(), "f")
        problem = error.value.problems[0]
        assert (problem.line, problem.column, told in problem.message) == (2, 2, True), problem


@pytest.mark.parametrize(
    ("name", "cell"),
    [("x;=1+1", "'x;'=1+1"), ("x;'=1", "'x;''=1"), ("a| @b;-1", "'a| '@b;'-1"), ("=1;=2", "'=1;'=2"), ("x;1", "x;1")],
)
def test_no_cell_begins_a_formula_where_a_spreadsheet_splits_at_another_separator(name: str, cell: str) -> None:
    record = "".join(write_rows([ListRow(common_name=name)]))
    assert record == f"common_name\r\n{cell}\r\n"
    assert read_list(record.encode(), "f") == (ListRow(common_name=name),)
