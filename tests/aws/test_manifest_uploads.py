"""Manifests and archives of certificates that are uploaded to the bucket: judged as CSV files are, and verified."""

import json

import pytest
from testkit import manifests, pki
from testkit.aws.bucket import Bucket, listed
from testkit.manifests import SIGNER, Lot, manifest, zipped

from jitr.devicelists.manifests import archives
from jitr.devicelists.manifests.jws import read_signer
from jitr.records.upload import UploadOutcome, UploadVerdict
from jitr.services.lists.signers import SIGNERS, SignerStore
from jitr.services.publishing import uploads as publishing

LOT = Lot()
DATA = manifest(LOT.element(each) for each in range(3))


def know(bucket: Bucket, signer: pki.Issued = SIGNER) -> None:
    SignerStore(bucket.world.table).add(read_signer(signer.der), by="tests", at="2026-03-01T00:00:00Z")


def judged(bucket: Bucket, key: str, data: bytes | str, **metadata: str) -> UploadVerdict:
    verdict = bucket.put(key, data, **metadata)
    assert verdict is not None
    return verdict


def keys(bucket: Bucket) -> set[str | None]:
    return {each.public_key_sha256 for each in bucket.list_rows()}


def test_an_uploaded_manifest_whose_signer_is_kept_replaces_the_list(bucket: Bucket) -> None:
    know(bucket)
    bucket.put("lists/line-a.csv", listed(1))
    verdict = bucket.put("lists/line-a.json", DATA, **{"jitr-confirm": "shrink"})
    assert verdict is not None
    assert verdict.outcome is UploadOutcome.PUBLISHED, verdict.message
    assert len(keys(bucket)) == 3
    assert any("3 elements are signed by Lot Signer" in each for each in verdict.warnings)
    written = json.loads(bucket.read("lists/line-a.json.result.json"))
    assert (written["outcome"], written["rows"], written["removed"]) == ("published", 3, 1)


def test_an_uploaded_manifest_is_refused_where_its_signer_is_not_kept(bucket: Bucket) -> None:
    refused = judged(bucket, "lists/line-a.json", DATA)
    assert (refused.outcome, "no signer of manifests is known" in refused.message) == (UploadOutcome.REFUSED, True)
    know(bucket, manifests.signer("Somebody Else"))
    refused = judged(bucket, "lists/line-a.json", DATA)
    assert (refused.outcome, "element 1: its signer" in refused.message) == (UploadOutcome.REFUSED, True)
    assert bucket.list_rows() == []


def test_who_uploads_a_manifest_cannot_say_who_is_believed(bucket: Bucket) -> None:
    """Nothing that is put in the bucket makes a signer known."""
    bucket.put("signers/signer.pem", SIGNER.pem)
    bucket.put("lists/signer.pem", SIGNER.pem)
    assert judged(bucket, "lists/line-a.json", DATA).outcome is UploadOutcome.REFUSED
    assert list(bucket.world.table.query(SIGNERS)) == []


@pytest.mark.parametrize("other", [listed(1), LOT.certificate(1).pem, zipped(LOT.files)], ids=["csv", "pem", "zip"])
def test_under_a_manifest_s_key_nothing_is_taken_that_nobody_signed(bucket: Bucket, other: bytes | str) -> None:
    """Whoever may put ``lists/NAME.json`` only, by IAM, lists what a signer signed only."""
    know(bucket)
    refused = judged(bucket, "lists/line-a.json", other)
    assert (refused.outcome, "this is not a manifest of Microchip's" in refused.message) == (
        UploadOutcome.REFUSED,
        True,
    )
    assert bucket.list_rows() == []


def test_the_verdict_names_each_bad_element(bucket: Bucket) -> None:
    know(bucket)
    elements = [LOT.element(each) for each in range(3)]
    elements[1]["signature"] = elements[0]["signature"]
    verdict = judged(bucket, "lists/line-a.json", manifest(elements))
    assert verdict.outcome is UploadOutcome.REFUSED
    (problem,) = json.loads(bucket.read("lists/line-a.json.result.json"))["problems"]
    assert (problem["place"], problem["line"]) == ("element 2", 2)
    assert "does not verify its signature" in problem["message"]


