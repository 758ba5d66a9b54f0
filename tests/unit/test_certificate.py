"""What is read from a certificate: everything a decision needs, of any certificate a device may honestly have."""

import json
import warnings
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

import cryptography_vectors
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from testkit import pki
from testkit.work import ending

from jitr.errors import Unreadable
from jitr.facts import (
    ATTRIBUTE_NAMES,
    AlternativeName,
    Attribute,
    CaFacts,
    CertificateFacts,
    KeyFacts,
    SignatureFacts,
)
from jitr.x509 import der
from jitr.x509.certificate import MAX_SERIAL_OCTETS, CertificateReading, read_ca, read_certificate
from jitr.x509.extensions import EXTENDED_KEY_USAGES, MAX_ALTERNATIVE_NAMES, MAX_EXTENSIONS
from jitr.x509.names import MAX_ATTRIBUTES, MAX_CHARACTERS, rfc4514

CA = pki.ca()


def facts_of(draft: pki.CertificateDraft) -> CertificateFacts:
    return read_certificate(draft.issue().der).facts


def refusal_of(draft: pki.CertificateDraft) -> Unreadable:
    with pytest.raises(Unreadable) as caught:
        read_certificate(draft.issue().der)
    return caught.value


@pytest.fixture(autouse=True)
def _no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


# Whole certificates


def test_everything_is_read_from_a_usual_certificate() -> None:
    issued = CA.usual_device().issue()
    reading = read_certificate(issued.pem)
    key_identifier = pki.key_identifier(issued.key).hex()
    assert reading.facts == CertificateFacts(
        certificate_sha256=issued.sha256,
        public_key_sha256=sha256(pki.public_key(issued.key)).hexdigest(),
        version=3,
        serial_number="1001",
        subject=(
            Attribute("country", "TR", "PrintableString"),
            Attribute("organization", "OKIDA"),
            Attribute("common_name", "snr-0001"),
        ),
        issuer=(
            Attribute("country", "TR", "PrintableString"),
            Attribute("organization", "OKIDA"),
            Attribute("common_name", "Factory A"),
        ),
        not_before=pki.NOT_BEFORE,
        not_after=pki.NOT_AFTER,
        key=KeyFacts("EC", 256, "P-256"),
        signature=SignatureFacts("ECDSA", "sha256"),
        is_ca=False,
        key_usage=("digitalSignature",),
        extended_key_usage=("clientAuth",),
        authority_key_identifier=pki.key_identifier(CA.key).hex(),
        subject_key_identifier=key_identifier,
    )
    assert (reading.der, reading.taken) == (issued.der, None)


def test_a_version_1_certificate_has_no_extensions_and_is_not_a_ca() -> None:
    """What ``openssl x509 -req`` makes without -extfile: RFC 5280 section 4.1.2.1, v1."""
    facts = facts_of(CA.device().v1())
    assert (facts.version, facts.is_ca, facts.key_usage, facts.extended_key_usage) == (1, False, None, None)
    assert facts.values("common_name") == ("snr-0001",)


def test_a_certificate_by_the_classic_commands_is_read(tmp_path: Path) -> None:
    ca_pem, device_pem = pki.classic_files(tmp_path)
    facts = read_certificate(device_pem).facts
    ca = read_ca(ca_pem, status="ACTIVE")
    assert facts.version == 1
    assert facts.key == KeyFacts("RSA", 2048)
    assert facts.signature == SignatureFacts("RSA", "sha256")
    assert facts.values("common_name") == ("snr-0001",)
    assert rfc4514(ca.subject) == "O=OKIDA,C=TR"
    assert (ca.facts.is_ca, ca.facts.may_sign, ca.facts.name_constraints) == (True, True, False)
    fingerprint = pki.openssl(tmp_path, "x509", "-in", "device.crt", "-noout", "-fingerprint", "-sha256")
    assert facts.certificate_sha256 == fingerprint.strip().rpartition("=")[2].replace(":", "").lower()


def test_extensions_in_a_version_1_certificate_count() -> None:
    """RFC 5280 section 4.1 forbids them; what is there and says CA:TRUE is a CA all the same."""
    draft = CA.device().basic_constraints(ca=True)
    facts = facts_of(draft.but(version=None))
    assert (facts.version, facts.is_ca) == (1, True)


@pytest.mark.parametrize("version", [2, 4, 300])
def test_versions_other_than_1_and_3_are_unreadable(version: int) -> None:
    assert "its version is neither 1 nor 3" in str(refusal_of(CA.device().but(version=version)))


def test_the_public_key_hash_is_of_the_key_and_of_nothing_else_in_the_certificate() -> None:
    leaf = CA.device().issue()
    assert read_certificate(leaf.der).facts.public_key_sha256 == facts_of(CA.device("snr-2")).public_key_sha256
    assert facts_of(CA.device().key("P-256", "another")).public_key_sha256 != facts_of(CA.device()).public_key_sha256


def test_bytes_after_the_certificate_are_unreadable() -> None:
    with pytest.raises(Unreadable, match="after the certificate, which ends at byte"):
        read_certificate(CA.device().issue().der + b"\x00")


def test_two_different_signature_algorithms_are_unreadable() -> None:
    """RFC 5280 section 4.1.1.2: the field inside MUST be the same as the one outside."""
    draft = CA.device().claiming(pki.signature_algorithm(CA.key, "sha512", pss=False))
    assert "two different signature algorithms" in str(refusal_of(draft))


