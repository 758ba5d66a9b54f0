"""Rules as a rules file in one canonical form: reading it gives rules of the same meaning."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping

from jitr.reasons import Verdict
from jitr.rules.conditions import (
    AttributeCondition,
    CaCondition,
    Condition,
    ListCondition,
    SerialCondition,
    WindowCondition,
)
from jitr.rules.file.fields import CONDITION_NAMES
from jitr.rules.model import FORMAT, AllowRule, Ca, Crl, DenyRule, Floor, Grant, Rule, Rules
from jitr.unseen import why_unseen


def to_yaml(rules: Rules) -> str:
    """A rules file with these rules; what has its default is left out. It has no comments and no tests."""
    lines = [f"format: {FORMAT}", f"default: {rules.default.value}"]
    lines += _section("cas", (line for ca in rules.cas.values() for line in _ca(ca)))
    lines += _section("certificate", _floor(rules.floor))
    lines += _section("deny", (line for rule in rules.deny for line in _deny(rule)))
    lines += _section("allow", (line for rule in rules.allow for line in _allow(rule)))
    return "\n".join(lines) + "\n"


def _section(name: str, lines: Iterable[str]) -> list[str]:
    indented = [f"  {each}" for each in lines]
    return [f"{name}:", *indented] if indented else []


def _item(lines: Iterable[str]) -> Iterator[str]:
    """The lines of a mapping as one entry of a list."""
    for position, line in enumerate(lines):
        yield f"{'  ' if position else '- '}{line}"


def _ca(ca: Ca) -> list[str]:
    lines = [f"ids: {_values(ca.ids)}"]
    if ca.crls:
        first = ca.crls[0]
        private = ", private_network: true" if first.private_network else ""
        lists = [_list(each) for each in ca.crls]
        where = lists[0] if first.point is None else f"partitions: [{', '.join(f'{{{each}}}' for each in lists)}]"
        lines.append(f"crl: {{{where}, when_stale: {first.when_stale.value}{private}}}")
    if ca.ocsp is not None:
        ocsp = ca.ocsp
        flags = (
            f"require_nonce: {str(ocsp.require_nonce).lower()}, private_network: {str(ocsp.private_network).lower()}"
        )
        decided = f"hash: {ocsp.hash}, when_unavailable: {ocsp.when_unavailable.value}"
        lines.append(f"ocsp: {{url: {_text(ocsp.url)}, {decided}, {flags}}}")
    return _section(_text(ca.alias), lines)


def _list(crl: Crl) -> str:
    delta = "" if crl.delta is None else f", delta: {_text(crl.delta)}"
    point = "" if crl.point is None else f", point: {_text(crl.point)}"
    return f"url: {_text(crl.url)}{delta}{point}"


def _floor(floor: Floor) -> Iterator[str]:
    usual = Floor()
    if floor.min_rsa_bits != usual.min_rsa_bits:
        yield f"min_rsa_bits: {floor.min_rsa_bits}"
    if floor.curves != usual.curves:
        yield f"curves: {_values(floor.curves)}"
    if floor.signature_hashes != usual.signature_hashes:
        yield f"signature_hashes: {_values(floor.signature_hashes)}"
    if floor.serial_numbers != usual.serial_numbers:
        yield f"serial_numbers: {floor.serial_numbers}"


def _deny(rule: DenyRule) -> Iterator[str]:
    lines = [*_matching(rule)]
    if rule.reason is not None:
        lines.append(f"reason: {_text(rule.reason)}")
    if rule.revoke:
        lines.append("revoke: true")
    return _item(lines)


def _allow(rule: AllowRule) -> Iterator[str]:
    lines = [*_matching(rule)]
    if rule.max_devices is not None:
        lines.append(f"max_devices: {rule.max_devices}")
    if rule.formerly is not None:
        lines.append(f"formerly: {_text(rule.formerly)}")
    return _item([*lines, *_section("grant", _grant(rule.grant))])


def _matching(rule: Rule) -> Iterator[str]:
    yield f"name: {_text(rule.name)}"
    for condition in sorted(rule.conditions, key=lambda each: CONDITION_NAMES.index(each.name)):
        yield f"{condition.name}: {_values(_condition(condition))}"


def _condition(condition: Condition) -> tuple[str, ...]:
    match condition:
        case CaCondition():
            return condition.aliases
        case ListCondition():
            return condition.lists
        case SerialCondition():
            return tuple(str(each) for each in condition.ranges)
        case WindowCondition():
            return tuple(str(each) for each in condition.windows)
        case AttributeCondition():
            return tuple(each.pattern for each in condition.patterns)
    raise TypeError(f"{condition!r} is no condition of a rules file")


def _grant(grant: Grant) -> Iterator[str]:
    if grant.thing is not None:
        yield f"thing: {_text(grant.thing)}"
    if grant.thing_type is not None:
        yield f"thing_type: {_text(grant.thing_type)}"
    if grant.attributes:
        yield f"attributes: {_mapping(grant.attributes)}"
    if grant.thing_groups:
        yield f"thing_groups: {_values(grant.thing_groups)}"
    if grant.iot_policies:
        yield f"iot_policies: {_values(grant.iot_policies)}"
    yield from _guards(grant)


def _guards(grant: Grant) -> Iterator[str]:
    if grant.renewal != Verdict.HOLD:
        yield f"renewal: {grant.renewal}"
    if grant.renewal_from:
        yield f"renewal_from: {_values(grant.renewal_from)}"
    if grant.existing != Verdict.HOLD:
        yield f"existing: {grant.existing}"
    if grant.not_in_policies:
        yield f"not_in_policies: {_values(grant.not_in_policies)}"


def _mapping(values: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{_text(name)}: {_text(value)}" for name, value in values.items()) + "}"


def _values(values: tuple[str, ...]) -> str:
    return _text(values[0]) if len(values) == 1 else f"[{', '.join(_text(each) for each in values)}]"


# Words that any YAML reader takes for a text; everything else is put in double quotes.
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_]*(-[A-Za-z0-9_]+)*|[0-9]{4}-[0-9]{2}-[0-9]{2}\.\.[0-9]{4}-[0-9]{2}-[0-9]{2}")
_NOT_TEXT = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n", "nan", "inf"})


def _text(text: str) -> str:
    if _PLAIN.fullmatch(text) and text.lower() not in _NOT_TEXT:
        return text
    quoted = json.dumps(text, ensure_ascii=False)
    return re.sub(r"[^\x20-\x7e]", lambda found: found[0] if _shows(found[0]) else _escape(found[0]), quoted)


def _shows(character: str) -> bool:
    return character.isprintable() and why_unseen(character) is None


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
