"""What exists in the account of all that rules name: what does not would only hold devices."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from jitr.aws.dynamodb.table import Table
from jitr.aws.errors import told_apart
from jitr.errors import Refused
from jitr.rules.file.reader import RulesContext
from jitr.rules.model import Rules

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient


def known_in(iot: "IoTClient", table: Table) -> RulesContext:
    """Return every device list, IoT policy, thing type and thing group. Raises Retry where AWS could not answer now."""
    return RulesContext(
        lists=frozenset(table.heads().lists),
        iot_policies=frozenset(_names(iot, "list_policies", "policies", "policyName")),
        thing_types=frozenset(_names(iot, "list_thing_types", "thingTypes", "thingTypeName")),
        thing_groups=frozenset(_names(iot, "list_thing_groups", "thingGroups", "groupName")),
    )


def _names(iot: Any, operation: str, things: str, name: str) -> Iterator[str]:
    with told_apart():
        for page in iot.get_paginator(operation).paginate():
            yield from (each[name] for each in page[things])


def missing_cas(iot: "IoTClient", rules: Rules) -> Iterator[str]:
    """Yield a warning for each CA not registered. Rules may come first; no device of it can knock until then."""
    for alias, ca in rules.cas.items():
        for each in ca.ids:
            try:
                with told_apart():
                    iot.describe_ca_certificate(certificateId=each)
            except Refused as refused:
                if refused.code != "ResourceNotFoundException":
                    raise
                yield f"CA {alias} ({each[:12]}) is not registered here: `jitr ca register` its certificate"


def unknown_names(rules: Rules, known: RulesContext) -> Iterator[str]:
    """Yield a warning for each name that does not exist (any more): of lists, and of what grants give."""
    for name in rules.lists:
        if known.lists is not None and name not in known.lists:
            yield f"there is no device list {name} here: no device is on it"
    for rule in rules.allow:
        grant = rule.grant
        types = () if grant.thing_type is None else (grant.thing_type,)
        for what, names, there in (
            ("IoT policy", grant.iot_policies, known.iot_policies),
            ("thing type", types, known.thing_types),
            ("thing group", grant.thing_groups, known.thing_groups),
        ):
            for name in names:
                if there is not None and name not in there:
                    yield f"rule {rule.name}: there is no {what} {name} here: devices under that rule would be held"
