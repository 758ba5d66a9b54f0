"""Lists from vendors' manifests and from certificates, by command: imported, verified; and whose are believed."""

import hashlib
import json
import os
import threading
from pathlib import Path

import pytest
from testkit import manifests, pki
from testkit.cli.command_line import Aws, Run
from testkit.manifests import SIGNER, Lot, manifest

from jitr.aws.dynamodb.table import Table
from jitr.devicelists.rows import ListRow
from jitr.services.lists.device_lists import IMPORTS, DeviceLists
from jitr_operations.lists.manifests import folder_pieces

LOT = Lot()


@pytest.fixture(autouse=True)
def _files(workdir: Path) -> None:
    Path("lot.json").write_bytes(manifest(LOT.element(each) for each in range(4)))
    Path("signer.pem").write_bytes(SIGNER.pem)
    Path("board/sub").mkdir(parents=True)
    for number in range(3):
        Path(f"board/sub/{number}.pem").write_bytes(LOT.certificate(number).pem)


def on_list(table: Table, name: str = "line-a") -> list[ListRow]:
    lists = DeviceLists(table)
    there = lists.all()
    return list(lists.rows(name, there[name].head.generation)) if name in there else []


def keys_of(table: Table, name: str) -> set[str | None]:
    return {each.public_key_sha256 for each in on_list(table, name)}


def keys(table: Table) -> set[str | None]:
    return keys_of(table, "line-a")


def test_a_manifest_is_imported_once_its_signer_is_kept(table: Table, run: Run) -> None:
    refused = run("lists", "import", "line-a", "lot.json")
    assert refused.exit_code == 2
    assert "no signer of manifests is known" in refused.stderr
    assert run("lists", "signers", "add", "signer.pem").exit_code == 0
    done = run("lists", "import", "line-a", "lot.json", "--json")
    assert done.exit_code == 0, done.stderr
    assert "lot.json: read as a manifest of Microchip's, which its content shows" in done.stderr
    assert f"lot.json: 4 elements are signed by Lot Signer (sha256 {SIGNER.sha256[:16]})" in done.stderr
    assert json.loads(done.stdout)["rows"] == 4
    assert len(keys(table)) == 4


def test_a_signer_that_is_named_counts_in_place_of_those_that_are_kept(table: Table, run: Run) -> None:
    Path("other.pem").write_bytes(manifests.signer("Somebody Else").pem)
    assert run("lists", "signers", "add", "signer.pem").exit_code == 0
    assert run("lists", "import", "line-a", "lot.json", "--signer", "other.pem").exit_code == 2
    assert run("lists", "import", "line-a", "lot.json", "--signer", "signer.pem").exit_code == 0


def test_one_bad_element_refuses_the_file_with_its_place_and_nothing_is_written(table: Table, run: Run) -> None:
    elements = [LOT.element(each) for each in range(4)]
    elements[2]["signature"] = elements[1]["signature"]
    Path("lot.json").write_bytes(manifest(elements))
    refused = run("lists", "import", "line-a", "lot.json", "--signer", "signer.pem")
    assert refused.exit_code == 2
    assert "lot.json: element 3: the key of its signer Lot Signer" in refused.stderr
    assert on_list(table) == []
    done = run("lists", "import", "line-a", "lot.json", "--signer", "signer.pem", "--skip-bad")
    assert done.exit_code == 0
    assert "lot.json: 1 element is left out (--skip-bad):" in done.stderr
    assert len(keys(table)) == 3


def test_a_dry_run_says_what_a_manifest_would_do_and_changes_nothing(table: Table, run: Run) -> None:
    done = run("lists", "import", "line-a", "lot.json", "--signer", "signer.pem", "--dry-run")
    assert "Would import 4 rows of lot.json into list line-a (merge): 4 added" in done.stdout
    assert on_list(table) == []


def test_a_manifest_replaces_a_list_whole(table: Table, run: Run) -> None:
    assert run("lists", "add", "line-a", "common_name=snr-1").exit_code == 0
    done = run("lists", "import", "line-a", "lot.json", "--signer", "signer.pem", "--replace", "--yes")
    assert "4 added, 0 changed, 0 unchanged, 1 removed" in done.stdout
    assert len(on_list(table)) == 4


def test_the_same_manifest_again_changes_nothing(table: Table, run: Run) -> None:
    arguments = ("lists", "import", "line-a", "lot.json", "--signer", "signer.pem")
    assert run(*arguments).exit_code == 0
    assert "0 added, 0 changed, 4 unchanged" in run(*arguments).stdout


