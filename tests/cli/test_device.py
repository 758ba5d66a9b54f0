"""`jitr device issue`: which devices, what they get, and what leaves nothing behind."""

import csv
import json
import re
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from testkit import pki as drafts
from testkit.cli.command_line import Openssl, Run

from jitr.devicelists.csv.reader import read_list
from jitr_operations.issuing import devices as device_issue
from jitr_operations.issuing import pki

pytestmark = pytest.mark.usefixtures("ca_files")


@pytest.fixture
def ca_files(workdir: Path, run: Run) -> Path:
    """A CA in the current directory, and another one."""
    for name in ("ca", "other"):
        assert run("ca", "create", name, "--organization", "OKIDA", "--country", "TR").exit_code == 0
    return workdir


def issue(run: Run, *arguments: object) -> Any:
    result = run("device", "issue", "--ca", "ca.pem", *arguments)
    assert result.exit_code == 0, result.stderr
    return result


def read_certificate(file: Path) -> x509.Certificate:
    """What another reader than ours reads."""
    return x509.load_pem_x509_certificate(file.read_bytes())


def files_in(folder: Path) -> list[str]:
    return sorted(str(each.relative_to(folder)) for each in folder.rglob("*") if each.is_file())


def text_of(openssl: Openssl, file: Path | str) -> str:
    printed = openssl("x509", "-in", file, "-noout", "-text", "-nameopt", "utf8,sep_comma_plus")
    return re.sub(r"\s+", " ", printed)


# --- one


def test_a_device_gets_a_key_and_a_certificate_that_openssl_verifies(run: Run, workdir: Path, openssl: Openssl) -> None:
    issue(run, "snr-0001", "--organization", "OKIDA", "--out-dir", "d")
    assert files_in(workdir / "d") == ["snr-0001.key", "snr-0001.pem"]
    assert stat.S_IMODE((workdir / "d" / "snr-0001.key").stat().st_mode) == 0o600
    openssl("verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", "ca.pem", "d/snr-0001.pem")
    text = text_of(openssl, "d/snr-0001.pem")
    assert "Subject: O=OKIDA,CN=snr-0001 " in text
    assert "TLS Web Client Authentication" in text
    assert openssl("x509", "-in", "d/snr-0001.pem", "-noout", "-pubkey") == openssl(
        "pkey", "-in", "d/snr-0001.key", "-pubout"
    )


def test_the_key_beside_the_ca_is_its_key_unless_told(run: Run) -> None:
    Path("ca.key").rename("vault.key")
    assert run("device", "issue", "a", "--ca", "ca.pem").exit_code == 2
    issue(run, "a", "--ca-key", "vault.key")


def test_json_names_ids_and_files(run: Run, openssl: Openssl) -> None:
    document = json.loads(issue(run, "snr-1", "--serial", "0x00:1F", "--json").stdout)
    [one] = document["devices"]
    fingerprint = openssl("x509", "-in", "snr-1.pem", "-noout", "-fingerprint", "-sha256").strip().partition("=")[2]
    assert one["certificate_sha256"] == fingerprint.replace(":", "").lower()
    assert (one["serial_number"], one["common_name"], one["key"]) == ("1f", "snr-1", "snr-1.key")
    assert document["ca_certificate_id"] == read_certificate(Path("ca.pem")).fingerprint(hashes.SHA256()).hex()
    assert document["list"] is None


def test_a_chain_is_the_certificate_and_its_ca(run: Run) -> None:
    issue(run, "a", "--chain")
    assert Path("a.chain.pem").read_bytes() == Path("a.pem").read_bytes() + Path("ca.pem").read_bytes()


def test_a_request_is_written_too_if_told(run: Run, workdir: Path, openssl: Openssl) -> None:
    """Of the device's own key, so that a CA elsewhere can certify it anew."""
    issue(run, "a", "b", "--organization", "OKIDA", "--with-csr", "--out-dir", "d")
    assert files_in(workdir / "d") == [f"{name}.{suffix}" for name in "ab" for suffix in ("csr", "key", "pem")]
    openssl("req", "-in", "d/a.csr", "-noout", "-verify")
    assert openssl("req", "-in", "d/a.csr", "-noout", "-pubkey") == openssl("pkey", "-in", "d/a.key", "-pubout")
    assert "O=OKIDA" in openssl("req", "-in", "d/a.csr", "-noout", "-subject", "-nameopt", "RFC2253")


def test_serial_numbers_are_random_positive_and_at_most_20_octets(run: Run) -> None:
    """RFC 5280 section 4.1.2.2."""
    issue(run, "--count", 20, "--prefix", "a")
    serials = [read_certificate(Path(f"a{n:04}.pem")).serial_number for n in range(1, 21)]
    assert len(set(serials)) == 20
    assert all(0 < each < 1 << 159 for each in serials)
    assert max(serials).bit_length() > 140


