"""Whether a certificate is one that a device may have, whoever signed it. Every reason is given, not only the first."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from testkit import pki

from jitr.decision.chain import verify_chain
from jitr.decision.profile import profile_reasons, warnings
from jitr.facts import CertificateFacts, Knock
from jitr.rules.model import Floor
from jitr.x509.certificate import read_ca, read_certificate

CA = pki.ca()
FLOOR = Floor()
DAY = timedelta(days=1)
AWS_TAKES = "AWS IoT takes RSA keys and keys on the curves P-256, P-384 and P-521 only"


def facts_of(draft: pki.CertificateDraft) -> CertificateFacts:
    return read_certificate(draft.issue().der).facts


def reasons(draft: pki.CertificateDraft, floor: Floor = FLOOR, now: datetime = pki.NOW) -> dict[str, str]:
    return {each.code: each.message for each in profile_reasons(facts_of(draft), floor, now)}


@pytest.mark.parametrize(
    "draft",
    [
        pytest.param(CA.device().v1(), id="version 1, as openssl x509 -req makes it"),
        pytest.param(CA.device(), id="no extensions"),
        pytest.param(CA.usual_device(), id="the usual extensions"),
        pytest.param(CA.device().subject(), id="an empty subject"),
        pytest.param(CA.device().valid(not_after=pki.NOT_BEFORE.replace(year=2054)), id="28 years"),
        pytest.param(
            CA.device().valid(not_after=datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
            id="no well-defined expiration (RFC 5280 4.1.2.5)",
        ),
        pytest.param(CA.device().basic_constraints(ca=False), id="CA:FALSE"),
        pytest.param(CA.device().key_usage("keyEncipherment"), id="any key usage"),
    ],
)
def test_what_honest_devices_have_gives_no_reason(draft: pki.CertificateDraft) -> None:
    assert reasons(draft) == {}


@pytest.mark.parametrize("hash_name", ["sha256", "sha384", "sha512"])
@pytest.mark.parametrize("kind", ["RSA-2048", "P-256", "P-384", "P-521"])
def test_the_default_floor_takes_what_aws_iot_takes(kind: str, hash_name: str) -> None:
    assert reasons(pki.ca(kind=kind).device(kind=kind).signed_with(hash_name)) == {}


def test_the_default_floor_takes_rsa_pss() -> None:
    assert reasons(pki.ca(kind="RSA-2048").device().signed_with("sha256", pss=True)) == {}


# Validity, RFC 5280 section 4.1.2.5


@pytest.mark.parametrize("draft", [CA.device().valid(not_after=pki.NOW), CA.device().valid(not_before=pki.NOW)])
def test_the_first_and_the_last_second_count(draft: pki.CertificateDraft) -> None:
    assert reasons(draft) == {}


@pytest.mark.parametrize(
    ("ago", "told"),
    [
        (timedelta(seconds=1), "less than a minute"),
        (timedelta(minutes=1), "1 minute"),
        (timedelta(minutes=59), "59 minutes"),
        (timedelta(hours=23), "23 hours"),
        (DAY, "1 day"),
        (400 * DAY, "400 days"),
    ],
)
def test_expired_says_by_how_long(ago: timedelta, told: str) -> None:
    ended = pki.NOW - ago
    found = reasons(CA.device().valid(pki.NOT_BEFORE - 800 * DAY, ended))
    assert found == {"certificate.expired": f"the certificate expired {told} ago, at {ended:%Y-%m-%dT%H:%M:%SZ}"}


def test_not_yet_valid_says_when() -> None:
    found = reasons(CA.device().valid(pki.NOW + 3 * DAY))
    assert found == {"certificate.not-yet-valid": "the certificate becomes valid in 3 days, at 2026-03-04T12:00:00Z"}


def test_a_validity_that_ends_before_it_begins_gives_both_reasons() -> None:
    assert list(reasons(CA.device().valid(pki.NOW + DAY, pki.NOW - DAY))) == [
        "certificate.expired",
        "certificate.not-yet-valid",
    ]


# Extensions


@pytest.mark.parametrize("critical", [True, False])
def test_a_device_that_is_a_ca(critical: bool) -> None:
    """RFC 5280 section 4.2.1.9."""
    found = reasons(CA.device().basic_constraints(ca=True, path_length=0, critical=critical))
    assert found == {"certificate.is-ca": "the certificate has basicConstraints CA:TRUE"}


@pytest.mark.parametrize(
    ("usages", "told"),
    [
        (("clientAuth",), None),
        (("serverAuth", "clientAuth"), None),
        (("anyExtendedKeyUsage", "clientAuth"), None),
        (("serverAuth",), "is serverAuth, without clientAuth"),
        (("anyExtendedKeyUsage",), "is anyExtendedKeyUsage, without clientAuth"),
        (("1.2.3.4", "serverAuth"), "is 1.2.3.4, serverAuth, without clientAuth"),
        ((), "is empty, without clientAuth"),
        (("serverAuth",) * 8, "serverAuth and 3 more, without clientAuth"),
    ],
)
@pytest.mark.parametrize("critical", [True, False])
def test_an_extended_key_usage_must_have_client_auth(usages: tuple[str, ...], told: str | None, critical: bool) -> None:
    """RFC 5280 section 4.2.1.12, by which an application MAY refuse anyExtendedKeyUsage alone."""
    found = reasons(CA.device().extended_key_usage(*usages, critical=critical))
    assert list(found) == ([] if told is None else ["certificate.no-client-auth"])
    assert told is None or told in found["certificate.no-client-auth"]


def test_an_unknown_critical_extension() -> None:
    """RFC 5280 section 4.2."""
    one = CA.device().extension("1.2.3.4", b"", critical=True)
    assert reasons(one) == {
        "certificate.critical-extension": "the certificate has the critical extension 1.2.3.4, unknown here"
    }
    two = one.extension("2.5.29.36", b"", critical=True)
    assert "extensions 1.2.3.4, 2.5.29.36, unknown here" in reasons(two)["certificate.critical-extension"]
    assert reasons(CA.device().extension("1.2.3.4", b"")) == {}


# The floor


@pytest.mark.parametrize(("number", "told"), [(0, "0"), (-0x1F, "-1f")])
def test_a_serial_number_that_is_not_positive_holds_unless_the_floor_admits_any(number: int, told: str) -> None:
    """RFC 5280 section 4.1.2.2. Nothing but the setting, or a new certificate, would help: so the message says."""
    draft = CA.device().serial(number)
    (message,) = reasons(draft).values()
    assert message.startswith(f"the certificate's serial number is {told}, not positive")
    assert "only `certificate: {serial_numbers: any}` in the rules file, or a new certificate, helps" in message
    assert list(reasons(draft)) == ["certificate.serial-number"]
    assert reasons(draft, Floor(serial_numbers="any")) == {}


@pytest.mark.parametrize(
    ("kind", "floor", "told"),
    [
        ("RSA-1024", FLOOR, "the RSA key has 1024 bits, the floor is 2048"),
        ("RSA-2048", Floor(min_rsa_bits=3072), "the RSA key has 2048 bits, the floor is 3072"),
        ("RSA-1024", Floor(min_rsa_bits=1024), None),
        ("P-521", Floor(curves=("P-256", "P-384")), "the key is on the curve P-521, the floor has P-256, P-384"),
        ("P-256", Floor(curves=()), "the key is on the curve P-256, the floor has no curve"),
        ("P-224", FLOOR, f"the key is on the curve P-224: {AWS_TAKES}"),
        ("secp256k1", FLOOR, f"the key is on the curve secp256k1: {AWS_TAKES}"),
        ("brainpoolP256r1", FLOOR, f"the key is on the curve brainpoolP256r1: {AWS_TAKES}"),
        ("Ed25519", FLOOR, f"the key is of the kind Ed25519: {AWS_TAKES}"),
        ("Ed448", FLOOR, f"the key is of the kind Ed448: {AWS_TAKES}"),
        ("DSA", FLOOR, f"the key is of the kind DSA: {AWS_TAKES}"),
    ],
)
def test_keys(kind: str, floor: Floor, told: str | None) -> None:
    found = reasons(CA.device(kind=kind), floor)
    assert found == ({} if told is None else {"certificate.key": told})


@pytest.mark.parametrize(
    ("draft", "floor", "told"),
    [
        (
            CA.device().signed_with("sha1"),
            FLOOR,
            "is ECDSA with sha1, the floor has sha256, sha384, sha512",
        ),
        (CA.device().signed_with("sha1"), Floor(signature_hashes=("sha1",)), None),
        (CA.device().signed_with("sha224"), FLOOR, "the signature is ECDSA with sha224, the floor has "),
        (CA.device(), Floor(signature_hashes=("sha512",)), "ECDSA with sha256, the floor has sha512"),
        (pki.ca(kind="RSA-2048").device().signed_with("sha1", pss=True), FLOOR, "RSA-PSS with sha1, the floor has "),
        (pki.ca(kind="Ed25519").device(), FLOOR, "the signature is Ed25519, the floor has "),
    ],
)
def test_signature_hashes(draft: pki.CertificateDraft, floor: Floor, told: str | None) -> None:
    found = reasons(draft, floor)
    assert list(found) == ([] if told is None else ["certificate.signature-hash"])
    assert told is None or told in found["certificate.signature-hash"]


def test_every_reason_is_given_at_once() -> None:
    draft = pki.ca(kind="Ed25519").device(kind="RSA-1024").valid(not_after=pki.NOT_BEFORE).basic_constraints(ca=True)
    draft = draft.extended_key_usage("serverAuth").extension("1.2.3.4", b"", critical=True)
    assert list(reasons(draft)) == [
        "certificate.expired",
        "certificate.is-ca",
        "certificate.no-client-auth",
        "certificate.critical-extension",
        "certificate.key",
        "certificate.signature-hash",
    ]


# Warnings


def knock_of(draft: pki.CertificateDraft) -> Knock:
    reading, ca = read_certificate(draft.issue().der), read_ca(CA.der, status="ACTIVE")
    return Knock(reading.facts, CA.id, ca.facts, verify_chain(reading, ca))


def test_a_wrong_authority_key_identifier_is_a_warning() -> None:
    (warning,) = warnings(knock_of(CA.device().identifiers(authority=b"\xab" * 200)))
    assert warning.startswith("the certificate's authority key identifier, abababab")
    assert len(warning) < 250


@pytest.mark.parametrize("draft", [CA.device(), CA.device().identifiers(), CA.device().v1()])
def test_no_warning_where_nothing_is_odd(draft: pki.CertificateDraft) -> None:
    assert warnings(knock_of(draft)) == ()


def test_no_warning_without_a_ca_to_compare_with() -> None:
    assert warnings(replace(knock_of(CA.device().identifiers(authority=b"x")), ca=None, chain=None)) == ()
