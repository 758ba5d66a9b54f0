"""Rules as the deciding code sees them, and their compiled form.

The compiled form is canonical JSON: what functions load (they never parse YAML), with the line of every rule, so that
a decision can cite ``file:line``. Two digests name it. ``digest`` is the SHA-256 of all of it and says which file was
in force. ``meaning`` leaves out file name and lines: a moved comment is another digest, but not a changed rule.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import field
from datetime import date
from functools import cached_property
from typing import Any

from jitr.reasons import Verdict
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
from jitr.rules.index import RuleIndex
from jitr.values import dataclass

FORMAT = 1
MAX_POLICIES = 10  # per certificate: AWS IoT Core quotas, "Maximum number of policies attached to a certificate"


@dataclass(frozen=True, slots=True)
class Crl:
    """The address of a CA's revocation list, or of one partition of it, and the decision without a fresh one."""

    url: str
    when_stale: Verdict = Verdict.HOLD
    private_network: bool = False  # whether its server may be in one
    delta: str | None = None  # where what changed since is
    point: str | None = None  # of a partition: the distribution point that its devices' certificates name

    @property
    def key(self) -> str:
        """What tells apart what was read in different ways."""
        return self.url if self.delta is None else f"{self.url} and {self.delta}"

    def is_for(self, points: tuple[str, ...] | None) -> bool:
        """Tell whether it is for a certificate that names these distribution points: a partition for its own only."""
        return self.point is None or self.point in (points or ())


