"""Devices by their certificates: files, folders and archives of them, and what else may lie in there."""

import base64
import gzip
import hashlib
import struct
import tarfile
import zipfile
from collections.abc import Iterator
from io import BytesIO

import pytest
from testkit import pki
from testkit.manifests import Lot, opened, problems, rows, tarred, zipped

from jitr.devicelists.manifests import archives
from jitr.devicelists.manifests.recognition import recognised

LOT = Lot()
DEVICES = [LOT.certificate(number) for number in range(1, 4)]
KEYS = [hashlib.sha256(pki.public_key(each.key)).hexdigest() for each in DEVICES]
LINES = b"\n".join(base64.b64encode(each.der) for each in DEVICES)
PEM = b"".join(each.pem for each in DEVICES)
PEM_LINES = b"\n".join(base64.b64encode(each.pem) for each in DEVICES)


def file_id(value: object) -> str | None:
    """The id of a case: keys are made anew each time, and an id has to be the same in every process."""
    return "file" if isinstance(value, bytes) else None


def keys(data: bytes, **options: str) -> list[str | None]:
    return [each.public_key_sha256 for each in rows(data, **options)]


def why(data: bytes) -> str:
    """The one thing that is wrong with a file."""
    found = problems(data)
    assert len(found) == 1, found
    return found[0]


# --- what is taken


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (PEM, "pem"),
        (b"Bag Attributes\n  friendlyName: a\n" + PEM, "pem"),
        (PEM.replace(b"\n", b"\r\n"), "pem"),
        (LINES, "base64"),
        (LINES.replace(b"\n", b"\r\n\r\n") + b"\n", "base64"),
        (PEM_LINES, "base64"),
        (zipped({"all.txt": PEM_LINES}), "zip"),
        (zipped(LOT.files), "zip"),
        (zipped(LOT.files, compression=zipfile.ZIP_STORED), "zip"),
        (tarred(LOT.files), "tar"),
        (tarred(LOT.files, "w:gz"), "tar.gz"),
        (tarred(LOT.files, form=tarfile.GNU_FORMAT), "tar"),
        (tarred(LOT.files, form=tarfile.USTAR_FORMAT), "tar"),
        (zipped({"all.txt": LINES}), "zip"),
        (zipped({"all.pem": PEM}), "zip"),
        (tarred({"d" * 90 + "/" + "n" * 120 + ".pem": PEM}), "tar"),
        (tarred({"d" * 90 + "/" + "n" * 120 + ".pem": PEM}, form=tarfile.GNU_FORMAT), "tar"),
    ],
    ids=file_id,
)
def test_certificates_are_devices_by_their_public_keys_however_they_lie_together(data: bytes, kind: str) -> None:
    assert recognised(data[: 64 * 1024]) == kind
    assert keys(data) == KEYS


def test_a_tar_file_in_several_members_of_gzip_is_read_whole() -> None:
    """As bgzip makes it: a gzip file is a series of members (RFC 1952 section 2.2)."""
    tar = tarred(LOT.files)
    assert keys(b"".join(gzip.compress(tar[at : at + 1024]) for at in range(0, len(tar), 1024))) == KEYS


@pytest.mark.parametrize(
    "data", [DEVICES[0].der, DEVICES[0].pem, DEVICES[0].pem.decode().encode("utf-16")], ids=file_id
)
def test_one_certificate_is_a_list_of_one(data: bytes) -> None:
    assert keys(data) == KEYS[:1]


@pytest.mark.parametrize("size", [1, 13, 1000, 1 << 20])
def test_pem_is_read_in_pieces_of_any_size(size: int) -> None:
    pieces = (PEM[at : at + size] for at in range(0, len(PEM), size))
    assert [each.public_key_sha256 for each in rows(pieces)] == KEYS


def test_a_row_says_in_which_file_its_certificate_was() -> None:
    assert [each.note for each in rows(zipped(LOT.files), name="in/lot.zip")] == [
        "lot.zip, boards/a.pem",
        "lot.zip, boards/b.der",
        "lot.zip, c.crt, line 1",
    ]


def test_a_thing_can_be_named_after_the_certificate() -> None:
    found = rows(PEM, thing_name="{common_name}")
    assert [each.thing_name for each in found] == [f"sn{LOT.unique_id(number).upper()}" for number in range(1, 4)]