def test_a_signature_that_is_not_whole_octets_is_read_as_none() -> None:
    issued = CA.device().issue().der
    signature = read_certificate(issued).signature
    at = issued.index(signature) - 1
    assert read_certificate(issued[:at] + b"\x01" + issued[at + 1 :]).signature == b""


def test_unique_identifiers_are_passed_over() -> None:
    """RFC 5280 section 4.1.2.8."""
    draft = CA.usual_device().but(unique_identifiers=pki.tlv(0x81, b"\x00a") + pki.tlv(0x82, b"\x00b"))
    assert facts_of(draft).extended_key_usage == ("clientAuth",)


@pytest.mark.parametrize(
    "fields",
    [
        pki.tlv(0xA3, pki.sequence()),  # extensions twice: which of them would count?
        pki.tlv(0x82, b"\x00b") + pki.tlv(0x81, b"\x00a"),
        pki.tlv(0xA4, pki.sequence()),
        pki.sequence(),
    ],
)
def test_fields_that_no_certificate_has_are_unreadable(fields: bytes) -> None:
    assert "fields that no certificate has" in str(refusal_of(CA.usual_device().but(unique_identifiers=fields)))


@pytest.mark.parametrize("missing", range(6))
def test_a_missing_field_is_unreadable(missing: int) -> None:
    fields = [pki.integer(1), pki.sequence(), pki.sequence(), pki.sequence(), pki.sequence(), pki.sequence()]
    del fields[missing]
    refused = pki.sequence(pki.sequence(*fields), pki.sequence(), pki.bit_string(b""))
    with pytest.raises(Unreadable):
        read_certificate(refused)


# Names


def test_an_empty_subject_is_fine() -> None:
    """RFC 5280 section 4.1.2.6 allows it where subjectAltName names the device."""
    assert facts_of(CA.device().subject()).subject == ()


def test_a_repeated_attribute_keeps_every_value_in_order() -> None:
    facts = facts_of(CA.device().subject(("OU", "line a"), ("CN", "snr-1"), ("OU", "line b"), ("CN", "snr-2")))
    assert facts.values("common_name") == ("snr-1", "snr-2")
    assert facts.values("organizational_unit") == ("line a", "line b")


def test_a_relative_name_of_several_attributes_gives_them_all() -> None:
    """RFC 5280 section 4.1.2.4: a RelativeDistinguishedName is a set."""
    one, other = pki.attribute("CN", "snr-1"), pki.attribute("serialNumber", "7")
    for both in (one + other, other + one):  # of which only one is in the order that DER wants
        facts = facts_of(CA.device().subject(pki.tlv(0x31, both)))
        assert set(facts.subject) == {Attribute("common_name", "snr-1"), Attribute("subject_serial_number", "7")}


@pytest.mark.parametrize("oid", sorted(ATTRIBUTE_NAMES))
def test_every_attribute_that_rules_can_name_is_read_by_its_name(oid: str) -> None:
    assert facts_of(CA.device().subject((oid, "x"))).subject == (Attribute(ATTRIBUTE_NAMES[oid], "x"),)


@pytest.mark.parametrize("oid", ["1.3.6.1.4.1.35405.1", "2.999.5", "2.5.4.9", "1.2.840.113549.1.9.2"])
def test_other_attributes_are_read_by_their_object_identifier(oid: str) -> None:
    assert facts_of(CA.device().subject((oid, "x"))).subject == (Attribute(oid, "x"),)


@pytest.mark.parametrize(
    ("encoding", "value"),
    [
        ("UTF8String", "Şirket ☃ 𝄞"),
        ("PrintableString", "Factory (A)"),
        ("PrintableString", "snr_0001@x*&"),  # outside the type's alphabet, as mbedTLS writes
        ("NumericString", "12 34"),
        ("IA5String", "a@example.com"),
        ("TeletexString", "Fabrik Köln"),  # Latin-1, as OpenSSL reads and writes it
        ("BMPString", "Şirket"),
        ("UniversalString", "Şirket 𝄞"),
    ],
)
def test_every_string_type_is_decoded_and_named(encoding: str, value: str) -> None:
    """RFC 5280 section 4.1.2.4, DirectoryString, and what is found besides."""
    subject = facts_of(CA.device().subject(("O", value, encoding))).subject
    assert subject == (Attribute("organization", value, encoding),)


@pytest.mark.parametrize(
    ("value", "attribute"),
    [
        (pki.bit_string(b"\xa5"), Attribute("common_name", "#030200a5", "BitString")),
        (pki.integer(5), Attribute("common_name", "#020105", "Integer")),
        (pki.tlv(0x04, b"ab"), Attribute("common_name", "#04026162", "OctetString")),
        (pki.sequence(), Attribute("common_name", "#3000", "tag 0x30")),
    ],
)
def test_a_value_that_is_no_string_is_hex(value: bytes, attribute: Attribute) -> None:
    """RFC 4514 section 2.4."""
    relative = pki.tlv(0x31, pki.attribute("CN", value))
    assert facts_of(CA.device().subject(relative)).subject == (attribute,)


