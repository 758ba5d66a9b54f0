"""`jitr device deactivate --rule`, and how whoever publishes a deny rule hears of devices that are in."""

import csv
import json
from pathlib import Path

import pytest
from testkit.aws.world import World
from testkit.cli.command_line import Aws, Run
from testkit.cli.fleet import GRANT, Fleet, fleet_in, in_force, leaf
from testkit.cli.operating import FACTORY
from testkit.knocks import allow, deny

from jitr.aws.dynamodb.by_hand import acts_of
from jitr.devicelists.rows import ListRow
from jitr_cli.console import output


@pytest.fixture
def fleet(world: World, aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    return fleet_in(world, aws, monkeypatch)


def test_a_deny_rule_takes_out_every_device_that_it_matches_and_no_other(run: Run, fleet: Fleet, aws: Aws) -> None:
    """Admitted, registered by hand, or let in by nobody we know; not who is rejected for something else."""
    devices = fleet.let_in("a", "b", "other")
    devices["stranger"] = leaf("stranger")
    fleet.register(devices["stranger"])
    for name in ("a", "b", "stranger"):
        fleet.world.put_on("recall-17", ListRow(common_name=name))
    fleet.world.publish(
        in_force(
            deny("first", common_name="a"),
            deny("recalled", lists=("recall-17",)),
            deny("another", common_name="other"),
            allow("line-a", grant=GRANT, ca="factory-a"),
        )
    )
    shown = run("device", "deactivate", "--rule", "recalled", "--dry-run", "--json")
    assert shown.exit_code == 0, shown.output
    told = json.loads(shown.stdout)
    assert (told["rule"], {each["common_name"] for each in told["devices"]}) == ("recalled", {"a", "b", "stranger"})
    asked = run("device", "deactivate", "--rule", "recalled")
    assert (asked.exit_code, "Make 3 certificates INACTIVE?" in asked.stderr) == (2, True)
    assert "admitted by rule line-a" in asked.stderr
    done = run("device", "deactivate", "--rule", "recalled", "--yes", "--csv", "done.csv")
    assert done.exit_code == 0, done.output
    assert {name: fleet.world.status(each) for name, each in devices.items()} == {
        "a": "INACTIVE",
        "b": "INACTIVE",
        "stranger": "INACTIVE",
        "other": "ACTIVE",
    }
    (act,) = acts_of(fleet.world.table, [devices["a"].sha256])[devices["a"].sha256]
    assert act.message == "denied by rule recalled"
    rows = list(csv.DictReader(Path("done.csv").read_text("utf-8-sig").splitlines()))
    assert {(each["common_name"], each["found_by"], each["key"]) for each in rows} == {
        (name, "rule", "recalled") for name in ("a", "b", "stranger")
    }
    again = run("device", "deactivate", "--rule", "recalled", "--yes")
    assert (again.exit_code, "No ACTIVE certificate is denied by rule recalled." in again.stderr) == (0, True)


def test_only_a_deny_rule_that_is_in_force_can_be_named(run: Run, fleet: Fleet) -> None:
    fleet.recall("a")
    for name, meant in (("recaled", "did you mean recalled?"), ("lines", "there are: recalled")):
        result = run("device", "deactivate", "--rule", name, "--yes")
        assert (result.exit_code, meant in result.stderr) == (2, True), result.stderr


def test_an_allow_rule_takes_nobody_out_and_what_does_is_told(run: Run, fleet: Fleet) -> None:
    device = fleet.let_in("a")["a"]
    result = run("device", "deactivate", "--rule", "line-a", "--yes")
    assert "line-a is an allow rule, which takes nobody out." in result.stderr
    assert "see `jitr fleet check --rule line-a`" in result.stderr
    assert (result.exit_code, fleet.world.status(device)) == (2, "ACTIVE")


def test_who_was_let_in_over_the_rule_stays_in(run: Run, fleet: Fleet) -> None:
    device = fleet.let_in("a")["a"]
    fleet.recall("a")
    assert run("device", "deactivate", "a", "--yes").exit_code == 0
    assert run("device", "activate", "a", "--overrule", "radio replaced").exit_code == 0
    assert run("device", "deactivate", "--rule", "recalled", "--yes").exit_code == 0
    assert fleet.world.status(device) == "ACTIVE"


def test_a_device_that_leaves_the_recall_while_the_question_stands_stays_in(
    run: Run, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    devices = fleet.let_in("a", "b")
    fleet.recall("a", "b")

    def mended(_question: str, _yes: bool) -> None:
        fleet.world.publish(in_force(deny("recalled", common_name="b"), allow("line-a", grant=GRANT, ca="factory-a")))

    monkeypatch.setattr(output, "confirm", mended)
    result = run("device", "deactivate", "--rule", "recalled", "--json")
    assert [each["common_name"] for each in json.loads(result.stdout)["devices"]] == ["b"]
    assert [fleet.world.status(devices[each]) for each in "ab"] == ["ACTIVE", "INACTIVE"]


def test_whoever_publishes_a_deny_rule_is_told_how_many_devices_are_in_and_what_takes_them_out(
    run: Run, fleet: Fleet
) -> None:
    fleet.let_in("a", "b", "c")
    text = f"""\
format: 1
cas:
  factory-a: {{ids: ["{FACTORY.id}"]}}
deny:
  - {{name: recalled, common_name: [a, b]}}
allow:
  - {{name: line-a, ca: factory-a, common_name: "%s", grant: {{thing: "{{common_name}}", iot_policies: [Sensor]}}}}
"""
    Path("admission.yaml").write_text(text % "*")
    told = run("rules", "publish", "admission.yaml").stderr
    assert "2 admitted devices would not be admitted today: they stay ACTIVE, see " in told
    assert "see `jitr device deactivate --rule recalled` (2)" in told
    assert "fleet check" not in told
    Path("admission.yaml").write_text(text % "x*")
    told = run("rules", "publish", "admission.yaml").stderr
    assert "see `jitr device deactivate --rule recalled` (2), `jitr fleet check`" in told
