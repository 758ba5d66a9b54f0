"""Devices that are in, and that the rules in force deny: what ``jitr status`` counts of them, in bounded work."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from jitr.aws.dynamodb.by_hand import acts_of
from jitr.aws.dynamodb.table import Table
from jitr.reasons import Verdict
from jitr.records.by_hand import Act
from jitr.records.record import Record
from jitr.rules.model import Rules
from jitr.services.recheck.replay import replay
from jitr_operations.devices.registry import Registry

ASKED = 20  # of those that are denied, whose status AWS IoT is asked: it answers ten a second, to devices as well


def denied_and_in(
    table: Table, rules: Rules, registry: Registry, admitted: Sequence[Record], at: datetime
) -> dict[str, Any]:
    """Return how many of these admitted devices are denied now and ACTIVE.

    ``unknown`` is how many of the denied AWS IoT was not asked about; ``overruled`` how many are ACTIVE because an
    operator said why. Revocation lists are not asked here.
    """
    outcome = replay(table, rules, admitted, at)
    denied = [each.record.certificate_id for each in outcome.changes if each.decision.verdict is Verdict.REJECT]
    last = {each: acts[-1] for each, acts in acts_of(table, denied).items()}
    overruled = [each for each in denied if _is_overruled(last.get(each))]
    left = [each for each in denied if each not in overruled and not _is_cut_off(last.get(each))]
    active = [each for each in left[:ASKED] if (found := registry.get(each)) is not None and found.status == "ACTIVE"]
    return {
        "looked_at": outcome.looked_at[Verdict.ADMIT],
        "active": len(active),
        "unknown": len(left[ASKED:]),
        "overruled": len(overruled),
        "certificate_ids": active,
    }


def _is_cut_off(act: Act | None) -> bool:
    return act is not None and act.cut_off


def _is_overruled(act: Act | None) -> bool:
    return act is not None and act.status == "ACTIVE" and bool(act.overruled)
