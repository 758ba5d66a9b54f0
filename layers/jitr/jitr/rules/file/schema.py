"""The JSON Schema of the rules file, for editors, from ``fields``.

It is never stricter than the reader; the reader knows more (aliases, templates that need a list, …).
"""

from typing import Any

from jitr.rules.file.fields import FILE
from jitr.rules.file.kinds import Schema, Whole, Wrong, YesNo
from jitr.rules.file.problems import ProblemCollector
from jitr.rules.file.shapes import Field, Kind, Many, Needs, OneOrMany, RecordShape, TableShape, records_in
from jitr.rules.file.source import Mapping, Node, Scalar, Sequence, parse


def json_schema() -> Schema:
    """Return the JSON Schema (draft 2020-12) of a rules file."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "admission.yaml",
        "description": "Rules for admitting devices to AWS IoT Core.",
        **_record_schema(FILE),
        "$defs": {_key(each): _record_schema(each) for each in records_in(FILE) if each is not FILE},
    }


def _key(record: RecordShape) -> str:
    return record.what.partition(" ")[2].replace(" ", "-").replace("'", "")


def _kind_schema(kind: Kind) -> Schema:
    match kind:
        case RecordShape():
            return {"$ref": f"#/$defs/{_key(kind)}"}
        case Many():
            return {"type": "array", "items": _kind_schema(kind.record), "maxItems": kind.most}
        case OneOrMany():
            one = kind.kind.schema()
            many = {"type": "array", "items": one, "minItems": 1, "maxItems": kind.most, "uniqueItems": True}
            return {"anyOf": [one, many]}
        case TableShape():
            return {
                "type": "object",
                "propertyNames": kind.key.schema(),
                "additionalProperties": _kind_schema(kind.value),
                "maxProperties": kind.most,
            }
    return kind.schema()


def _record_schema(record: RecordShape) -> Schema:
    schema: Schema = {
        "type": "object",
        "additionalProperties": False,
        "properties": {each.name: _field_schema(each) for each in record.fields},
    }
    if record.extra is not None:
        schema["patternProperties"] = {r"^attr\.[A-Za-z0-9_.-]{1,64}$": _field_schema(record.extra)}
    required = [each.name for each in record.fields if each.required]
    if required:
        schema["required"] = required
    needs = {each.key: [each.needed] for each in record.constraints if isinstance(each, Needs)}
    if needs:
        schema["dependentRequired"] = needs
    for each in record.constraints:
        if not isinstance(each, Needs):
            schema["oneOf" if each.only_one else "anyOf"] = [{"required": [key]} for key in each.keys]
    return schema


def _field_schema(field: Field) -> Schema:
    schema = {**_kind_schema(field.kind), "description": field.doc}
    default = default_of(field)
    if default is not None:
        schema["default"] = default
    if field.example:
        schema["examples"] = [_plain(parse(field.example, ProblemCollector("", ())), field.kind)]
    return schema


def default_of(field: Field) -> Any:
    """Return the default as JSON, if it is one value and not a sentence."""
    if field.default is None or isinstance(field.kind, RecordShape | Many | OneOrMany | TableShape):
        return None
    try:
        value = field.kind.parse(field.default)
    except Wrong:
        return None
    return value if isinstance(value, bool | int) else field.default


def _plain(node: Node | None, kind: Kind) -> Any:
    """Return a node as JSON, with numbers and truth values if the kind has them."""
    match node:
        case Scalar() if isinstance(kind, Whole | YesNo):
            return kind.parse(node.text)
        case Sequence():
            return [_plain(each, kind) for each in node.items]
        case Mapping():
            return {key.text: _plain(value, kind) for key, value in node.entries}
    return node.text if isinstance(node, Scalar) else None
