"""An object uploaded to the configuration bucket: what it is, from S3's event; and the verdict on it, as it is written
beside it.

Whoever may put objects in the bucket chooses their keys, so a key is hostile until it is known what it names.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, field
from enum import Enum
from typing import Any
from urllib.parse import unquote_plus

from jitr.devicelists.rows import LIST_NAME
from jitr.errors import InputError
from jitr.text import cut
from jitr.unseen import first_unseen, written_out
from jitr.values import dataclass

RULES_KEY = "admission.yaml"
_LIST_KEY = re.compile(r"lists/(merge/)?([^/]*)\.(csv|json|zip)")
# What lies in the bucket and is not published: verdicts, what rules name, revocation lists, folders.
_LEFT_ALONE = re.compile(r".*(\.result\.(json|txt)|\.(pem|crt|cer)|/)|crls/.*", re.DOTALL)
_SPREADSHEETS = (".xlsx", ".xlsm", ".xls", ".ods", ".numbers")
_MANIFESTS = (".json", ".zip")
_TABLES = (".csv", ".tsv", ".txt", *_SPREADSHEETS, *_MANIFESTS)
_NAMED_TWICE = re.compile(r"(.+)(\.(?:csv|json|zip))", re.IGNORECASE | re.DOTALL)  # as mail and editors add .txt
_MOST_SHOWN = 120  # characters of a key in a message
# What a person may put on an object (``x-amz-meta-...``): why; and that a list may shrink, or be made, that rows may
# change or take the place of rows there, or match nothing.
MESSAGE, CONFIRM = "jitr-message", "jitr-confirm"
SHRINK, NEW_LIST, OVERWRITE, UNMATCHED = "shrink", "new-list", "overwrite", "unmatched"
CONFIRMATIONS = frozenset({SHRINK, NEW_LIST, OVERWRITE, UNMATCHED})


@dataclass(frozen=True, slots=True)
class UploadedObject:
    """One version of an object, and who put it there."""

    bucket: str
    key: str
    version: str | None  # None where the bucket keeps no versions
    etag: str
    by: str  # the principal, as S3 names it
    at: str  # RFC 3339

    @property
    def left_alone(self) -> bool:
        """Whether nothing is published of such a key, and nothing said: our own verdicts among them."""
        return _LEFT_ALONE.fullmatch(self.key) is not None

    @property
    def list(self) -> str | None:
        """The list that it is of, or None for the rules.

        Raises InputError, with what may be meant, for any other key.
        """
        if self.key == RULES_KEY:
            return None
        found = _LIST_KEY.fullmatch(self.key)
        if found is None:
            raise InputError(f"{_shown(self.key)} was not read: {_meant(self.key)}")
        if LIST_NAME.fullmatch(found[2]) is None:
            told = f"'{_shown(found[2])}' is not a list's name: letters, digits and _.- (at most 64, no sign first)"
            raise InputError(f"{told}; upload it as lists/NAME{self.kind} with such a name")
        return found[2]

    @property
    def kind(self) -> str:
        """The end of the key, with its dot."""
        return f".{self.key.rpartition('.')[2]}"

    @property
    def merges(self) -> bool:
        """Whether its rows are added to the list, and do not replace it."""
        found = _LIST_KEY.fullmatch(self.key)
        return found is not None and found[1] is not None

    @property
    def each_version(self) -> bool:
        """Whether each version counts, not the latest only: what is merged says nothing of earlier versions' rows."""
        return self.merges and self.version is not None

    @property
    def beside(self) -> str | None:
        """The beginning of the verdict's keys; None for a key that gets no verdict beside it.

        A list may lie there in several forms, and each has a verdict of its own.
        """
        stem = re.sub(r"\.(yaml|csv)$", "", self.key)
        plain = (
            stem.isprintable()
            and first_unseen(stem) is None
            and ".." not in stem.split("/")
            and len(stem.encode()) <= 900
        )
        return stem if plain else None

    @property
    def settled_by(self) -> str | None:
        """The key of the verdict that says that this version is done with; None as for ``beside``."""
        if self.beside is None:
            return None
        return f"{self.beside}.{self.version}.result.json" if self.each_version else f"{self.beside}.result.json"

    def same_object(self, version: str | None, etag: str) -> bool:
        """Return whether this is that version of the object."""
        return (self.version, self.etag) == (version, etag) if version is None else self.version == version


