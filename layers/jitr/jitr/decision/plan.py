"""What a decision does in AWS IoT, as a sequence of idempotent steps.

ACTIVE comes last: whatever fails on the way leaves a certificate that cannot connect, and doing all of it again
finishes the work.
"""

from collections.abc import Iterable, Mapping
from dataclasses import field
from typing import Any

from jitr.decision.decide import Decision
from jitr.reasons import Verdict
from jitr.rules.model import Grant
from jitr.values import dataclass

# Statuses of a certificate in AWS IoT.
PENDING, ACTIVE, INACTIVE, REVOKED = "PENDING_ACTIVATION", "ACTIVE", "INACTIVE", "REVOKED"


@dataclass(frozen=True, slots=True)
class Given:
    """A thing's gifts from grants: its groups, the names of its attributes, and its types in order.

    A thing outlives the device that it was made for, and what a device was granted is not for the next one to have.
    """

    thing_groups: frozenset[str] = frozenset()
    attributes: frozenset[str] = frozenset()
    thing_types: frozenset[str] = frozenset()

    @classmethod
    def by(cls, grant: Grant) -> "Given":
        """Return all that a grant gives to its thing."""
        types = frozenset[str]() if grant.thing_type is None else frozenset({grant.thing_type})
        return cls(frozenset(grant.thing_groups), frozenset(grant.attributes), types)

    def __or__(self, other: "Given") -> "Given":
        """Return what either gives."""
        return Given(
            self.thing_groups | other.thing_groups,
            self.attributes | other.attributes,
            self.thing_types | other.thing_types,
        )

    def __sub__(self, other: "Given") -> "Given":
        """Return what this gives and the other does not."""
        return Given(
            self.thing_groups - other.thing_groups,
            self.attributes - other.attributes,
            self.thing_types - other.thing_types,
        )

    def to_json(self) -> dict[str, list[str]]:
        """Return it as in the reservation."""
        return {name: sorted(getattr(self, name)) for name in self.__slots__}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Given":
        """Return what ``to_json`` wrote."""
        return cls(*(frozenset(data[name]) for name in cls.__slots__))


NOTHING = Given()


@dataclass(frozen=True, slots=True)
class EnsureThing:
    """Make the thing, or give ours the attributes and type of the grant, and take ``without`` away from it."""

    name: str
    thing_type: str | None
    attributes: Mapping[str, str] = field(default_factory=dict)
    without: Given = NOTHING


@dataclass(frozen=True, slots=True)
class AttachPrincipal:
    """Attach the certificate to the thing, so that ``iot:Connection.Thing`` policy variables work."""

    thing: str


@dataclass(frozen=True, slots=True)
class AddToGroup:
    """Add the thing to a thing group."""

    group: str
    thing: str


@dataclass(frozen=True, slots=True)
class RemoveFromGroup:
    """Take the thing out of a thing group that an earlier grant put it in."""

    group: str
    thing: str


@dataclass(frozen=True, slots=True)
class AttachIotPolicy:
    """Attach an IoT policy to the certificate."""

    name: str


@dataclass(frozen=True, slots=True)
class SetStatus:
    """Set the certificate's status: ACTIVE, INACTIVE or REVOKED."""

    status: str


Step = EnsureThing | AttachPrincipal | AddToGroup | RemoveFromGroup | AttachIotPolicy | SetStatus


def plan(decision: Decision, left: Given = NOTHING) -> tuple[Step, ...]:
    """Return the steps that carry a decision out, in order. A hold changes nothing in AWS IoT.

    ``left`` is what earlier grants gave to the thing and this one does not.
    """
    if decision.verdict is Verdict.HOLD:
        return ()
    if decision.verdict is Verdict.REJECT:
        return (SetStatus(REVOKED if decision.revoke else INACTIVE),)
    grant = decision.grant
    if grant is None:
        raise ValueError("an admission without a grant")
    steps: list[Step] = []
    if grant.thing is not None:
        steps.append(EnsureThing(grant.thing, grant.thing_type, grant.attributes, left))
        steps.extend(RemoveFromGroup(group, grant.thing) for group in sorted(left.thing_groups))
        steps.append(AttachPrincipal(grant.thing))
        steps.extend(AddToGroup(group, grant.thing) for group in grant.thing_groups)
    steps.extend(AttachIotPolicy(name) for name in grant.iot_policies)
    return (*steps, SetStatus(ACTIVE))


# Steps that need nothing of one another; and one such stage after the other.
Stage = tuple[Step, ...]
Lane = tuple[Stage, ...]


def lanes(steps: Iterable[Step]) -> tuple[Lane, ...]:
    """Return the steps before the status in lanes independent of one another: the thing and what is attached to it,
    and the IoT policies, one by one, so that nothing more is asked once one of them is refused.
    """
    things: list[Step] = []
    attached: list[Step] = []
    policies: list[Step] = []
    for step in steps:
        match step:
            case EnsureThing():
                things.append(step)
            case AttachPrincipal() | AddToGroup() | RemoveFromGroup():
                attached.append(step)
            case AttachIotPolicy():
                policies.append(step)
    found = ((tuple(things), tuple(attached)), tuple((each,) for each in policies))
    return tuple(lane for each in found if (lane := tuple(filter(None, each))))
