"""Digests: what people are told of devices that begin to wait, gathered until a mail is due.

One item of the table holds it all, and these functions say what it is after each step. Whoever writes it does so over
the revision that was read, so that two hands never undo each other:

    gathering   the digest that newly held devices are added to
    sending     the digest that is being sent: nothing is added to it, so a mail sent again is the same
    lease_until until when nobody else sends it
    known       kinds of held devices that people were told of

A mail is due as soon as something was gathered and the last one is a period old; or at once, where a device is of a
kind that is not known: another reason, another CA, or another list that it could be on. However many devices come, a
digest has counts and a few examples: at most ``MOST_KINDS`` kinds, and what is beyond is counted together.
"""

from collections.abc import Iterable, Mapping
from dataclasses import field, replace
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from jitr.facts import CertificateFacts
from jitr.reasons import Verdict
from jitr.records.notices import telling_of
from jitr.records.record import Record
from jitr.rules.conditions import not_on
from jitr.text import cut
from jitr.times import parse_time, rfc3339
from jitr.values import dataclass

FORMAT: Final = 1

MOST_KINDS: Final = 20
MOST_EXAMPLES: Final = 3
MOST_NAME: Final = 60  # characters of a device's name
MOST_KNOWN: Final = 200
FORGOTTEN_AFTER: Final = timedelta(days=30)
# Longer than the function runs (60 s): whoever began to send before that is gone.
LEASE: Final = timedelta(seconds=90)


class HeldKind(NamedTuple):
    """Why a device waits, as people deal with it: the weightiest reason, the CA, and the list that it lacks."""

    reason: str
    ca_certificate_id: str
    list: str | None


@dataclass(frozen=True, slots=True)
class NewlyHeld:
    """A device that began to wait. ``name`` is hostile text."""

    certificate_id: str
    revision: int
    kind: HeldKind
    name: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class HeldGroup:
    """The devices of one kind in a digest: how many, between which times, and some of them (id and name)."""

    count: int
    first_at: datetime
    last_at: datetime
    examples: tuple[tuple[str, str | None], ...]


@dataclass(frozen=True, slots=True)
class Digest:
    """One mail, or what will be one. ``others`` counts devices of kinds beyond ``MOST_KINDS``."""

    number: int
    groups: Mapping[HeldKind, HeldGroup] = field(default_factory=dict)
    others: int = 0

    @property
    def count(self) -> int:
        """How many devices it tells of."""
        return self.others + sum(each.count for each in self.groups.values())


@dataclass(frozen=True, slots=True)
class Digests:
    """The item: see the module's docstring. ``attempts`` counts how often ``sending`` was begun to be sent."""

    gathering: Digest = Digest(1)
    urgent: bool = False  # ``gathering`` has a kind that was not known
    sending: Digest | None = None
    attempts: int = 0
    lease_until: datetime | None = None
    sent_at: datetime | None = None
    known: Mapping[HeldKind, datetime] = field(default_factory=dict)
    revision: int = 0

    def noted(self, devices: Iterable[NewlyHeld], now: datetime) -> "Digests":
        """Return it with devices added."""
        groups, others, known = dict(self.gathering.groups), self.gathering.others, dict(self.known)
        urgent = self.urgent
        for each in devices:
            urgent = urgent or each.kind not in known
            known[each.kind] = now
            if each.kind in groups or len(groups) < MOST_KINDS:
                groups[each.kind] = _with(groups.get(each.kind), each)
            else:
                others += 1
        digest = Digest(self.gathering.number, groups, others)
        return replace(self, gathering=digest, urgent=urgent, known=_remembered(known, now))

    def taken(self, now: datetime, period: timedelta) -> "Digests | None":
        """Return it with a digest that this caller is to send; None where none is due, or another caller sends it."""
        if self.sending is not None:
            if self.lease_until is not None and now < self.lease_until:
                return None
            return replace(self, attempts=self.attempts + 1, lease_until=now + LEASE)
        if not self._due(now, period):
            return None
        return replace(
            self,
            gathering=Digest(self.gathering.number + 1),
            urgent=False,
            sending=self.gathering,
            attempts=1,
            lease_until=now + LEASE,
        )

    def sent(self, number: int, now: datetime) -> "Digests | None":
        """Return it after a digest was sent; None where that was written down already."""
        if self.sending is None or self.sending.number != number:
            return None
        return replace(self, sending=None, attempts=0, lease_until=None, sent_at=now)

    def _due(self, now: datetime, period: timedelta) -> bool:
        if not self.gathering.count:
            return False
        return self.urgent or self.sent_at is None or now >= self.sent_at + period

    def to_json(self) -> dict[str, Any]:
        """Return it as it is stored; absent values are left out."""
        plain = {
            "format": FORMAT,
            "gathering": _digest_to_json(self.gathering),
            "urgent": self.urgent,
            "sending": None if self.sending is None else _digest_to_json(self.sending),
            "attempts": self.attempts,
            "lease_until": None if self.lease_until is None else rfc3339(self.lease_until),
            "sent_at": None if self.sent_at is None else rfc3339(self.sent_at),
            "known": [{"kind": list(kind), "at": rfc3339(at)} for kind, at in self.known.items()],
            "revision": self.revision,
        }
        return {name: value for name, value in plain.items() if value is not None}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Digests":
        """Read back what ``to_json`` wrote."""
        return cls(
            gathering=_digest_from_json(data["gathering"]),
            urgent=data["urgent"],
            sending=_digest_from_json(data["sending"]) if "sending" in data else None,
            attempts=data["attempts"],
            lease_until=parse_time(data["lease_until"]) if "lease_until" in data else None,
            sent_at=parse_time(data["sent_at"]) if "sent_at" in data else None,
            known={HeldKind(*each["kind"]): parse_time(each["at"]) for each in data["known"]},
            revision=data["revision"],
        )