@pytest.mark.parametrize("ca", [LOT.maker.pem, pki.classic_ca().pem, pki.make(pki.ca_draft().v1()).pem], ids=file_id)
def test_certificates_of_cas_that_lie_beside_them_are_no_devices_and_that_is_said(ca: bytes) -> None:
    """Neither those that say so nor old ones, which can say nothing."""
    reader = opened(DEVICES[0].pem + ca)
    assert len(list(reader)) == 1
    assert "1 certificate of a CA is left out: a device's is none" in reader.said


def test_other_files_in_an_archive_are_left_out_and_that_is_said() -> None:
    extra = {"README.md": b"# Lot", "lot.csv": b"a,b", ".DS_Store": b"\0", "__MACOSX/._a.pem": b"\0", "x.bin": b"MIIB"}
    reader = opened(zipped(LOT.files | extra))
    assert len(list(reader)) == 3
    assert "5 files are left out, being no certificates: README.md, lot.csv, .DS_Store, …" in reader.said


def test_what_it_was_taken_for_is_said_where_nobody_said_it() -> None:
    assert "read as a ZIP file of certificates, which its content shows" in opened(zipped(LOT.files)).said
    assert opened(zipped(LOT.files), kind="certificates").said == ()


@pytest.mark.parametrize(
    "data", [zipped({}), zipped({"README": b"x"}), tarred({"README": b"x"}), LOT.maker.pem], ids=file_id
)
def test_an_archive_without_certificates_is_no_empty_list(data: bytes) -> None:
    """Its rows would be in place of all that a list has."""
    assert "there is no device's certificate in it" in "".join(problems(data, kind="certificates"))


# --- what is refused


def test_a_file_that_should_be_a_certificate_and_is_none_is_named() -> None:
    told = why(zipped(LOT.files | {"boards/d.pem": b"nothing", "boards/z.txt": b"nothing"}))
    assert told.startswith("lot.json: boards/d.pem: the input has no -----BEGIN CERTIFICATE-----")


@pytest.mark.parametrize("name", ["boards/d.pem", "boards/d.key", "notes"])
def test_a_private_key_is_refused_wherever_it_lies(name: str) -> None:
    key = pki.private_pem(DEVICES[0].key)
    for data in (zipped(LOT.files | {name: key}), tarred(LOT.files | {name: DEVICES[0].pem + key})):
        told = why(data)
        assert told.startswith(f"lot.json: {name}: it has a private key in it, which no list needs")
        assert "MI" not in told


@pytest.mark.parametrize("line", [b"abcd", b"no base64", base64.b64encode(b"x" * 300)], ids=["short", "text", "long"])
def test_a_line_that_is_not_the_base64_of_a_certificate_is_told_as_that(line: bytes) -> None:
    """The file has no PEM anywhere; to miss it in one line would send people astray."""
    assert why(LINES + b"\n" + line) == "lot.json: line 4: the line is not the base64 of a certificate"


def test_a_private_key_between_certificates_is_refused_with_its_line() -> None:
    told = why(DEVICES[0].pem + pki.private_pem(DEVICES[0].key))
    line = DEVICES[0].pem.count(b"\n") + 1
    assert told.startswith(f"lot.json: line {line}: it has a private key in it")


def test_a_private_key_in_base64_is_refused_with_its_line() -> None:
    key = base64.b64encode(DEVICES[0].pem + pki.private_pem(DEVICES[0].key))
    told = why(PEM_LINES + b"\n" + key)
    assert told.startswith(f"lot.json: line {len(DEVICES) + 1}: it has a private key in it")


@pytest.mark.parametrize(
    "name", ["../a.pem", "a/../../b.pem", "/etc/a.pem", "C:\\a.pem", "c:a.pem", "a\\..\\..\\b.pem", "\\a.pem"]
)
def test_a_name_that_leads_out_of_the_archive_is_refused(name: str) -> None:
    for data in (zipped({name: DEVICES[0].pem}), tarred({name: DEVICES[0].pem})):
        assert "its name leads out of the archive" in problems(data)[0]


def test_a_link_in_an_archive_is_refused() -> None:
    made = BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        info = zipfile.ZipInfo("a.pem")
        info.create_system, info.external_attr = 3, 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    assert "a.pem: it is a link" in problems(made.getvalue())[0]
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
        made = BytesIO()
        with tarfile.open(fileobj=made, mode="w") as tar:
            link = tarfile.TarInfo("a.pem")
            link.type, link.linkname = kind, "/etc/passwd"
            tar.addfile(link)
        assert "a.pem: it is a link or a device" in problems(made.getvalue())[0]


