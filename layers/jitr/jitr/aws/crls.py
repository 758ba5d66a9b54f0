"""Revocation lists, fetched once for all devices of a CA and kept: indexed, verified, and for a bounded time.

A list is fetched anew every ten minutes, and before it runs out. Where that fails, or gives what cannot be used, the
one at hand counts for as long as it is fresh, and the failure is counted and logged; one that is older than the one at
hand is not gone back to. A delta list is kept as any other. One that follows a later list than the one at hand, which
then has just been published, has that one fetched at once.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from jitr.aws.crl_sources import Fetched
from jitr.aws.web import NotFetched
from jitr.decision.revocation import crls_of
from jitr.decision.revocation_lists import revocation_in
from jitr.errors import UnusableCrl
from jitr.facts import Knock, Revocation
from jitr.rules.model import Crl, Rules
from jitr.values import dataclass
from jitr.x509.certificate import CaReading
from jitr.x509.crl import CrlReading, read_crl, read_delta, why_not_after, why_not_by

if TYPE_CHECKING:
    from jitr.aws.telemetry import Telemetry

# How long a list is used without asking for a newer one. Devices held by a list are due just after
# (jitr.decision.decide).
REFRESH = timedelta(minutes=10)
# Before a list runs out, and after a failure, it is asked for this often.
LEAD, RETRY = timedelta(minutes=5), timedelta(minutes=1)

# All lists kept together. An index takes three times the list's size: this is half the memory of the function.
MOST_OCTETS = 64 * 1024 * 1024
_MOST_LISTS = 256


class CrlFetcher(Protocol):
    """A source of revocation lists."""

    def fetch(self, url: str, tag: str | None = None, *, private_network: bool = False) -> Fetched:
        """Fetch the list's bytes. Raises NotFetched."""
        ...


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a list is, and what it has to be: the same address may be allowed to be what another may not."""

    url: str
    private_network: bool
    is_delta: bool
    ca: str  # SHA-256 of its certificate


@dataclass(frozen=True, slots=True)
class _Kept:
    """The state of one list: ``crl`` if it can be used, and the problem with the last one fetched."""

    asked_at: datetime
    next_at: datetime
    crl: CrlReading | None = None
    octets: int = 0
    tag: str | None = None
    problem: str | None = None
    failure: str | None = None


class Crls:
    """The revocation lists that the rules name, by address and CA."""

    def __init__(self, source: CrlFetcher, telemetry: "Telemetry | None" = None) -> None:
        self._source = source
        self._telemetry = telemetry
        self._kept: dict[_Place, _Kept] = {}  # the last one used stands last

    def of(
        self, knock: Knock, rules: Rules, ca: CaReading | None, now: datetime, in_time: Callable[[], None] | None = None
    ) -> dict[str, Revocation]:
        """Return what every list that counts for a device says of it, by the list's key; nothing if its CA is gone.

        ``in_time`` is called before anything is fetched, and may raise.
        """
        if ca is None:
            return {}
        asking = _Asking(ca, now, in_time)
        return {crl.key: _said(*self._lists(crl, asking), knock, crl) for crl in crls_of(knock, rules)}

    def list_of(self, configured: Crl, ca: CaReading, now: datetime) -> CrlReading:
        """Return the list itself, verified, with its delta list. Raises UnusableCrl if no usable one is to be had."""
        complete, delta = self._lists(configured, _Asking(ca, now, None))
        if complete.crl is None:
            raise UnusableCrl(f"{configured.url}: {complete.problem or complete.failure}")
        if delta is None:
            return complete.crl
        crl, why_not = _brought_up_to_date(complete.crl, delta, configured)
        if why_not is not None:
            raise UnusableCrl(f"{configured.url}: {why_not}")
        return crl

    def _lists(self, configured: Crl, asking: "_Asking") -> tuple[_Kept, _Kept | None]:
        """Return the complete list, and the delta list where one is configured and there is a list to use it with."""
        private_network, ca = configured.private_network, asking.ca.certificate_sha256
        place = _Place(configured.url, private_network, is_delta=False, ca=ca)
        complete = self._current(place, asking)
        if configured.delta is None or complete.crl is None:
            return complete, None

        def why_not(delta: CrlReading) -> str | None:
            nonlocal complete
            if _follows_a_later_one(delta, complete.crl):
                complete = self._current(place, asking, sooner=True)
            return None if complete.crl is None else why_not_after(delta, complete.crl)

        delta = self._current(_Place(configured.delta, private_network, is_delta=True, ca=ca), asking, why_not)
        return complete, delta

    def _current(
        self,
        place: _Place,
        asking: "_Asking",
        why_not: Callable[[CrlReading], str | None] | None = None,
        *,
        sooner: bool = False,
    ) -> _Kept:
        """Return a list, fetched anew where it is time to; ``sooner`` is a minute after the last time."""
        kept = self._kept.pop(place, None)
        try:
            if kept is None or asking.now >= (min(kept.asked_at + RETRY, kept.next_at) if sooner else kept.next_at):
                if asking.in_time is not None:
                    asking.in_time()
                kept = self._anew(place, asking, kept, why_not or (lambda _: None))
        finally:
            if kept is not None:
                self._kept[place] = kept
        self._make_room()
        return kept

    def _anew(
        self, place: _Place, asking: "_Asking", before: _Kept | None, why_not: Callable[[CrlReading], str | None]
    ) -> _Kept:
        now = asking.now
        old = replace(before, asked_at=now) if before is not None and before.crl is not None else _Kept(now, now)
        try:
            fetched = self._source.fetch(place.url, old.tag, private_network=place.private_network)
        except NotFetched as failure:
            return self._failed(place, replace(old, failure=str(failure), next_at=now + RETRY), str(failure))
        if fetched.data is None:
            return replace(old, failure=None, next_at=_next(old.crl, now))
        try:
            crl = _verified(fetched.data, asking.ca, is_delta=place.is_delta)
        except UnusableCrl as problem:
            return self._unusable(place, old, str(problem), now)
        if old.crl is not None and crl.this_update < old.crl.this_update:
            told = "the address gives an older list than it gave before"
            return self._failed(place, replace(old, failure=told, next_at=now + RETRY), told)
        unfit = why_not(crl)
        if unfit is not None:
            return self._unusable(place, old, unfit, now)
        return _Kept(now, _next(crl, now), crl, len(fetched.data), fetched.tag)

    def _unusable(self, place: _Place, old: _Kept, problem: str, now: datetime) -> _Kept:
        kept = _Kept(now, now + RETRY, problem=problem)
        if old.crl is not None and now <= old.crl.next_update:
            # Without the tag, so that the next answer is read as well.
            kept = replace(old, tag=None, failure=problem, next_at=now + RETRY)
        return self._failed(place, kept, problem)

    def _failed(self, place: _Place, kept: _Kept, why: str) -> _Kept:
        if self._telemetry is not None:
            self._telemetry.count("CrlFailures")
            self._telemetry.logger.warning("revocation list", extra={"url": place.url, "detail": why})
        return kept

    def _make_room(self) -> None:
        """Forget lists that were not used for longest; never the last one."""
        while len(self._kept) > 1 and (
            len(self._kept) > _MOST_LISTS or sum(each.octets for each in self._kept.values()) > MOST_OCTETS
        ):
            del self._kept[next(iter(self._kept))]


@dataclass(frozen=True, slots=True)
class _Asking:
    """Whose lists are asked for, when, and what is called before anything is fetched."""

    ca: CaReading
    now: datetime
    in_time: Callable[[], None] | None


def _verified(data: bytes, ca: CaReading, *, is_delta: bool) -> CrlReading:
    crl = read_delta(data) if is_delta else read_crl(data)
    problem = why_not_by(crl, ca)
    if problem is not None:
        raise UnusableCrl(problem)
    return replace(crl, signed=b"")  # once verified, what is needed of it is in the index


def _next(crl: CrlReading | None, now: datetime) -> datetime:
    if crl is None or now >= crl.next_update - LEAD:
        return now + RETRY
    return min(now + REFRESH, crl.next_update - LEAD)


def _follows_a_later_one(delta: CrlReading, complete: CrlReading | None) -> bool:
    if complete is None or complete.number is None or delta.base_number is None:
        return False
    return delta.base_number > complete.number


def _brought_up_to_date(complete: CrlReading, delta: _Kept, configured: Crl) -> tuple[CrlReading, str | None]:
    """Return a list with its delta list, or alone and why it is without."""
    if delta.crl is None:
        return complete, f"the delta revocation list {configured.delta}: {delta.problem or delta.failure}"
    why_not = why_not_after(delta.crl, complete)
    return (complete.with_delta(delta.crl), None) if why_not is None else (complete, why_not)


def _said(complete: _Kept, delta: _Kept | None, knock: Knock, configured: Crl) -> Revocation:
    if complete.crl is None:
        return Revocation(problem=complete.problem, failure=complete.failure)
    crl, why_not = (complete.crl, None) if delta is None else _brought_up_to_date(complete.crl, delta, configured)
    failure = complete.failure or (None if delta is None else delta.failure)
    return replace(revocation_in(crl, knock.certificate, configured, why_not), failure=failure)
