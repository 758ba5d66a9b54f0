"""The pages of a scheduled check: what each shows of its devices. See ``jitr.services.fleet.scheduled``."""

import json
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from datetime import datetime, timedelta
from itertools import chain

from jitr.aws.dynamodb.by_hand import acts_of
from jitr.aws.dynamodb.fleet_checks import FleetChecks, FleetPass
from jitr.aws.dynamodb.replacements import replaced_of
from jitr.aws.dynamodb.table import Table, certificate_of, reservation_key
from jitr.aws.iot import Iot
from jitr.aws.iot_listings import ListedCertificate, ListedThing, Listings, pages
from jitr.fleet.drift import DeviceFound, Drift, DriftKind, ThingFound, drifts
from jitr.fleet.missing import CERTIFICATE, THING, Missing, iot_policy, thing_group
from jitr.fleet.standing import ACTIVE, Standing, as_listed, by_hand, is_settling
from jitr.fleet.tally import EXPIRING, Example, Tally
from jitr.reasons import Verdict
from jitr.records.record import Record, common_name
from jitr.records.reservation import Reservation
from jitr.rules.model import Grant
from jitr.services.fleet.examination import Clock, Examiner
from jitr.services.fleet.findings import FleetFinding, codes, told
from jitr.times import parse_time, rfc3339
from jitr.values import dataclass

_LOOKED_AT_AGAIN = 25  # devices that lack something, as one page: AWS IoT describes ten a second
MOST_CAS = 100  # ids that a pass keeps: it is one item
# Names of groups that a pass keeps, to go through their things.
MOST_GROUPS = 250


@dataclass(slots=True)
class FleetPage:
    """What one page shows."""

    seen: Tally = field(default_factory=Tally)
    missing: Missing = field(default_factory=Missing)
    groups: set[str] = field(default_factory=set)  # that were granted, as far as the pass goes through them

    def goes_through(self, group: str) -> bool:
        """Return whether the pass goes through a group, of which it has not seen a grant before or has."""
        if len(self.groups) < MOST_GROUPS:
            self.groups.add(group)
        return group in self.groups

    def add(self, seen: Tally, missing: Missing) -> None:
        """Add what pages before it showed."""
        self.seen.add(seen)
        self.missing.add(missing)