@dataclass(frozen=True, slots=True)
class Ocsp:
    """Whom to ask whether a CA revoked a certificate (RFC 6960), and what to decide where nobody answers."""

    url: str
    responder: str | None = None  # the one certificate whose key may sign answers: its DER in base64
    hash: str = "sha1"  # of the CA's name and key in the question (RFC 6960 section 4.1.1)
    when_unavailable: Verdict = Verdict.HOLD
    require_nonce: bool = False
    private_network: bool = False

    @property
    def key(self) -> str:
        """A key that differs if answers were fetched or verified differently."""
        return self.url if self.responder is None else f"{self.url} ({self._fingerprint})"

    @property
    def _fingerprint(self) -> str:
        return hashlib.sha256(base64.b64decode(self.responder or "")).hexdigest()[:16]

    def to_json(self) -> dict[str, Any]:
        """Return it as in the compiled rules."""
        return {
            "url": self.url,
            "responder": self.responder,
            "hash": self.hash,
            "when_unavailable": self.when_unavailable.value,
            "require_nonce": self.require_nonce,
            "private_network": self.private_network,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Ocsp":
        """Read ``to_json``."""
        return cls(
            data["url"],
            data["responder"],
            data["hash"],
            Verdict(data["when_unavailable"]),
            data["require_nonce"],
            data["private_network"],
        )


@dataclass(frozen=True, slots=True)
class Ca:
    """A CA alias: the caCertificateIds it stands for."""

    alias: str
    ids: tuple[str, ...]
    line: int
    crls: tuple[Crl, ...] = ()  # its revocation list, or each partition of it
    ocsp: Ocsp | None = None

    @property
    def revokes(self) -> bool:
        """Whether what the CA revokes is asked for."""
        return bool(self.crls) or self.ocsp is not None


@dataclass(frozen=True, slots=True)
class Floor:
    """The least that every certificate must have. AWS IoT itself refuses weaker ones."""

    min_rsa_bits: int = 2048
    curves: tuple[str, ...] = ("P-256", "P-384", "P-521")
    signature_hashes: tuple[str, ...] = ("sha256", "sha384", "sha512")
    serial_numbers: str = "positive"  # positive | any


@dataclass(frozen=True, slots=True)
class Grant:
    """An allow rule's grant; ``thing`` and attribute values are templates until they are filled in."""

    iot_policies: tuple[str, ...] = ()
    thing: str | None = None
    thing_type: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    thing_groups: tuple[str, ...] = ()
    renewal: str = "hold"  # hold | coexist | replace
    existing: str = "hold"  # hold | adopt
    not_in_policies: tuple[str, ...] = ()  # what no IoT policy of the device goes by: jitr.rules.policy_variables
    renewal_from: tuple[str, ...] = ()  # CA aliases: whose devices' names the device may have, beside its own CA's

    def filled(self, thing: str | None, attributes: Mapping[str, str]) -> "Grant":
        """Make the grant of one device. ``dataclasses.replace`` would take longer than all that fills it in."""
        return Grant(
            self.iot_policies,
            thing,
            self.thing_type,
            attributes,
            self.thing_groups,
            self.renewal,
            self.existing,
            self.not_in_policies,
            self.renewal_from,
        )

    def to_json(self) -> dict[str, Any]:
        """Return it as in the compiled rules, the decision record and under ``grant`` in ``jitr explain --json``.

        What was not known from the beginning is there only where a grant has it: rules that do not use it keep their
        digest and their meaning.
        """
        later = {"not_in_policies": list(self.not_in_policies), "renewal_from": list(self.renewal_from)}
        return {name: values for name, values in later.items() if values} | {
            "thing": self.thing,
            "thing_type": self.thing_type,
            "attributes": dict(self.attributes),
            "thing_groups": list(self.thing_groups),
            "iot_policies": list(self.iot_policies),
            "renewal": self.renewal,
            "existing": self.existing,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Grant":
        """Read back what ``to_json`` wrote."""
        return cls(
            thing=data["thing"],
            thing_type=data["thing_type"],
            attributes=dict(data["attributes"]),
            thing_groups=tuple(data["thing_groups"]),
            iot_policies=tuple(data["iot_policies"]),
            renewal=data["renewal"],
            existing=data["existing"],
            not_in_policies=tuple(data.get("not_in_policies", ())),
            renewal_from=tuple(data.get("renewal_from", ())),
        )


@dataclass(frozen=True)
class Rule:
    """The common part of deny and allow rules: a name, its place in the file, and conditions that must all hold."""

    name: str
    line: int
    conditions: tuple[Condition, ...]

    @cached_property
    def cas(self) -> tuple[str, ...] | None:
        """The CA aliases the rule is for; None: every CA."""
        return next((each.aliases for each in self.conditions if isinstance(each, CaCondition)), None)

    @cached_property
    def lists(self) -> tuple[str, ...]:
        """The device lists the rule refers to, in its order."""
        return next((each.lists for each in self.conditions if isinstance(each, ListCondition)), ())

    @cached_property
    def windows(self) -> WindowCondition | None:
        """The rule's window condition, if it has one."""
        return next((each for each in self.conditions if isinstance(each, WindowCondition)), None)


@dataclass(frozen=True)
class DenyRule(Rule):
    """A rule that rejects what it matches; ``revoke`` makes it REVOKED, which nobody can undo."""

    reason: str | None = None
    revoke: bool = False


@dataclass(frozen=True)
class AllowRule(Rule):
    """A rule that gives its grant to what it matches; ``max_devices`` limits how many hold it at once."""

    grant: Grant = field(default_factory=Grant)
    max_devices: int | None = None
    formerly: str | None = None  # the name that it had first

    @property
    def places(self) -> str:
        """The name under which its places are counted; it stays when the rule is renamed."""
        return self.formerly or self.name


@dataclass(frozen=True)
class Rules:
    """One rules file. Rules are kept in the file's order."""

    source: str  # the file's name, for citing
    default: Verdict = Verdict.HOLD
    cas: Mapping[str, Ca] = field(default_factory=dict)
    floor: Floor = field(default_factory=Floor)
    deny: tuple[DenyRule, ...] = ()
    allow: tuple[AllowRule, ...] = ()

    def at(self, rule: Rule) -> str:
        """Return where a rule stands: ``file:line``."""
        return f"{self.source}:{rule.line}"

    @cached_property
    def _aliases(self) -> Mapping[str, frozenset[str]]:
        found: dict[str, set[str]] = {}
        for ca in self.cas.values():
            for each in ca.ids:
                found.setdefault(each, set()).add(ca.alias)
        return {each: frozenset(aliases) for each, aliases in found.items()}

    def aliases_of(self, ca_certificate_id: str) -> frozenset[str]:
        """Return the aliases that name a registered CA; usually one, none for a CA that the rules do not name."""
        return self._aliases.get(ca_certificate_id, frozenset())

    @cached_property
    def deny_index(self) -> RuleIndex[DenyRule]:
        """Which deny rules could match a device."""
        return RuleIndex(self.deny)

    @cached_property
    def allow_index(self) -> RuleIndex[AllowRule]:
        """Which allow rules could match a device."""
        return RuleIndex(self.allow)

    @cached_property
    def allow_by_name(self) -> Mapping[str, AllowRule]:
        """The allow rules by their names, and by those that they had first where no other has them now."""
        former = {each.formerly: each for each in self.allow if each.formerly is not None}
        return former | {each.name: each for each in self.allow}

    @cached_property
    def crls(self) -> Mapping[str, tuple[Crl, ...]]:
        """The revocation list, or its partitions, of each alias that has one configured."""
        return {alias: ca.crls for alias, ca in self.cas.items() if ca.crls}

    @cached_property
    def ocsps(self) -> Mapping[str, Ocsp]:
        """The responders by alias of the CAs that have one configured."""
        return {alias: ca.ocsp for alias, ca in self.cas.items() if ca.ocsp is not None}

    @cached_property
    def lists(self) -> tuple[str, ...]:
        """Every device list that a rule refers to, sorted."""
        return tuple(sorted({each for rule in (*self.deny, *self.allow) for each in rule.lists}))

    def to_json(self) -> dict[str, Any]:
        """Return the compiled form, with positions."""
        return {
            "format": FORMAT,
            "source": self.source,
            "default": self.default.value,
            "cas": {alias: _ca_json(ca) for alias, ca in self.cas.items()},
            "certificate": {
                "min_rsa_bits": self.floor.min_rsa_bits,
                "curves": list(self.floor.curves),
                "signature_hashes": list(self.floor.signature_hashes),
            }
            # Only where it is said: the rules of earlier versions keep their meaning.
            | ({} if self.floor.serial_numbers == "positive" else {"serial_numbers": self.floor.serial_numbers}),
            "deny": [
                _conditions_json(rule)
                | {"name": rule.name, "line": rule.line, "reason": rule.reason, "revoke": rule.revoke}
                for rule in self.deny
            ],
            "allow": [
                _conditions_json(rule)
                | {
                    "name": rule.name,
                    "line": rule.line,
                    "max_devices": rule.max_devices,
                    "grant": rule.grant.to_json(),
                }
                | ({} if rule.formerly is None else {"formerly": rule.formerly})
                for rule in self.allow
            ],
        }

    @cached_property
    def compiled(self) -> bytes:
        """The canonical JSON of ``to_json``, as it is stored."""
        return canonical_json(self.to_json())

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the compiled form, in hex: which file was in force, to the line."""
        return hashlib.sha256(self.compiled).hexdigest()

    @cached_property
    def meaning(self) -> str:
        """SHA-256 of the compiled form without file name and lines: equal for two files that say the same."""
        return hashlib.sha256(canonical_json(_without_positions(self.to_json()))).hexdigest()


def load(compiled: bytes) -> Rules:
    """Read the rules from their compiled form. Raises ValueError for bytes of no format that this code knows."""
    data = json.loads(compiled)
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise ValueError(f"not compiled rules of format {FORMAT}")
    try:
        return _load(data)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"damaged compiled rules: {error!r}") from error


def _load(data: Mapping[str, Any]) -> Rules:
    floor = data["certificate"]
    known: dict[str, Condition] = {}
    return Rules(
        source=data["source"],
        default=Verdict(data["default"]),
        cas={alias: _ca(alias, each) for alias, each in data["cas"].items()},
        floor=Floor(
            floor["min_rsa_bits"],
            tuple(floor["curves"]),
            tuple(floor["signature_hashes"]),
            floor.get("serial_numbers", "positive"),
        ),
        deny=tuple(
            DenyRule(each["name"], each["line"], _conditions(each, known), each["reason"], each["revoke"])
            for each in data["deny"]
        ),
        allow=tuple(
            AllowRule(
                each["name"],
                each["line"],
                _conditions(each, known),
                Grant.from_json(each["grant"]),
                each["max_devices"],
                each.get("formerly"),
            )
            for each in data["allow"]
        ),
    )


def canonical_json(value: Any) -> bytes:
    """Return one spelling for equal values: sorted keys, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _without_positions(compiled: Mapping[str, Any]) -> dict[str, Any]:
    def unplaced(entry: Mapping[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in entry.items() if key != "line"}

    return {
        **{key: value for key, value in compiled.items() if key != "source"},
        "cas": {alias: unplaced(ca) for alias, ca in compiled["cas"].items()},
        "deny": [unplaced(rule) for rule in compiled["deny"]],
        "allow": [unplaced(rule) for rule in compiled["allow"]],
    }


def _ca_json(ca: Ca) -> dict[str, Any]:
    # A file that asks no responder has the digest that it always had.
    ocsp = {} if ca.ocsp is None else {"ocsp": ca.ocsp.to_json()}
    return {"ids": list(ca.ids), "line": ca.line, "crl": _crls_json(ca.crls)} | ocsp


def _crls_json(crls: tuple[Crl, ...]) -> dict[str, Any] | None:
    """Return what stands under ``crl``. What a file does not say is left out: it has the digest that it always had."""
    if not crls:
        return None
    # What is decided, and from where, is said once for all partitions.
    common: dict[str, Any] = {"when_stale": crls[0].when_stale.value}
    common |= {"private_network": True} if crls[0].private_network else {}
    if crls[0].point is None:
        return _list_json(crls[0]) | common
    return {"partitions": [_list_json(each) | {"point": each.point} for each in crls]} | common


def _list_json(crl: Crl) -> dict[str, Any]:
    return {"url": crl.url} | ({} if crl.delta is None else {"delta": crl.delta})


def _crls(data: Mapping[str, Any] | None) -> tuple[Crl, ...]:
    """Read ``_crls_json``."""
    if data is None:
        return ()
    stale, private_network = Verdict(data["when_stale"]), data.get("private_network") is True
    return tuple(
        [
            Crl(each["url"], stale, private_network, each.get("delta"), each.get("point"))
            for each in data.get("partitions", (data,))
        ]
    )


def _ca(alias: str, data: Mapping[str, Any]) -> Ca:
    ocsp = data.get("ocsp")
    return Ca(
        alias, tuple(data["ids"]), data["line"], _crls(data["crl"]), None if ocsp is None else Ocsp.from_json(ocsp)
    )


def _conditions_json(rule: Rule) -> dict[str, Any]:
    return {"conditions": {each.name: each.to_json() for each in rule.conditions}}


def _conditions(data: Mapping[str, Any], known: dict[str, Condition]) -> tuple[Condition, ...]:
    """Make the conditions of a rule. Equal ones of a file are one object: it stays small, and each is checked once."""
    found = []
    for name, value in data["conditions"].items():
        text = f"{name}={value!r}"
        if text not in known:
            known[text] = _condition(name, value)
        found.append(known[text])
    return tuple(sorted(found, key=cost))


def _condition(name: str, value: Any) -> Condition:
    match name:
        case "ca":
            return CaCondition(tuple(value))
        case "list":
            return ListCondition(tuple(value))
        case "serial_number":
            return SerialCondition(tuple(SerialRange(int(first, 16), int(last, 16)) for first, last in value))
        case "window":
            return WindowCondition(tuple(Window(date.fromisoformat(a), date.fromisoformat(b)) for a, b in value))
        case _:
            return AttributeCondition(name, tuple(Glob(each) for each in value))


_COST = {"ca": 0, "list": 4, "window": 2, "serial_number": 1}


def cost(condition: Condition) -> tuple[int, str]:
    """Return the order in which conditions are checked: cheap before expensive, lists (a table read) last."""
    return _COST.get(condition.name, 3), condition.name
