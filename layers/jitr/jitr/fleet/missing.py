"""What AWS IoT ought to have of the devices that are in, held against what it lists, in some 50 kilobytes.

Records say what is expected: a certificate, its IoT policies, its thing, the thing's groups. Listings say what is
there. Neither is kept: what both tell of leaves nothing behind (``jitr.fleet.set_difference``), and what is left is
missing.
"""

from collections.abc import Mapping
from dataclasses import field
from hashlib import sha256
from typing import Any

from jitr.fleet.set_difference import SIZE, SetDifference
from jitr.values import dataclass

_ID = 32  # bytes of a certificateId


def _what(kind: str, name: str = "") -> bytes:
    return sha256(f"{kind} {name}".encode()).digest()[: SIZE - _ID]


CERTIFICATE = _what("certificate")
THING = _what("thing")


def iot_policy(name: str) -> bytes:
    """Return what stands for an IoT policy that is attached to a certificate."""
    return _what("iot_policy", name)


def thing_group(name: str) -> bytes:
    """Return what stands for a group that a certificate's thing is in."""
    return _what("thing_group", name)


@dataclass(slots=True)
class Missing:
    """What is expected of devices and was not found, as far as both are known."""

    difference: SetDifference = field(default_factory=SetDifference)
    balance: dict[bytes, int] = field(default_factory=dict)  # how much more of each was expected than found

    def expect(self, certificate_id: str, what: bytes) -> None:
        """Note what a record says that AWS IoT ought to have."""
        self._put(certificate_id, what, 1)

    def find(self, certificate_id: str, what: bytes) -> None:
        """Note what AWS IoT lists."""
        self._put(certificate_id, what, -1)

    def add(self, other: "Missing") -> None:
        """Add what another part of a fleet showed."""
        self.difference.add(other.difference)
        for what, more in other.balance.items():
            self._weigh(what, more)

    def by_device(self) -> dict[str, set[bytes]] | None:
        """Return what devices lack, by certificateId; None where so much is missing that it cannot be told.

        What was found and not expected is left out: a record that changed meanwhile explains it.
        """
        told = self.difference.told()
        return None if told is None else _by_device(told, 1)

    def not_expected(self) -> dict[str, set[bytes]]:
        """Return what was found of devices and not expected, by certificateId; nothing where it cannot be told."""
        return _by_device(self.difference.told() or {}, -1)

    @property
    def certificates(self) -> int:
        """How many more certificates were expected than found."""
        return max(0, self.balance.get(CERTIFICATE, 0))

    @property
    def of_grants(self) -> int:
        """How many devices lack something that they were granted, at the least: the same thing of as many is missing.

        What was granted to devices whose certificates are gone makes it smaller, never larger.
        """
        return max(0, *(more for what, more in self.balance.items() if what != CERTIFICATE), 0)

    def _put(self, certificate_id: str, what: bytes, sign: int) -> None:
        self.difference.put(bytes.fromhex(certificate_id) + what, sign)
        self._weigh(what, sign)

    def _weigh(self, what: bytes, more: int) -> None:
        left = self.balance.pop(what, 0) + more
        if left:
            self.balance[what] = left

    def to_json(self) -> dict[str, Any]:
        """Return it as it is kept."""
        return {
            "cells": self.difference.to_bytes(),
            "balance": {what.hex(): more for what, more in self.balance.items()},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Missing":
        """Read what ``to_json`` wrote."""
        balance = {bytes.fromhex(what): int(more) for what, more in data["balance"].items()}
        return cls(SetDifference.from_bytes(data["cells"]), balance)


def _by_device(told: Mapping[bytes, int], wanted: int) -> dict[str, set[bytes]]:
    found: dict[str, set[bytes]] = {}
    for element, sign in sorted(told.items()):
        if sign == wanted:
            found.setdefault(element[:_ID].hex(), set()).add(element[_ID:])
    return found
