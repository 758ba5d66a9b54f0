"""Device lists as CSV: which files are read, what each wrong one is told, and that an export imports back."""

import io
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from testkit import pki

from jitr.devicelists.columns import ColumnFault
from jitr.devicelists.csv.duplicates import Duplicates, KeyLog
from jitr.devicelists.csv.reader import SHOWN, ListError, ListProblem, Reader, read_list, write_rows
from jitr.devicelists.csv.records import MAX_LINE, MAX_ROW, BadCsvRecord, CsvRecord, read_records
from jitr.devicelists.manifests.opening import Opener
from jitr.devicelists.manifests.reading import Options
from jitr.devicelists.rows import COLUMNS, ListRow, RowKey
from jitr.devicelists.values import read_row
from jitr.errors import InputError
from jitr.x509.certificate import read_certificate

SHA = "0a" * 32
OTHER_SHA = "0b" * 32
DOCS = Path(__file__).parents[2] / "docs" / "lists.md"


def read(text: str) -> tuple[ListRow, ...]:
    return read_list(text.encode(), "list.csv")


def names(text: str) -> list[str | None]:
    return [row.common_name for row in read(text)]


def problems(text: str | bytes) -> list[str]:
    """Every problem as it is shown, without the file's name."""
    data = text.encode() if isinstance(text, str) else text
    with pytest.raises(ListError) as caught:
        read_list(data, "f")
    return [line.removeprefix("f:") for line in str(caught.value).splitlines()]


def only_problem(text: str | bytes) -> str:
    (problem,) = problems(text)
    return problem


# --- what is read


def test_every_column_is_read() -> None:
    (row,) = read(
        "common_name,serial_number,ca,certificate_sha256,public_key_sha256,thing_name,expires,note,attr.batch\n"
        f"snr-0001,1a2b,factory-a,{SHA},{OTHER_SHA},thing:1,2026-06-30T12:00:00Z,on the roof,7\n"
    )
    assert row == ListRow(
        common_name="snr-0001",
        serial_number="1a2b",
        ca="factory-a",
        certificate_sha256=SHA,
        public_key_sha256=OTHER_SHA,
        thing_name="thing:1",
        expires=datetime(2026, 6, 30, 12, tzinfo=UTC),
        note="on the roof",
        attributes={"batch": "7"},
    )


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("public_key_sha256", f"public_key_sha256\n{SHA}\n"),
        ("certificate_sha256", f"certificate_sha256\n{SHA}\n"),
        ("serial_number", "serial_number,ca\n1001,factory-a\n"),
        ("common_name", "common_name\nsnr-0001\n"),
    ],
)
def test_any_one_kind_of_key_is_enough(kind: str, text: str) -> None:
    (row,) = read(text)
    assert [key.kind for key in row.found_by()] == [kind]


def test_columns_come_in_any_order_and_empty_cells_are_absent_values() -> None:
    assert read("note,attr.x,common_name\n,,snr-1\nhello,7,snr-2\n") == (
        ListRow(common_name="snr-1"),
        ListRow(common_name="snr-2", note="hello", attributes={"x": "7"}),
    )


def test_a_list_without_rows_is_a_list() -> None:
    assert read("common_name,note\n") == ()


def test_case_matters_in_names() -> None:
    assert names("common_name\nSNR-1\nsnr-1\n") == ["SNR-1", "snr-1"]


# --- spreadsheet habits


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_encodings_line_ends_and_separators_are_found(encoding: str, newline: str, separator: str) -> None:
    lines = (separator.join(cells) for cells in (["common_name", "note"], ["größe-1", "x"], ["b", "y"]))
    data = newline.join(lines).encode(encoding)
    assert [row.common_name for row in read_list(data, "f")] == ["größe-1", "b"]


def test_utf_16_big_endian_with_a_byte_order_mark_is_read() -> None:
    data = b"\xfe\xff" + "common_name\nsnr-1\n".encode("utf-16-be")
    assert read_list(data, "f") == (ListRow(common_name="snr-1"),)


@pytest.mark.parametrize("first", ["sep=;", "SEP=;", '"sep=;"'])
def test_a_sep_line_names_the_separator(first: str) -> None:
    assert names(f"{first}\r\ncommon_name;note\r\na,b;c\r\n") == ["a,b"]


def test_the_rows_follow_the_header_in_a_space_after_the_separator() -> None:
    assert read('common_name, note, attr.x\nsnr-1, "a, b", 7\n') == (
        ListRow(common_name="snr-1", note="a, b", attributes={"x": "7"}),
    )


def test_quoted_cells_hold_separators_and_quotes() -> None:
    assert names('common_name,note\n"snr, ""1""",x\n') == ['snr, "1"']


