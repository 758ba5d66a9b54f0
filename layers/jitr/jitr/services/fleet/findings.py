"""What a check has to tell of one device, as it is kept, shown and printed."""

from collections.abc import Iterable, Mapping
from typing import Any

from jitr.decision.decide import Decision
from jitr.fleet.drift import Drift
from jitr.fleet.standing import Standing, says_nothing_of_the_device
from jitr.records.record import Record, common_name
from jitr.times import rfc3339
from jitr.values import dataclass

FleetFinding = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class KnownDevice:
    """What a finding says of its device. ``decided_at`` is when it was registered, where it has no record."""

    certificate_id: str
    ca_certificate_id: str | None
    common_name: str
    decided_at: str
    rule: str | None = None
    revision: int | None = None  # of the record that was looked at
    by: str | None = None  # the operator who let it in, or touched it last

    def to_json(self) -> dict[str, Any]:
        """Return it as ``--json`` prints it and as the notebook keeps it."""
        return {
            "certificate_id": self.certificate_id,
            "ca_certificate_id": self.ca_certificate_id,
            "common_name": self.common_name,
            "decided_at": self.decided_at,
            "rule": self.rule,
            "revision": self.revision,
            "by": self.by,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "KnownDevice":
        """Read what ``to_json`` wrote."""
        return cls(**{name: data[name] for name in cls.__slots__})

    def found(self, standing: Standing, **more: Any) -> dict[str, Any]:
        """Return a finding about it."""
        nothing: dict[str, Any] = {"status": None, "was": None, "today": None, "drift": []}
        return {"finding": standing.value} | self.to_json() | nothing | more


def device_of(record: Record, by: str | None) -> KnownDevice:
    """Return what a finding says of a device on record."""
    return KnownDevice(
        record.certificate_id,
        record.ca_certificate_id,
        common_name(record),
        rfc3339(record.decided_at),
        record.rule,
        record.revision,
        by,
    )


def today(decision: Decision) -> dict[str, Any]:
    """Return today's decision as findings have it."""
    return {
        "decision": decision.verdict.value,
        "rule": decision.rule,
        "at": decision.at,
        "reasons": [each.to_json() for each in decision.reasons],
    }


def drifted(device: KnownDevice, differ: Iterable[Drift]) -> dict[str, Any]:
    """Return the finding that AWS IoT has something else than was granted."""
    told = [each.to_json() | {"message": each.told} for each in differ]
    return device.found(Standing.DRIFT, status="ACTIVE", drift=told)


def codes(finding: FleetFinding) -> list[str]:
    """Return the reason codes of today's decision, the heaviest first."""
    return [] if finding["today"] is None else [str(each["code"]) for each in finding["today"]["reasons"]]


# The kinds of which devices are taken out.
CUT_OFF = frozenset({Standing.REJECT, Standing.HOLD, Standing.UNKNOWN})


def may_be_cut_off(finding: FleetFinding) -> bool:
    """Return whether a device is in and ought not to be: what ``--deactivate`` takes out.

    Not one that would be held only because a revocation list or a responder cannot be used.
    """
    standing = Standing(finding["finding"])
    if standing is Standing.HOLD:
        return not says_nothing_of_the_device(codes(finding))
    return standing in CUT_OFF


def may_be_given_back(finding: FleetFinding) -> bool:
    """Return whether a device lacks something that it was granted: what ``--reattach`` gives back."""
    return any(each["granted"] is not None for each in finding["drift"])


def beyond_its_grant(finding: FleetFinding) -> tuple[str, ...]:
    """Return the IoT policies that a device has and was not granted: ``--reattach`` takes nothing away."""
    return tuple(each["name"] for each in finding["drift"] if each["granted"] is None)


def told(finding: FleetFinding) -> str:
    """Say in words what was found."""
    match Standing(finding["finding"]):
        case Standing.REJECT | Standing.HOLD:
            return _reasons(finding)
        case Standing.UNKNOWN:
            by = f"registered by {finding['by']}" if finding["by"] else "nobody knows who registered it"
            return f"{by}, {finding['decided_at']}; today: {_reasons(finding)}"
        case Standing.GONE:
            return "admitted, and AWS IoT holds no such certificate"
        case Standing.CHANGED:
            return f"{finding['was']}, and another hand made it {finding['status']}"
        case Standing.DRIFT:
            return "; ".join(each["message"] for each in finding["drift"])


def _reasons(finding: FleetFinding) -> str:
    if finding["today"] is None:
        return "not decided"
    return "; ".join(f"{each['code']}: {each['message']}" for each in finding["today"]["reasons"])