@pytest.mark.parametrize(
    ("options", "subject"),
    [
        (("--common-name", "Gözlem 7/a"), "CN=Gözlem 7/a"),
        (("--subject", "CN=x,O=y"), "CN=x,O=y"),
        (("--subject", "O=y,C=TR"), "CN=a,O=y,C=TR"),
    ],
)
def test_the_subject_is_what_the_options_say(run: Run, options: tuple[str, ...], subject: str) -> None:
    issue(run, "a", *options)
    assert read_certificate(Path("a.pem")).subject.rfc4514_string() == subject


def test_rsa_keys(run: Run, openssl: Openssl) -> None:
    issue(run, "a", "--key-type", "rsa:2048")
    assert "Public-Key: (2048 bit)" in text_of(openssl, "a.pem")


def test_a_certificate_ends_with_its_ca_unless_told_otherwise(run: Run) -> None:
    result = issue(run, "a")
    assert "warning" not in result.stderr
    ca_end = read_certificate(Path("ca.pem")).not_valid_after_utc
    assert read_certificate(Path("a.pem")).not_valid_after_utc <= ca_end
    assert "warning: What was issued is valid until" in issue(run, "b", "--days", "3650").stderr


def test_an_intermediate_issues_devices_that_verify_through_it(run: Run, openssl: Openssl) -> None:
    run("ca", "create", "batch", "--parent", "ca.pem", "--parent-key", "ca.key")
    assert run("device", "issue", "a", "--ca", "batch.pem").exit_code == 0
    openssl("verify", "-x509_strict", "-CAfile", "ca.pem", "-untrusted", "batch.pem", "a.pem")


# --- many


def test_devices_are_counted_with_a_prefix_and_listed(run: Run, workdir: Path) -> None:
    result = issue(run, "--count", 3, "--prefix", "snr-", "--start", 9, "--out-dir", "d")
    assert files_in(workdir / "d") == ["devices.csv", *_pairs("snr-0009", "snr-0010", "snr-0011")]
    rows = read_list(Path("d/devices.csv").read_bytes(), "devices.csv")
    assert [each.to_json() for each in rows] == [{"common_name": f"snr-{n:04}"} for n in (9, 10, 11)]
    assert "Issued 3 devices" in result.stdout
    serials = {read_certificate(Path(f"d/snr-{n:04}.pem")).serial_number for n in (9, 10, 11)}
    assert len(serials) == 3


def _pairs(*names: str) -> list[str]:
    return [f"{name}{suffix}" for name in names for suffix in (".key", ".pem")]


def test_serial_numbers_count_up_from_the_one_given(run: Run) -> None:
    issue(run, "--count", 3, "--prefix", "a", "--serial", "0fff")
    assert [read_certificate(Path(f"a000{n}.pem")).serial_number for n in (1, 2, 3)] == [0xFFF, 0x1000, 0x1001]


@pytest.mark.parametrize("by", ["common_name", "serial_number", "certificate_sha256", "public_key_sha256"])
def test_a_row_of_the_list_has_one_key_and_it_is_the_devices(run: Run, by: str) -> None:
    """A row with several keys must fit all of them for an allow rule: see jitr.devicelists.rows."""
    issue(run, "--count", 1, "--prefix", "a", "--list-by", by)
    [row] = read_list(Path("devices.csv").read_bytes(), "devices.csv")
    certificate = read_certificate(Path("a0001.pem"))
    public_key: Any = certificate.public_key()
    keys = {
        "common_name": "a0001",
        "serial_number": f"{certificate.serial_number:x}",
        "certificate_sha256": certificate.fingerprint(hashes.SHA256()).hex(),
        "public_key_sha256": pki.public_key_sha256(public_key),
    }
    ca = {"ca": read_certificate(Path("ca.pem")).fingerprint(hashes.SHA256()).hex()} if by == "serial_number" else {}
    assert row.to_json() == {by: keys[by]} | ca


def test_devices_come_from_a_csv_which_keeps_what_it_said_about_them(run: Run) -> None:
    Path("orders.csv").write_text(
        "common_name,serial_number,thing_name,attr.batch\nsnr-1,0A1B,sensor-1,7\n\nsnr-2,,,8\n", encoding="utf-8"
    )
    issue(run, "--from", "orders.csv", "--out-dir", "d")
    assert read_certificate(Path("d/snr-1.pem")).serial_number == 0xA1B
    rows = read_list(Path("d/devices.csv").read_bytes(), "devices.csv")
    assert [each.to_json() for each in rows] == [
        {"common_name": "snr-1", "thing_name": "sensor-1", "attr.batch": "7"},
        {"common_name": "snr-2", "attr.batch": "8"},
    ]


