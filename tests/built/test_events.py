"""The files in events/: as AWS sends them, and each answered as the table in its README says."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from testkit import event_files, pki
from testkit.aws.world import ACCOUNT, World, listening, moto_world
from testkit.event_files import CA, FILES, OTHER_CA
from testkit.knocks import allow, deny, rules

from jitr.reasons import CODES
from jitr.records.event import own_event
from jitr.records.record import Record
from jitr.rules.model import Ca

FACTORY = pki.ca("Factory A")
OTHER = pki.ca("Factory B")
DEVICES = {
    event_files.ALLOWED: FACTORY.usual_device("snr-0001").issue(),
    event_files.UNMATCHED: FACTORY.usual_device("new-0002").issue(),
    event_files.DENIED: FACTORY.usual_device("old-0003").issue(),
    event_files.ACTIVE: FACTORY.usual_device("snr-0004").issue(),
    event_files.REVOKED: FACTORY.usual_device("snr-0005").issue(),
}
IDS = {CA: FACTORY.id, OTHER_CA: OTHER.id, **{made_up: device.sha256 for made_up, device in DEVICES.items()}}


@pytest.fixture
def world() -> Iterator[World]:
    """AWS in process with CAs, rules and certificates as the README says of the ids in the files."""
    with moto_world() as made, listening(made.iot, "after-call.iot.DescribeCertificate", _name_the_ca):
        for ca in (FACTORY, OTHER):
            made.register_ca(ca)
        for device in DEVICES.values():
            made.connect(device)
        for made_up in (event_files.ACTIVE, event_files.REVOKED):
            status: Any = "ACTIVE" if made_up == event_files.ACTIVE else "REVOKED"
            made.iot.update_certificate(certificateId=IDS[made_up], newStatus=status)
        published = rules(allow(ca="factory-a", common_name="snr-*"), deny(common_name="old-*"))
        made.publish(replace(published, cas={"factory-a": Ca("factory-a", (FACTORY.id,), 3)}))
        yield made


def _name_the_ca(parsed: dict[str, Any], **_context: Any) -> None:
    """moto leaves caCertificateId out."""
    if "certificateDescription" in parsed:
        parsed["certificateDescription"]["caCertificateId"] = FACTORY.id


def _poison(world: World) -> dict[str, str]:
    return {each["Body"]: each["MessageAttributes"]["reason"]["StringValue"] for each in world.failures()}


def handled(world: World, name: str) -> tuple[str, ...]:
    """Handle the batch in a file; what came of each message."""
    batch = event_files.records(event_files.text(name, account=ACCOUNT, ids=IDS))
    answer = world.batch().handle(batch, lambda: 30_000)

    def look(certificate_id: str) -> tuple[str, Record | None]:
        found = world.iot.describe_certificate(certificateId=certificate_id)["certificateDescription"]
        return found["status"], world.table.record_and_heads(certificate_id)[0]

    return event_files.outcomes(batch, answer, _poison(world), look)


@pytest.mark.docs
def test_each_file_has_a_row_and_each_row_a_file() -> None:
    assert sorted(event_files.table()) == FILES


@pytest.mark.docs
@pytest.mark.parametrize("name", FILES)
def test_what_comes_out_is_what_the_table_says(world: World, name: str) -> None:
    assert handled(world, name) == event_files.table()[name]


def test_each_kind_of_poison_has_a_file() -> None:
    """But a bug, which no event is known to provoke, and what befalls an event on its way and not because of itself."""
    told = " ".join(word for words in event_files.table().values() for word in words)
    poison = {code.code for code in CODES.values() if code.effect is None}
    assert {code for code in poison if f"poison `{code}`" in told} == poison - {
        "event.bug",
        "event.exhausted",
        "event.rule-failed",
    }


@pytest.mark.parametrize("name", ["first-connection.json", "iso-dates.json", "numbers-as-strings.json"])
def test_a_time_is_the_same_moment_however_it_is_spelled(world: World, name: str) -> None:
    handled(world, name)
    record = world.record(DEVICES[event_files.ALLOWED])
    assert record is not None
    assert record.knocked_at == datetime(2026, 3, 1, 11, 59, 58, 500000, UTC)


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_a_batch_as_lambda_brings_it_from_sqs(name: str) -> None:
    """AWS Lambda Developer Guide, "Using Lambda with Amazon SQS", the example event of a standard queue."""
    batch = event_files.records(event_files.text(name))
    assert 1 <= len(batch) <= 10, "the batch size in template.yaml"
    assert len({each["messageId"] for each in batch}) == len({each["receiptHandle"] for each in batch}) == len(batch)
    for each in batch:
        assert set(each) == {
            "messageId", "receiptHandle", "body", "attributes", "messageAttributes", "md5OfBody", "eventSource",
            "eventSourceARN", "awsRegion",
        }  # fmt: skip
        assert set(each["attributes"]) == {
            "ApproximateReceiveCount", "SentTimestamp", "SenderId", "ApproximateFirstReceiveTimestamp",
        }  # fmt: skip
        assert all(isinstance(value, str) for value in each["attributes"].values())
        assert each["md5OfBody"] == hashlib.md5(each["body"].encode(), usedforsecurity=False).hexdigest()
        assert each["attributes"]["SentTimestamp"] <= each["attributes"]["ApproximateFirstReceiveTimestamp"]


def test_a_message_of_our_own_is_in_the_file_as_it_is_sent() -> None:
    (record,) = event_files.records(event_files.text("decided-again.json"))
    at = datetime(2026, 3, 1, 11, 59, 58, 500000, UTC)
    certificate, ca = event_files.ALLOWED * 32, event_files.CA * 32
    assert record["body"] == own_event(certificate, ca, event_files.ACCOUNT, at)


def test_the_files_name_only_the_ids_that_the_readme_explains() -> None:
    explained = {"ca", "cb", "cc", "d0", "d1", "d2", "d3", "d4", "d5"}
    found = set()
    for name in FILES:
        for record in event_files.records(event_files.text(name)):
            if record["body"].startswith("{"):
                body = json.loads(record["body"])
                found |= {body[key] for key in ("certificateId", "caCertificateId") if len(body.get(key, "")) == 64}
    assert found == {each * 32 for each in explained}
    readme = (event_files.EVENTS / "README.md").read_text("utf-8")
    assert all(f"`{each * 4}…`" in readme for each in explained)
