"""The JSON Schemas of the events that are sent, from the types of ``jitr.records.notices``, and what they promise."""

import json
from collections.abc import Iterator, Mapping
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

from jitr.records.notices import DETAIL_TYPES, MOST_BYTES, SCHEMA, SOURCE, NoticeMetadata

_PLAIN = {str: "string", int: "integer", bool: "boolean", NoneType: "null"}


def file_of(detail_type: str) -> str:
    """Return the name of the file that has the schema of a detail type."""
    return f"events/{detail_type.lower().replace(' ', '-')}.json"


def schema_of(detail_type: str) -> dict[str, Any]:
    """Return the schema of a whole event of a detail type, as a subscriber gets it."""
    detail = {
        "type": "object",
        "required": ["metadata", "data"],
        "properties": {"metadata": _of(NoticeMetadata), "data": _of(DETAIL_TYPES[detail_type])},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": detail_type,
        "description": f"An event of jitr, schema {SCHEMA}: at most {MOST_BYTES} bytes. Properties may be added.",
        "type": "object",
        "required": ["source", "detail-type", "resources", "detail"],
        "properties": {
            "source": {"const": SOURCE},
            "detail-type": {"const": detail_type},
            "resources": {"type": "array", "items": {"type": "string"}},
            "detail": detail,
        },
    }


def _of(hint: Any) -> dict[str, Any]:
    if is_typeddict(hint):
        fields = get_type_hints(hint)
        doc = " ".join((hint.__doc__ or "").split())
        return {
            "description": doc,
            "type": "object",
            "required": list(fields),
            "properties": {name: _of(each) for name, each in fields.items()},
        }
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        kinds = [_of(each) for each in arguments]
        if all(each.keys() == {"type"} for each in kinds):
            return {"type": [each["type"] for each in kinds]}
        return {"anyOf": kinds}
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin is list:
        return {"type": "array", "items": _of(arguments[0])}
    if origin is dict:
        return {"type": "object", "additionalProperties": _of(arguments[1])}
    return {"type": _PLAIN[hint]}


Promises = Mapping[str, list[str]]


def promises(schema: Mapping[str, Any]) -> Promises:
    """Return what a subscriber may count on: by path, each property that is always there, and what it may be.

    That is a type of JSON, or ``=value`` for each value of an enumeration.
    """
    return dict(_promised("", schema))


def _promised(path: str, schema: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    kinds = schema.get("anyOf", [schema])
    if path:
        yield path, sorted({each for kind in kinds for each in _kinds(kind)})
    for kind in kinds:
        for name in kind.get("required", ()):
            yield from _promised(f"{path}.{name}".lstrip("."), kind["properties"][name])
        if "items" in kind:
            yield from _promised(f"{path}[]", kind["items"])
        if "additionalProperties" in kind:
            yield from _promised(f"{path}.*", kind["additionalProperties"])


def _kinds(schema: Mapping[str, Any]) -> list[str]:
    if "const" in schema:
        return [f"={schema['const']}"]
    if "enum" in schema:
        return [f"={each}" for each in schema["enum"]]
    kinds = schema["type"]
    return [kinds] if isinstance(kinds, str) else list(kinds)


def broken(before: Promises, now: Promises) -> list[str]:
    """Return, in words, which promises are not kept any more.

    A property stays, always there, and is of no type that it was not of. An enumeration keeps its values, for patterns
    name them; it may get others.
    """
    found = []
    for path, kinds in before.items():
        if path not in now:
            found.append(f"{path} is gone, or is not always there")
            continue
        found += [f"{path} is never {each[1:]} any more" for each in kinds if each[0] == "=" and each not in now[path]]
        found += [f"{path} may be {each}" for each in now[path] if each[0] != "=" and each not in kinds]
    return found


def _written(detail_type: str) -> str:
    return json.dumps(schema_of(detail_type), indent=2) + "\n"


def pages() -> dict[str, Any]:
    """Return what makes each schema's file, by its name below docs/."""
    return {file_of(each): lambda each=each: _written(each) for each in DETAIL_TYPES}