def test_a_row_that_would_take_another_device_s_place_is_named_with_its_element(table: Table, run: Run) -> None:
    (row, *_) = manifests.rows(Path("lot.json").read_bytes(), SIGNER)
    Path("other.csv").write_text(
        f"common_name,certificate_sha256,public_key_sha256\na,{'ab' * 32},{row.public_key_sha256}\n"
    )
    assert run("lists", "import", "line-a", "other.csv").exit_code == 0
    lite = manifest([manifests.lite(LOT, 0), manifests.lite(LOT, 1)])
    Path("lite.json").write_bytes(lite)
    done = run("lists", "import", "line-a", "lite.json", "--signer", "signer.pem", "--by", "common-name")
    assert done.exit_code == 0, done.stderr
    Path("two.csv").write_text(f"common_name,public_key_sha256\nsn{LOT.unique_id(1).upper()},{'cd' * 32}\n")
    assert run("lists", "import", "line-a", "two.csv", "--yes").exit_code == 0
    Path("three.csv").write_text(f"common_name,public_key_sha256\nx,{'cd' * 32}\n")
    refused = run("lists", "import", "line-a", "three.csv")
    assert (refused.exit_code, "three.csv:2:2: public_key_sha256: " in refused.stderr) == (2, True)


def test_an_import_that_was_cut_off_is_another_one_where_the_file_is_read_otherwise(table: Table, run: Run) -> None:
    done = run("lists", "import", "line-a", "lot.json", "--signer", "signer.pem", "--thing-name", "{unique_id}")
    assert done.exit_code == 0
    assert {each.thing_name for each in on_list(table)} == {LOT.unique_id(each) for each in range(4)}
    assert [each for each in table.query(IMPORTS) if each["mode"] != "left"] == []


# --- folders and files of certificates


def test_a_folder_of_certificates_is_a_list(table: Table, run: Run) -> None:
    Path("board/README.txt").write_text("Lot 17")
    Path("board/a.key").write_bytes(pki.private_pem(pki.key()))
    Path("board/.hidden.pem").write_text("nothing")
    done = run("lists", "import", "line-a", "board")
    assert done.exit_code == 0, done.stderr
    assert len(keys(table)) == 3
    assert {each.note for each in on_list(table)} == {f"board, sub/{number}.pem" for number in range(3)}
    assert "board: 1 file is left out, being no certificates: README.txt" in done.stderr


def test_a_certificate_that_lies_there_alone_and_in_its_chain_is_one_row(table: Table, run: Run) -> None:
    Path("board/sub/0.chain.pem").write_bytes(Path("board/sub/0.pem").read_bytes())
    done = run("lists", "import", "line-a", "board")
    assert done.exit_code == 0, done.stderr
    assert len(keys(table)) == 3
    assert "board: 1 certificate is there once more, as in a chain: each is one row" in done.stderr


def test_two_certificates_of_one_key_are_refused_with_both_of_their_files(table: Table, run: Run) -> None:
    for name, serial in (("a", 1), ("b", 2)):
        draft = LOT.maker.usual_device("snr-1").key("P-256", "chip 77").serial(serial)
        Path(f"board/{name}.pem").write_bytes(draft.issue().pem)
    refused = run("lists", "import", "line-a", "board")
    assert refused.exit_code == 2
    assert "board: b.pem: public_key_sha256" in refused.stderr
    assert "is in certificate 1 (a.pem) already" in refused.stderr


def test_no_more_of_a_file_in_a_folder_is_read_than_tells_that_it_is_too_large(table: Table, run: Run) -> None:
    Path("dumps").mkdir()
    with Path("dumps/dump.pem").open("wb") as dump:
        dump.truncate(9 << 30)  # a hole: it takes no room, and tar's own numbers end at 8 GB
    assert sum(map(len, folder_pieces(Path("dumps")))) < 5 << 20
    refused = run("lists", "import", "line-a", "dumps")
    assert (refused.exit_code, "dump.pem: it has more than 4 MB" in refused.stderr) == (2, True)


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="there is no file at hand that opens and does not read")
def test_a_file_that_cannot_be_read_is_named(table: Table, run: Run) -> None:
    """What a disk, a stick or a share fails with names no file: a user would be told of a bug."""
    file = "/proc/self/mem"
    for words in (("lists", "verify", file), ("lists", "import", "line-a", file)):
        refused = run(*words)
        assert (refused.exit_code, f"error: {file}: Input/output error\n" in refused.stderr) == (2, True)


