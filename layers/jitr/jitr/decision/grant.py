"""Filling in a grant: its templates, and what AWS IoT takes as a thing name or attribute value.

Nothing is ever "cleaned up": a name that AWS IoT would refuse is a reason to hold the device.
"""

import re
from functools import lru_cache

from jitr.devicelists.rows import ListRow
from jitr.facts import ATTRIBUTE_NAMES
from jitr.iot_names import ATTRIBUTE_VALUE, THING_NAME
from jitr.reasons import Reason
from jitr.rules.conditions import Circumstances
from jitr.rules.model import AllowRule, Grant
from jitr.rules.policy_variables import short, steering
from jitr.unseen import quote

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_SUBJECT_ATTRIBUTES = frozenset(ATTRIBUTE_NAMES.values())


class _Missing(Exception):
    """A template names something the device has not got exactly once."""


def fill(rule: AllowRule, seen: Circumstances) -> tuple[Grant, tuple[Reason, ...]]:
    """Fill in the rule's grant for this device; return it with every reason why it cannot be given.

    A list row's ``thing_name`` stands in place of the template in ``thing``. The row of the first list that the rule
    names and that has the device feeds ``{attr.NAME}``.
    """
    row = _row(rule, seen)
    reasons: list[Reason] = []
    thing = _thing(rule, row, seen, reasons)
    attributes, put_in = {}, {}
    for name, template in rule.grant.attributes.items():
        pieces = _filled(f"attribute {name}", template, row, seen, reasons)
        value = "".join(pieces)
        if not ATTRIBUTE_VALUE.takes(value):
            message = f"attribute {name} would be {short(value)}, which is not {ATTRIBUTE_VALUE}"
            reasons.append(Reason("grant.attribute", message))
        attributes[name], put_in[name] = value, pieces[1::2]
    reasons += steering(seen.knock, put_in, rule.grant.not_in_policies)
    return rule.grant.filled(thing, attributes), tuple(reasons)


def _row(rule: AllowRule, seen: Circumstances) -> ListRow | None:
    for name in rule.lists:
        membership = seen.memberships.get(name)
        if membership is not None and membership.ambiguous is None:
            return membership.row
    return None


def _thing(rule: AllowRule, row: ListRow | None, seen: Circumstances, reasons: list[Reason]) -> str | None:
    if rule.grant.thing is None:
        return None
    if row is not None and row.thing_name is not None:
        name = row.thing_name
    else:
        pieces = _filled("thing", rule.grant.thing, row, seen, reasons)
        if not pieces:
            return None
        name = "".join(pieces)
    if not THING_NAME.takes(name):
        reasons.append(Reason("grant.thing-name", f"the thing name {short(name)} is not {THING_NAME}"))
    return name


def _filled(what: str, template: str, row: ListRow | None, seen: Circumstances, reasons: list[Reason]) -> list[str]:
    """Return the template's pieces: text and, at odd places, filled-in values. None at all if a value is missing."""
    pieces = list(_parts(template))
    try:
        pieces[1::2] = [_value(name, row, seen) for name in pieces[1::2]]
    except _Missing as missing:
        reasons.append(Reason("grant.template-missing", f"{what}: {quote(template)} needs {missing}"))
        return []
    return pieces


@lru_cache(maxsize=1024)  # most rules of a file have their templates in common
def _parts(template: str) -> tuple[str, ...]:
    """Return the text before the first placeholder; then each placeholder's name and the text after it."""
    return tuple(_PLACEHOLDER.split(template))


def _value(name: str, row: ListRow | None, seen: Circumstances) -> str:
    certificate = seen.knock.certificate
    if name == "serial_number":
        return certificate.serial_number
    if name.startswith("attr."):
        value = None if row is None else row.attributes.get(name.removeprefix("attr."))
        if value is None:
            raise _Missing(f"{name}, which the device's list row does not have")
        return value
    if name not in _SUBJECT_ATTRIBUTES:
        raise _Missing(f"{name}, which is not a value that templates know")
    values = certificate.values(name)
    if len(values) != 1:
        has = "has not" if not values else f"has {len(values)} times"
        raise _Missing(f"{name}, which the certificate's subject {has}")
    return values[0]
