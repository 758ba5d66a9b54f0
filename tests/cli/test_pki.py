"""Making certificates, and the files they are read from and written to. What is made is checked by openssl as well."""

import contextlib
import os
import re
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from testkit import pki as drafts
from testkit.cli.command_line import Openssl

from jitr.errors import InputError
from jitr.x509 import der
from jitr.x509.keys import read_key
from jitr_cli.console.output import TerminalListener
from jitr_operations import files, telling
from jitr_operations.certificates import Certificate
from jitr_operations.issuing import pki
from jitr_operations.issuing.subjects import SubjectParts, parse_name

NOW = datetime(2026, 3, 1, 12, 0, 0, 500_000, tzinfo=UTC)
YEAR = timedelta(days=365)
P256 = pki.parse_key_type("ec:p256")


def make_ca(name: str = "CN=Factory A,O=OKIDA,C=TR", kind: str = "ec:p256", **options: Any) -> pki.Issuer:
    key = pki.new_key(pki.parse_key_type(kind))
    given: dict[str, Any] = {"serial_number": pki.random_serial(), "now": NOW, "validity": YEAR} | options
    return pki.Issuer(pki.make_ca(parse_name(name).public_bytes(), key, **given), key)


def device(ca: pki.Issuer, name: str = "CN=snr-0001", **options: Any) -> Certificate:
    key: Any = pki.new_key(P256).public_key()
    given: dict[str, Any] = {"serial_number": pki.random_serial(), "now": NOW, "validity": YEAR} | options
    return pki.issue_device(ca, parse_name(name).public_bytes(), pki.public_key_der(key), **given)


def text_of(openssl: Openssl, certificate: Certificate) -> str:
    printed = openssl("x509", "-noout", "-text", "-nameopt", "utf8,sep_comma_plus", stdin=certificate.pem)
    return re.sub(r"\s+", " ", printed)


# --- CAs


@pytest.mark.parametrize(
    ("kind", "key", "signature"),
    [
        ("ec:p256", "NIST CURVE: P-256", "ecdsa-with-SHA256"),
        ("ec:p384", "NIST CURVE: P-384", "ecdsa-with-SHA384"),
        ("ec:p521", "NIST CURVE: P-521", "ecdsa-with-SHA512"),
        ("rsa:2048", "Public-Key: (2048 bit)", "sha256WithRSAEncryption"),
    ],
)
def test_a_ca_is_what_openssl_calls_one(openssl: Openssl, kind: str, key: str, signature: str) -> None:
    text = text_of(openssl, make_ca(kind=kind).certificate)
    assert key in text
    assert f"Signature Algorithm: {signature}" in text
    assert "Version: 3" in text
    assert "Basic Constraints: critical CA:TRUE " in text
    assert "Key Usage: critical Certificate Sign, CRL Sign " in text
    assert "Subject Key Identifier" in text
    assert "Authority Key Identifier" in text
    assert "Subject: C=TR,O=OKIDA,CN=Factory A" in text


def test_a_ca_is_valid_from_a_minute_ago_for_the_days_asked_for() -> None:
    certificate = make_ca().certificate
    assert certificate.not_before == datetime(2026, 3, 1, 11, 59, tzinfo=UTC)
    assert certificate.not_after == datetime(2027, 3, 1, 12, tzinfo=UTC)


def test_a_validity_beyond_the_year_9999_is_bad_input() -> None:
    with pytest.raises(InputError, match="after the year 9999"):
        make_ca(validity=timedelta(days=3_000_000))


def test_the_chain_of_root_intermediate_and_device_verifies(openssl: Openssl, tmp_path: Path) -> None:
    root = make_ca("CN=Root", "ec:p384")
    key = pki.new_key(pki.parse_key_type("rsa:2048"))
    certificate = pki.make_ca(
        parse_name("CN=Batch 7").public_bytes(),
        key,
        serial_number=7,
        now=NOW,
        validity=YEAR,
        path_length=0,
        parent=root,
    )
    leaf = device(pki.Issuer(certificate, key))
    for name, each in (("root", root.certificate), ("batch", certificate), ("leaf", leaf)):
        (tmp_path / f"{name}.pem").write_bytes(each.pem)
    at = int(NOW.timestamp())
    verify = ("verify", "-attime", at, "-x509_strict", "-purpose", "sslclient", "-CAfile", tmp_path / "root.pem")
    openssl(*verify, "-untrusted", tmp_path / "batch.pem", tmp_path / "leaf.pem")
    assert "CA:TRUE, pathlen:0" in text_of(openssl, certificate)
    assert "ecdsa-with-SHA384" in text_of(openssl, certificate)