@pytest.mark.parametrize(
    "name",
    [
        pki.tlv(0x31),
        pki.tlv(0x31, pki.sequence(pki.oid("CN"))),
        pki.tlv(0x31, pki.sequence(pki.oid("CN"), pki.string("a"), pki.string("b"))),
        pki.tlv(0x31, pki.sequence(pki.string("CN"), pki.string("a"))),
        pki.tlv(0x31, pki.attribute("CN", pki.tlv(0x0C, b"\xff"))),
        pki.tlv(0x31, pki.attribute("CN", pki.tlv(0x1E, b"\x00"))),
        pki.tlv(0x31, pki.attribute("CN", pki.tlv(0x1C, b"\x00\x11\x00\x00"))),
        pki.tlv(0x31, pki.sequence(pki.tlv(0x06, b"\x80\x01"), pki.string("a"))),
        pki.tlv(0x31, pki.sequence(pki.tlv(0x06, b"\x55\x84"), pki.string("a"))),
        pki.tlv(0x31, pki.sequence(pki.tlv(0x06, b"\x2b" + b"\x81" * 70 + b"\x01"), pki.string("a"))),
    ],
)
def test_a_damaged_name_is_unreadable(name: bytes) -> None:
    assert refusal_of(CA.device().subject(name)).code == "certificate.unreadable"


def test_a_country_of_seven_letters_is_read_without_a_word() -> None:
    assert facts_of(CA.device().subject(("C", "Türkiye"))).values("country") == ("Türkiye",)


# Serial number and validity


@pytest.mark.parametrize(
    ("number", "read"),
    [
        (1, "1"),
        (0xFF, "ff"),
        (0x0A00, "a00"),
        (2**159, f"{2**159:x}"),
        (2**160, f"{2**160:x}"),
        (2**254, f"{2**254:x}"),
    ],
)
def test_a_serial_number_is_hex_without_leading_zeros(number: int, read: str) -> None:
    """RFC 5280 section 4.1.2.2: up to 20 octets; longer ones are read as well."""
    assert facts_of(CA.device().serial(number)).serial_number == read


@pytest.mark.parametrize(("number", "read"), [(0, "0"), (-1, "-1"), (-0x1F, "-1f"), (-(2**64), f"-{2**64:x}")])
def test_a_serial_number_that_is_not_positive_is_read_with_its_sign(number: int, read: str) -> None:
    """RFC 5280 section 4.1.2.2: users SHOULD be prepared for such. Whether they get in is the floor's word."""
    facts = facts_of(CA.device().serial(number))
    assert facts.serial_number == read
    assert CertificateFacts.from_json(facts.to_json()) == facts


@pytest.mark.parametrize(("number", "odd"), [(1, None), (0, "0"), (-0x1F, "-1f")])
def test_a_ca_whose_serial_number_is_not_positive_is_read(number: int, odd: str | None) -> None:
    """To verify by it takes its name and its key (RFC 5280 section 6.1.1 (d)), not its serial number."""
    ca = read_ca(pki.make(pki.ca_draft().basic_constraints(ca=True).serial(number)).der, status="ACTIVE").facts
    assert ca.odd_serial_number == odd
    assert CaFacts.from_json(ca.to_json()) == ca


def test_a_serial_number_without_octets_is_unreadable() -> None:
    """X.690 section 8.3.1."""
    issued = CA.device().serial(5).issue().der
    emptied = CA.device().serial(5).signed().replace(pki.integer(5), pki.tlv(0x02), 1)
    signed = pki.sequence(emptied[3 if emptied[1] & 0x80 else 2 :])
    _, algorithm, bits = der.children(der.only(issued, der.SEQUENCE))
    with pytest.raises(Unreadable, match="its serial number is empty"):
        read_certificate(pki.sequence(signed, der.element(*algorithm), der.element(*bits)))


def test_a_serial_number_beyond_the_limit_is_too_large() -> None:
    refusal = refusal_of(CA.device().serial(1 << (8 * MAX_SERIAL_OCTETS)))
    assert refusal.code == "certificate.too-large"
    assert "33 octets; at most 32" in str(refusal)


@pytest.mark.parametrize(
    "moment",
    [
        datetime(1950, 1, 1, tzinfo=UTC),
        datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC),
        datetime(2050, 1, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC),
    ],
)
def test_both_kinds_of_time_are_read(moment: datetime) -> None:
    """RFC 5280 section 4.1.2.5; the last of these is its "no well-defined expiration date"."""
    assert facts_of(CA.device().valid(pki.NOT_BEFORE, moment)).not_after == moment
    assert facts_of(CA.device().valid(moment, moment)).not_before == moment


@pytest.mark.parametrize(
    "times",
    [
        (0x17, b"2601010000Z"),  # without seconds
        (0x17, b"260101000000+0100"),
        (0x17, b"260101000000"),
        (0x17, b"20260101000000Z"),
        (0x18, b"260101000000Z"),
        (0x18, b"20260101000000.5Z"),
        (0x18, b"00000101000000Z"),
        (0x18, b"20260230000000Z"),
        (0x18, b"20260101240000Z"),
        (0x18, b"20260101235960Z"),
        (0x18, "２０２６0101000000Z".encode()),
        (0x0C, b"20260101000000Z"),
        (0x17, b""),
    ],
)
def test_times_that_are_no_times_are_unreadable(times: tuple[int, bytes]) -> None:
    """RFC 5280 sections 4.1.2.5.1 and 4.1.2.5.2."""
    time_of = pki.tlv(*times)
    for validity in (pki.sequence(time_of, time_of), pki.sequence(time_of)):
        refusal = refusal_of(CA.device().but(validity=validity))
        assert refusal.code == "certificate.unreadable"
        assert "its validity" in str(refusal)


