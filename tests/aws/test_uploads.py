"""What is uploaded to the bucket: published or refused whole, the latest version having the last word, in any order."""

import json
from typing import Any

import pytest
from testkit import lists as list_edits
from testkit.aws.bucket import BUCKET, FACTORY, RULES, Bucket, listed, rules

from jitr.devicelists.rows import ListRow, RowKey
from jitr.errors import InputError
from jitr.records.upload import UploadOutcome, read_record
from jitr.services.lists.device_lists import DeviceLists
from jitr.services.publishing import uploads as publishing

# --- published


def test_a_list_is_put_in_place_of_what_was_there_and_the_verdict_beside_it(bucket: Bucket) -> None:
    bucket.put("lists/line-a.csv", listed(1, 2))
    verdict = bucket.put("lists/line-a.csv", listed(2, 3))
    assert bucket.rows() == ["snr-2", "snr-3"]
    assert verdict is not None
    written = json.loads(bucket.read("lists/line-a.result.json"))
    assert written == json.loads(json.dumps(verdict.to_json()))
    assert (written["outcome"], written["list"], written["rows"], written["rows_before"]) == (
        "published",
        "line-a",
        2,
        2,
    )
    assert written["object"]["version"] == verdict.uploaded.version
    text = bucket.read("lists/line-a.result.txt")
    assert text.startswith("PUBLISHED: lists/line-a.csv, version ")
    assert "list line-a has 2 rows now, in place of 2: 1 added, 0 changed, 1 unchanged, 1 removed" in text


def test_the_verdict_names_what_was_removed_and_how_to_have_it_back(bucket: Bucket) -> None:
    first = bucket.put("lists/line-a.csv", listed(*range(40)))
    bucket.put("lists/line-a.csv", listed(*range(3, 8)), **{"jitr-confirm": "shrink"})
    assert first is not None
    written = json.loads(bucket.read("lists/line-a.result.json"))
    assert (written["added"], written["changed"], written["unchanged"], written["removed"]) == (0, 0, 5, 35)
    assert len(written["removed_rows"]) == 20
    assert written["removed_rows"][0].keys() == {"common_name"}
    assert written["version_before"] == first.uploaded.version
    text = bucket.read("lists/line-a.result.txt")
    assert "and 15 more\n" in text
    assert "To have it back as it was, within 7 days: `jitr lists restore line-a`" in text
    DeviceLists(bucket.world.table).restore("line-a", at="2026-03-01T12:00:00Z")
    assert len(bucket.rows()) == 40


@pytest.mark.parametrize(
    "other",
    [b"[" * 200_000, b" " * (5 << 20), b"[]", b"\xff", b"{}"],
    ids=["deep", "large", "a list", "no text", "empty"],
)
def test_a_file_of_somebody_else_in_a_verdict_s_place_ends_no_list_s_uploads(bucket: Bucket, other: bytes) -> None:
    bucket.s3.put_object(Bucket=BUCKET, Key="lists/line-a.result.json", Body=other)
    verdict = bucket.put("lists/line-a.csv", listed(1))
    assert verdict is not None
    assert verdict.outcome is UploadOutcome.PUBLISHED
    assert json.loads(bucket.read("lists/line-a.result.json"))["outcome"] == "published"


# --- merged


def test_what_is_uploaded_under_merge_is_added_to_the_list(bucket: Bucket) -> None:
    bucket.put("lists/line-a.csv", listed(1, 2))
    verdict = bucket.put("lists/merge/line-a.csv", listed(2, 3))
    assert verdict is not None
    assert bucket.rows() == ["snr-1", "snr-2", "snr-3"]
    written = json.loads(bucket.read("lists/merge/line-a.result.json"))
    assert (written["outcome"], written["mode"], written["rows"], written["rows_now"]) == ("published", "merge", 2, 3)
    assert (written["added"], written["changed"], written["unchanged"]) == (1, 0, 1)