class FleetPages:
    """Looks at pages, as one invocation does. It writes nothing but what drift it notes."""

    def __init__(
        self,
        *,
        table: Table,
        iot: Iot,
        listings: Listings,
        examiner: Callable[[], Examiner],
        clock: Clock,
        soon: timedelta,
    ) -> None:
        """Take who makes an ``examiner`` of what is in force, and how ``soon`` an end has to be to be told."""
        self._table = table
        self._iot = iot
        self._listings = listings
        self._new_examiner = examiner
        self._clock = clock
        self._soon = soon
        self._checks = FleetChecks(table)
        self._examiner: Examiner | None = None
        self._names: dict[str, list[str]] = {}

    def policies(self) -> list[str]:
        """Return the account's IoT policies, sorted; nothing where there are too many to go through."""
        return self._once("policies", lambda: self._listings.few_policies() or [])

    def cas(self) -> list[str]:
        """Return the CAs that are registered, sorted."""
        return self._once("cas", lambda: sorted(chain.from_iterable(pages(self._listings.cas))))

    def has_ca(self, ca_id: str) -> bool:
        """Return whether AWS IoT holds a CA now. Where it does not, ``cas`` lists them anew."""
        if self._iot.ca(ca_id) is not None:
            return True
        self._names.pop("cas", None)
        return False

    def _once(self, what: str, names: Callable[[], list[str]]) -> list[str]:
        if what not in self._names:
            self._names[what] = names()
        return self._names[what]

    def look(self, mine: FleetPass, page: FleetPage) -> str | None:
        """Look at the page that a pass has come to, and return the mark of the next one."""
        place = mine.place
        now = self._clock()
        match place.step:
            case "records":
                return self._expect_certificates(mine, page)
            case "policies":
                ids, mark = self._listings.certificates_with(place.of, place.mark)
                self._look_at_policy(mine, place.of, self._admitted(set(ids), now), page)
            case "things":
                things, mark = self._listings.things(place.mark)
                self._look_at_things(mine, things, page, now)
            case "certificates":
                listed, mark = self._listings.certificates_of(place.of, place.mark)
                self._look_at(mine, place.of, listed, page, now)
            case "groups":
                names, mark = self._listings.things_in(place.of, place.mark)
                self._look_at_group(mine, place.of, self._holders(set(names), now), page)
            case "unlisted":
                listed, mark = self._listings.certificates(place.mark)
                self._look_at_unlisted(mine, listed, page, now)
            case _:
                return self._look_for_missing(mine, page, now)
        return mark

    # --- 1. which certificates ought to be there

    def _expect_certificates(self, mine: FleetPass, page: FleetPage) -> str | None:
        """Expect the certificates of devices that were admitted before the pass began."""
        after = None if mine.place.mark is None else json.loads(mine.place.mark)
        found, after = self._table.page(mine.place.of, index="by_state", after=after)
        for each in found:
            if parse_time(each["state_at"]) < mine.started_at:
                page.missing.expect(certificate_of(each), CERTIFICATE)
        return None if after is None else json.dumps(after)

    # --- 2. and 3. what was granted

    def _note(self, mine: FleetPass, page: FleetPage, drifted: Iterable[tuple[str, str]]) -> None:
        found = list(drifted)
        self._checks.note_drift(mine, found, self._clock())
        page.seen.drifted += len(found)

    def _admitted(self, ids: Iterable[str], now: datetime) -> list[tuple[Record, Grant]]:
        """Return those of some devices that are in, with what they were granted; not those being decided."""
        return _granted(self._table.records(list(ids)), now)

    def _look_at_policy(
        self, mine: FleetPass, policy: str, admitted: Sequence[tuple[Record, Grant]], page: FleetPage
    ) -> None:
        """Look at devices that have an IoT policy: to some it was granted."""
        beyond = []
        for record, grant in admitted:
            if policy not in grant.iot_policies:
                beyond.append((record.certificate_id, f"IoT policy {policy} is beyond the grant"))
            elif not is_settling(record, mine.started_at):
                page.missing.find(record.certificate_id, iot_policy(policy))
        self._note(mine, page, beyond)

    def _look_at_things(self, mine: FleetPass, things: Sequence[ListedThing], page: FleetPage, now: datetime) -> None:
        """Look at things, and at the devices that hold their names."""
        found = {each.name: each for each in things}
        admitted = self._holders(found, now)
        for record, _ in admitted:
            if not is_settling(record, mine.started_at):
                page.missing.find(record.certificate_id, THING)
        self._note(mine, page, _differing(found, admitted))

    def _holders(self, things: Collection[str], now: datetime) -> list[tuple[Record, Grant]]:
        """Return the devices that are in and were granted some things, and hold their names."""
        keys = [reservation_key(f"THING#{name}") for name in things]
        holders = {
            certificate_id
            for item in self._table.get(keys)
            for certificate_id in Reservation.from_json(item["pk"], item).certificates
        }
        return [(each, grant) for each, grant in self._admitted(holders, now) if grant.thing in things]

    # --- 4. certificates

    def _look_at(
        self, mine: FleetPass, ca_id: str, listed: Sequence[ListedCertificate], page: FleetPage, now: datetime
    ) -> None:
        records = {each.certificate_id: each for each in self._table.records([each.id for each in listed])}
        page.seen.certificates += len(listed)
        self._look_at_listed(mine, listed, records, page, now)
        self._expect_grants(mine, listed, records, page, page.goes_through)
        self._look_at_unrecorded(
            ca_id, [each for each in listed if each.status == ACTIVE and each.id not in records], page.seen, now
        )

    def _look_at_listed(
        self,
        mine: FleetPass,
        listed: Sequence[ListedCertificate],
        records: Mapping[str, Record],
        page: FleetPage,
        now: datetime,
    ) -> None:
        statuses: dict[str, str | None] = {each.id: each.status for each in listed if each.id in records}
        for certificate_id, each in records.items():
            if each.decision is Verdict.ADMIT and each.decided_at < mine.started_at:
                page.missing.find(certificate_id, CERTIFICATE)
            if not as_listed(each, statuses[certificate_id], now):
                statuses[certificate_id] = self._status_of(certificate_id)
        self._look_at_recorded(mine, list(records.values()), statuses, page.seen, now)

    def _expect_grants(
        self,
        mine: FleetPass,
        listed: Sequence[ListedCertificate],
        records: Mapping[str, Record],
        page: FleetPage,
        goes_through: Callable[[str], bool],
    ) -> None:
        """Expect what devices were granted before the pass began, whatever their status.

        A thing that another certificate took over (``renewal: replace``, which makes the first INACTIVE) is its own.
        """
        admitted = _granted(records.values(), mine.started_at)
        active = {each.id for each in listed if each.status == ACTIVE}
        replaced = replaced_of(self._table, [each for each, _ in admitted if each.certificate_id not in active])
        for record, grant in admitted:
            for what in self._expected(mine, grant, goes_through, replaced=record.certificate_id in replaced):
                page.missing.expect(record.certificate_id, what)

    def _expected(
        self, mine: FleetPass, grant: Grant, goes_through: Callable[[str], bool], *, replaced: bool = False
    ) -> Iterator[bytes]:
        """Yield what AWS IoT ought to have of a grant, as far as the pass goes through it."""
        if mine.policies and self.policies():
            yield from map(iot_policy, grant.iot_policies)
        if grant.thing is not None and not replaced:
            yield THING
            yield from map(thing_group, filter(goes_through, grant.thing_groups))

    def _status_of(self, certificate_id: str) -> str | None:
        found = self._iot.certificate(certificate_id)
        return None if found is None else found.status

    def _look_at_recorded(
        self,
        mine: FleetPass,
        records: Sequence[Record],
        statuses: Mapping[str, str | None],
        seen: Tally,
        now: datetime,
    ) -> None:
        """Look at devices on record, given their certificates' statuses: None for one that is gone."""
        looked = self._examiner_at(now).look_at(records, statuses)
        seen.looked_at += looked.decided
        seen.left_alone += looked.left_alone
        seen.failed += looked.failed
        for finding in looked.findings:
            seen.find(finding["finding"], _example(finding))
        self._find_drifted(mine, looked.admitted, seen)
        self._find_expiring(looked.admitted, seen, now)

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
            if not by_hand(done).let_in:
                seen.find(Standing.UNKNOWN.value, Example(each.id, "", created, "unknown", "nobody we know let it in"))
                continue
            found = self._iot.certificate(each.id)
            if found is None or found.status != ACTIVE:
                continue  # changed since it was listed
            looked = self._examiner_at(now).look_at_unrecorded(each.id, found.pem, ca_id, created, done)
            seen.looked_at += looked.decided
            for finding in looked.findings:
                seen.find(finding["finding"], _example(finding))

    # --- 5. groups

    def _look_at_group(
        self, mine: FleetPass, group: str, admitted: Iterable[tuple[Record, Grant]], page: FleetPage
    ) -> None:
        for record, grant in admitted:
            if group in grant.thing_groups and not is_settling(record, mine.started_at):
                page.missing.find(record.certificate_id, thing_group(group))

    # --- 6. and 7. what is missing

    def _look_at_unlisted(
        self, mine: FleetPass, listed: Sequence[ListedCertificate], page: FleetPage, now: datetime
    ) -> None:
        """Look at devices whose CAs AWS IoT held no longer when the pass came to them: no CA's listing shows them."""
        cas = mine.cas.union(self.cas())
        records = {
            each.certificate_id: each
            for each in self._table.records([each.id for each in listed])
            if each.ca_certificate_id not in cas
        }
        self._look_at_listed(mine, listed, records, page, now)
        # Things, policies and groups were gone through before: what they showed of these devices is expected now.
        self._expect_grants(mine, listed, records, page, mine.groups.__contains__)

    def _look_for_missing(self, mine: FleetPass, page: FleetPage, now: datetime) -> str | None:
        """Look once more at some devices that lack something. Of too many only the number is known."""
        lacking = mine.missing.by_device()
        if lacking is None:
            _count_missing(mine, page.seen)
            return None
        later = [each for each in lacking if each > (mine.place.mark or "")]
        ids = later[:_LOOKED_AT_AGAIN]
        records = [
            each
            for each in self._table.records(ids)
            if each.decision is Verdict.ADMIT and not is_settling(each, mine.started_at)
        ]
        statuses = {each.certificate_id: self._status_of(each.certificate_id) for each in records}
        unlisted = [each for each in records if CERTIFICATE in lacking[each.certificate_id]]
        self._look_at_recorded(mine, unlisted, statuses, page.seen, now)
        active = [each for each in records if statuses[each.certificate_id] == ACTIVE]
        self._find_lacking(mine, active, lacking | self._lacked_unlisted(mine, unlisted), page.seen, now)
        return ids[-1] if len(later) > len(ids) else None

    def _lacked_unlisted(self, mine: FleetPass, unlisted: Iterable[Record]) -> dict[str, set[bytes]]:
        """Return what devices lack whose certificates no listing showed: nothing of them was expected, it was found."""
        found = mine.missing.not_expected()
        return {
            each.certificate_id: {*self._expected(mine, Grant.from_json(each.grant), mine.groups.__contains__)}
            - found.get(each.certificate_id, set())
            for each in unlisted
            if each.grant is not None
        }

    def _find_lacking(
        self,
        mine: FleetPass,
        active: Sequence[Record],
        lacking: Mapping[str, set[bytes]],
        seen: Tally,
        now: datetime,
    ) -> None:
        """Find devices that have drifted, but for those that were found so already, with their certificates."""
        granted = [(each, Grant.from_json(each.grant)) for each in active if each.grant is not None]
        things = {grant.thing for _, grant in granted if grant.thing is not None}
        last = {grant.thing: record.certificate_id for record, grant in _by_time(self._holders(things, now))}
        noted = self._checks.drift_of(mine, [each.certificate_id for each in active])
        replaced = replaced_of(self._table, active)
        for each, grant in granted:
            if each.certificate_id in noted:
                continue
            wanting = lacking[each.certificate_id] - ({THING} if each.certificate_id in replaced else set())
            shared = last.get(grant.thing) != each.certificate_id
            missing = "; ".join(one.told for one in _lost(grant, wanting, shared=shared))
            if missing:
                seen.find(Standing.DRIFT.value, _example_of(each, "drift", missing))

    def _examiner_at(self, now: datetime) -> Examiner:
        """Return who decides devices under what is in force now, of a listing that was made now."""
        if self._examiner is None or self._examiner.heads != self._table.heads():
            self._examiner = self._new_examiner()
        self._examiner.started = now
        return self._examiner


