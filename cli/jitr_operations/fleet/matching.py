"""Certificates of two CAs, put together by device: those that share a public key or a granted thing.

Names in certificates prove nothing here: any CA may write them. A key does, and so does a thing's name that a rule
granted, because a name passes to another key only where rules say so.

All is in a SQLite database of its own, on disk where it grows, so that memory does not: about 500 bytes a certificate
(its id, status, key, thing, common name and three times).
"""

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from enum import IntEnum, StrEnum

_TABLES = """
CREATE TABLE listed (id BLOB PRIMARY KEY, side INT NOT NULL, status TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE certificates (
    id BLOB PRIMARY KEY, side INT NOT NULL, device INT NOT NULL, is_in INT NOT NULL, was_in INT NOT NULL,
    held INT NOT NULL, since TEXT NOT NULL, not_after TEXT, key BLOB, thing TEXT, name TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX certificates_by_device ON certificates (device);
CREATE INDEX certificates_by_key ON certificates (key);
CREATE TABLE names (name TEXT PRIMARY KEY, device INT NOT NULL) WITHOUT ROWID;
CREATE TABLE joined (device INTEGER PRIMARY KEY, into_device INT NOT NULL);
"""
_DEVICES = """
CREATE TABLE devices AS SELECT
    device,
    max(side = 0 AND is_in) AS in_old,
    max(side = 1 AND is_in) AS in_new,
    max(side = 0 AND was_in) AS had_old,
    min(CASE WHEN side = 1 AND was_in THEN since END) AS came
FROM certificates GROUP BY device;
CREATE UNIQUE INDEX devices_by_number ON devices (device);
"""


class Side(IntEnum):
    """Which of the two CAs."""

    OLD = 0
    NEW = 1


class DeviceKind(StrEnum):
    """Which of the two CAs a device is in with."""

    OLD_ONLY = "old-only"
    BOTH = "both"
    NEW_ONLY = "new-only"
    NEITHER = "neither"


# Which certificates stand for the devices of a kind. Of both, those of the old CA: they still connect, and nobody needs
# them. Of neither, all, as none connects.
_OF_KIND = {
    DeviceKind.OLD_ONLY: "in_old AND NOT in_new AND side = 0 AND is_in",
    DeviceKind.BOTH: "in_old AND in_new AND side = 0 AND is_in",
    DeviceKind.NEW_ONLY: "in_new AND NOT in_old AND side = 1 AND is_in",
    DeviceKind.NEITHER: "NOT in_old AND NOT in_new",
}


@dataclass(frozen=True, slots=True)
class CaCertificate:
    """A certificate on record under one of the two CAs. Times are RFC 3339."""

    id: str
    side: Side
    is_in: bool  # its device can connect with it
    was_in: bool  # ... or could at some time
    held: bool
    since: str  # when it got its decision
    not_after: str | None
    key: str | None  # SHA-256 of its public key
    thing: str | None  # that it was granted
    common_name: str


@dataclass(frozen=True, slots=True)
class DeviceCounts:
    """How many devices are in with which CA. ``came`` were in with the old one, and are in with the new one."""

    old_only: int
    both: int
    new_only: int
    neither: int
    came: int
    came_by_key: int


@dataclass(frozen=True, slots=True)
class KindCertificate:
    """A certificate of a device of some kind. ``not_after`` is RFC 3339."""

    certificate_id: str
    common_name: str
    thing: str | None
    not_after: str | None