def test_every_version_that_is_merged_counts_and_none_twice(bucket: Bucket) -> None:
    """A later upload under the same key says nothing of an earlier one's rows, which would be lost otherwise."""
    records = [bucket.upload("lists/merge/line-a.csv", listed(number)) for number in range(3)]
    for each in records:
        assert bucket.answer(each) is not None
    assert bucket.rows() == ["snr-0", "snr-1", "snr-2"]
    DeviceLists(bucket.world.table).remove("line-a", RowKey("common_name", "snr-0"), at="2026-03-01T12:00:00Z")
    assert [bucket.answer(each) for each in records] == [None, None, None]
    assert bucket.rows() == ["snr-1", "snr-2"]


def test_a_merged_row_that_would_take_another_device_s_place_is_refused_unless_that_is_said(bucket: Bucket) -> None:
    bucket.put("lists/line-a.csv", f"common_name,public_key_sha256\nsnr-1,{'ab' * 32}\n")
    other = f"common_name,public_key_sha256\nsnr-2,{'ab' * 32}\n"
    verdict = bucket.put("lists/merge/line-a.csv", other)
    assert verdict is not None
    assert verdict.outcome is UploadOutcome.REFUSED
    assert "(jitr-confirm=overwrite in the object's metadata puts this row in its place)" in verdict.message
    assert bucket.rows() == ["snr-1"]
    bucket.put("lists/merge/line-a.csv", other, **{"jitr-confirm": "overwrite"})
    assert bucket.rows() == ["snr-2"]


@pytest.mark.parametrize(
    "changed",
    [
        "common_name,expires\nsnr-1,2000-01-01\n",
        "common_name,thing_name\nsnr-1,another\n",
        "common_name,attr.batch\nsnr-1,8\n",
        "common_name,note\nsnr-1,mine\n",
        f"common_name,public_key_sha256\nsnr-1,{'ab' * 32}\n",
    ],
)
def test_what_is_merged_changes_no_row_that_is_on_the_list_unless_that_is_said(bucket: Bucket, changed: str) -> None:
    bucket.put("lists/line-a.csv", "common_name,attr.batch\nsnr-1,7\n")
    verdict = bucket.put("lists/merge/line-a.csv", changed)
    assert verdict is not None
    assert verdict.outcome is UploadOutcome.REFUSED
    assert "'snr-1' is on the list already, with another row (jitr-confirm=overwrite in" in verdict.message
    assert [row.to_json() for row in bucket.list_rows()] == [{"common_name": "snr-1", "attr.batch": "7"}]
    verdict = bucket.put("lists/merge/line-a.csv", changed, **{"jitr-confirm": "overwrite"})
    assert verdict is not None
    assert verdict.outcome is UploadOutcome.PUBLISHED
    assert verdict.details["changed"] == 1


def test_an_expired_row_in_a_deny_list_is_refused_unless_that_is_said(bucket: Bucket) -> None:
    """It keeps nobody out: uploaded in place of a row that does, it would let a recalled device in."""
    bucket.put("lists/line-a.csv", listed(1))
    denying = rules(bucket).replace("allow:", "deny:\n  - name: recalled\n    list: line-a\nallow:", 1)
    bucket.put("admission.yaml", denying)
    expired = "common_name,expires\nsnr-1,2000-01-01\n"
    for key, confirmed in (("lists/line-a.csv", "shrink"), ("lists/merge/line-a.csv", "overwrite")):
        verdict = bucket.put(key, expired, **{"jitr-confirm": confirmed})
        assert verdict is not None
        assert verdict.outcome is UploadOutcome.REFUSED
        assert "1 row can match nothing (first line 2, 'snr-1': it expired 2000-01-02T00:00:00Z)" in verdict.message
    assert [row.expires for row in bucket.list_rows()] == [None]


def test_a_merge_that_takes_longer_than_the_function_goes_on_in_the_next_invocation(bucket: Bucket) -> None:
    bucket.put("lists/line-a.csv", listed(1))
    record = bucket.upload("lists/merge/line-a.csv", listed(*range(120)))
    bucket.hurry = lambda: True
    invocations = 0
    while (verdict := bucket.answer(record, "what the first one said")) is not None and not verdict.final:
        invocations += 1
    assert (invocations, len(bucket.rows())) == (2, 120)


# --- lists that are made


def named(bucket: Bucket) -> None:
    """Put rules in force that name list line-a."""
    bucket.put("lists/line-a.csv", listed(1))
    text = rules(bucket).replace("    ca: factory-a\n", "    ca: factory-a\n    list: line-a\n")
    verdict = bucket.put("admission.yaml", text)
    assert verdict is not None
    assert verdict.outcome is UploadOutcome.PUBLISHED, verdict.message


