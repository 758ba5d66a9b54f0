"""A certificate that another one replaced (``renewal: replace``) is told as one, and is not let in by mistake."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from testkit import pki
from testkit.aws.world import World
from testkit.cli.command_line import Aws, Run
from testkit.cli.fleet import GRANT, Fleet, fleet_in, in_force, leaf
from testkit.cli.operating import FACTORY
from testkit.knocks import allow
from testkit.page import Page

from jitr.x509.certificate import read_certificate
from jitr_operations.deployment import Choice
from jitr_operations.diagnose.account import AccountView
from jitr_operations.diagnose.findings import Findings


@pytest.fixture
def fleet(world: World, aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    fleet = fleet_in(world, aws, monkeypatch)
    world.publish(in_force(allow("line-a", grant=replace(GRANT, renewal="replace"), ca="factory-a")))
    return fleet


def renewed(fleet: Fleet, name: str) -> tuple[pki.Issued, pki.Issued]:
    """A device's old certificate, and the one that took its place."""
    old, heir = fleet.let_in(name)[name], leaf(name, owner="another key")
    fleet.world.connect(heir)
    fleet.world.knock(heir, FACTORY)
    assert (fleet.world.status(old), fleet.world.status(heir)) == ("INACTIVE", "ACTIVE")
    return old, heir


def diagnosed(device: pki.Issued) -> Findings:
    """What is found where AWS IoT turns a device away."""
    view, findings = AccountView(Choice(), read_certificate(device.pem)), Findings()
    seen = view.look()
    assert seen is not None, view.why_not
    view.tell(seen, findings)
    return findings


def test_a_replaced_certificate_is_told_as_one_wherever_it_is_shown(run: Run, fleet: Fleet) -> None:
    old, heir = renewed(fleet, "a")
    by = f"by {heir.sha256[:12]} at 20"
    assert by in run("device", "show", old.sha256).stdout
    assert f"REPLACED  {by}" in run("decisions", "show", old.sha256).stdout
    assert f"REPLACED  {by}" in run("explain", old.sha256).stdout
    explained = json.loads(run("explain", old.sha256, "--json").stdout)
    assert (explained["status"], explained["replaced_by"]) == ("INACTIVE", [heir.sha256])
    [shown] = json.loads(run("device", "show", old.sha256, "--json").stdout)["devices"]
    assert shown["replaced_by"] == [heir.sha256]
    assert json.loads(run("decisions", "show", old.sha256, "--json").stdout)["replaced_by"] == [heir.sha256]
    text = Page().enter().text(f"/devices/{old.sha256}")
    assert ("Replaced by" in text, f"/devices/{heir.sha256}" in text) == (True, True)


def test_whoever_has_its_place_is_told_as_replaced_nowhere(run: Run, fleet: Fleet) -> None:
    _, heir = renewed(fleet, "a")
    [shown] = json.loads(run("device", "show", heir.sha256, "--json").stdout)["devices"]
    assert shown["replaced_by"] == []
    explained = json.loads(run("explain", heir.sha256, "--json").stdout)
    assert (explained["status"], explained["replaced_by"]) == ("ACTIVE", [])
    assert "REPLACED" not in run("explain", heir.sha256).stdout
    assert "REPLACED" not in run("decisions", "show", heir.sha256).stdout
    assert "Replaced by" not in Page().enter().text(f"/devices/{heir.sha256}")


def test_a_device_that_uses_its_replaced_certificate_is_told_to_use_the_new_one(run: Run, fleet: Fleet) -> None:
    """Nobody is advised to let the old one in again; who was cut off by hand is told by whom all the same."""
    old, heir = renewed(fleet, "a")
    [found] = diagnosed(old).problems
    assert (found.code, f"it was replaced by {heir.sha256[:12]} at 20" in found.message) == ("replaced", True)
    assert "device activate" not in found.remedy
    assert run("device", "activate", old.sha256, "--yes").exit_code == 0
    assert run("device", "deactivate", old.sha256, "--yes").exit_code == 0
    assert "made it so at 20" in diagnosed(old).problems[0].message