def test_blank_lines_rows_of_separators_and_trailing_empty_columns_are_nothing() -> None:
    assert names("\n \ncommon_name,note,,\n\n,,,\nsnr-1,x,,\n\u00a0,,\nsnr-2\nsnr-3,y,,,,,\n") == [
        "snr-1",
        "snr-2",
        "snr-3",
    ]


def test_a_line_break_in_a_note_becomes_a_blank() -> None:
    assert read('common_name,note\nsnr-1,"on the roof\nof hall 3"\n')[0].note == "on the roof of hall 3"


def test_the_lines_of_problems_count_the_line_breaks_in_quoted_cells() -> None:
    assert only_problem('common_name,note\r\nsnr-1,"a\r\nb\r\nc"\r\n\r\nsnr-2,x,y\r\n').startswith("6:3: ")


@pytest.mark.parametrize(
    "written", ["1a2b", "1A2B", "0x1A2B", "1a:2B", "00:1a:2b", "1a 2b", " 1a2b ", "\u00a01a2b", "'1a2b", "' 0X1a2b"]
)
def test_a_serial_number_is_hex_however_written(written: str) -> None:
    assert read(f"serial_number,ca\n{written},factory-a\n")[0].serial_number == "1a2b"


@pytest.mark.parametrize(
    ("written", "read_as"),
    [("0", "0"), ("-0", "0"), ("-1f", "-1f"), ("'-1F", "-1f"), ("-0x001f", "-1f"), ("(Negative)1f:a0", "-1fa0")],
)
def test_a_serial_number_may_be_zero_or_negative_as_openssl_prints_it(written: str, read_as: str) -> None:
    """RFC 5280 section 4.1.2.2: users are to be ready for both. A cell is written that reads the same."""
    (row,) = read(f"serial_number,ca\n{written},factory-a\n")
    assert row.serial_number == read_as
    assert read("".join(write_rows([row]))) == (row,)


@pytest.mark.parametrize(
    ("column", "written", "read_as"),
    [
        ("serial_number", "0", "0"),
        ("serial_number", "000", "0"),
        ("serial_number", "007", "7"),
        ("serial_number", "1e5", "1e5"),
        ("serial_number:hex", "10", "10"),
        ("serial_number:hex", "0010", "10"),
        ("serial_number:dec", "10", "a"),
        ("serial_number:dec", "0010", "a"),
        ("serial_number:dec", "'10", "a"),
        ("serial_number:dec", "-10", "-a"),
        ("serial_number:hex", "-10", "-10"),
        ("serial_number:dec", '"=""10"""', "a"),
        ("serial_number:dec", str(2**160 - 1), "f" * 40),
        ("serial_number:hex", "4098 (0x1002)", "1002"),
    ],
)
def test_a_column_says_by_its_type_whether_its_digits_are_hex_or_decimal(
    column: str, written: str, read_as: str
) -> None:
    assert read(f"{column},ca\n{written},factory-a\n")[0].serial_number == read_as


def test_a_sha_256_is_hex_however_written_and_keeps_its_zeros() -> None:
    written = ":".join(["0A"] * 32)
    assert read(f"certificate_sha256\n{written}\n")[0].certificate_sha256 == SHA


def test_a_ca_is_an_alias_or_a_ca_certificate_id_in_lower_case() -> None:
    assert read(f"serial_number,ca\n1, Factory-A \n1,{SHA.upper()}\n") == (
        ListRow(serial_number="1", ca="Factory-A"),
        ListRow(serial_number="1", ca=SHA),
    )


