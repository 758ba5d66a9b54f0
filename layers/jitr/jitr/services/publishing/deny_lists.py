"""What rules that are to be published make of the rows on deny lists, so that no edit ends a recall unnoticed.

Rows are judged when they are imported, but rules may come later, or change. So publishing looks at the lists that its
deny rules name, and asks what an import asks.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import Any

from jitr.aws.dynamodb.table import Table
from jitr.devicelists.rows import ListRow
from jitr.errors import InputError
from jitr.records.heads import Heads
from jitr.rules.conditions import Condition
from jitr.rules.list_fit import Fit
from jitr.rules.model import Rules
from jitr.services.lists.device_lists import DeviceLists, ListInfo
from jitr.services.lists.evidence import devices
from jitr.services.publishing.compiled import compiled_rules
from jitr.text import counted
from jitr.unseen import quote
from jitr.values import dataclass

MOST_ROWS = 100_000  # of all lists together, read on each publication: some seconds


@dataclass(frozen=True, slots=True)
class DenyListDoubts:
    """The questions to ask before rules are published, and the notes to show."""

    questions: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def check_deny_lists(
    table: Table, rules: Rules, before: Heads, *, at: datetime | None = None, most: int = MOST_ROWS
) -> DenyListDoubts:
    """Return what is doubtful about the deny lists under rules that are to replace those that ``before`` names.

    Lists that no deny rule names any more are among the warnings. At most so many rows are looked at; with a time, one
    that has expired by then can match nothing. Raises InputError where a row names a CA by an alias that the rules in
    force have and these take from it, and Retry.
    """
    was = compiled_rules(table, before)
    lost = {} if was is None else lost_aliases(was, rules)
    known_devices = devices(table, rules) if any(each.lists for each in rules.deny) else None
    questions: list[str] = []
    warnings = [] if was is None else [str(each) for each in no_longer_denied(table, was, rules)]
    for info, rows in deny_list_rows(table, rules, most):
        looked_at, fit = 0, Fit(info.name, rules, known_devices, at=at)
        for row in rows:
            looked_at += 1
            if row.ca is not None and row.ca in lost:
                raise InputError(_lost(rules, info.name, row, lost[row.ca]))
            fit.add(row)
        unseen = looked_at < info.rows
        if unseen and lost:
            questions.append(
                f"List {info.name}, which a deny rule names, has {counted(info.rows, 'row')}, of which {looked_at:,} "
                f"were looked at: any other that names a CA by {' or '.join(sorted(lost))} keeps nobody out any more."
            )
        question = fit.question()
        if question is not None:
            known = was is not None and _denying(was, info.name) == _denying(rules, info.name)
            (warnings if known else questions).append(question)
        if unseen:
            warnings.append(f"list {info.name}: {looked_at:,} of {counted(info.rows, 'row')} were looked at")
    return DenyListDoubts(tuple(questions), tuple(warnings))


@dataclass(frozen=True, slots=True)
class NoLongerDenied:
    """A list with rows that a deny rule named, and that none names any more."""

    list: str
    rule: str
    rows: int

    def __str__(self) -> str:
        """Say what that means."""
        keep = "row keeps" if self.rows == 1 else f"{self.rows:,} rows keep"
        named = f"list {self.list}, which deny rule {self.rule} named, is named by no deny rule any more"
        return f"{named}: its {keep} nobody out"

    def to_json(self) -> dict[str, Any]:
        """Return it as ``jitr status`` has it."""
        return {"list": self.list, "rule": self.rule, "rows": self.rows, "meaning": str(self)}


def no_longer_denied(table: Table, was: Rules, rules: Rules) -> tuple[NoLongerDenied, ...]:
    """Return the lists with rows that deny rules of ``was`` named, and that none of ``rules`` names. Raises Retry."""
    named = {each for rule in rules.deny for each in rule.lists}
    gone = {each: rule.name for rule in was.deny for each in rule.lists if each not in named}
    there = DeviceLists(table).all() if gone else {}
    return tuple(
        NoLongerDenied(name, rule, there[name].rows)
        for name, rule in sorted(gone.items())
        if name in there and there[name].rows
    )


def check_aliases(table: Table, rules: Rules, before: Heads) -> None:
    """Raise InputError as ``check_deny_lists`` does; no row is read where every alias keeps its CAs. Raises Retry."""
    was = compiled_rules(table, before)
    if was is not None and lost_aliases(was, rules):
        check_deny_lists(table, rules, before)


def lost_aliases(was: Rules, rules: Rules) -> Mapping[str, tuple[str, ...]]:
    """Return the CAs that an alias named and names no longer, where devices of them may still get in."""
    found = {}
    for alias, ca in was.cas.items():
        kept = rules.cas[alias].ids if alias in rules.cas else ()
        gone = tuple(each for each in ca.ids if each not in kept and _lets_in(rules, each))
        if gone:
            found[alias] = gone
    return found


def _lets_in(rules: Rules, ca_id: str) -> bool:
    aliases = rules.aliases_of(ca_id)
    return any(each.cas is None or not aliases.isdisjoint(each.cas) for each in rules.allow)


def _lost(rules: Rules, name: str, row: ListRow, ids: tuple[str, ...]) -> str:
    first = quote(row.found_by()[0].value)
    return (
        f"{rules.source}: CA {row.ca} no longer has the id {ids[0]}, and list {name}, which a deny rule names, has "
        f"rows that name their CA so (first {first}): they would keep nobody out. Leave {row.ca} "
        "in `cas` with this id, beside a new name for it if you like, or have these rows name the CA by its id first "
        f"(`jitr lists export {name} FILE`, then `jitr lists import {name} FILE --replace`)"
    )


def _denying(rules: Rules, name: str) -> list[tuple[Condition, ...]]:
    """Return what the deny rules that name a list ask of a device."""
    return [each.conditions for each in rules.deny if name in each.lists]


def deny_list_rows(table: Table, rules: Rules, most: int) -> Iterator[tuple[ListInfo, Iterator[ListRow]]]:
    """Yield each list that a deny rule names, and its first rows: at most so many of all lists together.

    The short lists come first, so that what they leave is the long ones'. Raises Retry.
    """
    lists = DeviceLists(table)
    denying = {each for rule in rules.deny for each in rule.lists}
    there = sorted((each for name, each in lists.all().items() if name in denying), key=lambda each: each.rows)
    for place, info in enumerate(there):
        share = most // (len(there) - place)
        most -= min(share, info.rows)
        yield info, islice(lists.rows(info.name, info.head.generation), share)
