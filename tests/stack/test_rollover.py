"""A roll-over from one CA to another on the local stack: renewals, reservations, and figures known beforehand."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from testkit.stack.plant import Factory, Plant, PlantDevice, commands, until

from jitr.records.reservation import Reservation

pytestmark = pytest.mark.stack

# Both CAs may have each kind of name; what becomes of the old certificate is the kind's own.
KINDS = {"moves": "replace", "stays": "coexist", "alone": "hold"}
RULE = """\
  - name: {kind}-{factory}
    ca: {factory}
    common_name: "{kind}-*"
    max_devices: 3
    grant: {{thing: "{{common_name}}", iot_policies: ["{policy}"], renewal: {renewal}{more}}}
"""


@dataclass(frozen=True)
class Rolled:
    """Two factories, and the devices of each by name."""

    plant: Plant
    old: Factory
    new: Factory

    def issued(self, factory: Factory, name: str, *, request: Path | None = None) -> PlantDevice:
        """A certificate of a factory, for a key of its own or for the one that made a request."""
        folder = self.plant.folder / f"of-{factory.name}"
        asked = (name, "--with-csr") if request is None else ("--csr", request)
        self.plant.jitr("device", "issue", *asked, "--ca", factory.ca, "--out-dir", folder)
        key = (folder if request is None else request.parent) / f"{name}.key"
        return self.plant.made(name, folder / f"{name}.pem", key)

    def comes(self, factory: Factory, name: str, *, request: Path | None = None) -> PlantDevice:
        """A device connects until it is in."""
        return self.plant.knocks(self.issued(factory, name, request=request))

    def figures(self, *options: str) -> Any:
        """What the command says."""
        return self.plant.json("ca", "rollover", "factory-a", "factory-b", *options)

    def holders(self, thing: str) -> set[str]:
        """The certificates that hold a thing's name."""
        place = {"pk": f"THING#{thing}", "sk": "RESERVATION"}
        (item,) = self.plant.table.get([place])
        return set(Reservation.from_json(place["pk"], item).certificates)

    def places(self, rule: str) -> int:
        """How many devices are counted under a rule's max_devices."""
        place = {"pk": f"PLACES#{rule}", "sk": "PLACES"}
        return sum(int(each["taken"]) for each in self.plant.table.get([place]))


@pytest.fixture
def rolled(plant: Plant) -> Rolled:
    rolled = Rolled(plant, plant.factory("factory-a"), plant.factory("factory-b"))
    both = (rolled.old, rolled.new)
    lines = ["format: 1", "default: hold", "cas:", *(f'  {each.name}: {{ids: ["{each.id}"]}}' for each in both)]
    policy = plant.stack.outputs["DevicePolicyName"]
    allowed = [
        RULE.format(
            kind=kind,
            factory=each.name,
            policy=policy,
            renewal=renewal,
            more=", renewal_from: factory-a" if each is rolled.new and renewal != "hold" else "",
        )
        for kind, renewal in KINDS.items()
        for each in both
    ]
    file = plant.folder / "admission.yaml"
    file.write_text("\n".join([*lines, "allow:", *allowed]))
    plant.publish(file)
    return rolled


@pytest.mark.docs
def test_a_roll_over_is_told_exactly_and_ended_as_the_page_says(rolled: Rolled) -> None:
    plant = rolled.plant
    old = {
        name: rolled.comes(rolled.old, name)
        for name in ("moves-1", "moves-late", "stays-1", "stays-key", "alone-1", "moves-out")
    }
    plant.jitr("device", "deactivate", "moves-out", "--yes")
    assert _devices(rolled.figures()) == (5, 0, 0, 1)

    new = {name: rolled.comes(rolled.new, name) for name in ("moves-1", "stays-1", "moves-new")}
    request = plant.folder / "of-factory-a" / "stays-key.csr"
    new["stays-key"] = rolled.comes(rolled.new, "stays-key", request=request)
    stranger = rolled.issued(rolled.new, "alone-1")
    plant.knocks(stranger, lambda made: _codes(plant, made) == ["grant.thing-claimed"])

    figures = rolled.figures()
    assert _devices(figures) == (2, 2, 2, 2)
    assert figures["came"] == {"devices": 3, "by_key": 1, "by_thing": 2}
    assert (figures["held"], figures["not_on_record"]) == (1, {"old": 0, "new": 0})
    assert (sum(figures["weeks"].values()), figures["per_week"]) == (3, None)  # within seconds: no rate
    assert {each["common_name"] for each in figures["stragglers"]} == {"moves-late", "alone-1"}
    assert (plant.status(old["moves-1"]), plant.status(old["stays-1"])) == ("INACTIVE", "ACTIVE")
    assert rolled.holders("moves-1") == {new["moves-1"].certificate_id}
    assert rolled.holders("stays-1") == {old["stays-1"].certificate_id, new["stays-1"].certificate_id}
    assert rolled.holders("alone-1") == {old["alone-1"].certificate_id}
    # The replaced certificate let go of its place, the one beside keeps its own, and one key takes one place.
    assert (rolled.places("moves-factory-a"), rolled.places("moves-factory-b")) == (2, 2)

    done = plant.type("\n".join(commands("fleet.md", "A roll-over")), plant.folder)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = list(csv.DictReader((plant.folder / "not-yet.csv").read_text("utf-8-sig").splitlines()))
    missing = {old["moves-late"].certificate_id, old["alone-1"].certificate_id}
    assert {each["certificate_sha256"] for each in rows} == missing

    newcomer = rolled.issued(rolled.old, "moves-too-late")
    plant.knocks(newcomer, lambda made: made.device.attempts > 1)
    assert plant.status(newcomer) is None
    assert plant.knocks(old["moves-late"]).is_in()
    plant.jitr("ca", "activate", rolled.old.ca)
    plant.knocks(newcomer)

    plant.jitr("device", "deactivate", "--list", "not-yet", "--yes")
    assert {name for name, made in (old | new).items() if plant.status(made) == "ACTIVE"} == set(new)
    until(lambda: _devices(rolled.figures()) == (1, 2, 2, 4), "only the late newcomer is in with the old CA alone")


def _devices(figures: Any) -> tuple[int, ...]:
    return tuple(figures["devices"][each] for each in ("old_only", "both", "new_only", "neither"))


def _codes(plant: Plant, made: PlantDevice) -> list[str]:
    record = plant.record(made)
    return [] if record is None else [each["code"] for each in record.reasons]
