"""The last step of a check: what devices were granted, compared with what AWS IoT lists."""

from collections.abc import Iterable
from functools import partial
from typing import Any

from jitr.aws.dynamodb.replacements import follows_another
from jitr.aws.dynamodb.table import BATCH_GET, Table
from jitr.aws.iot import Iot
from jitr.aws.iot_listings import ListedThing, Listings
from jitr.fleet.drift import DeviceFound, apart_from_its_thing, drifts
from jitr.fleet.standing import ACTIVE
from jitr.rules.model import Grant
from jitr.services.fleet.findings import FleetFinding, KnownDevice, drifted
from jitr_operations.accounts import Account
from jitr_operations.fleet.notebook import Notebook
from jitr_operations.fleet.walks import Walks, next_mark


class GrantComparison:
    """The grants in a notebook, and what AWS IoT has of them.

    ``attachments``: AWS IoT is asked of each device whether its certificate is attached to its thing.
    """

    def __init__(
        self, account: Account, table: Table, iot: Iot, listings: Listings, notebook: Notebook, *, attachments: bool
    ) -> None:
        self._account = account
        self._table = table
        self._iot = iot
        self._listings = listings
        self._notebook = notebook
        self._attachments = attachments

    def make(self, walks: Walks) -> None:
        """List things, groups and targets of IoT policies, and note where devices do not have what they were granted.

        Raises Retry and Refused as AWS does.
        """
        walks.through("things", self._listings.things, self._keep_things)
        for group in self._notebook.granted("thing_groups"):
            page = partial(self._listings.things_in, group)
            walks.through(f"group {group}", page, partial(self._notebook.keep_members, group))
        for policy in self._policies():
            page = partial(self._listings.certificates_with, policy)
            walks.through(f"policy {policy}", page, partial(self._notebook.keep_policies, policy))
        walks.through("grants", partial(self._compared, walks), self._notebook.find)

    def _keep_things(self, things: Iterable[ListedThing]) -> None:
        self._notebook.keep_things((each.name, each.thing_type, each.attributes) for each in things)

    def _policies(self) -> list[str]:
        """Return the IoT policies whose targets are listed: all of the account, or those granted where it has many."""
        found = self._listings.few_policies()
        if found is not None:
            return found
        with self._notebook.writing():
            self._notebook.count("policies_not_listed", 1)
        return self._notebook.granted("iot_policies")

    def _compared(self, walks: Walks, mark: str | None) -> tuple[list[FleetFinding], str | None]:
        grants = self._notebook.grants(mark, BATCH_GET)
        findings = []
        for certificate_id, granted in grants:
            finding = self._drift_of(certificate_id, granted)
            if finding is not None:
                findings.append(finding)
            if self._attachments:
                walks.advance(1)
        return findings, next_mark([certificate_id for certificate_id, _ in grants])

    def _drift_of(self, certificate_id: str, granted: Any) -> FleetFinding | None:
        grant = Grant.from_json(granted["grant"])
        thing = grant.thing
        shared = thing is not None and self._notebook.last_granted(thing) != certificate_id
        has = DeviceFound(
            iot_policies=self._notebook.policies_of(certificate_id),
            thing=None if thing is None else self._notebook.thing(thing),
            attached=self._attached(certificate_id, thing),
            shared=shared,
        )
        differ = drifts(grant, has)
        own = apart_from_its_thing(differ)
        if own != differ and not shared and self._is_anothers(certificate_id):
            differ = own
        return drifted(KnownDevice.from_json(granted["device"]), differ) if differ else None

    def _is_anothers(self, certificate_id: str) -> bool:
        """Return whether a device's thing was granted to another since: one admitted meanwhile is not looked at."""
        records = self._table.records([certificate_id])
        return any(follows_another(self._table, each, self._is_active) for each in records)

    def _is_active(self, certificate_id: str) -> bool:
        found = self._iot.certificate(certificate_id)
        return found is not None and found.status == ACTIVE

    def _attached(self, certificate_id: str, thing: str | None) -> bool | None:
        if thing is None or not self._attachments:
            return None
        return thing in self._listings.things_of(self._arn(certificate_id))

    def _arn(self, certificate_id: str) -> str:
        account, region = self._account.account_id, self._account.region
        partition = self._account.session.get_partition_for_region(region)
        return f"arn:{partition}:iot:{region}:{account}:cert/{certificate_id}"
