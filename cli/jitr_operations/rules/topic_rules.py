"""Other topic rules of AWS IoT that take registration events: whatever they lead to may admit devices, too."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jitr_operations import telling
from jitr_operations.deployment import Deployment

EVENTS = ("$aws", "events", "certificates", "registered")  # and one level more, the caCertificateId
MOST_LOOKED_AT = 10
# What only keeps or counts events. https://docs.aws.amazon.com/iot/latest/apireference/API_Action.html
_ARCHIVES = ("elasticsearch", "firehose", "openSearch", "s3", "timestream")
_KEEPING = frozenset({"cloudwatchAlarm", "cloudwatchLogs", "cloudwatchMetric", *_ARCHIVES})


@dataclass(frozen=True)
class TopicRule:
    """A topic rule that takes registration events. ``leads_to`` is empty where that cannot be seen."""

    name: str
    pattern: str
    leads_to: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """As ``--json`` prints it."""
        return {"topic_rule": self.name, "pattern": self.pattern, "leads_to": list(self.leads_to)}

    @property
    def told(self) -> str:
        """What it is, and what it means."""
        where = f", and leads to {', '.join(self.leads_to)}" if self.leads_to else ""
        return (
            f"topic rule {self.name} takes registration events, too ({self.pattern}){where}: what is behind it may "
            "make devices ACTIVE that these rules hold or deny. If that is another stack of this software, the laxer "
            "of the two admits: keep one for each account and Region"
        )


def others(deployment: Deployment) -> list[TopicRule]:
    """Return the enabled topic rules but the stack's own that take registration events and do more than keep them.

    Raises botocore's errors.
    """
    iot, ours = deployment.client("iot"), deployment.output("RegistrationQueueUrl")
    found: list[TopicRule] = []
    for each in _taking(iot):
        if len(found) == MOST_LOOKED_AT:
            break
        actions = _actions(iot, each["ruleName"])
        if any(action.get("sqs", {}).get("queueUrl") == ours for action in actions):
            continue
        kinds = {kind for action in actions for kind in action}
        if not kinds or kinds - _KEEPING:
            found.append(TopicRule(each["ruleName"], each["topicPattern"], tuple(_targets(actions))))
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


def _targets(actions: list[dict[str, Any]]) -> Iterator[str]:
    names = {"sqs": "queueUrl", "lambda": "functionArn", "sns": "targetArn", "republish": "topic", "http": "url"}
    for action in actions:
        for kind, settings in action.items():
            name = str(settings.get(names.get(kind, ""), "")) if isinstance(settings, Mapping) else ""
            yield f"{kind} {name if kind == 'republish' else name.replace(':', '/').rsplit('/', 1)[-1]}".strip()
