"""A roll-over from one CA to its successor: which devices have come, at what pace, and who is missing.

AWS IoT says which certificates of the two CAs are ACTIVE, and decision records which of them are one device's. Nothing
is changed before ``finish``.
"""

import re
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
from jitr.aws.dynamodb.rulebook import rules_in_force
from jitr.aws.dynamodb.table import Table
from jitr.aws.iot_listings import Listings, pages
from jitr.devicelists.csv.reader import write_rows
from jitr.devicelists.rows import ListRow
from jitr.errors import InputError
from jitr.fleet.standing import ACTIVE, is_recent
from jitr.iot_names import THING_NAME
from jitr.reasons import Verdict
from jitr.records.record import APPLIED, Record, common_name
from jitr.rules.model import Rules
from jitr.text import cut, meant
from jitr.times import rfc3339
from jitr.unseen import quote, written_out
from jitr_operations import telling
from jitr_operations.cas import status
from jitr_operations.cas.registry import RegisteredCa, find
from jitr_operations.deployment import Deployment
from jitr_operations.files import BYTE_ORDER_MARK, staged
from jitr_operations.fleet.matching import CaCertificate, DeviceCounts, Matching, Side, Straggler
from jitr_operations.fleet.pace import pace_of
from jitr_operations.table import table_of

FIRST = 20  # of those who have not come, as they are shown
WEEKS = 8  # of which is told how many came
_PACE_DAYS = 28  # whose mean is the pace
_NAME = 200  # characters of a common name in a note
_ID = re.compile("[0-9a-fA-F]{8,64}")
_PENDING = "PENDING_ACTIVATION"
_TO_TAKE = "`jitr ca register` with its certificate makes it ACTIVE and turns that on"
_EXPORTED = ("certificate_sha256", "thing_name", "note")


@dataclass(frozen=True, slots=True)
class RolloverCa:
    """One of the two CAs, as AWS IoT holds it and as the rules in force call it."""

    ca: RegisteredCa
    aliases: tuple[str, ...]
    not_after: datetime

    @property
    def takes_devices(self) -> bool:
        """Whether new devices of it are registered when they connect."""
        return self.ca.status == ACTIVE and self.ca.auto_registration == "ENABLE"

    @property
    def words(self) -> str:
        """Its alias and the beginning of its id, for a person."""
        return f"{', '.join(self.aliases)} ({self.ca.id[:12]})" if self.aliases else self.ca.id[:12]

    def to_json(self) -> dict[str, Any]:
        """Return it as ``--json`` prints it."""
        return {
            "ca_certificate_id": self.ca.id,
            "aliases": list(self.aliases),
            "subject": self.ca.to_json()["subject"],
            "status": self.ca.status,
            "auto_registration": self.ca.auto_registration == "ENABLE",
            "not_after": rfc3339(self.not_after),
        }


@dataclass(frozen=True, slots=True)
class CaPair:
    """The CA that is left, and the one that succeeds it."""

    old: RolloverCa
    new: RolloverCa


@dataclass(frozen=True, slots=True)
class RolloverPace:
    """How fast devices come, and when the last one will have. ``done_on`` is None where nobody came of late."""

    weeks: Mapping[date, int]  # by the first day of seven, the earliest first
    per_week: float
    done_on: date | None


def pace_from(days: Mapping[date, int], missing: int, today: date) -> RolloverPace:
    """Return the pace of the last four weeks, or since the first device came, and when all will have come at that pace.

    ``days`` says how many came on which day, and ``missing`` how many have not.
    """
    first = today - timedelta(days=7 * WEEKS - 1)
    weeks = {
        first + timedelta(days=7 * week): sum(days.get(first + timedelta(days=7 * week + day), 0) for day in range(7))
        for week in range(WEEKS)
    }
    counted = min(_PACE_DAYS, (today - min(days, default=today)).days + 1)
    came = sum(count for day, count in days.items() if day > today - timedelta(days=counted))
    return RolloverPace(weeks, 7 * came / counted, _done_on(today, missing, came / counted))


def _done_on(today: date, missing: int, per_day: float) -> date | None:
    if missing == 0:
        return today
    if per_day == 0:
        return None
    days = ceil(missing / per_day)
    return None if days > (date.max - today).days else today + timedelta(days=days)