@pytest.mark.parametrize(
    ("written", "absent_from"),
    [
        ("2026-06-30", datetime(2026, 7, 1, tzinfo=UTC)),
        (" 2026-06-30 ", datetime(2026, 7, 1, tzinfo=UTC)),
        ("'2026-06-30", datetime(2026, 7, 1, tzinfo=UTC)),
        ("2026-06-30T12:00:00Z", datetime(2026, 6, 30, 12, tzinfo=UTC)),
        ("2026-06-30t12:00:00z", datetime(2026, 6, 30, 12, tzinfo=UTC)),
        ("2026-06-30 12:00:00+02:00", datetime(2026, 6, 30, 10, tzinfo=UTC)),
        ("2026-06-30T12:00:00.1Z", datetime(2026, 6, 30, 12, 0, 0, 100_000, tzinfo=UTC)),
        ("2026-06-30T12:00:00.123456789Z", datetime(2026, 6, 30, 12, 0, 0, 123_000, tzinfo=UTC)),
        ("9999-12-31", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_a_day_is_the_last_on_which_a_row_counts_and_a_time_the_first_at_which_it_does_not(
    written: str, absent_from: datetime
) -> None:
    assert read(f"common_name,expires\nsnr-1,{written}\n")[0].expires == absent_from


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        ("'=cmd", "=cmd"),
        ("'-1", "-1"),
        ("''tHooft", "'tHooft"),
        ("''=cmd", "'=cmd"),
        ("' snr-1", " snr-1"),
        ("'snr-1 ", "snr-1 "),
        ("'7.4E+11", "7.4E+11"),
        ("'“snr-1”", "“snr-1”"),
        ("7E11", "7E11"),
    ],
)
def test_an_apostrophe_says_that_a_name_is_meant_as_it_stands(cell: str, name: str) -> None:
    assert names(f"common_name\n{cell}\n") == [name]


def test_an_attribute_may_be_a_decimal_number_and_blanks_around_it_do_not_count() -> None:
    assert read("common_name,attr.hw\nsnr-1, 1.0 \n")[0].attributes == {"hw": "1.0"}


# --- problems of single values, with their line and column


_FLOATED = "floating-point number; digits are lost: format the column as text and export again"


@pytest.mark.parametrize(
    ("column", "cell", "message"),
    [
        (
            "common_name",
            " snr-1",
            r"' snr-1' has blanks around it: take them away; if it is really so, put an apostrophe",
        ),
        ("common_name", "snr-1 ", r"'snr-1 ' has blanks around it"),
        ("common_name", "snr-1\u00a0", r"'snr-1\\xa0' has blanks around it"),
        ("common_name", "“snr-1”", r"'“snr-1”' has typographic quotes around it: take them away"),
        ("common_name", "'snr-1", r"""\"'snr-1\" begins with an apostrophe: take it away, or write two"""),
        ("common_name", "7.4E+11", rf"'7.4E\+11': a spreadsheet turned this into a {_FLOATED}"),
        ("common_name", "snr\u200b-1", r"contains U\+200B, which is invisible: take it away"),
        ("common_name", "snr\x1b[31m", r"'snr\\x1b\[31m' contains U\+001B, which is a control character"),
        ("common_name", "snr\x00", r"contains U\+0000, which is a control character"),
        ("common_name", "snr\u2028x", r"contains U\+2028, which is a line break"),
        ("common_name", "snr-1\ufe0f", r"^'snr-1\\ufe0f' contains U\+FE0F, which is invisible: take it away$"),
        ("common_name", "snr-1\U000e0100", r"^'snr-1\\U000e0100' contains U\+E0100, which is invisible"),
        ("common_name", "\u3164", r"contains U\+3164, which is invisible"),
        ("common_name", "snr\u00a01", r"^'snr\\xa01' contains U\+00A0, which is a blank, but not a space"),
        ("attr.batch", "7\u2800", r"contains U\+2800, which is invisible"),
        ("note", "a\u115fb", r"contains U\+115F, which is invisible"),
        ("common_name", '"snr\n1"', r"contains U\+000A, which is a control character"),
        ("common_name", "x" * 513, r"^513 bytes: at most 512 are read"),
        ("common_name", "ä" * 257, r"^514 bytes: at most 512 are read"),
        ("serial_number", "7.4E+11", rf"^'7.4E\+11': a spreadsheet turned this hex number into a {_FLOATED}"),
        ("serial_number", '"7,4E+11"', rf"^'7,4E\+11': a spreadsheet turned this hex number into a {_FLOATED}"),
        ("serial_number", "7E+11", rf"^'7E\+11': a spreadsheet turned this hex number into a {_FLOATED}"),
        ("serial_number", "'7.4E+11", rf"^'7.4E\+11': a spreadsheet turned this hex number into a {_FLOATED}"),
        ("serial_number", "1001.0", rf"^'1001.0': a spreadsheet turned this hex number into a {_FLOATED}"),
        ("serial_number", "10g1", r"^'10g1' is not hex: only 0-9 and a-f; 0x, colons and blanks may be there too$"),
        ("serial_number", "1-a", r"^'1-a' is not hex"),
        ("serial_number", "-7.4E+11", rf"^'-7.4E\+11': a spreadsheet turned this hex number into a {_FLOATED}"),
        ("serial_number", "0x", r"^'0x' is not hex"),
        ("serial_number", "“1a”", r"^'“1a”' has typographic quotes around it"),
        ("serial_number", "a" * 41, r"^41 hex digits: a serial number has at most 40 \(RFC 5280\)$"),
        ("serial_number", "9" * 49, r"^49 decimal digits: a serial number has at most 20 octets \(RFC 5280\)$"),
        ("serial_number", "9" * 50, r"^50 hex digits: a serial number has at most 40 \(RFC 5280\)$"),
        ("serial_number", SHA[1:], r"^63 hex digits: .* as many as a SHA-256: is it in the wrong column\?$"),
        ("certificate_sha256", SHA[1:], r"^63 hex digits: a SHA-256 has 64; a leading zero is lost$"),
        ("certificate_sha256", "a" * 40, r"^40 hex digits: a SHA-256 has 64; that is a SHA-1$"),
        ("certificate_sha256", "1a", r"^2 hex digits: a SHA-256 has 64$"),
        ("public_key_sha256", "1.2E+60", rf"^'1.2E\+60': a spreadsheet turned this hex number into a {_FLOATED}"),
        ("public_key_sha256", "A" * 43 + "=", r"is base64: give the SHA-256 as 64 hex digits$"),
        (
            "ca",
            "factory a",
            r"^'factory a' is neither the rules' name for a CA nor a caCertificateId \(64 hex digits\)$",
        ),
        ("ca", "a/b", r"^'a/b' is neither"),
        ("ca", "a" * 129, r"is neither"),
        ("thing_name", "snr 1", r"^'snr 1' is not a thing name: 1 to 128 of the characters a-z A-Z 0-9 : _ -$"),
        ("thing_name", "ß", r"^'ß' is not a thing name"),
        ("thing_name", "a" * 129, r"is not a thing name"),
        (
            "thing_name",
            "1E-05",
            rf"^'1E-05': a spreadsheet turned this into a {_FLOATED}; if it is really so, put an apos",
        ),
        (
            "expires",
            "30.06.2026",
            r"^'30.06.2026' is a date as one country or one spreadsheet writes it: write 2026-06-30$",
        ),
        ("expires", "6/30/26", r"^'6/30/26' is a date as one country"),
        ("expires", "46203", r"^'46203' is a date as one country"),
        ("expires", "2026-02-30", r"^'2026-02-30': there is no such day or time$"),
        ("expires", "2026-06-30T25:00:00Z", r"there is no such day or time$"),
        ("expires", "0001-01-01T00:00:00+01:00", r"there is no such day or time$"),
        (
            "expires",
            "2026-06-30T12:00:00",
            r": a time needs seconds and an offset, Z for UTC, as in 2026-06-30T12:00:00Z$",
        ),
        ("expires", "tomorrow", r"^'tomorrow' is neither a day, 2026-06-30, nor a time with its offset, "),
        ("expires", "٢٠٢٦-06-30", r"is neither a day"),
        ("note", "n" * 1025, r"^1025 characters: at most 1024 are kept$"),
        ("note", "a\u202eb", r"contains U\+202E, which is invisible"),
        ("attr.batch", "n" * 801, r"^801 characters: an attribute of a thing has at most 800$"),
        ("attr.imei", "3.56938E+14", rf"^'3.56938E\+14': a spreadsheet turned this into a {_FLOATED}"),
        ("attr.batch", "'7", r"begins with an apostrophe"),
        ("attr.batch", "a\x7fb", r"contains U\+007F, which is a control character"),
    ],
)
def test_a_wrong_value_is_told_with_its_line_column_and_remedy(column: str, cell: str, message: str) -> None:
    columns = ["certificate_sha256", "serial_number", "ca"]
    cells = [OTHER_SHA, "1", "factory-a"]
    if column in columns:
        cells[columns.index(column)] = cell
    else:
        columns.append(column)
        cells.append(cell)
    with pytest.raises(ListError) as caught:
        read(f"{','.join(columns)}\n{','.join(cells)}\n")
    (problem,) = caught.value.problems
    assert (problem.line, problem.column, problem.name) == (2, columns.index(column) + 1, column)
    assert re.search(message, problem.message), problem.message


def test_every_wrong_value_of_a_row_and_of_a_file_is_told() -> None:
    assert problems(f"common_name,expires,note\na ,never,x\nb,2026-01-01,ok\nc,{'x' * 41},y\n") == [
        "2:1: common_name: 'a ' has blanks around it: take them away; "
        "if it is really so, put an apostrophe (') before it",
        "2:2: expires: 'never' is neither a day, 2026-06-30, nor a time with its offset, 2026-06-30T12:00:00Z",
        f"4:2: expires: '{'x' * 37}...' is neither a day, 2026-06-30, nor a time with its offset, 2026-06-30T12:00:00Z",
    ]


def test_plain_windows_csv_is_told_by_the_byte_that_is_not_utf_8_and_by_what_the_cell_would_read() -> None:
    """Which encoding it is nobody can tell from the file, but whoever wrote it sees which text is right."""
    assert only_problem("common_name,note\nsnr-1,Größe\n".encode("cp1252")) == (
        '2:2: note: byte 0xF6 is not UTF-8: save the list as "CSV UTF-8", not as plain CSV, or name its encoding '
        "(`jitr lists import --encoding`); the cell reads 'Größe' in cp1252 and cp1250, 'GrцЯe' in cp1251"
    )
    told = only_problem("common_name,Größe\nsnr-1,7\n".encode("cp1252"))
    assert told.startswith("1:2: byte 0xF6 is not UTF-8")


def read_in(encoding: str, data: bytes, **options: Any) -> tuple[list[ListRow], list[str]]:
    """Rows and problems of a file that is said to be in an encoding, read in pieces of one byte."""
    opener = Opener(Options(encoding=encoding, **options), BytesIO)
    pieces = [bytes([each]) for each in data]
    reader = opener(pieces, "f.csv", Duplicates(), lambda: opener.serials(lambda: pieces))
    return [each.row for each in reader], [each.at("f.csv") for each in reader.problems]


@pytest.mark.parametrize(
    ("encoding", "text"),
    [("cp1252", "Größe"), ("cp1250", "Łódź"), ("cp1251", "Завод"), ("cp932", "工場ソ|"), ("cp949", "공장")],
)
def test_a_file_is_read_in_the_encoding_that_is_named(encoding: str, text: str) -> None:
    """Also where the second byte of a character looks like a separator, as that of one in cp932."""
    data = f"common_name,ca,serial_number,note\nsnr-1,f,1001,{text}\n".encode(encoding)
    rows, wrong = read_in(encoding, data)
    assert wrong == []
    assert [each.note for each in rows] == [text]


def test_headings_are_in_the_encoding_that_is_named_as_well() -> None:
    rows, wrong = read_in("cp1252", "Gerät;Größe\nsnr-1;7\n".encode("cp1252"), headings={"Gerät": "common_name"})
    assert (wrong, [each.common_name for each in rows]) == ([], ["snr-1"])


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"common_name,note\na,x\nb,\x81\n", "f.csv:3: byte 0x81 is no character in cp1252"),
        (b"\xef\xbb\xbfcommon_name\na\n", "f.csv: a byte order mark at its beginning says what it is"),
        (b"PK\x03\x04" + bytes(40), "f.csv: --encoding is for CSV, and this is none"),
        (b"-----BEGIN CERTIFICATE-----\n", "f.csv: --encoding is for CSV, and this is none"),
    ],
)
def test_what_is_not_in_the_encoding_that_is_named_is_refused(data: bytes, told: str) -> None:
    with pytest.raises(InputError, match=told):
        read_in("cp1252", data)


