"""The registration event that AWS IoT publishes when a device knocks.

AWS documents its fields, and publishes them in several spellings: numbers as strings, ISO dates, fields nobody
documented. All of them are read; what must be right is who knocks (certificateId), at whose door (awsAccountId) and
on whose word (caCertificateId). AWS IoT Core Developer Guide, "Just-in-time registration".
"""

import json
import re
from datetime import datetime, timedelta
from typing import Any

from jitr.errors import Poison
from jitr.text import cut
from jitr.times import from_epoch_ms, parse_time
from jitr.values import dataclass

_ID = re.compile(r"[0-9a-f]{64}")

# What marks a message of ours; AWS IoT's events have no such key.
_OWN = "decideAgain"

# A time that is further than this from when the message was sent is not believed: whoever made the event up would
# choose which window it falls into.
EVENT_CLOCK_SKEW = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class RegistrationEvent:
    """One knock: the certificate, the CA that AWS IoT says it belongs to, and when.

    Or a message of ours in its place (``own_event``): decided like a knock, and not counted as one.
    """

    certificate_id: str
    ca_certificate_id: str
    knocked_at: datetime
    own: bool = False
    by_itself: bool = False  # the device that it is about may have published it, by Basic Ingest


def parse_event(body: str, *, account_id: str, sent_at: datetime) -> RegistrationEvent:
    """Read the event in a message's body.

    ``sent_at``, when the message reached the queue, stands in for a timestamp that is missing, garbled or not near
    it. Raises Poison for a body that can never be handled, and for one that a device published.
    """
    data = _object(body)
    certificate_id = _identifier(data, "certificateId")
    account = data.get("awsAccountId")
    if not isinstance(account, str | int) or str(account) != account_id:
        raise Poison("event.account", f"the event names account {_told(account)}, and this is {account_id}")
    ca_certificate_id = _identifier(data, "caCertificateId")
    principal = data.get("principal")
    _by_aws_iot(principal, certificate_id, ca_certificate_id)
    return RegistrationEvent(
        certificate_id,
        ca_certificate_id,
        _time(data.get("timestamp"), sent_at),
        own=data.get(_OWN) is True,
        by_itself=isinstance(principal, str) and principal.lower() == certificate_id,
    )


def own_event(certificate_id: str, ca_certificate_id: str, account_id: str, now: datetime) -> str:
    """Make the body of our message that has a device decided again: like the event of a device that knocks now.

    It is marked, so that operators are told how often the device knocks, and not how often we asked.
    """
    event = {
        "certificateId": certificate_id,
        "caCertificateId": ca_certificate_id,
        "timestamp": int(now.timestamp() * 1000),
        "certificateStatus": "PENDING_ACTIVATION",
        "awsAccountId": account_id,
        "certificateRegistrationTimestamp": None,
        _OWN: True,
    }
    return json.dumps(event)


def _object(body: str) -> dict[str, Any]:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Poison("event.not-json", f"the message is not JSON: {_told(body)}") from error
    if not isinstance(data, dict):
        raise Poison("event.not-json", f"the message is JSON, but not an object: {_told(body)}")
    return data


def _identifier(data: dict[str, Any], key: str) -> str:
    value = data.get(key)
    if not isinstance(value, str) or _ID.fullmatch(value.lower()) is None:
        raise Poison("event.certificate-id", f"{key} is {_told(value)}, not 64 hexadecimal digits")
    return value.lower()


def _by_aws_iot(principal: Any, certificate_id: str, ca_certificate_id: str) -> None:
    """Raise Poison for what another device published, by Basic Ingest: AWS IoT's own events have no such principal.

    The topic rule adds what its function ``principal()`` says, which is the publishing device's certificate (AWS IoT
    Core Developer Guide, "Functions"). Nothing says what it is for AWS IoT's own events: it may be the certificate that
    the event is about, or its CA. A device that claims either of itself is ACTIVE already and gains nothing; the
    registrar sees to it that it costs nothing.
    """
    if not isinstance(principal, str) or principal.lower() in (certificate_id, ca_certificate_id):
        return
    if _ID.fullmatch(principal.lower()) is not None:
        raise Poison(
            "event.forged", f"a device published it, with the certificate {principal.lower()}, and not AWS IoT"
        )


def _time(value: Any, sent_at: datetime) -> datetime:
    try:
        if isinstance(value, str) and not value.isdigit():
            time = parse_time(value)
        elif isinstance(value, str | int | float) and not isinstance(value, bool):
            time = from_epoch_ms(int(value))
        else:
            return sent_at
    except (ValueError, OverflowError):
        return sent_at
    return time if abs(time - sent_at) <= EVENT_CLOCK_SKEW else sent_at


def _told(value: Any) -> str:
    """Quote what stood there for logs, short and on one line, with nothing of what could be a key.

    Whoever sends a message of any other kind to the queue by mistake may send a secret.
    """
    before, begins, _ = repr(value).partition("-----BEGIN")
    text = _ENCODED.sub(_withheld, before[:_MOST_LOOKED_AT]) + ("(PEM)" if begins else "")
    return cut(text, 120)


_MOST_LOOKED_AT = 4096
# Longer than any word and shorter than any key in base64 or hexadecimal; an identifier of 64 digits is no secret.
_ENCODED = re.compile(r"[A-Za-z0-9+/=_-]{32,}")


def _withheld(found: re.Match[str]) -> str:
    text = found[0]
    return text if _ID.fullmatch(text.lower()) else f"({len(text)} characters)"
