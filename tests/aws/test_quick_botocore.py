"""Tests have botocore make clients with less to do: they are those that it makes by itself."""

import functools
from typing import Any

import boto3
import pytest
from botocore.client import ClientCreator
from botocore.handlers import BUILTIN_HANDLERS
from botocore.hooks import EventAliaser, HierarchicalEmitter
from testkit.aws import quick_botocore
from testkit.aws.world import REGION


@pytest.mark.parametrize("service", ["iot", "dynamodb", "sqs", "s3"])
def test_clients_have_the_methods_that_botocore_makes(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    quickly = [_methods(service) for _ in range(2)]
    monkeypatch.setattr(ClientCreator, "_create_methods", quick_botocore._make_methods)
    assert quickly == [_methods(service)] * 2


def _methods(service: str) -> dict[str, Any]:
    """Return the methods of a service's client, each with the operation that it asks for."""
    client: Any = boto3.client(service, region_name=REGION)  # type: ignore[call-overload]
    made = {name for name in dir(type(client)) if not name.startswith("_")}
    return {name: client.meta.method_to_api_mapping.get(name) for name in sorted(made)}


def test_what_a_client_is_given_is_no_other_client_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """boto3 adds uploads and downloads to clients of S3, by an event, and so may others."""
    session = boto3.Session(region_name=REGION)
    add: Any = functools.partial(_add, "wave")
    session.events.register("creating-client-class.sqs", add)
    assert hasattr(session.client("sqs"), "wave")
    assert not hasattr(boto3.client("sqs", region_name=REGION), "wave")


def _add(name: str, class_attributes: dict[str, Any], **_told: Any) -> None:
    class_attributes[name] = None


def test_events_are_called_what_botocore_calls_them_today() -> None:
    aliaser: Any = EventAliaser(HierarchicalEmitter())
    named = [name for name, *_ in BUILTIN_HANDLERS] + ["before-call.cloudwatch.PutMetricData", "a.b"]
    quickly = [quick_botocore.event(aliaser, name) for name in [*named, *named]]
    assert quickly == [quick_botocore._call_today(aliaser, name) for name in named] * 2


def test_handlers_are_refused_that_take_no_argument_that_is_new() -> None:
    class Handler:
        def takes(self, **_given: Any) -> None:
            """All."""

        def refuses(self, given: Any) -> None:
            """All but one."""

    takes: Any = (Handler().takes, Handler.takes, _add, functools.partial(_add, "wave"))
    refuses: Any = (Handler().refuses, Handler.refuses, lambda *given: given)
    assert all(quick_botocore.takes_any(each) for each in takes)
    assert not any(quick_botocore.takes_any(each) for each in refuses)