class Matching:
    """The certificates of two CAs. First all that AWS IoT lists, then all on record, then questions."""

    def __init__(self) -> None:
        # An empty name is a database of SQLite's own that is gone once it is closed.
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;" + _TABLES)
        self._database.execute("BEGIN")
        self._devices = 0

    def close(self) -> None:
        """Let go of everything."""
        self._database.close()

    # --- what there is

    def list_certificates(self, side: Side, listed: Iterable[tuple[str, str]]) -> None:
        """Write down certificates as AWS IoT lists them: id and status."""
        rows = ((bytes.fromhex(each), side, status) for each, status in listed)
        self._database.executemany("INSERT OR IGNORE INTO listed VALUES (?, ?, ?)", rows)

    def status(self, certificate_id: str) -> str | None:
        """Return the status of a certificate as it was listed; None where it was not."""
        found = self._one("SELECT status FROM listed WHERE id = ?", bytes.fromhex(certificate_id))
        return None if found is None else str(found)

    def add(self, certificate: CaCertificate) -> None:
        """Put a certificate to the device that shares its key or its thing, or to a new one."""
        key = None if certificate.key is None else bytes.fromhex(certificate.key)
        self._database.execute(
            "INSERT OR REPLACE INTO certificates VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                bytes.fromhex(certificate.id),
                certificate.side,
                self._device_of(certificate),
                certificate.is_in,
                certificate.was_in,
                certificate.held,
                certificate.since,
                certificate.not_after,
                key,
                certificate.thing,
                certificate.common_name,
            ),
        )

    def settle(self) -> None:
        """Count what was added as devices. Questions come after this."""
        for (device,) in self._database.execute("SELECT device FROM joined ORDER BY device").fetchall():
            sql = "UPDATE certificates SET device = ? WHERE device = ?"
            self._database.execute(sql, (self._root(device), device))
        self._database.execute("COMMIT")
        self._database.executescript(_DEVICES)

    def _device_of(self, certificate: CaCertificate) -> int:
        """Return the device of a certificate, having joined those that its key and its thing belong to."""
        names = [f"{kind}#{value}" for kind, value in (("key", certificate.key), ("thing", certificate.thing)) if value]
        known = {self._root(found) for each in names if (found := self._named(each)) is not None}
        if not known:
            self._devices += 1
        device = min(known, default=self._devices)
        joined = [(each, device) for each in known if each != device]
        self._database.executemany("INSERT INTO joined VALUES (?, ?)", joined)
        self._database.executemany("INSERT OR IGNORE INTO names VALUES (?, ?)", [(each, device) for each in names])
        return device

    def _named(self, name: str) -> int | None:
        found = self._one("SELECT device FROM names WHERE name = ?", name)
        return None if found is None else int(found)

    def _root(self, device: int) -> int:
        """Return the device that this one was joined into, at the end of all joins."""
        root = device
        while (found := self._one("SELECT into_device FROM joined WHERE device = ?", root)) is not None:
            root = int(found)
        if root != device:  # the next look is short
            self._database.execute("UPDATE joined SET into_device = ? WHERE device = ?", (root, device))
        return root

    # --- questions

    def count(self) -> DeviceCounts:
        """Return how many devices are in with which CA."""
        told = self._numbers(
            "SELECT ifnull(sum(in_old AND NOT in_new), 0), ifnull(sum(in_old AND in_new), 0), "
            "ifnull(sum(in_new AND NOT in_old), 0), ifnull(sum(NOT in_old AND NOT in_new), 0), "
            "ifnull(sum(in_new AND had_old), 0) FROM devices"
        )
        by_key = self._numbers(
            "SELECT count(DISTINCT old.device) FROM devices JOIN certificates AS old ON old.device = devices.device "
            "JOIN certificates AS new ON new.key = old.key "
            "WHERE in_new AND had_old AND old.side = 0 AND old.was_in AND new.side = 1 AND new.is_in"
        )
        return DeviceCounts(*told, *by_key)

    def held(self) -> int:
        """Return how many certificates of the new CA wait."""
        return self._numbers("SELECT count(*) FROM certificates WHERE side = 1 AND held")[0]

    def not_on_record(self, side: Side) -> int:
        """Return how many ACTIVE certificates of a CA nothing was decided on."""
        sql = (
            "SELECT count(*) FROM listed LEFT JOIN certificates ON certificates.id = listed.id "
            "WHERE listed.side = ? AND listed.status = 'ACTIVE' AND certificates.id IS NULL"
        )
        return self._numbers(sql, side)[0]

    def days(self) -> dict[date, int]:
        """Return how many devices came on each day, in UTC: when each was first let in under the new CA."""
        sql = "SELECT substr(came, 1, 10), count(*) FROM devices WHERE in_new AND had_old GROUP BY 1 ORDER BY 1"
        return {date.fromisoformat(day): count for day, count in self._database.execute(sql)}

    def certificates_of(self, kind: DeviceKind) -> Iterator[KindCertificate]:
        """Yield the certificates that stand for the devices of a kind, those that end first in front."""
        rows = self._database.execute(
            "SELECT id, name, thing, not_after FROM devices JOIN certificates USING (device) "  # noqa: S608 - ours
            f"WHERE {_OF_KIND[kind]} ORDER BY not_after, id"
        )
        return (KindCertificate(found.hex(), name, thing, end) for found, name, thing, end in rows)

    def _numbers(self, sql: str, *values: object) -> tuple[int, ...]:
        found: tuple[int, ...] = self._database.execute(sql, values).fetchone()
        return found

    def _one(self, sql: str, value: object) -> str | int | None:
        found = self._database.execute(sql, (value,)).fetchone()
        return None if found is None else found[0]
