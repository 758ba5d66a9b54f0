"""Publishing what was uploaded to the configuration bucket, and writing the verdict beside it.

S3 tells of each version at least once, in no certain order, and several may be judged at the same time. So:

1. A version on which a final verdict is written is not judged again: a late second event undoes nothing.
2. What is in force is read before the object's latest version, and written over only if nobody else did meanwhile
   (``Conflict``). A version that is not the latest is left to the event of the one that is.
3. Afterwards the latest version is looked at once more; if it is another by now, that one is judged as well. So
   whatever the order, the latest has the last word.

What is merged is different in one thing: a later version says nothing of the rows of an earlier one, so every version
is merged, once.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from jitr.aws.account import known_in, missing_cas
from jitr.aws.dynamodb.history import entry_put
from jitr.aws.dynamodb.rulebook import Rulebook
from jitr.aws.dynamodb.table import Conflict, Table
from jitr.aws.errors import told_apart
from jitr.decision.selftest import FailedTests, run
from jitr.devicelists.changes import shrinks, takes_most
from jitr.devicelists.csv.reader import ListError, ListProblem, Row
from jitr.devicelists.manifests.opening import Opener
from jitr.devicelists.manifests.reading import Options, PlacedProblem, line_of
from jitr.errors import InputError, Refused
from jitr.records.heads import Heads
from jitr.records.history import BUCKET, Author, HistoryEntry, HistoryKind, Values, entry
from jitr.records.upload import (
    CONFIRM,
    CONFIRMATIONS,
    MESSAGE,
    NEW_LIST,
    OVERWRITE,
    SHRINK,
    UNMATCHED,
    UploadedObject,
    UploadOutcome,
    UploadVerdict,
)
from jitr.rules.file.ca_files import CaFiles
from jitr.rules.file.problems import RulesError
from jitr.rules.file.reader import read_rules
from jitr.rules.file.source import MAX_BYTES
from jitr.rules.list_fit import Fit
from jitr.services.lists.device_lists import KEPT_DAYS, DeviceLists, ListInfo
from jitr.services.lists.difference import Difference
from jitr.services.lists.evidence import fit
from jitr.services.lists.kept_rows import KeptRows
from jitr.services.lists.list_import import MERGE, REPLACE, Checked, DeviceFile, Imports, TooMany, Unfinished, scratch
from jitr.services.publishing import publication
from jitr.services.publishing.deny_lists import check_deny_lists
from jitr.services.recheck.replay import effect_of
from jitr.text import counted, cut, nearest
from jitr.times import parse_time, rfc3339
from jitr.unseen import quote
from jitr.values import dataclass

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient
    from mypy_boto3_s3 import S3Client

# Checked in a quarter of the time that the function has, in half of it where rows are there twice: 2.5 MB, 75,000 rows,
# a second of one processor, measured. What takes longer all the same, comparing a merge with its list for instance, is
# refused before the time is up.
MAX_LIST_BYTES = 512 * 1024 * 1024
MAX_LIST_ROWS = 10_000_000
# Copied to the function's own disk, which has 512 MB, because it is read from its end.
MAX_ARCHIVE_BYTES = 256 * 1024 * 1024
_KINDS = {".json": "microchip", ".zip": "certificates"}
_MAX_CERTIFICATE = 64 * 1024
_PIECE = 64 * 1024

# What is wrong with a file is told with lines of it, beside it and to whoever subscribed: never with these.
_KEY = b"PRIVATE KEY-----"
_HAS_A_KEY = (
    "it has a private key in it, and was not read. Delete this version of the object, and make a new key: whoever may "
    "read the bucket may have this one"
)
_SHOWN = 20  # problems
_LIST_OF = re.compile(r"lists/(?:merge/)?([^/]*)\.[^./]*", re.DOTALL)
_WORD_SHOWN = 40  # characters


@dataclass(frozen=True, slots=True)
class Latest:
    """The latest version of an object."""

    version: str | None
    etag: str
    size: int
    metadata: Mapping[str, str]


class UploadHandler:
    """Judges what is uploaded. Every method raises Retry where AWS could not answer now.

    ``imports`` is for lists; ``clock`` tells the time; ``told`` is given each verdict once it is written; ``late`` says
    when a file that is not checked by then is refused; ``history_days`` is how long the history keeps what becomes of
    files, 0 for ever.
    """

    def __init__(
        self,
        *,
        s3: "S3Client",
        iot: Callable[[], "IoTClient"],
        table: Table,
        imports: Imports,
        clock: Callable[[], datetime],
        told: Callable[[UploadVerdict], None],
        late: Callable[[], bool] = lambda: False,
        history_days: int = 0,
    ) -> None:
        self._s3 = s3
        self._iot = iot  # asked where rules are uploaded: lists need no client for it
        self._table = table
        self._imports = imports
        self._clock = clock
        self._told = told
        self._late = late
        self._history_days = history_days

    def handle(self, uploaded: UploadedObject, edition: str | None = None) -> UploadVerdict | None:
        """Judge a version and write the verdict beside it; None if it is not, or no longer, for this event to judge.

        The result is not final where the time was up: the same again goes on, with the ``edition`` of the list that
        its details say, so that what somebody else edits meanwhile is not written over.
        """
        verdict = self._judge(uploaded, edition)
        while verdict is not None and (later := self._later_version(verdict)) is not None:
            judged = self._judge(later, None)
            if judged is None:
                break
            verdict = judged
        return verdict

    def _later_version(self, verdict: UploadVerdict) -> UploadedObject | None:
        """Return the version that came while this one was judged, if it falls to whoever judged this one."""
        uploaded = verdict.uploaded
        if not verdict.final or uploaded.beside is None or uploaded.each_version:
            return None
        latest = self._latest(uploaded)
        if latest is None or uploaded.same_object(latest.version, latest.etag):
            return None
        return replace(uploaded, version=latest.version, etag=latest.etag, by="a later upload")

    def _judge(self, uploaded: UploadedObject, edition: str | None) -> UploadVerdict | None:
        if self._has_verdict(uploaded):
            return None
        lists = DeviceLists(self._table).all()  # both before the latest version is looked at
        heads = self._table.heads()
        latest = self._to_judge(uploaded)
        if latest is None:
            return None
        verdict = self._judged(uploaded, latest, lists, heads, edition)
        if verdict.outcome is UploadOutcome.REFUSED:
            refused = self._entry(uploaded, latest.metadata.get(MESSAGE), {}, {}, at=_uploaded_at(uploaded))
            self._table.transact([entry_put(self._table.name, refused.refused(verdict.message))])
        self._write(verdict)
        self._told(verdict)
        return verdict

    def _entry(
        self, uploaded: UploadedObject, why: str | None, before: Values, after: Values, *, at: datetime | None = None
    ) -> HistoryEntry:
        """Return the place of a file in the history; told of again, as S3 may, it has the same there."""
        what = f"{uploaded.bucket}\0{uploaded.key}\0{uploaded.version}\0{uploaded.etag}"
        which = f", version {uploaded.version}" if uploaded.version else ""
        name = _LIST_OF.fullmatch(uploaded.key)
        return entry(
            Author(uploaded.by, BUCKET, self._history_days),
            at or self._clock(),
            hashlib.sha256(what.encode("utf-8", "surrogateescape")).hexdigest()[:16],
            HistoryKind.RULES if name is None else HistoryKind.LIST,
            f"s3://{uploaded.bucket}/{uploaded.key}{which}",
            subject=uploaded.key if name is None else name[1],
            why=why,
            before=before,
            after=after,
        )

    def _to_judge(self, uploaded: UploadedObject) -> Latest | None:
        """Return the version that was uploaded; None if it is gone, or a later one has replaced it."""
        latest = self._latest(uploaded)
        if latest is None or uploaded.same_object(latest.version, latest.etag):
            return latest
        return self._latest(uploaded, uploaded.version) if uploaded.each_version else None

    def _judged(
        self, uploaded: UploadedObject, latest: Latest, lists: Mapping[str, ListInfo], heads: Heads, edition: str | None
    ) -> UploadVerdict:
        try:
            name = uploaded.list
            if name is None:
                return self._rules(uploaded, latest, heads)
            if not uploaded.merges and edition not in (None, heads.edition(name)):
                raise Conflict(f"list {name}")  # noqa: TRY301 - as when the heads are written
            return self._list(uploaded, latest, name, lists, heads)
        except RulesError as error:
            found = [each.to_json() for each in error.problems]
            return self._refused(uploaded, str(error), problems=tuple(found[:_SHOWN]), count=len(found))
        except ListError as error:
            return self._refused(uploaded, str(error), problems=tuple(map(_plain, error.problems)), count=error.count)
        except InputError as error:
            return self._refused(uploaded, str(error))
        except Conflict:
            told = "somebody else published at the same time, and theirs is in force: look at it, then upload again"
            return self._refused(uploaded, told)

    # --- rules

    def _rules(self, uploaded: UploadedObject, latest: Latest, heads: Heads) -> UploadVerdict:
        text = self._bytes(uploaded, uploaded.key, MAX_BYTES, uploaded.version)
        files = CaFiles(lambda path: self._certificate(uploaded, path))
        iot = self._iot()
        known = replace(known_in(iot, self._table), today=self._clock().date(), ca_not_after=files.not_after)
        rules_file = read_rules(
            text, source=uploaded.key, certificate_id=files.certificate_id, responder=files.responder, known=known
        )
        failures = run(rules_file)
        if failures:
            raise FailedTests(failures)
        rules = rules_file.rules
        warnings = (*map(str, rules_file.warnings), *missing_cas(iot, rules))
        if heads.digest == rules.digest:
            publication.restore(self._table, rules, text)
            told = f"these rules are in force already, as version {heads.version}"
            which = {"rules_version": heads.version, "digest": rules.digest}
            return self._verdict(uploaded, UploadOutcome.UNCHANGED, told, warnings, **which)
        doubts = check_deny_lists(self._table, rules, heads, at=self._clock())
        confirmed = _confirmed(latest)
        if doubts.questions and UNMATCHED not in confirmed:
            told = "\n".join(doubts.questions)
            raise InputError(f"{told} If that is what you want, {_again(uploaded, UNMATCHED, confirmed)}")
        former = publication.unknown_former_names(self._table, rules, heads)
        warnings = (*warnings, *former, *doubts.questions, *doubts.warnings)
        outcome = effect_of(self._table, rules, self._clock())  # before: then held devices begin to get in
        message = latest.metadata.get(MESSAGE) or f"uploaded to {uploaded.bucket}"
        told_of = self._entry(uploaded, message, *publication.in_history(heads, rules))
        done = publication.publish(
            self._table,
            rules,
            text,
            heads,
            at=self._now(),
            by=_who(uploaded),
            message=message,
            beside=[entry_put(self._table.name, told_of)],
        )
        count = f"{counted(len(rules.allow), 'allow rule')}, {counted(len(rules.deny), 'deny rule')}"
        told = f"in force as version {done.version}: {count}"
        which = {"rules_version": done.version, "digest": done.digest, "effect": outcome.effect()}
        if outcome.decided:
            told += f"\nDevices on record: {outcome.sentence()}"
        if remark := outcome.remark():
            warnings = (*warnings, remark)
        return self._verdict(uploaded, UploadOutcome.PUBLISHED, told, warnings, **which)

    def _certificate(self, uploaded: UploadedObject, path: str) -> bytes:
        if any(part in ("", ".", "..") for part in path.split("/")) or not path.endswith((".pem", ".crt", ".cer")):
            raise InputError(f"{path}: name a .pem, .crt or .cer in the same bucket, without .. in its path")
        try:
            return self._bytes(uploaded, path, _MAX_CERTIFICATE, None)
        except Refused as refused:
            if refused.code != "NoSuchKey":
                raise
            raise InputError(f"{path}: there is no such object in the bucket: upload it first") from None

    # --- lists

    def _list(
        self, uploaded: UploadedObject, latest: Latest, name: str, lists: Mapping[str, ListInfo], heads: Heads
    ) -> UploadVerdict:
        if lists.get(name) is None and NEW_LIST not in _confirmed(latest):
            self._refuse_unnamed(uploaded, name, lists, heads, _confirmed(latest))
        with KeptRows() as kept:
            return self._imported(uploaded, latest, name, lists.get(name), heads, kept)

    def _imported(
        self,
        uploaded: UploadedObject,
        latest: Latest,
        name: str,
        before: ListInfo | None,
        heads: Heads,
        kept: KeptRows,
    ) -> UploadVerdict:
        confirmed = _confirmed(latest)
        found = fit(self._table, name, self._clock())
        checked = self._checked(uploaded, latest, name, before, found, kept)
        mode = MERGE if uploaded.merges else REPLACE
        if UNMATCHED not in confirmed and self._imports.under_way(name, checked, mode) is None:
            _refuse_unmatched(uploaded, found, confirmed)
        rows = 0 if before is None else before.rows
        if not uploaded.merges and shrinks(REPLACE, rows, checked.rows) and SHRINK not in confirmed:
            raise InputError(
                f"this shrinks list {name} from {counted(rows, 'row')} to {checked.rows}, and an upload replaces all "
                f"of it. If that is what you want, {_again(uploaded, SHRINK, confirmed)}, "
                f"or run `jitr lists import {name} FILE --replace`. To add rows to those there, upload it as "
                f"lists/merge/{name}{uploaded.kind}"
            )
        details: dict[str, Any] = {"list": name, "mode": mode, "rows": checked.rows, "rows_before": rows}
        details["fit"] = found.to_json()
        checked = replace(checked, said=(*checked.said, *found.remarks()))
        was = {} if before is None else before.in_history
        told_of = self._entry(uploaded, latest.metadata.get(MESSAGE), was, checked.in_history(mode))
        try:
            if uploaded.merges:
                verdict = self._merged(uploaded, name, checked, details, told_of)
            else:
                verdict = self._replaced(uploaded, name, checked, before, details, confirmed, told_of)
            return replace(verdict, message=f"{verdict.message}\n{found.sentence()}")
        except Unfinished as unfinished:
            details |= {"rows_written": unfinished.done, "edition": heads.edition(name)}
            return self._verdict(uploaded, UploadOutcome.IMPORTING, str(unfinished), checked.said, **details)

    def _refuse_unnamed(
        self,
        uploaded: UploadedObject,
        name: str,
        lists: Mapping[str, ListInfo],
        heads: Heads,
        confirmed: frozenset[str],
    ) -> None:
        """Raise InputError where an upload would make a list that no rule in force names: its name may be mistyped.

        Before the first rules there is no telling, and lists come first.
        """
        if heads.digest is None:
            return
        named = Rulebook(self._table).in_force(heads).lists
        if name in named:
            return
        near = nearest(name, sorted({*lists, *named}))
        meant = f" (did you mean {near}?)" if near else ""
        raise InputError(
            f"there is no list {name}, and no rule in force names it{meant}. If it is to be made, "
            f"{_again(uploaded, NEW_LIST, confirmed)}, or run `jitr lists import {name} FILE`"
        )

    def _checked(
        self,
        uploaded: UploadedObject,
        latest: Latest,
        name: str,
        before: ListInfo | None,
        found: Fit,
        kept: KeptRows,
    ) -> Checked:
        checking = _Checking(uploaded, name, self._late)
        checking.require_size(latest)
        with checking.until_done():
            return self._imports.check(
                name,
                DeviceFile(
                    uploaded.key,
                    lambda: checking.pieces(self._pieces(uploaded, uploaded.key, uploaded.version)),
                    self._opener(uploaded),
                    kept,
                ),
                against=before.head.generation if uploaded.merges and before is not None else None,
                overwrite=not uploaded.merges or OVERWRITE in _confirmed(latest),
                add_only=True,
                most=MAX_LIST_ROWS,
                advance=lambda _bytes: None,
                watch=lambda row: checking.watch(row, found),
            )

    def _opener(self, uploaded: UploadedObject) -> Opener:
        """Return what reads a list, which has to be what its key says.

        So whoever may upload ``lists/NAME.json`` only lists what a signer signed only.
        """
        from jitr.services.lists.signers import SignerStore  # and with it what verifies: no cold start needs that

        return Opener(Options(kind=_KINDS.get(uploaded.kind), signers=SignerStore(self._table).believed()), scratch)

    def _merged(
        self, uploaded: UploadedObject, name: str, checked: Checked, details: dict[str, Any], told_of: HistoryEntry
    ) -> UploadVerdict:
        if self._imports.under_way(name, checked, MERGE) is None:  # else some of its rows are on the list already
            details |= {each.value: count for each, count in checked.effects.items()}
        self._imports.merge(name, checked, by=_who(uploaded), advance=lambda _rows: None, entry=told_of)
        now = DeviceLists(self._table).all().get(name)
        told = f"{counted(checked.rows, 'row was', 'rows were')} merged into list {name}"
        if now is not None:
            details["rows_now"] = now.rows
            told += f", which has {counted(now.rows, 'row')} now"
        return self._verdict(uploaded, UploadOutcome.PUBLISHED, told, checked.said, **details)

    def _replaced(
        self,
        uploaded: UploadedObject,
        name: str,
        checked: Checked,
        before: ListInfo | None,
        details: dict[str, Any],
        confirmed: frozenset[str],
        told_of: HistoryEntry,
    ) -> UploadVerdict:
        earlier = self._version_in_force(uploaded)

        def agree(found: Difference | None) -> None:
            if before is not None and SHRINK not in confirmed:
                _refuse_to_take_most(uploaded, before, found, confirmed)

        found = self._imports.replace(
            name, checked, by=_who(uploaded), advance=lambda _rows: None, seen=before, agree=agree, entry=told_of
        )
        told = f"list {name} has {counted(checked.rows, 'row')} now, in place of {0 if before is None else before.rows}"
        if found is not None:
            details |= found.to_json()
            told += f": {_counts(found)}"
        if found is not None and found.removed:
            told += f"\nRemoved: {_removed(found)}"
        if before is not None:
            details["restore"] = f"jitr lists restore {name}"
            told += f"\nTo have it back as it was, within {KEPT_DAYS} days: `jitr lists restore {name}`"
        if earlier is not None:
            details["version_before"] = earlier
            told += f"; the version of this object that was published before is {earlier}"
        return self._verdict(uploaded, UploadOutcome.PUBLISHED, told, checked.said, **details)

    def _version_in_force(self, uploaded: UploadedObject) -> str | None:
        """Return the version of the object that was published last, as the verdict beside it says."""
        found = None if uploaded.settled_by is None else self._verdict_in(uploaded, uploaded.settled_by)
        if found is None or found["outcome"] != UploadOutcome.PUBLISHED.value:
            return None
        version = found["object"]["version"]
        return version if isinstance(version, str) else None

    # --- objects

    def _latest(self, uploaded: UploadedObject, version: str | None = None) -> Latest | None:
        """Return the latest version of the object, or a certain one; None if it was deleted."""
        which = {} if version is None else {"VersionId": version}
        try:
            with told_apart():
                head = self._s3.head_object(Bucket=uploaded.bucket, Key=uploaded.key, **which)  # type: ignore[arg-type]
        except Refused as refused:
            if refused.code in ("404", "NoSuchKey"):
                return None
            raise
        etag = head["ETag"].strip('"')
        return Latest(head.get("VersionId"), etag, int(head["ContentLength"]), head.get("Metadata", {}))

    def _pieces(self, uploaded: UploadedObject, key: str, version: str | None) -> Iterator[bytes]:
        which = {} if version is None else {"VersionId": version}
        with told_apart():
            body = self._s3.get_object(Bucket=uploaded.bucket, Key=key, **which)["Body"]  # type: ignore[arg-type]
            before = b""
            for piece in body.iter_chunks(_PIECE):
                if key == uploaded.key and _KEY in before + piece:
                    raise InputError(_HAS_A_KEY)
                before = piece[-len(_KEY) :]
                yield piece

    def _bytes(self, uploaded: UploadedObject, key: str, most: int, version: str | None) -> bytes:
        read = b""
        for piece in self._pieces(uploaded, key, version):
            read += piece
            if len(read) > most:
                raise InputError(f"{key} is larger than {most} bytes: it was not read")
        return read

    # --- verdicts

    def _has_verdict(self, uploaded: UploadedObject) -> bool:
        """Return whether a final verdict on this very version is written."""
        found = None if uploaded.settled_by is None else self._verdict_in(uploaded, uploaded.settled_by)
        if found is None or found["outcome"] == UploadOutcome.IMPORTING.value:
            return False
        return uploaded.same_object(found["object"]["version"], found["object"]["etag"])

    def _verdict_in(self, uploaded: UploadedObject, key: str) -> Mapping[str, Any] | None:
        """Return a verdict that was written; None if there is none, or somebody else's file under that name."""
        try:
            found: Mapping[str, Any] = json.loads(self._bytes(uploaded, key, MAX_BYTES, None))
            there = (found["outcome"], found["object"]["version"], found["object"]["etag"])
        except Refused as refused:
            if refused.code == "NoSuchKey":
                return None
            raise
        except (InputError, RecursionError, ValueError, KeyError, TypeError):  # InputError: larger than any of ours
            return None
        return found if there else None

    def _write(self, verdict: UploadVerdict) -> None:
        beside, settled_by = verdict.uploaded.beside, verdict.uploaded.settled_by
        if beside is None or settled_by is None:
            return
        document = json.dumps(verdict.to_json(), indent=2).encode()
        written = {
            f"{beside}.result.txt": (verdict.text().encode(), "text/plain; charset=utf-8"),
            f"{beside}.result.json": (document, "application/json"),
        }
        if verdict.final:
            written[settled_by] = (document, "application/json")  # last: with it, the version is done with
        for key, (body, kind) in written.items():
            with told_apart():
                self._s3.put_object(Bucket=verdict.uploaded.bucket, Key=key, Body=body, ContentType=kind)

    def _verdict(
        self,
        uploaded: UploadedObject,
        outcome: UploadOutcome,
        message: str,
        warnings: Sequence[str] = (),
        **details: Any,
    ) -> UploadVerdict:
        return UploadVerdict(uploaded, outcome, message, self._now(), warnings=tuple(warnings), details=details)

    def _refused(
        self, uploaded: UploadedObject, message: str, problems: tuple[Mapping[str, Any], ...] = (), count: int = 0
    ) -> UploadVerdict:
        told = f"{message}\n\nWhat was in force stays in force."
        return UploadVerdict(uploaded, UploadOutcome.REFUSED, told, self._now(), problems, count)

    def _now(self) -> str:
        return rfc3339(self._clock())


