"""moto, giving the same answers with less work.

moto looks for each member of an answer under several names, and works them out anew for each member of each item. On
a table of small items that is half of the time of a test. They follow from the member and from the class of what is
answered with, so that they are worked out once; as are the operations of a service, which moto lists at each call.
"""

import functools
from typing import Any

from botocore.model import Shape
from moto.core import responses
from moto.core.serialize import AttributePickerContext, XFormedAttributePicker
from moto.core.utils import MISSING  # type: ignore[attr-defined]

_work_out = XFormedAttributePicker.get_possible_keys
_pick = XFormedAttributePicker.__call__
_known: dict[tuple[Shape, str, type], tuple[str, ...]] = {}


def hurry() -> None:
    """Have moto remember names, for as long as this process lasts."""
    responses.method_names_from_class = functools.cache(responses.method_names_from_class)  # type: ignore[attr-defined]
    XFormedAttributePicker.get_possible_keys = names  # type: ignore[method-assign, assignment]
    XFormedAttributePicker.__call__ = _quick_pick  # type: ignore[method-assign, assignment]


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
