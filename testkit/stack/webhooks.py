"""docs/webhooks.yaml on the local stack, whose CloudFormation knows neither connections nor API destinations."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from jitr_local.stack import CHECKOUT
from testkit import template
from testkit.stack.plant import Plant


@dataclass
class _Webhooks:
    events: Any
    values: Mapping[str, str]
    resources: Mapping[str, Any]
    arns: dict[str, str] = field(default_factory=lambda: {"Role": "arn:aws:iam::000000000000:role/any"})

    def of(self, kind: str) -> Iterator[tuple[str, Any]]:
        """Yield the resources of a kind by name, with what they refer to in its place."""
        for name, each in self.resources.items():
            if each["Type"] == f"AWS::Events::{kind}":
                yield name, self._resolved(each["Properties"])

    def _resolved(self, node: Any) -> Any:
        match node:
            case {"Ref": name}:
                return self.values[name]
            case {"Fn::GetAtt": name}:
                return self.arns[name.removesuffix(".Arn")]
            case dict():
                return {key: self._resolved(each) for key, each in node.items() if key != "DeadLetterConfig"}
            case list():
                return [self._resolved(each) for each in node]
        return node

    def make(self) -> None:
        """Make connections, destinations, and rules that lead to them."""
        for name, properties in self.of("Connection"):
            self.arns[name] = self.events.create_connection(Name=name, **properties)["ConnectionArn"]
        for name, properties in self.of("ApiDestination"):
            self.arns[name] = self.events.create_api_destination(Name=name, **properties)["ApiDestinationArn"]
        for name, properties in self.of("Rule"):
            self.events.put_rule(Name=name, EventPattern=json.dumps(properties["EventPattern"]))
            self.events.put_targets(Rule=name, Targets=properties["Targets"])

    def delete(self) -> None:
        """Take the rules away."""
        for name, properties in self.of("Rule"):
            self.events.remove_targets(Rule=name, Ids=[each["Id"] for each in properties["Targets"]])
            self.events.delete_rule(Name=name)


@contextmanager
def webhooks(plant: Plant, values: Mapping[str, str]) -> Iterator[None]:
    """Send what the template sends, with these values of its parameters, while the block runs."""
    resources = template.read((CHECKOUT / "docs/webhooks.yaml").read_text())["Resources"]
    made = _Webhooks(plant.stack.session().client("events"), values, resources)
    made.make()
    try:
        yield
    finally:
        made.delete()
