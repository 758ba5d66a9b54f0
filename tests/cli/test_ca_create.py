"""`jitr ca create`: what is made, and that openssl makes the same."""

import json
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from testkit.cli.cas import create, text_of
from testkit.cli.command_line import Openssl, Run

pytestmark = pytest.mark.usefixtures("workdir")


def read_certificate(file: Path) -> x509.Certificate:
    """What another reader than ours reads."""
    return x509.load_pem_x509_certificate(file.read_bytes())


def files_in(folder: Path) -> list[str]:
    return sorted(str(each.relative_to(folder)) for each in folder.rglob("*") if each.is_file())


def test_create_writes_a_key_for_its_owner_and_a_ca(run: Run, workdir: Path, openssl: Openssl) -> None:
    result = create(run, "factory-a", "--organization", "OKIDA", "--country", "TR")
    assert files_in(workdir) == ["factory-a.key", "factory-a.pem"]
    assert stat.S_IMODE((workdir / "factory-a.key").stat().st_mode) == 0o600
    text = text_of(openssl, "factory-a.pem")
    assert "Subject: C=TR,O=OKIDA,CN=factory-a" in text
    assert "Basic Constraints: critical CA:TRUE " in text
    openssl("verify", "-x509_strict", "-CAfile", "factory-a.pem", "factory-a.pem")
    assert openssl("x509", "-in", "factory-a.pem", "-noout", "-pubkey") == openssl(
        "pkey", "-in", "factory-a.key", "-pubout"
    )
    assert "caCertificateId" in result.stdout
    assert "jitr ca register factory-a.pem --key factory-a.key" in result.stderr


def test_create_prints_one_json_document(run: Run) -> None:
    document = json.loads(create(run, "factory-a", "--json").stdout)
    certificate = read_certificate(Path("factory-a.pem"))
    assert document["ca_certificate_id"] == certificate.fingerprint(hashes.SHA256()).hex()
    assert document["certificate"] == "factory-a.pem"
    assert document["not_after"].endswith("Z")


def test_create_takes_a_path_and_a_directory(run: Run, workdir: Path) -> None:
    create(run, "cas/factory-a.pem", "--out-dir", "deep/er")
    assert files_in(workdir) == ["deep/er/cas/factory-a.key", "deep/er/cas/factory-a.pem"]


def test_a_subject_given_whole_gets_no_common_name(run: Run, openssl: Openssl) -> None:
    create(run, "a", "--subject", "O=OKIDA,C=TR")
    assert "Subject: C=TR,O=OKIDA Subject Public Key" in text_of(openssl, "a.pem")


def test_a_key_can_be_encrypted(run: Run, workdir: Path, openssl: Openssl) -> None:
    (workdir / "secret.txt").write_text("correct horse\n")
    create(run, "a", "--passphrase-file", "secret.txt", "--key-type", "rsa:2048")
    assert "ENCRYPTED" in (workdir / "a.key").read_text()
    openssl("pkey", "-in", "a.key", "-passin", "file:secret.txt", "-noout")


def test_an_intermediate_is_signed_by_its_parent_and_signs_devices_only(run: Run, openssl: Openssl) -> None:
    create(run, "root", "--days", 3650)
    result = create(run, "batch", "--parent", "root.pem", "--parent-key", "root.key")
    assert "warning" not in result.stderr
    openssl("verify", "-x509_strict", "-CAfile", "root.pem", "batch.pem")
    assert "CA:TRUE, pathlen:0" in text_of(openssl, "batch.pem")


def test_an_intermediate_ends_with_its_parent_unless_told_otherwise(run: Run) -> None:
    create(run, "root", "--days", 10)
    create(run, "batch", "--parent", "root.pem", "--parent-key", "root.key")
    assert (
        read_certificate(Path("batch.pem")).not_valid_after_utc
        <= read_certificate(Path("root.pem")).not_valid_after_utc
    )
    told = create(run, "later", "--parent", "root.pem", "--parent-key", "root.key", "--days", 20)
    assert "warning: The CA is valid until" in told.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("a", "--key-type", "rsa:1024"), "AWS IoT refuses RSA keys of less than 2048 bits"),
        (("a", "--key-type", "dsa"), "give ec:p256"),
        (("a", "--days", "0"), "--days"),
        (("a", "--days", "3000000"), "after the year 9999"),
        (("a", "--country", "Turkey"), "--country 'Turkey'"),
        (("a", "--subject", "nonsense"), "subject 'nonsense' cannot be read"),
        (("a", "--subject", "CN=x", "--organization", "y"), "leave out --organization"),
        (("a", "--passphrase-file", "nowhere"), "nowhere: No such file"),
        (("a", "--parent", "root.pem"), "belong together"),
        (("a", "--parent", "root.pem", "--parent-key", "other.key"), "other.key is not the key of root.pem"),
        (("a", "--parent", "root.key", "--parent-key", "root.pem"), "a private key, not a certificate"),
        (("a", "--parent", "root.pem", "--parent-key", "root.pem"), "holds a certificate, not a private key"),
        (("a", "--parent", "root.pem", "--parent-key", "root.key", "--path-length", "1"), "--path-length 0 or less"),
        (("a/..",), "cannot be the name of a file"),
        (("root",), "root.pem exists: choose another name, or --force replaces it"),
        ((), "Missing argument 'NAME'"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_written(
    run: Run, workdir: Path, arguments: tuple[str, ...], says: str
) -> None:
    create(run, "root", "--path-length", 1)
    create(run, "other")
    before = {name: (workdir / name).read_bytes() for name in files_in(workdir)}
    result = run("ca", "create", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert says in result.stderr
    assert {name: (workdir / name).read_bytes() for name in files_in(workdir)} == before


def test_force_replaces_what_is_there(run: Run) -> None:
    create(run, "a")
    before = Path("a.pem").read_bytes()
    create(run, "a", "--force")
    assert Path("a.pem").read_bytes() != before
