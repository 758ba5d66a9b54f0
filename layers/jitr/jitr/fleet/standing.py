"""How a device stands today: its record, its certificate's status, and what would be decided now, held together.

Everybody who is in is in by a rule or by an operator's hand. What is neither, or no longer, is worth telling.
"""

from collections.abc import Iterable
from datetime import datetime
from enum import Enum

from jitr.reasons import Verdict
from jitr.records.by_hand import Act
from jitr.records.record import APPLYING, APPLYING_AT_MOST, Record
from jitr.values import dataclass

ACTIVE = "ACTIVE"
_CUT_OFF = ("INACTIVE", "REVOKED")

# Who was decided so shortly before a check may not stand in AWS IoT's listings as its record says, and is described.
# Clocks may differ by that much, too.
_RECENT = 2 * APPLYING_AT_MOST


class Standing(Enum):
    """What there is to tell of a device."""

    REJECT = "reject"  # ACTIVE, and would be rejected today
    HOLD = "hold"  # ACTIVE, and would be held today
    UNKNOWN = "unknown"  # ACTIVE, and neither a rule nor one of our commands let it in
    GONE = "gone"  # admitted, and AWS IoT holds no such certificate
    CHANGED = "changed"  # another hand set its status
    DRIFT = "drift"  # ACTIVE, and AWS IoT has something else than it was granted


@dataclass(frozen=True, slots=True)
class ByHand:
    """What operators' commands made of a certificate's status last; nothing where they never touched it."""

    status: str | None = None
    overruled: bool = False  # although the rules denied it, and the operator said why

    @property
    def let_in(self) -> bool:
        """Whether a command made it ACTIVE last."""
        return self.status == ACTIVE

    @property
    def cut_off(self) -> bool:
        """Whether a command took it out last."""
        return self.status in _CUT_OFF


def by_hand(acts: Iterable[Act]) -> ByHand:
    """Return what operators made of a certificate last, from all that they did to it, the latest last.

    What left the status as it was (a grant that was given again) changes nothing about who let the device in; but
    whoever said that it is to stay cut off cut it off.
    """
    told = [each for each in acts if each.status != each.status_before or each.status != ACTIVE]
    return ByHand(told[-1].status, bool(told[-1].overruled)) if told else ByHand()


def is_settling(record: Record, started: datetime) -> bool:
    """Return whether a device is being decided, or was since a check began: it is left alone."""
    return record.state == APPLYING or record.decided_at >= started


def is_recent(record: Record, started: datetime) -> bool:
    """Return whether a listing that a check began with may not show yet what was decided on a device."""
    return record.decided_at > started - _RECENT


def as_listed(record: Record, status: str | None, started: datetime) -> bool:
    """Return whether a status may be believed that a listing shows which began then.

    It may be behind where a device was decided shortly before, and shows it otherwise; or does not show it at all.
    """
    as_decided = (record.decision is Verdict.ADMIT) == (status == ACTIVE)
    return status is not None and (as_decided or not is_recent(record, started))


def against_status(record: Record, status: str | None, hand: ByHand, *, replaced: bool) -> Standing | None:
    """Return what there is to tell of a certificate's status, given its record; None where all is as it should be.

    ``status`` is None where AWS IoT holds no such certificate. ``replaced`` says that another certificate took its
    place (``renewal: replace``).
    """
    if record.decision is not Verdict.ADMIT:
        return Standing.CHANGED if status == ACTIVE and not hand.let_in else None
    if status == ACTIVE:
        return None
    if status is None:
        return Standing.GONE
    return None if status in _CUT_OFF and (hand.cut_off or replaced) else Standing.CHANGED


def against_today(admitted: bool, verdict: Verdict, hand: ByHand) -> Standing | None:
    """Return what there is to tell of an ACTIVE device, given what would be decided now.

    A device that the rules denied is in at an operator's word, who said why. One that no rule ever admitted
    (``admitted`` is false) and that an operator let in would be held, as ever: only a rejection is news.
    """
    if verdict is Verdict.ADMIT or (hand.let_in and hand.overruled):
        return None
    if verdict is Verdict.REJECT:
        return Standing.REJECT
    return None if hand.let_in and not admitted else Standing.HOLD


# What is wrong with a revocation list or a responder says nothing of the device.
_NOT_OF_THE_DEVICE = frozenset(
    {"revocation.unusable", "revocation.unavailable", "revocation.stale", "revocation.no-partition"}
)


def says_nothing_of_the_device(codes: Iterable[str]) -> bool:
    """Return whether a device would be held only because a revocation list or a responder could not be used.

    Nor does it say anything of a device that the rules name no partition of its CA's list that is the device's.
    """
    found = set(codes)
    return bool(found) and found <= _NOT_OF_THE_DEVICE
