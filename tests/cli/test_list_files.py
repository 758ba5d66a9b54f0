"""Lists to and from files: standard output, and options that exclude each other."""

import json
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from testkit.cli.command_line import Run
from testkit.page import Page

from jitr.aws.dynamodb.table import Table
from jitr.devicelists.rows import ListRow
from jitr.services.lists.device_lists import DeviceLists

pytestmark = pytest.mark.usefixtures("table")


def test_a_list_is_exported_to_standard_output_and_nothing_else_is(run: Run) -> None:
    Path("a.csv").write_text("common_name,note\na,'=1+1\nb,ü\n", "utf-8")
    assert run("lists", "import", "line-a", "a.csv").exit_code == 0
    assert run("lists", "export", "line-a", "file.csv").exit_code == 0
    piped = run("lists", "export", "line-a", "-")
    assert piped.exit_code == 0, piped.stderr
    assert sorted(piped.stdout_bytes.splitlines()) == sorted(Path("file.csv").read_bytes().splitlines())
    assert "Wrote 2 rows." in piped.stderr
    assert not Path("-").exists()
    both = run("lists", "export", "line-a", "-", "--json")
    assert (both.exit_code, "--json and - exclude each other" in both.stderr, both.stdout) == (2, True, "")


def test_an_export_writes_no_file_where_the_list_gets_another_column_meanwhile(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("a.csv").write_text("common_name\na\n", "utf-8")
    assert run("lists", "import", "line-a", "a.csv").exit_code == 0
    rows, reads = DeviceLists.rows, 0

    def edited_after_the_first_read(*arguments: Any) -> Iterator[ListRow]:
        nonlocal reads
        reads += 1
        yield from rows(*arguments)
        if reads > 1:
            yield ListRow(common_name="b", note="came meanwhile")

    monkeypatch.setattr(DeviceLists, "rows", edited_after_the_first_read)
    refused = run("lists", "export", "line-a", "file.csv")
    assert refused.exit_code == 2
    assert "list line-a got another column while it was exported: export it again" in refused.stderr
    assert not Path("file.csv").exists()


def test_merge_and_replace_exclude_each_other(run: Run) -> None:
    Path("a.csv").write_text("common_name\na\n", "utf-8")
    for words in (("--merge", "--replace"), ("--replace", "--merge")):
        refused = run("lists", "import", "line-a", "a.csv", *words)
        assert (refused.exit_code, "--merge and --replace exclude each other" in refused.stderr) == (2, True)
    assert run("lists", "show", "line-a").exit_code == 2  # it was not made


def test_a_merge_asks_before_rows_lose_values_in_columns_that_the_file_lacks(run: Run) -> None:
    """A cell that is there and empty says that there is no value, and a column that is not there says nothing."""
    Path("whole.csv").write_text("common_name,attr.lot,note\na,1,x\nb,2,\nc,,\n", "utf-8")
    Path("names.csv").write_text("common_name,attr.hall\na,3\nb,3\nc,3\nd,3\n", "utf-8")
    Path("empty.csv").write_text("common_name,attr.lot,note\na,,\n", "utf-8")
    assert run("lists", "import", "line-a", "whole.csv").exit_code == 0
    told = "The file has no such columns, so list line-a would lose "
    refused = run("lists", "import", "line-a", "names.csv")
    assert refused.exit_code == 2
    assert told in refused.stderr
    assert "attr.lot of 2 rows" in refused.stderr
    assert "note of 1 row" in refused.stderr
    assert told in run("lists", "import", "line-a", "names.csv", "--dry-run").stderr
    assert "attr.hall" not in run("lists", "show", "line-a").stdout
    assert run("lists", "import", "line-a", "empty.csv").exit_code == 0
    assert told not in run("lists", "import", "line-a", "names.csv", "--replace", "--dry-run").stderr
    assert run("lists", "import", "line-a", "names.csv", "--yes").exit_code == 0


def test_a_row_that_makes_its_list_says_so(run: Run) -> None:
    first = run("lists", "add", "line-a", "common_name=a", "--yes")
    second = run("lists", "add", "line-a", "common_name=b", "--yes")
    assert (first.exit_code, second.exit_code) == (0, 0)
    told = "List line-a is new: there was none of this name."
    assert (told in first.stderr, told in second.stderr) == (True, False)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no endless file here")
@pytest.mark.parametrize(
    "command", [("import", "line-a"), ("check",), ("verify",), ("import", "line-a", "--from", "csv")], ids=" ".join
)
def test_a_device_file_is_refused_and_not_read_for_ever(
    run: Run, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setattr("jitr_operations.lists.files.pieces_of", lambda _: pytest.fail("it was read"))
    refused = run("lists", *command, "/dev/zero")
    assert refused.exit_code == 2
    assert refused.stderr.strip().endswith("/dev/zero is neither a file nor a folder nor a pipe")


def test_a_pipe_whose_line_does_not_end_is_left(run: Run) -> None:
    os.mkfifo("pipe")
    writer = threading.Thread(target=write_long_line, args=(Path("pipe"),))
    writer.start()
    refused = run("lists", "import", "line-a", "pipe")
    writer.join()
    assert refused.exit_code == 2
    assert "pipe: the line is longer than 1048576 characters: nothing from here on is read" in refused.stderr


def write_long_line(pipe: Path) -> None:
    """Write one line of 16 MB, or until nobody reads it."""
    with suppress(BrokenPipeError), pipe.open("wb", buffering=0) as opened:
        opened.write(b"common_name\n")
        for _ in range(256):
            opened.write(b"a" * 65_536)


def test_rows_are_shown_by_name_with_numbers_as_numbers(table: Table, run: Run) -> None:
    """The page does it where one view has all rows; only so many are sorted as are shown."""
    names = ["snr-1", "SNR-2", "snr-2", "snr-10", "snr-10a", "snr-100", "z"]
    Path("a.csv").write_text("common_name\n" + "\n".join(sorted(names, key=len, reverse=True)))
    assert run("lists", "import", "line-a", "a.csv", "--yes").exit_code == 0
    shown = json.loads(run("lists", "show", "line-a", "--json").stdout)["shown"]
    assert [each["common_name"] for each in shown] == names
    assert len(json.loads(run("lists", "show", "line-a", "--limit", 3, "--json").stdout)["shown"]) == 3
    text = Page().enter().text("/lists/line-a")
    places = [text.index(f">{each}<") for each in names]
    assert places == sorted(places)
