"""moto, giving the same answers with less work; its DynamoDB is in ``quick_tables``.

moto looks for each member of an answer under several names, and works them out anew for each member of each item. On
a table of small items that is half of the time of a test. They follow from the member and from the class of what is
answered with, so that they are worked out once; as are the operations of a service, which moto lists at each call, and
what it answers at each of a thousand addresses, which it lists for each test. A value of an item has one member of
ten: the other nine are not looked for.

A queue that is empty when it is asked stays so: nobody but the test itself would send to it.
"""

import functools
from typing import Any

from botocore.model import Shape
from moto.core import models, responses
from moto.core.model import StructureShape
from moto.core.serialize import AttributePickerContext, BaseJSONSerializer, XFormedAttributePicker
from moto.core.utils import MISSING  # type: ignore[attr-defined]
from moto.sqs.models import Message, SQSBackend

from testkit.aws import quick_tables

_work_out = XFormedAttributePicker.get_possible_keys
_pick = XFormedAttributePicker.__call__
_write_structure = BaseJSONSerializer._serialize_type_structure
_receive = SQSBackend.receive_message
_known: dict[tuple[Shape, str, type], tuple[str, ...]] = {}


def hurry() -> None:
    """Have moto remember names, copy little and wait for nobody, for as long as this process lasts."""
    models.CallbackResponse = functools.cache(models.CallbackResponse)  # type: ignore[attr-defined, assignment]
    responses.method_names_from_class = functools.cache(responses.method_names_from_class)  # type: ignore[attr-defined]
    XFormedAttributePicker.get_possible_keys = names  # type: ignore[method-assign, assignment]
    XFormedAttributePicker.__call__ = _quick_pick  # type: ignore[method-assign, assignment]
    BaseJSONSerializer._serialize_type_structure = _quick_structure  # type: ignore[method-assign, assignment]
    SQSBackend.receive_message = _at_once  # type: ignore[method-assign, assignment]
    quick_tables.hurry()


def names(picker: XFormedAttributePicker, context: AttributePickerContext) -> tuple[str, ...]:
    """Return the names that a member may have in an object, each once, the likeliest first."""
    member = context.shape, context.key, type(context.obj)
    if (known := _known.get(member)) is None:
        known = _known[member] = tuple(dict.fromkeys(_work_out(picker, context)))
    return known


def _quick_pick(picker: XFormedAttributePicker, context: AttributePickerContext) -> Any:
    if type(context.obj) is not dict or picker.response_transformers:
        return _pick(picker, context)
    for name in names(picker, context):
        value = context.obj.get(name, MISSING)
        if value is not MISSING:
            return value
    return None


def _quick_structure(
    serializer: BaseJSONSerializer, serialized: Any, value: Any, shape: StructureShape, key: str
) -> None:
    if shape.name != "AttributeValue" or type(value) is not dict or not key:
        return _write_structure(serializer, serialized, value, shape, key)
    written: dict[str, Any] = {}
    for name, each in value.items():
        serializer._serialize(written, each, shape.members[name], name)
    serializer._default_serialize(serialized, written, shape, key)
    return None


def _at_once(backend: SQSBackend, queue: str, most: int, _seconds: int, *rest: Any) -> list[Message]:
    return _receive(backend, queue, most, 0, *rest)