# --- problems of rows


_NEEDS_CA = "a serial number needs the column ca beside it: serial numbers are unique within a CA only"
_STRAY = "is under no column name: name the column, or put quotes around the cell that has the separator in it"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "common_name,note\n,lost\n",
            "2:1: the row names no device: give public_key_sha256, certificate_sha256, serial_number or common_name",
        ),
        (
            "common_name,serial_number,ca\nsnr-1,1001,\n",
            f"2:2: serial_number: {_NEEDS_CA}",
        ),
        (
            "common_name,serial_number,ca\nsnr-1,,factory-a\n",
            "2:3: ca: ca goes with serial_number; alone it limits nothing (a rule's `ca` does)",
        ),
        (
            "common_name,note\nsnr-1,hall 3,left\n",
            f"2:3: 'left' {_STRAY}",
        ),
        (
            "common_name,,note\nsnr-1,x,hall 3\n",
            f"2:2: 'x' {_STRAY}",
        ),
        (
            'common_name,note\nsnr-1,"the "big" one"\n',
            '2:2: there is text after the closing quote: inside quotes, write a quote as ""',
        ),
        (
            'common_name,note,attr.x\nsnr-1, "b,"c"d\n',
            '2:3: there is text after the closing quote: inside quotes, write a quote as ""',
        ),
        ('common_name,note\nsnr-1,"open\nsnr-2,x\n', "2:2: a quote is opened here and never closed"),
        ('common_name, note\n"a, b", "open\n', "2:2: a quote is opened here and never closed"),
        (
            f"common_name,note\nsnr-1,{'x' * MAX_ROW}\nsnr-2,x\n",
            f"2:1: the row is longer than {MAX_ROW} characters: nothing of it is read",
        ),
        (
            'common_name,note\nsnr-1,"open\n' + "snr-2,x\n" * 3000,
            f"2:2: a quote is opened here and not closed within {MAX_ROW} characters: nothing from here on is read",
        ),
    ],
)
def test_a_wrong_row_is_told_with_its_line_and_column(text: str, told: str) -> None:
    assert only_problem(text) == told


