"""events/publish: as AWS sends them, each answered by the handler as the table in its README says."""

import importlib.util
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote_plus

import boto3
import pytest
from testkit import lists as list_edits
from testkit import pki
from testkit.aws.bucket import BUCKET, Bucket, listed, rules
from testkit.aws.world import ACCOUNT, REGION

from jitr.aws import clients
from jitr.services.lists.device_lists import DeviceLists

ROOT = Path(__file__).parents[2]
EVENTS = ROOT / "events" / "publish"
FILES = sorted(path.name for path in EVENTS.glob("*.json"))
TABLE = dict(re.findall(r"^\| \[([^\]]+)\]\(\1\) \| [^|]+ \| ([^|]+) \|$", (EVENTS / "README.md").read_text(), re.M))


@pytest.fixture
def handler(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The function, with a topic whose messages are seen."""
    topic = boto3.client("sns", region_name=REGION).create_topic(Name="refusals")["TopicArn"]
    for name, value in {
        "AWS_DEFAULT_REGION": REGION,
        "JITR_TABLE": bucket.world.table.name,
        "JITR_REFUSALS_TOPIC": topic,
        "AWS_LAMBDA_FUNCTION_NAME": "publish",
        "POWERTOOLS_SERVICE_NAME": "test",
    }.items():
        monkeypatch.setenv(name, value)
    spec = importlib.util.spec_from_file_location("publish_app", ROOT / "functions/publish/app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.handler


def event(name: str, version: str) -> Any:
    return json.loads((EVENTS / name).read_text().replace("BUCKET", BUCKET).replace("VERSION", version))


def messages() -> list[str]:
    from moto.sns.models import sns_backends

    topics = sns_backends[ACCOUNT][REGION].topics.values()
    return [sent[1] for topic in topics for sent in topic.sent_notifications]


@pytest.mark.docs
def test_each_file_has_a_row_and_each_row_a_file() -> None:
    assert sorted(TABLE) == FILES


@pytest.mark.docs
@pytest.mark.parametrize("name", FILES)
def test_what_comes_out_is_what_the_table_says(bucket: Bucket, handler: Any, name: str) -> None:
    told = event(name, "")
    keys = [unquote_plus(each["s3"]["object"]["key"]) for each in told.get("Records", [])]
    version = ""
    for key in keys:
        text = rules(bucket) if key == "admission.yaml" else listed(1, 2)
        version = bucket.upload(key, text)["s3"]["object"]["versionId"]
    before = bucket.keys()
    context = SimpleNamespace(get_remaining_time_in_millis=lambda: 900_000)
    handler(event(name, version), context)
    written = bucket.keys() - before
    verdicts = [json.loads(bucket.read(each))["outcome"] for each in written if each.endswith(".json")]
    told_on_topic = messages()
    if TABLE[name] == "nothing":
        assert (written, told_on_topic) == (set(), [])
    elif TABLE[name] == "refused, nothing written beside it":
        assert (written, len(told_on_topic)) == (set(), 1)
        assert told_on_topic[0].replace("\n", "").isprintable()
    else:
        assert {*verdicts} == {TABLE[name]}  # of a version that is merged there are two
        assert len(told_on_topic) == (TABLE[name] == "refused")


@pytest.mark.parametrize("before", ["", "\n" * (64 * 1024 - 21)], ids=["alone", "over two pieces"])
@pytest.mark.parametrize("key", ["admission.yaml", "lists/line-a.csv"])
def test_a_private_key_that_is_uploaded_by_mistake_is_repeated_nowhere(
    bucket: Bucket, handler: Any, caplog: pytest.LogCaptureFixture, key: str, before: str
) -> None:
    pem = pki.private_pem(pki.key("P-256", "somebody careless")).decode()
    record = bucket.upload(key, f"{before}\n{pem}")
    handler({"Records": [record]}, SimpleNamespace(get_remaining_time_in_millis=lambda: 900_000))
    written = [bucket.read(each) for each in sorted(bucket.keys()) if ".result." in each]
    told = [*written, *messages(), str([vars(each) for each in caplog.records])]
    assert len(written) == 2
    assert "it has a private key in it" in written[0]
    secret = [line for line in pem.splitlines() if "-----" not in line]
    assert not [line for line in secret for text in told if line[:24] in text or line[-24:] in text]


@pytest.mark.parametrize(
    "key",
    ["lists/line-a.result.json", "admission.result.txt", "x.xlsx.result.json", "factory.pem", "crls/a.crl", "lists/"],
)
def test_a_verdict_and_what_is_not_published_lead_to_no_verdict(bucket: Bucket, handler: Any, key: str) -> None:
    """The function is told of every object in the bucket, of those that it writes itself as well."""
    record = bucket.upload(key, "{}")
    before = bucket.keys()
    handler({"Records": [record]}, SimpleNamespace(get_remaining_time_in_millis=lambda: 900_000))
    assert (bucket.keys(), messages()) == (before, [])


def test_an_invocation_that_counts_nothing_warns_of_nothing(recwarn: pytest.WarningsRecorder, handler: Any) -> None:
    """A warning is a line of the log that is no JSON."""
    handler({}, SimpleNamespace(get_remaining_time_in_millis=lambda: 900_000))
    assert [str(each.message) for each in recwarn] == []


def test_the_log_does_not_repeat_lines_of_a_file_that_is_refused(
    bucket: Bucket, handler: Any, caplog: pytest.LogCaptureFixture
) -> None:
    record = bucket.upload("admission.yaml", "format: 1\nsecret_note: do not repeat me\n")
    handler({"Records": [record]}, SimpleNamespace(get_remaining_time_in_millis=lambda: 900_000))
    assert "secret_note: do not repeat me" in bucket.read("admission.result.txt")
    log = str([vars(each) for each in caplog.records])
    assert "upload refused" in log
    assert "do not repeat me" not in log


def test_the_schedule_lets_go_of_what_was_left(bucket: Bucket, handler: Any) -> None:
    list_edits.replace(bucket.world.table, "line-a", *DeviceLists(bucket.world.table).rows("none", "g"))
    list_edits.replace(bucket.world.table, "line-a", at="2026-01-01T00:00:00Z")
    context = SimpleNamespace(get_remaining_time_in_millis=lambda: 900_000)
    handler(event("tidy.json", ""), context)
    assert list(bucket.world.table.query("IMPORTS")) == []


def test_what_is_not_done_in_time_is_handed_to_the_next_invocation(
    bucket: Bucket, handler: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    invoked: list[dict[str, Any]] = []
    real: Any = clients.client

    def client(service: str, **more: Any) -> Any:
        if service == "lambda":
            return SimpleNamespace(invoke=lambda **arguments: invoked.append(arguments))
        return real(service, **more)

    monkeypatch.setattr(clients, "client", client)
    list_edits.one_after_another(monkeypatch)
    version = bucket.upload("lists/line-a.csv", listed(*range(2000)))["s3"]["object"]["versionId"]
    told = event("list.json", version)
    checked = iter([900_000])  # and then the time is nearly up
    handler(told, SimpleNamespace(get_remaining_time_in_millis=lambda: next(checked, 1_000)))
    assert bucket.rows() == []
    while invoked:
        following = json.loads(invoked.pop()["Payload"])
        assert following["Records"] == told["Records"]
        handler(following, SimpleNamespace(get_remaining_time_in_millis=lambda: 900_000))
    assert len(bucket.rows()) == 2000
