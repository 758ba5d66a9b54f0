"""A device as the demo and the end-to-end tests play it: a real MQTT client over mutual TLS.

It behaves as the device SDKs do: it connects, is hung up on, waits a little longer each time, and tries again until
it is let in. Then it publishes on its own topic and waits for the broker's word that the message arrived.
"""

import random
import ssl
import threading
import time
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode

# Seconds between attempts: AWS's device SDKs start at one and double up to 128; the demo stays within eight.
FIRST_WAIT, LONGEST_WAIT = 1.0, 8.0
CONNECT_TIMEOUT = 10.0
# A certificate that TLS refused so often is refused for good: the demo's device stops asking.
ENOUGH_REFUSALS = 3


class Fate(StrEnum):
    """The fate of a device, as the device itself sees it."""

    KNOCKING = "still knocking"
    PUBLISHED = "published"
    REFUSED_IN_TLS = "refused in TLS"
    HUNG_UP_ON_PUBLISH = "disconnected for its publish"


@dataclass(frozen=True)
class Broker:
    """The broker's address, and the CA that signed its certificate."""

    host: str
    port: int
    ca: Path


@dataclass
class Device:
    """One device: its files, its client id, the topic it publishes on. ``run`` lives in a thread of its own."""

    name: str
    certificate: Path
    key: Path
    topic: str
    broker: Broker
    fate: Fate = Fate.KNOCKING
    attempts: int = 0
    first_attempt: float | None = None  # monotonic seconds
    first_message: float | None = None
    last_error: str = ""
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Knock until the first message is through, the certificate is refused for good, or ``stop`` is set."""
        wait, refused = FIRST_WAIT, 0
        self.first_attempt = time.monotonic()
        while not self.stop.is_set() and self.fate is Fate.KNOCKING:
            self.attempts += 1
            try:
                self._attempt()
            except ssl.SSLError:
                self.last_error = "the TLS handshake was refused"
                refused += 1
            except OSError as error:
                self.last_error = str(error)
            if refused == ENOUGH_REFUSALS:
                self.fate = Fate.REFUSED_IN_TLS
            if self.fate is Fate.KNOCKING:
                self.stop.wait(wait * random.uniform(0.8, 1.2))  # noqa: S311 - spreads a fleet's attempts, keeps no secret
                wait = min(LONGEST_WAIT, wait * 2)

    def _attempt(self) -> None:
        session = _Session(self)
        try:
            session.connect()
            if session.wait_for(session.connected, CONNECT_TIMEOUT):
                self._publish(session)
            elif not self.last_error:
                self.last_error = "hung up on"
        finally:
            session.close()

    def _publish(self, session: "_Session") -> None:
        session.client.publish(self.topic, b'{"hello": "world"}', qos=1)
        if session.wait_for(session.published, CONNECT_TIMEOUT):
            self.first_message = time.monotonic()
            self.fate = Fate.PUBLISHED
        elif session.ended.is_set():
            self.fate = Fate.HUNG_UP_ON_PUBLISH

    @property
    def seconds(self) -> float | None:
        """From the first attempt to the first message, or None while there was none."""
        if self.first_attempt is None or self.first_message is None:
            return None
        return self.first_message - self.first_attempt


class _Session:
    """One connection of the MQTT client, from CONNECT to its end."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self.connected = threading.Event()
        self.published = threading.Event()
        self.ended = threading.Event()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=device.name, reconnect_on_failure=False)
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(device.broker.ca))
        context.load_cert_chain(device.certificate, device.key)
        # With TLS 1.3 a client learns that its certificate is refused only after its own part of the handshake is
        # done, and cannot tell that from being hung up on (RFC 8446 section 4.4.2.4).
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        self.client.tls_set_context(context)
        self.client.on_connect = self._on_connect
        self.client.on_publish = lambda *_: self.published.set()
        self.client.on_disconnect = lambda *_: self.ended.set()

    def connect(self) -> None:
        """Do the TLS handshake and send CONNECT, then serve the connection from a thread."""
        self.client.connect(self._device.broker.host, self._device.broker.port, keepalive=60)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def wait_for(self, event: threading.Event, seconds: float) -> bool:
        """Return whether the event came before the connection ended or the time was up."""
        deadline = time.monotonic() + seconds
        while not event.is_set() and not self.ended.is_set() and time.monotonic() < deadline:
            event.wait(0.05)
        return event.is_set()

    def close(self) -> None:
        """End the connection, whatever state it is in."""
        self.client.disconnect()
        self.ended.set()

    def _serve(self) -> None:
        try:
            while not self.ended.is_set() and self.client.loop(timeout=0.2) == MQTTErrorCode.MQTT_ERR_SUCCESS:
                continue
        finally:
            self.ended.set()

    def _on_connect(
        self, _client: mqtt.Client, _userdata: object, _flags: object, reason: ReasonCode, _properties: object
    ) -> None:
        if reason.is_failure:
            self._device.last_error = str(reason)
            self.ended.set()
        else:
            self.connected.set()
