"""Which device a person means who names one: also a device on hold, which has no thing yet, by its common name.

A file may have the other form of an ECDSA signature than the certificate that is registered. That is the same
certificate under another id, and whoever gives the file means it.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from jitr.aws.dynamodb.table import Table
from jitr.decision.chain import twins
from jitr.devicelists.rows import RowKey, is_listable
from jitr.errors import InputError
from jitr.records.held import hint
from jitr.x509.certificate import CertificateReading
from jitr_operations import telling
from jitr_operations.devices.registry import DeviceCertificate, NothingFound, Registry, read_device_file

_TOLD = 5


def find(which: str, registry: Registry, table: Table | None, *, on_record: bool = False) -> tuple[str, ...]:
    """Return the certificateIds that are meant: as ``Registry.find``, or by the common name of a held device.

    Several only for a thing that has several. Where held devices bear the name of something else, a note says so. A
    file whose certificate is registered under its other id only is that one, and a note says so; not where
    ``on_record`` asks for what the table knows, and it knows the file's own. Raises InputError where there is none, or
    no telling which.
    """
    file = Path(which)
    if file.is_file():
        return (_in_file(file, registry, table if on_record else None),)
    held = _held_as(table, which)
    try:
        found = registry.find(which)
    except NothingFound:
        if not held:
            raise
        return (_only(which, held),)
    others = [each for each in held if each not in found]
    if others:
        telling.note(f"{which} is also the common name of a device on hold: {_told(others)}")
    return found


def find_one(which: str, registry: Registry, table: Table | None, *, on_record: bool = False) -> str:
    """Return the one certificateId that is meant. Raises InputError where there is not exactly one."""
    found = find(which, registry, table, on_record=on_record)
    if len(found) > 1:
        raise InputError(f"the thing {which} has {len(found)} certificates, say which: {_told(found)}")
    return found[0]


def registered_twin(registry: Registry, certificate: CertificateReading) -> DeviceCertificate | None:
    """Return the same certificate as AWS IoT holds it under its other id; None where it holds none."""
    found = (registry.get(each) for each in twins(certificate))
    return next((each for each in found if each is not None), None)


def _in_file(file: Path, registry: Registry, table: Table | None) -> str:
    reading = read_device_file(file)
    own = reading.facts.certificate_sha256
    if (table is not None and any(table.on_record(own))) or registry.get(own) is not None:
        return own
    twin = registered_twin(registry, reading)
    if twin is None:
        return own
    telling.note(f"{file}: it is registered under its other id {twin.id}, which is the same certificate.")
    return twin.id


def _held_as(table: Table | None, which: str) -> list[str]:
    """Return the certificateIds of held devices of a common name, the first hundred of them."""
    if table is None or not which or re.fullmatch("[0-9a-f]{64}", which) or not is_listable(which):
        return []
    found, _more = table.page(f"HELD#{hint(RowKey('common_name', which))}")
    return [str(each["sk"]) for each in found]


def _only(which: str, held: list[str]) -> str:
    if len(held) > 1:
        raise InputError(f"several devices on hold bear the common name {which}, say which: {_told(held)}")
    telling.note(f"{which} is the common name of a device on hold, certificate {held[0][:12]}.")
    return held[0]


def _told(ids: Sequence[str]) -> str:
    more = f", and {len(ids) - _TOLD} more" if len(ids) > _TOLD else ""
    return ", ".join(each[:12] for each in ids[:_TOLD]) + more
