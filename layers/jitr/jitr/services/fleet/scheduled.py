"""The scheduled check: pass after pass over all devices that are in, some pages an invocation. It changes no device.

A pass lists, a page at a time,

1. whom each IoT policy is attached to: a device that has one beyond its grant has drifted
2. things: one whose type or attributes are not what its device was granted has drifted
3. the certificates of each CA: with its record, each is decided again and held against its status

Every page is counted in the write that says which page comes next, so a pass that is cut off anywhere counts nothing
twice and leaves nothing out. What is held in memory is one page.

What would need all devices at once is not looked for: certificates that are gone, and things, groups, policies and
attachments that are missing. Nor are OCSP responders asked. ``jitr fleet check`` does all of that.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import chain
from typing import Any

from jitr.aws.crls import Crls
from jitr.aws.dynamodb.by_hand import acts_of
from jitr.aws.dynamodb.fleet_checks import FleetChecks, FleetPass, FleetPlace
from jitr.aws.dynamodb.table import Table, reservation_key
from jitr.aws.iot import Iot
from jitr.aws.iot_listings import MOST_POLICIES, ListedCertificate, ListedThing, Listings, pages
from jitr.aws.ocsp_responders import OcspResponders
from jitr.aws.telemetry import Telemetry
from jitr.decision.revocation import without_responders
from jitr.errors import Refused, Retry
from jitr.fleet.acceptance import gauges, not_accepted
from jitr.fleet.drift import DeviceFound, ThingFound, drifts
from jitr.fleet.standing import ACTIVE, Standing, as_listed, is_settling
from jitr.fleet.tally import EXPIRING, Example, Tally
from jitr.reasons import Verdict
from jitr.records.record import Record, common_name
from jitr.records.reservation import Reservation
from jitr.rules.model import Grant
from jitr.services.fleet.examination import AsNow, Clock, Examiner, hand_of
from jitr.services.fleet.findings import FleetFinding, codes, told
from jitr.times import parse_time, rfc3339

# What a page takes at the longest, and what is left to do after it.
TIME_FOR_A_PAGE = 60_000  # ms
_STEPS = POLICIES, THINGS, CERTIFICATES = ("policies", "things", "certificates")
_END = "end"
FIRST = FleetPlace("begin")

NOT_LOOKED_FOR = (
    "certificates that are gone",
    "things, groups, IoT policies and attachments that are missing",
    "what OCSP responders say",
)


class FleetCheck:
    """One function's checks; keeps nothing between invocations but CAs and revocation lists."""

    def __init__(
        self,
        *,
        table: Table,
        iot: Iot,
        listings: Listings,
        examiner: Callable[[], Examiner],
        clock: Callable[[], datetime],
        telemetry: Telemetry,
        every: timedelta,
        soon: timedelta,
    ) -> None:
        """Take who makes an ``examiner`` of what is in force, and how ``soon`` an end has to be to be told."""
        self._table = table
        self._iot = iot
        self._listings = listings
        self._new_examiner = examiner
        self._clock = clock
        self._telemetry = telemetry
        self._every = every
        self._soon = soon
        self._checks = FleetChecks(table)
        self._examiner: Examiner | None = None
        self._names: dict[str, list[str]] = {}

    def handle(self, event: Mapping[str, Any], remaining: Callable[[], int]) -> None:
        """Go on with the pass that is under way, or begin the one that is due, and tell what the last one found.

        ``{"fleet": "due"}`` comes from the schedule; ``{"fleet": "now"}`` begins a pass although none is due.
        ``remaining`` tells the milliseconds until Lambda ends the function. Raises Retry and Refused as AWS does: the
        pass goes on from its last page at the next invocation. Raises ValueError for an event that asks for neither.
        """
        if event.get("fleet") not in ("due", "now"):
            raise ValueError("not {'fleet': 'due' | 'now'}")
        self._examiner, self._names = None, {}
        self._iot.pace.within(remaining)
        if self._table.heads().digest is not None:  # else there is nothing to decide devices by
            mine = self._checks.take(self._clock(), self._every, FIRST, wanted=event["fleet"] == "now")
            if mine is not None:
                self._go_on(mine, lambda: remaining() > TIME_FOR_A_PAGE)
        self._tell()
        self._telemetry.count("FleetCheckRuns")

    def _tell(self) -> None:
        """Give CloudWatch what the last pass found and nobody has accepted. Each time: alarms look at the last hour."""
        last = self._checks.last()
        if last is None:
            return
        left = not_accepted(last["counts"], self._checks.accepted(), self._clock())
        found = gauges(left)
        self._telemetry.count("NotAdmissibleToday", found["NotAdmissibleToday"])
        self._telemetry.count("Drifted", found["Drifted"])
        self._telemetry.count("Unknown", found["Unknown"])
        self._telemetry.count("FleetFindings", found["FleetFindings"])
        self._telemetry.count("ExpiringSoon", found["ExpiringSoon"])

    def _go_on(self, mine: FleetPass, in_time: Callable[[], bool]) -> None:
        try:
            while in_time():
                if mine.place.step == _END:
                    self._finish(mine)
                    return
                after = self._one_page(mine)
                if not self._checks.move(after, self._clock()):
                    return  # another invocation has it
                mine = after
        except Retry as retry:
            if retry.cause not in ("deadline", "pace"):
                self._checks.let_go(mine)
                raise
        except Refused:
            self._checks.let_go(mine)
            raise
        self._checks.let_go(mine)

    def _finish(self, mine: FleetPass) -> None:
        now = self._clock()
        counted = mine.total.to_json()
        del counted["drifted"]
        many = (
            [] if self._of(POLICIES) else [f"IoT policies beyond the grants: there are none, or over {MOST_POLICIES}"]
        )
        summary = {
            "started_at": rfc3339(mine.started_at),
            "finished_at": rfc3339(now),
            "rules_version": self._table.heads().version,
            **counted,
            "not_looked_for": [*NOT_LOOKED_FOR, *many],
        }
        if self._checks.finish(mine, summary, now):
            self._telemetry.logger.info("fleet checked", extra={"counts": counted["counts"]})

    # --- one page

    def _one_page(self, mine: FleetPass) -> FleetPass:
        """Look at one page, and return the pass as it is after it."""
        place = mine.place
        if place.step not in _STEPS:
            return replace(mine, place=self._following(place))
        seen = Tally()
        try:
            mark = self._looked(mine, seen)
        except Refused as refused:
            if place.mark is None or refused.code != "InvalidRequestException":
                raise
            # AWS IoT does not know the mark any more: this listing is gone through again, and counted anew.
            return replace(mine, place=replace(place, mark=None), listing=Tally())
        seen.add(mine.listing)
        if mark is not None:
            return replace(mine, place=replace(place, mark=mark), listing=seen)
        seen.add(mine.total)
        return replace(mine, place=self._following(place), total=seen, listing=Tally())

    def _following(self, place: FleetPlace) -> FleetPlace:
        """Return where a pass goes on after the last page of a listing."""
        later = [each for each in self._of(place.step) if each > place.of]
        step = place.step
        while not later:
            step = _STEPS[0] if step == FIRST.step else (*_STEPS, _END)[_STEPS.index(step) + 1]
            if step == _END:
                return FleetPlace(_END)
            later = self._of(step)
        return FleetPlace(step, later[0])

    def _of(self, step: str) -> list[str]:
        """Return what a step lists one after the other: IoT policies, all things at once, or CAs."""
        if step == THINGS:
            return ["*"]
        if step not in self._names:
            self._names[step] = {POLICIES: self._policies, CERTIFICATES: self._cas}.get(step, list)()
        return self._names[step]

    def _policies(self) -> list[str]:
        return self._listings.few_policies() or []

    def _cas(self) -> list[str]:
        return sorted(chain.from_iterable(pages(self._listings.cas)))

    def _looked(self, mine: FleetPass, seen: Tally) -> str | None:
        place = mine.place
        now = self._clock()
        if place.step == POLICIES:
            ids, mark = self._listings.certificates_with(place.of, place.mark)
            self._note(mine, seen, self._beyond(place.of, self._admitted(ids, now)))
        elif place.step == THINGS:
            things, mark = self._listings.things(place.mark)
            self._note(mine, seen, self._differing(things, now))
        else:
            listed, mark = self._listings.certificates_of(place.of, place.mark)
            self._look_at(mine, place.of, listed, seen, now)
        return mark

    # --- 1. and 2. what was granted

    def _note(self, mine: FleetPass, seen: Tally, drifted: Iterable[tuple[str, str]]) -> None:
        found = list(drifted)
        self._checks.note_drift(mine, found, self._clock())
        seen.drifted += len(found)

    def _admitted(self, ids: Sequence[str], now: datetime) -> list[tuple[Record, Grant]]:
        """Return those of some devices that are in, with what they were granted; not those being decided."""
        return [
            (each, Grant.from_json(each.grant))
            for each in self._table.records(ids)
            if each.decision is Verdict.ADMIT and each.grant is not None and not is_settling(each, now)
        ]

    def _beyond(self, policy: str, admitted: Iterable[tuple[Record, Grant]]) -> Iterator[tuple[str, str]]:
        for record, grant in admitted:
            if policy not in grant.iot_policies:
                yield record.certificate_id, f"IoT policy {policy} is beyond the grant"

    def _differing(self, things: Sequence[ListedThing], now: datetime) -> Iterator[tuple[str, str]]:
        """Yield devices whose things have another type or other attributes; a shared one follows the last grant."""
        found = {each.name: each for each in things}
        keys = [reservation_key(f"THING#{name}") for name in found]
        holders = [
            certificate_id
            for item in self._table.get(keys)
            for certificate_id in Reservation.from_json(item["pk"], item).certificates
        ]
        last: dict[str, tuple[Record, Grant]] = {}
        for record, grant in sorted(self._admitted(holders, now), key=lambda each: each[0].decided_at):
            if grant.thing is not None:
                last[grant.thing] = (record, grant)
        for name, (record, grant) in last.items():
            if name not in found:
                continue
            thing = ThingFound(found[name].thing_type, found[name].attributes, frozenset(grant.thing_groups))
            differ = drifts(grant, DeviceFound(frozenset(grant.iot_policies), thing))
            if differ:
                yield record.certificate_id, "; ".join(each.told for each in differ)

    # --- 3. certificates

    def _look_at(
        self, mine: FleetPass, ca_id: str, listed: Sequence[ListedCertificate], seen: Tally, now: datetime
    ) -> None:
        records = {each.certificate_id: each for each in self._table.records([each.id for each in listed])}
        statuses = {each.id: each.status for each in listed}
        seen.certificates += len(listed)
        self._look_at_recorded(mine, list(records.values()), statuses, seen, now)
        self._look_at_unrecorded(
            ca_id, [each for each in listed if each.status == ACTIVE and each.id not in records], seen, now
        )

    def _look_at_recorded(
        self, mine: FleetPass, records: Sequence[Record], statuses: dict[str, str], seen: Tally, now: datetime
    ) -> None:
        described: dict[str, str | None] = dict(statuses)
        for each in records:
            if not as_listed(each, statuses[each.certificate_id], now):
                found = self._iot.certificate(each.certificate_id)
                described[each.certificate_id] = None if found is None else found.status
        examiner = self._examiner_at(now)
        looked = examiner.look_at(records, described)
        seen.looked_at += looked.decided
        seen.left_alone += looked.left_alone
        seen.failed += looked.failed
        for finding in looked.findings:
            if finding["finding"] != Standing.GONE.value:
                seen.find(finding["finding"], _example(finding))
        by_id = {each.certificate_id: each for each in records}
        admitted = [by_id[certificate_id] for certificate_id, *_ in looked.grants]
        self._find_drifted(mine, admitted, seen)
        self._find_expiring(admitted, seen, now)

    def _find_drifted(self, mine: FleetPass, admitted: Sequence[Record], seen: Tally) -> None:
        if mine.total.drifted == 0:
            return
        noted = self._checks.drift_of(mine, [each.certificate_id for each in admitted])
        for each in admitted:
            if each.certificate_id in noted:
                seen.find(Standing.DRIFT.value, _example_of(each, "drift", noted[each.certificate_id]))

    def _find_expiring(self, admitted: Iterable[Record], seen: Tally, now: datetime) -> None:
        for each in admitted:
            end = None if each.facts is None else parse_time(each.facts["not_after"])
            if end is not None and now <= end < now + self._soon:
                seen.find(EXPIRING, _example_of(each, EXPIRING, f"its certificate ends {rfc3339(end)}"))

    def _look_at_unrecorded(self, ca_id: str, listed: Sequence[ListedCertificate], seen: Tally, now: datetime) -> None:
        """Look at ACTIVE certificates that nothing was decided on. Only those let in by hand are read and decided."""
        acts = acts_of(self._table, [each.id for each in listed])
        for each in listed:
            created = rfc3339(each.created) if each.created is not None else ""
            done = acts.get(each.id, ())
            if not hand_of(done).let_in:
                seen.find(Standing.UNKNOWN.value, Example(each.id, "", created, "unknown", "nobody we know let it in"))
                continue
            found = self._iot.certificate(each.id)
            if found is None or found.status != ACTIVE:
                continue  # changed since it was listed
            looked = self._examiner_at(now).look_at_unrecorded(each.id, found.pem, ca_id, created, done)
            seen.looked_at += looked.decided
            for finding in looked.findings:
                seen.find(finding["finding"], _example(finding))

    def _examiner_at(self, now: datetime) -> Examiner:
        """Return who decides devices under what is in force now, of a listing that was made now."""
        if self._examiner is None or self._examiner.heads != self._table.heads():
            self._examiner = self._new_examiner()
        self._examiner.started = now
        return self._examiner


def scheduled_examiner(table: Table, iot: Iot, crls: Crls, clock: Clock) -> Callable[[], Examiner]:
    """Return who makes an examiner of what is in force, by one set of CAs and revocation lists."""
    seen = AsNow(iot, crls, OcspResponders(), clock)
    return lambda: Examiner(table, seen, clock, without_responders)


def _example(finding: FleetFinding) -> Example:
    of_device = finding["finding"] in (Standing.REJECT.value, Standing.HOLD.value)
    reason = codes(finding)[0] if of_device and codes(finding) else finding["finding"]
    return Example(finding["certificate_id"], finding["common_name"], finding["decided_at"], reason, told(finding))


def _example_of(record: Record, reason: str, message: str) -> Example:
    return Example(record.certificate_id, common_name(record), rfc3339(record.decided_at), reason, message)