@pytest.mark.parametrize("moment", [datetime(1, 1, 1, tzinfo=UTC), datetime(1949, 12, 31, tzinfo=UTC)])
def test_a_validity_long_ago_is_read(moment: datetime) -> None:
    assert facts_of(CA.device().valid(moment)).not_before == moment


# Keys and signatures


@pytest.mark.parametrize(
    ("kind", "facts"),
    [
        ("RSA-1024", KeyFacts("RSA", 1024)),
        ("RSA-2048", KeyFacts("RSA", 2048)),
        ("P-224", KeyFacts("EC", 224, "P-224")),
        ("P-256", KeyFacts("EC", 256, "P-256")),
        ("P-384", KeyFacts("EC", 384, "P-384")),
        ("P-521", KeyFacts("EC", 521, "P-521")),
        ("secp256k1", KeyFacts("EC", 256, "secp256k1")),
        ("brainpoolP256r1", KeyFacts("EC", 256, "brainpoolP256r1")),
        ("Ed25519", KeyFacts("Ed25519")),
        ("Ed448", KeyFacts("Ed448")),
        ("DSA", KeyFacts("DSA")),
    ],
)
def test_the_kind_of_key_is_read(kind: str, facts: KeyFacts) -> None:
    assert facts_of(CA.device(kind=kind)).key == facts


@pytest.mark.parametrize(
    ("algorithm", "facts"),
    [
        (pki.sequence(pki.oid("1.2.3.4")), KeyFacts("1.2.3.4")),
        (pki.sequence(pki.oid("1.2.840.10045.2.1"), pki.oid("1.2.3.4")), KeyFacts("EC", None, "1.2.3.4")),
        (
            pki.sequence(pki.oid("1.2.840.10045.2.1"), pki.sequence(pki.integer(1))),
            KeyFacts("EC", None, "explicit parameters"),
        ),
    ],
)
def test_keys_of_unknown_kinds_are_read_as_far_as_they_are_known(algorithm: bytes, facts: KeyFacts) -> None:
    """RFC 5480 section 2.1.1: explicit parameters MUST NOT be used; nothing here computes with them."""
    assert facts_of(CA.device().public_key(pki.sequence(algorithm, pki.bit_string(b"\x04")))).key == facts


@pytest.mark.parametrize(
    "info",
    [
        pki.sequence(pki.sequence(pki.oid("1.2.840.113549.1.1.1")), pki.bit_string(b"")),
        pki.sequence(pki.sequence(pki.oid("1.2.840.113549.1.1.1")), pki.bit_string(pki.sequence(pki.integer(5)))),
        pki.sequence(pki.sequence(), pki.bit_string(b"\x04")),
    ],
)
def test_a_damaged_public_key_is_unreadable(info: bytes) -> None:
    refusal = refusal_of(CA.device().public_key(info))
    assert refusal.code == "certificate.unreadable"
    assert "its public key is damaged: it is not " in str(refusal)


@pytest.mark.parametrize("hash_name", ["sha1", "sha224", "sha256", "sha384", "sha512"])
@pytest.mark.parametrize(("kind", "algorithm"), [("RSA-2048", "RSA"), ("P-256", "ECDSA")])
def test_the_signature_algorithm_is_read(kind: str, algorithm: str, hash_name: str) -> None:
    draft = pki.ca(kind=kind).device().signed_with(hash_name)
    assert facts_of(draft).signature == SignatureFacts(algorithm, hash_name)


@pytest.mark.parametrize("hash_name", ["sha1", "sha256", "sha384", "sha512"])
def test_the_hash_of_rsa_pss_is_read_from_its_parameters(hash_name: str) -> None:
    """RFC 4055 section 3.1."""
    draft = pki.ca(kind="RSA-2048").device().signed_with(hash_name, pss=True)
    assert facts_of(draft).signature == SignatureFacts("RSA-PSS", hash_name)


@pytest.mark.parametrize(
    ("kind", "facts"),
    [
        ("Ed25519", SignatureFacts("Ed25519")),
        ("Ed448", SignatureFacts("Ed448")),
        ("DSA", SignatureFacts("DSA", "sha256")),
    ],
)
def test_other_signature_algorithms_are_named(kind: str, facts: SignatureFacts) -> None:
    assert facts_of(pki.ca(kind=kind).device()).signature == facts


def test_ecdsa_with_null_parameters_is_read() -> None:
    """RFC 5758 section 3.2 wants none; Java 11 writes NULL."""
    draft = CA.device().but(algorithm=pki.sequence(pki.oid("1.2.840.10045.4.3.2"), pki.NULL))
    assert facts_of(draft).signature == SignatureFacts("ECDSA", "sha256")


@pytest.mark.parametrize(
    "parameters",
    [
        b"",
        pki.NULL,
        pki.sequence(pki.tlv(0xA0, pki.sequence(pki.oid("1.2.3.4")))),
        pki.sequence(pki.tlv(0xA0, pki.sequence())),
        pki.sequence(pki.tlv(0xA1, pki.sequence(pki.oid("1.2.3.4"), pki.sequence(pki.oid("1.3.14.3.2.26"))))),
        pki.sequence(pki.tlv(0xA2, pki.integer(2**70))),
        pki.sequence(pki.tlv(0xA3, pki.integer(2))),
        pki.sequence(pki.tlv(0xA2, pki.integer(20)), pki.tlv(0xA2, pki.integer(20))),
        pki.sequence(pki.tlv(0xA4, pki.integer(20))),
    ],
)
def test_rsa_pss_with_parameters_that_are_not_supported_has_no_hash(parameters: bytes) -> None:
    """It is held for its hash, and no key verifies it."""
    draft = pki.ca(kind="RSA-2048").device().but(algorithm=pki.sequence(pki.oid("1.2.840.113549.1.1.10"), parameters))
    assert facts_of(draft).signature == SignatureFacts("RSA-PSS")