def test_rows_after_a_wrong_one_are_still_checked() -> None:
    told = problems(f'common_name,note\na,"x"y\nb,{"x" * 2 * MAX_ROW}\nc ,z\n')
    assert [each.split(": ")[0] for each in told] == ["2:2", "3:1", "4:1"]


def test_nothing_is_read_after_a_line_that_may_have_no_end() -> None:
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        yield b"common_name\nsnr-1\n"
        while True:
            taken += 1
            assert taken < 100
            yield b"x" * 65_536

    first, second, bad = read_records(endless())
    assert (first, second) == (CsvRecord(1, ["common_name"]), CsvRecord(2, ["snr-1"]))
    assert bad == BadCsvRecord(3, 1, f"the line is longer than {MAX_LINE} characters: nothing from here on is read")


def test_a_key_that_is_there_twice_is_told_with_the_line_of_the_first() -> None:
    assert problems(
        f"common_name,serial_number,ca,public_key_sha256\na,1,f,{SHA}\nb,2,f,{OTHER_SHA}\n\na,01,f,\nc,1,g,{SHA}\nd,,,\n"
    ) == [
        "5:2: serial_number: 'f/1' is on line 2 already",
        "5:1: common_name: 'a' is on line 2 already",
        f"6:4: public_key_sha256: '{SHA[:37]}...' is on line 2 already",
    ]


