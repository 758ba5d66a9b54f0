"""Notices: what others are told on the event bus, made from items of the table as its stream brings them.

One for each change of a verdict or of its weightiest reason, of a device's status by hand, and of what operators
changed. Texts come from certificates, files and people: they are cut until the whole is small, and never steer what a
notice says. A notice made again from the same item is the same.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Literal, TypedDict

from jitr.facts import CertificateFacts
from jitr.reasons import Verdict
from jitr.records.history import HistoryEntry, HistoryKind, Outcome
from jitr.records.record import Record
from jitr.text import cut
from jitr.values import dataclass

SOURCE: Final = "jitr"
SCHEMA: Final = 1
# Whoever subscribes may count on it. EventBridge takes 256 KB.
MOST_BYTES: Final = 8 * 1024

# How many characters of each text, and of how many things, are kept; the first that makes a notice small enough.
_LIMITS: Final = ((500, 10), (200, 5), (80, 3), (20, 1))


class NoticeMetadata(TypedDict):
    """The envelope of every notice. ``id`` is the same when it is told again; ``correlation`` names its subject."""

    schema: int
    id: str
    stack: str
    at: str
    correlation: str


class ToldVerdict(TypedDict):
    """A verdict and its weightiest reason, as they were told before."""

    decision: str
    reason: str | None


class ToldReason(TypedDict):
    """One reason of a decision."""

    code: str
    message: str


class ToldNearMiss(TypedDict):
    """A rule that nearly matched, and what did not."""

    rule: str
    failed: list[str]


class ToldWord(TypedDict):
    """An operator's word on the device."""

    decision: str
    by: str
    at: str
    rule: str | None
    message: str | None


class ToldDevice(TypedDict):
    """A device: what its certificate says, where it could be read."""

    certificate_id: str
    ca_certificate_id: str | None
    common_name: str | None
    serial_number: str | None
    public_key_sha256: str | None
    thing: str | None


class DecisionData(ToldDevice):
    """A decision on a device. ``reason`` is the code of the first of ``reasons``, which is the weightiest."""

    decision: Literal["admit", "hold", "reject"]
    before: ToldVerdict | None
    decided_at: str
    rule: str | None
    reason: str | None
    reasons: list[ToldReason]
    near_misses: list[ToldNearMiss]
    word: ToldWord | None


class StatusData(TypedDict):
    """An operator's change of a certificate's status."""

    certificate_id: str
    status: str
    status_before: str
    by: str
    why: str | None
    overruled: list[str]


class ChangeData(TypedDict):
    """An operator's change, as the history has it."""

    id: str
    kind: Literal["rules", "list", "signer", "device", "ca", "failures"]
    command: str
    subject: str | None
    by: str
    tool: str
    why: str | None
    before: dict[str, str | int | bool | None]
    after: dict[str, str | int | bool | None]
    outcome: Literal["begun", "done", "failed", "refused"]
    problem: str | None


NoticeData = DecisionData | StatusData | ChangeData


class NoticeDetail(TypedDict):
    """The ``detail`` of an event."""

    metadata: NoticeMetadata
    data: NoticeData


_DECIDED: Final = {
    Verdict.ADMIT: "Device Admitted",
    Verdict.HOLD: "Device Held",
    Verdict.REJECT: "Device Rejected",
}
_STATUS: Final = {"ACTIVE": "Device Activated", "INACTIVE": "Device Deactivated", "REVOKED": "Device Deactivated"}
_CHANGED: Final = {
    HistoryKind.RULES: "Rules Published",
    HistoryKind.LIST: "List Changed",
    HistoryKind.SIGNER: "Signer Changed",
    HistoryKind.CA: "CA Changed",
}
REGISTERED: Final = "Device Registered"
REFUSED: Final = "Upload Refused"

# Every detail type, and what its data are.
DETAIL_TYPES: Final[Mapping[str, type[Any]]] = {
    **dict.fromkeys(_DECIDED.values(), DecisionData),
    **dict.fromkeys([REGISTERED, *_STATUS.values()], StatusData),
    **dict.fromkeys([*_CHANGED.values(), REFUSED], ChangeData),
}


@dataclass(frozen=True, slots=True)
class NoticeOrigin:
    """The stack that a notice comes from."""

    stack: str
    partition: str
    region: str
    account_id: str

    def arn(self, kind: str, name: str) -> str:
        """Return the ARN of a certificate or a thing of AWS IoT."""
        return f"arn:{self.partition}:iot:{self.region}:{self.account_id}:{kind}/{name}"


@dataclass(frozen=True, slots=True)
class Notice:
    """One event. ``about`` is the partition of the table that it is from: notices about it are told in order."""

    detail_type: str
    resources: tuple[str, ...]
    detail: NoticeDetail
    about: str

    def entry(self, bus: str) -> dict[str, Any]:
        """Return it as PutEvents takes it."""
        return {
            "EventBusName": bus,
            "Source": SOURCE,
            "DetailType": self.detail_type,
            "Resources": list(self.resources),
            "Detail": _json(self.detail),
        }


def notice_of(item: Mapping[str, Any], origin: NoticeOrigin) -> Notice | None:
    """Return what is to be told of an item as it was written; None where that is nothing.

    Raises KeyError, TypeError or ValueError for what is no item of ours.
    """
    if item["pk"] == "HISTORY":
        return _of_change(HistoryEntry.from_item(item), origin)
    if item["sk"] == "BY_HAND":
        return _of_status(item, origin)
    if item["sk"] == "DECISION":
        return _of_decision(item, origin)
    return None