class Rollover:
    """What is known of a roll-over, for as long as ``rollover`` keeps it."""

    def __init__(self, pair: CaPair, matching: Matching, at: datetime) -> None:
        self.pair = pair
        self.at = at
        self._matching = matching
        self.counts: DeviceCounts = matching.count()
        self.held: int = matching.held()
        self.not_on_record = {side: matching.not_on_record(side) for side in Side}
        self.pace = pace_from(matching.days(), self.counts.old_only, at.date())

    @property
    def in_time(self) -> bool | None:
        """Whether all will have come before the old CA ends; None where nobody came of late."""
        done = self.pace.done_on
        return None if done is None else done <= self.pair.old.not_after.date()

    def first_stragglers(self) -> list[Straggler]:
        """Return some certificates of devices that have not come, those that end first."""
        return list(islice(self._matching.stragglers(), FIRST))

    def export(self, file: Path, *, force: bool) -> int:
        """Write who has not come as a device list that `jitr lists import` takes; how many rows it has.

        Each row is a certificate of the old CA, and found by nothing else: one that the device comes with later is not
        on the list. Raises InputError where the file exists without ``force``.
        """
        count = 0

        def rows() -> Iterator[ListRow]:
            nonlocal count
            for each in self._matching.stragglers():
                count += 1
                yield _row(each)

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
            "per_week": round(pace.per_week, 1),
            "done_on": None if pace.done_on is None else f"{pace.done_on}",
            "in_time": self.in_time,
            "stragglers": [
                {
                    "certificate_id": each.certificate_id,
                    "common_name": each.common_name,
                    "thing": each.thing,
                    "not_after": each.not_after,
                }
                for each in self.first_stragglers()
            ],
        }


def pair_of(deployment: Deployment, old: str, new: str) -> CaPair:
    """Return the two CAs meant by an alias in the rules in force, an id, its beginning, or a file.

    Raises InputError for one that is not registered or cannot be read, for the same CA twice, and where the one that is
    named as the successor is the older of the two.
    """
    rules = rules_in_force(table_of(deployment)) or Rules("")
    pair = CaPair(_ca(deployment, rules, old), _ca(deployment, rules, new))
    if pair.old.ca.id == pair.new.ca.id:
        raise InputError(f"{old} and {new} are the same CA, {pair.old.ca.id[:12]}: name its successor")
    if pair.new.not_after < pair.old.not_after:
        _require_order(pair)
    return pair


def _require_order(pair: CaPair) -> None:
    """Raise InputError where the successor, which ends first, was not made later either; else warn of its end."""
    begins = [each.ca.certificate.not_before for each in (pair.old, pair.new) if each.ca.certificate is not None]
    old, new = (f"{each.not_after:%Y-%m-%d}" for each in (pair.old, pair.new))
    if old == new:
        old, new = rfc3339(pair.old.not_after), rfc3339(pair.new.not_after)
    told = f"{pair.new.words} ends {new}, before {pair.old.words}, {old}"
    if begins[1] <= begins[0]:
        raise InputError(f"{told}, and is not newer: name the CA that is left first, and then its successor")
    telling.warn(f"{told}: devices will have to be moved again")


def _ca(deployment: Deployment, rules: Rules, which: str) -> RolloverCa:
    iot = deployment.client("iot")
    if which in rules.cas:
        ids = rules.cas[which].ids
        if len(ids) != 1:
            raise InputError(f"{which} stands for {len(ids)} CAs in the rules in force: name one of them by its id")
        which = ids[0]
    elif not Path(which).is_file() and _ID.fullmatch(which) is None:
        raise InputError(
            f"{quote(which)} is no file, no caCertificateId (8 digits of it or more), and no CA alias of the rules in "
            f"force: {meant(which, rules.cas)}"
        )
    found = find(iot, which)
    certificate = found.certificate
    if certificate is None:
        raise InputError(f"the CA {found.id} cannot be read: {found.problem}")
    return RolloverCa(found, tuple(sorted(rules.aliases_of(found.id))), certificate.not_after)


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


def require_successor(pair: CaPair) -> None:
    """Raise InputError where the new CA takes no new devices: with the old one INACTIVE, none could come in."""
    if not pair.new.takes_devices:
        ca = pair.new.ca
        lacks = "INACTIVE" if ca.status != ACTIVE else "without auto-registration"
        mend = f"`jitr ca activate {ca.id[:12]}` makes it ACTIVE" if ca.auto_registration == "ENABLE" else _TO_TAKE
        raise InputError(
            f"the CA {pair.new.words} is {lacks}, and with {pair.old.words} INACTIVE no device could come in: {mend}"
        )


def finish(deployment: Deployment, pair: CaPair) -> None:
    """Make the old CA INACTIVE, so that no new device of it is registered, and write it into the history.

    One that is so stays as it is. Raises InputError as ``require_successor``.
    """
    require_successor(pair)
    words = ("ca", "rollover", pair.old.ca.id[:12], pair.new.ca.id[:12], "--finish")
    status.deactivate(deployment, pair.old.ca, words)


def _row(straggler: Straggler) -> ListRow:
    name = written_out(cut(straggler.common_name, _NAME)).replace("\ufffd", "?") or "(no common name)"
    end = "" if straggler.not_after is None else f", certificate ends {straggler.not_after[:10]}"
    thing = straggler.thing if straggler.thing is not None and THING_NAME.takes(straggler.thing) else None
    return ListRow(certificate_sha256=straggler.certificate_id, thing_name=thing, note=f"not yet come: {name}{end}")
