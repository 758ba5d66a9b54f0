"""The notebook of a check: what was listed and found so far, in a SQLite database, so that memory does not grow.

In a file that was named it outlasts a check that is cut off, and the same check goes on where that stopped. Every page
is written with the mark of the next one in one transaction: a page may be gone through twice, and none is left out.
"""

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Any

from jitr.errors import InputError
from jitr.fleet.drift import ThingFound

_VERSION = 1  # of the schema
_TABLES = """
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE walks (name TEXT PRIMARY KEY, mark TEXT) WITHOUT ROWID;
CREATE TABLE certificates (id BLOB PRIMARY KEY, status TEXT NOT NULL, created TEXT, seen INT NOT NULL) WITHOUT ROWID;
CREATE TABLE unlisted (id BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE grants (id BLOB PRIMARY KEY, thing TEXT, at TEXT NOT NULL, record TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX holders ON grants (thing, at);
CREATE TABLE things (name TEXT PRIMARY KEY, type TEXT, attributes TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE members (thing TEXT, name TEXT, PRIMARY KEY (thing, name)) WITHOUT ROWID;
CREATE TABLE policies (id BLOB, name TEXT, PRIMARY KEY (id, name)) WITHOUT ROWID;
CREATE TABLE findings (standing TEXT, id BLOB, at TEXT, finding TEXT, PRIMARY KEY (standing, id)) WITHOUT ROWID;
"""
DONE = ""  # the mark of a walk that has come to its end

Row = Mapping[str, Any]