def test_without_the_duplicate_check_a_repeated_key_is_left_to_the_caller() -> None:
    reader = Reader([b"common_name\na\na\n"], source="f")
    assert [each.line for each in reader] == [2, 3]
    assert reader.problem_count == 0


def test_the_duplicate_check_remembers_up_to_its_limit() -> None:
    seen = Duplicates(limit=2000)
    keys = [RowKey("common_name", f"snr-{number}") for number in range(3000)]
    assert {seen.first_line(key, line) for line, key in enumerate(keys, 2)} == {None}
    assert seen.full
    assert [seen.first_line(key, 9999) for key in (keys[0], keys[1999], keys[2000])] == [2, 2001, None]


def test_a_repeated_key_is_found_among_any_number() -> None:
    keys = [RowKey("common_name", f"snr-{number}") for number in range(150_000)]
    file = io.BytesIO()
    log = KeyLog(file)
    for line, key in enumerate((*keys, keys[3], keys[0], keys[-1]), 2):
        log.first_line(key, line)
    assert 1_000_000 < len(file.getbuffer()) < 8 * len(keys), "what does not wait is in the file, eight bytes a key"
    repeated = log.repeated()
    assert len(repeated) == 3
    first = [repeated.first_line(key, line) for line, key in enumerate(keys, 2)]
    assert set(first) == {None}, "each is the first of its kind"
    assert [repeated.first_line(keys[number], 9) for number in (0, 3, 4, -1)] == [2, 5, None, 150_001]


def test_without_a_repeated_key_no_more_is_told() -> None:
    log = KeyLog(io.BytesIO())
    assert not log.repeated()
    log.first_line(RowKey("common_name", "snr-1"), 2)
    assert not log.repeated()


def test_keys_of_different_kinds_are_different() -> None:
    seen = Duplicates()
    assert seen.first_line(RowKey("certificate_sha256", SHA), 2) is None
    assert seen.first_line(RowKey("public_key_sha256", SHA), 3) is None


def test_keys_of_different_kinds_are_different_in_a_log() -> None:
    log = KeyLog(io.BytesIO())
    log.first_line(RowKey("certificate_sha256", SHA), 2)
    log.first_line(RowKey("public_key_sha256", SHA), 3)
    assert not log.repeated()


# --- problems of headers and files


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("Common Name", "1:1: unknown column 'Common Name': did you mean common_name?"),
        ("CN", "1:1: unknown column 'CN': did you mean common_name?"),
        ("Common_Name", "1:1: unknown column 'Common_Name': did you mean common_name?"),
        ("comon_name", "1:1: unknown column 'comon_name': did you mean common_name?"),
        ("common_name,serial", "1:2: unknown column 'serial': did you mean serial_number?"),
        ("common_name,SerialNumber", "1:2: unknown column 'SerialNumber': did you mean serial_number?"),
        ("common_name,fingerprint", "1:2: unknown column 'fingerprint': did you mean certificate_sha256?"),
        ("common_name,Attr.Batch", "1:2: unknown column 'Attr.Batch': did you mean attr.Batch?"),
        ("common_name,attr.attr.batch", "1:2: unknown column 'attr.attr.batch': did you mean attr.batch?"),
        ("common_name,attr_batch", "1:2: unknown column 'attr_batch': did you mean attr.batch?"),
        (
            "common_name,batch",
            f"1:2: unknown column 'batch': one of your own is named attr.batch; the others are {', '.join(COLUMNS)}",
        ),
        (
            "common_name,batch no.",
            f"1:2: unknown column 'batch no.': one of your own is named attr.NAME; the others are {', '.join(COLUMNS)}",
        ),
        ("common_name,attr.", "1:2: 'attr.': after attr. come 1 to 64 of the characters a-z A-Z 0-9 _ . -"),
        ("common_name,attr.größe", "1:2: 'attr.größe': after attr. come 1 to 64 of the characters a-z A-Z 0-9 _ . -"),
        ("common_name,note,common_name", "1:3: common_name: the column is there twice, first as number 1"),
        (
            "thing_name,note",
            "1:1: no column says which device: one of public_key_sha256, certificate_sha256, serial_number, common_name"
            " is needed",
        ),
        (
            "common_name,serial_number",
            f"1:2: serial_number: {_NEEDS_CA}",
        ),
        ("common_name,ca", "1:2: ca: ca goes with serial_number; alone it limits nothing (a rule's `ca` does)"),
        (
            '"common_name,note"',
            "1:1: 'common_name,note' is a whole line in quotes, and so one cell, as where CSV was exported into CSV: "
            'take away the quotes around each line, and write "" within it as "',
        ),
        (
            "snr-0001,7",
            "1:1: the first line must name the columns, and it begins with 'snr-0001': put a line above it with names "
            f"from {', '.join(COLUMNS)}, and attr.NAME for columns of your own",
        ),
        (",".join(f"attr.a{each}" for each in range(201)), "1:201: there are 201 columns: at most 200 are read"),
    ],
)
def test_a_wrong_header_is_told_and_its_rows_are_not(header: str, told: str) -> None:
    assert only_problem(f"{header}\n ,,,,,x\n") == told


