"""Where revocation lists are fetched from: the addresses in the rules file, and nowhere else.

S3 with the function's own role; or https or http, as ``jitr.aws.web`` asks. A list is signed by its CA, so http gives
nobody a list that the CA did not make; whoever is on the way may keep a newer one back, until the one at hand runs out.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from jitr.aws.connections import Deadline
from jitr.aws.errors import code_of
from jitr.aws.web import NotFetched, Web, WebRequest, limited, too_long
from jitr.values import dataclass
from jitr.x509.crl import MAX_INPUT

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# Less than what a message leaves of the function's time for one call (jitr.aws.pacing).
_WHOLE = 7.0  # seconds


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer from an address, and the entity tag for the next request; no ``data`` if it has not changed."""

    data: bytes | None
    tag: str | None = None


class CrlSources:
    """Fetches from ``s3://BUCKET/KEY``, ``https://HOST/PATH`` and ``http://HOST/PATH``.

    The client of S3 is made when it is first needed.
    """

    def __init__(self, s3: Callable[[], "S3Client"], web: Web | None = None) -> None:
        self._make_s3 = s3
        self._s3: S3Client | None = None
        self._web = web or Web()

    def fetch(self, url: str, tag: str | None = None, *, private_network: bool = False) -> Fetched:
        """Return what is there now; ``private_network`` allows a server that is in one. Raises NotFetched."""
        parts = urlsplit(url)
        if parts.scheme == "s3":
            return self._from_s3(parts.netloc, parts.path.removeprefix("/"), tag)
        if parts.scheme in ("https", "http"):
            return self._from_the_web(url, tag, private_network)
        raise NotFetched("it is none of s3://, https:// and http://")

    def _from_the_web(self, url: str, tag: str | None, private_network: bool) -> Fetched:
        conditions = {} if tag is None else {"If-None-Match": tag}
        what = "a revocation list"
        request = WebRequest(url, what, "crl", MAX_INPUT, _WHOLE, private_network, headers=conditions)
        answer = self._web.ask(request)
        return Fetched(None, tag) if answer.status == 304 else Fetched(answer.body, answer.tag)

    def _from_s3(self, bucket: str, key: str, tag: str | None) -> Fetched:
        self._s3 = self._s3 or self._make_s3()
        condition: dict[str, Any] = {} if tag is None else {"IfNoneMatch": tag}
        try:
            found = self._s3.get_object(Bucket=bucket, Key=key, **condition)
            with found["Body"] as body:
                data = limited(body.read, MAX_INPUT, Deadline(_WHOLE))
        except ClientError as error:
            return _unchanged_or_refused(error, tag)
        except TimeoutError as error:
            raise NotFetched(too_long(_WHOLE)) from error
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
