"""A process of servers that mean no good: ``hostile_server.py FOLDER`` prints their ports by name, and ends with stdin.

A process of its own, so that threads and descriptors of the client can be counted.
"""

import json
import os
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

_OK = b"HTTP/1.1 200 OK\r\n"
_CHUNKED = _OK + b"Transfer-Encoding: chunked\r\n\r\n"


def _for_ever(once: bytes, again: bytes) -> Iterator[bytes]:
    yield once
    while True:
        yield again


def _slowly(data: Iterator[bytes]) -> Iterator[bytes]:
    for piece in data:
        for octet in piece:
            yield bytes([octet])
            time.sleep(0.01)


ANSWERS: dict[str, Callable[[], Iterator[bytes]]] = {
    "never answers": lambda: _for_ever(b"", b""),
    "100 Continue for ever": lambda: _for_ever(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 500),
    "100 Continue for ever, slowly": lambda: _slowly(_for_ever(b"", b"HTTP/1.1 100 Continue\r\n\r\n")),
    "trickles headers": lambda: _slowly(_for_ever(_OK, b"X-More: yes\r\n")),
    "headers for ever": lambda: (b"X-%d: yes\r\n" % each if each else _OK for each in count()),
    "a header for ever": lambda: _for_ever(_OK + b"X-Long: ", b"x" * 4096),
    "trickles the list": lambda: _slowly(_for_ever(_OK + b"\r\n", b"x")),
    "trickles a list of known length": lambda: _slowly(_for_ever(_OK + b"Content-Length: 1000000\r\n\r\n", b"x")),
    "a list for ever": lambda: _for_ever(_OK + b"\r\n", b"x" * 65536),
    "chunks of one octet for ever": lambda: _for_ever(_CHUNKED, b"1\r\nx\r\n" * 1000),
    "trickles chunks": lambda: _slowly(_for_ever(_CHUNKED, b"1\r\nx\r\n")),
    "a chunk's extension for ever": lambda: _for_ever(_CHUNKED + b"1;", b"x" * 4096),
    "trailers for ever": lambda: _for_ever(_CHUNKED + b"0\r\n", b"X-More: yes\r\n" * 100),
    "no protocol at all": lambda: _for_ever(b"", b"\x00\xff" * 4096),
    "hangs up at once": lambda: iter(()),
    "hangs up in the headers": lambda: iter((_OK + b"Content-Le",)),
    "hangs up in the list": lambda: iter((_OK + b"Content-Length: 1000000\r\n\r\nxyz",)),
    "session tickets for ever": lambda: _for_ever(b"", b""),
}
RAW: dict[str, Callable[[], Iterator[bytes]]] = {
    "says nothing": lambda: _for_ever(b"", b""),
    "speaks no TLS": lambda: _for_ever(_OK + b"\r\n", b"x" * 4096),
    "trickles the handshake": lambda: _slowly(_for_ever(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc", b"\x03")),
    "hangs up before the handshake": lambda: iter(()),
}

# The same without TLS, but for what is about TLS.
PLAIN = {
    f"http: {name}": answer
    for name, answer in (ANSWERS | RAW).items()
    if "tickets" not in name and name != "speaks no TLS"
}
NAMES = (*ANSWERS, *RAW, *PLAIN)


def _send(connection: socket.socket, data: Iterator[bytes]) -> None:
    with suppress(OSError), connection:
        for piece in data:
            if piece:
                connection.sendall(piece)
            else:
                time.sleep(0.05)
                connection.settimeout(0.01)
                with suppress(TimeoutError, ssl.SSLWantReadError):
                    if not connection.recv(4096):
                        return
                connection.settimeout(None)


def _serve(listening: socket.socket, name: str, context: ssl.SSLContext) -> None:
    def answer(connection: socket.socket) -> None:
        if name in RAW or name in PLAIN:
            _send(connection, (RAW | PLAIN)[name]())
            return
        with suppress(OSError):
            _send(context.wrap_socket(connection, server_side=True), ANSWERS[name]())

    while True:
        connection, _ = listening.accept()
        threading.Thread(target=answer, args=(connection,), daemon=True).start()


def main(folder: Path) -> None:
    """Serve until standard input ends."""
    ports = {}
    for name in NAMES:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "server.pem", folder / "server.key")
        if "tickets" in name:
            context.num_tickets = 100_000
        listening = socket.create_server(("127.0.0.1", 0))
        ports[name] = listening.getsockname()[1]
        threading.Thread(target=_serve, args=(listening, name, context), daemon=True).start()
    print(json.dumps(ports), flush=True)
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