def test_links_in_a_folder_are_not_followed_and_that_is_said(table: Table, run: Run) -> None:
    Path("secret.pem").write_bytes(LOT.certificate(9).pem)
    Path("board/link.pem").symlink_to(Path("secret.pem").resolve())
    Path("board/loop").symlink_to(Path.cwd())
    done = run("lists", "import", "line-a", "board")
    assert done.exit_code == 0
    assert "board: 2 links are left out: none is followed" in done.stderr
    assert len(keys(table)) == 3


@pytest.mark.parametrize("kind", ["csv", "microchip", "espressif"])
def test_a_folder_that_is_said_to_be_a_file_is_called_a_folder(table: Table, run: Run, kind: str) -> None:
    refused = run("lists", "import", "line-a", "board", "--from", kind)
    assert refused.exit_code == 2
    assert f"board: this is a folder, and --from {kind} reads a file" in refused.stderr


def test_a_folder_with_nothing_in_it_is_no_empty_list(table: Table, run: Run) -> None:
    Path("empty").mkdir()
    refused = run("lists", "import", "line-a", "empty", "--replace", "--yes")
    assert (refused.exit_code, "there is no file in this folder" in refused.stderr) == (2, True)


@pytest.mark.parametrize("name", ["ümlaut.pem", "n" * 150 + ".pem", b"\xff\xfe.pem".decode("utf-8", "surrogateescape")])
def test_files_of_any_name_are_read(table: Table, run: Run, name: str) -> None:
    Path("board/sub/0.pem").rename(Path("board") / name)
    assert run("lists", "import", "line-a", "board").exit_code == 0
    assert len(keys(table)) == 3


def test_a_file_among_others_that_is_no_certificate_is_named(table: Table, run: Run) -> None:
    Path("board/sub/9.pem").write_text("oops")
    refused = run("lists", "import", "line-a", "board")
    assert refused.exit_code == 2
    assert "board: sub/9.pem: the input has no -----BEGIN CERTIFICATE-----" in refused.stderr


def test_a_zip_file_is_a_list(table: Table, run: Run) -> None:
    Path("lot.zip").write_bytes(manifests.zipped(LOT.files))
    assert run("lists", "import", "line-a", "lot.zip").exit_code == 0
    assert len(keys(table)) == 3


def test_options_for_manifests_are_refused_with_csv(table: Table, run: Run) -> None:
    Path("a.csv").write_text("common_name\na\n")
    refused = run("lists", "import", "line-a", "a.csv", "--thing-name", "{common_name}")
    assert (refused.exit_code, "it is CSV with columns of its own" in refused.stderr) == (2, True)
    assert run("lists", "import", "line-a", "a.csv", "--from", "csv").exit_code == 0


def test_a_file_that_is_not_there_is_told_as_such(table: Table, run: Run) -> None:
    refused = run("lists", "import", "line-a", "nothing.json")
    assert (refused.exit_code, refused.stderr.strip().endswith("nothing.json: No such file or directory")) == (2, True)


def test_columns_of_csv_that_somebody_else_named_are_said_by_option(table: Table, run: Run) -> None:
    Path("factory.csv").write_text("Pos;Serial No;Lot\n1;snr-1;7\n")
    assert run("lists", "import", "line-a", "factory.csv").exit_code == 2
    named = ("--column", "common_name=Serial No", "--column", "attr.lot=Lot")
    done = run("lists", "import", "line-a", "factory.csv", *named)
    assert done.exit_code == 0, done.stderr
    assert "factory.csv: 1 column is left out, for which no --column is given: 'Pos'" in done.stderr
    assert on_list(table) == [ListRow(common_name="snr-1", attributes={"lot": "7"})]


@pytest.mark.parametrize("column", ["common_name", "=SN", "common_name=", "serial=SN", "attr.=x"])
def test_a_column_that_is_none_is_refused(table: Table, run: Run, column: str) -> None:
    Path("factory.csv").write_text("SN\nsnr-1\n")
    refused = run("lists", "import", "line-a", "factory.csv", "--column", column)
    assert (refused.exit_code, f"--column {column}: " in refused.stderr) == (2, True)
    refused = run("lists", "import", "line-a", "board", "--column", "common_name=SN")
    assert (refused.exit_code, "--column is for CSV" in refused.stderr) == (2, True)


