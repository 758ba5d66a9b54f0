"""Templates for webhooks: CloudFormation takes them, Slack gets nothing that a device chose, and what is signed is."""

import base64
import hmac
import json
import re
import secrets
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.error import HTTPError

import boto3
import pytest
from cfnlint.api import lint_file
from testkit import template
from testkit.aws.web_servers import answering
from tools.event_schemas import promises, schema_of

DOCS = Path(__file__).parents[2] / "docs"
FILE = DOCS / "webhooks.yaml"
SIGNED = DOCS / "signed-webhook.yaml"
RESOURCES: dict[str, Any] = template.read(FILE.read_text())["Resources"]
# What the stack, a certificate's hash or our code chose.
OURS = {
    "$.detail-type",
    "$.detail.metadata.stack",
    "$.detail.data.certificate_id",
    "$.detail.data.reason",
}


@pytest.mark.parametrize("file", [FILE, SIGNED], ids=lambda file: file.name)
def test_cloudformation_takes_it(file: Path) -> None:
    assert lint_file(file) == []


def test_slack_gets_nothing_that_a_device_chose() -> None:
    """A name could be a link there, or call everybody in the channel, or end the text that it stands in."""
    (target,) = RESOURCES["SlackRule"]["Properties"]["Targets"]
    transformer = target["InputTransformer"]
    assert set(transformer["InputPathsMap"].values()) == OURS
    used = set(re.findall(r"<(\w+)>", transformer["InputTemplate"]))
    assert used == set(transformer["InputPathsMap"])
    assert json.loads(re.sub(r"<\w+>", "x", transformer["InputTemplate"])).keys() == {"text"}
    for detail_type in RESOURCES["SlackRule"]["Properties"]["EventPattern"]["detail-type"]:
        there = {f"$.{each}" for each in promises(schema_of(detail_type))}
        assert there >= OURS


def test_what_is_not_delivered_is_kept() -> None:
    for rule in ("SlackRule", "WebhookRule"):
        (target,) = RESOURCES[rule]["Properties"]["Targets"]
        assert target["DeadLetterConfig"] == {"Arn": {"Fn::GetAtt": "NotDelivered.Arn"}}


# --- signed

KEY = secrets.token_bytes(24)
EVENT = {
    "detail-type": "Device Held",
    "detail": {"metadata": {"id": "history#2026-03-01T12:00:00.5Z#a"}, "name": "Süd"},
}


@pytest.fixture
def signs(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """The template's function, which sends EVENT to an address."""
    asked: list[str] = []

    def get_secret_value(SecretId: str) -> Any:  # noqa: N803 - botocore's name
        asked.append(SecretId)
        return {"SecretString": "whsec_" + base64.b64encode(KEY).decode()}

    monkeypatch.setattr(boto3, "client", lambda _name: SimpleNamespace(get_secret_value=get_secret_value))
    monkeypatch.setenv("SECRET", "arn")
    code = template.read(SIGNED.read_text())["Resources"]["Sign"]["Properties"]["Code"]["ZipFile"]
    assert len(code) <= 4096, "CloudFormation takes no more"
    names: dict[str, Any] = {}
    exec(compile(code, "index.py", "exec"), names)  # noqa: S102 - it is our own

    def sign(url: str) -> None:
        monkeypatch.setenv("URL", url)
        names["handler"](EVENT, None)
        assert asked == ["arn"]

    return sign


def _answer(status: str, *headers: str) -> Callable[[bytes], bytes]:
    return lambda _request: "\r\n".join([f"HTTP/1.1 {status}", "Content-Length: 0", *headers, "", ""]).encode()


def test_a_signed_event_is_verified_by_the_rules_of_standard_webhooks(signs: Callable[[str], None]) -> None:
    """https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md"""
    with answering(_answer("204 No Content")) as (url, asked):
        signs(url)
        signs(url)
    ids = set()
    for request in asked:
        head, _, body = request.partition(b"\r\n\r\n")
        lines = [line.split(": ", 1) for line in head.decode().split("\r\n")[1:]]
        headers = {name.lower(): value for name, value in lines}
        assert json.loads(body) == EVENT
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        signature = base64.b64encode(hmac.digest(KEY, signed, "sha256")).decode()
        assert headers["webhook-signature"] == f"v1,{signature}"
        assert "." not in headers["webhook-id"]
        ids.add(headers["webhook-id"])
    assert len(ids) == 1, "the same event has the same id"


@pytest.mark.parametrize("status", ["302 Found", "400 Bad Request", "500 Internal Server Error"])
def test_what_the_receiver_does_not_take_fails_and_goes_nowhere_else(signs: Callable[[str], None], status: str) -> None:
    """Lambda tries a failed one again. A signed event that follows a redirection is somebody else's to replay."""
    with answering(_answer("204 No Content")) as (elsewhere, stray):
        with answering(_answer(status, f"Location: {elsewhere}/")) as (url, _), pytest.raises(HTTPError):
            signs(url)
        assert stray == []
