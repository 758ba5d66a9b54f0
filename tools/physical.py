"""A transformed stack with each reference replaced by the name or ARN that it may have on AWS.

CloudFormation names what the template does not: after stack and logical id, with letters of its own.
"""

import re
from collections.abc import Mapping
from typing import Any

from testkit.transformed import ACCOUNT, PSEUDO

_LETTERS = "A1B2C3D4E5F6"  # what CloudFormation might draw
_ARNS = {
    "AWS::CloudWatch::Alarm": "arn:aws:cloudwatch:{region}:{account}:alarm:{name}",
    "AWS::DynamoDB::Table": "arn:aws:dynamodb:{region}:{account}:table/{name}",
    "AWS::Events::Rule": "arn:aws:events:{region}:{account}:rule/{name}",
    "AWS::IAM::Role": "arn:aws:iam::{account}:role/{name}",
    "AWS::IoT::Policy": "arn:aws:iot:{region}:{account}:policy/{name}",
    "AWS::IoT::TopicRule": "arn:aws:iot:{region}:{account}:rule/{name}",
    "AWS::Lambda::Function": "arn:aws:lambda:{region}:{account}:function:{name}",
    "AWS::Lambda::LayerVersion": "arn:aws:lambda:{region}:{account}:layer:{name}:1",
    "AWS::Logs::LogGroup": "arn:aws:logs:{region}:{account}:log-group:{name}:*",
    "AWS::S3::Bucket": "arn:aws:s3:::{name}",
    "AWS::SNS::Topic": "arn:aws:sns:{region}:{account}:{name}",
    "AWS::SQS::Queue": "arn:aws:sqs:{region}:{account}:{name}",
    "AWS::Scheduler::Schedule": "arn:aws:scheduler:{region}:{account}:schedule/default/{name}",
}
_REF_IS_THE_ARN = {"AWS::SNS::Topic", "AWS::Lambda::LayerVersion"}


def physical(resources: Mapping[str, Any]) -> dict[str, Any]:
    """Return the resources with Ref, Fn::GetAtt, Fn::Sub and Fn::Join carried out."""
    done: dict[str, Any] = _Names(resources).resolved(resources)
    return done


class _Names:
    """Knows what each resource of one stack is called."""

    def __init__(self, resources: Mapping[str, Any]) -> None:
        self._resources = resources

    def resolved(self, node: Any) -> Any:
        if isinstance(node, list):
            return [self.resolved(each) for each in node]
        if not isinstance(node, dict):
            return node
        match node:
            case {"Ref": str(name)}:
                return self._ref(name)
            case {"Fn::GetAtt": of}:
                return self._attribute(of)
            case {"Fn::Sub": text}:
                return self._sub(text)
            case {"Fn::Join": parts}:
                return self._join(parts)
        return {key: self.resolved(each) for key, each in node.items()}

    def _ref(self, logical_id: str) -> str:
        if logical_id in PSEUDO:
            return PSEUDO[logical_id]
        if self._resources[logical_id]["Type"] in _REF_IS_THE_ARN:
            return self._arn(logical_id)
        return self._name(logical_id)

    def _attribute(self, of: str | list[str]) -> str:
        logical_id, _, attribute = of.partition(".") if isinstance(of, str) else (of[0], ".", of[1])
        if attribute == "StreamArn":
            return (
                self._arn(logical_id) + "/stream/2026-01-01"
            )  # without the time: parliament splits ARNs at its colons
        return self._arn(logical_id) if attribute.endswith("Arn") else self._name(logical_id)

    def _sub(self, text: str | list[Any]) -> str:
        template, given = (text, {}) if isinstance(text, str) else text

        def value(match: re.Match[str]) -> str:
            name = match[1]
            if name.startswith("!"):
                return "${" + name[1:] + "}"
            if name in given:
                return str(self.resolved(given[name]))
            return self._attribute(name) if "." in name else self._ref(name)

        return re.sub(r"\$\{([^}]+)\}", value, template)

    def _join(self, parts: list[Any]) -> str:
        between, items = self.resolved(parts)
        return str(between).join(map(str, items))

    def _name(self, logical_id: str) -> str:
        each = self._resources[logical_id]
        given = next((text for key, text in each["Properties"].items() if key in _NAMES.get(each["Type"], ())), None)
        if given is not None:
            return str(self.resolved(given))
        name = f"{PSEUDO['AWS::StackName']}-{logical_id}-{_LETTERS}"
        if each["Type"] == "AWS::IoT::TopicRule":
            return name.replace("-", "_")
        return name.lower() if each["Type"] == "AWS::S3::Bucket" else name

    def _arn(self, logical_id: str) -> str:
        arn = _ARNS[self._resources[logical_id]["Type"]]
        return arn.format(region=PSEUDO["AWS::Region"], account=ACCOUNT, name=self._name(logical_id))


# The property that names a resource of a type, where the template may give one.
_NAMES = {
    "AWS::IoT::Policy": ("PolicyName",),
    "AWS::Lambda::LayerVersion": ("LayerName",),
    "AWS::CloudWatch::Dashboard": ("DashboardName",),
}
