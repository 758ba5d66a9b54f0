"""template.yaml as CloudFormation carries it out: transformed by SAM, with conditions and parameters resolved.

What a stack consists of in a given account, with given parameters: names, dependencies and policies that only SAM's
transform makes, and nothing that a condition leaves out.
"""

import copy
import os
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from testkit.template import PARAMETERS, TEMPLATE

# A real account, and the local stack's, which no real account has.
ACCOUNT, LOCAL_ACCOUNT = "123456789012", "000000000000"
PSEUDO = {
    "AWS::Partition": "aws",
    "AWS::Region": "eu-central-1",
    "AWS::AccountId": ACCOUNT,
    "AWS::StackName": "jitr",
    "AWS::URLSuffix": "amazonaws.com",
}
_NOTHING = object()  # AWS::NoValue: the key or item is left out


class _NoManagedPolicies:
    """Names no managed policy: the template uses none."""

    def load(self) -> dict[str, str]:
        return {}


@cache
def _by_sam(parameters: tuple[tuple[str, str], ...], newer: str = "") -> dict[str, Any]:
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")  # SAM asks boto3 for the partition
    from samtranslator.translator.transform import transform

    template = copy.deepcopy(TEMPLATE)
    for name, each in template["Resources"].items():
        # As `sam package` leaves it.
        for key in ("CodeUri", "ContentUri"):
            if key in each.get("Properties", {}):
                each["Properties"][key] = f"s3://code/{name}{'-newer' if name == newer else ''}"
    given = {name: each["Default"] for name, each in PARAMETERS.items()} | dict(parameters)
    done: dict[str, Any] = transform(template, given, _NoManagedPolicies())
    return done


def transformed(newer: str = "", **parameters: Any) -> dict[str, Any]:
    """Return the template as SAM's transform makes it, with conditions and references in place.

    Parameters matter where the transform looks at them; ``newer`` is what has been built anew.
    """
    return copy.deepcopy(_by_sam(tuple(sorted((name, str(text)) for name, text in parameters.items())), newer))


def refused(**parameters: Any) -> list[str]:
    """Return what CloudFormation says against these parameters: the assertions of Rules that do not hold."""
    return refused_by(transformed(), parameters)


def refused_by(template: Mapping[str, Any], parameters: Mapping[str, Any]) -> list[str]:
    """Return what CloudFormation says against the parameters of any template."""
    resolver = _resolver(template, parameters)
    return [
        assertion["AssertDescription"]
        for rule in template["Rules"].values()
        if resolver.resolved(rule.get("RuleCondition", True))
        for assertion in rule["Assertions"]
        if not resolver.resolved(assertion["Assert"])
    ]


def deployed(account: str = ACCOUNT, newer: str = "", **parameters: Any) -> dict[str, Any]:
    """Return the resources of a stack in an account with parameters other than their defaults.

    Conditions are evaluated as CloudFormation does: what they leave out is gone, and dependencies on it as well.
    References to parameters are replaced by their values, those to resources stay.
    """
    template = transformed(newer, **parameters)
    values = {name: each["Default"] for name, each in PARAMETERS.items()} | parameters
    for name, each in PARAMETERS.items():
        if each["Type"] == "CommaDelimitedList" and isinstance(values[name], str):
            values[name] = values[name].split(",")
    values |= PSEUDO | {"AWS::AccountId": account, "AWS::StackId": f"arn:aws:cloudformation:::{account}:stack/jitr/1"}
    resources = deployed_by(template, values)
    for each in resources.values():
        needed = each.get("DependsOn", [])
        each["DependsOn"] = [name for name in ([needed] if isinstance(needed, str) else needed) if name in resources]
    return resources


