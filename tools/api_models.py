"""Cuts AWS's API models to the operations that functions call: `make models`, after `make lock UPGRADE=1`.

For a client botocore reads a service's whole model: of AWS IoT all its operations, for two dozen. That was a tenth of a
cold start. ``jitr.aws.clients`` puts the folder before botocore's own in its data path; what is not in it (other
services, paginators, a later version of an API) botocore takes from its own.
https://botocore.amazonaws.com/v1/documentation/api/latest/reference/loaders.html
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "layers/jitr/jitr/aws/api_models"

# What functions call. tests/aws/test_api_models.py holds it against the code.
OPERATIONS = {
    "dynamodb": (
        "BatchGetItem",
        "BatchWriteItem",
        "PutItem",
        "Query",
        "TransactWriteItems",
        "UpdateItem",
    ),
    "events": ("PutEvents",),
    "iot": (
        "AddThingToThingGroup",
        "AttachPolicy",
        "AttachThingPrincipal",
        "CreateThing",
        "DescribeCACertificate",
        "DescribeCertificate",
        "DescribeThing",
        "DetachPolicy",
        "DetachThingPrincipal",
        "ListCACertificates",
        "ListCertificates",
        "ListCertificatesByCA",
        "ListPolicies",
        "ListPrincipalThings",
        "ListTargetsForPolicy",
        "ListThingGroups",
        "ListThingGroupsForThing",
        "ListThingPrincipals",
        "ListThings",
        "ListThingsInThingGroup",
        "ListThingTypes",
        "RemoveThingFromThingGroup",
        "UpdateCertificate",
        "UpdateThing",
    ),
    "lambda": ("Invoke",),
    "s3": ("GetObject", "HeadObject", "PutObject"),
    "sns": ("Publish",),
    "sqs": ("ChangeMessageVisibility", "GetQueueAttributes", "SendMessage", "SendMessageBatch"),
}
# What botocore itself may call with a client: where a table's endpoint and a bucket's Region are.
BY_BOTOCORE = {"dynamodb": ("DescribeEndpoints",), "s3": ("HeadBucket",)}


def cut(model: dict[str, Any], operations: Iterable[str]) -> dict[str, Any]:
    """Return a service's model with these operations, the shapes that they refer to, and no documentation."""
    kept = {name: _undocumented(model["operations"][name]) for name in sorted(operations)}
    wanted, shapes = list(_shapes_in(kept)), {}
    while wanted:
        name = wanted.pop()
        if name not in shapes:
            shapes[name] = _undocumented(model["shapes"][name])
            wanted += _shapes_in(shapes[name])
    rest = {name: value for name, value in model.items() if name not in {"documentation", "examples"}}
    return {**rest, "operations": kept, "shapes": dict(sorted(shapes.items()))}


def cut_endpoints(endpoints: dict[str, Any], services: Iterable[str]) -> dict[str, Any]:
    """Return the partitions with these services alone."""
    wanted = set(services)
    partitions = [
        {**each, "services": {name: value for name, value in each["services"].items() if name in wanted}}
        for each in endpoints["partitions"]
    ]
    return {**endpoints, "partitions": partitions}


def _shapes_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        name = value.get("shape")
        if isinstance(name, str):
            yield name
        for each in value.values():
            yield from _shapes_in(each)
    elif isinstance(value, list):
        for each in value:
            yield from _shapes_in(each)


def _undocumented(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: _undocumented(each)
            for name, each in value.items()
            if not (name in ("documentation", "documentationUrl") and isinstance(each, str))
        }
    return [_undocumented(each) for each in value] if isinstance(value, list) else value


def models() -> dict[str, str]:
    """Return the files of the folder by their names in it, cut from the botocore that is installed."""
    from botocore.loaders import create_loader

    loader, files, prefixes = create_loader(), {}, set()
    for service, operations in OPERATIONS.items():
        version = loader.determine_latest_version(service, "service-2")
        model = loader.load_service_model(service, "service-2")
        prefixes.add(model["metadata"]["endpointPrefix"])
        files[f"{service}/{version}/service-2.json"] = _text(cut(model, (*operations, *BY_BOTOCORE.get(service, ()))))
    files["endpoints.json"] = _text(cut_endpoints(loader.load_data("endpoints"), prefixes))
    return files


def _text(model: Any) -> str:
    return json.dumps(model, separators=(",", ":")) + "\n"


def write() -> None:
    """Write the folder anew."""
    for each in FOLDER.rglob("*.json"):
        each.unlink()
    for name, text in models().items():
        file = FOLDER / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")


if __name__ == "__main__":
    write()