@pytest.mark.parametrize("key", ["lists/lien-a.csv", "lists/merge/lien-a.csv"])
def test_an_upload_makes_no_list_that_no_rule_names_unless_that_is_said(bucket: Bucket, key: str) -> None:
    """A mistyped name would let nobody in, or deny nobody, without a word."""
    named(bucket)
    verdict = bucket.put(key, listed(1))
    assert verdict is not None
    assert verdict.outcome is UploadOutcome.REFUSED
    assert "there is no list lien-a, and no rule in force names it (did you mean line-a?)" in verdict.message
    assert "--metadata jitr-confirm=new-list" in verdict.message
    assert list(DeviceLists(bucket.world.table).all()) == ["line-a"]
    bucket.put(key, listed(1), **{"jitr-confirm": "new-list"})
    assert "lien-a" in DeviceLists(bucket.world.table).all()


def test_an_upload_makes_a_list_that_a_rule_names(bucket: Bucket) -> None:
    named(bucket)
    DeviceLists(bucket.world.table).delete("line-a", at="2026-03-01T12:00:00Z")
    bucket.put("lists/line-a.csv", listed(7))
    assert bucket.rows() == ["snr-7"]


# --- too much


def test_a_list_of_more_rows_than_the_function_has_time_for_is_refused_when_it_is_known(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "MAX_LIST_ROWS", 1000)
    monkeypatch.setattr(publishing, "_PIECE", 64)
    pieces: list[int] = []

    def late() -> bool:
        pieces.append(1)
        return False

    bucket.late = late
    verdict = bucket.put("lists/line-a.csv", listed(*range(9000)))
    assert verdict is not None
    assert "more than 1,000 rows: import it with `jitr lists import line-a FILE --replace`" in verdict.message
    assert len(pieces) < 9000 * 10 / 64 / 2, "it was read to its end all the same"


def test_a_list_that_cannot_be_checked_in_time_is_refused_and_not_left_without_a_verdict(bucket: Bucket) -> None:
    bucket.late = lambda: True
    verdict = bucket.put("lists/line-a.csv", "\n" * 1000)
    assert verdict is not None
    assert verdict.outcome is UploadOutcome.REFUSED
    assert "too long to be checked in the time that the function has" in bucket.read("lists/line-a.result.txt")


def test_rules_are_checked_against_the_account_and_kept_with_who_when_and_why(bucket: Bucket) -> None:
    verdict = bucket.put("admission.yaml", rules(bucket), **{"jitr-message": "line A starts"})
    assert verdict is not None
    assert (verdict.outcome, verdict.warnings) == (UploadOutcome.PUBLISHED, ())
    assert verdict.message == "in force as version 1: 1 allow rule, 0 deny rules"
    from jitr.services.publishing.versions import in_force

    version = in_force(bucket.world.table)
    assert version is not None
    assert (version.version, version.message) == (1, "line A starts")
    assert version.published_by == "AWS:AIDAFACTORY (s3://configuration/admission.yaml)"


def test_the_verdict_on_rules_says_what_they_do_to_real_devices(bucket: Bucket) -> None:
    """Nobody is asked before an upload is published: afterwards the verdict says what a command would have asked."""
    world = bucket.world
    text = rules(bucket)
    bucket.put("admission.yaml", text.replace("    grant:", '    common_name: "other-*"\n    grant:'))
    for number in range(3):
        device = FACTORY.usual_device(f"snr-{number}", kind="P-256").issue()
        world.connect(device)
        world.knock(device, FACTORY)
    verdict = bucket.put("admission.yaml", text)
    assert verdict is not None
    effect = {"decided": 3, "admits": 3, "rejects": 0, "reopens": 0, "stay_active": 0}
    assert json.loads(bucket.read("admission.result.json"))["effect"] == effect
    assert "Devices on record: would admit 3 held devices now" in bucket.read("admission.result.txt")