def _differing(found: Mapping[str, ListedThing], admitted: Iterable[tuple[Record, Grant]]) -> Iterator[tuple[str, str]]:
    """Yield devices whose things have another type or other attributes; a shared one follows the last grant."""
    last: dict[str, tuple[Record, Grant]] = {}
    for record, grant in _by_time(admitted):
        last[str(grant.thing)] = (record, grant)
    for name, (record, grant) in last.items():
        thing = ThingFound(found[name].thing_type, found[name].attributes, frozenset(grant.thing_groups))
        differ = drifts(grant, DeviceFound(frozenset(grant.iot_policies), thing))
        if differ:
            yield record.certificate_id, "; ".join(each.told for each in differ)


def _granted(records: Iterable[Record], before: datetime) -> list[tuple[Record, Grant]]:
    """Return the devices that were admitted before a time, with what they were granted; not those being decided."""
    return [
        (each, Grant.from_json(each.grant))
        for each in records
        if each.decision is Verdict.ADMIT and each.grant is not None and not is_settling(each, before)
    ]


def _by_time(admitted: Iterable[tuple[Record, Grant]]) -> list[tuple[Record, Grant]]:
    return sorted(admitted, key=lambda each: (each[0].decided_at, each[0].certificate_id))


def _count_missing(mine: FleetPass, seen: Tally) -> None:
    """Count devices, at the least: those that were found to have drifted may be the ones that lack something."""
    found = sum(mine.total.counts.get(Standing.DRIFT.value, {}).values())
    for kind, number in (
        (Standing.GONE, mine.missing.certificates),
        (Standing.DRIFT, mine.missing.of_grants - found),
    ):
        if number > 0:
            seen.count(kind.value, kind.value, number)


def _lost(grant: Grant, wanting: Container[bytes], *, shared: bool) -> Iterator[Drift]:
    """Yield what of its grant a device lacks; not groups of a thing that follows another device's grant."""
    if grant.thing is not None and THING in wanting:
        yield Drift(DriftKind.THING, grant.thing, grant.thing)
    else:
        for name in () if shared else grant.thing_groups:
            if thing_group(name) in wanting:
                yield Drift(DriftKind.THING_GROUP, name, name)
    for name in grant.iot_policies:
        if iot_policy(name) in wanting:
            yield Drift(DriftKind.IOT_POLICY, name, name)


def _example(finding: FleetFinding) -> Example:
    of_device = finding["finding"] in (Standing.REJECT.value, Standing.HOLD.value)
    reason = codes(finding)[0] if of_device and codes(finding) else finding["finding"]
    return Example(finding["certificate_id"], finding["common_name"], finding["decided_at"], reason, told(finding))


def _example_of(record: Record, reason: str, message: str) -> Example:
    return Example(record.certificate_id, common_name(record), rfc3339(record.decided_at), reason, message)