def test_a_list_that_was_written_can_be_read_again(run: Run) -> None:
    issue(run, "--count", 2, "--prefix", "a", "--out-dir", "one")
    issue(run, "--from", "one/devices.csv", "--out-dir", "two")
    assert Path("one/devices.csv").read_bytes() == Path("two/devices.csv").read_bytes()


def test_a_name_that_a_spreadsheet_would_run_is_listed_as_text(run: Run) -> None:
    issue(run, "--count", 1, "--prefix", "=cmd")
    with Path("devices.csv").open(newline="") as file:
        assert list(csv.reader(file))[1] == ["'=cmd0001"]
    [row] = read_list(Path("devices.csv").read_bytes(), "devices.csv")
    assert row.common_name == "=cmd0001"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "orders.csv"),
        ("common_name\n", "has no rows"),
        ("name\nsnr-1\n", "orders.csv:1:1"),
        ("common_name,serial_number\nsnr-1,xyz\n", "orders.csv:2:2"),
        ("common_name,serial_number\nsnr-1,1,2\n", "orders.csv:2"),
        ("common_name\na/b\n", "orders.csv:2: 'a/b' cannot be the name of a file"),
        ("common_name\nsnr-1\nsnr-1\n", "orders.csv:3"),
        ("certificate_sha256\n" + "a" * 64 + "\n", "orders.csv:2: the row has no common_name"),
        ("common_name,serial_number\nsnr-1,0\n", "orders.csv:2: serial number '0'"),
        ("common_name\n" + "x" * 65 + "\n", "orders.csv:2: --common-name"),
        ('common_name\n"snr-1\n', "orders.csv"),
        ("common_name\n\x1b[2J\n", "orders.csv:2"),
    ],
)
def test_a_csv_with_an_error_leaves_nothing(run: Run, workdir: Path, content: str, says: str) -> None:
    Path("orders.csv").write_text(content, encoding="utf-8")
    before = files_in(workdir)
    result = run("device", "issue", "--ca", "ca.pem", "--from", "orders.csv")
    assert (result.exit_code, result.stdout) == (2, "")
    assert says in result.stderr
    assert "\x1b" not in result.stderr
    assert files_in(workdir) == before


# --- requests


def _request(openssl: Openssl, name: str = "snr-7", *more: str) -> None:
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl(
        "req", "-new", *key, "-keyout", f"{name}.dev", "-subj", f"/O=Their own/CN={name}", "-out", f"{name}.csr", *more
    )


def test_a_request_keeps_its_subject_and_key(run: Run, openssl: Openssl) -> None:
    _request(openssl)
    result = issue(run, "--csr", "snr-7.csr")
    assert not Path("snr-7.key").exists()
    assert read_certificate(Path("snr-7.pem")).subject.rfc4514_string() == "CN=snr-7,O=Their own"
    assert openssl("x509", "-in", "snr-7.pem", "-noout", "-pubkey") == openssl("pkey", "-in", "snr-7.dev", "-pubout")
    openssl("verify", "-x509_strict", "-CAfile", "ca.pem", "snr-7.pem")
    assert "key " not in result.stdout


def test_a_request_cannot_ask_to_be_a_ca(run: Run, openssl: Openssl) -> None:
    _request(openssl, "snr-7", "-addext", "basicConstraints=critical,CA:TRUE")
    result = issue(run, "--csr", "snr-7.csr")
    assert "asks for extensions (basicConstraints)" in result.stderr
    assert "CA:FALSE" in text_of(openssl, "snr-7.pem")


def test_a_request_with_a_broken_signature_is_refused(run: Run, openssl: Openssl) -> None:
    _request(openssl)
    request = x509.load_pem_x509_csr(Path("snr-7.csr").read_bytes())
    der = bytearray(pki_der(request))
    der[-1] ^= 1
    Path("snr-7.csr").write_bytes(
        b"-----BEGIN CERTIFICATE REQUEST-----\n" + _base64(der) + b"-----END CERTIFICATE REQUEST-----\n"
    )
    result = run("device", "issue", "--ca", "ca.pem", "--csr", "snr-7.csr")
    assert result.exit_code == 2
    assert "snr-7.csr" in result.stderr
    assert not Path("snr-7.pem").exists()


def pki_der(request: x509.CertificateSigningRequest) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return request.public_bytes(Encoding.DER)


def _base64(data: bytes | bytearray) -> bytes:
    import base64

    return base64.encodebytes(bytes(data))


