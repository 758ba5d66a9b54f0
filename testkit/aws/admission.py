"""Two factories, a device of the first, and rules that admit it."""

from dataclasses import replace
from typing import Any

from jitr.rules.model import Ca, Grant, Rules
from testkit import pki
from testkit.knocks import allow
from testkit.knocks import rules as made_rules

FACTORY = pki.ca("Factory A")
OTHER = pki.ca("Factory B")
DEVICE = FACTORY.usual_device("snr-0001").issue()
FULL = Grant(
    iot_policies=("Sensor", "Other"),
    thing="{common_name}",
    thing_type="Sensor",
    attributes={"line": "a"},
    thing_groups=("line-a",),
)


def rules(*each: Any, **named: Any) -> Rules:
    """Rules for the two test CAs."""
    cas = {"factory-a": Ca("factory-a", (FACTORY.id,), 3), "factory-b": Ca("factory-b", (OTHER.id,), 4)}
    return replace(made_rules(*each, **named), cas=cas)


def same_name(ca: pki.CA = OTHER) -> pki.Issued:
    """A device with the name of DEVICE and another key."""
    return replace(ca.usual_device("snr-0001", kind="P-384")).issue()


def both(**grant: Any) -> Rules:
    """Rules that admit devices of both CAs under one thing name."""
    given = replace(FULL, **grant)
    return rules(allow(grant=given), allow("line-b", ca="factory-b", grant=given))
