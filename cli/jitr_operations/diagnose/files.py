"""What can be told about a device from its files alone: key, certificate, what else is in the certificate's file."""

import http.client
import ssl
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from jitr.decision.chain import verify_chain
from jitr.errors import InputError, Unreadable
from jitr.times import rfc3339, span
from jitr.x509.certificate import CertificateReading, read_ca, read_certificate
from jitr.x509.names import rfc4514
from jitr.x509.pem import find_following
from jitr_operations.diagnose.findings import Findings
from jitr_operations.files import keeper_of, passphrase_from, read_bytes, read_private_key
from jitr_operations.http_date import read_http_date
from jitr_operations.issuing.pki import MIN_RSA_BITS, key_problem

if TYPE_CHECKING:
    from jitr_operations.files import PrivateKey

CLOCK_MAY_DIFFER = timedelta(minutes=5)
_DATE_TIMEOUT = 5.0  # seconds


@dataclass(frozen=True, slots=True)
class Identity:
    """A device's certificate and key. ``following``: further certificates in the file."""

    file: Path
    key_file: Path
    reading: CertificateReading
    following: tuple[bytes, ...]  # DER
    key: "PrivateKey | None"  # None where it stays in hardware
    passphrase: bytes | None
    keeper: str | None = None  # what it stays in

    @property
    def common_name(self) -> str | None:
        """Its name."""
        return next(iter(self.reading.facts.values("common_name")), None)


def read_identity(file: Path, key_file: Path, passphrase_file: Path | None) -> Identity:
    """Read a device's files. Raises InputError for what cannot be read at all."""
    data = read_bytes(file)
    try:
        reading = read_certificate(data)
    except Unreadable as problem:
        raise InputError(f"{file}: {problem}") from None
    asked: list[bytes] = []

    def ask() -> bytes:
        asked.append(passphrase_from(passphrase_file, key_file)())
        return asked[-1]

    keeper = keeper_of(key_file)
    key = None if keeper else read_private_key(key_file, ask)
    try:
        following = find_following(data)
    except Unreadable as problem:
        raise InputError(f"{file}: of what follows the device's certificate, {problem}") from None
    return Identity(file, key_file, reading, following, key, asked[-1] if asked else None, keeper)


def look_at_files(identity: Identity, time: datetime, findings: Findings) -> bool:
    """Note what the files tell; whether a connection can be tried with them."""
    _look_at_validity(identity, time, findings)
    _look_at_kind(identity, findings)
    _look_at_chain(identity, findings)
    return _look_at_pair(identity, findings)


def _look_at_pair(identity: Identity, findings: Findings) -> bool:
    if identity.key is None:
        findings.say(
            "key",
            f"{identity.key_file} names a key that stays in {identity.keeper}, which this command does not use: it "
            "does not tell whether the key belongs to the certificate, and tries no connection",
            "Have the device's own software connect. To see whether the two belong together, compare what `openssl "
            f"pkey -pubout` prints for the key, with the provider of {identity.keeper} loaded, with what `openssl x509 "
            "-noout -pubkey` prints for the certificate.",
        )
        return False
    own = identity.key.public_key()
    try:
        pair = read_ca(identity.reading.der, status="ACTIVE").key == own
    except Unreadable as problem:
        findings.bad(
            "key",
            f"whether {identity.key_file} is the key of {identity.file} cannot be told: {problem}",
            "Have a certificate issued for this key.",
        )
        return False
    if pair:
        findings.good("key", "key and certificate belong together")
        return True
    if any(_has_key(each, own) for each in identity.following):
        findings.bad(
            "chain-order",
            f"the key is that of a later certificate in {identity.file}: the device's own is not the first",
            f"Put the device's certificate first in {identity.file}, its CA's after it (RFC 8446 section 4.4.2).",
        )
    else:
        findings.bad(
            "key",
            f"{identity.key_file} is not the key of {identity.file}",
            "Give the device the key that its certificate was made with, or have a certificate issued for this key.",
        )
    return False


def _has_key(der: bytes, key: object) -> bool:
    try:
        return read_ca(der, status="ACTIVE").key == key
    except Unreadable:  # which the look at the chain tells
        return False


