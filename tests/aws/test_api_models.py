"""The API models that functions read have every operation that functions call, as the pinned botocore has it."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore import xform_name
from botocore.config import Config
from botocore.loaders import create_loader
from botocore.model import ServiceModel, Shape
from tools import api_models

from jitr.aws import clients

ROOT = Path(__file__).parents[2]
SOURCES = (ROOT / "layers/jitr/jitr", *(path for path in ROOT.glob("functions/*") if path.name != "cleanup"))  # boto3's
# Names of operations that are names of something else in our code.
ELSEWHERE = {"CreateConnection"}  # urllib3's


def _names() -> Iterator[str]:
    """Yield each attribute that the functions' code asks for, and each text in it: methods are also found by name."""
    for source in SOURCES:
        for file in source.rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Attribute):
                    yield node.attr
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value


def _full(service: str) -> dict[str, Any]:
    model: dict[str, Any] = create_loader().load_service_model(service, "service-2")
    return model


def test_models_are_cut_from_the_botocore_that_is_pinned() -> None:
    """`make models` brings them up to date."""
    there = {str(each.relative_to(api_models.FOLDER)): each.read_text() for each in api_models.FOLDER.rglob("*.json")}
    assert there.keys() == api_models.models().keys()
    assert there == api_models.models(), "run make models"


def test_every_operation_that_functions_call_is_in_them_and_no_other() -> None:
    """Where this fails, put the operation into tools/api_models.py, and run make models."""
    names = set(_names())
    for service, listed in api_models.OPERATIONS.items():
        called = {each for each in _full(service)["operations"] if {each, xform_name(each)} & names}
        assert called - ELSEWHERE == set(listed), service


@pytest.mark.parametrize("service", api_models.OPERATIONS)
def test_an_operation_is_what_it_is_in_botocores_model(service: str) -> None:
    full = ServiceModel(_full(service), service)
    [file] = (api_models.FOLDER / service).rglob("service-2.json")
    cut = ServiceModel(create_loader(str(api_models.FOLDER)).load_service_model(service, "service-2"), service)
    assert file.parent.name == full.api_version == cut.api_version
    assert cut.metadata == full.metadata
    for name in (*api_models.OPERATIONS[service], *api_models.BY_BOTOCORE.get(service, ())):
        ours, theirs = cut.operation_model(name), full.operation_model(name)
        assert ours.http == theirs.http
        assert _told(ours.input_shape) == _told(theirs.input_shape)
        assert _told(ours.output_shape) == _told(theirs.output_shape)
        assert [_told(each) for each in ours.error_shapes] == [_told(each) for each in theirs.error_shapes]


def _told(shape: Shape | None, above: tuple[str, ...] = ()) -> Any:
    """Return all that parsing and serializing take from a shape."""
    if shape is None or shape.name in above:
        return None
    own: Any = shape
    above = (*above, shape.name)
    told = [shape.name, shape.type_name, shape.serialization, {**shape.metadata}]
    if shape.type_name == "structure":
        told.append({name: _told(each, above) for name, each in own.members.items()})
    elif shape.type_name == "list":
        told.append(_told(own.member, above))
    elif shape.type_name == "map":
        told += [_told(own.key, above), _told(own.value, above)]
    return told


@pytest.mark.parametrize("region", ["eu-central-1", "cn-north-1"])
def test_clients_of_functions_lead_where_botocores_lead(region: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    config, theirs = Config(region_name=region), botocore.session.get_session()
    for service in ("dynamodb", "iot", "s3"):
        ours: Any = clients.client(service, config)
        full: Any = theirs.create_client(service, config=config)
        assert ours.meta.endpoint_url == full.meta.endpoint_url
        assert (ours.meta.partition, ours._request_signer.signing_name) == (
            full.meta.partition,
            full._request_signer.signing_name,
        )
        assert len(ours.meta.method_to_api_mapping) < len(full.meta.method_to_api_mapping)


def test_what_is_not_among_them_is_botocores_own() -> None:
    client: Any = clients.client("sts", Config(region_name="eu-central-1"))
    assert client.get_caller_identity
    paginator: Any = clients.client("dynamodb", Config(region_name="eu-central-1")).get_paginator("query")
    assert paginator


def test_a_later_version_of_an_api_is_botocores_own(tmp_path: Path) -> None:
    """Lambda's runtime may have a newer botocore than the one that they are cut from."""
    later = tmp_path / "sqs" / "2099-01-01"
    later.mkdir(parents=True)
    (later / "service-2.json").write_text('{"metadata": {"apiVersion": "2099-01-01"}}')
    loader = create_loader(f"{api_models.FOLDER}:{tmp_path}")
    assert loader.load_service_model("sqs", "service-2")["metadata"]["apiVersion"] == "2099-01-01"


def test_a_data_path_that_somebody_sets_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DATA_PATH", str(tmp_path))
    session = clients._session.__wrapped__()
    assert session.get_component("data_loader").search_paths[:2] == [str(tmp_path), str(clients._API_MODELS)]
