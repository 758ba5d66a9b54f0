"""Lists that deny rules name and that keep nobody out, and what is asked before a list becomes one."""

from datetime import datetime
from itertools import islice

from jitr.aws.dynamodb.rulebook import rules_in_force
from jitr.aws.dynamodb.table import Table
from jitr.records.heads import Heads
from jitr.rules.model import Rules
from jitr.services.publishing.compiled import compiled_rules
from jitr.services.publishing.deny_lists import NoLongerDenied, deny_list_rows, no_longer_denied
from jitr.services.publishing.versions import history

_MOST_ROWS = 10_000  # of all deny lists together: the first that has not expired ends the look at its list


def idle(table: Table, rules: Rules, at: datetime) -> list[dict[str, str]]:
    """Return the lists that deny rules name and that keep nobody out: they are empty, or what they had has expired."""
    names = {name: rule.name for rule in rules.deny for name in rule.lists}
    found = dict.fromkeys(names, "is empty")
    for info, rows in deny_list_rows(table, rules, _MOST_ROWS):
        looked_at = 0
        for looked_at, row in enumerate(rows, 1):  # noqa: B007 - how many it was, in the end
            if row.expires is None or at < row.expires:
                del found[info.name]
                break
        else:
            if looked_at < info.rows:
                found[info.name] = f"has no row in force among the {looked_at:,} of {info.rows:,} that were looked at"
            elif looked_at:
                found[info.name] = f"has no row in force: all {looked_at:,} have expired"
    return [{"list": name, "rule": names[name], "why": why} for name, why in sorted(found.items())]


def dropped_by_rules(table: Table, rules: Rules) -> tuple[NoLongerDenied, ...]:
    """Return the lists with rows that deny rules of the version before named, and that none in force names.

    Raises Retry.
    """
    before = next(islice(history(table), 1, None), None)
    was = None if before is None else compiled_rules(table, Heads(digest=before.digest))
    return () if was is None else no_longer_denied(table, was, rules)


def ends_recalls(table: Table, name: str) -> str:
    """Return what is said before a list becomes empty that a deny rule in force names; else nothing. Raises Retry."""
    rules = rules_in_force(table)
    denying = [] if rules is None else [each.name for each in rules.deny if name in each.lists]
    return f" Deny rule {denying[0]} names it, and keeps nobody out by it from then on." if denying else ""
