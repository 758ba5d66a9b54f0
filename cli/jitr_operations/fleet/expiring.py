"""What ends soon: devices' certificates, CAs, revocation lists and list rows.

Devices are those on record as admitted, but for those that a command took out or another certificate replaced. AWS IoT
judges a registered device by its own certificate's validity, not by its CA's; but what outlives its CA is never renewed
under it.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

from jitr.aws.cas import Cas
from jitr.aws.crls import Crls
from jitr.aws.dynamodb.by_hand import acts_of
from jitr.aws.dynamodb.decisions import newest
from jitr.aws.dynamodb.replacements import replaced_of
from jitr.aws.dynamodb.rulebook import rules_in_force
from jitr.aws.dynamodb.table import BATCH_GET, Table, row_key
from jitr.aws.iot import Iot
from jitr.devicelists.rows import ListRow, device_keys
from jitr.errors import UnusableCrl
from jitr.fleet.standing import ACTIVE
from jitr.reasons import Verdict
from jitr.records.heads import Heads
from jitr.records.knock import recorded_knock
from jitr.records.record import Record, common_name
from jitr.rules.model import Rules
from jitr.services.lists.device_lists import DeviceLists
from jitr.times import parse_time, rfc3339
from jitr_operations import telling
from jitr_operations.cas.registry import all_ca_ids, described
from jitr_operations.crls import crls_with
from jitr_operations.deployment import Deployment
from jitr_operations.lists.where import require_column
from jitr_operations.table import table_of

NOTHING = "(none)"  # what a device has no value of
NO_RULES = Rules("")


@dataclass(frozen=True, slots=True)
class EndingDevice:
    """A device whose certificate ends, and what it is counted under."""

    certificate_id: str
    common_name: str
    not_after: datetime
    rule: str | None
    by: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as ``--json`` prints it."""
        return {
            "certificate_id": self.certificate_id,
            "common_name": self.common_name,
            "not_after": rfc3339(self.not_after),
            "rule": self.rule,
            "by": list(self.by),
        }


@dataclass(slots=True)
class WhatEnds:
    """What ends until a day. ``outlived`` are CAs that end before devices of theirs."""

    at: datetime
    until: datetime
    by: str | None = None
    looked_at: int = 0
    devices: list[EndingDevice] = field(default_factory=list)  # the soonest first; expired ones among them
    cas: list[dict[str, Any]] = field(default_factory=list)
    outlived: list[dict[str, Any]] = field(default_factory=list)
    crls: list[dict[str, Any]] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)

    @property
    def expired(self) -> int:
        """How many of the devices have ended already."""
        return sum(each.not_after < self.at for each in self.devices)

    def months(self) -> dict[str, int]:
        """Return how many devices end in each month, of those that have not yet, from the first month to the last."""
        return _by_month(each.not_after for each in self.devices if each.not_after >= self.at)

    def groups(self) -> dict[str, int]:
        """Return how many devices end under each name that they are counted under, most first."""
        return dict(Counter(name for each in self.devices for name in each.by).most_common())

    def to_json(self) -> dict[str, Any]:
        """Return it as ``--json`` prints it."""
        return {
            "at": self.at,
            "until": self.until,
            "looked_at": self.looked_at,
            "expired": self.expired,
            "expiring": len(self.devices) - self.expired,
            "months": self.months(),
            "by": self.groups() if self.by is not None else None,
            "devices": [each.to_json() for each in self.devices],
            "cas": self.cas,
            "cas_before_devices": self.outlived,
            "crls": self.crls,
            "rows": self.rows,
        }


def ending(deployment: Deployment, at: datetime, until: datetime, by: str | None) -> WhatEnds:
    """Return all that ends until a day, or has ended. ``by`` is ca, rule, list or attr.NAME.

    A device that an operator's command took out is left out, and so is a certificate that another replaced; who was cut
    off by another hand is not known here. Raises InputError for a column that no row has, Retry as AWS does.
    """
    return _Endings(deployment, WhatEnds(at, until, by)).all()