def newly_held(item: Mapping[str, Any]) -> NewlyHeld | None:
    """Return the device that an item, as it was written, says began to wait; None where it says nothing of the kind.

    One that waited before, for another reason, is none. Raises KeyError, TypeError or ValueError for what is no item of
    ours.
    """
    if item["sk"] != "DECISION" or item.get("decision") != Verdict.HOLD.value:
        return None
    telling = telling_of(item)
    if telling is None or (telling["before"] or {}).get("decision") == Verdict.HOLD.value:
        return None
    record = Record.from_json(item)
    reason = record.reasons[0]["code"]
    facts = None if record.facts is None else CertificateFacts.from_json(record.facts)
    names = () if facts is None else facts.values("common_name")
    return NewlyHeld(
        record.certificate_id,
        record.revision,
        HeldKind(reason, record.ca_certificate_id, _lacking(record)),
        cut(names[0], MOST_NAME, "…") if names else None,
        record.decided_at,
    )


def _lacking(record: Record) -> str | None:
    """Return the list that a device would only have to be put on to match an allow rule; None where there is none."""
    for miss in record.near_misses:
        if [each["condition"] for each in miss["failed"]] == ["list"]:
            told = miss["failed"][0]["message"].split("; ")
            for name in sorted(record.editions):
                if not_on(name) in told:
                    return name
    return None


def _with(group: HeldGroup | None, device: NewlyHeld) -> HeldGroup:
    example = (device.certificate_id, device.name)
    if group is None:
        return HeldGroup(1, device.at, device.at, (example,))
    return HeldGroup(
        group.count + 1,
        min(group.first_at, device.at),
        max(group.last_at, device.at),
        (*group.examples, example)[:MOST_EXAMPLES],
    )


def _remembered(known: Mapping[HeldKind, datetime], now: datetime) -> dict[HeldKind, datetime]:
    """Return the kinds that stay known: those of the last weeks, the latest where they are too many."""
    latest = sorted(known.items(), key=lambda each: each[1], reverse=True)[:MOST_KNOWN]
    return {kind: at for kind, at in latest if at > now - FORGOTTEN_AFTER}


def _digest_to_json(digest: Digest) -> dict[str, Any]:
    return {
        "number": digest.number,
        "others": digest.others,
        "groups": [
            {
                "kind": list(kind),
                "count": group.count,
                "first_at": rfc3339(group.first_at),
                "last_at": rfc3339(group.last_at),
                "examples": [list(each) for each in group.examples],
            }
            for kind, group in digest.groups.items()
        ],
    }


def _digest_from_json(data: Mapping[str, Any]) -> Digest:
    groups = {
        HeldKind(*each["kind"]): HeldGroup(
            each["count"],
            parse_time(each["first_at"]),
            parse_time(each["last_at"]),
            tuple((certificate_id, name) for certificate_id, name in each["examples"]),
        )
        for each in data["groups"]
    }
    return Digest(data["number"], groups, data["others"])
