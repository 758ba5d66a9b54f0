"""The history: each change that operators made, one entry a change.

An entry says who made it, when, with which tool, what was asked, why, what was before and after, and how it ended.
Names, notes and messages in it are hostile text, as long as whoever wrote them liked: it is cut, and never refused, so
that no note keeps a change from being written down.
"""

from collections.abc import Iterable, Mapping
from dataclasses import field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, TypeAlias, TypedDict, Unpack

from jitr import __version__
from jitr.errors import InputError
from jitr.text import cut
from jitr.times import parse_time
from jitr.values import dataclass

FORMAT = 1

# So much is kept of each text, and of values before and after: an entry stays far below the 400 KB of an item, whatever
# stands in it.
MOST_TEXT = 500  # characters
MOST_WHY = 1000  # characters, as of a publication's message
_MOST_VALUE = 200  # characters
_MOST_VALUES = 20
MOST_DEVICES = 20  # certificateIds; the count is of all

COMMAND_LINE, PAGE, BUCKET = "command line", "page", "bucket"

Values: TypeAlias = Mapping[str, str | int | bool | None]


class HistoryKind(StrEnum):
    """The kind of thing that was changed."""

    RULES = "rules"
    LIST = "list"
    SIGNER = "signer"
    DEVICE = "device"
    CA = "ca"
    FAILURES = "failures"


class Outcome(StrEnum):
    """How a change ended."""

    BEGUN = "begun"  # it is under way, or was cut off: nobody wrote down how it ended
    DONE = "done"
    FAILED = "failed"  # perhaps after a part of it
    REFUSED = "refused"  # a file uploaded to the bucket: nothing was changed


@dataclass(frozen=True, slots=True)
class Author:
    """The person who changes something, their tool, and how many days that is kept (0: for ever)."""

    by: str
    tool: str
    days: int = 0


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One change. Times are RFC 3339; ``subject`` is the list, CA or rules file that it is about.

    ``id`` is its place: entries stand in its order, which is that of time.
    """

    id: str
    kind: HistoryKind
    command: str
    by: str
    tool: str
    version: str
    outcome: Outcome
    subject: str | None = None
    why: str | None = None
    before: Values = field(default_factory=dict)
    after: Values = field(default_factory=dict)
    devices: tuple[str, ...] = ()
    device_count: int = 0
    problem: str | None = None
    ended_at: str | None = None
    expires_at: int | None = None  # epoch seconds

    @property
    def at(self) -> str:
        """When it was begun."""
        return self.id.partition("#")[0]

    def with_devices(self, certificate_ids: Iterable[str]) -> "HistoryEntry":
        """Return the same about these devices, of which the first are named."""
        ids = tuple(certificate_ids)
        return replace(self, devices=ids[:MOST_DEVICES], device_count=len(ids))

    def begun(self) -> "HistoryEntry":
        """Return it as it is written before what it tells of is done."""
        return replace(self, outcome=Outcome.BEGUN, ended_at=None)

    def done(self, at: str, **after: str | int | bool | None) -> "HistoryEntry":
        """Return it as it is written once all of it is done; ``after`` adds to what is so now."""
        return replace(self, outcome=Outcome.DONE, ended_at=at, after=_bounded({**self.after, **after}))

    def failed(self, at: str, problem: str) -> "HistoryEntry":
        """Return it as it is written where it went wrong, perhaps after a part of it."""
        return replace(self, outcome=Outcome.FAILED, ended_at=at, problem=_text(problem))

    def refused(self, problem: str) -> "HistoryEntry":
        """Return it as it is written where nothing was changed because of what is wrong with a file."""
        return replace(self, outcome=Outcome.REFUSED, problem=_text(problem))

    def to_json(self) -> dict[str, Any]:
        """Return it as ``jitr history --json`` prints it."""
        return {
            "id": self.id,
            "at": self.at,
            "ended_at": self.ended_at,
            "kind": self.kind.value,
            "command": self.command,
            "subject": self.subject,
            "devices": list(self.devices),
            "device_count": self.device_count,
            "by": self.by,
            "tool": self.tool,
            "version": self.version,
            "why": self.why,
            "before": dict(self.before),
            "after": dict(self.after),
            "outcome": self.outcome.value,
            "problem": self.problem,
        }

    def to_item(self) -> dict[str, Any]:
        """Return its attributes as they are stored, without those that are empty."""
        plain = self.to_json() | {"expires_at": self.expires_at, "format": FORMAT}
        return {name: value for name, value in plain.items() if value not in (None, [], {}) and name not in _IN_KEY}

    @classmethod
    def from_item(cls, item: Mapping[str, Any]) -> "HistoryEntry":
        """Read what ``to_item`` wrote; the id is the item's sort key."""
        return cls(
            id=item["sk"],
            kind=HistoryKind(item["kind"]),
            command=item["command"],
            by=item["by"],
            tool=item["tool"],
            version=item["version"],
            outcome=Outcome(item["outcome"]),
            subject=item.get("subject"),
            why=item.get("why"),
            before=item.get("before", {}),
            after=item.get("after", {}),
            devices=tuple(item.get("devices", ())),
            device_count=int(item.get("device_count", 0)),
            problem=item.get("problem"),
            ended_at=item.get("ended_at"),
            expires_at=item.get("expires_at"),
        )


_IN_KEY = frozenset({"id", "at"})


class ChangeDetails(TypedDict, total=False):
    """What there may be to tell of a change: what was changed, why, its values before and after, and whose devices."""

    subject: str | None
    why: str | None
    before: Values | None
    after: Values | None
    devices: Iterable[str]


def entry(
    author: Author,
    at: datetime,
    token: str,
    kind: HistoryKind,
    command: str,
    **told: Unpack[ChangeDetails],
) -> HistoryEntry:
    """Return a change that is done. ``token`` is a word that was never said before, or says which change it is."""
    subject, why = told.get("subject"), told.get("why")
    made = HistoryEntry(
        id=f"{place(at)}#{token}",
        kind=kind,
        command=_text(command),
        by=_text(author.by),
        tool=author.tool,
        version=__version__,
        outcome=Outcome.DONE,
        subject=None if subject is None else _text(subject, _MOST_VALUE),
        why=_text(why, MOST_WHY) if why else None,
        before=_bounded(told.get("before") or {}),
        after=_bounded(told.get("after") or {}),
        ended_at=place(at),
        expires_at=int((at + timedelta(days=author.days)).timestamp()) if author.days else None,
    )
    return made.with_devices(told.get("devices", ()))


def place(at: datetime) -> str:
    """Return a time as ids begin with it: always with as many digits, so that the order of texts is that of time."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"


def read_place(text: str) -> str:
    """Return an entry's id that stands in an address. Raises InputError for what cannot be one."""
    at, _, token = text.partition("#")
    try:
        fits = place(parse_time(at)) == at and 0 < len(token) <= _MOST_VALUE
    except ValueError:
        fits = False
    if not fits:
        raise InputError("the page's address is damaged: begin with its first page")
    return text


def _bounded(values: Values) -> Values:
    some = list(values.items())[:_MOST_VALUES]
    return {
        _text(name, _MOST_VALUE): _text(value, _MOST_VALUE) if isinstance(value, str) else value for name, value in some
    }


def _text(text: str, most: int = MOST_TEXT) -> str:
    """Return a text as it is kept. Half characters, as names of files may have, are written out: no item takes them."""
    return cut(text.encode("utf-8", "backslashreplace").decode(), most, "…")
