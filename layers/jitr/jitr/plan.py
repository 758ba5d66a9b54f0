"""What a decision does in AWS IoT, as a sequence of idempotent steps.

ACTIVE comes last: whatever fails on the way leaves a certificate that cannot connect, and doing all of it again
finishes the work.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from jitr.decide import Decision
from jitr.reasons import Verdict


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
