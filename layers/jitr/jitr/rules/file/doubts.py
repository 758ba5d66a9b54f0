"""Warnings: what is allowed in a rules file but hardly meant. Each says only what is certain, or looks like a slip.

- a rule with neither ``list`` nor ``ca``;
- a rule whose windows have all closed;
- a pattern with characters that look like others;
- an allow rule that matches no device but such as a deny rule rejects;
- an allow rule that matches no device but such as an earlier allow rule matches, which then gives its grant;
- two allow rules for one device list that can match the same device, where neither is the special case of the other;
- a CA certificate that expires before a window of a rule for it closes;
- a CA alias that no rule uses, and no revocation list stands under;
- no allow rule at all.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime

from jitr.devicelists.doubts import odd_letters
from jitr.rules.conditions import Window
from jitr.rules.file.entries import At, Entry
from jitr.rules.file.kinds import SUBJECT_ATTRIBUTES
from jitr.rules.file.problems import Place, ProblemCollector, quoted
from jitr.rules.file.relations import Budget, BudgetSpent, Relations
from jitr.rules.file.rules_file import RuleTest
from jitr.rules.model import AllowRule, DenyRule, Rule, Rules

_COMPARISONS = 1_000_000  # of two rules or two values with each other: two or three seconds at most
_ANY = re.compile(r"[*?]")  # what stands for any character in a pattern, and for a plain one where letters are judged
# Why an allow rule is useless where another rule matches all its devices, and what to do about it.
_DENIED = ("never admits: the deny rule {rule}", "remove it, or narrow the deny rule")
_COVERED = ("is never used: the rule {rule} stands before it and", "put the more special rule first, or remove it")


class DoubtFinder:
    """Looks through rules that have been read without error, and the entries that they come from."""

    def __init__(
        self,
        findings: ProblemCollector,
        rules: Rules,
        entry: Entry,
        today: date | None,
        ca_not_after: Mapping[str, datetime],
    ) -> None:
        self._findings = findings
        self._rules = rules
        self._entry = entry
        self._today = today
        self._ca_not_after = ca_not_after
        self._deny = tuple(zip(rules.deny, entry.entries("deny"), strict=True))
        self._allow = tuple(zip(rules.allow, entry.entries("allow"), strict=True))

    def tell(self, tests: Iterable[RuleTest]) -> None:
        """Note every warning."""
        if not self._allow:
            self._findings.warning(self._entry.key_place("allow"), "no allow rule: no device can get in")
        for rule, entry in (*self._deny, *self._allow):
            self._tell_if_for_every_ca(rule, entry)
            self._tell_if_past(rule, entry)
            self._tell_odd_letters(entry)
        for allow, entry in self._allow:
            self._tell_if_ca_expires(allow, entry)
        self._tell_unused_aliases(tests)
        try:
            self._compare()
        except BudgetSpent:
            message = "these are too many rules and values to look for all that overlap: some were not compared"
            self._findings.warning(self._entry.key_place("allow"), message)

    def _tell_if_for_every_ca(self, rule: Rule, entry: Entry) -> None:
        if rule.cas is None and not rule.lists:
            verb = "rejects" if isinstance(rule, DenyRule) else "admits"
            message = f"the rule {quoted(rule.name)} has neither `list` nor `ca`: it {verb} devices of every CA"
            self._findings.warning(_place(entry), message, "add `ca`")

    def _tell_if_past(self, rule: Rule, entry: Entry) -> None:
        windows = rule.windows
        if self._today is not None and windows and all(each.last < self._today for each in windows.windows):
            message = f"the rule {quoted(rule.name)} matches nothing any more: its window has closed"
            self._findings.warning(entry.key_place("window"), message, "remove the rule, or open another window")

    def _tell_odd_letters(self, entry: Entry) -> None:
        for attribute in SUBJECT_ATTRIBUTES:
            for pattern in entry.many(attribute):
                text = pattern.value.pattern
                odd = None if text.isascii() else odd_letters(_ANY.sub("0", text))
                if odd is not None:
                    hint = "type it anew, unless certificates have it so"
                    self._findings.warning(pattern.place, f"the pattern {quoted(text)} {odd}", hint)

    def _tell_if_ca_expires(self, rule: AllowRule, entry: Entry) -> None:
        for alias in rule.cas or ():
            expiry = self._expiry(alias)
            for window in entry.many("window") if expiry else ():
                if expiry is not None and _ends_before(expiry, window):
                    message = f"the CA {quoted(alias)} expires on {expiry.date()}, before this window closes"
                    self._findings.warning(window.place, message, "renew the CA in time, or shorten the window")

    def _expiry(self, alias: str) -> datetime | None:
        """When the last of an alias's CA certificates expires; None where one is not known."""
        known = [self._ca_not_after.get(each) for each in self._rules.cas[alias].ids]
        ends = [each for each in known if each is not None]
        return max(ends) if ends and len(ends) == len(known) else None

    def _tell_unused_aliases(self, tests: Iterable[RuleTest]) -> None:
        used = {alias for rule, _ in (*self._deny, *self._allow) for alias in rule.cas or ()}
        used |= {alias for rule, _ in self._allow for alias in rule.grant.renewal_from}
        used |= {each.device.ca for each in tests if each.device.ca}
        for alias, _ in self._entry.table("cas"):
            if alias.value not in used and not self._rules.cas[alias.value].revokes:
                hint = "use it as `ca` of a rule, or remove it"
                self._findings.warning(alias.place, f"no rule uses the CA alias {quoted(alias.value)}", hint)

    def _compare(self) -> None:
        relations = Relations(self._rules, Budget(_COMPARISONS))
        by_list: dict[str, list[tuple[AllowRule, Entry]]] = {}
        for position, (rule, entry) in enumerate(self._allow):
            earlier = self._allow[:position]
            sharing = [each for name in rule.lists for each in by_list.get(name, ())]
            if not self._tell_if_useless(relations, rule, entry, self._deny, *_DENIED) and not self._tell_if_useless(
                relations, rule, entry, earlier, *_COVERED
            ):
                self._tell_if_overlapping(relations, rule, entry, sharing)
            for name in rule.lists:
                by_list.setdefault(name, []).append((rule, entry))

    def _tell_if_useless(
        self,
        relations: Relations,
        rule: AllowRule,
        entry: Entry,
        others: Iterable[tuple[Rule, Entry]],
        why: str,
        hint: str,
    ) -> bool:
        """Warn where one of other rules matches every device that a rule matches, and return whether one does.

        ``why`` says what that means for the rule, with ``{rule}`` in place of the other one.
        """
        other = _covering(relations, rule, others)
        if other is None:
            return False
        which = f"{quoted(other.name)} (line {other.line})"
        message = f"the rule {quoted(rule.name)} {why.format(rule=which)} matches every device that it matches"
        self._findings.warning(_place(entry), message, hint)
        return True

    def _tell_if_overlapping(
        self, relations: Relations, rule: AllowRule, entry: Entry, sharing: Iterable[tuple[AllowRule, Entry]]
    ) -> None:
        for other, _ in sharing:
            if not relations.disjoint(other, rule) and not relations.covers(rule, other):
                shared = next(each for each in rule.lists if each in other.lists)
                message = (
                    f"a device on the list {quoted(shared)} can match both the rule {quoted(other.name)} "
                    f"(line {other.line}) and {quoted(rule.name)}; the first gives its grant"
                )
                hint = "give them conditions that exclude each other, or lists of their own"
                self._findings.warning(_place(entry), message, hint)
                return


def _place(entry: Entry) -> Place:
    name = entry.one("name")
    return entry.place if name is None else name.place


def _ends_before(expiry: datetime, window: At) -> bool:
    value: Window = window.value
    return expiry < value.closed


def _covering(relations: Relations, rule: Rule, others: Iterable[tuple[Rule, Entry]]) -> Rule | None:
    """Return the first of other rules that matches every device that a rule matches."""
    return next((other for other, _ in others if relations.covers(other, rule)), None)
