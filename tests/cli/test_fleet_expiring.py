"""`jitr fleet expiring`: what ends soon, counted by month and by what is asked for."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from testkit import pki
from testkit.aws.world import World
from testkit.cli.command_line import Aws, Run
from testkit.cli.fleet import GRANT, Fleet, fleet_in, in_force
from testkit.cli.operating import FACTORY
from testkit.knocks import allow

from jitr.devicelists.rows import ListRow
from jitr_cli.console.bars import bar_lines
from jitr_operations.table import now


@pytest.fixture
def fleet(world: World, aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    return fleet_in(world, aws, monkeypatch)


def let_in(fleet: Fleet, name: str, days: float) -> pki.Issued:
    """A device whose certificate ends in so many days."""
    device = FACTORY.usual_device(name).key("P-256", name).valid(not_after=now() + timedelta(days=days)).issue()
    fleet.world.connect(device)
    fleet.world.knock(device, FACTORY)
    assert fleet.world.status(device) == "ACTIVE", fleet.world.codes(device)
    return device


def expiring(run: Run, *options: str) -> Any:
    result = run("fleet", "expiring", "--json", *options)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_devices_that_end_in_time_are_counted_by_month_and_by_what_is_asked_for(run: Run, fleet: Fleet) -> None:
    """The soonest first; what has ended already too, and nobody who was taken out by a command."""
    fleet.world.put_on("line-a", ListRow(common_name="soon", attributes={"batch": "7"}))
    fleet.world.put_on("line-a", ListRow(common_name="later", attributes={"batch": "8"}))
    fleet.world.put_on("line-b", ListRow(common_name="later"))
    fleet.world.publish(
        in_force(
            allow("line-a", grant=GRANT, ca="factory-a", lists=("line-a",)), allow("any", grant=GRANT, ca="factory-a")
        )
    )
    for name, days in (("ended", -0.01), ("later", 80), ("soon", 10), ("far", 200), ("off", 10)):
        let_in(fleet, name, days)
    assert run("device", "deactivate", "off", "--yes").exit_code == 0
    told = expiring(run)
    assert [each["common_name"] for each in told["devices"]] == ["ended", "soon", "later"]
    assert (told["looked_at"], told["expired"], told["expiring"], told["by"]) == (4, 1, 2, None)
    months = [f"{now() + timedelta(days=days):%Y-%m}" for days in (10, 80)]
    assert told["months"] == dict.fromkeys(sorted(months), 1)
    for by, counts in (
        ("ca", {"factory-a": 3}),
        ("rule", {"line-a": 2, "any": 1}),
        ("list", {"line-a": 2, "line-b": 1, "(none)": 1}),
        ("attr.batch", {"7": 1, "8": 1, "(none)": 1}),
    ):
        assert expiring(run, "--by", by)["by"] == counts, by
    assert expiring(run, "--within", "30d")["expiring"] == 1
    shown = run("fleet", "expiring", "--by", "rule")
    assert "Of 4 admitted devices 2 end until" in shown.stdout
    assert f"{months[0]}  " in shown.stdout
    assert "█" in shown.stdout


def renewed(fleet: Fleet, name: str, days: float) -> pki.Issued:
    """A device that comes with another key and certificate, which take its old one's place."""
    device = FACTORY.usual_device(name).key("P-256", f"new {name}").valid(not_after=now() + timedelta(days=days))
    issued = device.issue()
    fleet.world.connect(issued)
    fleet.world.knock(issued, FACTORY)
    assert fleet.world.status(issued) == "ACTIVE", fleet.world.codes(issued)
    return issued


def test_a_certificate_that_another_replaced_is_not_counted(run: Run, fleet: Fleet) -> None:
    """Nor is it held against its CA's end; unless a command let it in again, which AWS IoT is asked about."""
    grant = replace(GRANT, renewal="replace")
    fleet.world.publish(in_force(allow("line-a", grant=grant, ca="factory-a")))
    old = [let_in(fleet, name, 30_000) for name in ("a", "b")]
    renewed(fleet, "a", 20)
    renewed(fleet, "b", 20)
    assert [fleet.world.status(each) for each in old] == ["INACTIVE", "INACTIVE"]
    told = expiring(run, "--within", "40000d")
    assert sorted(each["common_name"] for each in told["devices"]) == ["a", "b"]
    assert (told["looked_at"], told["cas_before_devices"]) == (2, [])
    assert run("device", "activate", old[0].sha256, "--yes").exit_code == 0
    assert len(expiring(run, "--within", "40000d")["devices"]) == 3
    fleet.set_status(old[0], "INACTIVE")
    assert expiring(run, "--within", "40000d")["looked_at"] == 2


def test_a_ca_that_ends_before_its_devices_is_told(run: Run, fleet: Fleet) -> None:
    let_in(fleet, "a", 10)
    let_in(fleet, "b", 30_000)
    told = expiring(run)
    (ca,) = told["cas_before_devices"]
    assert (ca["ca_certificate_id"], ca["aliases"], ca["devices"]) == (FACTORY.id, ["factory-a"], 1)
    assert told["cas"] == []
    assert expiring(run, "--within", "40000d")["cas"][0]["ca_certificate_id"] == FACTORY.id
    assert "before 1 of its devices" in run("fleet", "expiring").stderr


def test_rows_that_expire_are_counted_by_list(run: Run, fleet: Fleet) -> None:
    for name, days in (("a", 5), ("b", -5), ("c", 500), ("d", None)):
        expires = None if days is None else now() + timedelta(days=days)
        fleet.world.put_on("line-a", ListRow(common_name=name, expires=expires))
    (row,) = expiring(run)["rows"]
    assert (row["list"], row["expiring"], row["expired"]) == ("line-a", 1, 1)


def test_a_column_that_no_row_has_is_refused(run: Run, fleet: Fleet) -> None:
    """Not counted as a fleet without it. Where no list has a row, there is no column to be meant."""
    let_in(fleet, "a", 10)
    assert expiring(run, "--by", "attr.bacth")["by"] == {"(none)": 1}
    fleet.world.put_on("line-a", ListRow(common_name="a", attributes={"batch": "7"}))
    result = run("fleet", "expiring", "--by", "attr.bacth")
    assert result.exit_code == 2
    says = "--by attr.bacth: no row has the column attr.bacth: did you mean attr.batch?"
    assert says in result.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--within", "3 months"), "give days, as 90d"),
        (("--within", "100000d"), "at most 99999d"),
        (("--by", "colour"), "give ca, rule, list, or a column"),
    ],
)
def test_what_cannot_be_meant_is_told(run: Run, words: tuple[str, ...], says: str) -> None:
    result = run("fleet", "expiring", *words)
    assert (result.exit_code, says in result.stderr) == (2, True)


def test_the_longest_bar_is_the_month_with_the_most() -> None:
    assert bar_lines({"2026-01": 40, "2026-02": 1}, width=4) == ["2026-01  ████ 40", "2026-02  █ 1"]
    assert bar_lines({}) == []
