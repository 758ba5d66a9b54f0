"""Which account, Region and stack to work on, and the AWS clients for it.

A ``Choice`` says where to work; its ``account()`` and ``deployment()`` find out the rest, and nothing is asked of AWS
before that. Keys of a real account never go to a stack on
this machine, nor the local stack's keys to AWS: every client is checked when it is made.
"""

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from ipaddress import ip_address
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, overload
from urllib.parse import urlsplit

from jitr import __version__
from jitr.errors import InputError
from jitr.records.history import COMMAND_LINE
from jitr.unseen import quote
from jitr_operations import telling

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_iot import IoTClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sts import STSClient

DEFAULT_STACK = "jitr"
_STATE = Path(".local") / "stack.json"
_INSTALLED = Path(__file__).resolve().parent  # below the checkout, if this is installed from one
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-prefixes
_REAL_ACCESS_KEY = re.compile(r"(AKIA|ASIA)[A-Z0-9]{12,}")
# Looking at a failure queue hides its messages for a while, and then lets them be seen again: nothing is changed.
_READS = re.compile("(Get|List|Describe|BatchGet|Query|ReceiveMessage|ChangeMessageVisibility)")
_AWS_HOST = re.compile(r"\.(amazonaws\.com(\.cn)?|api\.aws)$")


@dataclass(frozen=True, slots=True)
class LocalStackFile:
    """The local stack that runs in a checkout, as its ``.local/stack.json`` tells."""

    file: Path
    endpoint_url: str
    region: str
    account_id: str
    stack_name: str
    access_key_id: str
    secret_access_key: str = field(repr=False)
    mqtt_host: str = ""
    mqtt_port: int = 0
    broker_ca: str = ""


@dataclass(frozen=True)
class Account:
    """An AWS account in a Region, or the local stack's stand-in for one.

    ``endpoint`` is what was asked for; None leaves it to botocore (AWS_ENDPOINT_URL, the profile, AWS's own).
    ``tool`` is what works in it, for the history.
    """

    account_id: str
    region: str
    endpoint: str | None
    session: "boto3.Session" = field(repr=False, compare=False)
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
        """Return the boto3 client for a service, made once.

        Raises InputError where endpoint and keys do not belong together.
        """
        with self._lock:  # boto3's clients are for several threads, and its sessions, which make them, are not
            if service not in self._clients:
                client = _client(self.session, service, self.region, self.endpoint, self.local)
                if self.read_only:
                    client.meta.events.register("before-parameter-build.*.*", _refuse_writes)
                self._clients[service] = client
            return self._clients[service]

    def client_without_retries(self, service: Literal["iot"]) -> "IoTClient":
        """Return a new client that hands on each answer of AWS, a refusal as well, and asks nothing again.

        Raises InputError where endpoint and keys do not belong together.
        """
        client: IoTClient = _client(self.session, service, self.region, self.endpoint, self.local, attempts=1)
        if self.read_only:
            client.meta.events.register("before-parameter-build.*.*", _refuse_writes)
        return client

    def listen(self, event: str, handler: Callable[..., None]) -> None:
        """Have a handler called at each event of that name, of clients made already and of those to come."""
        with self._lock:
            for each in (self.session, *(client.meta for client in self._clients.values())):
                each.events.register_first(event, handler)

    def where(self, service: str = "iot") -> str:
        """Account, Region and endpoint in words; the endpoint is that of the service which the command changes."""
        return f"account {self.account_id}, Region {self.region}, endpoint {self.client(service).meta.endpoint_url}"

    def announce(self, service: str = "iot") -> None:
        """Say on standard error where something is about to be changed."""
        telling.note(f"In {self.where(service)}")


@dataclass(frozen=True)
class Deployment(Account):
    """A deployed stack of this software."""

    stack_name: str = DEFAULT_STACK
    outputs: Mapping[str, str] = field(default_factory=dict)

    def output(self, name: str) -> str:
        """One of the stack's outputs. Raises InputError where the stack has none of that name."""
        if name not in self.outputs:
            raise InputError(
                f"stack {self.stack_name} in account {self.account_id}, Region {self.region}, has no output {name}: "
                "name the stack of this software with --stack, or deploy it again with the version you use here"
            )
        return self.outputs[name]

    def where(self, service: str = "iot") -> str:
        """Account, Region, endpoint and stack in words."""
        return f"{super().where(service)}, stack {self.stack_name}"


@dataclass(frozen=True, slots=True)
class Choice:
    """The account, Region and stack as the options give them. Nothing has been asked of AWS yet."""

    local: bool = False
    profile: str | None = None
    region: str | None = None
    endpoint_url: str | None = None
    stack: str = DEFAULT_STACK
    read_only: bool = False
    tool: str = COMMAND_LINE

    def account(self) -> Account:
        """Find out the account and the Region.

        Raises InputError for a profile, Region or local stack that is not there, botocore's errors for the rest.
        """
        if self.local:
            stack = local_stack()
            return Account(
                stack.account_id,
                stack.region,
                stack.endpoint_url,
                _local_session(stack),
                stack,
                self.read_only,
                self.tool,
            )
        session = _session(self.profile)
        region = _region(self.region, session)
        sts: STSClient = _client(session, "sts", region, self.endpoint_url, None)
        account_id = sts.get_caller_identity()["Account"]
        return Account(account_id, region, self.endpoint_url, session, read_only=self.read_only, tool=self.tool)

    def deployment(self) -> Deployment:
        """Find the stack in the account. Raises InputError if it is not there, and as ``account`` does."""
        account = self.account()
        return deployed(account, account.local.stack_name if account.local else self.stack)