def test_a_request_with_a_weak_key_is_refused(run: Run, openssl: Openssl) -> None:
    openssl("req", "-new", "-newkey", "rsa:1024", "-nodes", "-keyout", "w.dev", "-subj", "/CN=w", "-out", "w.csr")
    result = run("device", "issue", "--ca", "ca.pem", "--csr", "w.csr")
    assert result.exit_code == 2
    assert "an RSA key of 1024 bits, which AWS IoT refuses" in result.stderr


# --- wrong use and wrong files


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "Say which devices in one way"),
        (("a", "--count", "2", "--prefix", "b"), "Say which devices in one way"),
        (("a", "--csr", "a.csr"), "Say which devices in one way"),
        (("--count", "2"), "--count needs --prefix"),
        (("a", "--prefix", "b"), "--prefix goes with --count"),
        (("--count", "0", "--prefix", "a"), "--count"),
        (("a", "a"), "'a' is there twice"),
        (("a", "b", "--common-name", "x"), "is for one device"),
        (("a", "b", "--subject", "CN=x"), "is for one device"),
        (("../a",), "cannot be the name of a file"),
        (("a", "--serial", "xyz"), "give it in hex"),
        (("a", "--serial", "0"), "must be positive"),
        (("--count", "2", "--prefix", "a", "--serial", "7" + "f" * 39), "would not fit 20 octets"),
        (("a", "--key-type", "rsa:1024"), "AWS IoT refuses"),
        (("a", "--ca-key", "other.key"), "other.key is not the key of ca.pem"),
        (("a", "--ca-key", "ca.pem"), "holds a certificate, not a private key"),
        (("a", "--ca-key", "nowhere"), "nowhere: No such file"),
        (("a", "--ca", "ca.key"), "a private key, not a certificate"),
        (("ca",), "ca.pem exists"),
        (("--csr", "ca.pem"), "holds a certificate, not a certificate signing request"),
        (("--csr", "ca.pem", "--with-csr"), "--csr and --with-csr exclude each other"),
        (("--csr", "ca.pem", "--organization", "x"), "the subject is the request's"),
        (("--from", "nowhere.csv"), "nowhere.csv: No such file"),
        (("a", "--out-dir", "ca.pem"), "ca.pem is a file"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_written(
    run: Run, workdir: Path, arguments: tuple[str, ...], says: str
) -> None:
    before = {name: (workdir / name).read_bytes() for name in files_in(workdir)}
    result = run("device", "issue", "--ca", "ca.pem", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert says in result.stderr
    assert {name: (workdir / name).read_bytes() for name in files_in(workdir)} == before


def test_without_a_ca_it_is_wrong_use(run: Run) -> None:
    result = run("device", "issue", "a")
    assert result.exit_code == 2
    assert "Missing option '--ca'" in result.stderr


def test_a_device_cannot_issue_devices(run: Run) -> None:
    issue(run, "a")
    result = run("device", "issue", "b", "--ca", "a.pem")
    assert result.exit_code == 2
    assert "a.pem is not a CA" in result.stderr


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda draft, now: draft.valid(now - timedelta(days=9), now - timedelta(days=1)), "expired"),
        (lambda draft, now: draft.valid(now + timedelta(days=1), now + timedelta(days=9)), "not valid before"),
        (lambda draft, now: draft.valid(now, now + timedelta(days=9)).key_usage("cRLSign"), "keyCertSign"),
    ],
)
def test_a_ca_that_may_not_sign_now_does_not(run: Run, change: Any, says: str) -> None:
    made = drafts.make(change(drafts.ca_draft().basic_constraints(ca=True), datetime.now(UTC).replace(microsecond=0)))
    Path("x.pem").write_bytes(made.pem)
    Path("x.key").write_bytes(made.issued.private_pem)
    result = run("device", "issue", "a", "--ca", "x.pem")
    assert result.exit_code == 2
    assert says in result.stderr


def test_one_name_that_is_taken_stops_all_and_force_goes_on(run: Run, workdir: Path) -> None:
    Path("a0002.key").write_text("mine")
    before = files_in(workdir)
    result = run("device", "issue", "--ca", "ca.pem", "--count", "3", "--prefix", "a")
    assert result.exit_code == 2
    assert "a0002.key exists" in result.stderr
    assert files_in(workdir) == before
    issue(run, "--count", "3", "--prefix", "a", "--force")
    assert Path("a0002.key").read_text() != "mine"


def test_an_interruption_in_the_middle_leaves_nothing(run: Run, workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = files_in(workdir)
    real, calls = device_issue._issue_one, []

    def interrupted(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(device_issue, "_issue_one", interrupted)
    result = run("device", "issue", "--ca", "ca.pem", "--count", "3", "--prefix", "a", "--out-dir", "d")
    assert result.exit_code == 130
    assert files_in(workdir) == before
    assert not Path("d").exists()
