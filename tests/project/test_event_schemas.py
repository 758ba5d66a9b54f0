"""Schemas of events are never narrowed: whoever subscribed goes on working with every later version.

``events_of_schema_1.json`` has what schema 1 promises. Nothing in it is changed or taken out; what a release adds may
be added.
"""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from tools.event_schemas import broken, promises, schema_of

from jitr.records.notices import DETAIL_TYPES, SCHEMA

FILE = Path(__file__).parent / "events_of_schema_1.json"
PROMISED: dict[str, dict[str, list[str]]] = json.loads(FILE.read_text())
HELD = schema_of("Device Held")


def test_what_schema_1_promises_is_still_kept() -> None:
    assert SCHEMA == 1
    kept = {each: broken(promised, promises(schema_of(each))) for each, promised in PROMISED.items()}
    assert {each: problems for each, problems in kept.items() if problems} == {}


def test_every_detail_type_has_its_promises() -> None:
    """One that is new is added to the file with the release that brings it, and kept from then on."""
    assert PROMISED.keys() == set(DETAIL_TYPES)
    assert all("detail.metadata.id" in each for each in PROMISED.values())


def _data(schema: Any) -> Any:
    return schema["properties"]["detail"]["properties"]["data"]


def _without(schema: Any) -> None:
    _data(schema)["required"].remove("serial_number")
    del _data(schema)["properties"]["serial_number"]


def _optional(schema: Any) -> None:
    _data(schema)["required"].remove("rule")


def _other_type(schema: Any) -> None:
    schema["properties"]["detail"]["properties"]["metadata"]["properties"]["schema"] = {"type": "string"}


def _null(schema: Any) -> None:
    _data(schema)["properties"]["certificate_id"] = {"type": ["string", "null"]}


def _null_inside(schema: Any) -> None:
    _data(schema)["properties"]["reasons"]["items"]["properties"]["code"] = {"type": ["string", "null"]}


def _null_object(schema: Any) -> None:
    reasons = _data(schema)["properties"]["reasons"]
    _data(schema)["properties"]["reasons"] = {"anyOf": [reasons, {"type": "null"}]}


def _value_gone(schema: Any) -> None:
    _data(schema)["properties"]["decision"]["enum"].remove("hold")


def _other_source(schema: Any) -> None:
    schema["properties"]["source"] = {"const": "jitr.io"}


NARROWED = {
    _without: "detail.data.serial_number is gone, or is not always there",
    _optional: "detail.data.rule is gone, or is not always there",
    _other_type: "detail.metadata.schema may be string",
    _null: "detail.data.certificate_id may be null",
    _null_inside: "detail.data.reasons[].code may be null",
    _null_object: "detail.data.reasons may be null",
    _value_gone: "detail.data.decision is never hold any more",
    _other_source: "source is never jitr any more",
}


@pytest.mark.parametrize(("narrow", "told"), NARROWED.items())
def test_each_way_to_break_a_subscriber_is_found(narrow: Any, told: str) -> None:
    narrowed = deepcopy(HELD)
    narrow(narrowed)
    assert broken(promises(HELD), promises(narrowed)) == [told]


def test_what_breaks_nobody_is_allowed() -> None:
    wider = deepcopy(HELD)
    data = _data(wider)
    data["properties"]["colour"] = {"type": "string"}
    data["required"].append("colour")
    data["properties"]["decision"]["enum"].append("wait")
    data["properties"]["rule"] = {"type": "string"}  # and never null any more
    assert broken(promises(HELD), promises(wider)) == []