def test_rules_that_are_in_force_already_stay_as_they_are(bucket: Bucket) -> None:
    bucket.put("admission.yaml", rules(bucket))
    verdict = bucket.put("admission.yaml", rules(bucket))
    assert verdict is not None
    assert verdict.outcome is UploadOutcome.UNCHANGED
    assert bucket.world.table.heads().version == 1


def test_a_ca_may_be_named_by_a_certificate_in_the_bucket(bucket: Bucket) -> None:
    bucket.world.register_ca(FACTORY)
    bucket.upload("cas/factory-a.pem", FACTORY.pem)
    text = RULES.replace('ids: ["%s"]', "certificate: cas/factory-a.pem")
    verdict = bucket.put("admission.yaml", text)
    assert verdict is not None
    assert (verdict.outcome, verdict.warnings) == (UploadOutcome.PUBLISHED, ())


# --- refused: what was in force stays in force


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("format: 1\nallow: [", "admission.yaml:3:1"),
        (RULES.replace("[Sensor]", "[Senser]") % ("ca" * 32), "Senser"),
        (RULES.replace("    ca: factory-a\n", "    ca: factory-a\n    list: lien-a\n") % ("ca" * 32), "lien-a"),
        (RULES.replace("[Sensor]", "[Sensor], thing_groups: [nowhere]") % ("ca" * 32), "nowhere"),
        (
            RULES % ("ca" * 32)
            + "tests:\n  - {name: t, at: 2026-03-01, device: {ca: factory-a}, expect: {decision: reject}}\n",
            "1 test in the file failed",
        ),
        (RULES.replace('ids: ["%s"]', "certificate: ../secret.pem"), "without .. in its path"),
        (RULES.replace('ids: ["%s"]', "certificate: lists/line-a.csv"), "name a .pem"),
        (RULES.replace('ids: ["%s"]', "certificate: nowhere.pem"), "there is no such object"),
        (b"\xff\xfe\x00", "admission.yaml"),
        ("#" * (5 * 1024 * 1024), "larger than"),
    ],
    ids=["yaml", "policy", "list", "group", "test", "path", "kind", "missing", "bytes", "size"],
)
def test_rules_that_are_not_in_order_are_refused_with_why(bucket: Bucket, text: str | bytes, told: str) -> None:
    bucket.put("admission.yaml", rules(bucket))
    before = bucket.world.table.heads()
    verdict = bucket.put("admission.yaml", text)
    assert verdict is not None
    assert verdict.outcome is UploadOutcome.REFUSED
    assert told in verdict.message
    assert "What was in force stays in force." in bucket.read("admission.result.txt")
    assert bucket.world.table.heads() == before
    assert [each.outcome for each in bucket.told] == [UploadOutcome.PUBLISHED, UploadOutcome.REFUSED]


def test_a_renamed_rule_says_so_wherever_rules_come_from(bucket: Bucket) -> None:
    """Its count of devices does not begin anew: `jitr rules publish` and an upload refuse it alike."""
    text = rules(bucket).replace("    ca: factory-a\n", "    ca: factory-a\n    max_devices: 1\n")
    bucket.put("admission.yaml", text)
    device = FACTORY.usual_device("snr-0001").issue()
    bucket.world.connect(device)
    bucket.world.knock(device, FACTORY)
    assert bucket.world.status(device) == "ACTIVE"
    renamed = text.replace("name: line-a", "name: line-x")
    verdict = bucket.put("admission.yaml", renamed)
    assert verdict is not None
    assert verdict.outcome is UploadOutcome.REFUSED
    assert "admission.yaml:5: rule line-x is new" in verdict.message
    assert "say so in it, as `formerly: line-a`" in verdict.message
    verdict = bucket.put("admission.yaml", renamed.replace("name: line-x", "name: line-x\n    formerly: line-a"))
    assert verdict is not None
    assert verdict.outcome is UploadOutcome.PUBLISHED
    assert "formerly" not in bucket.read("admission.result.txt")


