"""Reading the operators' rules file: from bytes to rules, tests and warnings, or to every error in it.

The steps: 1. text and tree (``source``); 2. typed entries by the tables of fields (``entries``); 3. rules and tests
from the entries, with what one key says about another; 4. warnings (``doubts``).
A file with an error in any of the first three is refused whole.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import field
from datetime import date, datetime
from typing import Any

from jitr.devicelists.rows import ListRow
from jitr.devicelists.values import read_row
from jitr.errors import InputError
from jitr.facts import Attribute, KeyFacts
from jitr.reasons import Verdict
from jitr.rules.conditions import (
    AttributeCondition,
    CaCondition,
    Condition,
    ListCondition,
    SerialCondition,
    WindowCondition,
)
from jitr.rules.file.doubts import DoubtFinder
from jitr.rules.file.entries import At, Entries, Entry
from jitr.rules.file.fields import CONDITION_NAMES, MAX_ATTRIBUTES_WITHOUT_TYPE
from jitr.rules.file.kinds import SUBJECT_ATTRIBUTES, placeholders
from jitr.rules.file.problems import Place, ProblemCollector, TooManyProblems, did_you_mean, quoted
from jitr.rules.file.rules_file import Expectation, RulesFile, RuleTest, RuleTestDevice
from jitr.rules.file.source import parse, read_text
from jitr.rules.model import AllowRule, Ca, Crl, DenyRule, Floor, Grant, Ocsp, Rules, cost
from jitr.rules.policy_variables import ATTRIBUTES
from jitr.values import dataclass

CertificateId = Callable[[str], str]
ResponderCertificate = Callable[[str], str]

_NO_FILES: Mapping[str, str] = {}

_MOST_SUGGESTIONS = 50
# What to do where a certificate is named by a file that is not at hand.
NAME_BY_ID = "write the CA's id under `ids` instead; `jitr ca ls` prints it"
_HAVE_THE_FILE = "publish the rules with `jitr rules publish`, where the file is"
_HOW_TO_MAKE = {
    "device list": "make it first: `jitr lists import NAME FILE.csv`, where a header alone is an empty list"
}


@dataclass(frozen=True, slots=True)
class RulesContext:
    """Facts from outside the file. None is unknown, and then not checked.

    Names of device lists, IoT policies, thing types and thing groups that exist; when CA certificates expire, by
    caCertificateId; and the day it is, in UTC.
    """

    lists: Collection[str] | None = None
    iot_policies: Collection[str] | None = None
    thing_types: Collection[str] | None = None
    thing_groups: Collection[str] | None = None
    ca_not_after: Mapping[str, datetime] = field(default_factory=dict)
    today: date | None = None


def read_rules(
    text: bytes,
    *,
    source: str,
    certificate_id: CertificateId = _NO_FILES.__getitem__,
    responder: ResponderCertificate = _NO_FILES.__getitem__,
    known: RulesContext | None = None,
) -> RulesFile:
    """Read a rules file.

    ``source`` is the file's name as problems tell it; the rules keep its last part, so that their digest does not
    depend on where the file lies. ``certificate_id`` turns the path under ``certificate`` of a CA into its
    caCertificateId, and ``responder`` the path under ``responder`` of an ``ocsp`` into that certificate's DER in
    base64; both raise InputError, and KeyError for a file that is not at hand, as by default every one is.
    Raises RulesError with every error in the file.
    """
    decoded, findings = read_text(text, source)
    known = known or RulesContext()
    read = None
    with suppress(TooManyProblems):
        node = parse(decoded, findings)
        entry = None if node is None else Entries(findings).file(node)
        if entry is not None:
            build = _Build(findings, certificate_id, responder, known)
            rules = build.rules(entry, re.split(r"[/\\]", source)[-1] or source)
            read = entry, rules, tuple(build.test(each, rules) for each in entry.entries("tests"))
    findings.raise_errors()
    if read is None:
        raise AssertionError("what cannot be read has been told of as an error")
    entry, rules, tests = read
    DoubtFinder(findings, rules, entry, known.today, known.ca_not_after).tell(tests)
    return RulesFile(source, rules, tests, findings.warnings)


class _Build:
    """Makes rules and tests from entries. What is missing was told of: any value does in its place."""

    def __init__(
        self,
        findings: ProblemCollector,
        certificate_id: CertificateId,
        responder: ResponderCertificate,
        known: RulesContext,
    ) -> None:
        self._findings = findings
        self._certificate_id = certificate_id
        self._responder = responder
        self._known = known
        self._first_names: dict[str, Place] = {}  # of rules
        self._suggestions = _MOST_SUGGESTIONS
        self._aliases: dict[str, None] | None = None  # all that the file has, also of CAs with mistakes

    def rules(self, entry: Entry, source: str) -> Rules:
        if "cas" in entry.found or "cas" not in entry.keys:
            self._aliases = {alias.value: None for alias, _ in entry.table("cas")}
        cas = {alias.value: self._ca(alias, each) for alias, each in entry.table("cas") if each is not None}
        rules = Rules(
            source=source,
            default=Verdict(entry.value("default", "hold")),
            cas=cas,
            floor=_floor(entry.entry("certificate")),
            deny=tuple(self._deny(each) for each in entry.entries("deny")),
            allow=tuple(self._allow(each) for each in entry.entries("allow")),
        )
        self._check_places(rules, entry.entries("allow"))
        return rules

    def _check_places(self, rules: Rules, entries: tuple[Entry, ...]) -> None:
        """No two rules count under one name: neither would know its own number."""
        first = {rule.name: rule for rule in rules.allow if rule.formerly is None}
        for rule, entry in zip(rules.allow, entries, strict=True):
            former = entry.one("formerly")
            other = None if former is None else first.setdefault(former.value, rule)
            if former is not None and other is not None and other is not rule:
                message = (
                    f"the rule {quoted(other.name)} on line {other.line} counts its devices as {quoted(former.value)}"
                )
                self._findings.error(former.place, message, "`formerly` is for a rule that has another name now")

    def _ca(self, alias: At, entry: Entry) -> Ca:
        if re.fullmatch("[0-9a-fA-F]{64}", alias.value):
            message = "an alias cannot look like a caCertificateId: rules and lists take either"
            self._findings.error(alias.place, message, "choose a word, and put the id under `ids`")
        resolved = (self._resolved(each) for each in entry.many("certificate"))
        ids = dict.fromkeys((*entry.values("ids"), *(each for each in resolved if each is not None)))
        crl, ocsp = entry.entry("crl"), entry.entry("ocsp")
        return Ca(
            alias.value,
            tuple(ids),
            alias.place.line,
            () if crl is None else self._crls(crl),
            None if ocsp is None else self._ocsp(ocsp),
        )

    def _crls(self, entry: Entry) -> tuple[Crl, ...]:
        partitions = entry.entries("partitions")
        if entry.found.get("partitions") == ():
            message = "no partitions: nothing would say who is revoked"
            self._findings.error(entry.key_place("partitions"), message, "name at least one, or leave out `crl`")
        addresses = [each.one(key) for each in partitions or (entry,) for key in ("url", "delta")]
        private_network = entry.value("private_network", default=False)
        if private_network and all(each.value.startswith("s3:") for each in addresses if each is not None):
            message = "`private_network` is about the server of an https:// or http:// address; this list is in S3"
            self._findings.error(entry.key_place("private_network"), message, "leave it out")
        self._check_once(addresses)
        self._check_once([self._point(each) for each in partitions])
        stale = Verdict(entry.value("when_stale", "hold"))
        return tuple(
            Crl(
                each.value("url", ""),
                stale,
                private_network,
                each.value("delta"),
                each.value("point", each.value("url", "")) if partitions else None,
            )
            for each in partitions or (entry,)
        )

    def _point(self, partition: Entry) -> At | None:
        """Return the distribution point of a partition, which is its address unless it says another."""
        url, point = partition.one("url"), partition.one("point")
        if point is None and url is not None and url.value.startswith("s3:"):
            message = "certificates name no s3:// address as their distribution point"
            self._findings.error(url.place, message, "write what they name under `point`")
            return None
        return point or url

    def _check_once(self, values: Iterable[At | None]) -> None:
        first: dict[str, At] = {}
        for each in values:
            if each is not None and first.setdefault(each.value, each) is not each:
                message = f"{quoted(each.value)} is on line {first[each.value].place.line} already"
                self._findings.error(each.place, message, "each partition and each delta list is a list of its own")

    def _ocsp(self, entry: Entry) -> Ocsp:
        responder = entry.one("responder")
        return Ocsp(
            url=entry.value("url", ""),
            responder=None if responder is None else self._read(responder, self._responder, _HAVE_THE_FILE),
            hash=entry.value("hash", "sha1"),
            when_unavailable=Verdict(entry.value("when_unavailable", "hold")),
            require_nonce=entry.value("require_nonce", default=False),
            private_network=entry.value("private_network", default=False),
        )

    def _resolved(self, path: At) -> str | None:
        return self._read(path, self._certificate_id, NAME_BY_ID)

    def _read(self, path: At, read: Callable[[str], str], hint: str) -> str | None:
        try:
            return read(path.value)
        except KeyError:
            self._findings.error(path.place, "certificate files cannot be read here", hint)
        except InputError as error:
            self._findings.error(path.place, " ".join(str(error).split()))
        return None

    def _deny(self, entry: Entry) -> DenyRule:
        name = self._rule_name(entry)
        return DenyRule(
            name, entry.line, self._conditions(entry), entry.value("reason"), entry.value("revoke", default=False)
        )

    def _allow(self, entry: Entry) -> AllowRule:
        name, conditions = self._rule_name(entry), self._conditions(entry)
        grant = entry.entry("grant")
        return AllowRule(
            name=name,
            line=entry.line,
            conditions=conditions,
            grant=Grant() if grant is None else self._grant(grant, has_list="list" in entry.keys),
            max_devices=entry.value("max_devices"),
            formerly=entry.value("formerly"),
        )

    def _rule_name(self, entry: Entry) -> str:
        name = entry.one("name")
        if name is None:
            return ""
        first = self._first_names.setdefault(name.value, name.place)
        if first != name.place:
            message = f"the rule name {quoted(name.value)} is taken by the rule on line {first.line}"
            self._findings.error(name.place, message, "rule names are unique among deny and allow rules together")
        return str(name.value)

    def _conditions(self, entry: Entry) -> tuple[Condition, ...]:
        self._check_aliases(entry.many("ca"))
        self._check_exist(entry.many("list"), self._known.lists, "device list")
        made = [_condition(name, entry.values(name)) for name in CONDITION_NAMES if name in entry.found]
        return tuple(sorted(made, key=cost))

    def _nearest(self, word: str, candidates: Collection[str]) -> str | None:
        """Return a suggestion, up to as many as anybody reads: each is compared with many names."""
        self._suggestions -= 1
        return did_you_mean(word, candidates) if self._suggestions >= 0 else None

    def _check_aliases(self, aliases: tuple[At, ...]) -> None:
        for each in aliases:
            if self._aliases is not None and each.value not in self._aliases:
                hint = self._nearest(each.value, self._aliases)
                self._findings.error(
                    each.place,
                    f"unknown CA alias {quoted(each.value)}",
                    hint or f"name the CA under `cas`, as `{each.value}: {{ids: [...]}}`",
                )

    def _check_exist(self, names: tuple[At, ...], known: Collection[str] | None, what: str) -> None:
        if known is None:
            return
        for each in names:
            if each.value not in known:
                self._findings.error(
                    each.place,
                    f"there is no {what} {quoted(each.value)}",
                    self._nearest(each.value, known) or _HOW_TO_MAKE.get(what, f"create the {what} first"),
                )

    def _grant(self, entry: Entry, *, has_list: bool) -> Grant:
        thing = entry.one("thing")
        attributes = [(name, value) for name, value in entry.table("attributes") if value is not None]
        if not has_list:
            for each in (*((thing,) if thing else ()), *(value for _, value in attributes)):
                self._check_needs_no_list(each)
        if "thing_type" not in entry.keys and len(attributes) > MAX_ATTRIBUTES_WITHOUT_TYPE:
            message = (
                f"{len(attributes)} attributes, and AWS IoT takes {MAX_ATTRIBUTES_WITHOUT_TYPE} of a thing without type"
            )
            self._findings.error(entry.key_place("attributes"), message, "add `thing_type`, or drop some")
        if "attributes" in entry.found or "attributes" not in entry.keys:
            self._check_attributes_exist(entry.many("not_in_policies"), [name.value for name, _ in attributes])
        self._check_aliases(entry.many("renewal_from"))
        if "renewal_from" in entry.keys and entry.value("renewal") == "hold":
            message = "`renewal_from` says whom a renewal may follow, and `renewal: hold` allows none"
            self._findings.error(entry.key_place("renewal_from"), message, "write `renewal: replace` or `coexist`")
        thing_type = entry.one("thing_type")
        self._check_exist((thing_type,) if thing_type else (), self._known.thing_types, "thing type")
        self._check_exist(entry.many("thing_groups"), self._known.thing_groups, "thing group")
        self._check_exist(entry.many("iot_policies"), self._known.iot_policies, "IoT policy")
        return Grant(
            iot_policies=entry.values("iot_policies"),
            thing=entry.value("thing"),
            thing_type=entry.value("thing_type"),
            attributes={name.value: value.value for name, value in attributes},
            thing_groups=entry.values("thing_groups"),
            renewal=entry.value("renewal", "hold"),
            existing=entry.value("existing", "hold"),
            not_in_policies=entry.values("not_in_policies"),
            renewal_from=entry.values("renewal_from"),
        )

    def _check_attributes_exist(self, spared: tuple[At, ...], attributes: Collection[str]) -> None:
        for each in spared:
            name = each.value.removeprefix(ATTRIBUTES)
            if name != each.value and name not in attributes:
                hint = self._nearest(each.value, [f"{ATTRIBUTES}{other}" for other in attributes])
                self._findings.error(each.place, f"the grant has no attribute {quoted(name)}", hint)

    def _check_needs_no_list(self, template: At) -> None:
        for name in placeholders(template.value):
            if name.startswith("attr."):
                message = f"{{{name}}} is of a list row, and the rule has no `list`"
                start = template.value.index(f"{{{name}}}")
                place = Entries(self._findings).within(template.node, (start, start + len(name) + 2))
                self._findings.error(place, message, "add `list`, or use a subject attribute")

    # tests

    def test(self, entry: Entry, rules: Rules) -> RuleTest:
        device, expect = entry.entry("device"), entry.entry("expect")
        at = entry.value("at", _ANY_TIME)
        return RuleTest(
            name=entry.value("name", ""),
            line=entry.line,
            at=at,
            knocked_at=entry.value("knocked_at", at),
            device=RuleTestDevice() if device is None else self._device(device),
            lists={name.value: self._rows(name, rows or (), rules) for name, rows in entry.table("lists")},
            expect=Expectation(Verdict.HOLD) if expect is None else self._expectation(expect, rules),
        )

    def _device(self, entry: Entry) -> RuleTestDevice:
        ca = entry.one("ca")
        self._check_aliases((ca,) if ca else ())
        self._check_order(entry)
        return RuleTestDevice(
            ca=entry.value("ca"),
            subject=tuple(Attribute(name, value) for name in SUBJECT_ATTRIBUTES for value in entry.values(name)),
            serial_number=entry.value("serial_number"),
            certificate_sha256=entry.value("certificate_sha256"),
            public_key_sha256=entry.value("public_key_sha256"),
            not_before=entry.value("not_before"),
            not_after=entry.value("not_after"),
            key=entry.value("key", KeyFacts("EC", 256, "P-256")),
            signature_hash=entry.value("signature_hash", "sha256"),
        )

    def _check_order(self, entry: Entry) -> None:
        first, last = entry.one("not_before"), entry.one("not_after")
        if first and last and last.value < first.value:
            self._findings.error(last.place, "the certificate's validity ends before it begins")

    def _rows(self, name: At, entries: tuple[Entry, ...], rules: Rules) -> tuple[ListRow, ...]:
        if name.value not in rules.lists:
            hint = self._nearest(name.value, rules.lists) or "name the list in a rule, or remove it here"
            self._findings.error(name.place, f"no rule refers to the list {quoted(name.value)}", hint)
        rows = (self._row(each) for each in entries)
        return tuple(each for each in rows if each is not None)

    def _row(self, entry: Entry) -> ListRow | None:
        ca = entry.one("ca")
        if ca and re.fullmatch("[0-9a-fA-F]{64}", ca.value) is None:
            self._check_aliases((ca,))
        texts = {name: at.node.text for name, at in entry.found.items()}
        row = read_row(texts)
        if isinstance(row, ListRow):
            return row
        for fault in row:
            at = entry.one(fault.column) if fault.column else None
            # What the constraints of the record have told of need not be told in other words.
            if at is not None and fault.column not in ("ca", "serial_number"):
                self._findings.error(at.place, fault.message)
        return None

    def _expectation(self, entry: Entry, rules: Rules) -> Expectation:
        decision, rule = Verdict(entry.value("decision", "hold")), entry.one("rule")
        if rule:
            self._check_rule(rule, decision, rules)
        if "thing" in entry.keys and decision is not Verdict.ADMIT:
            self._findings.error(entry.key_place("thing"), f"a device on {decision.value} gets no thing")
        return Expectation(decision, entry.value("rule"), entry.value("thing"), entry.values("reason"))

    def _check_rule(self, rule: At, decision: Verdict, rules: Rules) -> None:
        deny, allow = ({each.name for each in group} for group in (rules.deny, rules.allow))
        if "" in deny | allow:
            return  # a rule without a readable name may be the one that is meant
        if rule.value not in deny | allow:
            hint = self._nearest(rule.value, deny | allow)
            self._findings.error(rule.place, f"there is no rule {quoted(rule.value)} in this file", hint)
        elif rule.value in (deny if decision is Verdict.ADMIT else ()):
            self._findings.error(rule.place, f"{quoted(rule.value)} is a deny rule: it admits nothing")
        elif rule.value in (allow if decision is Verdict.REJECT else ()):
            self._findings.error(rule.place, f"{quoted(rule.value)} is an allow rule: it rejects nothing")


_ANY_TIME = datetime.fromisoformat("2000-01-01T00:00:00+00:00")


def _condition(name: str, values: tuple[Any, ...]) -> Condition:
    match name:
        case "ca":
            return CaCondition(values)
        case "list":
            return ListCondition(values)
        case "serial_number":
            return SerialCondition(values)
        case "window":
            return WindowCondition(values)
        case _:
            return AttributeCondition(name, values)


def _floor(entry: Entry | None) -> Floor:
    usual = Floor()
    if entry is None:
        return usual
    return Floor(
        min_rsa_bits=entry.value("min_rsa_bits", usual.min_rsa_bits),
        curves=entry.values("curves", usual.curves),
        signature_hashes=entry.values("signature_hashes", usual.signature_hashes),
        serial_numbers=entry.value("serial_numbers", usual.serial_numbers),
    )
