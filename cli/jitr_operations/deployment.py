"""Which account, Region and stack to work on, and the AWS clients for it.

A ``Choice`` says where to work; its ``account()`` and ``deployment()`` find out the rest, and nothing is asked of AWS
before that. Keys of a real account never go to a stack on
this machine, nor the local stack's keys to AWS: every client is checked when it is made.
"""

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from ipaddress import ip_address
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, overload
from urllib.parse import urlsplit

from jitr import __version__
from jitr.errors import InputError
from jitr.records.history import COMMAND_LINE
from jitr.unseen import quote
from jitr_operations import remembered, telling

if TYPE_CHECKING:
    from botocore.session import Session
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import StackTypeDef
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
            emitters = (client.meta.events for client in self._clients.values())
            for each in (self.session.get_component("event_emitter"), *emitters):
                each.register_first(event, handler)

    def where(self, service: str = "iot") -> str:
        """Return account, Region and endpoint in words; the endpoint is that of the service being changed."""
        return f"account {self.account_id}, Region {self.region}, endpoint {self.client(service).meta.endpoint_url}"

    def announce(self, service: str = "iot") -> None:
        """Say on standard error where something is about to be changed."""
        telling.note(f"In {self.where(service)}")


class NoStack(InputError):
    """There is no such stack, or it is being deleted."""


class MissingOutput(InputError):
    """A stack has not the output that a command needs: it is another's, or of another version."""


class Misremembered(InputError):
    """The stack is not what an earlier command found; nothing was changed yet."""


@dataclass(frozen=True)
class Deployment(Account):
    """A deployed stack of this software."""

    stack_name: str = DEFAULT_STACK
    outputs: Mapping[str, str] = field(default_factory=dict)

    def output(self, name: str) -> str:
        """Return one of the stack's outputs. Raises InputError where the stack has none of that name."""
        if name not in self.outputs:
            raise MissingOutput(
                f"stack {self.stack_name} in account {self.account_id}, Region {self.region}, has no output {name}: "
                "name the stack of this software with --stack, or deploy it again with the version you use here"
            )
        return self.outputs[name]

    def where(self, service: str = "iot") -> str:
        """Return account, Region, endpoint and stack in words."""
        return f"{super().where(service)}, stack {self.stack_name}"


@dataclass(frozen=True, slots=True)
class Choice:
    """The account, Region and stack as the options give them. Nothing has been asked of AWS yet.

    ``memory`` is for commands that are over in a moment: what an earlier one found of the deployment will do.
    """

    local: bool = False
    profile: str | None = None
    region: str | None = None
    endpoint_url: str | None = None
    stack: str = DEFAULT_STACK
    read_only: bool = False
    tool: str = COMMAND_LINE
    memory: "Memory | None" = None

    def account(self) -> Account:
        """Find out the account and the Region.

        Raises InputError for a profile, Region or local stack that is not there, botocore's errors for the rest.
        """
        return self._account(*self._opened())

    def deployment(self) -> Deployment:
        """Find the stack in the account. Raises InputError if it is not there, and as ``account`` does."""
        session, region, local = self._opened()
        name = local.stack_name if local else self.stack
        if self.memory is None:
            return deployed(self._account(session, region, local), name)
        key = remembered.key_of(session, region, self.endpoint_url, name, *_edition(local))
        names = self.memory.recall(key)
        if names is not None:
            account = self._account(session, region, local, names.account_id)
            return self.memory.watching(key, _with_outputs(account, name, names.outputs))
        found = deployed(self._account(session, region, local), name)
        self.memory.remember(key, found)
        return found

    def anew(self) -> "Choice":
        """Return the same place, for who asks AWS what is deployed: what commands found earlier does not count."""
        return replace(self, memory=None if self.memory is None else Memory(recalls=False))

    def _opened(self) -> "tuple[Session, str, LocalStackFile | None]":
        if self.local:
            stack = local_stack()
            return _local_session(stack), stack.region, stack
        session = _session(self.profile)
        return session, _region(self.region, session), None

    def _account(
        self, session: "Session", region: str, local: LocalStackFile | None, account_id: str | None = None
    ) -> Account:
        endpoint = local.endpoint_url if local else self.endpoint_url
        if account_id is None and local:
            account_id = local.account_id
        if account_id is None:
            account_id = _client(session, "sts", region, endpoint, None).get_caller_identity()["Account"]
        return Account(account_id, region, endpoint, session, local, self.read_only, self.tool)