def test_an_uploaded_archive_of_certificates_is_a_list(bucket: Bucket) -> None:
    verdict = judged(bucket, "lists/line-a.zip", zipped(LOT.files))
    assert verdict.outcome is UploadOutcome.PUBLISHED, verdict.message
    assert len(keys(bucket)) == 3
    assert {each.note for each in bucket.list_rows()} >= {"line-a.zip, boards/a.pem"}


@pytest.mark.parametrize("key", ["lists/merge/line-a.json", "lists/merge/line-a.zip"])
def test_what_is_uploaded_under_merge_is_added(bucket: Bucket, key: str) -> None:
    know(bucket)
    bucket.put("lists/line-a.csv", listed(1))
    verdict = judged(bucket, key, DATA if key.endswith("json") else zipped(LOT.files))
    assert verdict.outcome is UploadOutcome.PUBLISHED, verdict.message
    assert len(bucket.list_rows()) == 4
    assert json.loads(bucket.read(f"{key}.result.json"))["outcome"] == "published"


def test_a_private_key_in_an_archive_is_refused_and_not_repeated(bucket: Bucket) -> None:
    key = pki.private_pem(LOT.certificate(1).key)
    verdict = judged(bucket, "lists/line-a.zip", zipped(LOT.files | {"a.key": key}))
    assert verdict.outcome is UploadOutcome.REFUSED
    assert "a.key: it has a private key in it" in verdict.message
    assert "BEGIN" not in verdict.message
    assert bucket.list_rows() == []


def test_a_name_that_leads_out_of_an_archive_is_refused(bucket: Bucket) -> None:
    verdict = judged(bucket, "lists/line-a.zip", zipped({"../../var/task/app.py": LOT.certificate(1).pem}))
    assert (verdict.outcome, "its name leads out of the archive" in verdict.message) == (UploadOutcome.REFUSED, True)


def test_an_archive_that_becomes_too_large_is_refused(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_ALL", 1_000_000)
    verdict = judged(bucket, "lists/line-a.zip", zipped({f"{n}.pem": bytes(90_000) for n in range(20)}))
    assert (verdict.outcome, "its files have more than" in verdict.message) == (UploadOutcome.REFUSED, True)


def test_an_archive_that_does_not_fit_on_the_function_s_disk_is_refused(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "MAX_ARCHIVE_BYTES", 100)
    verdict = judged(bucket, "lists/line-a.zip", zipped(LOT.files))
    assert (verdict.outcome, "import it with `jitr lists import line-a FILE" in verdict.message) == (
        UploadOutcome.REFUSED,
        True,
    )


def test_an_archive_that_cannot_be_checked_in_time_is_refused(bucket: Bucket) -> None:
    """All of it is read before its first row: time is looked at with each row as well."""
    left = iter([False] * 2)
    bucket.late = lambda: next(left, True)
    verdict = judged(bucket, "lists/line-a.zip", zipped(LOT.files))
    assert (verdict.outcome, "too long to be checked" in verdict.message) == (UploadOutcome.REFUSED, True)


def test_a_list_s_forms_have_verdicts_of_their_own_so_that_a_late_event_undoes_nothing(bucket: Bucket) -> None:
    know(bucket)
    earlier = bucket.upload("lists/line-a.csv", listed(1))
    assert bucket.answer(earlier) is not None
    replaced = bucket.put("lists/line-a.json", DATA, **{"jitr-confirm": "shrink"})
    assert replaced is not None
    assert replaced.outcome is UploadOutcome.PUBLISHED
    assert bucket.answer(earlier) is None
    assert len(keys(bucket)) == 3


def test_a_manifest_goes_on_where_it_was_when_the_time_was_up(bucket: Bucket) -> None:
    know(bucket)
    data = manifest(LOT.element(each) for each in range(120))
    record = bucket.upload("lists/line-a.json", data)
    bucket.hurry = lambda: True
    verdict = bucket.answer(record)
    assert verdict is not None
    assert verdict.outcome is UploadOutcome.IMPORTING
    assert bucket.list_rows() == []
    bucket.hurry = lambda: False
    verdict = bucket.answer(record, str(verdict.details["edition"]) if verdict.details["edition"] else None)
    assert verdict is not None
    assert verdict.outcome is UploadOutcome.PUBLISHED
    assert len(keys(bucket)) == 120
