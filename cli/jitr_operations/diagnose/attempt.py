"""One attempt to connect as the device does: TCP, TLS with its certificate, MQTT CONNECT, and one PUBLISH if asked for.

Of MQTT 3.1.1 only the four packets that this takes are spoken here, so that devices' machines need no client library.
https://docs.oasis-open.org/mqtt/mqtt/v3.1.1/os/mqtt-v3.1.1-os.html
"""

import socket
import ssl
import time
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

TIMEOUT = 10.0  # seconds, for each step
HTTPS_PORT = 443
MQTT_ON_443 = "x-amzn-mqtt-ca"  # https://docs.aws.amazon.com/iot/latest/developerguide/protocols.html
MAX_PACKET = 4096  # octets; the answers that are read here have two

_CONNECT, _CONNACK, _PUBLISH_QOS_1, _PUBACK, _DISCONNECT = 0x10, 0x20, 0x32, 0x40, b"\xe0\x00"
_CLEAN_SESSION, _KEEP_ALIVE, _PACKET_ID = 0x02, 60, 1


class AttemptOutcome(StrEnum):
    """How far an attempt came."""

    UNKNOWN_HOST = "unknown host"
    UNREACHABLE = "unreachable"
    SERVER_UNTRUSTED = "server untrusted"
    SERVER_NAME = "server name"
    SERVER_TIME = "server time"
    TLS_REFUSED = "refused in TLS"
    HUNG_UP = "hung up"
    REFUSED = "refused"
    SILENT = "silent"
    NOT_MQTT = "not MQTT"
    PUBLISH_REFUSED = "publish refused"
    CONNECTED = "connected"
    PUBLISHED = "published"


@dataclass(frozen=True, slots=True)
class Attempt:
    """The outcome of an attempt; ``detail`` is OpenSSL's, the system's or MQTT's word for it."""

    outcome: AttemptOutcome
    detail: str = ""

    @property
    def connected(self) -> bool:
        """Whether the device was let in."""
        return self.outcome in (AttemptOutcome.CONNECTED, AttemptOutcome.PUBLISHED, AttemptOutcome.PUBLISH_REFUSED)


