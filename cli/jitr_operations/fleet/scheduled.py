"""What the scheduled check found last, and what an operator accepts of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jitr.aws.dynamodb.fleet_checks import FleetChecks, acceptance_delete, acceptance_put
from jitr.aws.dynamodb.table import Conflict
from jitr.errors import InputError
from jitr.fleet.acceptance import Acceptance, gauges, not_accepted
from jitr.records.history import HistoryKind, Values
from jitr.text import meant
from jitr.times import rfc3339
from jitr.unseen import quote
from jitr_operations.deployment import Deployment
from jitr_operations.history import keeping
from jitr_operations.table import now, now_text, operator, table_of

NO_CHECK = (
    "no scheduled check has finished yet: FleetCheck=daily has the stack make them, "
    "and `jitr fleet check` checks from here"
)


@dataclass(frozen=True, slots=True)
class LastCheck:
    """What the last finished check found. ``under_way`` is when the check was begun that is not finished."""

    summary: Mapping[str, Any] | None  # None where no check has finished yet
    under_way: datetime | None
    accepted: Sequence[Acceptance]
    metrics: Mapping[str, int]  # as CloudWatch is told

    def to_json(self) -> dict[str, Any]:
        """Return it as ``--json`` prints it."""
        under_way = None if self.under_way is None else rfc3339(self.under_way)
        accepted = [each.to_json() for each in self.accepted]
        # Nothing is known before the first check: no number says that a fleet is in order which nobody looked at.
        checked = self.summary is not None
        metrics = dict(self.metrics) if checked else None
        found = self.summary or {}
        return {**found, "checked": checked, "under_way": under_way, "accepted": accepted, "metrics": metrics}


def last_check(deployment: Deployment) -> LastCheck:
    """Return what the last scheduled check found."""
    checks = FleetChecks(table_of(deployment))
    summary = checks.last()
    at, accepted = now(), checks.accepted()
    left = not_accepted({} if summary is None else summary["counts"], accepted, at)
    return LastCheck(summary, checks.under_way(), [each for each in accepted if at < each.until], gauges(left))


def accept(
    deployment: Deployment, reason: str, until: datetime, most: int | None = None, note: str | None = None
) -> Acceptance:
    """Have devices found for a reason raise no alarm until a time: as many as the last check found, or ``most``.

    Raises InputError for a time that is past, and for a reason that no check, or not the last one, found.
    """
    if until <= now():
        raise InputError(f"--until {rfc3339(until)} is past: nothing would be accepted")
    last = last_check(deployment)
    if last.summary is None:
        raise InputError(NO_CHECK)
    found = _found(last.summary["counts"])
    if reason not in found:
        raise InputError(f"the last check found nothing for {quote(reason)}: {meant(reason, sorted(found))}")
    by = operator(deployment)
    made = Acceptance(reason, found[reason] if most is None else most, until, by, now_text(), note)
    command = ("fleet", "accept", reason, "--until", rfc3339(until), "--most", made.most)
    after: Values = {"reason": reason, "most": made.most, "until": rfc3339(until)}
    entry = keeping.entry(deployment, HistoryKind.DEVICE, command, by=by, why=note, after=after)
    table = table_of(deployment)
    table.transact([acceptance_put(table.name, made), *keeping.puts(deployment, entry)])
    return made


def withdraw(deployment: Deployment, reason: str) -> None:
    """Have a reason raise the alarm again. Raises InputError for one that is not accepted."""
    table = table_of(deployment)
    accepted = {each.reason: each for each in FleetChecks(table).accepted()}
    if reason not in accepted:
        raise InputError(f"{quote(reason)} is not accepted: {meant(reason, sorted(accepted))}")
    was = accepted[reason]
    before: Values = {"reason": reason, "most": was.most, "until": rfc3339(was.until)}
    command = ("fleet", "accept", reason, "--withdraw")
    entry = keeping.entry(deployment, HistoryKind.DEVICE, command, before=before)
    if table.transact([acceptance_delete(table.name, reason), *keeping.puts(deployment, entry)]):
        raise Conflict(f"what is accepted of {reason}")


def _found(counts: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """Return how many devices were found for each reason."""
    found: dict[str, int] = {}
    for reasons in counts.values():
        for reason, count in reasons.items():
            found[reason] = found.get(reason, 0) + count
    return found