def test_an_upload_is_told_of_former_names_that_no_rule_had_and_of_devices_not_looked_at(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jitr.services.recheck.replay.MOST_REPLAYED", 1)
    text = rules(bucket)
    bucket.put("admission.yaml", text)
    device = FACTORY.usual_device("snr-0001").issue()
    bucket.world.connect(device)
    bucket.world.knock(device, FACTORY)
    bucket.put("admission.yaml", text.replace("name: line-a", "name: line-x\n    formerly: lime-a"))
    told = bucket.read("admission.result.txt")
    assert "rule line-x: no rule in force is or was called lime-a (`formerly`)" in told
    assert "The newest 1 of each decision were looked at; `jitr rules replay` looks at all." in told


def test_a_list_with_a_mistake_is_refused_whole_with_its_lines(bucket: Bucket) -> None:
    bucket.put("lists/line-a.csv", listed(1, 2))
    twice = listed(*range(30)) * 2  # 30 keys again, and the header
    verdict = bucket.put("lists/line-a.csv", twice)
    assert verdict is not None
    written = json.loads(bucket.read("lists/line-a.result.json"))
    assert (written["outcome"], written["problem_count"], len(written["problems"])) == ("refused", 31, 20)
    assert (written["problems"][0]["line"], written["problems"][0]["column"]) == (32, 1)
    assert bucket.rows() == ["snr-1", "snr-2"]


def test_the_verdict_on_a_list_says_what_cells_were_taken_for_something_else(bucket: Bucket) -> None:
    bucket.put("lists/line-a.csv", 'common_name\n="snr-1"\nCN=snr-2\n')
    written = json.loads(bucket.read("lists/line-a.result.json"))
    said = ['read 1 cell of the form ="x" as x', "read 1 cell of the form CN=x as x"]
    assert (written["outcome"], written["warnings"]) == ("published", said)
    assert 'warning: read 1 cell of the form ="x" as x' in bucket.read("lists/line-a.result.txt")
    assert bucket.rows() == ["snr-1", "snr-2"]


def test_a_doubtful_name_is_told_in_the_verdict_and_refused_on_a_deny_list_unless_that_is_said(bucket: Bucket) -> None:
    told = "line 3, column 2, common_name: 'snr-*' looks like a pattern: a list takes names as they are"
    file = "note,common_name\n,snr-1\n,snr-*\n"
    verdict = bucket.put("lists/line-a.csv", file)
    assert verdict is not None
    assert (verdict.outcome, told in verdict.warnings) == (UploadOutcome.PUBLISHED, True)
    assert f"warning: {told}" in bucket.read("lists/line-a.result.txt")
    bucket.put("lists/line-a.csv", listed(1), **{"jitr-confirm": "shrink"})
    denying = rules(bucket).replace("allow:", "deny:\n  - name: recalled\n    list: line-a\nallow:", 1)
    published = bucket.put("admission.yaml", denying)
    assert published is not None
    assert published.outcome is UploadOutcome.PUBLISHED, published.message
    verdict = bucket.put("lists/line-a.csv", file)
    assert verdict is not None
    assert (verdict.outcome, told in verdict.message) == (UploadOutcome.REFUSED, True)
    assert "--metadata jitr-confirm=unmatched" in verdict.message
    assert bucket.rows() == ["snr-1"]
    verdict = bucket.put("lists/line-a.csv", file, **{"jitr-confirm": "unmatched"})
    assert verdict is not None
    assert (verdict.outcome, verdict.details["fit"]["doubtful"]) == (UploadOutcome.PUBLISHED, 1)


def test_rows_of_a_deny_list_that_can_match_nothing_are_refused_unless_that_is_said(bucket: Bucket) -> None:
    bucket.put("lists/line-a.csv", listed(1))
    denying = rules(bucket).replace("allow:", "deny:\n  - name: recalled\n    list: line-a\nallow:", 1)
    denying = denying.replace("    grant", '    common_name: "snr-*"\n    grant')
    published = bucket.put("admission.yaml", denying)
    assert published is not None
    assert published.outcome is UploadOutcome.PUBLISHED, published.message
    verdict = bucket.put("lists/line-a.csv", "common_name\nsnr-2\nSNR-3\n")
    assert verdict is not None
    assert verdict.outcome is UploadOutcome.REFUSED
    assert "1 row can match nothing (first line 3, 'SNR-3'" in verdict.message
    assert "--metadata jitr-confirm=unmatched" in verdict.message
    assert bucket.rows() == ["snr-1"]
    half = bucket.put("lists/line-a.csv", "common_name\nsnr-2\nSNR-3\n", **{"jitr-confirm": "shrink"})
    assert half is not None
    assert """--metadata '{"jitr-confirm": "shrink,unmatched"}'""" in half.message
    verdict = bucket.put("lists/line-a.csv", "common_name\nsnr-2\nSNR-3\n", **{"jitr-confirm": "shrink,unmatched"})
    assert verdict is not None
    assert verdict.details["fit"]["nothing"] == 1
    assert (
        "2 rows: 0 on record (of 0 certificates there), 1 could be devices that come, 1 can match nothing"
        in verdict.message
    )
    assert bucket.rows() == ["SNR-3", "snr-2"]


def test_a_list_that_shrinks_by_more_than_half_is_refused_unless_that_is_said(bucket: Bucket) -> None:
    bucket.put("lists/line-a.csv", listed(*range(10)))
    verdict = bucket.put("lists/line-a.csv", listed(1))
    assert verdict is not None
    assert "from 10 rows to 1" in verdict.message
    assert "--metadata jitr-confirm=shrink" in verdict.message
    assert len(bucket.rows()) == 10
    bucket.put("lists/line-a.csv", listed(1), **{"jitr-confirm": "shrink"})
    assert bucket.rows() == ["snr-1"]


@pytest.mark.parametrize("word", ["Shrink", "yes", "x" * 200])
def test_a_word_that_confirms_nothing_is_told_with_those_that_there_are(bucket: Bucket, word: str) -> None:
    """And is not among the words that the advice says."""
    bucket.put("lists/line-a.csv", listed(*range(10)))
    verdict = bucket.put("lists/line-a.csv", listed(1), **{"jitr-confirm": f"{word},unmatched"})
    assert verdict is not None
    assert verdict.outcome is UploadOutcome.REFUSED
    assert """--metadata '{"jitr-confirm": "shrink,unmatched"}'""" in verdict.message
    assert f"{word[:30]}" in verdict.message
    assert "is no such word, there are: new-list, overwrite, shrink, unmatched" in verdict.message
    assert len(verdict.message) < 1000


@pytest.mark.parametrize(
    "others",
    [listed(*range(10, 20)), "common_name,expires\n" + "".join(f"snr-{n},2000-01-01\n" for n in range(10))],
    ids=["others", "expired"],
)
def test_a_list_that_would_lose_most_of_its_rows_is_refused_unless_that_is_said(bucket: Bucket, others: str) -> None:
    """Whatever is added: rows that go, or expire, are counted."""
    bucket.put("lists/line-a.csv", listed(*range(10)))
    verdict = bucket.put("lists/line-a.csv", others)
    assert verdict is not None
    assert verdict.outcome is UploadOutcome.REFUSED
    assert "this takes 10 of 10 rows off list line-a" in verdict.message
    assert "--metadata jitr-confirm=shrink" in verdict.message
    assert bucket.rows() == [f"snr-{n}" for n in range(10)]
    assert all(row.expires is None for row in bucket.list_rows())
    verdict = bucket.put("lists/line-a.csv", others, **{"jitr-confirm": "shrink"})
    assert verdict is not None
    assert verdict.outcome is UploadOutcome.PUBLISHED


@pytest.mark.parametrize(
    ("key", "written"),
    [
        ("lists/../admission.csv", False),
        ("lists/sub/line-a.csv", True),
        ("lists/line a (1).csv", True),
        ("lists/.csv", True),
        ("lists/line\x1b[31m.csv", False),
        ("lists/\u202egnp.csv", False),
        ("admission-old.yaml", True),
        ("lists/" + "a" * 65 + ".csv", True),
    ],
)
def test_a_key_from_outside_names_a_list_or_nothing(bucket: Bucket, key: str, *, written: bool) -> None:
    """A mistake is told of beside it; beside a key that is made to deceive nothing is written."""
    record = bucket.upload(key, listed(1))
    verdict = bucket.answer(record)
    assert verdict is not None
    assert verdict.outcome is UploadOutcome.REFUSED
    assert DeviceLists(bucket.world.table).all() == {}
    assert (len(bucket.keys()) == 3) is written
    assert verdict.text().replace("\n", "").isprintable()


@pytest.mark.parametrize("record", [{}, {"s3": 1}, {"s3": {"bucket": {}}}, {"Event": "s3:TestEvent"}])
def test_what_is_no_event_of_s3_is_an_input_error(record: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        read_record(record)


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("lists/Upper.CSV", "upload it as lists/Upper.csv to replace the list, or under lists/merge/ to add to it"),
        ("lists/line-a.xlsx", "spreadsheets are not read: save it as CSV UTF-8, and upload it as lists/line-a.csv"),
        ("weekly.csv", "upload it as lists/weekly.csv"),
        ("Lists/line-a.csv", "upload it as lists/line-a.csv"),
        ("lists/merge/sub/line-a.csv", "upload it as lists/line-a.csv"),
        ("lists/line a.txt", "upload it as lists/NAME.csv"),
        ("lists/line-a.csv.txt", "upload it as lists/line-a.csv to"),
        ("lists/line-a.JSON.txt", "upload it as lists/line-a.json to"),
        ("admission.yml", "rules are uploaded as admission.yaml"),
        ("rules/Admission.YAML", "rules are uploaded as admission.yaml"),
        ("notes.docx", "upload rules as admission.yaml, and a list as lists/NAME.csv or lists/merge/NAME.csv"),
    ],
)
def test_what_is_uploaded_in_the_wrong_place_or_kind_gets_a_verdict_that_says_what_is_meant(
    bucket: Bucket, key: str, meant: str
) -> None:
    verdict = bucket.put(key, listed(1))
    assert verdict is not None
    assert verdict.outcome is UploadOutcome.REFUSED
    written = next(each for each in sorted(bucket.keys()) if each.endswith(".result.txt"))
    assert meant in bucket.read(written)
    assert DeviceLists(bucket.world.table).all() == {}