@dataclass(frozen=True, slots=True)
class ConnectionParameters:
    """The endpoint of a connection, and the files for it. ``ca_file`` None: what the system trusts."""

    host: str
    port: int
    certificate: Path
    key: Path
    passphrase: bytes | None
    ca_file: Path | None

    def context(self, maximum: ssl.TLSVersion) -> ssl.SSLContext:
        """Return TLS as a device speaks it. Raises ssl.SSLError for files that OpenSSL does not take."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if self.ca_file is None:
            context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        else:
            context.load_verify_locations(self.ca_file)
        # Without a passphrase OpenSSL would ask on the terminal; with an empty one it fails.
        context.load_cert_chain(self.certificate, self.key, password=self.passphrase or b"")
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.maximum_version = maximum
        if self.port == HTTPS_PORT:
            context.set_alpn_protocols([MQTT_ON_443])
        return context


def attempt(line: ConnectionParameters, client_id: str, topic: str | None) -> Attempt:
    """Connect once. Raises ssl.SSLError only for files that OpenSSL does not take.

    By TLS 1.2 at first: with 1.3 a client learns that its certificate is refused only after its own part of the
    handshake is done, and may not be able to tell that from being hung up on (RFC 8446 section 4.4.2.4).
    """
    tried = _attempt(line, ssl.TLSVersion.TLSv1_2, client_id, topic)
    if tried.outcome is AttemptOutcome.TLS_REFUSED and "PROTOCOL_VERSION" in tried.detail:
        return _attempt(line, ssl.TLSVersion.TLSv1_3, client_id, topic)
    return tried


def _attempt(line: ConnectionParameters, maximum: ssl.TLSVersion, client_id: str, topic: str | None) -> Attempt:
    context = line.context(maximum)
    try:
        raw = socket.create_connection((line.host, line.port), timeout=TIMEOUT)
    except socket.gaierror as problem:
        return Attempt(AttemptOutcome.UNKNOWN_HOST, str(problem.strerror))
    except OSError as problem:
        return Attempt(AttemptOutcome.UNREACHABLE, problem.strerror or str(problem))
    with raw:
        try:
            # SNI is the host's name; for an address there is none (RFC 6066 section 3).
            tls = context.wrap_socket(raw, server_hostname=line.host)
        except ssl.SSLCertVerificationError as problem:
            return _server_problem(problem)
        except OSError as problem:
            return Attempt(AttemptOutcome.TLS_REFUSED, _tls_word(problem))
        with tls:
            return _talk(tls, client_id, topic)


# X509_V_ERR_… of OpenSSL's x509_vfy.h
_TIME_CODES, _NAME_CODES = (9, 10), (62, 63, 64)


def _server_problem(problem: ssl.SSLCertVerificationError) -> Attempt:
    if problem.verify_code in _TIME_CODES:
        return Attempt(AttemptOutcome.SERVER_TIME, problem.verify_message)
    if problem.verify_code in _NAME_CODES:
        return Attempt(AttemptOutcome.SERVER_NAME, problem.verify_message)
    return Attempt(AttemptOutcome.SERVER_UNTRUSTED, problem.verify_message)


def _tls_word(problem: OSError) -> str:
    if isinstance(problem, ssl.SSLError) and problem.reason:
        return problem.reason
    return problem.strerror or str(problem) or type(problem).__name__


def _talk(tls: ssl.SSLSocket, client_id: str, topic: str | None) -> Attempt:
    try:
        tls.sendall(connect_packet(client_id))
        kind, body = _read(tls, time.monotonic() + TIMEOUT)
    except (TimeoutError, ssl.SSLError, OSError, _Ended) as problem:
        return _ending(problem, AttemptOutcome.HUNG_UP)
    if kind != _CONNACK or len(body) != 2:
        return Attempt(AttemptOutcome.NOT_MQTT, "its answer is no CONNACK")
    if body[1]:
        return Attempt(AttemptOutcome.REFUSED, _RETURN_CODES.get(body[1], f"return code {body[1]}"))
    outcome = Attempt(AttemptOutcome.CONNECTED) if topic is None else _publish(tls, topic)
    _leave(tls)
    return outcome


# MQTT 3.1.1, table 3.1
_RETURN_CODES = {
    1: "it does not take MQTT 3.1.1",
    2: "it does not take the client id",
    3: "it is not available now",
    4: "bad user name or password",
    5: "not authorized",
}


def _publish(tls: ssl.SSLSocket, topic: str) -> Attempt:
    try:
        tls.sendall(publish_packet(topic, b'{"jitr": "diagnose"}'))
        deadline = time.monotonic() + TIMEOUT
        while True:  # until the deadline: whatever else comes is passed over
            kind, _ = _read(tls, deadline)
            if kind == _PUBACK:
                return Attempt(AttemptOutcome.PUBLISHED)
    except (TimeoutError, ssl.SSLError, OSError, _Ended) as problem:
        return _ending(problem, AttemptOutcome.PUBLISH_REFUSED)


def _leave(tls: ssl.SSLSocket) -> None:
    try:
        tls.sendall(_DISCONNECT)
    except OSError:
        return  # it is over either way


class _Ended(Exception):
    """The other side closed the connection."""


def _ending(problem: Exception, otherwise: AttemptOutcome) -> Attempt:
    if isinstance(problem, TimeoutError):
        return Attempt(AttemptOutcome.SILENT, f"no answer within {TIMEOUT:.0f} seconds")
    # An alert that comes after the handshake: with TLS 1.3 that is how a certificate is refused.
    if isinstance(problem, ssl.SSLError) and "ALERT" in (problem.reason or ""):
        return Attempt(AttemptOutcome.TLS_REFUSED, _tls_word(problem))
    return Attempt(otherwise, _tls_word(problem) if isinstance(problem, OSError) else "")


# --- packets


def connect_packet(client_id: str) -> bytes:
    """Return CONNECT with a clean session (section 3.1)."""
    variable = _text("MQTT") + bytes((4, _CLEAN_SESSION)) + _KEEP_ALIVE.to_bytes(2)
    return _packet(_CONNECT, variable + _text(client_id))


def publish_packet(topic: str, payload: bytes) -> bytes:
    """Return PUBLISH with quality of service 1, which is answered (section 3.3)."""
    return _packet(_PUBLISH_QOS_1, _text(topic) + _PACKET_ID.to_bytes(2) + payload)


def _packet(kind: int, content: bytes) -> bytes:
    return bytes((kind,)) + _length(len(content)) + content


def _text(text: str) -> bytes:
    encoded = text.encode()
    return len(encoded).to_bytes(2) + encoded


def _length(size: int) -> bytes:
    """Section 2.2.3: seven bits an octet, the lowest first."""
    octets = bytearray()
    while True:
        size, low = divmod(size, 128)
        octets.append(low | (0x80 if size else 0))
        if not size:
            return bytes(octets)


def _read(tls: ssl.SSLSocket, deadline: float) -> tuple[int, bytes]:
    """One packet: its kind (the upper four bits of its first octet) and what follows its length."""
    kind = _exactly(tls, 1, deadline)[0] & 0xF0
    size = shift = 0
    while True:
        octet = _exactly(tls, 1, deadline)[0]
        size |= (octet & 0x7F) << shift
        shift += 7
        if not octet & 0x80:
            break
        if shift > 21:
            raise _Ended
    if size > MAX_PACKET:
        raise _Ended
    return kind, _exactly(tls, size, deadline)


def _exactly(tls: ssl.SSLSocket, size: int, deadline: float) -> bytes:
    data = b""
    while len(data) < size:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        tls.settimeout(left)
        piece = tls.recv(size - len(data))
        if not piece:
            raise _Ended
        data += piece
    return data
