"""Where revocation lists are fetched from: the addresses in the rules file, and nowhere else.

S3 with the function's own role, or https with the standard library: the server's certificate is verified, no redirect
is followed, and neither size nor time is the server's to choose. Addresses of the machine itself and of its link (where
clouds keep their metadata) are refused after the name is resolved and before anything is asked, so that a name that
points there does not help whoever may edit rules.
"""

import http.client
import ssl
import threading
import time
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from jitr.aws.errors import code_of
from jitr.crl import MAX_INPUT
from jitr.names import quoted
from jitr.values import dataclass

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

Address: TypeAlias = IPv4Address | IPv6Address

# Together less than what a message leaves of the function's time for one call (jitr.aws.pacing).
_STEP, _WHOLE = 3.0, 7.0  # seconds: for connecting or waiting once, and for all of it
_CHUNK = 256 * 1024
_METADATA = ip_address("fd00:ec2::254")


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

    def fetch(self, url: str, tag: str | None = None) -> Fetched:
        """What is there now. Raises NotFetched."""
        parts = urlsplit(url)
        if parts.scheme == "s3":
            return self._from_s3(parts.netloc, parts.path.removeprefix("/"), tag)
        if parts.scheme == "https":
            self._https = self._https or Https()
            return self._https.fetch(url, tag)
        raise NotFetched("it is neither s3:// nor https://")

    def _from_s3(self, bucket: str, key: str, tag: str | None) -> Fetched:
        self._s3 = self._s3 or self._make_s3()
        condition: dict[str, Any] = {} if tag is None else {"IfNoneMatch": tag}
        try:
            found = self._s3.get_object(Bucket=bucket, Key=key, **condition)
            with found["Body"] as body:
                data = _limited(body.read, time.monotonic() + _WHOLE)
        except ClientError as error:
            return _unchanged_or_refused(error, tag)
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


def _limited(read: Callable[[int], bytes], deadline: float) -> bytes:
    """Read to the end, unless that is too far off or takes too long."""
    found, size = [], 0
    while chunk := read(_CHUNK):
        size += len(chunk)
        if size > MAX_INPUT:
            raise NotFetched(f"it has more than {MAX_INPUT} bytes")
        if time.monotonic() > deadline:
            raise NotFetched(f"it takes more than {_WHOLE:.0f} seconds")
        found.append(chunk)
    return b"".join(found)


def off_limits(address: Address) -> bool:
    """Whether no revocation list can be there: the machine itself, its link, its metadata, or no single machine."""
    inner = getattr(address, "ipv4_mapped", None) or getattr(address, "sixtofour", None) or address
    return (
        inner.is_loopback
        or inner.is_link_local
        or inner.is_multicast
        or inner.is_unspecified
        or inner.is_reserved
        or inner == _METADATA
    )


class Https:
    """GET over TLS, of public servers and those of the function's own network."""

    def __init__(self, context: ssl.SSLContext | None = None, refused: Callable[[Address], bool] = off_limits) -> None:
        self._context = context or ssl.create_default_context()
        self._refused = refused

    def fetch(self, url: str, tag: str | None = None) -> Fetched:
        """What is there now. Raises NotFetched.

        In a thread, because neither resolving a name nor a server that sends a byte every two seconds ever times out.
        """
        answer: list[Fetched | Exception] = []
        thread = threading.Thread(target=self._into, args=(answer, url, tag), daemon=True)
        thread.start()
        thread.join(_WHOLE)
        if not answer:
            raise NotFetched(f"it takes more than {_WHOLE:.0f} seconds")
        if isinstance(answer[0], Exception):
            raise answer[0]
        return answer[0]

    def _into(self, answer: list[Fetched | Exception], url: str, tag: str | None) -> None:
        try:
            answer.append(self._fetch(url, tag))
        except ssl.SSLCertVerificationError as error:
            answer.append(NotFetched(f"the server's certificate is not to be trusted: {error.verify_message}"))
        except (OSError, http.client.HTTPException, ValueError) as error:
            answer.append(NotFetched(f"the server could not be asked: {type(error).__name__}"))
        except Exception as error:  # noqa: BLE001 (raised again where it is waited for)
            answer.append(error)

    def _fetch(self, url: str, tag: str | None) -> Fetched:
        deadline = time.monotonic() + _WHOLE
        parts = urlsplit(url)
        connection = http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=_STEP, context=self._context)
        try:
            connection.connect()
            peer = ip_address(connection.sock.getpeername()[0].partition("%")[0])
            if self._refused(peer):
                raise NotFetched(f"it is at {peer}, where no revocation list is fetched from")
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            conditions = {} if tag is None else {"If-None-Match": tag}
            connection.request("GET", path, headers={"User-Agent": "jitr", "Accept": "*/*"} | conditions)
            return _answer(connection.getresponse(), tag, deadline)
        finally:
            connection.close()


def _answer(response: http.client.HTTPResponse, tag: str | None, deadline: float) -> Fetched:
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
