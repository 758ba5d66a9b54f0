"""An AWS account in a Region, and the AWS clients for it.

Keys of a real account never go to a stack on this machine, nor the local stack's keys to AWS: every client is checked
when it is made.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, overload
from urllib.parse import urlsplit

from jitr import __version__
from jitr.errors import InputError
from jitr.records.history import COMMAND_LINE
from jitr.unseen import quote
from jitr_operations import telling
from jitr_operations.local_state import LocalStackFile, is_on_this_machine, local_stack

if TYPE_CHECKING:
    from botocore.session import Session
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_iot import IoTClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sts import STSClient

# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-prefixes
_REAL_ACCESS_KEY = re.compile(r"(AKIA|ASIA)[A-Z0-9]{12,}")
# Looking at a failure queue hides its messages for a while, and then lets them be seen again: nothing is changed.
_READS = re.compile("(Get|List|Describe|BatchGet|Query|ReceiveMessage|ChangeMessageVisibility)")
_AWS_HOST = re.compile(r"\.(amazonaws\.com(\.cn)?|api\.aws)$")


@dataclass(frozen=True)
class Account:
    """An AWS account in a Region, or the local stack's stand-in for one.

    ``endpoint`` is what was asked for; None leaves it to botocore (AWS_ENDPOINT_URL, the profile, AWS's own).
    ``tool`` is what works in it, for the history.
    """

    account_id: str
    region: str
    endpoint: str | None
    session: "Session" = field(repr=False, compare=False)
    local: LocalStackFile | None = field(default=None, repr=False)
    read_only: bool = False
    tool: str = COMMAND_LINE
    _clients: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)
    _lock: Any = field(default_factory=Lock, repr=False, compare=False)

    @overload
    def client(self, service: Literal["iot"]) -> "IoTClient": ...
    @overload
    def client(self, service: Literal["dynamodb"]) -> "DynamoDBClient": ...
    @overload
    def client(self, service: Literal["sqs"]) -> "SQSClient": ...
    @overload
    def client(self, service: Literal["cloudformation"]) -> "CloudFormationClient": ...
    @overload
    def client(self, service: Literal["cloudwatch"]) -> "CloudWatchClient": ...
    @overload
    def client(self, service: Literal["sts"]) -> "STSClient": ...
    @overload
    def client(self, service: str) -> Any: ...
    def client(self, service: str) -> Any:
        """Return botocore's client for a service, made once.

        Raises InputError where endpoint and keys do not belong together.
        """
        with self._lock:  # clients are for several threads, and sessions, which make them, are not
            if service not in self._clients:
                client = make_client(self.session, service, self.region, self.endpoint, self.local)
                if self.read_only:
                    client.meta.events.register("before-parameter-build.*.*", _refuse_writes)
                self._clients[service] = client
            return self._clients[service]

    def client_without_retries(self, service: Literal["iot"]) -> "IoTClient":
        """Return a new client that hands on each answer of AWS, a refusal as well, and asks nothing again.

        Raises InputError where endpoint and keys do not belong together.
        """
        client: IoTClient = make_client(self.session, service, self.region, self.endpoint, self.local, attempts=1)
        if self.read_only:
            client.meta.events.register("before-parameter-build.*.*", _refuse_writes)
        return client

    def listen(self, event: str, handler: Callable[..., None]) -> None:
        """Have a handler called at each event of that name, of clients made already and of those to come."""
        with self._lock:
            emitters = (client.meta.events for client in self._clients.values())
            for each in (self.session.get_component("event_emitter"), *emitters):
                each.register_first(event, handler)

    def where(self, service: str = "iot") -> str:
        """Return account, Region and endpoint in words; the endpoint is that of the service being changed."""
        return f"account {self.account_id}, Region {self.region}, endpoint {self.client(service).meta.endpoint_url}"

    def announce(self, service: str = "iot") -> None:
        """Say on standard error where something is about to be changed."""
        telling.note(f"In {self.where(service)}")


def session_of(profile: str | None) -> "Session":
    """Return botocore's session: boto3 would add to each command's start, and nothing that is used here."""
    from botocore.exceptions import ProfileNotFound
    from botocore.session import Session

    session = Session(profile=profile)
    try:
        session.get_scoped_config()  # else a profile that is not there is found missing when it is used
    except ProfileNotFound as problem:
        raise InputError(f"{problem}: `aws configure list-profiles` prints those there are") from None
    return session


def local_session(stack: LocalStackFile) -> "Session":
    """Return a session that knows only the local stack's keys: no profile, no file, no environment."""
    from botocore.session import Session

    blank = (None, None, None, None)
    session = Session(
        session_vars={
            "profile": blank,
            "config_file": (None, None, os.devnull, None),
            "credentials_file": (None, None, os.devnull, None),
        }
    )
    session.set_credentials(stack.access_key_id, stack.secret_access_key)
    session.set_config_variable("region", stack.region)
    return session


def region_of(chosen: str | None, session: "Session") -> str:
    """Return the Region to work in. Raises InputError where nobody says which."""
    # botocore reads AWS_DEFAULT_REGION and the profile; AWS_REGION is what the other SDKs read, and goes first.
    region = chosen or os.environ.get("AWS_REGION") or session.get_config_variable("region")
    if not region:
        raise InputError("no Region: give --region, or set AWS_REGION")
    return region


def make_client(
    session: "Session",
    service: str,
    region: str,
    endpoint: str | None,
    local: LocalStackFile | None,
    attempts: int = 5,
) -> Any:
    """Return a new client of botocore's for a service. Raises InputError where endpoint and keys do not fit."""
    from botocore.config import Config
    from botocore.exceptions import InvalidRegionError

    settings: dict[str, Any] = {
        "retries": {"mode": "standard", "total_max_attempts": attempts},
        "user_agent_extra": f"jitr/{__version__}",
        "connect_timeout": 10,
        "read_timeout": 60,
    }
    if local:
        settings["proxies"] = {}  # a proxy of the environment is not the way to this machine
    try:
        client = session.create_client(service, region_name=region, endpoint_url=endpoint, config=Config(**settings))
    except InvalidRegionError:
        raise InputError(f"{quote(region)} is not the name of a Region: it looks like eu-central-1") from None
    except ValueError as problem:  # botocore's word for an endpoint that is not a URL
        raise InputError(f"the endpoint cannot be used: {problem}") from None
    url = client.meta.endpoint_url
    if urlsplit(url).scheme not in ("https", "http"):  # botocore would fail at the first call, as for a network's fault
        raise InputError(f"the endpoint {quote(url)} cannot be used: it begins with neither https:// nor http://")
    if local is None:
        _refuse_mixed(session, url)
    return client


def _refuse_writes(model: Any, **_parameters: Any) -> None:
    """Refuse every call to AWS that is not known to leave everything as it is."""
    if not reads(model.name):
        raise InputError(f"nothing can be changed here, it is open for reading only (--read-only): {model.name}")


def _refuse_mixed(session: "Session", url: str) -> None:
    """Refuse real keys for an endpoint on this machine, and the local stack's keys for any other."""
    here = is_on_this_machine(url)
    if not here and not _AWS_HOST.search(urlsplit(url).hostname or ""):
        return
    local_key = _local_key()
    if not here and local_key is None:
        return
    credentials = session.get_credentials()
    key = credentials.access_key if credentials else None
    if not here and key == local_key:
        raise InputError(
            f"these are the local stack's keys, and {url} is not the local stack: add --local, "
            "or use keys of an AWS account (unset AWS_ACCESS_KEY_ID, or --profile)"
        )
    if here and key and key != local_key and _REAL_ACCESS_KEY.fullmatch(key):
        raise InputError(
            f"{url} is on this machine, and the keys are those of an AWS account: use --local for the local stack, "
            "or unset AWS_ENDPOINT_URL for AWS"
        )


def _local_key() -> str | None:
    """Return the access key id of this checkout's local stack, if there is one that can be read."""
    try:
        return local_stack().access_key_id
    except InputError:
        return None


def reads(operation: str) -> bool:
    """Return whether a call to AWS is known to leave everything as it is."""
    return _READS.match(operation) is not None