def telling_of(item: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the mark of a write of a record that others are told of; None of any other write.

    A mark with an earlier revision was left by an earlier write, which was told.
    """
    telling: Mapping[str, Any] | None = json.loads(item["telling"]) if "telling" in item else None
    return None if telling is None or telling["revision"] != item["revision"] else telling


def _of_decision(item: Mapping[str, Any], origin: NoticeOrigin) -> Notice | None:
    telling = telling_of(item)
    if telling is None:
        return None
    record = Record.from_json(item)
    thing = (record.grant or {}).get("thing")
    facts = None if record.facts is None else CertificateFacts.from_json(record.facts)
    word = record.operator_word

    def data(most: int, count: int) -> DecisionData:
        names = () if facts is None else facts.values("common_name")
        return {
            "certificate_id": record.certificate_id,
            "ca_certificate_id": record.ca_certificate_id,
            "common_name": _short(", ".join(names[:count]) or None, most),
            "serial_number": None if facts is None else _short(facts.serial_number, 80),
            "public_key_sha256": None if facts is None else facts.public_key_sha256,
            "thing": thing,
            "decision": record.decision.value,
            "before": telling["before"],
            "decided_at": str(item["decided_at"]),
            "rule": record.rule,
            "reason": record.in_a_word["reason"],
            "reasons": [
                {"code": each["code"], "message": cut(each["message"], most, "…")} for each in record.reasons[:count]
            ],
            "near_misses": [
                {
                    "rule": each["rule"],
                    "failed": [cut(failed["message"], most, "…") for failed in each["failed"][:count]],
                }
                for each in record.near_misses[:count]
            ],
            "word": None
            if word is None
            else {
                "decision": word.verdict.value,
                "by": cut(word.by, most, "…"),
                "at": word.at,
                "rule": word.rule,
                "message": _short(word.message, most),
            },
        }

    resources = [origin.arn("cert", record.certificate_id), *([origin.arn("thing", thing)] if thing else [])]
    event_id = f"{record.certificate_id}#{record.revision}"
    detail_type = _DECIDED[record.decision]
    return _notice(detail_type, resources, data, origin, event_id, str(item["decided_at"]), item, record.certificate_id)


def _of_status(item: Mapping[str, Any], origin: NoticeOrigin) -> Notice:
    certificate_id, act = str(item["pk"]).partition("#")[2], item["acts"][-1]
    registered = act["status_before"] == "NOT_REGISTERED"

    def data(most: int, count: int) -> StatusData:
        return {
            "certificate_id": certificate_id,
            "status": act["status"],
            "status_before": act["status_before"],
            "by": cut(act["by"], most, "…"),
            "why": _short(act.get("message"), most),
            "overruled": list(act.get("overruled", ()))[:count],
        }

    detail_type = REGISTERED if registered else _STATUS[act["status"]]
    event_id = f"{certificate_id}#by-hand#{item['revision']}"
    return _notice(
        detail_type, [origin.arn("cert", certificate_id)], data, origin, event_id, act["at"], item, certificate_id
    )


def is_told(entry: HistoryEntry) -> bool:
    """Return whether others are told of a change: one that has ended, and is not of a device or of failures."""
    return _type_of(entry) is not None


def _type_of(entry: HistoryEntry) -> str | None:
    if entry.outcome is Outcome.BEGUN:
        return None
    return REFUSED if entry.outcome is Outcome.REFUSED else _CHANGED.get(entry.kind)


def _of_change(entry: HistoryEntry, origin: NoticeOrigin) -> Notice | None:
    detail_type = _type_of(entry)
    if detail_type is None:
        return None

    def data(most: int, count: int) -> ChangeData:
        def some(values: Mapping[str, Any]) -> dict[str, Any]:
            return {
                cut(name, most, "…"): cut(value, most, "…") if isinstance(value, str) else value
                for name, value in list(values.items())[: 2 * count]
            }

        return {
            "id": entry.id,
            "kind": entry.kind.value,
            "command": cut(entry.command, most, "…"),
            "subject": _short(entry.subject, most),
            "by": cut(entry.by, most, "…"),
            "tool": entry.tool,
            "why": _short(entry.why, most),
            "before": some(entry.before),
            "after": some(entry.after),
            "outcome": entry.outcome.value,
            "problem": _short(entry.problem, most),
        }

    resources = [origin.arn("cacert", entry.subject)] if entry.kind is HistoryKind.CA and entry.subject else []
    at = entry.ended_at or entry.at
    return _notice(detail_type, resources, data, origin, f"history#{entry.id}", at, {"pk": "HISTORY"}, entry.id)


def _notice(
    detail_type: str,
    resources: Iterable[str],
    data: Callable[[int, int], NoticeData],
    origin: NoticeOrigin,
    event_id: str,
    at: str,
    item: Mapping[str, Any],
    correlation: str,
) -> Notice:
    """Make a notice, with as much of its texts as fits."""
    metadata: NoticeMetadata = {
        "schema": SCHEMA,
        "id": event_id,
        "stack": origin.stack,
        "at": at,
        "correlation": correlation,
    }
    for most, count in _LIMITS:
        notice = Notice(detail_type, tuple(resources), {"metadata": metadata, "data": data(most, count)}, item["pk"])
        if size(notice) <= MOST_BYTES:
            break
    return notice


def size(notice: Notice) -> int:
    """Return how many bytes EventBridge counts of a notice.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevents.html
    """
    texts: Sequence[str] = (SOURCE, notice.detail_type, _json(notice.detail), *notice.resources)
    return sum(len(each.encode()) for each in texts)


def _json(detail: NoticeDetail) -> str:
    return json.dumps(detail, ensure_ascii=False, separators=(",", ":"))


def _short(text: str | None, most: int) -> str | None:
    return None if text is None else cut(text, most, "…")
