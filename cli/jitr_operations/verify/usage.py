"""The usage of AWS by a run, as far as the command sees it. It tells counts, no prices: those are AWS's to change."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from jitr_operations.accounts import Account

NOT_COUNTED = (
    "Not counted: what the stack's functions call, their logs and metrics, and what AWS IoT, SQS and SNS do for "
    "devices and messages. The AWS bill shows the rest."
)
_SECONDS_OF_A_MINUTE = 60


@dataclass(frozen=True, slots=True)
class StackUsage:
    """A stack that stood for a run alone, with a bucket for its code. ``resources`` are counts by type, if known."""

    name: str
    seconds: int
    resources: Mapping[str, int]

    def __str__(self) -> str:
        """Return it as a line of the report."""
        listed = ", ".join(f"{count} {kind}" for kind, count in sorted(self.resources.items()))
        minutes = self.seconds / _SECONDS_OF_A_MINUTE
        return f"stack {self.name} and a bucket for its code, for {minutes:.1f} minutes: {listed or 'not listed'}"


@dataclass(slots=True)
class Usage:
    """The calls, connections and messages of one run, and the stack that it deployed for itself."""

    connections: int = 0
    sent: int = 0
    received: int = 0
    stack: StackUsage | None = None
    _calls: Counter[str] = field(default_factory=Counter)  # by service, as the next
    _requests: Counter[str] = field(default_factory=Counter)
    _lock: Any = field(default_factory=Lock)

    @classmethod
    def of(cls, account: Account) -> "Usage":
        """Count from now on what is asked of AWS in an account."""
        usage = cls()
        # https://docs.aws.amazon.com/boto3/latest/guide/events.html: a call is one event, each of its requests another.
        account.listen("before-call", usage._count_call)
        account.listen("request-created", usage._count_request)
        account.listen("after-call.sqs.ReceiveMessage", usage._count_received)
        account.listen("after-call.sqs.SendMessage", usage._count_sent)
        return usage

    def to_json(self) -> dict[str, Any]:
        """Return it as ``--json`` prints it."""
        stack = self.stack
        return {
            "calls": {
                service: {"calls": calls, "retries": max(self._requests[service] - calls, 0)}
                for service, calls in sorted(self._calls.items())
            },
            "connections": self.connections,
            "messages": {"sent": self.sent, "received": self.received},
            "stack": stack
            and {"name": stack.name, "seconds": stack.seconds, "resources": dict(sorted(stack.resources.items()))},
        }

    def lines(self) -> list[str]:
        """Return it in words, a line for each kind."""
        counts = self.to_json()["calls"].items()
        calls = ", ".join(f"{each['calls']} {service}" + _retried(each["retries"]) for service, each in counts)
        return [
            f"calls to AWS: {calls or 'none'}",
            f"connections by MQTT: {self.connections}",
            f"messages in queues: {self.sent} sent, {self.received} received",
            *([] if self.stack is None else [str(self.stack)]),
        ]

    def _count_call(self, event_name: str, **_about: Any) -> None:
        with self._lock:  # s3 uploads in threads
            self._calls[_service(event_name)] += 1

    def _count_request(self, event_name: str, **_about: Any) -> None:
        with self._lock:
            self._requests[_service(event_name)] += 1

    def _count_received(self, parsed: Mapping[str, Any], **_about: Any) -> None:
        self.received += len(parsed.get("Messages", []))

    def _count_sent(self, parsed: Mapping[str, Any], **_about: Any) -> None:
        self.sent += "MessageId" in parsed


def resources_of(account: Account, stack: str) -> Mapping[str, int]:
    """Return how many resources of each type a stack has; nothing where AWS does not say."""
    from botocore.exceptions import ClientError

    pages = account.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack)
    try:
        return Counter(each["ResourceType"] for page in pages for each in page["StackResourceSummaries"])
    except ClientError:
        return {}  # a report of minutes is not given up for it


def _service(event_name: str) -> str:
    return event_name.split(".")[1]


def _retried(retries: int) -> str:
    return f" (and {retries} again)" if retries else ""
