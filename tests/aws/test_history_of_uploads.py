"""The history of what is uploaded to the bucket, and of imports that are cut off: one entry each, whoever ends it."""

from dataclasses import replace

import pytest
from testkit import lists as list_edits
from testkit.aws.bucket import Bucket, listed, rules

from jitr import __version__
from jitr.aws.dynamodb.history import newest
from jitr.aws.dynamodb.table import Table
from jitr.devicelists.rows import ListRow
from jitr.records.history import Author, HistoryEntry, HistoryKind, Outcome, entry
from jitr.records.upload import UploadOutcome, read_record
from jitr.services.lists.list_import import Unfinished
from jitr.times import parse_time

ROWS = [ListRow(common_name=f"snr-{number}") for number in range(60)]


def history(table: Table) -> list[HistoryEntry]:
    return list(newest(table))


def test_rules_that_are_uploaded_leave_an_entry_with_who_uploaded_them(bucket: Bucket) -> None:
    bucket.put("admission.yaml", rules(bucket), **{"jitr-message": "line A starts"})
    (found,) = history(bucket.world.table)
    assert (found.by, found.tool, found.version) == ("AWS:AIDAFACTORY", "bucket", __version__)
    assert (found.kind, found.subject, found.outcome) == (HistoryKind.RULES, "admission.yaml", Outcome.DONE)
    assert found.command.startswith("s3://configuration/admission.yaml, version ")
    assert (found.why, dict(found.before), found.after["rules_version"]) == ("line A starts", {}, 1)


def test_rules_that_are_in_force_already_leave_none(bucket: Bucket) -> None:
    bucket.put("admission.yaml", rules(bucket))
    verdict = bucket.put("admission.yaml", rules(bucket))
    assert verdict is not None
    assert verdict.outcome is UploadOutcome.UNCHANGED
    assert len(history(bucket.world.table)) == 1


@pytest.mark.parametrize(
    ("key", "counts"), [("lists/line-a.csv", "rows"), ("lists/merge/line-a.csv", "rows_of_the_file")]
)
def test_a_list_that_is_uploaded_leaves_an_entry_with_what_it_did(bucket: Bucket, key: str, counts: str) -> None:
    bucket.put(key, listed(1, 2))
    (found,) = history(bucket.world.table)
    assert (found.kind, found.subject, found.outcome) == (HistoryKind.LIST, "line-a", Outcome.DONE)
    assert found.after[counts] == 2


def test_a_file_that_is_refused_leaves_one_entry_however_often_it_is_told_of(bucket: Bucket) -> None:
    """S3 tells of a version at least once, and a verdict may not have been written when it does so again."""
    record = bucket.upload("lists/line-a.csv", "colour\nred\n")
    bucket.answer(record)
    for each in ("lists/line-a.result.json", "lists/line-a.result.txt"):
        bucket.s3.delete_object(Bucket="configuration", Key=each)
    bucket.answer(record)
    (found,) = history(bucket.world.table)
    assert (found.outcome, found.by, found.at[:10]) == (Outcome.REFUSED, "AWS:AIDAFACTORY", "2026-03-01")
    assert "colour" in (found.problem or "")


@pytest.mark.parametrize("key", ["x" * 900, "lists/\u202e\x1b[2J.csv", "lists/../line-a.csv", "\udcff"])
def test_a_file_in_the_wrong_place_is_written_down_whatever_it_is_called(bucket: Bucket, key: str) -> None:
    record = bucket.upload("lists/line-a.csv", listed(1))
    handler, uploaded = bucket.uploads(), replace(read_record(record), key=key)
    verdict = handler._refused(uploaded, "it is in the wrong place")
    told = handler._entry(uploaded, None, {}, {}).refused(verdict.message)
    assert len(str(told.to_item()).encode()) < 10_000


def test_an_import_in_several_invocations_leaves_one_entry_that_says_begun_until_it_ends(bucket: Bucket) -> None:
    table = bucket.world.table
    bucket.hurry = lambda: True
    record = bucket.upload("lists/line-a.csv", listed(*range(200)))
    verdict = bucket.answer(record)
    assert verdict is not None
    assert verdict.outcome is UploadOutcome.IMPORTING
    (begun,) = history(table)
    assert begun.outcome is Outcome.BEGUN
    bucket.hurry = lambda: False
    bucket.answer(record, verdict.details["edition"])
    (done,) = history(table)
    assert (done.id, done.outcome) == (begun.id, Outcome.DONE)


def told(by: str, token: str) -> HistoryEntry:
    at = parse_time("2026-03-01T12:00:00Z")
    return entry(Author(by, "command line"), at, token, HistoryKind.LIST, "lists import line-a x.csv", subject="line-a")


def test_whoever_goes_on_with_an_import_ends_the_entry_of_whoever_began_it(bucket: Bucket) -> None:
    table = bucket.world.table
    imports = list_edits.imports_into(table)
    checked = imports.check("line-a", list_edits.csv_of(ROWS), advance=lambda _bytes: None)
    imports._hurry = lambda: True
    with pytest.raises(Unfinished):
        imports.replace("line-a", checked, by="deniz", advance=lambda _rows: None, entry=told("deniz", "1"))
    imports._hurry = lambda: False
    imports.replace("line-a", checked, by="aylin", advance=lambda _rows: None, entry=told("aylin", "2"))
    (found,) = history(table)
    assert found.id.endswith("#1")
    assert (found.by, found.after["begun_by"], found.outcome) == ("aylin", "deniz", Outcome.DONE)


def test_an_import_that_an_earlier_version_began_leaves_an_entry_when_it_ends(bucket: Bucket) -> None:
    """Its note has no entry."""
    table = bucket.world.table
    imports = list_edits.imports_into(table)
    checked = imports.check("line-a", list_edits.csv_of(ROWS), advance=lambda _bytes: None)
    imports._hurry = lambda: True
    with pytest.raises(Unfinished):
        imports.replace("line-a", checked, by="deniz", advance=lambda _rows: None)
    (note,) = table.query("IMPORTS")
    assert note.pop("entry") == ""
    table.put(note)
    imports._hurry = lambda: False
    imports.replace("line-a", checked, by="deniz", advance=lambda _rows: None, entry=told("deniz", "2"))
    (found,) = history(table)
    assert (found.outcome, dict(found.after)) == (
        Outcome.DONE,
        {"added": 60, "changed": 0, "unchanged": 0, "removed": 0},
    )
