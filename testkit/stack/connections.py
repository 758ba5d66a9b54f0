"""Connections to the broker with a device's certificate."""

from collections.abc import Iterator
from contextlib import contextmanager

from jitr_local.device import CONNECT_TIMEOUT, Device, _Session
from testkit.stack.plant import PlantDevice


@contextmanager
def connected(made: PlantDevice, client_id: str) -> Iterator[_Session | None]:
    """A connection with this device's certificate under a client id; None where the broker does not take it."""
    own = made.device
    session = _Session(Device(client_id, own.certificate, own.key, own.topic, own.broker))
    try:
        session.connect()
        yield session if session.wait_for(session.connected, CONNECT_TIMEOUT) else None
    finally:
        session.close()
