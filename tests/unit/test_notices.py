"""Notices: one for each change of a verdict or of its weightiest reason, small, and as their schemas say."""

import json
from dataclasses import replace
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from testkit.knocks import CA_ID, NOW, allow, decided, knock, rules
from tools.event_schemas import schema_of

from jitr.aws.dynamodb.table import record_writes
from jitr.records.event import RegistrationEvent
from jitr.records.heads import Heads
from jitr.records.history import Author, HistoryKind, entry
from jitr.records.knock import facts_json
from jitr.records.notices import DETAIL_TYPES, MOST_BYTES, Notice, NoticeOrigin, notice_of, size
from jitr.records.record import APPLIED, APPLYING, Record
from jitr.records.transitions import recorded, settled

HERE = NoticeOrigin("jitr", "aws", "eu-central-1", "123456789012")
DEVICE = "ab" * 32
# What DynamoDB keeps, and so what an item may hold: any text in UTF-8.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=3_000)


def record(state: str = APPLIED, previous: Record | None = None, in_force: Any = None, **facts: Any) -> Record:
    device = knock(certificate_sha256=DEVICE, **facts)
    decision = decided(device, in_force or rules(), now=NOW)
    event = RegistrationEvent(DEVICE, CA_ID, NOW)
    return recorded(
        decision, event=event, heads=Heads(), facts=facts_json(device), state=state, now=NOW, previous=previous
    )


def written(each: Record) -> tuple[Record, dict[str, Any]]:
    """A record as it is after it was written, and as it is read again, with the item."""
    after, (put, *_) = record_writes("t", each)
    from jitr.aws.dynamodb.table import from_item

    item = from_item(put["Put"]["Item"])
    assert Record.from_json(item) == replace(after, telling=None)
    return Record.from_json(item), item


def told(item: Any) -> Notice | None:
    found = notice_of(item, HERE)
    if found is not None:
        check(found)
    return found


def check(notice: Notice) -> None:
    """It is small, and as its schema says, as a subscriber gets it."""
    sent = notice.entry("default")
    assert size(notice) <= MOST_BYTES
    got = {"source": sent["Source"], "detail-type": sent["DetailType"], "resources": sent["Resources"]}
    jsonschema.validate(got | {"detail": json.loads(sent["Detail"])}, schema_of(notice.detail_type))


def test_a_device_that_is_held_is_told_once_however_often_its_record_is_written() -> None:
    held, item = written(record())
    notice = told(item)
    assert notice is not None
    assert notice.detail_type == "Device Held"
    assert notice.resources == (f"arn:aws:iot:eu-central-1:123456789012:cert/{DEVICE}",)
    assert notice.detail["metadata"]["id"] == f"{DEVICE}#1"
    assert notice.detail["data"]["before"] is None  # type: ignore[typeddict-item]
    again, item = written(record(previous=held))
    assert told(item) is None
    _, item = written(replace(again, knocks=7))
    assert told(item) is None


def test_an_admission_is_told_once_it_is_carried_out_and_says_what_was_before() -> None:
    held, _ = written(record())
    admits = rules(allow())
    applying, item = written(record(APPLYING, held, admits))
    assert told(item) is None
    _, item = written(settled(applying, NOW))
    notice = told(item)
    assert notice is not None
    assert notice.detail_type == "Device Admitted"
    assert notice.detail["data"]["before"] == {"decision": "hold", "reason": "allow.unmatched"}  # type: ignore[typeddict-item]


def test_another_weightiest_reason_is_told_and_another_message_of_it_is_not() -> None:
    held, _ = written(record())
    same, item = written(replace(held, reasons=({"code": "allow.unmatched", "message": "other words"},)))
    assert told(item) is None
    _, item = written(replace(same, reasons=({"code": "grant.max-devices", "message": "full"},)))
    notice = told(item)
    assert notice is not None
    assert notice.detail["data"]["before"] == {"decision": "hold", "reason": "allow.unmatched"}  # type: ignore[typeddict-item]


def test_what_an_earlier_version_decided_is_not_told_when_it_is_written_again() -> None:
    _, item = written(record())
    del item["telling"]
    _, item = written(replace(Record.from_json(item), knocks=2))
    assert told(item) is None