@pytest.mark.parametrize("algorithm", [pki.sequence(), pki.sequence(pki.NULL), pki.sequence(*[pki.oid("1.2.3")] * 3)])
def test_a_damaged_signature_algorithm_is_unreadable(algorithm: bytes) -> None:
    assert refusal_of(CA.device().but(algorithm=algorithm)).code == "certificate.unreadable"


def test_an_unknown_signature_algorithm_has_its_object_identifier_as_its_name() -> None:
    assert facts_of(CA.device().but(algorithm=pki.sequence(pki.oid("1.2.3")))).signature == SignatureFacts("1.2.3")


# Extensions


def with_extension(name: str, value: bytes, *, critical: bool = False) -> pki.CertificateDraft:
    return CA.device().extension(name, value, critical=critical)


@pytest.mark.parametrize(
    ("value", "is_ca"),
    [
        (pki.sequence(), False),
        (pki.sequence(pki.tlv(0x01, b"\xff")), True),
        (pki.sequence(pki.tlv(0x01, b"\xff"), pki.integer(0)), True),
        (pki.sequence(pki.tlv(0x01, b"\x00")), False),  # the default written out: not DER, but common
        (pki.sequence(pki.integer(0)), False),  # a path length without cA
    ],
)
def test_basic_constraints(value: bytes, is_ca: bool) -> None:
    """RFC 5280 section 4.2.1.9."""
    assert facts_of(with_extension("basicConstraints", value)).is_ca is is_ca
    assert facts_of(with_extension("basicConstraints", value, critical=True)).is_ca is is_ca


@pytest.mark.parametrize("name", pki.KEY_USAGES)
def test_each_key_usage_is_read(name: str) -> None:
    """RFC 5280 section 4.2.1.3."""
    assert facts_of(CA.device().key_usage(name)).key_usage == (name,)


def test_key_usages_are_read_together_and_none_is_not_the_same_as_no_extension() -> None:
    assert facts_of(CA.device().key_usage(*pki.KEY_USAGES)).key_usage == pki.KEY_USAGES
    assert facts_of(with_extension("keyUsage", pki.tlv(0x03, b"\x00"))).key_usage == ()
    assert facts_of(with_extension("keyUsage", pki.tlv(0x03, b"\x00\x80\x00\x00"))).key_usage == ("digitalSignature",)
    assert facts_of(CA.device()).key_usage is None


def test_extended_key_usages_are_named_or_dotted() -> None:
    """RFC 5280 section 4.2.1.12."""
    facts = facts_of(CA.device().extended_key_usage("serverAuth", "clientAuth", "anyExtendedKeyUsage", "1.2.3.4"))
    assert facts.extended_key_usage == ("serverAuth", "clientAuth", "anyExtendedKeyUsage", "1.2.3.4")
    assert facts_of(CA.device().extended_key_usage()).extended_key_usage == ()
    assert facts_of(CA.device()).extended_key_usage is None


MAC = pki.distinguished_name(("serialNumber", "eui48_D88039000001", "PrintableString"))


