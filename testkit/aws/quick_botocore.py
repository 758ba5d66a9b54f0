"""botocore, making the same clients with less work: a command makes five of them, and a test runs some commands.

Each client makes a method for each operation of its service, and works out for a hundred events what they are called
today and whether their handlers take any argument. The first two follow from the service and from the event, so that
they are worked out once; the last stands in the handler's code. For each call it goes through the same dozen names of
programs by characters.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any

from botocore import client, hooks, useragent
from botocore.hooks import EventAliaser
from botocore.model import ServiceModel

_make_methods = client.ClientCreator._create_methods  # type: ignore[attr-defined]
_call_today = EventAliaser._alias_event_name  # type: ignore[attr-defined]
_takes_any = hooks.accepts_kwargs
_methods: dict[tuple[str, tuple[str, ...]], dict[str, Any]] = {}
_events: dict[str, str] = {}


def hurry() -> None:
    """Have botocore remember methods and names of events, for as long as this process lasts."""
    client.ClientCreator._create_methods = methods  # type: ignore[attr-defined]
    EventAliaser._alias_event_name = event  # type: ignore[attr-defined]
    clean = useragent.sanitize_user_agent_string_component
    useragent.sanitize_user_agent_string_component = functools.cache(clean)
    hooks.accepts_kwargs = takes_any  # type: ignore[assignment]


def methods(creator: client.ClientCreator, service: ServiceModel) -> dict[str, Any]:
    """Return the methods of a service's clients by name."""
    offered = service.service_name, tuple(service.operation_names)
    if (known := _methods.get(offered)) is None:
        known = _methods[offered] = _make_methods(creator, service)
    return dict(known)


def event(aliaser: EventAliaser, name: str) -> str:
    """Return what an event is called today."""
    if (known := _events.get(name)) is None:
        known = _events[name] = _call_today(aliaser, name)
    return known


def takes_any(handler: Callable[..., Any]) -> Any:
    """Say whether a handler takes any argument that has a name."""
    code = getattr(handler, "__code__", None)
    return _takes_any(handler) if code is None else bool(code.co_flags & inspect.CO_VARKEYWORDS)