# --- signers


def test_signers_are_kept_shown_and_forgotten(table: Table, run: Run) -> None:
    added = run("lists", "signers", "add", "signer.pem", "--json")
    assert json.loads(added.stdout) == {"sha256": SIGNER.sha256, "name": "Lot Signer", "any_date": False, "new": True}
    (known,) = json.loads(run("lists", "signers", "ls", "--json").stdout)
    assert (known["sha256"], known["not_after"]) == (SIGNER.sha256, "2036-01-01T00:00:00Z")
    assert known["by"].startswith("arn:aws:")
    again = run("lists", "signers", "add", "signer.pem", "--any-date", "--json")
    assert json.loads(again.stdout)["new"] is False
    assert json.loads(run("lists", "signers", "ls", "--json").stdout)[0]["any_date"] is True
    assert run("lists", "signers", "remove", SIGNER.sha256[:16], "--yes").exit_code == 0
    assert json.loads(run("lists", "signers", "ls", "--json").stdout) == []
    assert run("lists", "import", "line-a", "lot.json").exit_code == 2


@pytest.mark.parametrize(
    ("named", "told"), [("ab", "at least 8"), ("ab" * 8, "no signer is known"), ("", "at least 8")]
)
def test_a_signer_that_is_not_there_is_not_forgotten(table: Table, run: Run, named: str, told: str) -> None:
    refused = run("lists", "signers", "remove", named, "--yes")
    assert (refused.exit_code, told in refused.stderr) == (2, True)


def test_forgetting_a_signer_asks(table: Table, run: Run) -> None:
    assert run("lists", "signers", "add", "signer.pem").exit_code == 0
    refused = run("lists", "signers", "remove", SIGNER.sha256)
    assert (refused.exit_code, "--yes" in refused.stderr) == (2, True)
    assert len(json.loads(run("lists", "signers", "ls", "--json").stdout)) == 1


def test_a_file_that_is_no_signer_is_refused_with_its_name(table: Table, run: Run) -> None:
    Path("rsa.pem").write_bytes(manifests.signer(kind="RSA-2048").pem)
    for file in ("rsa.pem", "lot.json"):
        refused = run("lists", "signers", "add", file)
        assert (refused.exit_code, f"{file}: " in refused.stderr) == (2, True)
        assert run("lists", "import", "line-a", "lot.json", "--signer", file).exit_code == 2


def test_any_date_is_said_of_signers_that_are_named(table: Table, run: Run) -> None:
    refused = run("lists", "import", "line-a", "lot.json", "--any-date")
    assert (refused.exit_code, "--any-date goes with --signer" in refused.stderr) == (2, True)


# --- verifying


def test_a_manifest_is_verified_without_aws_and_its_cas_are_written(run: Run) -> None:
    done = run("lists", "verify", "lot.json", "--signer", "signer.pem", "--cas", "cas", "--json")
    assert done.exit_code == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["rows"], document["signers"]) == (
        4,
        [{"sha256": SIGNER.sha256, "name": "Lot Signer", "elements": 4}],
    )
    (ca,) = document["cas"]
    assert (ca["sha256"], ca["certificates"]) == (LOT.maker.id, 4)
    assert "CN=Chip Signer 1" in ca["subject"]
    assert Path(f"cas/{LOT.maker.id[:16]}.pem").read_bytes() == LOT.maker.pem


def test_verifying_says_what_is_wrong_and_is_exit_2(run: Run) -> None:
    Path("lot.json").write_bytes(manifest([LOT.element(1, by=manifests.signer("Somebody Else"))]))
    refused = run("lists", "verify", "lot.json", "--signer", "signer.pem")
    assert (refused.exit_code, "lot.json: element 1: its signer" in refused.stderr) == (2, True)


def test_verifying_uses_the_signers_that_are_kept(table: Table, run: Run) -> None:
    assert run("lists", "verify", "lot.json").exit_code == 2
    assert run("lists", "signers", "add", "signer.pem").exit_code == 0
    done = run("lists", "verify", "lot.json")
    assert done.exit_code == 0
    assert "lot.json: 4 devices, and nothing is wrong" in done.stdout


