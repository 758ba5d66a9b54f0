"""Drift: what AWS IoT has of a device, compared with what the device was granted.

Things may have more groups and attributes than a grant gives: others give them, too, and that is no drift. IoT
policies beyond the grant are: they are attached to the certificate itself, which is ours alone.
"""

from collections.abc import Iterable, Mapping
from dataclasses import field
from enum import Enum
from typing import Any

from jitr.decision.plan import AddToGroup, AttachIotPolicy, AttachPrincipal, EnsureThing, Step
from jitr.rules.model import Grant
from jitr.values import dataclass


@dataclass(frozen=True, slots=True)
class ThingFound:
    """A thing as AWS IoT has it. ``thing_groups`` are those that grants name, and perhaps others."""

    thing_type: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    thing_groups: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class DeviceFound:
    """What AWS IoT has of a device.

    ``thing`` is None where there is no thing of the granted name. ``attached`` says whether the certificate is attached
    to it, None where nobody asked. ``shared`` says that the thing follows another device's grant, which came later.
    """

    iot_policies: frozenset[str]
    thing: ThingFound | None = None
    attached: bool | None = None
    shared: bool = False


class DriftKind(Enum):
    """What differs."""

    IOT_POLICY = "iot_policy"
    THING = "thing"
    THING_TYPE = "thing_type"
    ATTRIBUTE = "attribute"
    THING_GROUP = "thing_group"
    ATTACHMENT = "attachment"  # of the certificate to its thing


@dataclass(frozen=True, slots=True)
class Drift:
    """One thing that is not as it was granted. ``granted`` is None for what is there beyond the grant."""

    kind: DriftKind
    name: str
    granted: str | None = None
    found: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as in ``--json``."""
        return {"differs": self.kind.value, "name": self.name, "granted": self.granted, "found": self.found}

    @property
    def told(self) -> str:
        """Say it in words."""
        what = f"{self.kind.value.replace('_', ' ').replace('iot', 'IoT')} {self.name}"
        if self.granted is None:
            return f"{what} is beyond the grant"
        if self.kind in (DriftKind.THING_TYPE, DriftKind.ATTRIBUTE) and self.found is not None:
            name = "thing type" if self.kind is DriftKind.THING_TYPE else what
            return f"{name} is {self.found}, granted was {self.granted}"
        if self.kind is DriftKind.ATTACHMENT:
            return f"certificate is not attached to its thing {self.name}"
        return f"{what} is missing"


def drifts(grant: Grant, found: DeviceFound) -> tuple[Drift, ...]:
    """Return how what AWS IoT has of a device differs from its grant, in the order in which grants are given."""
    return (*_of_thing(grant, found), *_of_policies(grant, found))


def _of_policies(grant: Grant, found: DeviceFound) -> Iterable[Drift]:
    granted = set(grant.iot_policies)
    for name in sorted(granted - found.iot_policies):
        yield Drift(DriftKind.IOT_POLICY, name, name)
    for name in sorted(found.iot_policies - granted):
        yield Drift(DriftKind.IOT_POLICY, name, None, name)


def _of_thing(grant: Grant, found: DeviceFound) -> Iterable[Drift]:
    if grant.thing is None:
        return
    if found.thing is None:
        yield Drift(DriftKind.THING, grant.thing, grant.thing)
        return
    if found.attached is False:
        yield Drift(DriftKind.ATTACHMENT, grant.thing, grant.thing)
    if not found.shared:
        yield from _within(grant, found.thing)


def _within(grant: Grant, thing: ThingFound) -> Iterable[Drift]:
    if grant.thing_type not in (None, thing.thing_type):
        yield Drift(DriftKind.THING_TYPE, str(grant.thing_type), grant.thing_type, thing.thing_type)
    for name, value in grant.attributes.items():
        # "To remove an attribute, call UpdateThing with an empty attribute value" (AWS IoT API reference,
        # AttributePayload): one that was granted empty is not there.
        if thing.attributes.get(name, "") != value:
            yield Drift(DriftKind.ATTRIBUTE, name, value, thing.attributes.get(name))
    for name in grant.thing_groups:
        if name not in thing.thing_groups:
            yield Drift(DriftKind.THING_GROUP, name, name)


def apart_from_its_thing(differ: Iterable[Drift]) -> tuple[Drift, ...]:
    """Return what a device lacks whose thing follows another's grant: IoT policies, and being attached to the thing."""
    found: list[Drift] = []
    for each in differ:
        if each.kind is DriftKind.THING:
            found.append(Drift(DriftKind.ATTACHMENT, each.name, each.granted))
        elif each.kind in (DriftKind.IOT_POLICY, DriftKind.ATTACHMENT):
            found.append(each)
    return tuple(found)


def steps_back(grant: Grant, differ: Iterable[Drift]) -> tuple[Step, ...]:
    """Return the steps that give a device again what it was granted and no longer has. They take nothing away.

    A thing that is made anew has nothing of the grant yet.
    """
    missing = {(each.kind, each.name) for each in differ if each.granted is not None}
    kinds = {kind for kind, _ in missing}
    steps: list[Step] = []
    if grant.thing is not None:
        anew = DriftKind.THING in kinds
        if anew or kinds & {DriftKind.THING_TYPE, DriftKind.ATTRIBUTE}:
            steps.append(EnsureThing(grant.thing, grant.thing_type, grant.attributes))
        if anew or DriftKind.ATTACHMENT in kinds:
            steps.append(AttachPrincipal(grant.thing))
        for group in grant.thing_groups:
            if anew or (DriftKind.THING_GROUP, group) in missing:
                steps.append(AddToGroup(group, grant.thing))
    steps += [AttachIotPolicy(name) for name in grant.iot_policies if (DriftKind.IOT_POLICY, name) in missing]
    return tuple(steps)