def test_an_encrypted_file_is_refused() -> None:
    data = bytearray(zipped({"a.pem": DEVICES[0].pem}))
    directory = data.index(b"PK\x01\x02")
    data[6] |= 1
    data[directory + 8] |= 1
    assert "a.pem: it is encrypted" in problems(bytes(data))[0]


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_what_is_compressed_otherwise_is_refused(compression: int) -> None:
    assert "a.pem: it is compressed in a way" in problems(zipped({"a.pem": PEM}, compression=compression))[0]


def test_a_name_in_the_directory_that_is_not_the_file_s_own_is_refused() -> None:
    data = zipped({"a.pem": DEVICES[0].pem})
    assert "a.pem: it is damaged" in problems(data.replace(b"a.pem", b"b.pem", 1))[0]


def test_a_file_without_a_name_is_refused() -> None:
    data = zipped({"a": DEVICES[0].pem})
    directory = data.index(b"PK\x01\x02")
    nameless = data[: directory + 28] + b"\0\0" + data[directory + 30 : directory + 46] + data[directory + 47 :]
    end = struct.unpack_from("<L", data, len(data) - 10)[0]
    assert "it has no name" in problems(nameless[:-10] + struct.pack("<L", end - 1) + nameless[-6:])[0]


def test_a_file_that_is_damaged_is_named_and_the_others_are_read() -> None:
    data = zipped(LOT.files, compression=zipfile.ZIP_STORED)
    broken = data.replace(LOT.files["boards/b.der"], bytes(len(LOT.files["boards/b.der"])))
    reader = opened(broken, skip_bad=True)
    assert [each.row.public_key_sha256 for each in reader] == [KEYS[0], KEYS[2]]
    assert any(each.startswith("boards/b.der: it is damaged") for each in reader.said)


# --- bombs


def test_a_file_that_becomes_too_large_is_read_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_FILE", 100_000)
    told = why(zipped({"a.pem": bytes(200_000)}))
    assert told.startswith("lot.json: a.pem: it has more than")
    assert "a.pem: it has more than" in problems(tarred({"a.pem": bytes(200_000)}))[0]


@pytest.mark.parametrize(
    "data",
    [zipped({str(n): bytes(90_000) for n in range(20)}), tarred({str(n): bytes(90_000) for n in range(20)}, "w:gz")],
    ids=file_id,
)
def test_files_that_are_too_large_together_are_read_no_further(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_ALL", 1_000_000)
    assert "its files have more than" in problems(data)[-1]


def test_an_archive_of_too_many_files_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_FILES", 10)
    files = {f"{number}.txt": b"" for number in range(11)}
    for data in (zipped(files), tarred(files)):
        assert "it has more than 10 files" in problems(data)[-1]


def test_the_directory_of_a_zip_file_is_not_read_where_it_says_it_is_larger_than_any() -> None:
    data = zipped(LOT.files)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 3, 3, 0x7FFF_FFFF, 0, 0)
    assert "more than 250,000 files" in problems(data[:-22] + end)[-1]
    end_64 = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 3, 3, 1 << 40, 0)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, len(data) - 22, 1)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 3, 3, 0xFFFF_FFFF, 0, 0)
    assert "more than 250,000 files" in problems(data[:-22] + end_64 + locator + end)[-1]


@pytest.mark.parametrize("cut", [10, 30, 200, 1000, -1, -21])
def test_an_archive_that_is_cut_short_is_refused(cut: int) -> None:
    assert problems(zipped(LOT.files)[:cut], kind="certificates")
    assert problems(tarred(LOT.files)[: max(cut, 600)], kind="certificates")
    assert problems(tarred(LOT.files, "w:gz")[:cut], kind="certificates")


def test_a_zip_file_with_a_comment_is_refused() -> None:
    """A reader may take the comment for the directory that another reader does not see."""
    made = BytesIO(zipped(LOT.files))
    with zipfile.ZipFile(made, "a") as archive:
        archive.comment = b"x"
    assert "has a comment at its end" in problems(made.getvalue())[-1]


@pytest.mark.parametrize("kind", [b"x", b"g", b"L", b"K"])
def test_a_header_of_a_tar_file_that_is_larger_than_any_is_not_read(kind: bytes) -> None:
    info = tarfile.TarInfo("a")
    info.type, info.size = kind, 1 << 33 - 1
    header = info.tobuf(tarfile.USTAR_FORMAT)

    def pieces() -> Iterator[bytes]:
        yield header + bytes(1 << 17)
        raise AssertionError("more of it was asked for")

    assert "a header that is larger than any" in problems(pieces())[-1]


