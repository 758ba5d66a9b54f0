"""Revocation lists, fetched once for all devices of a CA and kept: indexed, verified, and for a bounded time.

A list is fetched anew every ten minutes, and before it runs out. Where that fails, or gives what cannot be used, the
one at hand counts for as long as it is fresh, and the failure is counted and logged; one that is older than the one at
hand is not gone back to.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

from jitr.aws.crl_sources import Fetched
from jitr.aws.telemetry import Telemetry
from jitr.aws.web import NotFetched
from jitr.decision.revocation import crls_of, revocation_in
from jitr.errors import UnusableCrl
from jitr.facts import Knock, Revocation
from jitr.reasons import Verdict
from jitr.rules.model import Crl, Rules
from jitr.values import dataclass
from jitr.x509.certificate import CaReading
from jitr.x509.crl import CrlReading, read_crl, why_not_by

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
class _Kept:
    """The state of one list: ``crl`` if it can be used, and the problem with the last one fetched."""

    next_at: datetime
    crl: CrlReading | None = None
    octets: int = 0
    tag: str | None = None
    problem: str | None = None
    failure: str | None = None


class Crls:
    """The revocation lists that the rules name, by address and CA."""

    def __init__(self, source: CrlFetcher, telemetry: Telemetry | None = None) -> None:
        self._source = source
        self._telemetry = telemetry
        self._kept: dict[tuple[Crl, str], _Kept] = {}  # the last one used stands last

    def of(
        self, knock: Knock, rules: Rules, ca: CaReading | None, now: datetime, in_time: Callable[[], None] | None = None
    ) -> dict[str, Revocation]:
        """Return what every list that counts for a device says of it, by address; nothing if its CA is gone.

        ``in_time`` is called before anything is fetched, and may raise.
        """
        if ca is None:
            return {}
        return {crl.url: _said(self._current(crl, ca, now, in_time), knock, crl.url) for crl in crls_of(knock, rules)}

    def list_of(self, configured: Crl, ca: CaReading, now: datetime) -> CrlReading:
        """Return the list itself, verified. Raises UnusableCrl if no usable list is to be had."""
        kept = self._current(configured, ca, now, None)
        if kept.crl is None:
            raise UnusableCrl(f"{configured.url}: {kept.problem or kept.failure}")
        return kept.crl

    def _current(self, configured: Crl, ca: CaReading, now: datetime, in_time: Callable[[], None] | None) -> _Kept:
        key = (replace(configured, when_stale=Verdict.HOLD), ca.certificate_sha256)
        kept = self._kept.pop(key, None)
        if kept is None or now >= kept.next_at:
            try:
                if in_time is not None:
                    in_time()
                kept = self._anew(configured, ca, kept, now)
            finally:
                if kept is not None:
                    self._kept[key] = kept
            self._make_room()
        else:
            self._kept[key] = kept
        return kept

    def _anew(self, configured: Crl, ca: CaReading, before: _Kept | None, now: datetime) -> _Kept:
        url = configured.url
        old = before if before is not None and before.crl is not None else _Kept(now)
        try:
            fetched = self._source.fetch(url, old.tag, private_network=configured.private_network)
        except NotFetched as failure:
            return self._failed(url, replace(old, failure=str(failure), next_at=now + RETRY), str(failure))
        if fetched.data is None:
            return replace(old, failure=None, next_at=_next(old.crl, now))
        try:
            crl = _verified(fetched.data, ca)
        except UnusableCrl as problem:
            return self._unusable(url, old, str(problem), now)
        if old.crl is not None and crl.this_update < old.crl.this_update:
            told = "the address gives an older list than it gave before"
            return self._failed(url, replace(old, failure=told, next_at=now + RETRY), told)
        return _Kept(_next(crl, now), crl, len(fetched.data), fetched.tag)

    def _unusable(self, url: str, old: _Kept, problem: str, now: datetime) -> _Kept:
        kept = _Kept(now + RETRY, problem=problem)
        if old.crl is not None and now <= old.crl.next_update:
            # Without the tag, so that the next answer is read as well.
            kept = replace(old, tag=None, failure=problem, next_at=now + RETRY)
        return self._failed(url, kept, problem)

    def _failed(self, url: str, kept: _Kept, why: str) -> _Kept:
        if self._telemetry is not None:
            self._telemetry.count("CrlFailures")
            self._telemetry.logger.warning("revocation list", extra={"url": url, "detail": why})
        return kept

    def _make_room(self) -> None:
        """Forget lists that were not used for longest; never the last one."""
        while len(self._kept) > 1 and (
            len(self._kept) > _MOST_LISTS or sum(each.octets for each in self._kept.values()) > MOST_OCTETS
        ):
            del self._kept[next(iter(self._kept))]


def _verified(data: bytes, ca: CaReading) -> CrlReading:
    crl = read_crl(data)
    problem = why_not_by(crl, ca)
    if problem is not None:
        raise UnusableCrl(problem)
    return replace(crl, signed=b"")  # once verified, what is needed of it is in the index


def _next(crl: CrlReading | None, now: datetime) -> datetime:
    if crl is None or now >= crl.next_update - LEAD:
        return now + RETRY
    return min(now + REFRESH, crl.next_update - LEAD)


def _said(kept: _Kept, knock: Knock, url: str) -> Revocation:
    if kept.crl is None:
        return Revocation(problem=kept.problem, failure=kept.failure)
    return replace(revocation_in(kept.crl, knock.certificate, url), failure=kept.failure)