class Notebook:
    """What one check knows. Several threads may ask; one writes. Every method raises InputError for a damaged file."""

    def __init__(self, file: Path | None) -> None:
        """Open the notebook in a file, or one that is gone with the process.

        Raises InputError for another file, and for a notebook that another check has open.
        """
        self._lock = RLock()
        self._file = file
        try:
            self._database = _opened(file)
        except (sqlite3.Error, OSError) as problem:
            told = problem.strerror if isinstance(problem, OSError) else problem
            if _is(problem, "SQLITE_BUSY"):
                told = "another check is under way with it; wait for its end, or name another file"
            raise InputError(f"{file}: no notebook of a check can be kept there: {told}") from None

    def close(self, *, finished: bool) -> bool:
        """Close the notebook; whether its file is kept. A check that came to its end, or never began, needs none."""
        kept = self._file is not None and not finished and bool(self.about())
        self._database.close()
        if self._file is not None and not kept:
            self._file.unlink(missing_ok=True)
        return kept

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Keep all that is written while the block runs, or nothing of it."""
        with self._lock, self._undamaged(), self._database:
            self._database.execute("BEGIN")
            yield

    # --- what it is about

    def about(self) -> dict[str, str]:
        """Return what was written down of the check itself; nothing in a new notebook."""
        return dict(self._rows("SELECT name, value FROM about"))

    def begin(self, about: Mapping[str, str]) -> None:
        """Forget everything, and begin another check."""
        with self.writing():
            for table in ("about", "walks", "certificates", "unlisted", "grants", "things", "members", "policies"):
                self._database.execute(f"DELETE FROM {table}")  # noqa: S608 - names of our own
            self._database.execute("DELETE FROM findings")
            self._many("INSERT INTO about VALUES (?, ?)", about.items())

    # --- how far it has come

    def mark(self, walk: str) -> str | None:
        """Return where a walk goes on: None at its beginning, ``DONE`` after its end."""
        found = next(self._rows("SELECT mark FROM walks WHERE name = ?", walk), None)
        return None if found is None else str(found[0])

    def set_mark(self, walk: str, mark: str | None) -> None:
        """Write down where a walk goes on, None where it has come to its end."""
        self._many("INSERT OR REPLACE INTO walks VALUES (?, ?)", [(walk, DONE if mark is None else mark)])

    # --- certificates

    def list_certificates(self, listed: Iterable[tuple[str, str, str | None]]) -> None:
        """Write down certificates as AWS IoT lists them: id, status, when they were made."""
        rows = ((bytes.fromhex(each), status, created) for each, status, created in listed)
        self._many("INSERT OR IGNORE INTO certificates VALUES (?, ?, ?, 0)", rows)

    def statuses(self, ids: Sequence[str]) -> dict[str, str]:
        """Return the statuses of those certificates that were listed."""
        asked = [bytes.fromhex(each) for each in ids]
        marks = ",".join("?" * len(asked))
        rows = self._rows(f"SELECT id, status FROM certificates WHERE id IN ({marks})", *asked)  # noqa: S608
        return {found.hex(): status for found, status in rows}

    def see(self, ids: Iterable[str]) -> None:
        """Write down that the records of these certificates were looked at."""
        self._many("UPDATE certificates SET seen = 1 WHERE id = ?", ((bytes.fromhex(each),) for each in ids))

    def unseen(self, status: str, after: str | None, most: int) -> list[tuple[str, str | None]]:
        """Return certificates of a status whose records were not looked at, by id: the id, and when it was made."""
        rows = self._rows(
            "SELECT id, created FROM certificates WHERE id > ? AND seen = 0 AND status = ? ORDER BY id LIMIT ?",
            bytes.fromhex(after or ""),
            status,
            most,
        )
        return [(found.hex(), created) for found, created in rows]

    def put_aside(self, ids: Iterable[str]) -> None:
        """Keep certificates for later that no listing has shown yet."""
        self._many("INSERT OR IGNORE INTO unlisted VALUES (?)", ((bytes.fromhex(each),) for each in ids))

    def unlisted(self, after: str | None, most: int) -> list[str]:
        """Return certificates that were put aside, in the order of their ids."""
        after_id = bytes.fromhex(after or "")
        rows = self._rows("SELECT id FROM unlisted WHERE id > ? ORDER BY id LIMIT ?", after_id, most)
        return [found.hex() for (found,) in rows]

    def list_unlisted(self, listed: Iterable[tuple[str, str]]) -> None:
        """Write down the statuses of those certificates that were put aside; nobody looks for more about them."""
        rows = ((bytes.fromhex(each), status, bytes.fromhex(each)) for each, status in listed)
        self._many(
            "INSERT OR IGNORE INTO certificates SELECT ?, ?, NULL, 1 "
            "WHERE EXISTS (SELECT 1 FROM unlisted WHERE id = ?)",
            rows,
        )

    # --- what was granted, and what AWS IoT has of it

    def grant(self, rows: Iterable[tuple[str, str | None, str, Row]]) -> None:
        """Write down what devices were granted: id, thing, when, and what a finding about it is made from."""
        given = ((bytes.fromhex(each), thing, at, json.dumps(record)) for each, thing, at, record in rows)
        self._many("INSERT OR REPLACE INTO grants VALUES (?, ?, ?, ?)", given)

    def grants(self, after: str | None, most: int) -> list[tuple[str, Row]]:
        """Return what was granted, in the order of the certificates' ids."""
        after_id = bytes.fromhex(after or "")
        rows = self._rows("SELECT id, record FROM grants WHERE id > ? ORDER BY id LIMIT ?", after_id, most)
        return [(found.hex(), json.loads(record)) for found, record in rows]

    def granted(self, what: str) -> list[str]:
        """Return every name that grants give of a kind: ``thing_groups`` or ``iot_policies``."""
        sql = "SELECT DISTINCT value FROM grants, json_each(record, '$.grant.' || ?) ORDER BY value"
        return [name for (name,) in self._rows(sql, what)]

    def last_granted(self, thing: str) -> str:
        """Return the certificate whose grant the thing follows: the one that was admitted last."""
        rows = self._rows("SELECT id FROM grants WHERE thing = ? ORDER BY at DESC, id DESC LIMIT 1", thing)
        found: bytes = next(rows)[0]
        return found.hex()

    def keep_things(self, things: Iterable[tuple[str, str | None, Mapping[str, str]]]) -> None:
        """Write down things that somebody was granted; others are no matter of ours."""
        rows = ((name, kind, json.dumps(dict(attributes)), name) for name, kind, attributes in things)
        self._many(
            "INSERT OR REPLACE INTO things SELECT ?, ?, ? WHERE EXISTS (SELECT 1 FROM grants WHERE thing = ?)", rows
        )

    def keep_members(self, group: str, things: Iterable[str]) -> None:
        """Write down which things are in a group."""
        self._many("INSERT OR IGNORE INTO members VALUES (?, ?)", ((each, group) for each in things))

    def keep_policies(self, policy: str, ids: Iterable[str]) -> None:
        """Write down to which certificates an IoT policy is attached."""
        self._many("INSERT OR IGNORE INTO policies VALUES (?, ?)", ((bytes.fromhex(each), policy) for each in ids))

    def policies_of(self, certificate_id: str) -> frozenset[str]:
        """Return the IoT policies of a certificate, as far as they were listed."""
        rows = self._rows("SELECT name FROM policies WHERE id = ?", bytes.fromhex(certificate_id))
        return frozenset(name for (name,) in rows)

    def thing(self, name: str) -> ThingFound | None:
        """Return a thing as it was listed; None where it was not."""
        found = next(self._rows("SELECT type, attributes FROM things WHERE name = ?", name), None)
        if found is None:
            return None
        groups = frozenset(each for (each,) in self._rows("SELECT name FROM members WHERE thing = ?", name))
        return ThingFound(found[0], json.loads(found[1]), groups)

    # --- what came of it

    def find(self, findings: Iterable[Row]) -> None:
        """Write findings down, each as it is printed."""
        rows = (
            (each["finding"], bytes.fromhex(each["certificate_id"]), each["decided_at"], json.dumps(each))
            for each in findings
        )
        self._many("INSERT OR REPLACE INTO findings VALUES (?, ?, ?, ?)", rows)

    def findings(self) -> list[dict[str, Any]]:
        """Return all findings: by what they are, the newest first."""
        rows = self._rows("SELECT finding FROM findings ORDER BY standing, at DESC, id")
        return [json.loads(finding) for (finding,) in rows]

    def count(self, name: str, more: int) -> None:
        """Add to a count."""
        sql = "INSERT INTO about VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value + excluded.value"
        self._many(sql, [(name, more)])

    def _rows(self, sql: str, *values: Any) -> Iterator[Any]:
        with self._lock, self._undamaged():
            return iter(self._database.execute(sql, values).fetchall())

    def _many(self, sql: str, rows: Iterable[Any]) -> None:
        with self._lock, self._undamaged():
            self._database.executemany(sql, rows)

    @contextmanager
    def _undamaged(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as problem:
            if not _is(problem, "SQLITE_CORRUPT"):
                raise
            raise InputError(f"{self._file}: this notebook is damaged: delete it, and the check begins anew") from None


def _opened(file: Path | None) -> sqlite3.Connection:
    if file is not None and not file.exists():
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))  # it names devices
    # An empty name is a database of SQLite's own, on disk where it grows, that is gone once it is closed.
    database = sqlite3.connect("" if file is None else file, timeout=0, isolation_level=None, check_same_thread=False)
    # Two checks that wrote into one would count everything twice. https://www.sqlite.org/pragma.html#pragma_locking_mode
    database.executescript("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT;")
    version = database.execute("PRAGMA user_version").fetchone()[0]
    tables = database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if tables and version != _VERSION:
        database.close()
        raise sqlite3.DatabaseError("it is something else, or of another version of jitr")
    database.execute("PRAGMA synchronous = NORMAL")
    if not tables:
        database.executescript(_TABLES + f"PRAGMA user_version = {_VERSION};")
    return database


def _is(problem: Exception, code: str) -> bool:
    """Return whether an error is one of SQLite's with that code, or with a code that says more (``…_INDEX``)."""
    return str(getattr(problem, "sqlite_errorname", "")).startswith(code)