def _uploaded_at(uploaded: UploadedObject) -> datetime | None:
    try:
        return parse_time(uploaded.at)
    except ValueError:
        return None


def _who(uploaded: UploadedObject) -> str:
    return f"{uploaded.by} (s3://{uploaded.bucket}/{uploaded.key})"


def _confirmed(latest: Latest) -> frozenset[str]:
    """Return what the uploader confirms: one word, or several with commas between them."""
    return frozenset(re.split(r"[,\s]+", latest.metadata.get(CONFIRM, ""))) - {""}


class _Checking:
    """The check of an uploaded list, which has to end in time. What is too much for it names the command instead."""

    def __init__(self, uploaded: UploadedObject, name: str, late: Callable[[], bool]) -> None:
        command = f"jitr lists import {name} FILE --{MERGE if uploaded.merges else REPLACE}"
        self._instead = f"import it with `{command}`, which takes any"
        self._archive = uploaded.kind == ".zip"
        self._late = late
        self._ended = False

    def require_size(self, latest: Latest) -> None:
        """Raise InputError where the object is larger than is read here."""
        most = MAX_ARCHIVE_BYTES if self._archive else MAX_LIST_BYTES
        if latest.size > most:
            raise InputError(f"larger than {most // 1024 // 1024} MB: {self._instead}")

    def pieces(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Return the pieces of the file. Raises InputError where the check comes to its time before their end."""
        for piece in pieces:
            self._require_time()
            yield piece

    def watch(self, row: Row, found: Fit) -> None:
        """Note how a row fits. Raises InputError as ``pieces``."""
        if self._archive:  # all of whose pieces come before its first row
            self._require_time()
        found.add(row.row, line_of(row), row.columns)

    @contextmanager
    def until_done(self) -> Iterator[None]:
        """Check within this block. What is read after it is imported, and that goes on in the next invocation."""
        try:
            yield
        except TooMany as many:
            raise InputError(f"{many}: {self._instead}") from None
        except ListError as error:
            raise ListError(error.source, [_as_uploaded(each) for each in error.problems], error.count) from None
        finally:
            self._ended = True

    def _require_time(self) -> None:
        if not self._ended and self._late():
            raise InputError(f"too long to be checked in the time that the function has: {self._instead}")


def _refuse_unmatched(uploaded: UploadedObject, found: Fit, confirmed: frozenset[str]) -> None:
    """Raise InputError where rows of a deny list can match nothing."""
    question = found.question()
    if question:
        raise InputError(f"{question} If that is what you want, {_again(uploaded, UNMATCHED, confirmed)}")


def _refuse_to_take_most(
    uploaded: UploadedObject, before: ListInfo, found: Difference | None, confirmed: frozenset[str]
) -> None:
    """Raise InputError where more than half of a list's rows go, or nobody can tell."""
    again = f"If that is what you want, {_again(uploaded, SHRINK, confirmed)}"
    if found is None:
        raise InputError(f"there was no time to tell how many rows it takes off list {before.name}. {again}")
    if takes_most(found.removed, before.rows):
        raise InputError(
            f"this takes {found.removed} of {counted(before.rows, 'row')} off list {before.name}: "
            f"{_removed(found)}. {again}"
        )


def _again(uploaded: UploadedObject, more: str, confirmed: frozenset[str]) -> str:
    """Return how to upload it once more, and say that it is meant, as what was said before."""
    word = ",".join(sorted({more, *(confirmed & CONFIRMATIONS)}))
    # The short form takes a comma for the beginning of another key.
    metadata = f"{CONFIRM}={word}" if "," not in word else f"'{json.dumps({CONFIRM: word})}'"
    command = f"aws s3 cp FILE s3://{uploaded.bucket}/{uploaded.key} --metadata {metadata}"
    unknown = sorted(confirmed - CONFIRMATIONS)
    there_are = ", ".join(sorted(CONFIRMATIONS))
    wrong = f"; {quote(cut(unknown[0], _WORD_SHOWN, '…'))} is no such word, there are: {there_are}" if unknown else ""
    return f"upload it again with the metadata {CONFIRM}={word} ({command}{wrong})"


def _plain(problem: ListProblem) -> dict[str, Any]:
    """Return a problem as it is in the verdict."""
    place = {"place": problem.place} if isinstance(problem, PlacedProblem) else {}
    return {"line": problem.line, "column": problem.column, "message": problem.message, **place}


def _as_uploaded(problem: ListProblem) -> ListProblem:
    """Reword a problem whose remedy is an option of the command for somebody who uploads a file."""
    remedy = f"({CONFIRM}={OVERWRITE} in the object's metadata"
    return replace(problem, message=problem.message.replace("(--overwrite", remedy))


def _counts(found: Difference) -> str:
    return ", ".join(f"{count} {name}" for name, count in found.counts().items())


def _removed(found: Difference) -> str:
    names = ", ".join(row.found_by()[-1].value for row in found.shown)
    more = found.removed - len(found.shown)
    return f"{names} and {more} more" if more else names