def test_all_wrong_columns_are_told() -> None:
    assert [each.split(": ")[0] for each in problems("common_name,CN,note,note,batch\n")] == ["1:2", "1:4", "1:5"]


@pytest.mark.parametrize("text", ["", "\n\n", "\ufeff", "sep=,\n", ",,\n", ";\n\n;;\n"])
def test_a_file_without_a_header_is_told(text: str) -> None:
    assert only_problem(text).endswith(
        "there is nothing in it: the first line of a list names the columns, such as common_name"
    )


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (
            b"PK\x03\x04rest",
            '1:1: this is an Excel workbook (or another ZIP file), not CSV: save the list as "CSV UTF-8"',
        ),
        (
            b"\xd0\xcf\x11\xe0",
            '1:1: this is an Excel workbook of the old kind, not CSV: save the list as "CSV UTF-8" '
            "(`jitr lists import` reads .xlsx, too)",
        ),
        (b"\x1f\x8b\x08", '1:1: this is a gzip file, not CSV: save the list as "CSV UTF-8"'),
        (
            "common_name\n".encode("utf-16-le"),
            '1:1: this is not text, or UTF-16 without a byte order mark: save the list as "CSV UTF-8"',
        ),
        ("common_name\na".encode("utf-16")[:-1], "2:1: the file ends in the middle of a character: it is not complete"),
        (b"sep=x\ncommon_name\n", "1:1: sep= names 'x': cells are separated by a comma, semicolon, tab or |"),
        (b'"common_name\nsnr-1\n', "1:1: a quote is opened here and never closed"),
        (
            b'common_name,"note"s\nsnr-1,"x"y\n',
            '1:2: there is text after the closing quote: inside quotes, write a quote as ""',
        ),
        (
            b"sep=,\ncommon_name\0\n",
            '2:1: this is not text, or UTF-16 without a byte order mark: save the list as "CSV UTF-8"',
        ),
        (b"x" * MAX_ROW * 2, f"1:1: the row is longer than {MAX_ROW} characters: nothing of it is read"),
    ],
)
def test_a_file_that_is_no_list_is_told_what_it_is(data: bytes, told: str) -> None:
    assert only_problem(data) == told


def test_the_first_problems_are_shown_and_the_rest_is_counted() -> None:
    with pytest.raises(InputError) as caught:
        read("common_name\n" + "a \n" * 1000)
    error = caught.value
    assert isinstance(error, ListError)
    assert (len(error.problems), error.count) == (SHOWN, 1000)
    assert error.problems[0] == ListProblem(2, 1, "common_name", error.problems[0].message)
    assert str(error).splitlines()[0].startswith("list.csv:2:1: common_name: ")
    assert str(error).splitlines()[SHOWN:] == ["list.csv: and 980 more"]


def test_good_rows_are_handed_out_beside_problems() -> None:
    reader = Reader([b"common_name\na\nb \nc\n"], source="f")
    assert [(each.line, each.row.common_name) for each in reader] == [(2, "a"), (4, "c")]
    assert [(each.line, each.column) for each in reader.problems] == [(3, 1)]
    with pytest.raises(ListError):
        reader.raise_problems()


# --- rows that do not come from CSV


def test_read_row_reads_one_row_of_values_and_takes_text_as_it_stands() -> None:
    values = {"common_name": " 'snr", "serial_number": "0x0A", "ca": "f", "expires": "2026-06-30", "attr.x": "1E+5"}
    assert read_row(values) == ListRow(
        common_name=" 'snr",
        serial_number="a",
        ca="f",
        expires=datetime(2026, 7, 1, tzinfo=UTC),
        attributes={"x": "1E+5"},
    )


def test_read_row_tells_every_fault() -> None:
    assert read_row({"common_name": "", "thing_name": "a b"}) == (
        ColumnFault("common_name", "there are only blanks"),
        ColumnFault("thing_name", "'a b' is not a thing name: 1 to 128 of the characters a-z A-Z 0-9 : _ -"),
    )
    assert read_row({"cn": "a"}) == (ColumnFault(None, "unknown column 'cn': did you mean common_name?"),)


# --- writing