@pytest.mark.parametrize(
    ("room", "asked", "says"),
    [(0, 0, "may sign devices, but no CA"), (1, None, "--path-length 0 or less"), (1, 1, "--path-length 0 or less")],
)
def test_a_parent_without_room_is_bad_input(room: int, asked: int | None, says: str) -> None:
    with pytest.raises(InputError, match=says):
        make_ca(parent=make_ca(path_length=room), path_length=asked)


def test_a_parent_that_is_no_ca_is_bad_input() -> None:
    ca = make_ca()
    with pytest.raises(InputError, match="CA:TRUE"):
        make_ca(parent=pki.Issuer(device(ca), ca.key))


# --- devices


def test_a_device_is_a_tls_client_of_version_3(openssl: Openssl) -> None:
    text = text_of(openssl, device(make_ca(), "CN=snr-0001,O=OKIDA", serial_number=0x1001))
    assert "Version: 3" in text
    assert "Serial Number: 4097 (0x1001)" in text
    assert "Basic Constraints: critical CA:FALSE" in text
    assert "Key Usage: critical Digital Signature " in text
    assert "Extended Key Usage: TLS Web Client Authentication" in text
    assert "Subject Key Identifier" in text
    assert "Issuer: C=TR,O=OKIDA,CN=Factory A" in text


def test_the_authority_key_identifier_is_the_cas_own_subject_key_identifier() -> None:
    ca = make_ca()
    written = device(ca).own.facts.authority_key_identifier
    assert written is not None
    assert written == ca.certificate.ca.subject_key_identifier


def test_a_ca_without_key_identifier_still_issues(openssl: Openssl, tmp_path: Path) -> None:
    """As the classic openssl commands make it."""
    (tmp_path / "c.cnf").write_text("[req]\ndistinguished_name=d\n[d]\n[e]\nbasicConstraints=CA:TRUE\n")
    openssl("genrsa", "-out", tmp_path / "c.key", "2048")
    request = ("req", "-x509", "-new", "-key", tmp_path / "c.key", "-subj", "/C=TR/O=OKIDA", "-days", "30")
    openssl(*request, "-out", tmp_path / "c.pem", "-config", tmp_path / "c.cnf", "-extensions", "e")
    ca = pki.Issuer(files.read_certificate(tmp_path / "c.pem"), files.read_private_key(tmp_path / "c.key", lambda: b""))
    (tmp_path / "d.pem").write_bytes(device(ca, now=datetime.now(UTC), validity=timedelta(days=1)).pem)
    openssl("verify", "-CAfile", tmp_path / "c.pem", tmp_path / "d.pem")


def test_random_serials_are_positive_and_fit_20_octets() -> None:
    serials = [pki.random_serial() for _ in range(50)]
    assert len(set(serials)) == 50
    assert all(0 < each.bit_length() <= 159 for each in serials)


# --- the proof for AWS IoT


def test_the_verification_certificate_has_the_code_as_common_name_and_the_cas_signature(openssl: Openssl) -> None:
    ca, code = make_ca(), "5e" * 32
    made = pki.make_verification_certificate(ca, pki.new_key(P256), code, serial_number=1, now=NOW)
    assert f"Subject: CN={code}" in text_of(openssl, made)
    assert made.signed_by(ca.certificate)
    assert not made.signed_by(make_ca().certificate)


def test_the_verification_request_is_one_that_openssl_verifies(openssl: Openssl) -> None:
    request = pki.make_verification_request(pki.new_key(P256), "5e" * 32)
    printed = openssl("req", "-noout", "-verify", "-subject", stdin=pki.request_pem(request))
    assert f"CN = {'5e' * 32}" in printed


# --- what options say


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("ec:p256", "ec:p256"),
        ("EC:P-384", "ec:p384"),
        ("ec:p521", "ec:p521"),
        ("rsa:2048", "rsa:2048"),
        ("RSA:4096", "rsa:4096"),
    ],
)
def test_key_types(text: str, kind: str) -> None:
    assert str(pki.parse_key_type(text)) == kind


@pytest.mark.parametrize(
    "text", ["rsa:1024", "rsa:2047", "rsa:100000", "rsa", "ec", "ec:p224", "ed25519", "", "rsa:²048"]
)
def test_key_types_that_aws_iot_does_not_take_are_bad_input(text: str) -> None:
    with pytest.raises(InputError, match="key type"):
        pki.parse_key_type(text)


