"""Other topic rules of AWS IoT that take registration events: whatever they lead to may admit devices, too."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jitr_operations import telling
from jitr_operations.deployment import Account, Deployment

EVENTS = ("$aws", "events", "certificates", "registered")  # and one level more, the caCertificateId
MOST_LOOKED_AT = 10
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
        """As ``--json`` prints it."""
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


def others(account: Account) -> list[TopicRule]:
    """Return the enabled topic rules but the stack's own that take registration events and do more than keep them.

    In an account without a stack that is every such rule. Raises botocore's errors.
    """
    iot = account.client("iot")
    ours = account.output("RegistrationQueueUrl") if isinstance(account, Deployment) else None
    found: list[TopicRule] = []
    for each in _taking(iot):
        if len(found) == MOST_LOOKED_AT:
            break
        actions = _actions(iot, each["ruleName"])
        queues = {action.get("sqs", {}).get("queueUrl") for action in actions} - {None}
        if ours in queues:
            continue
        kinds = {kind for action in actions for kind in action}
        if not kinds or kinds - _KEEPING:
            stack = _stack_of(account, queues) if queues else None
            found.append(TopicRule(each["ruleName"], each["topicPattern"], tuple(_targets(actions)), stack))
    return found


def others_as_far_as_allowed(deployment: Deployment) -> list[TopicRule] | None:
    """Return ``others``; None, and a note, where one may not ask."""
    from botocore.exceptions import ClientError

    try:
        return others(deployment)
    except ClientError as problem:
        telling.note(f"Whether other topic rules take registration events is not known: {problem}")
        return None


def warn_of_others(deployment: Deployment) -> None:
    """Warn of each other topic rule before something is put in force that it may undo."""
    for each in others_as_far_as_allowed(deployment) or ():
        telling.warn(each.told)


def _taking(iot: Any) -> Iterator[Mapping[str, Any]]:
    for page in iot.get_paginator("list_topic_rules").paginate():
        for each in page["rules"]:
            if takes_events(each.get("topicPattern") or "") and not each.get("ruleDisabled"):
                yield each


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
