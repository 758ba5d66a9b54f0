"""OCSP responders asked about devices that nothing else keeps out: paced, within bounds, and not for ever in vain.

A device is asked about behind the queue, where nobody waits in a handshake. What a responder says is kept for as long
as it says, and for ten minutes at most. One that has failed several times in a row is left alone for a minute: devices
are held meanwhile, and nobody waits for it.
"""

import secrets
from collections.abc import Callable, MutableMapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from jitr.aws.web import NotFetched, Web, WebAnswer, WebRequest
from jitr.decision.revocation import ocsps_of
from jitr.errors import UnusableOcsp
from jitr.facts import Knock, OcspAnswer
from jitr.rules.model import Ocsp, Rules
from jitr.values import dataclass
from jitr.x509.certificate import CaReading
from jitr.x509.ocsp import (
    MAX_RESPONSE,
    NONCE_OCTETS,
    REQUEST_TYPE,
    RESPONSE_TYPE,
    OcspQuestion,
    answer_of,
    question_about,
    read_ocsp,
    responder_named,
)

if TYPE_CHECKING:
    from jitr.aws.telemetry import Telemetry

# What the pace (jitr.aws.quotas) knows a question as.
ASK = "AskOcspResponder"

KEEP = timedelta(minutes=10)  # as a revocation list (jitr.aws.crls)
OPEN_AFTER = 3  # failures in a row
LEFT_ALONE = timedelta(minutes=1)

_WHOLE = 4.0  # seconds
_MOST_ANSWERS = 4096
_MOST_RESPONDERS = 256


class Asking(Protocol):
    """How servers are asked."""

    def ask(self, question: WebRequest) -> WebAnswer:
        """Return the answer. Raises NotFetched."""
        ...


@dataclass(frozen=True, slots=True)
class _Trouble:
    """Failures of one responder in a row, and until when it is left alone for them."""

    failures: int = 0
    until: datetime | None = None


class OcspResponders:
    """The responders that the rules name, and what they said of late."""

    def __init__(
        self,
        web: Asking | None = None,
        telemetry: "Telemetry | None" = None,
        *,
        turn: Callable[[str], None] | None = None,
        nonce: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._web: Asking = web or Web()
        self._telemetry = telemetry
        self._turn = turn or (lambda _operation: None)
        self._nonce = nonce
        self._kept: dict[tuple[str, str, str], tuple[datetime, OcspAnswer]] = {}  # until when
        self._trouble: dict[str, _Trouble] = {}  # by address

    def of(
        self,
        knock: Knock,
        rules: Rules,
        ca: CaReading | None,
        now: datetime,
        known: MutableMapping[tuple[str, str], OcspAnswer] | None = None,
    ) -> dict[str, OcspAnswer]:
        """Return what every responder that counts for a device says of it; nothing where its CA is gone.

        ``known`` is what was answered about the message at hand, and is added to: a device that is looked at several
        times in a row is asked about once. Raises Retry where there is no time left to ask.
        """
        if ca is None:
            return {}
        known = {} if known is None else known
        found = {}
        for ocsp in ocsps_of(knock, rules):
            key = ocsp.key, knock.certificate.certificate_sha256
            if key not in known:
                known[key] = self.ask(ocsp, ca, knock.certificate.serial_number, now)
            found[ocsp.key] = known[key]
        return found

    def ask(self, ocsp: Ocsp, ca: CaReading, serial_number: str, now: datetime) -> OcspAnswer:
        """Return what a responder says of a certificate of that CA, from its serial number in hex. Raises Retry."""
        place = ocsp.key, ca.certificate_sha256, serial_number
        until, kept = self._kept.get(place, (now, None))
        if kept is not None and now < until:
            return kept
        trouble = self._trouble.get(ocsp.url, _Trouble())
        if trouble.until is not None and now < trouble.until:
            return OcspAnswer(failure=f"it failed {trouble.failures} times in a row and is left alone for a minute")
        self._turn(ASK)
        answer = replace(self._asked(ocsp, ca, int(serial_number, 16), now), asked_at=now)
        if answer.next_update is not None:
            self._keep(place, min(now + KEEP, answer.next_update), answer)
        return answer

    def _asked(self, ocsp: Ocsp, ca: CaReading, serial_number: int, now: datetime) -> OcspAnswer:
        question = question_about(ca, serial_number, ocsp.hash, self._nonce(NONCE_OCTETS))
        try:
            answer = answer_of(read_ocsp(self._sent(ocsp, question)), question, ca, responder_named(ocsp.responder))
        except NotFetched as failure:
            answer = OcspAnswer(failure=str(failure))
        except UnusableOcsp as error:
            answer = OcspAnswer(failure=str(error)) if error.unavailable else OcspAnswer(problem=str(error))
        self._remember(ocsp, answer.failure or answer.problem, now)
        return answer

    def _sent(self, ocsp: Ocsp, question: OcspQuestion) -> bytes:
        """RFC 6960 appendix A.1. By POST: what a GET may hold is too short for a nonce (RFC 5019 section 5)."""
        headers = {"Content-Type": REQUEST_TYPE, "Accept": RESPONSE_TYPE}
        answer = self._web.ask(
            WebRequest(
                ocsp.url,
                "an OCSP answer",
                "ocsp",
                MAX_RESPONSE,
                _WHOLE,
                ocsp.private_network,
                question.encoded,
                headers,
            )
        )
        given = (answer.content_type or "").partition(";")[0].strip().lower()
        if given != RESPONSE_TYPE:
            raise NotFetched("what answers is no OCSP responder: it does not give application/ocsp-response")
        return answer.body

    def _remember(self, ocsp: Ocsp, why: str | None, now: datetime) -> None:
        before = self._trouble.pop(ocsp.url, _Trouble())
        if why is None:
            return
        failures = before.failures + 1
        opens = failures >= OPEN_AFTER
        self._trouble[ocsp.url] = _Trouble(failures, now + LEFT_ALONE if opens else None)
        if len(self._trouble) > _MOST_RESPONDERS:
            del self._trouble[next(iter(self._trouble))]
        if self._telemetry is not None:
            self._telemetry.count("OcspFailures")
            if opens:
                self._telemetry.count("OcspLeftAlone")
            told = {"url": ocsp.url, "detail": why, "failures": failures, "leftAlone": opens}
            self._telemetry.logger.warning("OCSP responder", extra=told)

    def _keep(self, place: tuple[str, str, str], until: datetime, answer: OcspAnswer) -> None:
        self._kept.pop(place, None)
        self._kept[place] = until, answer
        if len(self._kept) > _MOST_ANSWERS:
            del self._kept[next(iter(self._kept))]
