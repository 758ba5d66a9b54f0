"""Deciding recorded devices again from their facts, many at a time: the rows of all of them are read together."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from jitr.aws.dynamodb.table import Table, row_key
from jitr.decision.decide import Decision, decide, lists_needed
from jitr.decision.revocation import ocsps_of
from jitr.devicelists.rows import ListRow, RowKey, device_keys, membership
from jitr.errors import JitrError
from jitr.facts import Knock, OcspAnswer
from jitr.reasons import Verdict
from jitr.records.heads import Heads
from jitr.records.knock import recorded_knock
from jitr.records.record import Record
from jitr.rules.model import Rules
from jitr.values import dataclass

Place = tuple[str, str]  # of an item: pk and sk


@dataclass(frozen=True, slots=True)
class Again:
    """The decision on a record's device now; None if deciding failed, which is a bug."""

    record: Record
    decision: Decision | None
    bug: Exception | None = None


class AsRecorded:
    """The recorded facts alone: no CA is read again, and no revocation list or responder is asked."""

    def knock(self, facts: Mapping[str, Any], rules: Rules) -> Knock:
        """Return the device that a record's facts describe."""
        return recorded_knock(facts, rules)

    def answers(self, _knock: Knock, _rules: Rules) -> Mapping[str, OcspAnswer]:
        """Return what its CA's responders say of a device that everything else would admit."""
        return {}


_AS_RECORDED = AsRecorded()


@dataclass(frozen=True, slots=True)
class _Case:
    record: Record
    knock: Knock
    knocked_at: datetime  # for windows
    places: dict[str, dict[Place, RowKey]]  # by list


def redecide(
    table: Table,
    rules: Rules,
    heads: Heads,
    records: Iterable[Record],
    now: datetime,
    knocked_at: Callable[[Record], datetime],
    *,
    seen: AsRecorded = _AS_RECORDED,
) -> Iterator[Again]:
    """Decide each record with facts again under ``rules`` and the rows in force, in no order.

    A device that no rule matches is not told which rules it nearly matched: that takes the longest. ``seen`` looks at
    what stands neither in the record nor in the table.

    One that cannot be decided does not keep the others from being: it comes with what went wrong.
    """
    cases = []
    for record in records:
        try:
            cases.append(_case(record, rules, heads, knocked_at(record), seen))
        except JitrError:
            raise
        except Exception as bug:  # noqa: BLE001 - one record must not end the work on all others
            yield Again(record, None, bug)
    wanted = {place: None for case in cases for places in case.places.values() for place in places}
    found = {
        (item["pk"], item["sk"]): ListRow.from_json(item["row"])
        for item in table.get([{"pk": pk, "sk": sk} for pk, sk in wanted])
    }
    for case in cases:
        try:
            yield Again(case.record, _decide(case, rules, found, now, seen))
        except JitrError:
            raise
        except Exception as bug:  # noqa: BLE001 - nor here
            yield Again(case.record, None, bug)


def _case(record: Record, rules: Rules, heads: Heads, knocked_at: datetime, seen: AsRecorded) -> _Case:
    if record.facts is None:
        raise ValueError("a record without facts cannot be decided again")
    knock = seen.knock(record.facts, rules)
    names = lists_needed(knock, rules, knocked_at, record.operator_word)
    keys = device_keys(knock) if names else ()
    places: dict[str, dict[Place, RowKey]] = {}
    for name in names:
        head = heads.lists.get(name)
        items = () if head is None else ((row_key(name, head.generation, key), key) for key in keys)
        places[name] = {(item["pk"], item["sk"]): key for item, key in items}
    return _Case(record, knock, knocked_at, places)


def _decide(case: _Case, rules: Rules, found: dict[Place, ListRow], now: datetime, seen: AsRecorded) -> Decision:
    memberships = {
        name: membership(case.knock, [(key, found[place]) for place, key in places.items() if place in found], now)
        for name, places in case.places.items()
    }
    word = case.record.operator_word
    asks = bool(ocsps_of(case.knock, rules))
    decision = decide(case.knock, rules, memberships, now, case.knocked_at, word, nearest=False, before_ocsp=asks)
    if not asks or decision.verdict is not Verdict.ADMIT:
        return decision
    knock = replace(case.knock, ocsp=seen.answers(case.knock, rules))
    return decide(knock, rules, memberships, now, case.knocked_at, word, nearest=False)
