"""Servers on this machine that answer as a test says, octet by octet."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_address

from jitr.addresses import Address
from jitr.aws.web import Resolver


class AtOnce(Resolver):
    """Every name is this machine's; without a thread, whose end would have to be waited for."""

    def addresses(self, _host: str, _port: int, _deadline: object) -> list[Address]:
        """Return this machine's address."""
        return [ip_address("127.0.0.1")]


def _whole(connection: socket.socket) -> bytes:
    """A request with its body, as Content-Length has it."""
    data = b""
    while piece := connection.recv(65536):
        data += piece
        head, end, body = data.partition(b"\r\n\r\n")
        if end:
            lengths = [line.partition(b":")[2] for line in head.lower().split(b"\r\n") if b"content-length" in line]
            if len(body) >= int(lengths[0] if lengths else 0):
                return data
    return data


@contextmanager
def answering(answer: Callable[[bytes], bytes]) -> Iterator[tuple[str, list[bytes]]]:
    """A server over plain http: its address, and what it was asked so far."""
    asked: list[bytes] = []

    def serve(listening: socket.socket) -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                request = _whole(connection)
                if request:
                    asked.append(request)
                    connection.sendall(answer(request))

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,), daemon=True)
        thread.start()
        try:
            yield f"http://localhost:{listening.getsockname()[1]}", asked
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()
