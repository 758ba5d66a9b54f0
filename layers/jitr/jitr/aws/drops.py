"""Publishing what was dropped in the configuration bucket, and writing the verdict beside it.

S3 tells of each version at least once, in no certain order, and several may be judged at the same time. So:

1. A version on which a final verdict is written is not judged again: a late second event undoes nothing.
2. What is in force is read before the object's latest version, and written over only if nobody else did meanwhile
   (``Conflict``). A version that is not the latest is left to the event of the one that is.
3. Afterwards the latest version is looked at once more; if it is another by now, that one is judged as well. So
   whatever the order, the latest has the last word.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from jitr.aws import publication
from jitr.aws.account import known_in, missing_cas
from jitr.aws.device_lists import DeviceLists, ListInfo
from jitr.aws.errors import told_apart
from jitr.aws.list_import import REPLACE, Imports, Source, Unfinished
from jitr.aws.replay import effect_of
from jitr.aws.table import Conflict, Table
from jitr.drop import CONFIRM, MESSAGE, SHRINK, Dropped, Outcome, Verdict
from jitr.errors import InputError, Refused
from jitr.list_changes import shrinks
from jitr.lists_csv import ListError
from jitr.record import Heads
from jitr.rules.ca_files import CaFiles
from jitr.rules.problems import RulesError
from jitr.rules.reader import read_rules
from jitr.rules.selftest import run
from jitr.rules.source import MAX_BYTES
from jitr.times import rfc3339
from jitr.values import dataclass

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient
    from mypy_boto3_s3 import S3Client

# Checked in a quarter of the time that the function has, in half of it where rows are there twice: 2.5 MB, 75,000 rows,
# a second of one processor, measured.
MAX_LIST_BYTES = 512 * 1024 * 1024
_MAX_CERTIFICATE = 64 * 1024
_PIECE = 64 * 1024

# What is wrong with a file is told with lines of it, beside it and to whoever subscribed: never with these.
_KEY = b"PRIVATE KEY-----"
_HAS_A_KEY = (
    "it has a private key in it, and was not read. Delete this version of the object, and make a new key: whoever may "
    "read the bucket may have this one"
)
_SHOWN = 20  # problems


@dataclass(frozen=True, slots=True)
class Latest:
    """The latest version of an object."""

    version: str | None
    etag: str
    size: int
    metadata: Mapping[str, str]


class Drops:
    """Judges what is dropped. Every method raises Retry where AWS could not answer now.

    ``imports`` is for lists; ``clock`` tells the time; ``told`` is given each verdict once it is written.
    """

    def __init__(
        self,
        *,
        s3: "S3Client",
        iot: Callable[[], "IoTClient"],
        table: Table,
        imports: Imports,
        clock: Callable[[], datetime],
        told: Callable[[Verdict], None],
    ) -> None:
        self._s3 = s3
        self._iot = iot  # asked where rules are dropped: lists need no client for it
        self._table = table
        self._imports = imports
        self._clock = clock
        self._told = told

    def handle(self, dropped: Dropped, edition: str | None = None) -> Verdict | None:
        """Judge a version and write the verdict beside it; None if it is not, or no longer, for this event to judge.

        The result is not final where the time was up: the same again goes on, with the ``edition`` of the list that
        its details say, so that what somebody else edits meanwhile is not written over.
        """
        verdict = None
        while True:
            judged = self._handle(dropped, edition)
            edition = None
            verdict = judged or verdict
            if judged is None or not judged.final or judged.dropped.beside is None:
                return verdict
            latest = self._latest(dropped)
            if latest is None or dropped.same_object(latest.version, latest.etag):
                return verdict
            dropped = replace(dropped, version=latest.version, etag=latest.etag, by="a later drop")

    def _handle(self, dropped: Dropped, edition: str | None) -> Verdict | None:
        if self._has_verdict(dropped):
            return None
        lists = DeviceLists(self._table).all()  # both before the latest version is looked at
        heads = self._table.heads()
        latest = self._latest(dropped)
        if latest is None or not dropped.same_object(latest.version, latest.etag):
            return None
        try:
            name = dropped.list
            if name is None:
                verdict = self._rules(dropped, latest, heads)
            else:
                if edition not in (None, heads.edition(name)):
                    raise Conflict(f"list {name}")  # noqa: TRY301 - as when the heads are written
                verdict = self._list(dropped, latest, name, lists.get(name), heads.edition(name))
        except RulesError as error:
            found = [each.to_json() for each in error.problems]
            verdict = self._refused(dropped, str(error), problems=tuple(found[:_SHOWN]), count=len(found))
        except ListError as error:
            plain = [{"line": each.line, "column": each.column, "message": each.message} for each in error.problems]
            verdict = self._refused(dropped, str(error), problems=tuple(plain), count=error.count)
        except InputError as error:
            verdict = self._refused(dropped, str(error))
        except Conflict:
            told = "somebody else published at the same time, and theirs is in force: look at it, and drop yours again"
            verdict = self._refused(dropped, told)
        self._write(verdict)
        self._told(verdict)
        return verdict

    # --- rules

    def _rules(self, dropped: Dropped, latest: Latest, heads: Heads) -> Verdict:
        text = self._bytes(dropped, dropped.key, MAX_BYTES, dropped.version)
        files = CaFiles(lambda path: self._certificate(dropped, path))
        iot = self._iot()
        known = replace(known_in(iot, self._table), today=self._clock().date(), ca_not_after=files.not_after)
        rules_file = read_rules(text, source=dropped.key, certificate_id=files.certificate_id, known=known)
        failures = run(rules_file)
        if failures:
            raise InputError("\n".join([f"{len(failures)} tests in the file failed:", *map(str, failures)]))
        rules = rules_file.rules
        warnings = (*map(str, rules_file.warnings), *missing_cas(iot, rules))
        if heads.digest == rules.digest:
            publication.restore(self._table, rules, text)
            told = f"these rules are in force already, as version {heads.version}"
            which = {"rules_version": heads.version, "digest": rules.digest}
            return self._verdict(dropped, Outcome.UNCHANGED, told, warnings, **which)
        outcome = effect_of(self._table, rules, self._clock())  # before: then held devices begin to get in
        done = publication.publish(
            self._table,
            rules,
            text,
            heads,
            at=self._now(),
            by=_who(dropped),
            message=latest.metadata.get(MESSAGE) or f"dropped in {dropped.bucket}",
        )
        told = f"in force as version {done.version}: {len(rules.allow)} allow rules, {len(rules.deny)} deny rules"
        which = {"rules_version": done.version, "digest": done.digest, "effect": outcome.effect()}
        if outcome.decided:
            told += f"\nDevices on record: {outcome.sentence()}"
        return self._verdict(dropped, Outcome.PUBLISHED, told, warnings, **which)

    def _certificate(self, dropped: Dropped, path: str) -> bytes:
        if any(part in ("", ".", "..") for part in path.split("/")) or not path.endswith((".pem", ".crt", ".cer")):
            raise InputError(f"{path}: name a .pem, .crt or .cer in the same bucket, without .. in its path")
        try:
            return self._bytes(dropped, path, _MAX_CERTIFICATE, None)
        except Refused as refused:
            if refused.code != "NoSuchKey":
                raise
            raise InputError(f"{path}: there is no such object in the bucket: drop it first") from None

    # --- lists

    def _list(self, dropped: Dropped, latest: Latest, name: str, before: ListInfo | None, edition: str) -> Verdict:
        if latest.size > MAX_LIST_BYTES:
            megabytes = MAX_LIST_BYTES // 1024 // 1024
            raise InputError(f"larger than {megabytes} MB: import it with `jitr lists import {name} FILE --replace`")
        source = Source(dropped.key, lambda: self._pieces(dropped, dropped.key, dropped.version))
        checked = self._imports.check(name, source, advance=lambda _bytes: None)
        rows = 0 if before is None else before.rows
        if shrinks(REPLACE, rows, checked.rows) and latest.metadata.get(CONFIRM) != SHRINK:
            raise InputError(
                f"this shrinks list {name} from about {rows} rows to {checked.rows}, and a drop replaces all of it. "
                f"If that is what you want, drop it again with the metadata {CONFIRM}={SHRINK} "
                f"(aws s3 cp FILE s3://{dropped.bucket}/{dropped.key} --metadata {CONFIRM}={SHRINK}), "
                f"or run `jitr lists import {name} FILE --replace`"
            )
        details: dict[str, Any] = {"list": name, "rows": checked.rows, "rows_before": rows}
        try:
            self._imports.replace(name, checked, by=_who(dropped), over=before, advance=lambda _rows: None)
        except Unfinished as unfinished:
            details |= {"rows_written": unfinished.done, "edition": edition}
            return self._verdict(dropped, Outcome.IMPORTING, str(unfinished), checked.said, **details)
        told = f"list {name} has {checked.rows} rows now, in place of about {rows}"
        return self._verdict(dropped, Outcome.PUBLISHED, told, checked.said, **details)

    # --- objects

    def _latest(self, dropped: Dropped) -> Latest | None:
        """The latest version of the object, None where it was deleted."""
        try:
            with told_apart():
                head = self._s3.head_object(Bucket=dropped.bucket, Key=dropped.key)
        except Refused as refused:
            if refused.code in ("404", "NoSuchKey"):
                return None
            raise
        etag = head["ETag"].strip('"')
        return Latest(head.get("VersionId"), etag, int(head["ContentLength"]), head.get("Metadata", {}))

    def _pieces(self, dropped: Dropped, key: str, version: str | None) -> Iterator[bytes]:
        which = {} if version is None else {"VersionId": version}
        with told_apart():
            body = self._s3.get_object(Bucket=dropped.bucket, Key=key, **which)["Body"]  # type: ignore[arg-type]
            before = b""
            for piece in body.iter_chunks(_PIECE):
                if key == dropped.key and _KEY in before + piece:
                    raise InputError(_HAS_A_KEY)
                before = piece[-len(_KEY) :]
                yield piece

    def _bytes(self, dropped: Dropped, key: str, most: int, version: str | None) -> bytes:
        read = b""
        for piece in self._pieces(dropped, key, version):
            read += piece
            if len(read) > most:
                raise InputError(f"{key} is larger than {most} bytes: it was not read")
        return read

    # --- verdicts

    def _has_verdict(self, dropped: Dropped) -> bool:
        """Whether a final verdict on this very version is written."""
        if dropped.beside is None:
            return False
        try:
            text = self._bytes(dropped, f"{dropped.beside}.result.json", MAX_BYTES, None)
        except Refused as refused:
            if refused.code == "NoSuchKey":
                return False
            raise
        try:
            found = json.loads(text)
            there = found["object"]
            same = dropped.same_object(there["version"], there["etag"])
            return same and found["outcome"] != Outcome.IMPORTING.value
        except (ValueError, KeyError, TypeError):
            return False  # somebody else's file under that name

    def _write(self, verdict: Verdict) -> None:
        if verdict.dropped.beside is None:
            return
        document = json.dumps(verdict.to_json(), indent=2).encode()
        for suffix, body, kind in (
            ("result.txt", verdict.text().encode(), "text/plain; charset=utf-8"),
            ("result.json", document, "application/json"),  # last: with it, the version is done with
        ):
            with told_apart():
                self._s3.put_object(
                    Bucket=verdict.dropped.bucket,
                    Key=f"{verdict.dropped.beside}.{suffix}",
                    Body=body,
                    ContentType=kind,
                )

    def _verdict(
        self, dropped: Dropped, outcome: Outcome, message: str, warnings: Sequence[str] = (), **details: Any
    ) -> Verdict:
        return Verdict(dropped, outcome, message, self._now(), warnings=tuple(warnings), details=details)

    def _refused(
        self, dropped: Dropped, message: str, problems: tuple[Mapping[str, Any], ...] = (), count: int = 0
    ) -> Verdict:
        told = f"{message}\n\nWhat was in force stays in force."
        return Verdict(dropped, Outcome.REFUSED, told, self._now(), problems, count)

    def _now(self) -> str:
        return rfc3339(self._clock())


def _who(dropped: Dropped) -> str:
    return f"{dropped.by} (s3://{dropped.bucket}/{dropped.key})"
