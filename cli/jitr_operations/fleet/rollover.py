"""A roll-over from one CA to its successor: which devices have come, at what pace, and who is missing.

AWS IoT says which certificates of the two CAs are ACTIVE, and decision records which of them are one device's. Nothing
is changed before ``finish``.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from itertools import chain, islice
from math import ceil
from pathlib import Path
from typing import Any

from jitr.aws.dynamodb.decisions import newest_of
from jitr.aws.dynamodb.table import Table
from jitr.aws.iot_listings import Listings, pages
from jitr.devicelists.csv.reader import write_rows
from jitr.devicelists.rows import ListRow
from jitr.fleet.standing import ACTIVE, is_recent
from jitr.iot_names import THING_NAME
from jitr.reasons import Verdict
from jitr.records.record import APPLIED, Record, common_name
from jitr.text import counted, cut
from jitr.times import rfc3339
from jitr.unseen import written_out
from jitr_operations import telling
from jitr_operations.cas.succession import CaPair
from jitr_operations.deployment import Deployment
from jitr_operations.files import BYTE_ORDER_MARK, staged
from jitr_operations.fleet.matching import CaCertificate, DeviceCounts, DeviceKind, KindCertificate, Matching, Side
from jitr_operations.fleet.pace import pace_of
from jitr_operations.table import table_of

FIRST = 20  # of those who have not come, as they are shown
WEEKS = 8  # of which is told how many came
_PACE_DAYS = 28  # whose mean is the pace
_DAYS_BEHIND = 2  # days from the first who came to the first day on which a pace is told
_NAME = 200  # characters of a common name in a note
_PENDING = "PENDING_ACTIVATION"
_EXPORTED = ("certificate_sha256", "thing_name", "note")
_NOTES = {  # what rows of each kind say
    DeviceKind.OLD_ONLY: "not yet come",
    DeviceKind.BOTH: "has come",
    DeviceKind.NEW_ONLY: "in with the new CA",
    DeviceKind.NEITHER: "in with neither CA",
}


@dataclass(frozen=True, slots=True)
class RolloverPace:
    """How fast devices come, and when the last one will have.

    ``per_week`` is None until a whole day lies behind the first who came: a few seconds make no rate. ``done_on`` is
    None then, and where nobody came of late.
    """

    weeks: Mapping[date, int]  # by the first day of seven, the earliest first
    per_week: float | None
    done_on: date | None


def pace_from(days: Mapping[date, int], missing: int, today: date) -> RolloverPace:
    """Return the pace of the last four weeks, or since the first device came, and when all will have come at that pace.

    ``days`` says how many came on which day (in UTC, so that a whole day is certain only from the second one on after
    the first), and ``missing`` how many have not.
    """
    first = today - timedelta(days=7 * WEEKS - 1)
    weeks = {
        first + timedelta(days=7 * week): sum(days.get(first + timedelta(days=7 * week + day), 0) for day in range(7))
        for week in range(WEEKS)
    }
    per_day = _per_day(days, today)
    return RolloverPace(weeks, None if per_day is None else 7 * per_day, _done_on(today, missing, per_day))


def _per_day(days: Mapping[date, int], today: date) -> float | None:
    if not days:
        return 0.0
    behind = (today - min(days)).days
    if behind < _DAYS_BEHIND:
        return None
    over = min(_PACE_DAYS, behind + 1)
    return sum(count for day, count in days.items() if day > today - timedelta(days=over)) / over


def _done_on(today: date, missing: int, per_day: float | None) -> date | None:
    if missing == 0:
        return today
    if not per_day:
        return None
    days = ceil(missing / per_day)
    return None if days > (date.max - today).days else today + timedelta(days=days)


class Rollover:
    """What is known of a roll-over. It can be exported for as long as ``rollover`` keeps it.

    ``first_stragglers`` are some certificates of devices that have not come, those that end first.
    """

    def __init__(self, pair: CaPair, matching: Matching, at: datetime) -> None:
        self.pair = pair
        self.at = at
        self._matching = matching
        self.counts: DeviceCounts = matching.count()
        self.held: int = matching.held()
        self.not_on_record = {side: matching.not_on_record(side) for side in Side}
        self.pace = pace_from(matching.days(), self.counts.old_only, at.date())
        self.first_stragglers = tuple(islice(matching.certificates_of(DeviceKind.OLD_ONLY), FIRST))

    @property
    def done_on(self) -> date | None:
        """When the last device will have come; None where that cannot be told, and once the roll-over is finished."""
        return None if self._ended else self.pace.done_on

    @property
    def in_time(self) -> bool | None:
        """Whether all will have come before the old CA ends; None where it cannot be told when they will."""
        return None if self.done_on is None else self.done_on <= self.pair.old.not_after.date()

    @property
    def at_risk(self) -> bool:
        """Whether devices are missing that do not come in time, as far as the pace tells."""
        return bool(self.counts.old_only) and not (self._ended or self._begun or self.in_time)

    @property
    def _ended(self) -> bool:
        """Whether the roll-over is finished although devices are missing: nobody waits for them."""
        return bool(self.counts.old_only) and self.pair.old.ca.status != ACTIVE

    @property
    def _begun(self) -> bool:
        """Whether the first device came so shortly ago that there is no pace yet."""
        return self.pace.per_week is None

    def outlook(self) -> str:
        """Return when the last device will have come, in a sentence."""
        old, missing = self.pair.old, self.counts.old_only
        if not missing:
            return "Every device has come." if self.counts.came else "No device is in with the old CA."
        if self._ended:
            not_come = f"{counted(missing, 'device')} {'has' if missing == 1 else 'have'} not come"
            return f"The roll-over is finished: the old CA is {old.ca.status}. {not_come}."
        end = f"the old CA ends {old.not_after:%Y-%m-%d}"
        if self._begun:
            return f"Devices have only begun to come: there is a pace two days after the first one came; {end}."
        if self.done_on is None:
            return f"Nobody came in the last four weeks; {end}."
        pace = f"At {self.pace.per_week:.1f} a week the last one comes on {self.done_on}"
        return f"{pace}, {'before' if self.in_time else 'after'} the old CA ends ({old.not_after:%Y-%m-%d})."

    def export(self, file: Path, kind: DeviceKind = DeviceKind.OLD_ONLY, *, force: bool) -> int:
        """Write the devices of a kind as a device list that `jitr lists import` takes; how many rows it has.

        Each row is a certificate, and found by nothing else: one that the device comes with later is not on the list.
        Of devices that are in with the old CA it is the old one. Raises InputError where the file exists without
        ``force``.
        """
        count = 0

        def rows() -> Iterator[ListRow]:
            nonlocal count
            for each in self._matching.certificates_of(kind):
                count += 1
                yield _row(each, _NOTES[kind])

        with staged(file.parent, [file.name], force=force) as stage:
            pieces = (each.encode() for each in chain([BYTE_ORDER_MARK], write_rows(rows(), _EXPORTED)))
            stage.write_pieces(file.name, pieces, private=True)
        return count

    def to_json(self) -> dict[str, Any]:
        """Return it as ``--json`` prints it."""
        counts, pace = self.counts, self.pace
        return {
            "at": self.at,
            "old": self.pair.old.to_json(),
            "new": self.pair.new.to_json(),
            "devices": {
                "old_only": counts.old_only,
                "both": counts.both,
                "new_only": counts.new_only,
                "neither": counts.neither,
            },
            "came": {
                "devices": counts.came,
                "by_key": counts.came_by_key,
                "by_thing": counts.came - counts.came_by_key,
            },
            "held": self.held,
            "not_on_record": {side.name.lower(): count for side, count in self.not_on_record.items()},
            "weeks": {f"{day}": count for day, count in pace.weeks.items()},
            "per_week": None if pace.per_week is None else round(pace.per_week, 1),
            "done_on": None if self.done_on is None else f"{self.done_on}",
            "in_time": self.in_time,
            "stragglers": [
                {
                    "certificate_id": each.certificate_id,
                    "common_name": each.common_name,
                    "thing": each.thing,
                    "not_after": each.not_after,
                }
                for each in self.first_stragglers
            ],
        }


@contextmanager
def rollover(deployment: Deployment, pair: CaPair, at: datetime) -> Iterator[Rollover]:
    """Find out how far a roll-over has come. Raises Retry and Refused as AWS does.

    AWS IoT lists both CAs' certificates, 250 at a time and at half of registration's pace; then every decision on
    record is read once.
    """
    matching = Matching()
    try:
        _list_certificates(deployment, pair, matching)
        _match_records(table_of(deployment), pair, matching, at)
        matching.settle()
        yield Rollover(pair, matching, at)
    finally:
        matching.close()


def _list_certificates(deployment: Deployment, pair: CaPair, matching: Matching) -> None:
    listings = Listings(deployment.client("iot"), pace_of(deployment))
    with telling.progress("Listing certificates", None) as advance:
        for side, each in ((Side.OLD, pair.old), (Side.NEW, pair.new)):
            for listed in pages(partial(listings.certificates_of, each.ca.id)):
                matching.list_certificates(side, ((found.id, found.status) for found in listed))
                advance(len(listed))


def _match_records(table: Table, pair: CaPair, matching: Matching, at: datetime) -> None:
    sides = {pair.old.ca.id: Side.OLD, pair.new.ca.id: Side.NEW}
    with telling.progress("Matching devices", None) as advance:
        for record in newest_of(table):
            side = sides.get(record.ca_certificate_id)
            if side is not None:
                matching.add(_certificate(record, side, matching.status(record.certificate_id), at))
            advance(1)


def _certificate(record: Record, side: Side, listed: str | None, at: datetime) -> CaCertificate:
    facts, grant = record.facts or {}, record.grant or {}
    admitted = record.decision is Verdict.ADMIT
    # A listing may be behind what was decided just before it, or since it began.
    just_in = admitted and record.state == APPLIED and is_recent(record, at) and listed in (None, _PENDING)
    end = facts.get("not_after")
    is_in = (listed == ACTIVE or just_in) and (end is None or end > rfc3339(at))
    return CaCertificate(
        record.certificate_id,
        side,
        is_in=is_in,
        was_in=admitted or is_in,
        held=record.decision is Verdict.HOLD and not is_in,
        since=rfc3339(record.since),
        not_after=end,
        key=facts.get("public_key_sha256"),
        thing=grant.get("thing"),
        common_name=common_name(record),
    )


def _row(certificate: KindCertificate, what: str) -> ListRow:
    name = written_out(cut(certificate.common_name, _NAME)).replace("\ufffd", "?") or "(no common name)"
    end = "" if certificate.not_after is None else f", certificate ends {certificate.not_after[:10]}"
    thing = certificate.thing if certificate.thing is not None and THING_NAME.takes(certificate.thing) else None
    return ListRow(certificate_sha256=certificate.certificate_id, thing_name=thing, note=f"{what}: {name}{end}")