@pytest.mark.parametrize(
    ("name", "read"),
    [
        (x509.DNSName("snr-0001.example"), AlternativeName("dns", "snr-0001.example")),
        (x509.DNSName("*.example"), AlternativeName("dns", "*.example")),
        (x509.RFC822Name("a@example.com"), AlternativeName("email", "a@example.com")),
        (x509.UniformResourceIdentifier("urn:dev:1"), AlternativeName("uri", "urn:dev:1")),
        (x509.IPAddress(IPv4Address("10.0.0.1")), AlternativeName("ip", "10.0.0.1")),
        (x509.IPAddress(IPv6Address("fe80::1")), AlternativeName("ip", "fe80::1")),
        (x509.RegisteredID(x509.ObjectIdentifier("1.2.3.4")), AlternativeName("registered_id", "1.2.3.4")),
        # A device's MAC address in a directoryName, as Microchip's secure elements are provisioned with.
        (pki.tlv(0xA4, MAC), AlternativeName("directory", "serialNumber=eui48_D88039000001")),
        # hardwareModuleName, RFC 4108 section 5.
        (
            x509.OtherName(x509.ObjectIdentifier("1.3.6.1.5.5.7.8.4"), b"\x30\x03\x02\x01\x05"),
            AlternativeName("other", "1.3.6.1.5.5.7.8.4:3003020105"),
        ),
        (pki.tlv(0xA3, b"\x30\x00"), AlternativeName("other", "x400Address:3000")),
        (pki.tlv(0xA5, b"\xa1\x00"), AlternativeName("other", "ediPartyName:a100")),
        (pki.tlv(0x82, "gerät.example".encode()), AlternativeName("dns", "gerät.example")),
        (pki.tlv(0x82), AlternativeName("dns", "")),
    ],
)
def test_alternative_names_of_every_kind(name: x509.GeneralName | bytes, read: AlternativeName) -> None:
    """RFC 5280 section 4.2.1.6."""
    assert facts_of(CA.device().alternative_names(name)).alternative_names == (read,)
    both = CA.device().subject().alternative_names(name, x509.DNSName("b"), critical=True)
    assert facts_of(both).alternative_names == (read, AlternativeName("dns", "b"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("basicConstraints", b""),
        ("basicConstraints", b"\x01\x01\xff"),
        ("basicConstraints", pki.sequence(pki.tlv(0x01, b"\x01"))),  # true in BER only
        ("basicConstraints", pki.sequence(pki.tlv(0x01))),
        ("basicConstraints", pki.sequence(pki.tlv(0x01, b"\xff"), pki.tlv(0x01, b"\xff"))),
        ("basicConstraints", pki.sequence(pki.tlv(0x01, b"\xff")) + b"\x00"),
        ("keyUsage", pki.tlv(0x03)),
        ("keyUsage", pki.tlv(0x03, b"\x09\x80")),
        ("keyUsage", pki.tlv(0x03, b"\x01")),
        ("keyUsage", pki.sequence()),
        ("extendedKeyUsage", pki.sequence(pki.integer(1))),
        ("extendedKeyUsage", pki.oid("clientAuth")),
        ("extendedKeyUsage", b"\x30\x80\x00\x00"),
        ("subjectAltName", pki.sequence(pki.tlv(0x87, b"\x01"))),
        ("subjectAltName", pki.sequence(pki.tlv(0x82, b"\xff"))),
        ("subjectAltName", pki.sequence(pki.tlv(0x89, b"x"))),
        ("subjectAltName", pki.sequence(pki.tlv(0xA0, pki.oid("1.2.3")))),
        ("subjectAltName", pki.sequence(pki.tlv(0xA4, b"\x31\x00"))),
        ("subjectAltName", b"\x30\x05\x82"),
        ("subjectAltName", b"\x30\x81\x02\x82\x00"),  # a length that is not the shortest
    ],
)
def test_a_damaged_extension_that_is_needed_makes_the_certificate_unreadable(name: str, value: bytes) -> None:
    refusal = refusal_of(with_extension(name, value))
    assert refusal.code == "certificate.unreadable"
    assert f"its {name} is damaged" in str(refusal)


@pytest.mark.parametrize("names", [("keyUsage", "subjectAltName"), ("subjectAltName", "keyUsage")])
def test_of_two_damaged_extensions_the_same_is_told_whatever_their_order(names: tuple[str, str]) -> None:
    draft = with_extension(names[0], b"\xff").extension(names[1], b"\xff")
    assert "its keyUsage is damaged" in str(refusal_of(draft))


@pytest.mark.parametrize(
    "name",
    [
        "certificatePolicies",
        "authorityKeyIdentifier",
        "subjectKeyIdentifier",
        "nameConstraints",
        "1.3.6.1.5.5.7.1.1",  # authorityInfoAccess
        "1.3.6.1.4.1.11129.2.4.2",  # signed certificate timestamps
        "1.2.3.4",
    ],
)
@pytest.mark.parametrize("value", [b"", b"\xff\xff", b"\x30\x05\x02"])
def test_a_damaged_extension_that_is_not_needed_is_passed_over(name: str, value: bytes) -> None:
    facts = facts_of(with_extension(name, value).extended_key_usage("clientAuth"))
    assert facts.extended_key_usage == ("clientAuth",)
    assert (facts.authority_key_identifier, facts.subject_key_identifier) == (None, None)


def test_an_extension_that_is_there_twice_is_unreadable() -> None:
    """RFC 5280 section 4.2."""
    draft = CA.device().basic_constraints(ca=False).basic_constraints(ca=True)
    assert "it has the extension 2.5.29.19 twice" in str(refusal_of(draft))


def test_an_authority_key_identifier_without_a_key_is_none() -> None:
    """RFC 5280 section 4.2.1.1: issuer and serial number may stand in its place."""
    assert facts_of(with_extension("authorityKeyIdentifier", pki.sequence(pki.tlv(0x82, b"\x05")))).to_json()[
        "authority_key_identifier"
    ] is None  # fmt: skip


def test_unknown_critical_extensions_are_listed_and_known_ones_are_not() -> None:
    """RFC 5280 section 4.2: what is critical and not known must not be ignored."""
    draft = CA.device().basic_constraints(ca=False).key_usage("digitalSignature")
    draft = draft.extended_key_usage("clientAuth", critical=True)
    draft = draft.alternative_names(x509.DNSName("a"), critical=True)
    draft = draft.extension("certificatePolicies", pki.sequence(), critical=True)
    assert facts_of(draft).unknown_critical_extensions == ()
    odd = draft.extension("1.2.3.4", b"x", critical=True).extension("nameConstraints", b"", critical=True)
    assert facts_of(odd).unknown_critical_extensions == ("1.2.3.4", "2.5.29.30")
    assert facts_of(draft.extension("1.2.3.4", b"x")).unknown_critical_extensions == ()


def test_criticality_written_out_though_it_is_the_default_is_read() -> None:
    """Not DER (X.690 section 11.5), and in an example of RFC 8410."""
    extension = pki.sequence(pki.oid("1.2.3.4"), pki.tlv(0x01, b"\x00"), pki.tlv(0x04, b""))
    draft = CA.device().but(unique_identifiers=pki.tlv(0xA3, pki.sequence(extension)))
    assert facts_of(draft).unknown_critical_extensions == ()