# --- order, repetition, two at once


def test_the_same_event_twice_does_not_undo_what_was_done_meanwhile(bucket: Bucket) -> None:
    record = bucket.upload("lists/line-a.csv", listed(1))
    bucket.answer(record)
    list_edits.merge(bucket.world.table, "line-a", ListRow(common_name="snr-9"))
    assert bucket.answer(record) is None
    assert bucket.rows() == ["snr-1", "snr-9"]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (2, 0, 1)])
def test_events_in_any_order_end_with_the_latest_version(bucket: Bucket, order: tuple[int, ...]) -> None:
    records = [bucket.upload("lists/line-a.csv", listed(number)) for number in range(3)]
    for each in order:
        bucket.answer(records[each])
    assert bucket.rows() == ["snr-2"]
    assert (
        json.loads(bucket.read("lists/line-a.result.json"))["object"]["version"]
        == (records[2]["s3"]["object"]["versionId"])
    )


def test_a_version_uploaded_while_an_earlier_one_is_judged_has_the_last_word(bucket: Bucket) -> None:
    """Even where it says what was in force before, so that its own event found nothing to do."""
    first = rules(bucket)
    bucket.put("admission.yaml", first)
    second = bucket.upload("admission.yaml", first.replace("line-a", "line-b"))
    real, once = bucket.s3.head_object, [True]

    def head_object(**arguments: Any) -> Any:
        found = real(**arguments)
        if once.pop() if once else False:
            bucket.put("admission.yaml", first)  # uploaded and judged after the second was seen to be the latest
        return found

    uploads = bucket.uploads()
    uploads._s3 = _Instead(bucket.s3, head_object)  # type: ignore[assignment]
    uploads.handle(read_record(second))
    from jitr.services.publishing import versions

    version = versions.in_force(bucket.world.table)
    assert version is not None
    assert versions.source(bucket.world.table, version.digest) == first.encode()


