"""A connection to a server that chooses neither how long it takes nor how much it sends.

Sockets leave both to the server: they have a time-out for each read and none for all of them, and in ``ssl.SSLSocket``
messages that carry no data, such as session tickets, keep one read going for as long as they come. Here every octet
that arrives is counted, and waited for until the deadline and no longer. It all happens in the calling thread, so that
once it has ended nothing is left of it.
"""

import io
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any, TypeVar

from jitr.addresses import Address

T = TypeVar("T")

_PIECE = 64 * 1024


class TooMuch(Exception):
    """The server sends more than was asked for."""


class Deadline:
    """The moment by which all is done."""

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    def left(self) -> float:
        """Return the seconds until then. Raises TimeoutError where it has passed."""
        left = self._at - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


class PlainConnection:
    """A connection to one address, in place of the socket of an ``http.client`` connection.

    Whatever is done with it raises TimeoutError after the deadline, TooMuch after ``most_octets`` on the wire, or
    after ``allow``'s number of octets of data, and OSError (ssl.SSLError too). Who opened ``peer`` closes it.
    """

    def __init__(self, peer: socket.socket, deadline: Deadline, most_octets: int) -> None:
        self._peer = peer
        self._deadline = deadline
        self._most_octets = most_octets
        self._data_allowed = 0

    def allow(self, octets: int) -> None:
        """Allow so many octets of data to be read from here on."""
        self._data_allowed = octets

    def sendall(self, data: bytes) -> None:
        """Send data."""
        self._peer.settimeout(self._deadline.left())
        self._peer.sendall(data)

    def read(self, octets: int) -> bytes:
        """Read some data; none at the end, also where the server ends without saying so."""
        data = self._read(octets)
        self._data_allowed -= len(data)
        if self._data_allowed < 0:
            raise TooMuch
        return data

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Return what is read as a file, as ``http.client`` asks."""
        return io.BufferedReader(_Data(self))

    def close(self) -> None:
        """Do nothing: ``http.client`` closes before it reads the answer to the end."""

    def _read(self, octets: int) -> bytes:
        return self._receive(octets)

    def _receive(self, octets: int) -> bytes:
        self._peer.settimeout(self._deadline.left())
        data = self._peer.recv(octets)
        self._most_octets -= len(data)
        if self._most_octets < 0:
            raise TooMuch
        return data


class TlsConnection(PlainConnection):
    """The same over TLS, with the server's certificate verified for ``name``."""

    def __init__(
        self, peer: socket.socket, name: str, context: ssl.SSLContext, deadline: Deadline, most_octets: int
    ) -> None:
        super().__init__(peer, deadline, most_octets)
        self._arrived, self._leaving = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._arrived, self._leaving, server_hostname=name)
        self._until_done(self._tls.do_handshake)

    def sendall(self, data: bytes) -> None:
        """Send data."""
        self._until_done(lambda: self._tls.write(data))

    def _read(self, octets: int) -> bytes:
        try:
            return self._until_done(lambda: self._tls.read(octets))
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""

    def _until_done(self, operation: Callable[[], T]) -> T:
        while True:
            try:
                result = operation()
            except ssl.SSLWantReadError:
                self._send()
                data = self._receive(_PIECE)
                if data:
                    self._arrived.write(data)
                else:
                    self._arrived.write_eof()
            else:
                self._send()
                return result

    def _send(self) -> None:
        if self._leaving.pending:
            super().sendall(self._leaving.read())


class _Data(io.RawIOBase):
    """The data of a connection."""

    def __init__(self, connection: PlainConnection) -> None:
        super().__init__()
        self._connection = connection

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._connection.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def connected(addresses: list[Address], port: int, deadline: Deadline) -> socket.socket:
    """Connect to the first of some addresses that answers; each has its share of the time that is left.

    Raises OSError as the last one did (TimeoutError too).
    """
    for place, address in enumerate(addresses, 1):
        try:
            return socket.create_connection((str(address), port), deadline.left() / (len(addresses) - place + 1))
        except OSError:
            if place == len(addresses):
                raise
    raise OSError("no address")
