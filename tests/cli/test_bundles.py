"""Vendors' bundles, 7z archives of 7z archives, read by an extra: hostile ones cost little, and keys stay in theirs."""

import builtins
import hashlib
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import py7zr
import pytest
from testkit import pki
from testkit.cli.command_line import Run
from testkit.manifests import Lot, seven_zipped

from jitr.aws.dynamodb.table import Table
from jitr.devicelists.csv.serials import UNDECIDED
from jitr.devicelists.manifests.reading import ListReader
from jitr_operations.lists import seven_zip
from jitr_operations.lists.manifests import ManifestChoice

LOT = Lot()
CHIPS = [LOT.certificate(number) for number in range(3)]
KEYS = [hashlib.sha256(pki.public_key(each.key)).hexdigest() for each in CHIPS]
SETS = {
    f"Lot_R12_{name}_Certs.7z": {f"CE600000000{number}_{name}.pem": chip.pem for number, chip in enumerate(CHIPS)}
    for name in ("E0E0", "E0E1")
}


def bundle(**more: bytes) -> bytes:
    """A vendor's bundle, with an archive of keys that nobody could open."""
    inner = {name: seven_zipped(files) for name, files in SETS.items()}
    return seven_zipped({**inner, "README.txt": b"x", "Lot_R12_keys.7z": b"7z\xbc\xaf\x27\x1c secret", **more})


def opened(data: bytes, **choice: Any) -> ListReader:
    return ManifestChoice(**choice).opener(None)([data], "lot.7z", None, lambda: UNDECIDED)


def keys(data: bytes, **choice: Any) -> list[str | None]:
    reader = opened(data, **choice)
    found = [each.row.public_key_sha256 for each in reader]
    reader.raise_problems()
    return found


def why(data: bytes) -> str:
    """The one thing that is wrong with an archive."""
    reader = opened(data)
    list(reader)
    (problem,) = reader.problems
    return problem.at("lot.7z")


def test_of_a_bundle_the_certificates_of_one_set_are_taken_and_its_keys_are_not_opened() -> None:
    reader = opened(bundle())
    rows = [each.row for each in reader]
    reader.raise_problems()
    assert [each.public_key_sha256 for each in rows] == KEYS
    assert rows[0].attributes == {"chip_id": "CE6000000000", "reel": "Lot_R12"}
    assert "read as a 7z archive of certificates, which its content shows" in reader.said
    assert "3 certificates of set E0E1 are left out: set E0E0 is taken (--set)" in reader.said
    assert "2 files are left out, being no certificates: Lot_R12_keys.7z, README.txt" in reader.said
    assert keys(bundle(), kind="infineon", key_set="E0E1") == KEYS


def test_an_archive_of_certificates_alone_is_read_as_well() -> None:
    assert keys(seven_zipped(SETS["Lot_R12_E0E0_Certs.7z"])) == KEYS


def test_archives_in_archives_in_archives_are_not_opened() -> None:
    deepest = seven_zipped({"in.7z": seven_zipped({"in.7z": seven_zipped({"a.pem": CHIPS[0].pem})})})
    assert "there is no device's certificate in it" in why(deepest)


def test_a_bundle_is_imported(table: Table, run: Run) -> None:
    del table
    Path("lot.7z").write_bytes(bundle())
    done = run("lists", "import", "line-a", "lot.7z", "--from", "infineon")
    assert done.exit_code == 0, done.stderr
    assert "Imported 3 rows of lot.7z into list line-a (merge)" in done.stdout


def test_without_the_extra_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **named: Any) -> Any:
        if name == "jitr_operations.lists.seven_zip":
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    told = why(bundle())
    assert "pip install 'jitr[bundles]'" in told
    assert "unpack it, and import the folder or a ZIP file of it" in told
    assert "_keys.7z" in told


# --- hostile ones


def linked() -> bytes:
    made = BytesIO()
    Path("target.pem").write_bytes(CHIPS[0].pem)
    Path("link.pem").symlink_to("target.pem")
    with py7zr.SevenZipFile(made, "w") as archive:
        archive.write("link.pem", "link.pem")
    return made.getvalue()


def test_a_link_is_an_error(workdir: Path) -> None:
    del workdir
    assert "link.pem: it is a link or a device: give the file itself" in why(linked())


def renamed(files: Mapping[str, bytes], new: str) -> bytes:
    """An archive of one file under another name: its library writes none that lead out."""
    (old,) = files
    made = BytesIO()
    with py7zr.SevenZipFile(made, "w") as archive:
        archive.set_encoded_header_mode(False)
        archive.writestr(files[old], old)
        archive.files[0]._file_info["filename"] = new
    return made.getvalue()


@pytest.mark.parametrize("name", ["../../a.pem", "/etc/a.pem", "..\\a.pem", "C:\\a.pem"])
def test_a_name_that_leads_out_of_the_archive_is_an_error(name: str) -> None:
    assert "its name leads out of the archive" in why(renamed({"x": CHIPS[0].pem}, name))


def test_files_that_are_too_large_or_too_many_are_refused_before_any_is_unpacked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def never(*_arguments: object, **_named: object) -> None:
        raise AssertionError("it was unpacked")

    data = seven_zipped({f"{number}.pem": bytes(400) for number in range(4)})
    monkeypatch.setattr(py7zr.SevenZipFile, "extract", never)
    with monkeypatch.context() as patch:
        patch.setattr(seven_zip, "MAX_FILES", 3)
        assert "it has more than 3 files" in why(data)
    with monkeypatch.context() as patch:
        patch.setattr(seven_zip, "MAX_ALL", 1000)
        assert "its files have more than 0 MB together" in why(data)
    with monkeypatch.context() as patch:
        patch.setattr(seven_zip, "MAX_ARCHIVE", 300)
        told = opened(data)
        list(told)
        assert all("it has more than 0 MB" in each.message for each in told.problems)
        assert told.problem_count == 4


def test_no_more_comes_out_of_an_archive_than_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = py7zr.SevenZipFile.list

    def modest(self: py7zr.SevenZipFile) -> list[py7zr.FileInfo]:
        found: list[py7zr.FileInfo] = listed(self)
        for each in found:
            each.uncompressed = 1
        return found

    monkeypatch.setattr(py7zr.SevenZipFile, "list", modest)
    assert "the 7z archive has more in it than it says" in why(seven_zipped({"a.pem": CHIPS[0].pem}))


def test_an_archive_with_a_password_or_one_that_is_damaged_is_told() -> None:
    assert "encrypted: give it without a password" in why(seven_zipped({"a.pem": CHIPS[0].pem}, "secret"))
    data = bundle()
    for cut in (7, 32, len(data) // 2, len(data) - 1):
        assert "the 7z archive is damaged" in why(data[:cut])
