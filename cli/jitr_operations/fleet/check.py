"""A check of the fleet: every device that is in, decided again and compared with what AWS IoT has. It changes nothing.

In order, each step page by page and written down in the notebook:

1. AWS IoT lists the certificates of the CAs that it holds.
2. Devices on record as admitted are looked at, several shards at once. Those that no listing has shown, or that were
   decided just before it and that it shows otherwise, are put aside.
3. Those are described one by one, or looked for in the listing of all certificates where there are many.
4. What is ACTIVE and not on record as admitted is looked at: held, rejected, let in by hand, or unknown.
5. AWS IoT lists things, groups and targets of IoT policies, and what devices were granted is compared with that.

So AWS IoT is asked for pages of 250, at half of registration's pace, and describes only what is in doubt.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from jitr.aws.dynamodb.by_hand import acts_of
from jitr.aws.dynamodb.rulebook import rules_in_force
from jitr.aws.dynamodb.table import BATCH_GET, Item, Table, key_of, state_shards
from jitr.aws.iot import Iot
from jitr.aws.iot_listings import MOST_POLICIES, ListedCertificate, Listings
from jitr.errors import InputError
from jitr.fleet.standing import ACTIVE, Standing, as_listed, is_recent
from jitr.reasons import Verdict
from jitr.records.record import Record
from jitr.services.fleet.examination import Examined
from jitr.services.fleet.findings import FleetFinding, device_of
from jitr.text import counted, meant
from jitr.times import parse_time, rfc3339
from jitr.unseen import quote
from jitr_operations import telling
from jitr_operations.cas.registry import all_ca_ids
from jitr_operations.decisions.filters import ca_ids
from jitr_operations.deployment import Deployment
from jitr_operations.fleet.examining import examiner_for
from jitr_operations.fleet.granted import GrantComparison
from jitr_operations.fleet.notebook import DONE, Notebook
from jitr_operations.fleet.pace import pace_of
from jitr_operations.fleet.selection import Selection
from jitr_operations.fleet.walks import Walks, next_mark
from jitr_operations.table import now, table_of

# What a notebook says is too old to go on with after this long, and AWS IoT may no longer know its marks.
GOOD_FOR = timedelta(days=1)
# Examined for one by one; where there are more, the listing of all certificates costs fewer calls.
FEW = 250


@dataclass(frozen=True, slots=True)
class FleetChecked:
    """What a check came to."""

    at: str
    version: int
    certificates: int
    looked_at: int
    left_alone: int
    failed: int
    resumed: bool
    not_looked_for: tuple[str, ...]
    findings: tuple[FleetFinding, ...]

    def count(self) -> dict[str, int]:
        """Return how many findings there are of each kind."""
        counts = {each.value: 0 for each in Standing}
        for each in self.findings:
            counts[each["finding"]] += 1
        return counts

    def to_json(self) -> dict[str, Any]:
        """Return it as ``--json`` prints it."""
        return {
            "checked_at": self.at,
            "rules_version": self.version,
            "certificates": self.certificates,
            "looked_at": self.looked_at,
            "left_alone": self.left_alone,
            "failed": self.failed,
            "resumed": self.resumed,
            "not_looked_for": list(self.not_looked_for),
            "counts": self.count(),
            "findings": list(self.findings),
        }


def check(deployment: Deployment, selection: Selection, notebook: Notebook) -> FleetChecked:
    """Look at every device that is in. Raises InputError for an unknown CA or rule, Retry and Refused as AWS does.

    A notebook of the same check that was cut off goes on where it stopped.
    """
    return _Check(deployment, selection, notebook).run()


class _Check:
    def __init__(self, deployment: Deployment, selection: Selection, notebook: Notebook) -> None:
        self._deployment = deployment
        self._selection = selection
        self._notebook = notebook
        self._table: Table = table_of(deployment)
        self._of_ca = ca_ids(self._table, selection.ca)
        pace = pace_of(deployment)
        self._iot = Iot(deployment.client("iot"), pace)
        self._listings = Listings(deployment.client("iot"), pace)
        self._examiner = examiner_for(deployment, self._iot, pace, selection)
        self._cas = [each for each in all_ca_ids(deployment.client("iot")) if self._of_ca(each)]
        self._walks = Walks(notebook)
        self._grants = GrantComparison(
            deployment, self._table, self._iot, self._listings, notebook, attachments=selection.attachments
        )

    def run(self) -> FleetChecked:
        resumed = self._begin()
        for description, step in (
            ("Listing certificates", self._list_certificates),
            ("Deciding admitted devices again", self._look_at_admitted),
            ("Looking for certificates that were not listed", self._look_for_unlisted),
            ("Looking at other ACTIVE certificates", self._look_at_others),
            ("Comparing what was granted", self._compare_grants),
        ):
            with telling.progress(description, None) as self._walks.advance:
                step()
        about = self._notebook.about()
        failed = int(about.get("failed", 0))
        if failed:
            telling.warn(f"{counted(failed, 'decision')} could not be made again: that is a bug, and left out")
        return FleetChecked(
            at=about["started"],
            version=self._examiner.heads.version,
            certificates=int(about.get("certificates", 0)),
            looked_at=int(about.get("looked_at", 0)),
            left_alone=int(about.get("left_alone", 0)),
            failed=failed,
            resumed=resumed,
            not_looked_for=tuple(self._not_looked_for(about)),
            findings=tuple(each for each in self._notebook.findings() if Standing(each["finding"]) in self._wanted),
        )

    # --- the notebook

    def _begin(self) -> bool:
        """Begin a check, or go on with one; whether it goes on."""
        about, began = self._about(), now()
        before = self._notebook.about()
        if before and all(before.get(name) == value for name, value in about.items()):
            if began < parse_time(before["started"]) + GOOD_FOR:
                self._examiner.started = parse_time(before["started"])
                return True
            telling.note("The notebook is of a check that began more than a day ago: it begins anew.")
        elif before:
            telling.note("The notebook is of another check, or of before rules or lists were edited: it begins anew.")
        self._notebook.begin(about | {"started": rfc3339(began)})
        self._examiner.started = began
        return False

    def _about(self) -> dict[str, str]:
        """Return what a check has to have in common with one that it goes on with."""
        heads = self._examiner.heads
        return {
            "where": self._deployment.where("dynamodb"),
            "selection": json.dumps(self._selection.to_json()),
            "in_force": json.dumps([heads.digest, {name: heads.edition(name) for name in sorted(heads.lists)}]),
        }

    @property
    def _wanted(self) -> frozenset[Standing]:
        return self._selection.only

    def _not_looked_for(self, about: dict[str, str]) -> Iterator[str]:
        if self._selection.rule is not None:
            yield "unknown certificates: nothing says which rule they would be of"
        if not self._selection.attachments and Standing.DRIFT in self._wanted:
            yield "certificates detached from their things: --attachments asks of each device, about five a second"
        if "policies_not_listed" in about:
            yield f"IoT policies beyond the grants: the account has more than {MOST_POLICIES}"
        if not self._selection.ocsp:
            yield "what OCSP responders say"

    # --- 1. certificates

    def _list_certificates(self) -> None:
        for ca_id in self._cas:
            page = partial(self._listings.certificates_of, ca_id)
            self._walks.through(f"certificates of {ca_id}", page, self._keep_certificates)

    def _keep_certificates(self, listed: Sequence[ListedCertificate]) -> None:
        self._notebook.list_certificates(
            (each.id, each.status, None if each.created is None else rfc3339(each.created)) for each in listed
        )
        self._notebook.count("certificates", len(listed))

    # --- 2. admitted devices

    def _look_at_admitted(self) -> None:
        shards = state_shards(Verdict.ADMIT.value)
        pages = [(f"records of {shard}", self._admitted_in(shard)) for shard in shards]
        self._walks.side_by_side(pages, self._keep_admitted)
        self._require_rule()

    def _require_rule(self) -> None:
        """Raise InputError for a rule that neither is in force nor admitted anybody: its check says nothing."""
        rule, about = self._selection.rule, self._notebook.about()
        if rule is None or int(about.get("looked_at", 0)) or int(about.get("left_alone", 0)):
            return
        rules = rules_in_force(self._table)
        names = [] if rules is None else [each.name for each in rules.allow]
        if rule not in names:
            raise InputError(
                f"no allow rule {quote(rule)} is in force, and none admitted a device: {meant(rule, names)}"
            )

    def _admitted_in(self, shard: str) -> Callable[[str | None], tuple["_Admitted", str | None]]:
        since = None if self._selection.since is None else rfc3339(self._selection.since)

        def page(mark: str | None) -> tuple[_Admitted, str | None]:
            after: Item | None = None if mark is None else json.loads(mark)
            places, after = self._table.page(shard, index="by_state", since=since, after=after)
            keys = list(map(key_of, places))
            # The index follows the table a moment later: what is no longer admitted is looked at as the others are.
            records = [Record.from_json(each) for each in self._table.get(keys) if each["decision"] == "admit"]
            return self._looked_at(records), None if after is None else json.dumps(after)

        return page

    def _looked_at(self, records: Sequence[Record]) -> "_Admitted":
        wanted = [each for each in records if self._is_wanted(each)]
        statuses = self._notebook.statuses([each.certificate_id for each in records])
        listed = [each for each in wanted if as_listed(each, statuses.get(each.certificate_id), self._examiner.started)]
        unlisted = {each.certificate_id for each in wanted} - {each.certificate_id for each in listed}
        return _Admitted(records, self._examiner.look_at(listed, statuses), sorted(unlisted))

    def _is_wanted(self, record: Record) -> bool:
        of_rule = self._selection.rule is None or record.rule == self._selection.rule
        since = self._selection.since is None or record.decided_at >= self._selection.since
        return of_rule and since and self._of_ca(record.ca_certificate_id)

    def _keep_admitted(self, admitted: "_Admitted") -> None:
        self._notebook.see(each.certificate_id for each in admitted.records)
        self._notebook.put_aside(admitted.unlisted)
        self._keep(admitted.looked)

    def _keep(self, looked: Examined) -> None:
        self._notebook.find(looked.findings)
        self._notebook.grant(map(_granted, looked.admitted))
        self._notebook.count("looked_at", looked.decided)
        self._notebook.count("left_alone", looked.left_alone)
        self._notebook.count("failed", looked.failed)

    # --- 3. those that no CA's listing has shown

    def _look_for_unlisted(self) -> None:
        if len(self._notebook.unlisted(None, FEW + 1)) > FEW:
            self._walks.through("all certificates", self._listings.certificates, self._keep_unlisted)
        self._walks.through("unlisted", self._unlisted, self._keep)

    def _keep_unlisted(self, listed: Sequence[ListedCertificate]) -> None:
        self._notebook.list_unlisted((each.id, each.status) for each in listed)

    def _unlisted(self, mark: str | None) -> tuple[Examined, str | None]:
        ids = self._notebook.unlisted(mark, BATCH_GET)
        records = [each for each in self._table.records(ids) if each.decision is Verdict.ADMIT]
        return self._examiner.look_at(records, self._statuses(records)), next_mark(ids)

    def _statuses(self, records: Sequence[Record]) -> dict[str, str | None]:
        """Return statuses as AWS IoT listed them, and of those as it describes them of which no listing tells."""
        statuses: dict[str, str | None] = dict(self._notebook.statuses([each.certificate_id for each in records]))
        whole = self._notebook.mark("all certificates") == DONE
        for each in records:
            listed = statuses.get(each.certificate_id)
            gone = listed is None and whole and not is_recent(each, self._examiner.started)
            if not as_listed(each, listed, self._examiner.started) and not gone:
                statuses[each.certificate_id] = self._status_of(each)
        return {each.certificate_id: None for each in records} | statuses

    def _status_of(self, record: Record) -> str | None:
        self._walks.advance(1)
        found = self._iot.certificate(record.certificate_id)
        return None if found is None else found.status

    # --- 4. ACTIVE, and not on record as admitted

    def _look_at_others(self) -> None:
        self._walks.through("others", self._others, self._keep)

    def _others(self, mark: str | None) -> tuple[Examined, str | None]:
        found = self._notebook.unseen(ACTIVE, mark, BATCH_GET)
        ids = [each for each, _ in found]
        records = {each.certificate_id: each for each in self._table.records(ids)}
        known = [each for each in records.values() if self._is_wanted(each)]
        looked = self._examiner.look_at(known, self._statuses(known))
        if self._selection.rule is None:
            without = [(each, created) for each, created in found if each not in records]
            self._add_unrecorded(looked, without)
        return looked, next_mark(ids)

    def _add_unrecorded(self, looked: Examined, found: Sequence[tuple[str, str | None]]) -> None:
        acts = acts_of(self._table, [each for each, _ in found])
        for certificate_id, created in found:
            if (
                self._selection.since is not None
                and created is not None
                and parse_time(created) < self._selection.since
            ):
                continue
            certificate = self._iot.certificate(certificate_id)
            if certificate is None or certificate.status != ACTIVE:
                continue  # changed since it was listed
            ca_id = certificate.ca_certificate_id or ""
            one = self._examiner.look_at_unrecorded(
                certificate_id, certificate.pem, ca_id, created or "", acts.get(certificate_id, ())
            )
            looked.findings += one.findings
            looked.decided += one.decided
            self._walks.advance(1)

    # --- 5. what was granted

    def _compare_grants(self) -> None:
        if Standing.DRIFT in self._wanted:
            self._grants.make(self._walks)


@dataclass(frozen=True, slots=True)
class _Admitted:
    """A page of devices on record as admitted."""

    records: Sequence[Record]
    looked: Examined
    unlisted: Sequence[str]

    def __len__(self) -> int:
        return len(self.records)


def _granted(record: Record) -> tuple[str, str | None, str, dict[str, Any]]:
    """Return a grant as the notebook keeps it: whose, its thing, when, and what a finding about it is made from."""
    grant: dict[str, Any] = dict(record.grant or {})
    device = device_of(record, None).to_json()
    return record.certificate_id, grant.get("thing"), device["decided_at"], {"device": device, "grant": grant}
