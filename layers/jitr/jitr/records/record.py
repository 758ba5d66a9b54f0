"""The decision record: what is remembered of one certificate. ``jitr.records.transitions`` says what moves it."""

import json
from collections.abc import Mapping
from dataclasses import field, replace
from datetime import datetime, timedelta
from typing import Any

from jitr.decision.decide import OperatorWord
from jitr.reasons import Verdict
from jitr.records.heads import Heads
from jitr.times import parse_time, rfc3339
from jitr.values import dataclass

FORMAT = 1

APPLYING, APPLIED = "applying", "applied"

# Longer than a function runs (its timeout is 30 s): whoever began to apply a decision before that is gone.
APPLYING_AT_MOST = timedelta(seconds=60)
# Knocks of held devices are counted at most this often, so the count is approximate.
COUNT_AGAIN = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Record:
    """The decision in force on one certificate, and what it rests on."""

    certificate_id: str
    ca_certificate_id: str
    decision: Verdict
    state: str
    decided_at: datetime
    knocked_at: datetime
    since: datetime  # when the device first got this verdict in a row
    digest: str | None = None
    meaning: str | None = None
    editions: Mapping[str, str] = field(default_factory=dict)
    rule: str | None = None
    at: str | None = None
    reasons: tuple[Mapping[str, str], ...] = ()
    near_misses: tuple[Mapping[str, Any], ...] = ()
    grant: Mapping[str, Any] | None = None
    facts: Mapping[str, Any] | None = None  # None: the certificate could not be read
    due: datetime | None = None
    reservation: str | None = None  # key of the reservation that the certificate holds
    predecessors: tuple[str, ...] = ()  # certificates that it replaces once it is ACTIVE
    delivery: str | None = None  # the message whose delivery is applying the decision
    attached: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # what unfinished attempts may have attached
    refused: Mapping[str, Any] | None = None  # the attempt that a guard or AWS IoT refused
    stays_pending: bool = False  # rejected, but AWS IoT refused the new status
    withdrawn: bool = False  # we made it ACTIVE and took that back: INACTIVE is our doing, and ACTIVE while applying
    word: Mapping[str, Any] | None = None  # an operator's word about this device, see OperatorWord
    reopened: Mapping[str, str] | None = None  # an operator's wish to decide a rejected device again: by, at
    described_at: datetime | None = None
    knocks: int = 1
    counted_at: datetime | None = None  # the last knock that was counted
    first_knock_at: datetime | None = None  # the first; None in records of before it was kept
    told: Mapping[str, Any] | None = None  # the verdict and its weightiest reason that others were told last
    telling: str | None = None  # in the one write that others are told of: see jitr.records.notices
    hints: tuple[str, ...] = ()  # what a held device is found by in the table, see jitr.records.held
    search_keys: tuple[str, ...] = ()  # by which it is searched in the table, see jitr.records.search
    revision: int = 0  # of the item: what a conditional write is conditional on

    def to_json(self) -> dict[str, Any]:
        """Return it as it is stored and shown; absent values are left out."""
        plain: dict[str, Any] = {
            "format": FORMAT,
            "certificate_id": self.certificate_id,
            "ca_certificate_id": self.ca_certificate_id,
            "decision": self.decision.value,
            "state": self.state,
            "decided_at": rfc3339(self.decided_at),
            "knocked_at": rfc3339(self.knocked_at),
            "since": rfc3339(self.since),
            "digest": self.digest,
            "meaning": self.meaning,
            "editions": dict(self.editions),
            "rule": self.rule,
            "at": self.at,
            "reasons": [dict(each) for each in self.reasons],
            "near_misses": [dict(each) for each in self.near_misses],
            "grant": self.grant,
            "facts": self.facts,
            "due": _text(self.due),
            "reservation": self.reservation,
            "predecessors": list(self.predecessors),
            "delivery": self.delivery,
            "attached": {kind: list(names) for kind, names in self.attached.items()},
            "refused": self.refused,
            "stays_pending": self.stays_pending,
            "withdrawn": self.withdrawn or None,
            "word": self.word,
            "reopened": self.reopened,
            "described_at": _text(self.described_at),
            "knocks": self.knocks,
            "counted_at": _text(self.counted_at),
            "first_knock_at": _text(self.first_knock_at),
            # Once it is carried out, what was told last is what stands in the record.
            "told": self.told if self.state == APPLYING else None,
            "telling": self.telling,
            "hints": list(self.hints),
            "search_keys": list(self.search_keys) or None,
            "revision": self.revision,
        }
        return {name: value for name, value in plain.items() if value is not None}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Record":
        """Read back what ``to_json`` wrote. Raises ValueError for a format this code does not know."""
        if int(data["format"]) != FORMAT:
            raise ValueError(f"a decision record of format {data['format']}; this version reads {FORMAT}")
        read = cls(
            certificate_id=data["certificate_id"],
            ca_certificate_id=data["ca_certificate_id"],
            decision=Verdict(data["decision"]),
            state=data["state"],
            decided_at=parse_time(data["decided_at"]),
            knocked_at=parse_time(data["knocked_at"]),
            since=parse_time(data["since"]),
            digest=data.get("digest"),
            meaning=data.get("meaning"),
            editions=data["editions"],
            rule=data.get("rule"),
            at=data.get("at"),
            reasons=tuple(data["reasons"]),
            near_misses=tuple(data["near_misses"]),
            grant=data.get("grant"),
            facts=data.get("facts"),
            due=_time(data.get("due")),
            reservation=data.get("reservation"),
            predecessors=tuple(data["predecessors"]),
            delivery=data.get("delivery"),
            attached={kind: tuple(names) for kind, names in data.get("attached", {}).items()},
            refused=data.get("refused"),
            stays_pending=data["stays_pending"],
            withdrawn=data.get("withdrawn", False),
            word=data.get("word"),
            reopened=data.get("reopened"),
            described_at=_time(data.get("described_at")),
            knocks=int(data["knocks"]),
            counted_at=_time(data.get("counted_at")),
            first_knock_at=_time(data.get("first_knock_at")),
            told=data.get("told"),
            hints=tuple(data.get("hints", ())),
            search_keys=tuple(data.get("search_keys", ())),
            revision=int(data["revision"]),
        )
        return replace(read, told=read.in_a_word) if read.state == APPLIED else read

    @classmethod
    def glanced(cls, data: Mapping[str, Any]) -> "Record":
        """Read a part of ``to_json``: enough for ``remember``, nothing to decide from or to write back.

        Raises ValueError as ``from_json`` does.
        """
        return cls.from_json({"reasons": (), "near_misses": (), "predecessors": ()} | dict(data))

    @property
    def in_a_word(self) -> Mapping[str, Any]:
        """The verdict and its weightiest reason: where one of them is another, others are told."""
        return {"decision": self.decision.value, "reason": self.reasons[0]["code"] if self.reasons else None}

    def as_told(self) -> "Record":
        """Return it as it is written: marked, if what was carried out is not what others were told last."""
        now = self.in_a_word
        if self.state != APPLIED or now == self.told:
            return replace(self, telling=None)
        telling = json.dumps({"revision": self.revision, "before": self.told}, default=dict)
        return replace(self, told=now, telling=telling)

    @property
    def operator_word(self) -> OperatorWord | None:
        """The operator's word on this device, if there is one."""
        return None if self.word is None else OperatorWord.from_json(self.word)

    @property
    def waiting(self) -> bool:
        """Whether the certificate stays pending on our word: held, or rejected where AWS IoT refused the status."""
        return self.state == APPLIED and (self.decision is Verdict.HOLD or self.stays_pending)

    def applying_at(self, now: datetime) -> bool:
        """Return whether a delivery may be applying the decision at this moment."""
        return self.state == APPLYING and now < self.decided_at + APPLYING_AT_MOST

    def due_at(self, now: datetime) -> bool:
        """Return whether a waiting device is decided again whatever was edited."""
        return self.due is not None and now >= self.due

    def unchanged(self, heads: Heads) -> bool:
        """Return whether the rules and the lists that the decision rests on are still those in force."""
        return self.meaning == heads.meaning and all(
            heads.edition(name) == edition for name, edition in self.editions.items()
        )


def knock_interval(record: Record) -> timedelta | None:
    """Return about how long the device waits between its knocks; None where it did not knock twice.

    Knocks are counted at most once in ``COUNT_AGAIN``: a device that knocks more often seems to knock that often.
    """
    first = record.first_knock_at or record.since
    if record.knocks < 2 or record.counted_at is None or record.counted_at <= first:
        return None
    return (record.counted_at - first) / (record.knocks - 1)


def _text(time: datetime | None) -> str | None:
    return None if time is None else rfc3339(time)


def _time(text: str | None) -> datetime | None:
    return None if text is None else parse_time(text)


def common_name(record: Record) -> str:
    """Return what a person knows the device by; empty where it has no name or could not be read."""
    if record.facts is None:
        return ""
    subject = record.facts["subject"]  # of thousands of devices nothing else is read
    return ", ".join(each["value"] for each in subject if each["name"] == "common_name")