class _Instead:
    def __init__(self, s3: Any, head_object: Any) -> None:
        self._real = s3
        self.head_object = head_object

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def test_an_object_that_is_deleted_before_it_is_judged_is_not_published(bucket: Bucket) -> None:
    record = bucket.upload("lists/line-a.csv", listed(1))
    bucket.s3.delete_object(Bucket=BUCKET, Key="lists/line-a.csv")
    assert bucket.answer(record) is None
    assert bucket.rows() == []


def test_an_edit_of_another_hand_meanwhile_is_not_written_over(bucket: Bucket) -> None:
    bucket.put("lists/line-a.csv", listed(1))
    record = bucket.upload("lists/line-a.csv", listed(2, 3))
    real, once = bucket.s3.get_object, [True]

    def get_object(**arguments: Any) -> Any:
        if arguments["Key"].endswith(".csv") and (once.pop() if once else False):
            list_edits.merge(bucket.world.table, "line-a", ListRow(common_name="late"))
        return real(**arguments)

    uploads = bucket.uploads()
    uploads._s3 = _Instead(bucket.s3, bucket.s3.head_object)  # type: ignore[assignment]
    uploads._s3.get_object = get_object  # type: ignore[method-assign]
    verdict = uploads.handle(read_record(record))
    assert verdict is not None
    assert "somebody else published at the same time" in verdict.message
    assert bucket.rows() == ["late", "snr-1"]


