"""Where a list's rows came from is noted with each import that ends, once, whoever imports it and however."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace

import pytest
from testkit import lists as list_edits
from testkit.aws.bucket import Bucket
from testkit.aws.fakes import fake_world
from testkit.manifests import SIGNER, Lot, manifest

from jitr.aws.dynamodb.table import Table
from jitr.devicelists.manifests.jws import read_signer
from jitr.devicelists.rows import ListRow
from jitr.errors import InputError
from jitr.services.lists.history import history
from jitr.services.lists.list_import import DeviceFile, Unfinished
from jitr.services.lists.signers import SignerStore

AT = "2026-03-01T00:00:00Z"
ROWS = [ListRow(common_name=f"snr-{number}") for number in range(120)]


@pytest.fixture
def table() -> Iterator[Table]:
    with fake_world() as world:
        yield world.table


def test_each_import_is_noted_with_its_file_and_who_imported_it(table: Table) -> None:
    list_edits.merge(table, "line-a", *ROWS[:2], at="2026-03-01T00:00:00Z")
    list_edits.replace(table, "line-a", *ROWS, at="2026-03-02T00:00:00Z")
    latest, first = history(table, "line-a", 10)
    assert (latest.mode, latest.rows, latest.file, latest.by, latest.at) == (
        "replace",
        120,
        "list.csv",
        "tests",
        "2026-03-02T00:00:00Z",
    )
    assert (first.mode, first.rows, first.at, first.signers) == ("merge", 2, "2026-03-01T00:00:00Z", ())
    assert history(table, "line-a", 1) == [latest]
    assert history(table, "line-b", 10) == []


def test_the_digest_is_of_the_file_alone_however_it_was_read(table: Table) -> None:
    data = b"serial_number,ca\n1001,f\n"
    imports = list_edits.imports_into(table)
    checked = imports.check("line-a", DeviceFile("a.csv", lambda: [data]), advance=lambda _bytes: None)
    imports.merge("line-a", checked, by="tests", advance=lambda _rows: None)
    assert history(table, "line-a", 1)[0].sha256 == hashlib.sha256(data).hexdigest()
    assert checked.digest != checked.sha256


def test_an_import_that_was_cut_off_is_noted_once_when_it_ends(table: Table) -> None:
    imports = list_edits.imports_into(table)
    imports._hurry = lambda: True
    source = list_edits.csv_of(ROWS)
    checked = imports.check("line-a", source, advance=lambda _bytes: None)
    with pytest.raises(Unfinished):
        imports.replace("line-a", checked, by="tests", advance=lambda _rows: None)
    assert history(table, "line-a", 10) == []
    imports._hurry = lambda: False
    imports.replace("line-a", checked, by="tests", advance=lambda _rows: None)
    assert len(history(table, "line-a", 10)) == 1


def test_an_import_that_is_refused_is_not_noted(table: Table) -> None:
    imports = list_edits.imports_into(table)
    checked = imports.check("line-a", list_edits.csv_of(ROWS[:1]), advance=lambda _bytes: None)
    changed = replace(checked, source=list_edits.csv_of(ROWS[1:2]))
    with pytest.raises(InputError, match="was changed while it was imported"):
        imports.replace("line-a", changed, by="tests", advance=lambda _rows: None)
    assert history(table, "line-a", 10) == []


def test_an_uploaded_manifest_is_noted_with_its_signer_and_who_uploaded_it(bucket: Bucket) -> None:
    SignerStore(bucket.world.table).add(read_signer(SIGNER.der), by="tests", at=AT)
    bucket.put("lists/line-a.json", manifest([Lot().element(1)]))
    (origin,) = history(bucket.world.table, "line-a", 10)
    assert origin.file == "lists/line-a.json"
    assert origin.signers == ({"name": "Lot Signer", "sha256": SIGNER.sha256},)
    assert origin.by == "AWS:AIDAFACTORY (s3://configuration/lists/line-a.json)"


def test_a_file_s_name_that_is_no_text_is_noted_as_it_can_be_shown(table: Table) -> None:
    imports = list_edits.imports_into(table)
    name = b"\xff\x1b[2J.csv".decode("utf-8", "surrogateescape")
    checked = imports.check("line-a", DeviceFile(name, lambda: [b"common_name\na\n"]), advance=lambda _bytes: None)
    imports.merge("line-a", checked, by="tests", advance=lambda _rows: None)
    assert history(table, "line-a", 1)[0].file == "\\udcff\\x1b[2J.csv"
