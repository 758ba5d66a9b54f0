"""Devices, CAs and rules files of any size to measure with."""

from datetime import UTC, datetime
from functools import cache

from testkit import pki

from jitr.rules.conditions import (
    AttributeCondition,
    CaCondition,
    Condition,
    Glob,
    ListCondition,
    SerialCondition,
    SerialRange,
    Window,
    WindowCondition,
)
from jitr.rules.model import AllowRule, Ca, Grant, Rules, cost, load

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ALIAS = "factory-a"
GRANT = Grant(iot_policies=("Sensor",), thing="{common_name}")

# More than the reader keeps of relative names and extensions: no device finds its own in a cache.
DEVICES = 600


@cache
def factory(kind: str) -> pki.CA:
    """The CA of a kind of key."""
    return pki.ca(f"Factory {kind}", kind=kind)


def device(kind: str, number: int, *, known: bool = True) -> pki.Issued:
    """A device of one of the first production lines, or of none that any rule knows. RSA keys are shared."""
    name = f"line-{number % 9:05d}-{number:07d}" if known else f"nobody-{number:07d}"
    owner = f"device {number % 8}" if kind.startswith("RSA") else f"device {number}"
    return factory(kind).usual_device(name).key(kind, owner).serial(0x100000 + number).issue()


def pems(kind: str, count: int, *, known: bool = True) -> list[bytes]:
    """The certificates of some devices, as DescribeCertificate gives them."""
    return [device(kind, number, known=known).pem for number in range(count)]


def rules(own: int, *, others: int = 0, kind: str = "P-256") -> Rules:
    """A rules file as functions load it: rules for the CA of the devices, one a production line, and for 50 others.

    Of ten rules six are by name and window, two by name and device list, one by name and serial numbers, and one by
    five names written out.
    """
    allow = [_rule(number, ALIAS, f"line-{number:05d}") for number in range(own)]
    allow += [_rule(number, f"other-{number % 50}", f"other-{number:05d}") for number in range(others)]
    cas = {ALIAS: Ca(ALIAS, (factory(kind).id,), 1)}
    cas |= {f"other-{each}": Ca(f"other-{each}", (f"{each:02x}" * 32,), 2) for each in range(50 if others else 0)}
    written = Rules(source="admission.yaml", cas=cas, allow=tuple(allow))
    return load(written.compiled)


def _rule(number: int, alias: str, name: str) -> AllowRule:
    conditions: list[Condition] = [CaCondition((alias,)), AttributeCondition("organization", (Glob("OKIDA"),))]
    shape = number % 10
    names = (Glob(f"{name}-*"),) if shape < 9 else tuple(Glob(f"{name}-{each:07d}") for each in range(5))
    conditions.append(AttributeCondition("common_name", names))
    if shape < 6:
        conditions.append(WindowCondition((Window(NOW.date().replace(day=1), NOW.date().replace(month=12)),)))
    elif shape < 8:
        conditions.append(ListCondition((name,)))
    elif shape < 9:
        conditions.append(SerialCondition((SerialRange(0x100000, 0x900000),)))
    return AllowRule(name, 10 + number, tuple(sorted(conditions, key=cost)), GRANT)


def cedar(written: Rules) -> str:
    """The same rules in Cedar, its context being the certificate's facts."""
    return "\n".join(map(_permit, written.allow))


def _permit(rule: AllowRule) -> str:
    tests = " && ".join(_cedar(each) for each in rule.conditions if not isinstance(each, CaCondition))
    alias = "" if rule.cas is None else f' in CA::"{rule.cas[0]}"'
    return f'@id("{rule.name}") permit(principal{alias}, action, resource) when {{ {tests} }};'


def _cedar(condition: Condition) -> str:
    match condition:
        case AttributeCondition(name, patterns):
            return "(" + " || ".join(f'context.{name} like "{each.pattern}"' for each in patterns) + ")"
        case WindowCondition((window,)):
            first, end = (int(each.timestamp()) for each in (window.opens, window.closed))
            return f"context.knocked_at >= {first} && context.knocked_at < {end}"
        case ListCondition((name,)):
            return f'context.lists.contains("{name}")'
        case SerialCondition((numbers,)):
            return f"context.serial_number >= {numbers.first} && context.serial_number <= {numbers.last}"
        case _:
            raise NotImplementedError(condition.name)
