"""Asking a server whose address stands in the rules file: over https, or over http where the answer is signed itself.

A server's certificate is verified, no redirect is followed, and neither size nor time is the server's to choose. A name
is resolved once, and only what it was resolved to is connected to: never the machine itself nor its link (where clouds
keep their metadata), and a private network only where the rules allow it. A name that points there does not help
whoever may edit rules.
"""

import http.client
import socket
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from jitr.addresses import Address, in_private_network, off_limits
from jitr.aws.connections import Deadline, PlainConnection, TlsConnection, TooMuch, connected
from jitr.values import dataclass
from jitr.x509.names import quoted

_CHUNK = 256 * 1024
_MOST_OF_HEAD = 64 * 1024  # what comes before the body: any number of 100 Continue, and the headers


class NotFetched(Exception):
    """Nothing could be had from an address just now. The message says why, in one line, and nothing secret."""


@dataclass(frozen=True, slots=True)
class WebRequest:
    """A request to a server, and the bounds on its answer.

    ``what`` is what the address gives, and ``under`` the key of the rules file that has it, for messages.
    """

    url: str
    what: str
    under: str
    most_octets: int
    seconds: float
    private_network: bool = False
    body: bytes | None = None  # POST where there is one, else GET
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WebAnswer:
    """Status 200 with its body, or 304 with none; of the headers those that matter, None where they are not there."""

    status: int
    body: bytes = b""
    tag: str | None = None
    content_type: str | None = None


class Resolver:
    """Resolves names. It is the one thing that cannot be ended: at most one thread waits for an answer on each name."""

    def __init__(self, look_up: Callable[..., Sequence[Any]] = socket.getaddrinfo) -> None:
        self._look_up = look_up
        self._under_way: dict[str, threading.Thread] = {}

    def addresses(self, host: str, port: int, deadline: Deadline) -> list[Address]:
        """Return the addresses of a host. Raises TimeoutError, OSError, NotFetched."""
        self._under_way = {name: each for name, each in self._under_way.items() if each.is_alive()}
        if host in self._under_way:
            raise NotFetched("its name was asked for before, and no name server has answered yet")
        answer: list[list[Address] | Exception] = []
        thread = threading.Thread(target=self._into, args=(answer, host, port), daemon=True)
        self._under_way[host] = thread
        thread.start()
        thread.join(deadline.left())
        if not answer:
            raise TimeoutError
        if isinstance(answer[0], Exception):
            raise answer[0]
        return answer[0]

    def _into(self, answer: list[list[Address] | Exception], host: str, port: int) -> None:
        try:
            found = self._look_up(host, port, type=socket.SOCK_STREAM)
            answer.append(list(dict.fromkeys(ip_address(each[4][0]) for each in found)))
        except Exception as error:  # noqa: BLE001 (raised again where it is waited for)
            answer.append(error)


class Web:
    """Asks public servers, and those in a private network where that is allowed."""

    def __init__(
        self,
        context: ssl.SSLContext | None = None,
        refused: Callable[[Address], bool] = off_limits,
        resolver: Resolver | None = None,
    ) -> None:
        self._context = context
        self._refused = refused
        self._resolver = resolver or Resolver()

    def ask(self, request: WebRequest) -> WebAnswer:
        """Return the answer. Raises NotFetched, and leaves nothing behind, after ``seconds`` at the latest."""
        try:
            return self._ask(request, Deadline(request.seconds))
        except ssl.SSLCertVerificationError as error:
            raise NotFetched(f"the server's certificate is not to be trusted: {error.verify_message}") from error
        except TimeoutError as error:
            raise NotFetched(too_long(request.seconds)) from error
        except TooMuch as error:
            raise NotFetched(f"the server sends more than {request.what} and its headers can have") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise NotFetched(f"the server could not be asked: {type(error).__name__}") from error

    def _ask(self, request: WebRequest, deadline: Deadline) -> WebAnswer:
        parts = urlsplit(request.url)
        secure = parts.scheme == "https"
        host, port = parts.hostname or "", parts.port or (http.client.HTTPS_PORT if secure else http.client.HTTP_PORT)
        addresses = self._allowed(self._resolver.addresses(host, port, deadline), request)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        headers = {"User-Agent": "jitr", "Accept": "*/*", "Connection": "close"} | dict(request.headers)
        # As many again for the framing, which may be as long as what it frames.
        on_the_wire = _MOST_OF_HEAD + 2 * request.most_octets
        asking = http.client.HTTPConnection(host, port)  # its port is named in Host where it is not http's
        if secure:
            self._context = self._context or ssl.create_default_context()
            asking = http.client.HTTPSConnection(host, port, context=self._context)
        with connected(addresses, port, deadline) as peer:
            connection: PlainConnection = (
                TlsConnection(peer, host, self._context, deadline, on_the_wire)
                if secure and self._context is not None
                else PlainConnection(peer, deadline, on_the_wire)
            )
            asking.sock = connection
            asking.request("GET" if request.body is None else "POST", path, body=request.body, headers=headers)
            connection.allow(_MOST_OF_HEAD)
            response = asking.getresponse()
            connection.allow(2 * request.most_octets)
            return _answer(response, request, deadline)

    def _allowed(self, addresses: list[Address], request: WebRequest) -> list[Address]:
        possible = [each for each in addresses if not self._refused(each)]
        allowed = [each for each in possible if request.private_network or not in_private_network(each)]
        if allowed:
            return allowed
        if possible:
            raise NotFetched(
                f"it is in a private network, at {possible[0]}: if it belongs there, write `private_network: true` "
                f"under `{request.under}`"
            )
        raise NotFetched(f"it is at {addresses[0]}, where no {request.what.split(' ', 1)[-1]} is fetched from")


def _answer(response: http.client.HTTPResponse, request: WebRequest, deadline: Deadline) -> WebAnswer:
    if response.status == HTTPStatus.NOT_MODIFIED and "If-None-Match" in request.headers:
        return WebAnswer(response.status)
    if 300 <= response.status < 400:
        to = quoted(response.headers.get("Location", ""))
        raise NotFetched(
            f"HTTP {response.status}, a redirect to {to}: none is followed; give that address if it is right"
        )
    if response.status != HTTPStatus.OK:
        raise NotFetched(f"HTTP {response.status}")
    tag = response.headers.get("ETag")
    return WebAnswer(
        response.status,
        limited(response.read1, request.most_octets, deadline),
        tag if tag and len(tag) <= 256 and tag.isascii() else None,
        response.headers.get("Content-Type"),
    )


def limited(read: Callable[[int], bytes], most_octets: int, deadline: Deadline) -> bytes:
    """Read to the end, unless that is too far off. Raises NotFetched, and TimeoutError where it takes too long."""
    found, size = [], 0
    while chunk := read(_CHUNK):
        size += len(chunk)
        if size > most_octets:
            raise NotFetched(f"it has more than {most_octets} bytes")
        deadline.left()
        found.append(chunk)
    return b"".join(found)


def too_long(seconds: float) -> str:
    """Say that something takes longer than it may."""
    return f"it takes more than {seconds:.0f} seconds"
