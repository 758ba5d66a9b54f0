"""Requests as devices and their management write them: read as openssl reads them, or refused in our own words."""

import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import cryptography_vectors
import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st
from testkit import pki
from testkit.pki import bit_string, distinguished_name, integer, oid, sequence, tlv
from testkit.requests import CRITICAL_FALSE, EXTENSION_REQUEST, OS_VERSION, READABLE, attribute, pem, request

from jitr.errors import InputError
from jitr.x509.signing_request import read_request

VECTORS = Path(cryptography_vectors.__file__).parent / "x509" / "requests"


@pytest.mark.parametrize("kind", READABLE)
def test_a_request_that_openssl_verifies_is_read_and_verified(kind: str, tmp_path: Path) -> None:
    data = READABLE[kind]
    (tmp_path / "r.der").write_bytes(data)
    verified = ("openssl", "req", "-inform", "DER", "-in", tmp_path / "r.der", "-noout", "-verify")
    done = subprocess.run(verified, check=True, capture_output=True, text=True)
    assert "verify OK" in done.stderr
    reading = read_request(data)
    assert reading.signature_valid
    assert reading.subject_der in data
    assert reading.public_key_der == pki.public_key(pki.key("P-256", "asks"))
    assert read_request(pem(data)) == reading


USUAL = READABLE["as usual"]


@pytest.mark.parametrize(
    "data",
    [
        pem(USUAL, "NEW CERTIFICATE REQUEST"),
        b"\xff\xfe" + pem(USUAL).decode().encode("utf-16-le"),
        pem(USUAL).replace(b"\n", b"\r\n"),
        b"Certificate Request:\n    Data:\n" + pem(USUAL),
    ],
    ids=["old label", "UTF-16", "CRLF", "text before it"],
)
def test_a_request_is_found_in_what_people_send(data: bytes) -> None:
    assert read_request(data) == read_request(USUAL)


def test_what_a_request_asks_for_is_told_once_each() -> None:
    twice = attribute(EXTENSION_REQUEST, CRITICAL_FALSE, CRITICAL_FALSE)
    assert read_request(request(attributes=twice)).extensions == ("2.5.29.19",)


def test_a_signature_by_another_key_is_not_valid() -> None:
    assert not read_request(request(signer=pki.key("P-256", "somebody else"))).signature_valid


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (lambda: b"", "the input is empty"),
        (lambda: b"hello", "no -----BEGIN CERTIFICATE REQUEST----- and is not DER"),
        (lambda: b"MIIB" + b"A" * 80, "base64 without its PEM lines"),
        (lambda: b" " * 70_000, "has 70000 bytes"),
        (lambda: pki.ca().pem, "holds a certificate, not a certificate signing request"),
        (lambda: pki.ca().der, "it is a certificate, and no request"),
        (lambda: pki.private_pem(pki.key()), "holds a private key, not a certificate signing request"),
        (lambda: pem(request()) * 2, "2 certificate signing requests: give a file for each"),
        (lambda: pem(request())[:-40], "has no end"),
        (lambda: pem(request()).replace(b"M", b"*", 1), "is not base64"),
        (lambda: request()[:-1], "it is cut short"),
        (lambda: request(version=integer(3)), "its version is not 1"),
        (lambda: request(distinguished_name(("CN", "x" * 2000))), "a common_name has 2000 characters"),
        (lambda: request(attributes=tlv(0x02, b"\x00")), "tag 0x02 stands where 0x30 should"),
        (lambda: request(attributes=sequence(oid(OS_VERSION))), "not a type and its values"),
        (
            lambda: request(public_key=sequence(sequence(oid("1.2.840.10045.2.1")), bit_string(b""))),
            "its EC public key cannot be used",
        ),
        (lambda: sequence(b""), "it has not the three parts of a request"),
    ],
)
def test_what_is_no_request_is_refused_in_words(data: Callable[[], bytes], says: str) -> None:
    with pytest.raises(InputError) as refused:
        read_request(data())
    assert says in str(refused.value)


def test_every_request_among_the_library_s_vectors_is_read_as_the_library_reads_it() -> None:
    refused, unlike = [], []
    for path in sorted(VECTORS.iterdir()):
        data = path.read_bytes()
        try:
            reading = read_request(data)
        except InputError:
            refused.append(path.name)
            continue
        load = x509.load_pem_x509_csr if b"-----" in data else x509.load_der_x509_csr
        with suppress(ValueError):
            if load(data).is_signature_valid != reading.signature_valid and reading.key is not None:
                unlike.append(path.name)
    assert refused == ["bad-version.pem", "two_basic_constraints.pem"]
    # The library takes no SHA-1; whoever signs with it has the key all the same, and openssl says so.
    assert unlike == ["rsa_sha1.der", "rsa_sha1.pem", "san_rsa_sha1.der", "san_rsa_sha1.pem"]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(list(READABLE.values())), st.integers(0, 400), st.integers(0, 255))
def test_a_mutated_request_is_a_reading_or_bad_input(data: bytes, at: int, octet: int) -> None:
    changed = bytearray(data)
    changed[at % len(data)] = octet
    with suppress(InputError):
        _ = read_request(bytes(changed)).signature_valid