@pytest.mark.parametrize("records", [b"99 path=a\n", b"x path=a\n", b"0 a=b\n", b"9999999", b"20 size=99999999999\n"])
def test_damaged_headers_of_a_tar_file_are_errors(records: bytes) -> None:
    info = tarfile.TarInfo("a")
    info.type, info.size = tarfile.XHDTYPE, len(records)
    data = info.tobuf(tarfile.USTAR_FORMAT) + records + bytes(-len(records) % 512) + bytes(1024)
    assert "the tar file" in problems(data)[-1]


def test_what_follows_the_end_of_a_tar_file_is_part_of_the_file() -> None:
    """All of it is read, so that whoever names the file by its digest means all of it."""
    given = []

    def pieces() -> Iterator[bytes]:
        for each in (tarred(LOT.files), bytes(100_000), b"more"):
            given.append(each)
            yield each

    assert len(rows(pieces())) == 3
    assert given[-1] == b"more"


def test_a_pem_block_without_an_end_is_not_looked_for_to_the_end_of_the_file() -> None:
    def pieces() -> Iterator[bytes]:
        yield PEM + b"-----BEGIN CERTIFICATE-----\n"
        for _ in range(8):
            yield b"A" * 32_768
        raise AssertionError("the reader went on")

    assert "the PEM block that begins here has no end" in problems(pieces())[-1]


def test_a_line_without_an_end_is_not_read_to_its_end() -> None:
    def pieces() -> Iterator[bytes]:
        yield LINES + b"\n"
        for _ in range(8):
            yield b"A" * 32_768
        raise AssertionError("the reader went on")

    assert "a line has more than" in problems(pieces())[-1]


# --- Infineon


CHIPS = {
    f"Lot_R12_{key_set}_Certs/CE60{number:08X}_{key_set}.pem": LOT.certificate(number + shift).pem.replace(
        b"\n", b"\r\n"
    )
    for key_set, shift in (("E0E0", 0), ("E0E1", 10))
    for number in (1, 2, 3)
}


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_of_a_chip_s_certificates_those_of_one_set_are_taken(pack: object) -> None:
    data = pack(CHIPS | {"README.txt": b"x"})  # type: ignore[operator]
    reader = opened(data)
    found = [each.row for each in reader]
    assert [each.public_key_sha256 for each in found] == KEYS
    assert found[0].attributes == {"chip_id": "CE6000000001", "reel": "Lot_R12"}
    assert "3 certificates of set E0E1 are left out: set E0E0 is taken (--set)" in reader.said
    assert len(rows(data, kind="infineon", key_set="E0E1")) == 3


def test_an_archive_of_secrets_is_never_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_FILE", 100_000)
    data = zipped(CHIPS | {"Lot_R12_keys.7z": bytes(1_000_000)})
    reader = opened(data)
    assert len(list(reader)) == 3
    assert "1 file is left out, being no certificates: Lot_R12_keys.7z" in reader.said


def test_a_7z_file_is_told_what_to_do_with() -> None:
    told = why(b"7z\xbc\xaf\x27\x1c" + bytes(100))
    assert "unpack it, and import the folder or a ZIP file of it" in told
    assert "_keys.7z" in told


# --- what is something else


@pytest.mark.parametrize(
    ("name", "content"),
    [("[Content_Types].xml", b"<x/>"), ("mimetype", b"application/vnd.oasis.opendocument.spreadsheet")],
)
def test_a_spreadsheet_is_no_archive_of_certificates(name: str, content: bytes) -> None:
    assert "an Excel workbook" in problems(zipped({name: content}))[0]


def test_a_compressed_csv_file_is_told_as_before() -> None:
    assert "this is a gzip file, not CSV" in problems(gzip.compress(b"common_name\na\n"))[0]


@pytest.mark.parametrize(
    "data", [b"", b"common_name\nsnr-1\n", b"common_name,note\nsnr-1,-----BEGIN\n", b"sep=;\ncommon_name;ca\n"]
)
def test_csv_is_what_nothing_else_is(data: bytes) -> None:
    assert recognised(data) == "csv"


@pytest.mark.parametrize("kind", ["microchip", "espressif", "nrfcloud"])
def test_a_file_that_is_not_what_it_is_said_to_be_is_refused(kind: str) -> None:
    assert "by its content this is not a " in problems(PEM, kind=kind)[0]