def test_a_replaced_certificate_is_let_in_again_only_by_whoever_says_so(run: Run, fleet: Fleet) -> None:
    old, heir = renewed(fleet, "a")
    asked = run("device", "activate", old.sha256)
    assert (asked.exit_code, fleet.world.status(old)) == (2, "INACTIVE")
    assert f"{old.sha256[:12]} was replaced by {heir.sha256[:12]} at 20" in asked.stderr
    done = run("device", "activate", old.sha256, "--yes")
    assert (done.exit_code, fleet.world.status(old)) == (0, "ACTIVE")


def test_a_replaced_certificate_is_registered_active_only_by_whoever_says_so(run: Run, fleet: Fleet) -> None:
    """All that would be let in are in one question; without --activate nobody is let in, and nothing is asked."""
    (old, heir), (other, _) = renewed(fleet, "a"), renewed(fleet, "b")
    for name, device in (("old.pem", old), ("heir.pem", heir), ("other.pem", other)):
        Path(name).write_bytes(device.pem)
    asked = run("device", "register", "old.pem", "heir.pem", "other.pem", "--activate")
    assert (asked.exit_code, fleet.world.status(old)) == (2, "INACTIVE")
    for each in (old, other):
        assert f"{each.sha256[:12]} was replaced by" in asked.stderr
    assert f"{heir.sha256[:12]} was replaced" not in asked.stderr
    assert run("device", "register", "old.pem").exit_code == 0
    done = run("device", "register", "old.pem", "other.pem", "--activate", "--yes")
    assert (done.exit_code, fleet.world.status(old), fleet.world.status(other)) == (0, "ACTIVE", "ACTIVE")


def test_what_counts_a_renewed_device_twice_says_that_it_counts_certificates(run: Run, fleet: Fleet) -> None:
    renewed(fleet, "a")
    assert "2 admitted, 0 held, 0 rejected (certificates, with" in " ".join(run("status").stdout.split())
    assert "Certificates are counted, with those that another one replaced" in Page().enter().text("/")
    assert "Wrote 2 certificates to fleet.csv" in run("fleet", "export", "fleet.csv").stdout
    Path("line.csv").write_text("common_name\na\n")
    told = run("lists", "import", "line", "line.csv", "--dry-run")
    assert "2 certificates there" in told.output


RULES = f"""\
format: 1
cas:
  factory-a: {{ids: ["{FACTORY.id}"]}}
allow:
  - {{name: line-a, ca: factory-a, common_name: "x*", grant: {{thing: "{{common_name}}", iot_policies: [Sensor]}}}}
"""


def test_of_those_that_an_edit_leaves_active_no_replaced_certificate_and_none_that_was_cut_off_is_one(
    run: Run, fleet: Fleet
) -> None:
    """They do not stay ACTIVE: they are out. A replaced one that was let in again is in."""
    renewed(fleet, "a")
    fleet.let_in("b", "c")
    again, _ = renewed(fleet, "d")
    assert run("device", "deactivate", "b", "--yes").exit_code == 0
    assert run("device", "activate", again.sha256, "--yes").exit_code == 0
    Path("narrower.yaml").write_text(RULES)
    told = "4 admitted devices would not be admitted today: they stay ACTIVE"  # a, c, and d with both
    replayed = json.loads(run("rules", "replay", "narrower.yaml", "--json").stdout)
    assert (replayed["effect"]["decided"], replayed["effect"]["stay_active"], len(replayed["changes"])) == (6, 4, 4)
    assert told in run("rules", "publish", "narrower.yaml").stderr


def test_the_page_lets_a_replaced_certificate_in_again_only_over_a_tick(fleet: Fleet) -> None:
    old, heir = renewed(fleet, "a")
    page, path = Page().enter(), f"/devices/{old.sha256}/activate"
    form = {"status": "INACTIVE", "message": "new one lost"}
    refused = page.post(path, **form)
    assert (refused.status_code, fleet.world.status(old)) == (400, "INACTIVE")
    assert f"was replaced by {heir.sha256[:12]}" in refused.text
    assert page.post(path, **form, sure="yes").status_code == 303
    assert fleet.world.status(old) == "ACTIVE"