class Memory:
    """What one command takes from earlier ones, and leaves to later ones. See ``remembered``."""

    def __init__(self, *, recalls: bool = True) -> None:
        self._recalls = recalls
        self._given: tuple[str | None, Deployment] | None = None
        self._lock = Lock()

    def recall(self, key: str | None) -> remembered.Discovered | None:
        """Return what an earlier command found."""
        return remembered.recall(key) if key is not None and self._recalls else None

    def remember(self, key: str | None, found: Deployment) -> None:
        """Leave what AWS answered to later commands."""
        if key is not None:
            remembered.remember(key, remembered.Discovered(found.account_id, found.outputs))

    def watching(self, key: str | None, given: Deployment) -> Deployment:
        """Have a deployment that was recalled looked for at AWS before the first change in it; return it."""
        self._given = key, given
        given.listen("before-parameter-build.*.*", self._before_a_call)
        return given

    def misled(self, problem: Exception) -> bool:
        """Return whether a command failed because what it recalled is not so any more. AWS is asked.

        Raises InputError where the stack is gone.
        """
        if self._given is None:
            return False
        return isinstance(problem, Misremembered) or (_may_come_of_names(problem) and not self._is_still_so())

    def _before_a_call(self, model: Any, **_parameters: Any) -> None:
        if _READS.match(model.name) is not None:
            return
        with self._lock:  # one thread asks, the others wait for the answer
            if self._given is not None and not self._is_still_so():
                raise Misremembered("the stack was deployed again a moment ago; nothing was changed: run it again")
            self._given = None

    def _is_still_so(self) -> bool:
        if self._given is None:
            return True
        key, given = self._given
        if key is not None:
            remembered.forget(key)  # whatever comes of it: who runs it again asks AWS
        return is_still_so(given)


def _may_come_of_names(problem: Exception) -> bool:
    """Return whether an error of a command may come of names that are gone: AWS's answers, and what we make of them."""
    causes = {type(each).__module__.partition(".")[0] for each in (problem, problem.__cause__) if each is not None}
    return "botocore" in causes or isinstance(problem, MissingOutput)


def _edition(local: LocalStackFile | None) -> tuple[object, ...]:
    """Return what tells one run of the local stack from the next, which may have its address and names."""
    return () if local is None else (local.endpoint_url, local.file, local.file.stat().st_mtime_ns)


def is_still_so(found: Deployment) -> bool:
    """Return whether AWS tells of a stack what was found. Raises NoStack where it is gone, or going."""
    stack = _stack(found, found.stack_name)
    if stack["StackStatus"] == "DELETE_IN_PROGRESS":
        raise NoStack(f"stack {found.stack_name} is being deleted: what is changed in it now would be lost")
    return _outputs_of(stack, found, found.stack_name) == found.outputs


def deployed(account: Account, name: str) -> Deployment:
    """Return the stack of that name in an account. Raises InputError where there is none that stands."""
    return _with_outputs(account, name, _outputs(account, name))


def _with_outputs(account: Account, name: str, outputs: Mapping[str, str]) -> Deployment:
    shared = {each.name: getattr(account, each.name) for each in fields(Account)}
    return Deployment(**shared, stack_name=name, outputs=outputs)


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


def _session(profile: str | None) -> "Session":
    """Return botocore's session: boto3 would add to each command's start, and nothing that is used here."""
    from botocore.exceptions import ProfileNotFound
    from botocore.session import Session

    session = Session(profile=profile)
    try:
        session.get_scoped_config()  # else a profile that is not there is found missing when it is used
    except ProfileNotFound as problem:
        raise InputError(f"{problem}: `aws configure list-profiles` prints those there are") from None
    return session


def _local_session(stack: LocalStackFile) -> "Session":
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


def _region(chosen: str | None, session: "Session") -> str:
    # botocore reads AWS_DEFAULT_REGION and the profile; AWS_REGION is what the other SDKs read, and goes first.
    region = chosen or os.environ.get("AWS_REGION") or session.get_config_variable("region")
    if not region:
        raise InputError("no Region: give --region, or set AWS_REGION")
    return region


def _client(
    session: "Session",
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
    if _READS.match(model.name) is None:
        raise InputError(f"nothing can be changed here, it is open for reading only (--read-only): {model.name}")


def _refuse_mixed(session: "Session", url: str) -> None:
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


def _stack(account: Account, name: str) -> "StackTypeDef":
    from botocore.exceptions import ClientError

    try:
        return account.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as problem:
        # ValidationError is the answer for a stack that does not exist, and for a name that cannot be one.
        if problem.response["Error"]["Code"] != "ValidationError":
            raise
        raise NoStack(
            f"there is no stack {name} {_there(account)}: deploy it (`sam deploy`), or say which one it is "
            "with --stack, --region and --profile"
        ) from None


def _outputs(account: Account, name: str) -> dict[str, str]:
    return _outputs_of(_stack(account, name), account, name)


def _outputs_of(stack: "StackTypeDef", account: Account, name: str) -> dict[str, str]:
    outputs = {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", [])}
    if not outputs:
        raise InputError(
            f"stack {name} {_there(account)} has no outputs; it is {stack['StackStatus']}: "
            "wait until it is deployed, or look at its events in CloudFormation"
        )
    return outputs


def _there(account: Account) -> str:
    return f"in account {account.account_id}, Region {account.region}"
