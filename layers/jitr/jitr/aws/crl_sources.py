"""Where revocation lists are fetched from: the addresses in the rules file, and nowhere else.

S3 with the function's own role, or https: the server's certificate is verified, no redirect is followed, and neither
size nor time is the server's to choose. A name is resolved once, and only what it was resolved to is connected to:
never the machine itself nor its link (where clouds keep their metadata), and a private network only where the rules
allow it. A name that points there does not help whoever may edit rules.
"""

import http.client
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from jitr.addresses import Address, in_private_network, off_limits
from jitr.aws.errors import code_of
from jitr.aws.tls import Deadline, TlsConnection, TooMuch, connected
from jitr.values import dataclass
from jitr.x509.crl import MAX_INPUT
from jitr.x509.names import quoted

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# Less than what a message leaves of the function's time for one call (jitr.aws.pacing).
_WHOLE = 7.0  # seconds
_CHUNK = 256 * 1024
_MOST_OF_HEAD = 64 * 1024  # what comes before the list itself: any number of 100 Continue, and the headers


class NotFetched(Exception):
    """No list could be had from an address just now. The message says why, in one line, and nothing secret."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What an address gave, and the entity tag to ask with the next time; no ``data`` where it has not changed."""

    data: bytes | None
    tag: str | None = None


class CrlSources:
    """Fetches from ``s3://BUCKET/KEY`` and ``https://HOST/PATH``. The client of S3 is made when it is first needed."""

    def __init__(self, s3: Callable[[], "S3Client"], https: "Https | None" = None) -> None:
        self._make_s3 = s3
        self._s3: S3Client | None = None
        self._https = https

    def fetch(self, url: str, tag: str | None = None, *, private_network: bool = False) -> Fetched:
        """Return what is there now; ``private_network`` allows a server that is in one. Raises NotFetched."""
        parts = urlsplit(url)
        if parts.scheme == "s3":
            return self._from_s3(parts.netloc, parts.path.removeprefix("/"), tag)
        if parts.scheme == "https":
            self._https = self._https or Https()
            return self._https.fetch(url, tag, private_network=private_network)
        raise NotFetched("it is neither s3:// nor https://")

    def _from_s3(self, bucket: str, key: str, tag: str | None) -> Fetched:
        self._s3 = self._s3 or self._make_s3()
        condition: dict[str, Any] = {} if tag is None else {"IfNoneMatch": tag}
        try:
            found = self._s3.get_object(Bucket=bucket, Key=key, **condition)
            with found["Body"] as body:
                data = _limited(body.read, Deadline(_WHOLE))
        except ClientError as error:
            return _unchanged_or_refused(error, tag)
        except TimeoutError as error:
            raise NotFetched(_TOO_LONG.format(_WHOLE)) from error
        except (BotoCoreError, OSError) as error:
            raise NotFetched(f"S3 could not be reached: {type(error).__name__}") from error
        return Fetched(data, found.get("ETag"))


def _unchanged_or_refused(error: ClientError, tag: str | None) -> Fetched:
    code = code_of(error)
    if code in ("304", "NotModified"):
        return Fetched(None, tag)
    if code in ("AccessDenied", "403"):  # also for a key that does not exist, to whoever may not list the bucket
        raise NotFetched("S3: AccessDenied: there is no such object, or the function's role may not read it")
    raise NotFetched(f"S3: {code}")


_TOO_LONG = "it takes more than {:.0f} seconds"


def _limited(read: Callable[[int], bytes], deadline: Deadline) -> bytes:
    """Read to the end, unless that is too far off. Raises TimeoutError where it takes too long."""
    found, size = [], 0
    while chunk := read(_CHUNK):
        size += len(chunk)
        if size > MAX_INPUT:
            raise NotFetched(f"it has more than {MAX_INPUT} bytes")
        deadline.left()
        found.append(chunk)
    return b"".join(found)


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


class Https:
    """GET over TLS, of public servers, and of those in a private network where that is allowed."""

    def __init__(
        self,
        context: ssl.SSLContext | None = None,
        refused: Callable[[Address], bool] = off_limits,
        resolver: Resolver | None = None,
    ) -> None:
        self._context = context or ssl.create_default_context()
        self._refused = refused
        self._resolver = resolver or Resolver()

    def fetch(self, url: str, tag: str | None = None, *, private_network: bool = False) -> Fetched:
        """Return what is there now. Raises NotFetched, and leaves nothing behind, after seven seconds at the latest."""
        try:
            return self._fetch(url, tag, private_network, Deadline(_WHOLE))
        except ssl.SSLCertVerificationError as error:
            raise NotFetched(f"the server's certificate is not to be trusted: {error.verify_message}") from error
        except TimeoutError as error:
            raise NotFetched(_TOO_LONG.format(_WHOLE)) from error
        except TooMuch as error:
            raise NotFetched("the server sends more than a list and its headers can have") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise NotFetched(f"the server could not be asked: {type(error).__name__}") from error

    def _fetch(self, url: str, tag: str | None, private_network: bool, deadline: Deadline) -> Fetched:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or http.client.HTTPS_PORT
        addresses = self._allowed(self._resolver.addresses(host, port, deadline), private_network)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        conditions = {} if tag is None else {"If-None-Match": tag}
        headers = {"User-Agent": "jitr", "Accept": "*/*", "Connection": "close"} | conditions
        asking = http.client.HTTPSConnection(host, port, context=self._context)
        with connected(addresses, port, deadline) as peer:
            connection = TlsConnection(peer, host, self._context, deadline, _MOST_OF_HEAD + 2 * MAX_INPUT)
            asking.sock = connection
            asking.request("GET", path, headers=headers)
            connection.allow(_MOST_OF_HEAD)
            response = asking.getresponse()
            connection.allow(2 * MAX_INPUT)
            return _answer(response, tag, deadline)

    def _allowed(self, addresses: list[Address], private_network: bool) -> list[Address]:
        possible = [each for each in addresses if not self._refused(each)]
        allowed = [each for each in possible if private_network or not in_private_network(each)]
        if allowed:
            return allowed
        if possible:
            raise NotFetched(
                f"it is in a private network, at {possible[0]}: if it belongs there, write `private_network: true` "
                "under `crl`"
            )
        raise NotFetched(f"it is at {addresses[0]}, where no revocation list is fetched from")


def _answer(response: http.client.HTTPResponse, tag: str | None, deadline: Deadline) -> Fetched:
    if response.status == http.HTTPStatus.NOT_MODIFIED and tag is not None:
        return Fetched(None, tag)
    if 300 <= response.status < 400:
        to = quoted(response.headers.get("Location", ""))
        raise NotFetched(
            f"HTTP {response.status}, a redirect to {to}: none is followed; give that address if it is right"
        )
    if response.status != http.HTTPStatus.OK:
        raise NotFetched(f"HTTP {response.status}")
    found = response.headers.get("ETag")
    return Fetched(
        _limited(response.read1, deadline), found if found and len(found) <= 256 and found.isascii() else None
    )