def test_an_export_has_the_columns_it_needs_in_their_usual_order() -> None:
    rows = [ListRow(common_name="a", note="x"), ListRow(serial_number="1", ca="f", attributes={"z": "1", "b": "2"})]
    assert list(write_rows(rows)) == [
        "common_name,serial_number:hex,ca,note,attr.b,attr.z\r\n",
        "a,,,x,,\r\n",
        ",1,f,,2,1\r\n",
    ]


def test_an_export_of_no_rows_imports_as_no_rows() -> None:
    assert read("".join(write_rows([]))) == ()


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@x", "＝x", "'=x", "'x", " x", "7.4E+11", "“x”"])
def test_no_cell_of_an_export_is_a_formula_or_a_number_to_a_spreadsheet(name: str) -> None:
    _, record = write_rows([ListRow(common_name=name)])
    assert record == f"'{name}\r\n"
    assert names(f"common_name\n{record}") == [name]


def test_a_row_with_a_column_that_the_export_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match=r"attr\.x"):
        list(write_rows([ListRow(common_name="a", attributes={"x": "1"})], ["common_name"]))


# --- the reference for operators


def _examples() -> list[tuple[str, str, str]]:
    """Each ``csv`` block of docs/lists.md: ``csv`` or ``csv wrong``, the list, and the ``text`` block after it."""
    blocks = re.findall(r"^```(csv|csv wrong|text)\n(.*?)^```$", DOCS.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    following = [body for _, body in blocks[1:]] + [""]
    return [(kind, body, after) for (kind, body), after in zip(blocks, following, strict=True) if kind != "text"]


@pytest.mark.parametrize("body", [body for kind, body, _ in _examples() if kind == "csv"])
def test_the_examples_in_the_reference_are_read_and_written_back(body: str) -> None:
    rows = read(body)
    assert rows
    assert read("".join(write_rows(rows))) == rows


@pytest.mark.parametrize(("body", "told"), [(body, told) for kind, body, told in _examples() if kind == "csv wrong"])
def test_the_wrong_examples_in_the_reference_are_told_as_it_shows(body: str, told: str) -> None:
    with pytest.raises(ListError) as caught:
        read_list(body.encode(), "line-a.csv")
    assert str(caught.value) == told.rstrip("\n")


_COMMANDS = re.search(r"^```sh\n(openssl x509.*?)^```$", DOCS.read_text("utf-8"), re.MULTILINE | re.DOTALL)
_COLUMN_OF = {
    "subject=": "common_name",
    "serial=": "serial_number",
    "sha256 Fingerprint=": "certificate_sha256",
    "SHA2-256(device.spki)=": "public_key_sha256",
    "SHA256(device.spki)=": "public_key_sha256",
}


def typed_in(folder: Path) -> str:
    """What the reference's openssl commands print of ``device.pem`` in a folder."""
    assert _COMMANDS is not None
    done = subprocess.run(
        ["bash", "-c", _COMMANDS[1]],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=False,
    )
    return done.stdout


@pytest.mark.skipif(shutil.which("openssl") is None, reason="this machine has no openssl")
def test_what_the_openssl_commands_of_the_reference_print_may_stand_in_the_cells(tmp_path: Path) -> None:
    device = pki.ca().device("snr-0001").issue()
    (tmp_path / "device.pem").write_bytes(device.pem)
    cells = {}
    for line in typed_in(tmp_path).splitlines():
        cells[next(column for begins, column in _COLUMN_OF.items() if line.lower().startswith(begins.lower()))] = line
    (row,) = read(",".join([*cells, "ca"]) + "\n" + ",".join(f'"{each}"' for each in cells.values()) + ",factory-a\n")
    facts = read_certificate(device.der).facts
    assert row == ListRow(
        common_name="snr-0001",
        serial_number=facts.serial_number,
        ca="factory-a",
        certificate_sha256=facts.certificate_sha256,
        public_key_sha256=facts.public_key_sha256,
    )


@pytest.mark.skipif(shutil.which("openssl") is None, reason="this machine has no openssl")
@pytest.mark.parametrize("damaged", [b"", b"no certificate\n"])
def test_where_the_certificate_cannot_be_read_the_commands_of_the_reference_print_no_digest(
    tmp_path: Path, damaged: bytes
) -> None:
    (tmp_path / "device.pem").write_bytes(damaged)
    assert re.search("[0-9a-fA-F]{64}|(?:[0-9A-F]{2}:){31}", typed_in(tmp_path)) is None


def test_the_reference_describes_every_column() -> None:
    described = re.findall(r"^\| `([a-z0-9_.A-Z]+)` \|", DOCS.read_text("utf-8"), re.MULTILINE)
    assert described == [*COLUMNS, "attr.NAME"]


def test_rows_expire_in_utc_whatever_the_offset() -> None:
    row = read("common_name,expires\na,2026-06-30T23:00:00-05:00\n")[0]
    assert row.expires is not None
    assert row.expires.utcoffset() == timedelta(0)
