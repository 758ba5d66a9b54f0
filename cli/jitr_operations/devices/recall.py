"""Which of the devices that are in already are on a device list, or are being let in at this moment.

AWS IoT says which certificates are ACTIVE, and the decision record what stands in them. Only those that have no
record (registered by hand, or before this stack was there) are described one by one.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from itertools import islice

from jitr.aws.dynamodb.rulebook import rules_in_force
from jitr.aws.dynamodb.table import BATCH_GET, Table
from jitr.devicelists.rows import ListRow, RowKey, device_keys
from jitr.facts import CertificateFacts, Knock
from jitr.rules.model import Rules
from jitr_operations import telling
from jitr_operations.deployment import Deployment
from jitr_operations.devices.admissions import recently_admitted, those_active
from jitr_operations.devices.recall_misses import ListComparison
from jitr_operations.devices.records import knock_of, name_in, records_of
from jitr_operations.devices.registry import Registry
from jitr_operations.table import table_of


@dataclass(frozen=True, slots=True)
class Match:
    """A device that is on the list, and the most exact key by which it is."""

    certificate_id: str
    common_name: str | None
    found_by: RowKey

    def to_json(self) -> dict[str, str | None]:
        """Return it as ``--json`` prints it."""
        return {
            "certificate_id": self.certificate_id,
            "common_name": self.common_name,
            "found_by": self.found_by.kind,
            "key": self.found_by.value,
        }

    def __str__(self) -> str:
        """Return it for people."""
        name = self.common_name or "(no common name)"
        return f"{self.certificate_id[:12]}  {name}  by {self.found_by.kind} {self.found_by.value}"


def find_on_list(
    deployment: Deployment, registry: Registry, rows: Iterable[ListRow], at: datetime, compared: ListComparison
) -> tuple[list[Match], list[str]]:
    """Find every ACTIVE certificate that one of the rows fits, as for a deny rule: by any key of the row.

    Waits for devices on them that are being admitted; the second part of the result are those where that did not come
    to an end. What is seen of devices is noted in ``compared``.
    """
    table = table_of(deployment)
    keys = _keys_on(rows, at)
    rules = rules_in_force(table)
    others = _Others(table, registry, keys, rules, compared)
    active = (each.id for each in registry.all() if each.status == "ACTIVE" or others.put_aside(each.id))
    matches: list[Match] = []
    with telling.progress("Comparing certificates", None) as advance:
        while some := list(islice(active, BATCH_GET)):
            matches += _matches(table, registry, some, keys, rules, partial(compared.saw, active=True))
            advance(len(some))
    others.see()
    seen = {each.certificate_id for each in matches}
    recent = [each for each in recently_admitted(table, at) if each not in seen]
    saw = partial(compared.saw, active=False)
    late = {each.certificate_id: each for each in _matches(table, registry, recent, keys, rules, saw)}
    admitted, under_way = those_active(table, registry, list(late), at)
    compared.active.update(str(late[each].found_by) for each in admitted)
    return [*matches, *(late[each] for each in admitted)], under_way


class _Others:
    """Certificates that are not ACTIVE, those without a record too: a row that fits one is not a mistake."""

    def __init__(
        self, table: Table, registry: Registry, keys: frozenset[str], rules: Rules | None, compared: ListComparison
    ) -> None:
        self._table, self._registry, self._keys, self._rules = table, registry, keys, rules
        self._compared = compared
        self._ids: list[str] = []

    def put_aside(self, certificate_id: str) -> bool:
        """Keep a certificate for later; False, because it is not to be compared now."""
        self._ids.append(certificate_id)
        if len(self._ids) == BATCH_GET:
            self.see()
        return False

    def see(self) -> None:
        """Note those that were put aside."""
        for _, knock in with_facts(self._table, self._registry, self._ids):
            device = _device_keys(knock, self._rules)
            self._compared.saw(knock.certificate, device, self._keys, active=False)
        self._ids.clear()


def _matches(
    table: Table,
    registry: Registry,
    certificate_ids: list[str],
    keys: frozenset[str],
    rules: Rules | None,
    saw: Callable[[CertificateFacts, tuple[RowKey, ...], frozenset[str]], None],
) -> Iterator[Match]:
    for certificate_id, knock in with_facts(table, registry, certificate_ids):
        device = _device_keys(knock, rules)
        saw(knock.certificate, device, keys)
        found = _first(device, keys)
        if found is not None:
            yield Match(certificate_id, name_in(knock.certificate), found)


def _keys_on(rows: Iterable[ListRow], at: datetime) -> frozenset[str]:
    """Return every key of every row that has not expired. A row itself may be large, so only its keys are kept."""
    return frozenset(str(key) for row in rows if row.expires is None or at < row.expires for key in row.found_by())


def with_facts(table: Table, registry: Registry, certificate_ids: list[str]) -> Iterator[tuple[str, Knock]]:
    """Yield what stands in each certificate, and its CA; one that cannot be read is left out with a warning."""
    records = records_of(table, certificate_ids)
    for each in certificate_ids:
        knock = knock_of(records.get(each))
        if knock is None:
            described = registry.get(each)
            if described is None:
                continue  # deleted since it was listed
            reading = described.reading()
            if reading is None:
                telling.warn(f"the certificate {each} cannot be read, and is not compared with the list")
                continue
            knock = Knock(reading.facts, described.ca_certificate_id or "", None, None)
        yield each, knock


def _device_keys(knock: Knock, rules: Rules | None) -> tuple[RowKey, ...]:
    return device_keys(knock if rules is None else replace(knock, aliases=rules.aliases_of(knock.ca_certificate_id)))


def _first(device: tuple[RowKey, ...], keys: frozenset[str]) -> RowKey | None:
    return next((each for each in device if str(each) in keys), None)