class _Endings:
    def __init__(self, deployment: Deployment, found: WhatEnds) -> None:
        self._deployment = deployment
        self._found = found
        self._iot = Iot(deployment.client("iot"))
        self._table: Table = table_of(deployment)
        self._heads: Heads = self._table.heads()
        self._rules: Rules = rules_in_force(self._table) or NO_RULES
        self._last_of_ca: dict[str, tuple[int, datetime]] = {}  # devices that outlive their CA, and the last of them
        self._columns: set[str] = set()  # that rows have
        self._ends_of_cas = self._cas()

    def all(self) -> WhatEnds:
        with telling.progress("Looking at list rows", None) as advance:
            self._found.rows = list(self._rows(advance))
        self._require_column()
        with telling.progress("Looking at devices", None) as advance:
            self._look_at_devices(advance)
        self._found.devices.sort(key=lambda each: (each.not_after, each.certificate_id))
        self._found.outlived = [self._outlived(ca_id) for ca_id in sorted(self._last_of_ca)]
        self._found.crls = [each for each in self._lists() if each["next_update"] <= rfc3339(self._found.until)]
        return self._found

    def _require_column(self) -> None:
        by = self._found.by
        if self._columns and by is not None and by.startswith("attr."):
            require_column(f"--by {by}", by, [each for each in self._columns if each.startswith("attr.")])

    # --- CAs

    def _cas(self) -> dict[str, datetime]:
        """Return when each registered CA ends, and note those that end in time."""
        iot = self._deployment.client("iot")
        ends: dict[str, datetime] = {}
        for ca_id in all_ca_ids(iot):
            found = described(iot, ca_id)
            certificate = None if found is None else found.certificate
            if certificate is not None:
                ends[ca_id] = certificate.not_after
        self._found.cas = [
            {"ca_certificate_id": ca_id, "aliases": sorted(self._rules.aliases_of(ca_id)), "not_after": rfc3339(end)}
            for ca_id, end in sorted(ends.items(), key=lambda each: each[1])
            if end <= self._found.until
        ]
        return ends

    def _outlived(self, ca_id: str) -> dict[str, Any]:
        devices, last = self._last_of_ca[ca_id]
        return {
            "ca_certificate_id": ca_id,
            "aliases": sorted(self._rules.aliases_of(ca_id)),
            "not_after": rfc3339(self._ends_of_cas[ca_id]),
            "devices": devices,
            "last_device": rfc3339(last),
        }

    # --- devices

    def _look_at_devices(self, advance: Callable[[int], None]) -> None:
        admitted = newest(self._table, Verdict.ADMIT)
        while some := list(islice(admitted, BATCH_GET)):
            still_in = self._still_in(some)
            self._found.looked_at += len(still_in)
            self._found.devices += self._told([each for each in still_in if self._ends_in_time(each)])
            advance(len(some))

    def _still_in(self, admitted: Sequence[Record]) -> list[Record]:
        """Return those of some admitted devices that no command took out and no other certificate replaced."""
        acts = acts_of(self._table, [each.certificate_id for each in admitted])
        last = {certificate_id: done[-1] for certificate_id, done in acts.items() if done}
        out = {certificate_id for certificate_id, act in last.items() if act.cut_off}
        for each in replaced_of(self._table, admitted) - out:
            if each not in last or not self._is_active(each):
                out.add(each)
        return [each for each in admitted if each.certificate_id not in out]

    def _is_active(self, certificate_id: str) -> bool:
        """Ask AWS IoT of a device that a command let in: the table does not say if it was replaced before or after."""
        found = self._iot.certificate(certificate_id)
        return found is not None and found.status == ACTIVE

    def _ends_in_time(self, record: Record) -> bool:
        end = _end(record)
        if end is None:
            return False
        ca_ends = self._ends_of_cas.get(record.ca_certificate_id)
        if ca_ends is not None and end > ca_ends:
            devices, last = self._last_of_ca.get(record.ca_certificate_id, (0, end))
            self._last_of_ca[record.ca_certificate_id] = (devices + 1, max(last, end))
        return end <= self._found.until

    def _told(self, records: Sequence[Record]) -> Iterator[EndingDevice]:
        under = self._counted_under(records)
        for each in records:
            end = _end(each)
            if end is not None:
                names = under.get(each.certificate_id, ())
                yield EndingDevice(each.certificate_id, common_name(each), end, each.rule, names or (NOTHING,))

    def _counted_under(self, records: Sequence[Record]) -> dict[str, tuple[str, ...]]:
        """Return the names that each device is counted under."""
        match self._found.by:
            case None | "rule":
                return {each.certificate_id: (each.rule or NOTHING,) for each in records}
            case "ca":
                return {each.certificate_id: self._names_of(each.ca_certificate_id) for each in records}
            case "list":
                return {device: tuple(sorted(rows)) for device, rows in self._rows_of(records).items()}
        attribute = self._found.by.removeprefix("attr.")
        return {device: _values(rows.values(), attribute) for device, rows in self._rows_of(records).items()}

    def _names_of(self, ca_id: str) -> tuple[str, ...]:
        return tuple(sorted(self._rules.aliases_of(ca_id))) or (ca_id,)

    def _rows_of(self, records: Sequence[Record]) -> dict[str, dict[str, ListRow]]:
        """Return on which lists each device is now, and its row there, by any key of it."""
        wanted: defaultdict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)  # by place: device and list
        for each in records:
            if each.facts is None:
                continue
            for key in device_keys(recorded_knock(each.facts, self._rules)):
                for name, head in self._heads.lists.items():
                    place = row_key(name, head.generation, key)
                    wanted[place["pk"], place["sk"]].append((each.certificate_id, name))
        found: dict[str, dict[str, ListRow]] = {each.certificate_id: {} for each in records}
        for item in self._table.get([{"pk": pk, "sk": sk} for pk, sk in wanted]):
            for device, name in wanted[item["pk"], item["sk"]]:
                found[device][name] = ListRow.from_json(item["row"])
        return found

    # --- revocation lists and rows

    def _lists(self) -> Iterator[dict[str, Any]]:
        """Yield each revocation list that the rules name, with when it runs out; a warning tells of those unread."""
        crls: Crls = crls_with(self._deployment)
        cas = Cas(self._iot)
        for alias, configured in sorted(self._rules.crls.items()):
            for ca_id in self._rules.cas[alias].ids:
                ca = cas.get(ca_id, self._found.at).reading
                for each in configured if ca is not None else ():
                    try:
                        ends = crls.list_of(each, ca, self._found.at).next_update  # type: ignore[arg-type]
                    except UnusableCrl as problem:
                        telling.warn(f"when the revocation list of {alias} runs out is not known: {problem}")
                        continue
                    yield {"alias": alias, "ca_certificate_id": ca_id, "url": each.url, "next_update": rfc3339(ends)}

    def _rows(self, advance: Callable[[int], None]) -> Iterator[dict[str, Any]]:
        lists = DeviceLists(self._table)
        for name, info in lists.all().items():
            ends = []
            for row in lists.rows(name, info.head.generation):
                advance(1)
                self._columns |= row.to_json().keys()
                if row.expires is not None and row.expires <= self._found.until:
                    ends.append(row.expires)
            if ends:
                expired = sum(each < self._found.at for each in ends)
                yield {
                    "list": name,
                    "expired": expired,
                    "expiring": len(ends) - expired,
                    "months": _by_month(each for each in ends if each >= self._found.at),
                }


def _end(record: Record) -> datetime | None:
    return None if record.facts is None else parse_time(record.facts["not_after"])


def _values(rows: Iterable[ListRow], attribute: str) -> tuple[str, ...]:
    """Return the values that rows have of an attribute, each once."""
    return tuple(dict.fromkeys(each.attributes[attribute] for each in rows if attribute in each.attributes))


def _by_month(times: Iterator[datetime]) -> dict[str, int]:
    return dict(sorted(Counter(f"{each:%Y-%m}" for each in times).items()))
