"""template.yaml, read with CloudFormation's short forms as their long ones."""

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]


class _Loader(yaml.SafeLoader):
    """Reads CloudFormation's short forms as their long ones."""


def _function(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    name = suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}"
    if isinstance(node, yaml.ScalarNode):
        return {name: loader.construct_scalar(node)}
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    assert isinstance(node, yaml.MappingNode)
    return {name: loader.construct_mapping(node, deep=True)}


_Loader.add_multi_constructor("!", _function)


def read(text: str) -> dict[str, Any]:
    """Read a template, with CloudFormation's short forms as their long ones."""
    found: dict[str, Any] = yaml.load(text, _Loader)  # noqa: S506 a subclass of SafeLoader
    return found


TEXT = (ROOT / "template.yaml").read_text()
TEMPLATE = read(TEXT)
RESOURCES: dict[str, dict[str, Any]] = TEMPLATE["Resources"]
PARAMETERS: dict[str, dict[str, Any]] = TEMPLATE["Parameters"]


def of_type(kind: str) -> dict[str, dict[str, Any]]:
    """The properties of each resource of a type, by logical id."""
    return {name: each["Properties"] for name, each in RESOURCES.items() if each["Type"] == kind}
