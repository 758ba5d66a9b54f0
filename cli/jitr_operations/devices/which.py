"""Which device a person means who names one: also a device on hold, which has no thing yet, by its common name."""

import re
from pathlib import Path

from jitr.aws.dynamodb.table import Table
from jitr.devicelists.rows import RowKey, is_listable
from jitr.errors import InputError
from jitr.records.held import hint
from jitr_operations import telling
from jitr_operations.deployment import Deployment
from jitr_operations.devices.registry import Registry

_TOLD = 5


def find_one(which: str, deployment: Deployment, table: Table) -> str:
    """Return the one certificateId that is meant: as ``Registry.find_one``, or the common name of a held device.

    Where held devices bear the name of something else, a note says so. Raises InputError where there is none, or no
    telling which.
    """
    registry = Registry(deployment.client("iot"))
    held = _held_as(table, which)
    try:
        found = registry.find(which)
    except InputError:
        if not held:
            raise
        found = ()
    if not found:
        return _only(which, held)
    if len(found) > 1:
        raise InputError(f"the thing {which} has {len(found)} certificates, say which: {_told(found)}")
    others = [each for each in held if each != found[0]]
    if others:
        telling.note(f"{which} is also the common name of a device on hold: {_told(others)}")
    return found[0]


def _held_as(table: Table, which: str) -> list[str]:
    """Return the certificateIds of held devices of a common name, the first hundred of them."""
    if not which or Path(which).is_file() or re.fullmatch("[0-9a-f]{64}", which) or not is_listable(which):
        return []
    found, _more = table.page(f"HELD#{hint(RowKey('common_name', which))}")
    return [str(each["sk"]) for each in found]


def _only(which: str, held: list[str]) -> str:
    if len(held) > 1:
        raise InputError(f"several devices on hold bear the common name {which}, say which: {_told(held)}")
    telling.note(f"{which} is the common name of a device on hold, certificate {held[0][:12]}.")
    return held[0]


def _told(ids: tuple[str, ...] | list[str]) -> str:
    more = f", and {len(ids) - _TOLD} more" if len(ids) > _TOLD else ""
    return ", ".join(each[:12] for each in ids[:_TOLD]) + more
