"""Decisions chosen by what stands in an address, a page of them at a time."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta

from flask import request

from jitr.errors import InputError
from jitr.reasons import CODES, Verdict
from jitr.records.record import Record
from jitr.rules.model import Rule
from jitr.text import nearest
from jitr.unseen import quote
from jitr_operations.decisions.filters import near_rule, of_ca, with_reason
from jitr_operations.decisions.paging import RecordPage, page
from jitr_operations.table import now
from jitr_page.site import rules_in_force, site

SPANS = {"1h": timedelta(hours=1), "24h": timedelta(days=1), "7d": timedelta(days=7), "30d": timedelta(days=30)}


class WrongFilter(InputError):
    """What stands in an address filters by nothing; ``near`` is what may be meant, ``values`` are those there are."""

    def __init__(self, name: str, told: str, near: str | None = None, values: Collection[str] = ()) -> None:
        super().__init__(told)
        self.name, self.near, self.values = name, near, values


def given(*more: str) -> dict[str, str | None]:
    """Return the filters in the request's address, None for what is not filtered by; ``more`` are a room's own."""
    return {name: request.args.get(name) or None for name in ("reason", "ca", "rule", "since", *more)}


def chosen(verdicts: Sequence[Verdict], filters: Mapping[str, str | None]) -> RecordPage:
    """Return the page of decisions that the address asks for. Raises WrongFilter for a filter that cannot be one."""
    require_reason(filters["reason"], CODES)
    table = site().table
    wanted = _of_ca(filters["ca"]), with_reason(filters["reason"]), near_rule(filters["rule"])
    after = request.args.get("after")
    found = page(
        table, verdicts, lambda record: all(each(record) for each in wanted), since=since(filters["since"]), after=after
    )
    if not found.records and found.after is None and after is None:
        _require_rule(filters["rule"])
    return found


def _of_ca(ca: str | None) -> Callable[[Record], bool]:
    try:
        return of_ca(site().table, ca, files=False)
    except InputError as problem:
        raise WrongFilter("ca", str(problem)) from None


def require_reason(code: str | None, codes: Collection[str]) -> None:
    """Raise WrongFilter for what is no reason code, with those there are."""
    if code is not None and code not in codes:
        near = nearest(code, codes)
        hint = f": did you mean {near}?" if near else ""
        raise WrongFilter("reason", f"there is no reason code {quote(code)} here{hint}", near, codes)


def _require_rule(name: str | None) -> None:
    """Raise WrongFilter for a rule that is not in force. One of an earlier version may have decisions all the same."""
    rules = rules_in_force()
    names = [] if rules is None else [each.name for each in (*rules.deny, *rules.allow)]
    if name is not None and name not in names:
        told = f"there is no rule {quote(name)} in force, and no decision by an earlier one that fits"
        raise WrongFilter("rule", told if names else f"{told}: no rules are in force", nearest(name, names), names)


def choices(rules: Sequence[Rule]) -> dict[str, object]:
    """Return what there is to filter by, for a form: some rules of those in force, their CAs, and spans of time."""
    in_force = rules_in_force()
    cas = [] if in_force is None else sorted(in_force.cas)
    return {"rules": [each.name for each in rules], "cas": cas, "spans": SPANS}


def since(span: str | None) -> datetime | None:
    """Return when a span of time began, that stands in an address. Raises WrongFilter for what is none."""
    if span is None:
        return None
    if span not in SPANS:
        raise WrongFilter("since", f"{quote(span)} is no span of time", values=SPANS)
    return now() - SPANS[span]
