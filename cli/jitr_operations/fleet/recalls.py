"""Devices that are in and ought not to be: found by a list, a revocation list or a deny rule, and cut off.

Finding them changes nothing. Whoever asks for a recall shows it before the devices are cut off.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from jitr.fleet.standing import ACTIVE
from jitr.services.lists.device_lists import DeviceLists
from jitr_operations import telling
from jitr_operations.deployment import Deployment
from jitr_operations.devices import status
from jitr_operations.devices.by_hand import Hand
from jitr_operations.devices.recall import find_on_list
from jitr_operations.devices.recall_misses import ListComparison, Misses, find_misses
from jitr_operations.devices.registry import Registry
from jitr_operations.devices.revoked import find_revoked
from jitr_operations.fleet.denied import find_denied, selection_of
from jitr_operations.fleet.mending import Mender
from jitr_operations.lists.where import ChosenRows, RowFilter
from jitr_operations.table import now, table_of


class RecalledDevice(Protocol):
    """An ACTIVE device, and how it was found. ``str`` tells both in a line."""

    @property
    def certificate_id(self) -> str:
        """The device's certificate."""
        raise NotImplementedError

    def to_json(self) -> dict[str, str | None]:
        """Return it as ``--json`` prints it."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Recall:
    """The devices to cut off. ``why`` is where they stand, in words; ``words`` are the options that find them.

    ``under_way`` are the certificates of devices that were still being decided.
    """

    why: str
    words: tuple[str, ...]
    devices: tuple[RecalledDevice, ...]
    under_way: tuple[str, ...] = ()
    misses: Misses | None = None
    still: Callable[[str], bool] = lambda _id: True  # asked right before each: whether it is still to be cut off

    @property
    def on_hold(self) -> bool:
        """Whether a device's CA may let it in again: its entry on the revocation list says so."""
        return any(getattr(each, "on_hold", False) for each in self.devices)


def recall_of_rows(deployment: Deployment, name: str | None, where: RowFilter) -> Recall:
    """Find the ACTIVE devices on rows of the list ``name``, or of every list, and the rows that fit none.

    Raises InputError where there is no such list, and where no row has a column of ``where``.
    """
    rows = ChosenRows(DeviceLists(table_of(deployment)), name, where)
    at, compared = now(), ListComparison()
    found, under_way = find_on_list(deployment, _registry(deployment), rows, at, compared)
    words = (*(() if name is None else ("--list", name)), *where.words())
    misses = find_misses(rows, at, compared)
    return Recall(f"on {rows}", words, tuple(found), tuple(under_way), misses)


def recall_of_revoked(deployment: Deployment, which: str) -> Recall:
    """Find the ACTIVE devices on the revocation list of a CA. Raises InputError as ``find_revoked``."""
    found, under_way = find_revoked(deployment, _registry(deployment), which, now())
    return Recall(f"on the revocation list of {which}", ("--crl", which), tuple(found), tuple(under_way))


def recall_of_denied(deployment: Deployment, rule: str) -> Recall:
    """Find the ACTIVE devices that a deny rule in force matches. Raises InputError as ``find_denied``."""
    found = {each.certificate_id: each for each in find_denied(deployment, rule)}
    mender = Mender(deployment, selection_of(rule))
    return Recall(
        f"denied by rule {rule}",
        ("--rule", rule),
        tuple(found.values()),
        still=lambda each: mender.is_still_so(found[each].finding),
    )


def look_again(deployment: Deployment, recall: Recall) -> tuple[Recall, dict[str, str]]:
    """Return the recall with the devices that are ACTIVE now, and the status of each other one by its certificate."""
    registry, others = _registry(deployment), dict[str, str]()
    with telling.progress("Looking at them once more", len(recall.devices)) as advance:
        for each in recall.devices:
            certificate = registry.get(each.certificate_id)
            if certificate is None or certificate.status != ACTIVE:
                others[each.certificate_id] = "gone" if certificate is None else certificate.status
            advance(1)
    return replace(recall, devices=tuple(each for each in recall.devices if each.certificate_id not in others)), others


def cut_off(
    deployment: Deployment, recall: Recall, made: Callable[[str], None], *, why: str | None = None
) -> list[str]:
    """Make the devices INACTIVE, and write down who did it and why. ``made`` is told of each as soon as it is.

    Returns the certificates of those that are still being decided.
    """
    table = table_of(deployment)
    return status.deactivate(
        _registry(deployment),
        {each.certificate_id: ACTIVE for each in recall.devices},
        Hand(deployment, table),
        table,
        lambda _id: why or recall.why,
        still=recall.still,
        made=made,
        command=("device", "deactivate", *recall.words),
    )


def _registry(deployment: Deployment) -> Registry:
    return Registry(deployment.client("iot"))
