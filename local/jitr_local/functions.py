"""The functions of the checkout's template.yaml, as far as running one on this machine takes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from jitr.errors import InputError

_FUNCTION = "AWS::Serverless::Function"
# What Lambda takes where a template does not say.
_TIMEOUT, _MEMORY = 3, 128


class Reference(str):
    """The target of ``!Ref``: a resource, a parameter, or a pseudo parameter."""

    __slots__ = ()


_ABSENT = Reference("AWS::NoValue")


@dataclass(frozen=True, slots=True)
class Function:
    """One function; resources are named by their logical ids."""

    name: str
    handler: str
    timeout: int  # seconds
    memory: int  # MB
    layers: tuple[str, ...]
    variables: Mapping[str, str | Reference]
    takes: frozenset[str]  # the types of its events: SQS, S3, ...


def read_functions(template: Path) -> dict[str, Function]:
    """Every function of a SAM template. Raises InputError where it cannot be read, or says what this cannot follow."""
    try:
        document = yaml.load(template.read_text("utf-8"), _Loader)  # noqa: S506 a safe loader, and a file of ours
    except (OSError, yaml.YAMLError) as problem:
        raise InputError(f"{template} cannot be read: {problem}") from None
    if not isinstance(document, dict) or not isinstance(document.get("Resources"), dict):
        raise InputError(f"{template} is not a template: it has no Resources")
    shared = document.get("Globals", {}).get("Function", {})
    return {
        name: _function(name, shared, resource["Properties"])
        for name, resource in document["Resources"].items()
        if resource["Type"] == _FUNCTION
    }


def _function(name: str, shared: Mapping[str, Any], own: Mapping[str, Any]) -> Function:
    """Merge a function with ``Globals`` as SAM does: lists and maps are added to, all else is replaced.

    https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-specification-template-anatomy-globals.html
    """
    variables = {**_variables(shared), **_variables(own)}
    return Function(
        name=name,
        handler=_plain(name, "Handler", own.get("Handler", shared.get("Handler"))),
        timeout=int(_plain(name, "Timeout", own.get("Timeout", shared.get("Timeout", _TIMEOUT)))),
        memory=int(_plain(name, "MemorySize", own.get("MemorySize", shared.get("MemorySize", _MEMORY)))),
        layers=tuple(_layer(name, each) for each in (*shared.get("Layers", ()), *own.get("Layers", ()))),
        variables={key: _value(name, f"variable {key}", value) for key, value in variables.items() if value != _ABSENT},
        takes=frozenset(each["Type"] for each in own.get("Events", {}).values()),
    )


def _variables(properties: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = properties.get("Environment", {}).get("Variables", {})
    return found


def _layer(name: str, value: Any) -> str:
    if isinstance(value, Reference):
        return value
    raise InputError(f"template.yaml: {name}: a layer that is not a !Ref: only layers of the template can be run here")


def _plain(name: str, what: str, value: Any) -> str:
    if isinstance(value, Reference):
        raise InputError(f"template.yaml: {name}: {what} is !Ref {value}: write it out, to run the function here")
    return _value(name, what, value)


def _value(name: str, what: str, value: Any) -> str | Reference:
    if isinstance(value, Reference):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise InputError(f"template.yaml: {name}: {what} is neither plain nor a !Ref: only those are followed here")


class _Loader(yaml.SafeLoader):
    """Reads ``!Ref``; other functions of CloudFormation become None: nothing here asks for them."""


def _intrinsic(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> Reference | None:
    if suffix == "Ref" and isinstance(node, yaml.ScalarNode):
        return Reference(loader.construct_scalar(node))
    return None


_Loader.add_multi_constructor("!", _intrinsic)