@pytest.mark.parametrize(
    ("text", "number"), [("1001", 0x1001), ("0x1F", 0x1F), ("00:AB:cd", 0xABCD), ("7" + "f" * 39, 2**159 - 1)]
)
def test_serial_numbers(text: str, number: int) -> None:
    assert pki.parse_serial(text) == number


@pytest.mark.parametrize("text", ["", "0", "0x", "xyz", "-1", "8" + "0" * 39, "1" * 41, "1" * 100_000])
def test_serial_numbers_that_no_certificate_may_have_are_bad_input(text: str) -> None:
    with pytest.raises(InputError, match="serial number"):
        pki.parse_serial(text)


@given(st.text(max_size=50))
def test_whatever_is_given_as_a_serial_number_is_one_or_bad_input(text: str) -> None:
    with contextlib.suppress(InputError):
        assert 0 < pki.parse_serial(text) < 2**159


@given(st.text(max_size=80))
def test_whatever_is_given_as_a_subject_is_one_or_bad_input(text: str) -> None:
    with contextlib.suppress(InputError):
        assert parse_name(text).rdns


def test_a_subject_by_options_goes_from_the_general_to_the_special() -> None:
    parts = SubjectParts({"organization": "OKIDA", "country": "TR", "organizational_unit": "Line A"})
    assert [each.rfc4514_string() for each in parts.name("snr-1").rdns] == ["C=TR", "O=OKIDA", "OU=Line A", "CN=snr-1"]


def test_a_common_name_by_option_replaces_the_files_name() -> None:
    assert SubjectParts({"common_name": "x"}).name("snr-1").rfc4514_string() == "CN=x"


@pytest.mark.parametrize(
    ("text", "common_name", "name"),
    [
        ("CN=x,O=OKIDA,C=TR", "snr-1", "CN=x,O=OKIDA,C=TR"),
        ("O=OKIDA,C=TR", "snr-1", "CN=snr-1,O=OKIDA,C=TR"),
        ("O=OKIDA,C=TR", None, "O=OKIDA,C=TR"),
        ("serialNumber=7,CN=a\\,b", None, "2.5.4.5=7,CN=a\\,b"),
    ],
)
def test_a_subject_as_rfc_4514_writes_it(text: str, common_name: str | None, name: str) -> None:
    assert SubjectParts(text=text).name(common_name).rfc4514_string() == name


@pytest.mark.parametrize(
    ("attributes", "says"),
    [
        ({"country": "TUR"}, "--country 'TUR'"),
        ({"common_name": "x" * 65}, "--common-name"),
        ({"organization": "a\x1bb"}, "--organization 'a\\x1bb' has a control character"),
    ],
)
def test_a_subject_that_cannot_be_names_its_option(attributes: dict[str, str], says: str) -> None:
    with pytest.raises(InputError, match=re.escape(says)):
        SubjectParts(attributes).name("snr-1")


# --- reading files


def write(path: Path, data: bytes | str) -> Path:
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def unasked() -> bytes:
    raise AssertionError("asked for a passphrase")


def _request_pem() -> bytes:
    return pki.request_pem(pki.make_verification_request(pki.new_key(P256), "x"))


def _key_pem() -> bytes:
    return pki.private_pem(pki.new_key(P256))


def _certificate_pem() -> bytes:
    return make_ca().certificate.pem


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (_key_pem, "a private key, not a certificate"),
        (_request_pem, "a certificate signing request"),
        (lambda: b"", "empty"),
        (lambda: b"hello", "no -----BEGIN CERTIFICATE-----"),
        (
            lambda: b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "the certificate cannot be read: it is cut short",
        ),
        (lambda: b"x" * 70_000, "more than 65536 bytes"),
    ],
)
def test_what_is_no_certificate_is_named(tmp_path: Path, content: Callable[[], bytes], says: str) -> None:
    file = write(tmp_path / "x.pem", content())
    with pytest.raises(InputError, match=re.escape(says)) as refused:
        files.read_certificate(file)
    assert str(refused.value).startswith(str(file))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (_certificate_pem, "holds a certificate, not a private key"),
        (_request_pem, "holds a certificate signing request, not a private key"),
        (lambda: b"", "holds no PEM"),
        (lambda: b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "cannot be read"),
        (lambda: drafts.private_pem(drafts.key("Ed25519")), "neither RSA nor EC"),
    ],
)
def test_what_is_no_private_key_is_named(tmp_path: Path, content: Callable[[], bytes], says: str) -> None:
    file = write(tmp_path / "x.key", content())
    with pytest.raises(InputError, match=re.escape(says)):
        files.read_private_key(file, unasked)


