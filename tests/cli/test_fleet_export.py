"""`jitr fleet export`: a row for each device on record, as CSV and as JSON lines."""

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from testkit.aws.world import World
from testkit.cli.command_line import Aws, Run
from testkit.cli.fleet import GRANT, Fleet, fleet_in, in_force, leaf
from testkit.cli.operating import FACTORY
from testkit.knocks import allow

from jitr_operations.fleet.export import COLUMNS, as_csv, as_json_lines


@pytest.fixture
def fleet(world: World, aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    return fleet_in(world, aws, monkeypatch)


def in_csv(name: str) -> dict[str, dict[str, str]]:
    """The rows of a file by common name."""
    rows = csv.DictReader(Path(name).read_text("utf-8-sig").splitlines())
    return {each["common_name"]: each for each in rows}


def test_each_device_on_record_is_a_row_with_facts_decision_grant_and_dates(run: Run, fleet: Fleet) -> None:
    devices = fleet.let_in("a", "b")
    fleet.world.publish(in_force(allow("line-x", common_name="x")))
    waits = leaf("=cmd()")
    fleet.world.connect(waits)
    fleet.world.knock(waits, FACTORY)
    result = run("fleet", "export", "fleet.csv", "--json")
    assert json.loads(result.stdout) == {"file": "fleet.csv", "format": "csv", "rows": 3}
    assert Path("fleet.csv").stat().st_mode & 0o077 == 0
    rows = in_csv("fleet.csv")
    a = rows["a"]
    assert tuple(a) == COLUMNS
    assert (a["certificate_id"], a["decision"], a["rule"], a["reasons"]) == (
        devices["a"].sha256,
        "admit",
        "line-a",
        "allow.rule",
    )
    assert (a["thing"], a["thing_type"], a["attributes"], a["iot_policies"]) == (
        "a",
        "Sensor",
        '{"line": "a"}',
        "Sensor",
    )
    assert (a["ca"], a["key"]) == ("factory-a", "P-256")
    assert "common_name=a" in a["subject"]
    held = rows["'=cmd()"]  # nothing that a spreadsheet would run
    assert (held["decision"], held["thing"], held["reasons"], bool(held["due"])) == (
        "hold",
        "",
        "allow.unmatched",
        True,
    )


def test_json_lines_have_the_same_columns_with_their_own_types(run: Run, fleet: Fleet) -> None:
    fleet.let_in("a", "b")
    assert run("fleet", "export", "fleet.jsonl", "--decision", "admit").exit_code == 0
    rows = [json.loads(each) for each in Path("fleet.jsonl").read_text().splitlines()]
    assert {each["common_name"] for each in rows} == {"a", "b"}
    assert {tuple(each) for each in rows} == {COLUMNS}
    assert (rows[0]["attributes"], rows[0]["iot_policies"], rows[0]["due"]) == ({"line": "a"}, ["Sensor"], None)


def test_a_replaced_certificate_names_the_one_that_took_its_place(run: Run, fleet: Fleet) -> None:
    """It is on record as admitted, and its device is in with another: whoever counts devices counts it once."""
    fleet.world.publish(in_force(allow("line-a", grant=replace(GRANT, renewal="replace"), ca="factory-a")))
    devices = fleet.let_in("a", "b")
    heir = leaf("a", owner="another key")
    fleet.world.connect(heir)
    fleet.world.knock(heir, FACTORY)
    assert fleet.world.status(devices["a"]) == "INACTIVE"
    assert run("fleet", "export", "fleet.csv").exit_code == 0
    rows = csv.DictReader(Path("fleet.csv").read_text("utf-8-sig").splitlines())
    told = {each["certificate_id"]: (each["decision"], each["replaced_by"]) for each in rows}
    assert told == {
        devices["a"].sha256: ("admit", heir.sha256),
        devices["b"].sha256: ("admit", ""),
        heir.sha256: ("admit", ""),
    }


@pytest.mark.parametrize(
    ("options", "rows"), [(("--decision", "hold"), 0), (("--rule", "line-x"), 0), (("--ca", "factory-a"), 1)]
)
def test_devices_are_chosen_as_in_other_commands(run: Run, fleet: Fleet, options: tuple[str, ...], rows: int) -> None:
    fleet.let_in("a")
    result = run("fleet", "export", "fleet.csv", "--json", *options)
    assert json.loads(result.stdout)["rows"] == rows


def test_a_file_named_after_another_format_is_not_written_as_csv(run: Run, fleet: Fleet) -> None:
    for name in ("fleet.parquet", "fleet"):
        refused = run("fleet", "export", name)
        assert (refused.exit_code, "ends neither in .csv nor in .jsonl" in refused.stderr) == (2, True), name
        assert not Path(name).exists()
    assert run("fleet", "export", "fleet", "--format", "csv").exit_code == 0


def test_a_file_that_is_there_is_not_replaced_unless_told(run: Run, fleet: Fleet) -> None:
    Path("fleet.csv").write_text("mine")
    assert run("fleet", "export", "fleet.csv").exit_code == 2
    assert Path("fleet.csv").read_text() == "mine"
    assert run("fleet", "export", "fleet.csv", "--force").exit_code == 0


@pytest.mark.parametrize("written", [as_csv, as_json_lines])
def test_rows_are_written_as_they_are_read(written: Any) -> None:
    """Whatever their number: nothing waits for the last one."""
    read = 0

    def endless() -> Iterator[dict[str, Any]]:
        nonlocal read
        while True:
            read += 1
            yield dict.fromkeys(COLUMNS)

    assert len(list(islice(written(endless()), 10))) == 10
    assert read <= 10
