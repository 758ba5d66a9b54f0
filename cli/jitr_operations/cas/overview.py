"""Registered CAs, with their devices and what the rules in force say of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from jitr.rules.model import Rules
from jitr.text import counted
from jitr_operations import telling
from jitr_operations.accounts import Account
from jitr_operations.cas import which as which_ca
from jitr_operations.cas.aliases import UNKNOWN, Named, named_in
from jitr_operations.cas.registry import RegisteredCa, all_ca_ids, described, devices_by_status, warn_of_template

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient


@dataclass(frozen=True)
class CaOverview:
    """All there is to show of a CA; ``named`` and ``devices`` are None where they are not known."""

    ca: RegisteredCa
    named: Named | None
    devices: Mapping[str, int] | None
    now: datetime

    @property
    def days_left(self) -> int | None:
        """In how many days its certificate ends; None for one that cannot be read."""
        certificate = self.ca.certificate
        return None if certificate is None else (certificate.not_after - self.now).days

    def to_json(self) -> dict[str, Any]:
        """Return it as ``jitr ca ls --json`` prints it."""
        return {
            **self.ca.to_json(),
            "days_left": self.days_left,
            **(self.named.to_json() if self.named else UNKNOWN),
            "devices": self.devices,
        }


def validity_left(days: int | None) -> str:
    """Return in words how many days a CA is valid yet; None for one that cannot be read."""
    if days is None:
        return "validity unknown"
    return "expired" if days < 0 else f"{counted(days, 'day')} left"


def overviews(account: Account, rules: Rules | None, now: datetime, *, count: bool) -> list[CaOverview]:
    """Return every registered CA; devices are counted where ``count`` says so, a call for every 250 of them.

    What is wrong with a CA is warned of.
    """
    iot = account.client("iot")
    found = list(registered_cas(iot))
    counts = count_devices(iot, found if count else [])
    for each in found:
        _warn(each)
    return [overview_of(each, rules, now, counts.get(each.id)) for each in found]


def overview(account: Account, rules: Rules | None, now: datetime, which: str) -> CaOverview:
    """Return the CA that is meant, as ``which.find``. Raises InputError if there is not exactly one."""
    iot = account.client("iot")
    found = which_ca.find(account, which, rules)
    _warn(found)
    return overview_of(found, rules, now, count_devices(iot, [found])[found.id])


def overview_of(
    ca: RegisteredCa, rules: Rules | None, now: datetime, devices: Mapping[str, int] | None = None
) -> CaOverview:
    """Return what there is to show of a CA that was read, with its devices where they were counted."""
    return CaOverview(ca, None if rules is None else named_in(rules, ca.id), devices, now)


def registered_cas(iot: "IoTClient") -> Iterator[RegisteredCa]:
    """Yield every registered CA."""
    ids = all_ca_ids(iot)
    with telling.progress("Reading CAs", len(ids)) as advance:
        for each in ids:
            registered = described(iot, each)
            advance(1)
            if registered is not None:  # else it was deleted since it was listed
                yield registered


def count_devices(iot: "IoTClient", cas: Sequence[RegisteredCa]) -> dict[str, Mapping[str, int]]:
    """Return how many device certificates each CA has registered, by status; a call for every 250 of them."""
    with telling.progress("Counting devices", None) as advance:
        return {each.id: devices_by_status(iot, each.id, advance) for each in cas}


def _warn(registered: RegisteredCa) -> None:
    warn_of_template(registered)
    if registered.problem is not None:
        telling.warn(f"the CA {registered.id} cannot be read: {registered.problem}")
