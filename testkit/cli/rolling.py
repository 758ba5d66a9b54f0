"""A fleet on its way from one factory's CA to another's."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from jitr.rules.model import Ca, Rules
from testkit import pki
from testkit.aws.world import World
from testkit.cli.command_line import Aws
from testkit.cli.fleet import GRANT, Fleet, fleet_in, leaf
from testkit.cli.operating import FACTORY, OTHER
from testkit.knocks import allow
from testkit.knocks import rules as made_rules


def rolling_fleet(world: World, aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    """A fleet of factory-a; both CAs take devices, and the rules let factory-b take over those of factory-a."""
    fleet = fleet_in(world, aws, monkeypatch)
    world.register_ca(OTHER)
    takes_devices(aws, world, on=True)
    world.publish(both("replace"))
    return fleet


def takes_devices(aws: Aws, world: World, *, on: bool) -> None:
    """Have every CA's auto-registration on, or off: moto does not know of it."""

    def described(given: dict[str, Any]) -> Any:
        answer = aws.real(world.iot, "DescribeCACertificate", given)
        found = answer["certificateDescription"] | {"autoRegistrationStatus": "ENABLE" if on else "DISABLE"}
        return answer | {"certificateDescription": found}

    aws.overrides["DescribeCACertificate"] = described


def both(renewal: str, *more: Any) -> Rules:
    """Rules for a roll-over from factory-a to factory-b."""
    grant = replace(GRANT, renewal=renewal)
    made = made_rules(
        *more,
        allow("line-a", ca="factory-a", grant=grant),
        allow("line-b", ca="factory-b", grant=replace(grant, renewal_from=("factory-a",))),
    )
    cas = {"factory-a": Ca("factory-a", (FACTORY.id,), 3), "factory-b": Ca("factory-b", (OTHER.id,), 4)}
    return replace(made, cas=cas)


def comes(fleet: Fleet, device: pki.Issued, ca: pki.CA) -> pki.Issued:
    """The device connects and knocks."""
    fleet.world.connect(device)
    fleet.world.knock(device, ca)
    return device


def moves(fleet: Fleet, name: str, *, owner: str | None = None) -> pki.Issued:
    """The device comes with a certificate of the new CA, with its own key or with another."""
    return comes(fleet, leaf(name, OTHER, owner or name), OTHER)


def came_before(fleet: Fleet, days: int, name: str) -> pki.Issued:
    """The device came with a certificate of the new CA so many days ago."""
    fleet.world.now -= timedelta(days=days)
    device = moves(fleet, name)
    fleet.world.now += timedelta(days=days)
    return device