def deployed(account: Account, name: str) -> Deployment:
    """Return the stack of that name in an account. Raises InputError where there is none that stands."""
    shared = {each.name: getattr(account, each.name) for each in fields(account)}
    return Deployment(**shared, stack_name=name, outputs=_outputs(account, name))


def local_stack(start: Path | None = None) -> LocalStackFile:
    """Return the local stack of the checkout that ``start`` (default: the current directory) is in.

    Outside a checkout it is that of the checkout which this ``jitr`` was installed from.
    Raises InputError where none is running or its file cannot be used.
    """
    starts = (start or Path.cwd(), _INSTALLED)
    file = next(filter(None, map(_state_file, starts)), None)
    if file is None:
        looked = " and ".join(dict.fromkeys(str(each.resolve()) for each in starts))
        raise InputError(
            f"no local stack is running: `jitr local up` starts one (there is no {_STATE} in {looked}, nor above)"
        )
    return _read_state(file)


def _state_file(start: Path) -> Path | None:
    folders = (start.resolve(), *start.resolve().parents)
    return next((each / _STATE for each in folders if (each / _STATE).is_file()), None)


def _read_state(file: Path) -> LocalStackFile:
    again = "`jitr local down`, then `jitr local up`, write it anew"
    try:
        data = json.loads(file.read_text("utf-8"))
        texts = {
            name: str(data[name])
            for name in ("endpoint_url", "region", "account_id", "stack_name", "access_key_id", "secret_access_key")
        }
        stack = LocalStackFile(
            file=file,
            **texts,
            mqtt_host=str(data["mqtt_host"]),
            mqtt_port=int(data["mqtt_port"]),
            broker_ca=str(data["broker_ca"]),
        )
    except KeyError as missing:
        raise InputError(f"{file} has no {missing.args[0]}: {again}") from None
    except (OSError, ValueError, TypeError) as problem:
        raise InputError(f"{file} cannot be read ({problem}): {again}") from None
    if not _on_this_machine(stack.endpoint_url):
        raise InputError(f"{file} names {stack.endpoint_url}, which is not on this machine: {again}")
    return stack


def _on_this_machine(url: str) -> bool:
    try:
        return is_this_machine(urlsplit(url).hostname or "")
    except ValueError:
        return False


def is_this_machine(host: str) -> bool:
    """Return whether a host's name or address is that of this machine alone."""
    if host == "localhost" or host.endswith(".localhost"):  # RFC 6761 section 6.3
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _session(profile: str | None) -> "boto3.Session":
    import boto3
    from botocore.exceptions import ProfileNotFound

    try:
        return boto3.Session(profile_name=profile)
    except ProfileNotFound as problem:
        raise InputError(f"{problem}: `aws configure list-profiles` prints those there are") from None


def _local_session(stack: LocalStackFile) -> "boto3.Session":
    """Return a session that knows only the local stack's keys: no profile, no file, no environment."""
    import boto3
    import botocore.session

    blank = (None, None, None, None)
    bare = botocore.session.Session(
        session_vars={
            "profile": blank,
            "config_file": (None, None, os.devnull, None),
            "credentials_file": (None, None, os.devnull, None),
        }
    )
    return boto3.Session(
        aws_access_key_id=stack.access_key_id,
        aws_secret_access_key=stack.secret_access_key,
        region_name=stack.region,
        botocore_session=bare,
    )


def _region(chosen: str | None, session: "boto3.Session") -> str:
    # boto3 reads AWS_DEFAULT_REGION and the profile; AWS_REGION is what the other SDKs read, and goes first.
    region = chosen or os.environ.get("AWS_REGION") or session.region_name
    if not region:
        raise InputError("no Region: give --region, or set AWS_REGION")
    return region


def _client(
    session: "boto3.Session",
    service: str,
    region: str,
    endpoint: str | None,
    local: LocalStackFile | None,
    attempts: int = 5,
) -> Any:
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
        client = session.client(  # type: ignore[call-overload]
            service, region_name=region, endpoint_url=endpoint, config=Config(**settings)
        )
    except InvalidRegionError:
        raise InputError(f"{quote(region)} is not the name of a Region: it looks like eu-central-1") from None
    except ValueError as problem:  # botocore's word for an endpoint that is not a URL
        raise InputError(f"the endpoint cannot be used: {problem}") from None
    if local is None:
        _refuse_mixed(session, client.meta.endpoint_url)
    return client


def _refuse_writes(model: Any, **_parameters: Any) -> None:
    """Refuse every call to AWS that is not known to leave everything as it is."""
    if _READS.match(model.name) is None:
        raise InputError(f"nothing can be changed here, it is open for reading only (--read-only): {model.name}")


def _refuse_mixed(session: "boto3.Session", url: str) -> None:
    """Refuse real keys for an endpoint on this machine, and the local stack's keys for any other."""
    here = _on_this_machine(url)
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


def _outputs(account: Account, name: str) -> dict[str, str]:
    from botocore.exceptions import ClientError

    there = f"in account {account.account_id}, Region {account.region}"
    try:
        stacks = account.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
    except ClientError as problem:
        # ValidationError is the answer for a stack that does not exist, and for a name that cannot be one.
        if problem.response["Error"]["Code"] != "ValidationError":
            raise
        raise InputError(
            f"there is no stack {name} {there}: deploy it (`sam deploy`), or say which one it is "
            "with --stack, --region and --profile"
        ) from None
    outputs = {each["OutputKey"]: each["OutputValue"] for each in stacks[0].get("Outputs", [])}
    if not outputs:
        raise InputError(
            f"stack {name} {there} has no outputs; it is {stacks[0]['StackStatus']}: "
            "wait until it is deployed, or look at its events in CloudFormation"
        )
    return outputs
