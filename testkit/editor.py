"""A rules file as an editor checks it: typed by YAML 1.2, against the JSON Schema."""

import re
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from jitr.rules.file.problems import ProblemCollector
from jitr.rules.file.schema import json_schema
from jitr.rules.file.source import Mapping, Node, Scalar, Sequence, parse


@cache
def validator() -> Draft202012Validator:
    return Draft202012Validator(json_schema())


def as_an_editor_reads(text: str) -> Any:
    """The file as YAML 1.2 types it (core schema, chapter 10.3): what an editor checks against the schema."""
    findings = ProblemCollector("", text.split("\n"))
    node = parse(text, findings)
    return None if node is None else core(node)


def core(node: Node) -> Any:
    match node:
        case Sequence():
            return [core(each) for each in node.items]
        case Mapping():
            return {key.text: core(value) for key, value in node.entries}
        case Scalar() if not node.style:
            return core_scalar(node.text)
    return node.text if isinstance(node, Scalar) else None


def core_scalar(text: str) -> Any:
    if text in ("", "~", "null", "Null", "NULL"):
        return None
    if text.lower() in ("true", "false") and text in (text.lower(), text.upper(), text.title()):
        return text.lower() == "true"
    if re.fullmatch(r"[-+]?[0-9]+", text):
        return int(text)
    if re.fullmatch(r"0x[0-9a-fA-F]+", text):
        return int(text, 16)
    if re.fullmatch(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", text):
        return float(text)
    return text
