"""What people give as a certificate, and what they are told where it is none."""

import base64
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.serialization import pkcs7, pkcs12
from testkit import pki

from jitr.errors import NotACertificate, Unreadable
from jitr.x509.certificate import read_certificate
from jitr.x509.pem import MAX_CERTIFICATE, MAX_INPUT, find_certificate, find_following

CA = pki.ca()
LEAF = CA.usual_device().issue()


def armoured(label: str, der: bytes) -> bytes:
    return (
        f"-----BEGIN {label}-----\n".encode()
        + base64.encodebytes(der).replace(b"\n", b"")
        + f"\n-----END {label}-----\n".encode()
    )


def test_a_pem_certificate_is_found() -> None:
    found = find_certificate(LEAF.pem)
    assert (found.der, found.taken) == (LEAF.der, None)


def test_der_is_taken_as_it_is() -> None:
    assert find_certificate(LEAF.der).der == LEAF.der


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(LEAF.pem.replace(b"\n", b"\r\n"), id="CRLF line ends"),
        pytest.param(LEAF.pem.replace(b"\n", b"\r"), id="CR line ends"),
        pytest.param(LEAF.pem.rstrip(), id="no line end at the end"),
        pytest.param(b"\xef\xbb\xbf" + LEAF.pem, id="UTF-8 byte order mark"),
        pytest.param(LEAF.pem.decode().encode("utf-16"), id="UTF-16, as PowerShell redirects"),
        pytest.param(b"\xfe\xff" + LEAF.pem.decode().encode("utf-16-be"), id="UTF-16, big-endian"),
        pytest.param(
            b"Certificate:\n    Data:\n  subject=CN = \xc5\x9f\n" + LEAF.pem, id="text before (RFC 7468, 5.2)"
        ),
        pytest.param(LEAF.pem + b"\n\ntrailing words\n", id="text after"),
        pytest.param(LEAF.pem.replace(b"\n", b"\n    "), id="indented, as out of YAML"),
        pytest.param(LEAF.pem.replace(b"CERTIFICATE", b"X509 CERTIFICATE"), id="old label (RFC 7468, 5.1)"),
        pytest.param(LEAF.pem.replace(b"-----\n", b"-----\nComment: x\nOther: y\n\n", 1), id="headers (RFC 1421, 4.4)"),
        pytest.param(armoured("CERTIFICATE", LEAF.der), id="in one line"),
    ],
)
def test_what_editors_and_shells_do_to_a_file_does_no_harm(data: bytes) -> None:
    assert find_certificate(data).der == LEAF.der


def test_of_a_bundle_the_first_is_taken_and_said_so() -> None:
    found = find_certificate(b"leaf and its CA\n" + pki.bundle(LEAF, CA))
    assert found.der == LEAF.der
    assert found.taken == "the first of 2 certificates, at line 2, is taken"


def test_a_certificate_beside_its_private_key_is_found() -> None:
    found = find_certificate(LEAF.private_pem + LEAF.pem)
    assert found.der == LEAF.der
    assert found.taken is not None
    assert found.taken.startswith("the only certificate of 2 PEM blocks, at line ")


def key_in(form: serialization.PrivateFormat, password: bytes | None = None, kind: str = "RSA-2048") -> bytes:
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return pki.key(kind).private_bytes(serialization.Encoding.DER, form, encryption)


