"""Other topic rules of AWS IoT that take registration events: whatever they lead to may admit devices, too."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from jitr_operations import telling
from jitr_operations.accounts import Account
from jitr_operations.deployment import Deployment

EVENTS = ("$aws", "events", "certificates", "registered")  # and one level more, the caCertificateId
MOST_LOOKED_AT = 50
# What only keeps or counts events. https://docs.aws.amazon.com/iot/latest/apireference/API_Action.html
_ARCHIVES = ("elasticsearch", "firehose", "openSearch", "s3", "timestream")
_KEEPING = frozenset({"cloudwatchAlarm", "cloudwatchLogs", "cloudwatchMetric", *_ARCHIVES})


@dataclass(frozen=True)
class TopicRule:
    """A topic rule that takes registration events.

    ``leads_to`` is empty where that cannot be seen. ``stack`` is the stack of this software that it belongs to; None
    where it belongs to none, or that cannot be seen.
    """

    name: str
    pattern: str
    leads_to: tuple[str, ...]
    stack: str | None = None

    def to_json(self) -> dict[str, object]:
        """Return it as ``--json`` prints it."""
        return {
            "topic_rule": self.name,
            "pattern": self.pattern,
            "leads_to": list(self.leads_to),
            "stack": self.stack,
        }

    @property
    def what(self) -> str:
        """Which one it is, in words."""
        where = f", and leads to {', '.join(self.leads_to)}" if self.leads_to else ""
        of = f" of stack {self.stack}" if self.stack else ""
        return f"topic rule {self.name}{of} takes registration events, too ({self.pattern}){where}"

    @property
    def told(self) -> str:
        """What it is, what it means, and what to do."""
        if self.stack:
            return (
                f"{self.what}: each of the two stacks decides every device, and the laxer one admits it. Keep one for "
                f"each account and Region: delete the other (`sam delete --stack-name {self.stack}`), or have its "
                f"topic rule rest (`aws iot disable-topic-rule --rule-name {self.name}`)"
            )
        return (
            f"{self.what}: what is behind it may make devices ACTIVE that these rules hold or deny. Find out what it "
            f"is for; `aws iot disable-topic-rule --rule-name {self.name}` has it rest"
        )


@dataclass(frozen=True)
class Taking:
    """The topic rules that take registration events: the stack's own, and those of others that are enabled.

    ``own`` is None where the stack has none that feeds its queue, or that cannot be seen (``seen``).
    """

    own: str | None
    enabled: bool
    seen: bool
    others: tuple[TopicRule, ...]

    @property
    def told(self) -> str | None:
        """Why the stack gets no events, and what to do; None where it does, or that cannot be seen."""
        if self.own is None and self.seen:
            return (
                "no topic rule gives registration events to this stack, so that nobody new is decided: "
                "deploy it again (`sam deploy`)"
            )
        if self.own is None or self.enabled:
            return None
        return (
            f"topic rule {self.own} of this stack is disabled, so that nobody new is decided: "
            f"`aws iot enable-topic-rule --rule-name {self.own}`"
        )


def taking(account: Account) -> Taking:
    """Return the topic rules that take registration events and do more than keep them.

    In an account without a stack each of them is another's. Raises botocore's errors.
    """
    iot = account.client("iot")
    ours = account.output("RegistrationQueueUrl") if isinstance(account, Deployment) else None
    own, enabled, found = None, False, list[TopicRule]()
    candidates = list(islice(_taking(iot), MOST_LOOKED_AT))
    seen = len(candidates) < MOST_LOOKED_AT
    for each in candidates:
        actions = _actions(iot, each["ruleName"])
        seen = seen and bool(actions)
        queues = {action.get("sqs", {}).get("queueUrl") for action in actions} - {None}
        if ours in queues:
            own, enabled = each["ruleName"], enabled or not each.get("ruleDisabled")
        elif not each.get("ruleDisabled") and _may_admit(actions):
            stack = _stack_of(account, queues) if queues else None
            found.append(TopicRule(each["ruleName"], each["topicPattern"], tuple(_targets(actions)), stack))
    return Taking(own, enabled, seen, tuple(found))


def taking_as_far_as_allowed(deployment: Deployment) -> Taking | None:
    """Return ``taking``; None, and a note, where one may not ask."""
    from botocore.exceptions import ClientError

    try:
        return taking(deployment)
    except ClientError as problem:
        telling.note(f"Whether other topic rules take registration events is not known: {problem}")
        return None


def warn_of_others(deployment: Deployment) -> None:
    """Warn of each other topic rule before something is put in force that it may undo."""
    found = taking_as_far_as_allowed(deployment)
    for each in () if found is None else found.others:
        telling.warn(each.told)


def _taking(iot: Any) -> Iterator[Mapping[str, Any]]:
    for page in iot.get_paginator("list_topic_rules").paginate():
        yield from (each for each in page["rules"] if takes_events(each.get("topicPattern") or ""))


def _may_admit(actions: list[dict[str, Any]]) -> bool:
    kinds = {kind for action in actions for kind in action}
    return not kinds or bool(kinds - _KEEPING)


def takes_events(pattern: str) -> bool:
    """Return whether a topic filter matches the registration events of some CA.

    A wildcard on the first level matches no topic that begins with ``$`` (MQTT 3.1.1 section 4.7.2).
    """
    for place, level in enumerate(pattern.split("/")):
        if level == "#":
            return place > 0
        if place > len(EVENTS):
            return False
        if place == len(EVENTS) or (level == "+" and place > 0):
            continue
        if level != EVENTS[place]:
            return False
    return pattern.count("/") == len(EVENTS)


def _actions(iot: Any, name: str) -> list[dict[str, Any]]:
    """Return what a topic rule does; nothing where it is gone, or may not be looked at."""
    from botocore.exceptions import ClientError

    try:
        return list(iot.get_topic_rule(ruleName=name)["rule"].get("actions", []))
    except ClientError:
        return []


def _stack_of(account: Account, queues: set[str]) -> str | None:
    """Return the stack of this software that one of the queues belongs to; None also where one may not look."""
    from botocore.exceptions import ClientError

    try:
        for page in account.client("cloudformation").get_paginator("describe_stacks").paginate():
            for stack in page["Stacks"]:
                outputs = {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", [])}
                if outputs.get("RegistrationQueueUrl") in queues:
                    return stack["StackName"]
    except ClientError:
        return None
    return None


def _targets(actions: list[dict[str, Any]]) -> Iterator[str]:
    names = {"sqs": "queueUrl", "lambda": "functionArn", "sns": "targetArn", "republish": "topic", "http": "url"}
    for action in actions:
        for kind, settings in action.items():
            name = str(settings.get(names.get(kind, ""), "")) if isinstance(settings, Mapping) else ""
            yield f"{kind} {name if kind == 'republish' else name.replace(':', '/').rsplit('/', 1)[-1]}".strip()