# Limits


@pytest.mark.parametrize(
    ("just_fits", "too_large", "told"),
    [
        (
            CA.device().subject(*[("OU", "x")] * MAX_ATTRIBUTES),
            CA.device().subject(*[("OU", "x")] * (MAX_ATTRIBUTES + 1)),
            "the subject has more than 50 attributes",
        ),
        (
            CA.device().issuer(*[("OU", "x")] * MAX_ATTRIBUTES),
            CA.device().issuer(*[("OU", "x")] * (MAX_ATTRIBUTES + 1)),
            "the issuer has more than 50 attributes",
        ),
        (
            CA.device("x" * MAX_CHARACTERS),
            CA.device("x" * (MAX_CHARACTERS + 1)),
            "a common_name has 1025 characters; at most 1024",
        ),
        (
            CA.device().alternative_names(*[pki.tlv(0x82, b"a")] * MAX_ALTERNATIVE_NAMES),
            CA.device().alternative_names(*[pki.tlv(0x82, b"a")] * (MAX_ALTERNATIVE_NAMES + 1)),
            "101 alternative names; at most 100",
        ),
        (
            CA.device().alternative_names(pki.tlv(0x82, b"a" * MAX_CHARACTERS)),
            CA.device().alternative_names(pki.tlv(0x82, b"a" * (MAX_CHARACTERS + 1))),
            "an alternative name has 1025 characters",
        ),
        (
            CA.device().extended_key_usage(*["clientAuth"] * 100),
            CA.device().extended_key_usage(*["clientAuth"] * 101),
            "101 extended key usages; at most 100",
        ),
        (
            CA.device().but(extensions=tuple(pki.Extension(f"1.2.3.{n}", b"") for n in range(MAX_EXTENSIONS))),
            CA.device().but(extensions=tuple(pki.Extension(f"1.2.3.{n}", b"") for n in range(31))),
            "31 extensions; at most 30",
        ),
    ],
)
def test_what_no_honest_device_needs_is_too_large(
    just_fits: pki.CertificateDraft, too_large: pki.CertificateDraft, told: str
) -> None:
    facts_of(just_fits)
    refusal = refusal_of(too_large)
    assert refusal.code == "certificate.too-large"
    assert told in str(refusal)


# CAs


def test_a_ca_is_read() -> None:
    ca = read_ca(CA.pem, ca_certificate_id="ab" * 32, status="INACTIVE")
    assert ca.facts == CaFacts(
        ca_certificate_id="ab" * 32,
        status="INACTIVE",
        not_before=pki.NOT_BEFORE,
        not_after=pki.NOT_AFTER,
        is_ca=True,
        may_sign=True,
        name_constraints=False,
        subject=(
            Attribute("country", "TR", "PrintableString"),
            Attribute("organization", "OKIDA"),
            Attribute("common_name", "Factory A"),
        ),
    )
    assert CaFacts.from_json(json.loads(json.dumps(ca.facts.to_json()))) == ca.facts


def test_without_an_id_a_ca_has_the_one_that_aws_iot_makes() -> None:
    assert read_ca(CA.pem, status="ACTIVE").facts.ca_certificate_id == CA.id


@pytest.mark.parametrize(
    ("draft", "is_ca", "may_sign", "constrained"),
    [
        (pki.ca_draft().v1(), False, True, False),
        (pki.ca_draft().basic_constraints(ca=True), True, True, False),
        (pki.ca_draft().basic_constraints(ca=True, critical=False), True, True, False),
        (pki.ca_draft().basic_constraints(ca=False), False, True, False),
        (pki.ca_draft().basic_constraints(ca=True).key_usage("keyCertSign"), True, True, False),
        (pki.ca_draft().basic_constraints(ca=True).key_usage("cRLSign"), True, False, False),
        (pki.ca_draft().extension("nameConstraints", pki.sequence(), critical=True), False, True, True),
        (pki.ca_draft().extension("nameConstraints", b"damaged"), False, True, True),
    ],
)
def test_what_a_ca_may_do(draft: pki.CertificateDraft, is_ca: bool, may_sign: bool, constrained: bool) -> None:
    """RFC 5280 sections 4.2.1.9, 4.2.1.3 and 4.2.1.10."""
    facts = read_ca(draft.issue().der, status="ACTIVE").facts
    assert (facts.is_ca, facts.may_sign, facts.name_constraints) == (is_ca, may_sign, constrained)


def test_a_ca_whose_key_cannot_be_used_is_unreadable() -> None:
    info = pki.public_key(pki.key("P-256"))
    off_the_curve = info[:-1] + bytes([info[-1] ^ 1])
    with pytest.raises(Unreadable, match="its EC public key cannot be used"):
        read_ca(pki.ca_draft().public_key(off_the_curve).issue().der, status="ACTIVE")


# Hostile and odd input

VECTORS = Path(cryptography_vectors.__file__).parent / "x509"


def vector_files() -> list[Path]:
    return [each for each in sorted(VECTORS.rglob("*")) if each.suffix in (".pem", ".der", ".crt", ".cer")]


def the_library_reads(data: bytes) -> x509.Certificate | None:
    with warnings.catch_warnings(), suppress(ValueError, x509.InvalidVersion):
        warnings.simplefilter("ignore")
        load = x509.load_pem_x509_certificate if b"-----BEGIN" in data else x509.load_der_x509_certificate
        return load(data)
    return None


