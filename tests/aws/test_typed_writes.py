"""Batches of typed items: what a client sends is what it was given, and in all else it is botocore's request."""

import json
from typing import Any

import boto3
from botocore.awsrequest import AWSPreparedRequest, AWSResponse

from jitr.aws.dynamodb.typed_writes import send_as_they_are

ITEM = {"pk": {"S": "LIST#ä"}, "sk": {"S": 'a"b'}, "format": {"N": "1"}, "row": {"M": {"note": {"S": "\u2028 x"}}}}
REQUESTS = {"jitr": [{"PutRequest": {"Item": ITEM}}, {"DeleteRequest": {"Key": {"pk": {"S": "p"}, "sk": {"S": "s"}}}}]}


class Sent:
    """A client whose requests go nowhere, and what it sent."""

    def __init__(self, *answers: Any) -> None:
        self.client: Any = boto3.client(
            "dynamodb", region_name="eu-central-1", aws_access_key_id="key", aws_secret_access_key="secret"
        )
        self.client.meta.events.register("before-send.dynamodb", self._send)
        self.requests: list[Any] = []
        self._answers = list(answers)

    def bodies(self) -> list[Any]:
        return [json.loads(each.body) for each in self.requests]

    def _send(self, request: AWSPreparedRequest, **_more: Any) -> Any:
        self.requests.append(request)
        status, answer = self._answers.pop(0) if self._answers else (200, {"UnprocessedItems": {}})
        headers: Any = {"x-amzn-requestid": "1"}
        raw: Any = _Raw(json.dumps(answer).encode())
        return AWSResponse(request.url, status, headers, raw)


class _Raw:
    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self) -> Any:
        yield self._body


def test_what_is_sent_is_what_an_ordinary_client_sends() -> None:
    ordinary, ours = Sent(), Sent()
    send_as_they_are(ours.client)
    for each in (ordinary, ours):
        each.client.batch_write_item(RequestItems=REQUESTS, ReturnConsumedCapacity="NONE")
    assert ours.bodies() == ordinary.bodies() == [{"RequestItems": REQUESTS, "ReturnConsumedCapacity": "NONE"}]
    (one,), (other,) = ordinary.requests, ours.requests
    assert (one.method, one.url) == (other.method, other.url)
    assert set(one.headers) == set(other.headers)
    assert one.headers["X-Amz-Target"] == other.headers["X-Amz-Target"]


def test_what_is_signed_is_what_is_sent() -> None:
    signed: list[bytes] = []
    ours = Sent()
    ours.client.meta.events.register("before-sign.dynamodb", lambda request, **_: signed.append(request.data))
    send_as_they_are(ours.client)
    ours.client.batch_write_item(RequestItems=REQUESTS)
    (request,) = ours.requests
    assert signed == [request.body]
    assert b"Signature=" in request.headers["Authorization"]


def test_a_request_that_botocore_sends_again_is_whole_and_what_was_not_taken_comes_back() -> None:
    left = {"jitr": REQUESTS["jitr"][:1]}
    ours = Sent((500, {"__type": "InternalServerError"}), (200, {"UnprocessedItems": left}))
    send_as_they_are(ours.client)
    assert ours.client.batch_write_item(RequestItems=REQUESTS)["UnprocessedItems"] == left
    assert ours.bodies() == [{"RequestItems": REQUESTS}] * 2


def test_said_twice_it_is_the_same_and_other_calls_are_as_ever() -> None:
    ours = Sent((200, {"UnprocessedItems": {}}), (200, {}))
    send_as_they_are(ours.client)
    send_as_they_are(ours.client)
    ours.client.batch_write_item(RequestItems=REQUESTS)
    ours.client.put_item(TableName="jitr", Item=ITEM)
    assert ours.bodies() == [{"RequestItems": REQUESTS}, {"TableName": "jitr", "Item": ITEM}]
