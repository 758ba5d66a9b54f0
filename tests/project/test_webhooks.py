"""Templates for webhooks: CloudFormation takes them, Slack gets nothing that a device chose, and what is signed is."""

import base64
import hmac
import json
import os
import re
import secrets
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import boto3
import pytest
from cfnlint.api import lint_file
from testkit import template
from testkit.aws.web_servers import answering
from testkit.transformed import deployed_by, refused_by
from tools.event_schemas import promises, schema_of

DOCS = Path(__file__).parents[2] / "docs"
FILE = DOCS / "webhooks.yaml"
SIGNED = DOCS / "signed-webhook.yaml"
WEBHOOKS: dict[str, Any] = template.read(FILE.read_text())
RESOURCES: dict[str, Any] = WEBHOOKS["Resources"]
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


SLACK = {"SlackUrl": "https://hooks.slack.com/services/T/B/x"}
OWN = {"WebhookUrl": "https://example.com/", "WebhookToken": "t" * 32}


@pytest.mark.parametrize(
    ("parameters", "there"),
    [(SLACK, ("Slack",)), (OWN, ("Webhook",)), (SLACK | OWN, ("Slack", "Webhook"))],
    ids=["slack", "webhook", "both"],
)
def test_slack_and_a_webhook_are_deployed_each_without_the_other(
    parameters: dict[str, str], there: tuple[str, ...]
) -> None:
    """What is not asked for is not there, and nothing that is there refers to it."""
    assert refused_by(WEBHOOKS, parameters) == []
    resources = deployed_by(WEBHOOKS, parameters)
    of_each = {who + what for who in there for what in ("Connection", "Destination", "Rule")}
    assert set(resources) == of_each | {"Role", "NotDelivered", "NotDeliveredPolicy"}
    (send,) = resources["Role"]["Properties"]["Policies"]
    (may,) = send["PolicyDocument"]["Statement"]
    assert may["Resource"] == [{"Fn::GetAtt": f"{who}Destination.Arn"} for who in there]
    (keep,) = resources["NotDeliveredPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert keep["Condition"]["ArnEquals"]["aws:SourceArn"] == [{"Fn::GetAtt": f"{who}Rule.Arn"} for who in there]


def test_a_webhook_without_a_token_and_a_stack_that_tells_nobody_are_refused() -> None:
    (nobody,) = refused_by(WEBHOOKS, {})
    assert "Set SlackUrl, or WebhookUrl and WebhookToken" in nobody
    for others in ({}, SLACK):
        (no_token,) = refused_by(WEBHOOKS, others | {"WebhookUrl": OWN["WebhookUrl"]})
        assert "Set WebhookToken with WebhookUrl" in no_token


@pytest.mark.parametrize("name", ["SlackUrl", "WebhookUrl", "WebhookToken"])
def test_a_value_is_whole_or_empty(name: str) -> None:
    pattern = WEBHOOKS["Parameters"][name]["AllowedPattern"]
    for value in ("", (SLACK | OWN)[name]):
        assert re.fullmatch(pattern, value)
    for value in (" ", "http://hooks.slack.com/x", "short", "t" * 31):
        assert not re.fullmatch(pattern, value)


# --- signed

KEY = secrets.token_bytes(24)
SECRET = "whsec_" + base64.b64encode(KEY).decode()
EVENT = {
    "detail-type": "Device Held",
    "detail": {"metadata": {"id": "history#2026-03-01T12:00:00.5Z#a"}, "name": "Süd"},
}


@dataclass
class Signer:
    """The template's function, with a secret and a clock of its own."""

    answer: dict[str, Any] = field(default_factory=lambda: {"SecretString": SECRET})
    asked: list[str] = field(default_factory=list)
    now: float = 1_772_366_400.0
    names: dict[str, Any] = field(default_factory=dict)

    def get_secret_value(self, SecretId: str) -> Any:  # noqa: N803 - botocore's name
        """Answer as Secrets Manager does."""
        self.asked.append(SecretId)
        return self.answer

    def __call__(self, url: str) -> None:
        """Send EVENT to an address."""
        os.environ["URL"] = url
        self.names["handler"](EVENT, None)


@pytest.fixture
def signs(monkeypatch: pytest.MonkeyPatch) -> Signer:
    signer = Signer()
    monkeypatch.setattr(boto3, "client", lambda _name: signer)
    monkeypatch.setattr(time, "time", lambda: signer.now)
    monkeypatch.setenv("SECRET", "arn")
    monkeypatch.setenv("URL", "")
    code = template.read(SIGNED.read_text())["Resources"]["Sign"]["Properties"]["Code"]["ZipFile"]
    assert len(code) <= 4096, "CloudFormation takes no more"
    exec(compile(code, "index.py", "exec"), signer.names)  # noqa: S102 - it is our own
    return signer


def _answer(status: str, *headers: str) -> Callable[[bytes], bytes]:
    return lambda _request: "\r\n".join([f"HTTP/1.1 {status}", "Content-Length: 0", *headers, "", ""]).encode()


def test_a_signed_event_is_verified_by_the_rules_of_standard_webhooks(signs: Signer) -> None:
    """https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md"""
    with answering(_answer("204 No Content")) as (url, asked):
        signs(url)
        signs(url)
    assert signs.asked == ["arn"]
    ids = {_verified(request, KEY) for request in asked}
    assert len(ids) == 1, "the same event has the same id"


def _verified(request: bytes, key: bytes) -> str:
    """Return the id of an event that is signed with a key."""
    head, _, body = request.partition(b"\r\n\r\n")
    lines = [line.split(": ", 1) for line in head.decode().split("\r\n")[1:]]
    headers = {name.lower(): value for name, value in lines}
    assert json.loads(body) == EVENT
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    signature = base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
    assert headers["webhook-signature"] == f"v1,{signature}"
    assert "." not in headers["webhook-id"]
    return headers["webhook-id"]


def _secret(octets: int) -> str:
    return "whsec_" + base64.b64encode(bytes(octets)).decode()


@pytest.mark.parametrize(
    "answer",
    [
        {"SecretString": ""},
        *({"SecretString": _secret(octets)} for octets in (0, 1, 23, 65)),
        {"SecretString": SECRET.removeprefix("whsec_")},
        {"SecretString": json.dumps({"signing": SECRET})},
        {"SecretString": SECRET + "!"},
        {"SecretBinary": SECRET.encode()},
    ],
    ids=["empty", "no octet", "1", "23", "65", "no prefix", "the console's JSON", "no base64", "binary"],
)
def test_nothing_is_signed_with_a_secret_that_is_not_whsec_and_24_to_64_octets(
    signs: Signer, answer: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever guesses the key forges events. The line says what the secret must be, and repeats none of it."""
    signs.answer = answer
    with (
        answering(_answer("204 No Content")) as (url, asked),
        pytest.raises(ValueError, match="must be plain text") as bad,
    ):
        signs(url)
    assert asked == []
    told = "".join(traceback.format_exception(bad.value)) + "".join(capsys.readouterr())
    assert "whsec_ and the base64 of 24 to 64 random octets" in told
    assert base64.b64encode(KEY).decode() not in told


@pytest.mark.parametrize("octets", [24, 64])
def test_a_line_end_after_the_secret_is_no_part_of_it(signs: Signer, octets: int) -> None:
    """`--secret-string file://secret` takes the file's last line end along."""
    signs.answer = {"SecretString": _secret(octets) + "\r\n"}
    with answering(_answer("204 No Content")) as (url, asked):
        signs(url)
    _verified(asked[0], bytes(octets))


def test_a_rotated_secret_is_taken_within_a_minute(signs: Signer) -> None:
    """The second attempt, a minute after the first, has it."""
    new = secrets.token_bytes(32)
    with answering(_answer("204 No Content")) as (url, asked):
        signs(url)
        signs.answer = {"SecretString": "whsec_" + base64.b64encode(new).decode()}
        signs.now += 60
        signs(url)
    _verified(asked[0], KEY)
    _verified(asked[1], new)


def test_the_function_decrypts_with_the_key_of_the_secret_and_no_other() -> None:
    """A secret under AWS's own key needs no right to it."""
    signed = template.read(SIGNED.read_text())
    given = {"WebhookUrl": "https://example.com/", "SecretArn": "arn:aws:secretsmanager:eu-central-1:1:secret:x"}
    key = "arn:aws:kms:eu-central-1:123456789012:key/1234"

    def decrypts(**more: str) -> list[Any]:
        policy = deployed_by(signed, given | more)["Policy"]["Properties"]["PolicyDocument"]
        return [each for each in policy["Statement"] if "kms:Decrypt" in each["Action"]]

    assert decrypts() == []
    (statement,) = decrypts(SecretKeyArn=key)
    assert statement["Resource"] == key
    assert "secretsmanager." in str(statement["Condition"]["StringEquals"]["kms:ViaService"])


@pytest.mark.parametrize("status", ["302 Found", "400 Bad Request", "500 Internal Server Error"])
def test_what_the_receiver_does_not_take_fails_and_goes_nowhere_else(signs: Signer, status: str) -> None:
    """Lambda tries a failed one again. A signed event that follows a redirection is somebody else's to replay."""
    with answering(_answer("204 No Content")) as (elsewhere, stray):
        with answering(_answer(status, f"Location: {elsewhere}/")) as (url, _), pytest.raises(HTTPError):
            signs(url)
        assert stray == []