def deployed_by(template: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the resources of any template's stack, without what conditions leave out."""
    resolver = _resolver(template, parameters)
    there = {
        name: each
        for name, each in template["Resources"].items()
        if "Condition" not in each or resolver.holds(each["Condition"])
    }
    resources: dict[str, Any] = resolver.resolved(there)
    return resources


def _resolver(template: Mapping[str, Any], parameters: Mapping[str, Any]) -> "_Resolver":
    """Return what resolves a template with its parameters, and the others' defaults."""
    defaults = {name: each["Default"] for name, each in template["Parameters"].items() if "Default" in each}
    return _Resolver({**defaults, **parameters}, template.get("Conditions", {}), template.get("Mappings", {}))


class _Resolver:
    """Carries out what does not need a resource: conditions, references to parameters, and Fn::If."""

    def __init__(self, values: Mapping[str, Any], conditions: Mapping[str, Any], mappings: Mapping[str, Any]) -> None:
        self._values = values
        self._conditions = conditions
        self._mappings = mappings

    def holds(self, name: str) -> bool:
        return bool(self.resolved(self._conditions[name]))

    def resolved(self, node: Any) -> Any:
        if isinstance(node, list):
            return [done for each in node if (done := self.resolved(each)) is not _NOTHING]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            ((key, value),) = node.items()
            by = getattr(self, "_" + key.replace("Fn::", "").replace("Condition", "Holds").lower(), None)
            if by is not None:
                return by(value)
        done = {key: self.resolved(each) for key, each in node.items()}
        return {key: each for key, each in done.items() if each is not _NOTHING}

    def _ref(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return _NOTHING
        return self._values.get(name, {"Ref": name})

    def _holds(self, name: Any) -> Any:
        return self.holds(name) if isinstance(name, str) else {"Condition": self.resolved(name)}

    def _if(self, parts: list[Any]) -> Any:
        condition, then, otherwise = parts
        return self.resolved(then if self.holds(condition) else otherwise)

    def _equals(self, pair: list[Any]) -> bool:
        one, other = self.resolved(pair)
        return str(one) == str(other)

    def _not(self, one: list[Any]) -> bool:
        return not self.resolved(one)[0]

    def _and(self, several: list[Any]) -> bool:
        return all(self.resolved(several))

    def _or(self, several: list[Any]) -> bool:
        return any(self.resolved(several))

    def _join(self, parts: list[Any]) -> Any:
        between, items = self.resolved(parts)
        if isinstance(items, list) and all(isinstance(each, str) for each in items):
            return between.join(items)
        return {"Fn::Join": [between, items]}

    def _sub(self, text: Any) -> Any:
        """Only what names a parameter: the rest is for CloudFormation, or for who reads it."""
        if not isinstance(text, str):
            return {"Fn::Sub": self.resolved(text)}
        done = re.sub(r"\$\{(\w+)\}", lambda found: str(self._values.get(found[1], found[0])), text)
        return {"Fn::Sub": done} if "${" in done else done

    def _findinmap(self, parts: list[Any]) -> Any:
        name, first, second = self.resolved(parts)
        return self._mappings[name][first][second]


def needs(resources: Mapping[str, Any], name: str) -> set[str]:
    """Return every resource that has to be there before the named one is made, and goes after it."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        each = resources[waiting.pop()]
        for other in _named(each.get("Properties", {})) | set(each.get("DependsOn", [])):
            if other in resources and other not in found:
                found.add(other)
                waiting.append(other)
    return found


def _named(node: Any) -> set[str]:
    if isinstance(node, list):
        return {name for each in node for name in _named(each)}
    if not isinstance(node, dict):
        return set()
    found: set[str] = set()
    for key, each in node.items():
        if key == "Ref":
            found.add(each)
        elif key == "Fn::GetAtt":
            found.add(each.split(".")[0] if isinstance(each, str) else each[0])
        elif key == "Fn::Sub":
            text, given = (each, {}) if isinstance(each, str) else each
            found |= {part.split("}")[0].split(".")[0] for part in text.split("${")[1:]} | _named(given)
        else:
            found |= _named(each)
    return found