def test_every_certificate_among_the_library_s_vectors_is_read_as_the_library_reads_it() -> None:
    """Hundreds of odd certificates: facts or Unreadable, no warning, an end, and no field read differently."""
    refused, accepted, differences = [], [], []
    for path in vector_files():
        data = path.read_bytes()
        loaded = the_library_reads(data)
        try:
            with ending():
                reading = read_certificate(data)
        except Unreadable:
            refused += [path.name] if loaded else []
            continue
        assert CertificateFacts.from_json(json.loads(json.dumps(reading.facts.to_json()))) == reading.facts
        with suppress(Unreadable):
            read_ca(data, status="ACTIVE")
        if loaded is None:
            accepted.append(path.name)
        else:
            differences += [f"{path.name}: {each}" for each in differing(reading, loaded)]
    assert not differences
    assert sorted(accepted) == [
        "DSAParametersInheritedCACert.crt",
        "ValidDSAParameterInheritanceTest5EE.crt",
        "dsa_null_alg_params.pem",
        "ecdsa_null_alg.pem",  # as Java 11 writes them
        "ed25519-rfc8410.pem",  # critical=FALSE written out, in an example of RFC 8410
    ]
    assert sorted(refused) == [
        "invalid_utf8_common_name.pem",
        "long-form-name-attribute.pem",
        "malformed-ian.pem",
        "malformed-san.pem",
        "mismatch_inner_outer_sig_algorithm.der",
        "rsa_pss_cert_invalid_mgf.der",
        "rsa_pss_cert_no_sig_params.der",
        "rsa_pss_cert_unsupported_mgf_hash.der",
        "two_basic_constraints.pem",
        "v1_cert.pem",
    ]


def differing(reading: CertificateReading, loaded: x509.Certificate) -> Iterator[str]:
    """What is read otherwise here than by the library, where the library reads it at all."""
    facts = reading.facts
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for what, ours, theirs in comparisons(facts, loaded):
            try:
                expected = theirs()
            except Exception:  # noqa: BLE001, S112 (whatever it raises, there is nothing to compare with)
                continue
            if ours != expected:
                yield f"{what}: {ours!r}, not {expected!r}"
    if reading.signed != loaded.tbs_certificate_bytes or reading.signature not in (loaded.signature, b""):
        yield "what is signed"


def comparisons(facts: CertificateFacts, loaded: x509.Certificate) -> list[tuple[str, Any, Any]]:
    def extension(kind: type[Any]) -> Any:
        try:
            return loaded.extensions.get_extension_for_class(kind).value
        except x509.ExtensionNotFound:
            return None

    def name(of: x509.Name) -> list[tuple[str, str | bytes]]:
        return [(ATTRIBUTE_NAMES.get(each.oid.dotted_string, each.oid.dotted_string), each.value) for each in of]

    def usages() -> tuple[str, ...] | None:
        value = extension(x509.ExtendedKeyUsage)
        return value and tuple(EXTENDED_KEY_USAGES.get(each.dotted_string, each.dotted_string) for each in value)

    def strings(kind: str) -> list[str]:
        return [each.value for each in facts.alternative_names if each.kind == kind]

    def their_names(kind: type[Any]) -> list[str]:
        return [str(each) for each in extension(x509.SubjectAlternativeName).get_values_for_type(kind)]

    def key() -> tuple[int, str | None]:
        assert facts.key.curve != "explicit parameters"  # which the library takes for the curve that they describe
        public = loaded.public_key()
        assert isinstance(public, rsa.RSAPublicKey | ec.EllipticCurvePublicKey)
        return public.key_size, getattr(public, "curve", None) and public.curve.name  # type: ignore[union-attr]

    nist = {"P-256": "secp256r1", "P-384": "secp384r1", "P-521": "secp521r1", "P-224": "secp224r1"}
    curve = facts.key.curve and nist.get(facts.key.curve, facts.key.curve)
    named = [(each.name, each.value) for each in facts.subject if each.encoding != "BitString"]
    return [
        ("serial number", int(facts.serial_number, 16), lambda: loaded.serial_number),
        ("version", facts.version, lambda: loaded.version.value + 1),
        ("not before", facts.not_before, lambda: loaded.not_valid_before_utc),
        ("not after", facts.not_after, lambda: loaded.not_valid_after_utc),
        ("subject", named, lambda: [each for each in name(loaded.subject) if isinstance(each[1], str)]),
        ("issuer", [(each.name, each.value) for each in facts.issuer], lambda: name(loaded.issuer)),
        ("key", (facts.key.bits, curve), key),
        ("hash", facts.signature.hash, lambda: getattr(loaded.signature_hash_algorithm, "name", None)),
        ("is CA", facts.is_ca, lambda: getattr(extension(x509.BasicConstraints), "ca", False)),
        ("extended key usage", facts.extended_key_usage, usages),
        ("dns", strings("dns"), lambda: their_names(x509.DNSName)),
        ("email", strings("email"), lambda: their_names(x509.RFC822Name)),
        ("uri", strings("uri"), lambda: their_names(x509.UniformResourceIdentifier)),
        ("ip", strings("ip"), lambda: their_names(x509.IPAddress)),
        ("ski", facts.subject_key_identifier, lambda: extension(x509.SubjectKeyIdentifier).digest.hex()),
        ("aki", facts.authority_key_identifier, lambda: extension(x509.AuthorityKeyIdentifier).key_identifier.hex()),
    ]