def test_what_is_not_signed_is_verified_without_aws(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    Path("chip.pem").write_bytes(LOT.certificate(1).pem)
    Path("folder").mkdir()
    Path("folder/chip.pem").write_bytes(LOT.certificate(1).pem)
    for file in ("chip.pem", "folder"):
        done = run("lists", "verify", file)
        assert (done.exit_code, f"{file}: 1 device, and nothing is wrong" in done.stdout) == (0, True), done.stderr
    assert run("lists", "verify", "lot.json").exit_code == 2


# --- where rows came from


def test_the_history_of_a_list_says_which_file_who_signed_and_who_imported_it(table: Table, run: Run) -> None:
    assert run("lists", "import", "line-a", "lot.json", "--signer", "signer.pem").exit_code == 0
    assert run("lists", "import", "line-a", "board", "--replace", "--yes").exit_code == 0
    found = json.loads(run("lists", "history", "line-a", "--json").stdout)
    board, lot = sorted(found, key=lambda each: each["file"])  # both may be of one second
    assert (board["file"], board["mode"], board["rows"], board["signers"]) == ("board", "replace", 3, [])
    assert (lot["file"], lot["rows"]) == ("lot.json", 4)
    assert lot["signers"] == [{"name": "Lot Signer", "sha256": SIGNER.sha256}]
    assert lot["sha256"] == hashlib.sha256(Path("lot.json").read_bytes()).hexdigest()
    assert lot["by"].startswith("arn:aws:")
    assert "Lot Signer" in run("lists", "history", "line-a").stdout
    mistyped = run("lists", "history", "line-b")
    assert (mistyped.exit_code, "there is no list line-b: did you mean line-a?" in mistyped.stderr) == (2, True)


def test_a_lot_is_recalled_by_what_its_rows_say(table: Table, run: Run) -> None:
    """Its rows are shown, exported, and imported into the list of a deny rule."""
    Path("two.json").write_bytes(manifest([LOT.element(7, groupId="other"), LOT.element(8, groupId="other")]))
    for file in ("lot.json", "two.json"):
        assert run("lists", "import", "line-a", file, "--signer", "signer.pem").exit_code == 0
    shown = json.loads(run("lists", "show", "line-a", "--where", "attr.group_id=other", "--json").stdout)
    assert {each["attr.unique_id"] for each in shown["shown"]} == {LOT.unique_id(7), LOT.unique_id(8)}
    done = run(
        "lists", "export", "line-a", "r.csv", "--where", "attr.group_id=other", "--where", "attr.model=ATECC608B"
    )
    assert done.exit_code == 0, done.stderr
    assert "Wrote 2 rows to r.csv" in done.stdout
    assert run("lists", "import", "recall", "r.csv").exit_code == 0
    assert keys_of(table, "recall") == {each["public_key_sha256"] for each in shown["shown"]}


@pytest.mark.parametrize("condition", ["attr.batch", "=7", "batch=7", "attr.batch=", "CN=a"])
def test_a_condition_is_a_column_and_a_value(table: Table, run: Run, condition: str) -> None:
    assert run("lists", "add", "line-a", "common_name=a").exit_code == 0
    for arguments in (("show", "line-a"), ("export", "line-a", "r.csv")):
        refused = run("lists", *arguments, "--where", condition)
        assert (refused.exit_code, f"--where {condition}: " in refused.stderr) == (2, True)
    assert not Path("r.csv").exists()


def test_a_manifest_is_checked_against_the_rules_without_importing_it(table: Table, run: Run) -> None:
    assert run("lists", "signers", "add", "signer.pem").exit_code == 0
    done = run("lists", "check", "lot.json", "--for", "line-a")
    assert done.exit_code in (0, 1), done.stderr
    assert "4 rows" in done.stdout
    assert run("lists", "check", "board", "--for", "line-a").exit_code in (0, 1)
    assert on_list(table) == []


# --- CSV that names the files of certificates


def naming(*names: str, heading: str = "Certificate file") -> Path:
    """CSV beside the folder's certificates, with a file's name and a lot in each row."""
    rows = "".join(f'"{name}";1{number}\n' for number, name in enumerate(names))
    Path("board/sub/lot.csv").write_text(f"sep=;\n{heading};attr.lot\n\n{rows}", "utf-8")
    return Path("board/sub/lot.csv")


def test_csv_may_name_the_files_of_certificates_that_lie_beside_it(table: Table, run: Run) -> None:
    Path("board/sub/2.der").write_bytes(LOT.certificate(2).der)
    done = run("lists", "import", "line-a", naming("0.pem", "1.pem", "2.der"))
    assert done.exit_code == 0, done.stderr
    assert "certificates are read from the files that it names, in its own folder" in done.stderr
    found = {each.public_key_sha256: each for each in on_list(table)}
    assert set(found) == {
        hashlib.sha256(pki.public_key(LOT.certificate(number).key)).hexdigest() for number in range(3)
    }
    assert {each.attributes["lot"] for each in found.values()} == {"10", "11", "12"}
    assert "lot.csv, line 5" in {each.note for each in found.values()}  # as the file has it


@pytest.mark.parametrize("name", ["../sub/0.pem", "/etc/0.pem", "..\\0.pem", ".hidden.pem", "C:0/0.pem"])
def test_a_name_of_a_file_elsewhere_is_refused(table: Table, run: Run, name: str) -> None:
    refused = run("lists", "import", "line-a", naming("0.pem", name))
    assert refused.exit_code == 2
    assert "lot.csv:5: " in refused.stderr
    assert "no plain name of a certificate's file" in refused.stderr
    assert on_list(table) == []


def test_a_named_file_that_is_no_certificate_is_refused_with_its_line(table: Table, run: Run) -> None:
    folder = Path("board/sub")
    (folder / "link.pem").symlink_to("0.pem")
    (folder / "key.pem").write_bytes(LOT.certificate(0).private_pem)
    (folder / "large.pem").write_bytes(bytes(70_000))
    (folder / "other.pem").write_bytes(b"x")
    os.mkfifo(folder / "pipe.pem")
    for name, told in (
        ("none.pem", "No such file"),
        ("link.pem", "is a link or no file: give the file itself"),
        ("pipe.pem", "is a link or no file: give the file itself"),
        ("key.pem", "it has a private key in it"),
        ("large.pem", "has more than 65536 bytes"),
        ("other.pem", "'other.pem': "),
    ):
        refused = run("lists", "import", "line-a", naming("0.pem", name))
        assert (refused.exit_code, f"lot.csv:5: '{name}'" in refused.stderr) == (2, True), refused.stderr
        assert told in refused.stderr
        assert "Traceback" not in refused.stderr
    assert on_list(table) == []


def test_a_list_with_names_of_files_in_a_column_of_its_own_is_a_list_all_the_same(table: Table, run: Run) -> None:
    Path("list.csv").write_text("common_name,attr.file\nsnr-1,0.pem\n", "utf-8")
    assert run("lists", "import", "line-a", "list.csv").exit_code == 0
    assert [each.attributes for each in on_list(table)] == [{"file": "0.pem"}]
    other = naming("0.pem", heading="common_name")
    assert run("lists", "import", "line-b", other).exit_code == 0
    assert [each.common_name for each in on_list(table, "line-b")] == ["0.pem"]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (os.devnull, "there is nothing in it"),
        ("empty.json", "there is nothing in it"),
        ("pipe", "begins with 'snr-1'"),
        ("missing.json", "No such file"),
    ],
)
def test_what_is_no_manifest_is_told_without_asking_aws(run: Run, aws: Aws, name: str, says: str) -> None:
    """Whatever kind of file it is: a pipe is read first, as only what is in it tells."""
    Path("empty.json").write_bytes(b"")
    os.mkfifo("pipe")
    writer = threading.Thread(target=lambda: Path("pipe").write_text("snr-1\n"), daemon=True)
    if name == "pipe":
        writer.start()
    result = run("lists", "verify", name)
    assert (result.exit_code, says in result.stderr, aws.calls) == (2, True, []), result.stderr


def test_a_manifest_in_a_pipe_is_verified_once_it_is_read(table: Table, run: Run) -> None:
    assert run("lists", "signers", "add", "signer.pem").exit_code == 0
    os.mkfifo("pipe")
    data = Path("lot.json").read_bytes()
    threading.Thread(target=lambda: Path("pipe").write_bytes(data), daemon=True).start()
    result = run("lists", "verify", "pipe")
    assert (result.exit_code, "pipe: 4 devices, and nothing is wrong" in result.stdout) == (0, True), result.stderr


def test_a_folder_is_not_called_an_archive(table: Table, run: Run) -> None:
    done = run("lists", "import", "line-a", "board")
    assert (done.exit_code, "tar file" in done.stderr) == (0, False), done.stderr
    assert len(keys(table)) == 3