def test_a_write_that_changes_a_part_of_the_record_tells_nothing_anew() -> None:
    """The recheck function raises the revision of a record that was told of."""
    _, item = written(record())
    assert told(item | {"revision": 2}) is None


@pytest.mark.parametrize(
    ("status", "before", "detail_type"),
    [
        ("INACTIVE", "ACTIVE", "Device Deactivated"),
        ("REVOKED", "ACTIVE", "Device Deactivated"),
        ("ACTIVE", "INACTIVE", "Device Activated"),
        ("INACTIVE", "NOT_REGISTERED", "Device Registered"),
    ],
)
def test_what_an_operator_does_to_a_status_is_told_with_who_and_why(status: str, before: str, detail_type: str) -> None:
    act = {"status": status, "status_before": before, "by": "deniz", "at": "2026-03-01T12:00:00Z", "message": "recall"}
    notice = told({"pk": f"CERTIFICATE#{DEVICE}", "sk": "BY_HAND", "acts": [act], "revision": 3, "format": 1})
    assert notice is not None
    assert notice.detail_type == detail_type
    assert notice.detail["metadata"]["id"] == f"{DEVICE}#by-hand#3"
    data: Any = notice.detail["data"]
    assert (data["by"], data["why"]) == ("deniz", "recall")


@pytest.mark.parametrize(
    ("kind", "detail_type"),
    [
        (HistoryKind.RULES, "Rules Published"),
        (HistoryKind.LIST, "List Changed"),
        (HistoryKind.SIGNER, "Signer Changed"),
        (HistoryKind.CA, "CA Changed"),
        (HistoryKind.DEVICE, None),  # by its record, and by what was done to its status
        (HistoryKind.FAILURES, None),
    ],
)
def test_what_operators_changed_is_told_once_it_is_done(kind: HistoryKind, detail_type: str | None) -> None:
    made = entry(Author("deniz", "page"), NOW, "1", kind, "what was asked", subject="x", after={"rows": 1})
    key = {"pk": "HISTORY", "sk": made.id}
    assert told(key | made.begun().to_item()) is None
    notice = told(key | made.to_item())
    assert (None if notice is None else notice.detail_type) == detail_type
    refused = told(key | made.refused("line 2: no").to_item())
    assert refused is not None
    assert refused.detail_type == "Upload Refused"


def test_other_items_tell_nothing() -> None:
    assert notice_of({"pk": "HEADS", "sk": "HEADS"}, HERE) is None


@given(TEXT, st.integers(0, 40))
def test_a_notice_is_small_and_as_its_schema_says_whatever_stands_in_it(text: str, count: int) -> None:
    """Names, notes and messages of any length and of any characters, control characters among them."""
    _, item = written(record(subject=(("common_name", text or "x"),) * max(1, count)))
    word = {"decision": "admit", "by": text, "at": "2026-03-01T12:00:00Z", "rule": "line-a", "message": text}
    reasons = [{"code": "allow.unmatched", "message": text}] * max(1, count)
    misses = [{"rule": "line-a", "at": "a:1", "matched": [], "failed": [{"condition": "x", "message": text}] * count}]
    told(item | {"word": word, "reasons": reasons, "near_misses": misses * count})
    act = {"status": "ACTIVE", "status_before": "INACTIVE", "by": text, "at": "2026-03-01T12:00:00Z", "message": text}
    acts = [act | {"overruled": [text] * count}]
    told({"pk": f"CERTIFICATE#{DEVICE}", "sk": "BY_HAND", "acts": acts, "revision": 3})
    values = {f"{each}{text}": text for each in range(count)}
    made = entry(
        Author(text, "page"), NOW, "1", HistoryKind.LIST, text, subject=text, why=text, before=values, after=values
    )
    told({"pk": "HISTORY", "sk": made.id} | made.failed("2026-03-01T12:00:00Z", text).to_item())


def test_each_detail_type_has_a_schema_that_asks_for_all_of_its_properties() -> None:
    for each in DETAIL_TYPES:
        data = schema_of(each)["properties"]["detail"]["properties"]["data"]
        assert set(data["required"]) == set(data["properties"])