# --- the time


def test_a_list_that_takes_longer_than_the_function_goes_on_in_the_next_invocation(bucket: Bucket) -> None:
    bucket.put("lists/line-a.csv", listed(1))
    record = bucket.upload("lists/line-a.csv", listed(*range(200)), **{"jitr-confirm": "shrink"})
    bucket.hurry = lambda: True
    edition, invocations = None, 0
    while (verdict := bucket.answer(record, edition)) is not None and not verdict.final:
        invocations += 1
        edition = verdict.details["edition"]
        written = json.loads(bucket.read("lists/line-a.result.json"))
        assert (written["outcome"], written["rows_written"]) == ("importing", 50 * invocations)
        assert bucket.rows() == ["snr-1"]
    assert invocations == 4, "the last one compares, with all of its time"
    assert len(bucket.rows()) == 200


def test_an_edit_between_two_invocations_is_not_written_over(bucket: Bucket) -> None:
    bucket.put("lists/line-a.csv", listed(1))
    record = bucket.upload("lists/line-a.csv", listed(*range(200)))
    bucket.hurry = lambda: True
    verdict = bucket.answer(record)
    assert verdict is not None
    list_edits.merge(bucket.world.table, "line-a", ListRow(common_name="late"))
    bucket.hurry = lambda: False
    verdict = bucket.answer(record, verdict.details["edition"])
    assert verdict is not None
    assert verdict.outcome is UploadOutcome.REFUSED
    assert bucket.rows() == ["late", "snr-1"]


def test_uploaded_rules_whose_deny_rule_names_a_list_that_matches_nothing_are_refused_unless_that_is_said(
    bucket: Bucket,
) -> None:
    bucket.put("lists/line-a.csv", "common_name\nSNR-1\nSNR-2\n")
    denying = rules(bucket).replace("allow:", "deny:\n  - name: recalled\n    list: line-a\nallow:", 1)
    denying = denying.replace("    grant", '    common_name: "snr-*"\n    grant')
    verdict = bucket.put("admission.yaml", denying)
    assert verdict is not None
    assert verdict.outcome is UploadOutcome.REFUSED
    assert "Deny rule recalled names list line-a, and 2 rows can match nothing" in verdict.message
    assert "--metadata jitr-confirm=unmatched" in verdict.message
    verdict = bucket.put("admission.yaml", denying, **{"jitr-confirm": "unmatched"})
    assert verdict is not None
    assert verdict.outcome is UploadOutcome.PUBLISHED
    assert any("2 rows can match nothing" in each for each in verdict.warnings)


def test_uploaded_rules_do_not_take_an_alias_from_the_rows_of_a_deny_list(bucket: Bucket) -> None:
    ca = "factory-a"
    bucket.put("lists/line-a.csv", f"serial_number:hex,ca\n1f03,{ca}\n")
    denying = rules(bucket).replace("allow:", "deny:\n  - name: recalled\n    list: line-a\nallow:", 1)
    verdict = bucket.put("admission.yaml", denying)
    assert verdict is not None
    assert verdict.outcome is UploadOutcome.PUBLISHED, verdict.message
    verdict = bucket.put("admission.yaml", denying.replace(ca, "factory-1"), **{"jitr-confirm": "unmatched"})
    assert verdict is not None
    assert verdict.outcome is UploadOutcome.REFUSED
    assert f"CA {ca} no longer has the id" in verdict.message
