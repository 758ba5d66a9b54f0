"""The registered CAs, read once and kept: a CA's certificate never changes, its status does."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from jitr.aws.iot import CaDescription, Iot
from jitr.decision.chain import verify_chain
from jitr.errors import Retry, Unreadable
from jitr.facts import CertificateFacts, ChainFacts, Knock
from jitr.values import dataclass
from jitr.x509.certificate import CaReading, CertificateReading, read_ca

# How long a CA's status may be out of date. An operator who deactivates a CA also stops new registrations at once,
# in AWS IoT itself.
STATUS_AGE = timedelta(seconds=60)
_MOST = 256
# Of CAs that no rule names and AWS IoT does not hold, one is looked up in this time; events that name more are made up.
BETWEEN_GUESSES = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class CaLookup:
    """A CA as AWS IoT holds it: the reading; else, of one that cannot be read, why not; neither where it holds none."""

    reading: CaReading | None = None
    problem: str | None = None

    def knock(self, device: CertificateReading, ca_certificate_id: str, aliases: frozenset[str]) -> Knock:
        """Return a device of this CA as it knocks: its certificate, and whether this CA's key signed it."""
        ca = self.reading
        return Knock(
            certificate=device.facts,
            ca_certificate_id=ca_certificate_id,
            ca=None if ca is None else ca.facts,
            chain=None if ca is None else verify_chain(device, ca),
            aliases=aliases,
            ca_problem=self.problem,
        )

    def remembered(self, facts: Mapping[str, Any], aliases: frozenset[str]) -> Knock:
        """Return a device as the facts in its record remember it, under this CA as it is now."""
        ca = self.reading
        return Knock(
            certificate=CertificateFacts.from_json(facts),
            ca_certificate_id=facts["ca_certificate_id"],
            ca=None if ca is None else ca.facts,
            chain=None if ca is None or facts["chain"] is None else ChainFacts.from_json(facts["chain"]),
            aliases=aliases,
            ca_problem=self.problem,
        )


_NONE = CaLookup()


@dataclass(frozen=True, slots=True)
class _Kept:
    ca: CaLookup
    read_at: datetime


class Cas:
    """CAs by caCertificateId, with their status at most a minute old."""

    def __init__(self, iot: Iot) -> None:
        self._iot = iot
        self._kept: dict[str, _Kept] = {}
        self._next_guess: datetime | None = None

    def get(self, ca_certificate_id: str, now: datetime) -> CaLookup:
        """Return the CA of that id."""
        kept = self._kept.get(ca_certificate_id)
        if kept is not None and now - kept.read_at < STATUS_AGE:
            return kept.ca
        found = self._iot.ca(ca_certificate_id)
        if found is None:
            ca = _NONE
        elif kept is not None and (reading := kept.ca.reading) is not None:
            ca = CaLookup(replace(reading, facts=replace(reading.facts, status=found.status)))
        else:
            ca = _read(found, ca_certificate_id)
        if len(self._kept) >= _MOST:
            self._kept.clear()
        self._kept[ca_certificate_id] = _Kept(ca, now)
        return ca

    def is_registered(self, ca_certificate_id: str, now: datetime, *, named: bool) -> bool:
        """Tell whether the account holds a CA; ``named``: the rules in force name it.

        Raises Retry where another that nobody knows was looked up just now: whoever makes up events makes up many.
        """
        kept = self._kept.get(ca_certificate_id)
        if kept is not None and kept.ca != _NONE:
            return True  # or it was deleted since it was looked up, which is found out before anything is decided
        unseen = kept is None
        if unseen and not named and self._next_guess is not None and now < self._next_guess:
            raise Retry("ca", f"no rule names the CA {ca_certificate_id}, and another was looked up just now")
        registered = self.get(ca_certificate_id, now) != _NONE
        if unseen and not named and not registered:
            self._next_guess = now + BETWEEN_GUESSES
        return registered


def _read(found: CaDescription, ca_certificate_id: str) -> CaLookup:
    try:
        return CaLookup(read_ca(found.pem.encode(), ca_certificate_id=ca_certificate_id, status=found.status))
    except Unreadable as problem:
        return CaLookup(problem=str(problem))  # a device without a CA to check against is held