@pytest.mark.parametrize(
    "content",
    [
        _certificate_pem,
        _key_pem,
        lambda: b"",
        lambda: b"-----BEGIN CERTIFICATE REQUEST-----\nAA==\n-----END CERTIFICATE REQUEST-----",
    ],
)
def test_what_is_no_request_is_named(tmp_path: Path, content: Callable[[], bytes]) -> None:
    with pytest.raises(InputError, match=re.escape(str(tmp_path / "x.csr"))):
        files.read_request(write(tmp_path / "x.csr", content()))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.pem: No such file"):
        files.read_certificate(tmp_path / "nowhere.pem")


def test_keys_as_openssl_writes_them_are_read(openssl: Openssl, tmp_path: Path) -> None:
    for name, command in {
        "sec1": ("ecparam", "-name", "prime256v1", "-genkey"),
        "pkcs8": ("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"),
        "rsa": ("genrsa", "2048"),
    }.items():
        files.read_private_key(write(tmp_path / name, openssl(*command)), unasked)


def test_an_encrypted_key_wants_its_passphrase(openssl: Openssl, tmp_path: Path) -> None:
    key = pki.new_key(P256)
    file = write(tmp_path / "x.key", pki.private_pem(key, b"correct horse"))
    assert b"ENCRYPTED" in file.read_bytes()
    openssl("pkey", "-in", file, "-passin", "pass:correct horse", "-noout")
    right = write(tmp_path / "right.txt", "correct horse\r\nsecond line\n")
    read = files.read_private_key(file, files.passphrase_from(right, file))
    assert read.public_key() == key.public_key()
    with pytest.raises(InputError, match="passphrase is wrong"):
        files.read_private_key(file, files.passphrase_from(write(tmp_path / "wrong.txt", "battery"), file))
    with pytest.raises(InputError, match="first line should be the passphrase"):
        files.read_private_key(file, files.passphrase_from(write(tmp_path / "none.txt", "\n"), file))
    with pytest.raises(InputError, match="give its passphrase in --passphrase-file"):
        files.read_private_key(file, files.passphrase_from(None, file))


def test_the_passphrase_is_asked_for_on_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path / "x.key", pki.private_pem(pki.new_key(P256), b"correct horse"))
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("click.prompt", lambda *_words, **options: "correct horse" if options["hide_input"] else "")
    with telling.heard_by(TerminalListener()):
        files.read_private_key(file, files.passphrase_from(None, file))


def test_a_key_of_another_certificate_is_named(tmp_path: Path) -> None:
    ca = make_ca()
    files.require_pair(ca.certificate, Path("a.pem"), ca.key, Path("a.key"))
    with pytest.raises(InputError, match=r"b\.key is not the key of a\.pem"):
        files.require_pair(ca.certificate, Path("a.pem"), make_ca().key, Path("b.key"))


@given(st.binary(max_size=200))
def test_no_content_makes_reading_fail_in_another_way(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    file = write(tmp_path_factory.getbasetemp() / "any", data)
    for read in (files.read_certificate, files.read_request, lambda path: files.read_private_key(path, unasked)):
        with pytest.raises(InputError):
            read(file)


# --- writing files


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_keys_are_for_their_owner_and_certificates_for_everybody(tmp_path: Path) -> None:
    previous = os.umask(0)
    try:
        with files.staged(tmp_path / "new" / "folder", ["a.key", "a.pem"], force=False) as stage:
            stage.write("a.key", b"k", private=True)
            assert stage.write("a.pem", b"c") == tmp_path / "new" / "folder" / "a.pem"
    finally:
        os.umask(previous)
    assert mode(tmp_path / "new" / "folder" / "a.key") == 0o600
    assert mode(tmp_path / "new" / "folder" / "a.pem") == 0o644
    assert sorted(each.name for each in (tmp_path / "new" / "folder").iterdir()) == ["a.key", "a.pem"]


def write_all(
    folder: Path, contents: dict[str, str], *, force: bool = False, then: Callable[[], object] = lambda: None
) -> None:
    """Write files together; ``then`` happens before they are moved into place."""
    with files.staged(folder, contents, force=force) as stage:
        for name, content in contents.items():
            stage.write(name, content.encode())
        then()


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_a_failure_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(error):
        write_all(tmp_path / "new" / "er", {"a": "k"}, then=fail)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_exists_is_not_overwritten(tmp_path: Path) -> None:
    write(tmp_path / "b", "old")
    with pytest.raises(InputError, match="--force"), files.staged(tmp_path, ["a", "b"], force=False):
        raise AssertionError("began")
    assert [each.name for each in tmp_path.iterdir()] == ["b"]


def test_a_file_that_appears_meanwhile_is_not_overwritten_and_nothing_else_is_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="b exists"):
        write_all(tmp_path, {"a": "new", "b": "new"}, then=lambda: write(tmp_path / "b", "theirs"))
    assert [each.name for each in tmp_path.iterdir()] == ["b"]
    assert (tmp_path / "b").read_text() == "theirs"


