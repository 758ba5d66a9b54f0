"""Devices and rules made by hand, for tests of the deciding code: no certificate is parsed, nothing is signed."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from jitr.decision.decide import Decision, decide, lists_needed
from jitr.devicelists.rows import ListRow, Membership, membership_in, rows_by_key
from jitr.facts import Attribute, CaFacts, CertificateFacts, ChainFacts, KeyFacts, Knock, SignatureFacts
from jitr.reasons import Verdict
from jitr.rules.conditions import (
    AttributeCondition,
    CaCondition,
    Circumstances,
    Condition,
    Glob,
    ListCondition,
    SerialCondition,
    SerialRange,
    Window,
    WindowCondition,
)
from jitr.rules.model import AllowRule, Ca, DenyRule, Floor, Grant, Rules, cost

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CA_ID = "ca" * 32
OTHER_CA_ID = "cb" * 32

GRANT = Grant(iot_policies=("Sensor",), thing="{common_name}")


def knock(
    *,
    ca: CaFacts | str | None = "factory-a",
    chain: ChainFacts | None = None,
    aliases: frozenset[str] = frozenset({"factory-a"}),
    subject: tuple[tuple[str, str], ...] = (("organization", "OKIDA"), ("common_name", "snr-0001")),
    **facts: Any,
) -> Knock:
    """A device that has nothing wrong with it but what the arguments say."""
    certificate = CertificateFacts(
        certificate_sha256="c1" * 32,
        public_key_sha256="d1" * 32,
        version=3,
        serial_number="1001",
        subject=tuple(Attribute(name, value) for name, value in subject),
        issuer=(Attribute("organization", "OKIDA"),),
        not_before=NOW - timedelta(days=10),
        not_after=NOW + timedelta(days=365),
        key=KeyFacts("EC", 256, "P-256"),
        signature=SignatureFacts("ECDSA", "sha256"),
    )
    facts_of_ca = ca_facts() if isinstance(ca, str) else ca
    return Knock(
        certificate=replace(certificate, **facts),
        ca_certificate_id=CA_ID,
        ca=facts_of_ca,
        chain=None if facts_of_ca is None else chain or ChainFacts(signature_valid=True, names_equal=True),
        aliases=aliases,
    )


def seen(
    *subject: tuple[str, str],
    aliases: tuple[str, ...] = ("factory-a",),
    serial_number: str = "1001",
    at: datetime = NOW,
    lists: dict[str, Membership | None] | None = None,
) -> Circumstances:
    """A device with nothing but a subject and a serial number, as conditions see it."""
    certificate = CertificateFacts(
        certificate_sha256="1a" * 32,
        public_key_sha256="0a" * 32,
        version=3,
        serial_number=serial_number,
        subject=tuple(Attribute(name, value) for name, value in subject),
        issuer=(),
        not_before=NOW - timedelta(days=1),
        not_after=NOW + timedelta(days=1),
        key=KeyFacts("EC", 256, "P-256"),
        signature=SignatureFacts("ECDSA", "sha256"),
    )
    return Circumstances(Knock(certificate, CA_ID, None, None, frozenset(aliases)), lists or {}, at)


def ca_facts(**facts: Any) -> CaFacts:
    """A CA that has nothing wrong with it but what the arguments say."""
    good = CaFacts(
        ca_certificate_id=CA_ID,
        status="ACTIVE",
        not_before=NOW - timedelta(days=100),
        not_after=NOW + timedelta(days=1000),
        is_ca=True,
        may_sign=True,
        name_constraints=False,
        subject=(Attribute("organization", "OKIDA"),),
    )
    return replace(good, **facts)


def conditions(
    *,
    ca: str | None = None,
    common_name: str | None = None,
    organization: str | None = None,
    lists: tuple[str, ...] = (),
    serial_number: tuple[int, int] | None = None,
    window: Window | None = None,
) -> tuple[Condition, ...]:
    """The conditions of a rule, in the order in which rules keep them."""
    found: list[Condition] = []
    if ca is not None:
        found.append(CaCondition((ca,)))
    for name, pattern in (("common_name", common_name), ("organization", organization)):
        if pattern is not None:
            found.append(AttributeCondition(name, (Glob(pattern),)))
    if lists:
        found.append(ListCondition(lists))
    if serial_number is not None:
        found.append(SerialCondition((SerialRange(*serial_number),)))
    if window is not None:
        found.append(WindowCondition((window,)))
    return tuple(sorted(found, key=cost))


def allow(name: str = "line-a", *, grant: Grant = GRANT, max_devices: int | None = None, **matching: Any) -> AllowRule:
    """An allow rule; without conditions given it is for every device of factory-a."""
    return AllowRule(name, 10, conditions(**(matching or {"ca": "factory-a"})), grant, max_devices)


def deny(name: str = "recalled", *, reason: str | None = None, revoke: bool = False, **matching: Any) -> DenyRule:
    """A deny rule."""
    return DenyRule(name, 5, conditions(**matching), reason, revoke)


def rules(*each: AllowRule | DenyRule, default: Verdict = Verdict.HOLD, floor: Floor | None = None) -> Rules:
    """A rules file with these rules, for one CA."""
    return Rules(
        source="admission.yaml",
        default=default,
        cas={"factory-a": Ca("factory-a", (CA_ID,), 3), "factory-b": Ca("factory-b", (OTHER_CA_ID,), 4)},
        floor=floor or Floor(),
        deny=tuple(rule for rule in each if isinstance(rule, DenyRule)),
        allow=tuple(rule for rule in each if isinstance(rule, AllowRule)),
    )


def decided(
    device: Knock,
    in_force: Rules,
    lists: dict[str, list[ListRow]] | None = None,
    *,
    now: datetime = NOW,
    knocked_at: datetime | None = None,
) -> Decision:
    """The decision about a device, its lists given as rows."""
    at = knocked_at or now
    memberships = {
        name: membership_in(device, rows_by_key((lists or {}).get(name, [])), now)
        for name in lists_needed(device, in_force, at)
    }
    return decide(device, in_force, memberships, now, at)


def codes(decision: Decision) -> list[str]:
    """The reason codes of a decision, in its order."""
    return [each.code for each in decision.reasons]