def request() -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(LEAF.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def revocation_list() -> bytes:
    builder = x509.CertificateRevocationListBuilder().issuer_name(x509.Name([]))
    builder = builder.last_update(pki.NOT_BEFORE).next_update(pki.NOT_AFTER)
    return builder.sign(CA.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def key_store() -> bytes:
    leaf = x509.load_der_x509_certificate(LEAF.der)
    return pkcs12.serialize_key_and_certificates(None, LEAF.key, leaf, None, serialization.NoEncryption())


def certificate_store() -> bytes:
    return pkcs7.serialize_certificates([x509.load_der_x509_certificate(LEAF.der)], serialization.Encoding.DER)


PKCS8 = serialization.PrivateFormat.PKCS8
TRADITIONAL = serialization.PrivateFormat.TraditionalOpenSSL
PRIVATE = "a private key, not a certificate: keep it secret, and give the certificate that goes with it"

NOT_CERTIFICATES = [
    ("PRIVATE KEY", key_in(PKCS8), PRIVATE),
    ("PRIVATE KEY", key_in(PKCS8, kind="Ed25519"), PRIVATE),
    ("RSA PRIVATE KEY", key_in(TRADITIONAL), PRIVATE),
    ("EC PRIVATE KEY", key_in(TRADITIONAL, kind="P-256"), PRIVATE),
    ("ENCRYPTED PRIVATE KEY", key_in(PKCS8, b"secret"), PRIVATE),
    ("CERTIFICATE REQUEST", request(), "a certificate signing request: have the CA sign it"),
    ("NEW CERTIFICATE REQUEST", request(), "a certificate signing request: have the CA sign it"),
    ("PUBLIC KEY", pki.public_key(pki.key()), "a public key without a certificate"),
    ("X509 CRL", revocation_list(), "a revocation list, not a certificate"),
    ("PKCS7", certificate_store(), "openssl pkcs7 -print_certs"),
]

# Keys are made anew in each run, so the cases are told apart by number.
not_certificates = pytest.mark.parametrize(("label", "der", "told"), NOT_CERTIFICATES, ids=range(len(NOT_CERTIFICATES)))


@not_certificates
def test_what_is_not_a_certificate_is_named_with_what_to_do(label: str, der: bytes, told: str) -> None:
    with pytest.raises(Unreadable) as caught:
        read_certificate(b"\n" + armoured(label, der))
    assert caught.value.code == "certificate.unreadable"
    assert told in str(caught.value)
    assert "at line 2" in str(caught.value)


@not_certificates
def test_der_that_is_not_a_certificate_is_named_as_well(label: str, der: bytes, told: str) -> None:
    with pytest.raises(Unreadable, match="the input is ") as caught:
        read_certificate(der)
    assert told in str(caught.value)


@not_certificates
def test_a_label_that_lies_does_not_hide_what_it_is(label: str, der: bytes, told: str) -> None:
    with pytest.raises(Unreadable) as caught:
        read_certificate(armoured("CERTIFICATE", der))
    assert told in str(caught.value)


@pytest.mark.parametrize("damage", [b"", b"@", b"\\n"])
@not_certificates
def test_no_message_repeats_what_stands_in_a_block(label: str, der: bytes, told: str, damage: bytes) -> None:
    pem = armoured(label, der)
    for data in (pem, pem[:-30], pem.replace(b"\n", b"\n" + damage, 1), armoured("CERTIFICATE", der), der):
        with pytest.raises(Unreadable) as caught:
            read_certificate(data)
        body = pem.split(b"\n")[1].decode()
        for message in (str(caught.value), str(caught.value.__cause__)):
            assert not any(body[at : at + 12] in message for at in range(len(body) - 12))


def test_a_pkcs12_store_is_named() -> None:
    with pytest.raises(Unreadable, match="the input is a PKCS #12 store: give what `openssl pkcs12"):
        read_certificate(key_store())


def test_openssl_trusted_certificates_are_named(tmp_path: Path) -> None:
    (tmp_path / "leaf.pem").write_bytes(LEAF.pem)
    trusted = pki.openssl(tmp_path, "x509", "-in", "leaf.pem", "-trustout", "-addtrust", "clientAuth")
    with pytest.raises(Unreadable, match="a certificate in OpenSSL's own form"):
        find_certificate(trusted.encode())


DAMAGED = {
    "an empty file": (b"", "the input is empty"),
    "white space": (b" \n\t\r\n", "the input is empty"),
    "other text": (b"hello", "has no -----BEGIN CERTIFICATE-----"),
    "base64 only": (base64.b64encode(LEAF.der), "base64 without its PEM lines"),
    "cut short": (LEAF.pem[:300], "begins at line 1 has no end"),
    "cut short further down": (b"\n\n" + LEAF.pem[:300], "begins at line 3 has no end"),
    "another end": (LEAF.pem.replace(b"END CERTIFICATE", b"END PRIVATE KEY"), "has no end"),
    "cut short, then whole": (LEAF.pem[:300] + b"\n" + LEAF.pem, "begins at line 1 has no end"),
    "a bundle cut short": (LEAF.pem + CA.pem[:300], "has no end"),
    "no label": (b"-----BEGIN -----END -----", "begins '', not a certificate"),
    "line ends written out": (LEAF.pem.replace(b"\n", b"\\n"), r"has \\n written out"),
    "not base64": (LEAF.pem.replace(b"-----\n", b"-----\n?", 1), "is not base64"),
    "nothing inside": (armoured("CERTIFICATE", b""), "the certificate cannot be read"),
    "an unknown label": (armoured("FLOWERS", b"x"), "begins 'FLOWERS', not a certificate"),
}


@pytest.mark.parametrize(("data", "told"), DAMAGED.values(), ids=DAMAGED)
def test_damaged_input_is_one_clear_line(data: bytes, told: str) -> None:
    with pytest.raises(Unreadable, match=told) as caught:
        read_certificate(data)
    assert caught.value.code == "certificate.unreadable"
    assert "\n" not in str(caught.value)


def test_an_input_beyond_the_limit_is_too_large() -> None:
    assert find_certificate(LEAF.pem + b"\n" * (MAX_INPUT - len(LEAF.pem))).der == LEAF.der
    with pytest.raises(Unreadable, match="the input has 65537 bytes; at most 65536") as caught:
        find_certificate(LEAF.pem + b"\n" * (MAX_INPUT + 1 - len(LEAF.pem)))
    assert caught.value.code == "certificate.too-large"


@pytest.mark.parametrize("wrap", [lambda der: der, lambda der: armoured("CERTIFICATE", der)])
def test_a_certificate_beyond_the_limit_is_too_large_before_it_is_parsed(wrap) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(Unreadable, match="the certificate has 16385 bytes; at most 16384") as caught:
        read_certificate(wrap(b"\x30" + b"x" * MAX_CERTIFICATE))
    assert caught.value.code == "certificate.too-large"


# --- what tools and people add, or wrap it in


@pytest.mark.parametrize(
    ("rest", "told"),
    [
        (b"\xff" * 300, r"300 more, of padding \(FF\)"),
        (b"\x00" * 3, r"3 more, of padding \(00\)"),
        (b"\n", "1 more, of white space"),
        (b"\r\n", "2 more, of white space"),
        (LEAF.der, "that are no part of it"),
    ],
    ids=["FF", "00", "a line feed", "a line break", "another certificate"],
)
def test_der_with_more_after_it_says_where_it_ends_and_how_to_cut_it(rest: bytes, told: str) -> None:
    """It is not cut short; and what stands after it is not passed over, for its SHA-256 would be another."""
    with pytest.raises(NotACertificate, match=told) as caught:
        read_certificate(LEAF.der + rest)
    assert f"ends at byte {len(LEAF.der)}" in str(caught.value)
    assert f"`head -c {len(LEAF.der)} FILE`" in str(caught.value)


def test_a_private_key_with_padding_after_it_is_named() -> None:
    key = LEAF.key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(NotACertificate, match="the input is a private key"):
        read_certificate(key + b"\xff" * 16)


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("wrap", [base64.b64encode, base64.encodebytes])
def test_the_base64_of_a_pem_file_is_read_and_said_so(times: int, wrap: Callable[[bytes], bytes]) -> None:
    """As the data of a Kubernetes secret is, and twice where somebody encoded it once more."""
    data = LEAF.pem + CA.pem
    for _ in range(times):
        data = wrap(data)
    found = find_certificate(data)
    assert found.der == LEAF.der
    assert str(found.taken).startswith("the input is the base64 of a PEM file, and was decoded; the first of 2 cert")
    assert find_following(data) == (CA.der,)


def test_the_base64_of_another_pem_file_is_named_and_not_repeated() -> None:
    with pytest.raises(NotACertificate, match="in what the input is the base64 of, at line 1 begins a private key"):
        find_certificate(base64.b64encode(LEAF.private_pem))


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (pki.tlv(0x0C, b"B\xfcro"), r"its common_name is a UTF8String that is not UTF-8 from octet 2 on \(fc 72 6f\)"),
        (pki.tlv(0x13, b"\xe9"), r"its common_name is a PrintableString that is not UTF-8 from octet 1 on \(e9\)"),
        (pki.tlv(0x1E, b"\x00a\x00"), r"its common_name is a BMPString that is not UTF-16-BE from octet 3 on \(00\)"),
    ],
)
def test_a_string_in_the_wrong_encoding_says_which_octets_of_what_and_what_to_ask(value: bytes, told: str) -> None:
    leaf = CA.device().subject(pki.tlv(0x31, pki.attribute("CN", value))).issue()
    with pytest.raises(Unreadable, match=told) as caught:
        read_certificate(leaf.der)
    assert "ask the issuer to write it as a UTF8String, in UTF-8" in str(caught.value)
