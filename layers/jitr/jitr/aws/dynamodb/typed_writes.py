"""Batches of typed items, sent as they are.

botocore compares every value of a request with its API model and copies it on the way to JSON, which takes most of
the processor time of a BatchWriteItem. Items that are of DynamoDB's types already need neither: their JSON is written
at once. botocore still finds the endpoint, signs, sends, tries again and reads the answer.

Both events are botocore's documented ones: https://docs.aws.amazon.com/botocore/latest/topics/events.html
"""

import json
from collections.abc import Mapping
from typing import Any

_OPERATION = "dynamodb.BatchWriteItem"
_OURS = "jitr.typed_writes"


def send_as_they_are(client: Any) -> None:
    """Have a client send the requests of ``batch_write_item`` as they are. Said twice, it is the same.

    From then on the items may have no values of bytes, which JSON has not.
    """
    client.meta.events.register(f"provide-client-params.{_OPERATION}", _take_out, unique_id=f"{_OURS}.take_out")
    client.meta.events.register(f"before-call.{_OPERATION}", _put_in, unique_id=f"{_OURS}.put_in")


def _take_out(params: Mapping[str, Any], context: dict[str, Any], **_more: Any) -> Mapping[str, Any]:
    """Leave botocore the tables, which it finds the endpoint by, and one empty request for each."""
    context[_OURS] = params
    return {**params, "RequestItems": {table: [{}] for table in params["RequestItems"]}}


def _put_in(params: dict[str, Any], context: dict[str, Any] | None = None, **_more: Any) -> None:
    """Put what was taken out into the request, before it is signed."""
    if context and _OURS in context:
        params["body"] = json.dumps(context.pop(_OURS), separators=(",", ":")).encode()
