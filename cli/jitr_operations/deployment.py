"""Which account, Region and stack to work on.

A ``Choice`` says where to work; its ``account()`` and ``deployment()`` find out the rest, and nothing is asked of AWS
before that.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from threading import Lock
from typing import TYPE_CHECKING, Any

from jitr.errors import InputError
from jitr.records.history import COMMAND_LINE
from jitr_operations import remembered
from jitr_operations.accounts import Account, local_session, make_client, reads, region_of, session_of
from jitr_operations.local_state import LocalStackFile, local_stack

if TYPE_CHECKING:
    from botocore.session import Session
    from mypy_boto3_cloudformation.type_defs import StackTypeDef

DEFAULT_STACK = "jitr"


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
            return local_session(stack), stack.region, stack
        session = session_of(self.profile)
        return session, region_of(self.region, session), None

    def _account(
        self, session: "Session", region: str, local: LocalStackFile | None, account_id: str | None = None
    ) -> Account:
        endpoint = local.endpoint_url if local else self.endpoint_url
        if account_id is None and local:
            account_id = local.account_id
        if account_id is None:
            account_id = make_client(session, "sts", region, endpoint, None).get_caller_identity()["Account"]
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
        if reads(model.name):
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