def read_record(record: Mapping[str, Any]) -> UploadedObject:
    """Read what was uploaded from one record of an S3 event.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html: keys are URL-encoded.
    Raises InputError for what is no such record.
    """
    try:
        thing = record["s3"]["object"]
        return UploadedObject(
            bucket=str(record["s3"]["bucket"]["name"]),
            key=unquote_plus(str(thing["key"]), errors="surrogateescape"),
            version=thing.get("versionId"),
            etag=str(thing.get("eTag", "")).strip('"'),
            by=str(record.get("userIdentity", {}).get("principalId", "somebody")),
            at=str(record.get("eventTime", "")),
        )
    except (KeyError, TypeError, AttributeError):
        raise InputError("this is not an event of S3 about an object") from None


class UploadOutcome(Enum):
    """The outcome of an upload."""

    PUBLISHED = "published"
    UNCHANGED = "unchanged"
    REFUSED = "refused"  # what was in force stays in force
    IMPORTING = "importing"  # not final: it goes on


@dataclass(frozen=True, slots=True)
class UploadVerdict:
    """The verdict on one version of an object. ``details`` are those of rules, or of a list."""

    uploaded: UploadedObject
    outcome: UploadOutcome
    message: str
    at: str  # RFC 3339
    problems: tuple[Mapping[str, Any], ...] = ()
    problem_count: int = 0
    warnings: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def final(self) -> bool:
        """Whether nothing more comes of it."""
        return self.outcome is not UploadOutcome.IMPORTING

    def to_json(self) -> dict[str, Any]:
        """Return the document written beside the object."""
        return {
            "format": 1,
            "outcome": self.outcome.value,
            "message": visible(self.message),
            "object": asdict(self.uploaded) | {"key": visible(self.uploaded.key)},
            "judged_at": self.at,
            "problems": [dict(each) for each in self.problems],
            "problem_count": self.problem_count,
            "warnings": [visible(each) for each in self.warnings],
            **self.details,
        }

    def text(self) -> str:
        """Return the same for a person."""
        version = f", version {self.uploaded.version}" if self.uploaded.version else f", ETag {self.uploaded.etag}"
        lines = [
            f"{self.outcome.value.upper()}: {visible(self.uploaded.key)}{version}",
            f"uploaded {self.uploaded.at} by {visible(self.uploaded.by)}, judged {self.at}",
            "",
            visible(self.message),
            *(f"warning: {visible(each)}" for each in self.warnings),
        ]
        return "\n".join(lines) + "\n"


def _meant(key: str) -> str:
    """Suggest what the uploader may have meant by another key."""
    name = key.rpartition("/")[2]
    stem, dot, kind = name.rpartition(".")
    kind = f"{dot}{kind}".lower()
    inner = _NAMED_TWICE.fullmatch(stem)
    if kind == ".txt" and inner is not None:
        stem, kind = inner[1], inner[2].lower()
    if stem.lower() == "admission" and kind in (".yaml", ".yml"):
        return f"rules are uploaded as {RULES_KEY}"
    if kind not in _TABLES:
        return f"upload rules as {RULES_KEY}, and a list as lists/NAME.csv or lists/merge/NAME.csv"
    form = kind if kind in _MANIFESTS else ".csv"
    meant = f"lists/{stem}{form}" if LIST_NAME.fullmatch(stem) else f"lists/NAME{form}"
    told = f"upload it as {meant} to replace the list, or under lists/merge/ to add to it"
    return f"spreadsheets are not read: save it as CSV UTF-8, and {told}" if kind in _SPREADSHEETS else told


def _shown(text: str) -> str:
    return visible(cut(text, _MOST_SHOWN, "…"))


def visible(text: str) -> str:
    """Write out every invisible character of the text; line feeds stay."""
    return "".join(
        each if each.isprintable() or each == "\n" else each.encode("unicode_escape").decode("ascii")
        for each in written_out(text, keep="\t\r\n")
    )