def test_force_replaces_files_and_a_failure_brings_them_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a", "old a")
    write(tmp_path / "b", "old b")
    write_all(tmp_path, {"a": "new a"}, force=True)
    assert (tmp_path / "a").read_text() == "new a"
    move = files.Staged._move

    def failing(self: files.Staged, name: str) -> None:
        move(self, name)
        if name == "a":
            write(tmp_path / "marker", "")
            monkeypatch.setattr(files.Staged, "_move", lambda _self, _name: (_ for _ in ()).throw(OSError(28, "full")))

    monkeypatch.setattr(files.Staged, "_move", failing)
    with pytest.raises(InputError, match="full"):
        write_all(tmp_path, {"a": "newer a", "b": "newer b"}, force=True)
    assert ((tmp_path / "a").read_text(), (tmp_path / "b").read_text()) == ("new a", "old b")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a", "b", "marker"]


def test_a_directory_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.pem").mkdir()
    with pytest.raises(InputError, match="is a directory"), files.staged(tmp_path, ["a.pem"], force=True):
        raise AssertionError("began")


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    target = write(tmp_path / "target", "theirs")
    (tmp_path / "a.key").symlink_to(target)
    with pytest.raises(InputError, match="exists"), files.staged(tmp_path, ["a.key"], force=False):
        raise AssertionError("began")
    with files.staged(tmp_path, ["a.key"], force=True) as stage:
        stage.write("a.key", b"key", private=True)
    assert (target.read_text(), (tmp_path / "a.key").is_symlink()) == ("theirs", False)


def test_a_file_where_the_directory_should_be_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a file"), files.staged(write(tmp_path / "f", ""), ["a"], force=False):
        raise AssertionError("began")


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "a\\b", "-rf", ".hidden", "a\x00b", "a\nb", "a\u202eb", "x" * 201]
)
def test_names_that_no_file_should_have_are_bad_input(name: str) -> None:
    with pytest.raises(InputError, match="cannot be the name of a file"):
        files.file_name(name)


@pytest.mark.parametrize("name", ["snr-0001", "Gözlem 7", "a.b", "urn:x:1"])
def test_names_are_kept_as_they_are(name: str) -> None:
    assert files.file_name(name) == name


# --- looking at certificates


def test_a_signature_is_checked_with_the_key_alone() -> None:
    one, other = make_ca("CN=A", "rsa:2048"), make_ca("CN=A", "ec:p384")
    for ca in (one, other):
        assert device(ca).signed_by(ca.certificate)
    assert not device(one).signed_by(other.certificate)
    assert not device(other).signed_by(one.certificate)


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        ("RSA-1024", "an RSA key of 1024 bits"),
        ("secp256k1", "a key on the curve secp256k1"),
        ("Ed25519", "neither RSA nor EC"),
        ("P-384", None),
    ],
)
def test_keys_that_aws_iot_refuses(kind: str, problem: str | None) -> None:
    key = read_key(der.only(drafts.public_key(drafts.key(kind)), der.SEQUENCE))
    found = pki.key_problem(key.facts)
    assert (found is None) if problem is None else (found is not None and problem in found)


def test_the_hash_of_a_signature_is_named_as_openssl_does() -> None:
    assert make_ca().certificate.own.facts.signature.hash == "sha256"


def test_the_library_and_openssl_agree_on_ids(openssl: Openssl) -> None:
    certificate = make_ca().certificate
    printed = openssl("x509", "-noout", "-fingerprint", "-sha256", stdin=certificate.pem)
    assert printed.strip().partition("=")[2].replace(":", "").lower() == certificate.sha256
    loaded = x509.load_der_x509_certificate(certificate.der)
    assert loaded.fingerprint(hashes.SHA256()).hex() == certificate.sha256
    assert isinstance(loaded.public_key(), ec.EllipticCurvePublicKey)