def _look_at_validity(identity: Identity, time: datetime, findings: Findings) -> None:
    facts = identity.reading.facts
    if facts.not_before <= time <= facts.not_after:
        left = span(facts.not_after - time)
        findings.good("validity", f"the certificate is valid until {rfc3339(facts.not_after)} ({left} left)")
    elif time > facts.not_after:
        findings.bad(
            "expired",
            f"the certificate expired at {rfc3339(facts.not_after)}, and it is {rfc3339(time)} by this machine's clock",
            "Issue a new certificate (`jitr device issue`); if that is not the time, set the clock.",
        )
    else:
        findings.bad(
            "not-yet-valid",
            f"the certificate is not valid before {rfc3339(facts.not_before)}, and it is {rfc3339(time)} by this "
            "machine's clock",
            "Wait until then; if that is not the time, set the clock.",
        )


def _look_at_kind(identity: Identity, findings: Findings) -> None:
    facts = identity.reading.facts
    problem = key_problem(facts.key)
    if problem:
        findings.bad(
            "key-kind",
            f"the certificate has {problem}, which AWS IoT refuses",
            f"Issue one with RSA of {MIN_RSA_BITS} bits or more, or EC P-256, P-384 or P-521.",
        )
    usages = facts.extended_key_usage
    if usages is not None and "clientAuth" not in usages:
        findings.bad(
            "client-auth",
            f"the certificate's extended key usage is {', '.join(usages) or 'empty'}, and not for TLS clients",
            "Issue one with extended key usage clientAuth, or without extended key usage.",
        )
    if facts.is_ca:
        findings.bad("is-ca", "the certificate is a CA's", "Give the device a certificate of its own.")


def _look_at_chain(identity: Identity, findings: Findings) -> None:
    """Check that each certificate in the file is signed by the one after it."""
    readings = [identity.reading]
    for der in identity.following:
        try:
            issuer = read_ca(der, status="ACTIVE")
            if not verify_chain(readings[-1], issuer).signature_valid:
                findings.bad(
                    "chain-order",
                    f"certificate {len(readings) + 1} in {identity.file} did not sign the one before it",
                    "Keep the device's certificate first, and after it only the CA that signed it, or nothing.",
                )
                return
            readings.append(read_certificate(der))
        except Unreadable as problem:
            findings.bad(
                "chain",
                f"certificate {len(readings) + 1} in {identity.file} cannot be read: {problem}",
                "Keep the device's certificate first, and after it only the CA that signed it, or nothing.",
            )
            return
    if identity.following:
        message = f"{identity.file} has the device's certificate, and after it its chain ({len(identity.following)})"
        findings.good("chain", message)
    else:
        issuer_name = rfc4514(identity.reading.issuer) or "a CA without a name"
        findings.say("chain", f"{identity.file} has the device's certificate alone, signed by {issuer_name}")


# --- the clock


def look_at_clock(host: str, time: datetime, findings: Findings) -> None:
    """Compare this machine's clock with the endpoint's, which tells it over HTTPS; says nothing where it does not."""
    there = date_at(host)
    if there is None:
        return
    difference = there - time
    if abs(difference) <= CLOCK_MAY_DIFFER:
        findings.good("clock", f"this machine's clock agrees with the endpoint's ({rfc3339(there)})")
        return
    which = "behind" if difference > timedelta() else "ahead"
    findings.bad(
        "clock",
        f"this machine's clock is {span(abs(difference))} {which}: it says {rfc3339(time)}, and the endpoint "
        f"{rfc3339(there)}",
        "Set the clock, and have it kept (NTP); then run this again.",
    )


def date_at(host: str, port: int = http.client.HTTPS_PORT) -> datetime | None:
    """Return the Date header (RFC 9110 section 6.6.1) of any HTTPS answer of the host; a hint, so nothing is verified.

    A wrong clock is why it is asked, and with a wrong clock no certificate can be verified.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection(host, port, timeout=_DATE_TIMEOUT, context=context)
    try:
        connection.request("HEAD", "/")
        return read_http_date(connection.getresponse().getheader("Date"))
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
