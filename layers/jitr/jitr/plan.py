"""What a decision does in AWS IoT, as a sequence of idempotent steps.

ACTIVE comes last: whatever fails on the way leaves a certificate that cannot connect, and doing all of it again
finishes the work.
"""

from collections.abc import Iterable, Mapping
from dataclasses import field

from jitr.decide import Decision
from jitr.reasons import Verdict
from jitr.values import dataclass


@dataclass(frozen=True, slots=True)
class EnsureThing:
    """Make the thing, or give ours the attributes and type of the grant."""

    name: str
    thing_type: str | None
    attributes: Mapping[str, str] = field(default_factory=dict)


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
class AttachIotPolicy:
    """Attach an IoT policy to the certificate."""

    name: str


@dataclass(frozen=True, slots=True)
class SetStatus:
    """Set the certificate's status: ACTIVE, INACTIVE or REVOKED."""

    status: str


Step = EnsureThing | AttachPrincipal | AddToGroup | AttachIotPolicy | SetStatus


def plan(decision: Decision) -> tuple[Step, ...]:
    """The steps that carry a decision out, in order. A hold changes nothing in AWS IoT."""
    if decision.verdict is Verdict.HOLD:
        return ()
    if decision.verdict is Verdict.REJECT:
        return (SetStatus("REVOKED" if decision.revoke else "INACTIVE"),)
    grant = decision.grant
    if grant is None:
        raise ValueError("an admission without a grant")
    steps: list[Step] = []
    if grant.thing is not None:
        steps.append(EnsureThing(grant.thing, grant.thing_type, grant.attributes))
        steps.append(AttachPrincipal(grant.thing))
        steps.extend(AddToGroup(group, grant.thing) for group in grant.thing_groups)
    steps.extend(AttachIotPolicy(name) for name in grant.iot_policies)
    return (*steps, SetStatus("ACTIVE"))


# Steps that need nothing of one another; and one such stage after the other.
Stage = tuple[Step, ...]
Lane = tuple[Stage, ...]


def lanes(steps: Iterable[Step]) -> tuple[Lane, ...]:
    """The steps before the status in lanes that need nothing of one another: the thing and what is attached to it,
    and the IoT policies, one by one, so that nothing more is asked once one of them is refused.
    """
    things: list[Step] = []
    attached: list[Step] = []
    policies: list[Step] = []
    for step in steps:
        match step:
            case EnsureThing():
                things.append(step)
            case AttachPrincipal() | AddToGroup():
                attached.append(step)
            case AttachIotPolicy():
                policies.append(step)
    found = ((tuple(things), tuple(attached)), tuple((each,) for each in policies))
    return tuple(lane for each in found if (lane := tuple(filter(None, each))))
