"""Whether a certificate is its CA's, and whether that CA may issue.

The classic ``openssl`` commands set the measure: version 1, no key identifiers, and one subject for every CA.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from hypothesis import given, settings
from hypothesis import strategies as st
from testkit import pki

from jitr.decision.chain import verify_chain
from jitr.decision.chain_reasons import chain_reasons
from jitr.errors import Unreadable
from jitr.facts import ChainFacts, Knock
from jitr.reasons import CODES
from jitr.rules.model import Floor
from jitr.x509 import der
from jitr.x509.certificate import read_ca, read_certificate
from jitr.x509.signatures import other_form, verifies

HASHES = ("sha256", "sha384", "sha512")

# RFC 8032 sections 5.1 and 5.2.
_ORDER_25519 = (1 << 252) + 27742317777372353535851937790883648493
_ORDER_448 = (1 << 446) - 13818066809895115352007386748515426880336692474882178609894547503885


def chain_of(leaf: pki.CertificateDraft | pki.Issued, ca: pki.CA) -> ChainFacts:
    issued = leaf.issue() if isinstance(leaf, pki.CertificateDraft) else leaf
    found = verify_chain(read_certificate(issued.der), read_ca(ca.der, status="ACTIVE"))
    return replace(found, twin_sha256=None)  # which is random, as signatures are; it has tests of its own


def knock_of(leaf: pki.CertificateDraft, ca: pki.CA, status: str = "ACTIVE") -> Knock:
    reading, authority = read_certificate(leaf.issue().der), read_ca(ca.der, status=status)
    return Knock(reading.facts, ca.id, authority.facts, verify_chain(reading, authority))


def codes(leaf: pki.CertificateDraft, ca: pki.CA, *, status: str = "ACTIVE", now: datetime = pki.NOW) -> list[str]:
    return [each.code for each in chain_reasons(knock_of(leaf, ca, status), now)]


# Signatures


@pytest.mark.parametrize("hash_name", HASHES)
@pytest.mark.parametrize("kind", ["RSA-2048", "RSA-3072", "P-256", "P-384", "P-521", "secp256k1", "brainpoolP256r1"])
def test_a_leaf_of_the_ca_is_verified(kind: str, hash_name: str) -> None:
    """RFC 4055 section 5 and RFC 5758 section 3.2; any curve goes with any hash."""
    ca = pki.ca(kind=kind)
    assert chain_of(ca.usual_device().signed_with(hash_name), ca) == ChainFacts(True, True, True)


@pytest.mark.parametrize("hash_name", ["sha1", *HASHES])
def test_rsa_pss_is_verified_with_the_parameters_in_the_certificate(hash_name: str) -> None:
    """RFC 4055 section 3.1; what SHA-1 leads to is the profile's word."""
    ca = pki.ca(kind="RSA-2048")
    assert chain_of(ca.device().signed_with(hash_name, pss=True), ca).signature_valid


@pytest.mark.parametrize("kind", ["Ed25519", "Ed448"])
def test_edwards_curves_are_verified(kind: str) -> None:
    """RFC 8410. AWS IoT takes none such, which is the profile's word."""
    ca = pki.ca(kind=kind)
    assert chain_of(ca.device(), ca).signature_valid


def test_a_dsa_signature_is_not_verified() -> None:
    ca = pki.ca(kind="DSA")
    assert not chain_of(ca.device(), ca).signature_valid


def test_ecdsa_with_null_parameters_is_verified() -> None:
    ca = pki.ca()
    algorithm = pki.sequence(pki.oid("1.2.840.10045.4.3.2"), pki.NULL)
    assert chain_of(ca.device().but(algorithm=algorithm), ca).signature_valid


@pytest.mark.parametrize("kind", ["RSA-2048", "P-256", "Ed25519"])
def test_a_leaf_signed_by_another_key_under_the_same_name_is_not_the_ca_s(kind: str) -> None:
    """
    Factory A (key 1) -> leaf          registered: Factory A (key 2)
    """
    ca = pki.ca(kind=kind)
    forged = ca.usual_device().signed_by(pki.key(kind, "a forger"))
    assert codes(forged, ca) == ["chain.bad-signature"]


@pytest.mark.parametrize(("signer", "ca_kind"), [("P-256", "RSA-2048"), ("RSA-2048", "P-256"), ("Ed25519", "P-256")])
def test_a_signature_of_another_kind_than_the_ca_s_key_is_not_valid(signer: str, ca_kind: str) -> None:
    ca = pki.ca(kind=ca_kind)
    assert not chain_of(ca.device().signed_by(pki.key(signer)), ca).signature_valid


@pytest.mark.parametrize("algorithm", ["1.2.3.4", "1.2.840.113549.1.1.2", "1.2.840.113549.1.1.10"])
def test_an_algorithm_that_is_not_supported_verifies_nothing(algorithm: str) -> None:
    ca = pki.ca(kind="RSA-2048")
    leaf = ca.device().but(algorithm=pki.sequence(pki.oid(algorithm), pki.NULL))
    assert codes(leaf, ca) == ["chain.bad-signature"]


def test_every_flipped_bit_of_what_is_signed_is_noticed() -> None:
    ca = pki.ca()
    reading, authority = read_certificate(ca.device().issue().der), read_ca(ca.der, status="ACTIVE")
    for at in range(0, len(reading.signed), 7):
        flipped = bytearray(reading.signed)
        flipped[at] ^= 1
        assert not verify_chain(replace(reading, signed=bytes(flipped)), authority).signature_valid


@settings(deadline=None)
@given(st.binary(max_size=80), st.sampled_from(["RSA-2048", "P-256", "Ed25519", "Ed448"]))
def test_any_bytes_for_a_signature_are_just_not_valid(signature: bytes, kind: str) -> None:
    ca = pki.ca(kind=kind)
    reading = read_certificate(ca.device().issue().der)
    assert not verifies(read_ca(ca.der, status="ACTIVE").key, reading.scheme, signature, reading.signed)


# The classic commands


@pytest.fixture(scope="module")
def classic(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    return pki.classic_files(tmp_path_factory.mktemp("classic"))


def test_what_the_classic_commands_make_is_accepted(classic: tuple[bytes, bytes]) -> None:
    """A version 1 leaf under a CA with nothing but basicConstraints, which is not critical."""
    ca, leaf = read_ca(classic[0], status="ACTIVE"), read_certificate(classic[1])
    chain = verify_chain(leaf, ca)
    assert chain == ChainFacts(signature_valid=True, names_equal=True, key_identifiers_agree=None)
    assert chain_reasons(Knock(leaf.facts, ca.certificate_sha256, ca.facts, chain), ca.facts.not_before) == ()


def test_two_classic_cas_with_one_subject_are_told_apart_by_their_keys(
    classic: tuple[bytes, bytes], tmp_path: Path
) -> None:
    """
    C=TR, O=OKIDA (key 1) -> leaf      registered: C=TR, O=OKIDA (key 2)
    """
    other_ca, _ = pki.classic_files(tmp_path)
    chain = verify_chain(read_certificate(classic[1]), read_ca(other_ca, status="ACTIVE"))
    assert chain == ChainFacts(signature_valid=False, names_equal=True, key_identifiers_agree=None)


@pytest.mark.parametrize("kind", ["RSA-2048", "P-256"])
def test_a_version_1_leaf_of_each_of_several_cas_with_one_subject(kind: str) -> None:
    cas = [pki.classic_ca(owner, kind=kind) for owner in ("Factory A", "Factory B", "Factory C")]
    assert len({ca.subject_name for ca in cas}) == 1
    for signer in cas:
        leaf = signer.device().v1()
        assert [codes(leaf, ca) for ca in cas] == [[] if ca is signer else ["chain.bad-signature"] for ca in cas]


def test_a_leaf_without_any_extension_is_accepted() -> None:
    ca = pki.ca()
    assert codes(ca.device(), ca) == []


def test_a_leaf_of_a_registered_intermediate_is_accepted_whoever_signed_that() -> None:
    """
    Root -> Line 1 (registered) -> leaf
    """
    root = pki.ca("Root")
    line = pki.ca("Line 1", parent=root)
    assert codes(line.usual_device(), line) == []
    assert codes(line.usual_device(), root) == ["chain.bad-signature", "chain.name-mismatch"]


# Names


@pytest.mark.parametrize(
    ("organization", "equal"),
    [
        (("O", "OKIDA", "PrintableString"), True),
        (("O", "OKIDA", "BMPString"), True),
        (("O", "okida"), True),
        (("O", " OKIDA "), True),
        (("O", "OKIDA Ltd"), False),
        (("OU", "OKIDA"), False),
    ],
)
def test_issuer_and_subject_are_compared_decoded(organization: tuple[str, ...], equal: bool) -> None:
    """RFC 5280 section 7.1. Some issuers write their name anew and choose other string types."""
    ca = pki.ca()
    leaf = ca.device().issuer(("C", "TR"), organization, ("CN", "Factory A"))  # type: ignore[arg-type]
    assert chain_of(leaf, ca) == ChainFacts(signature_valid=True, names_equal=equal, key_identifiers_agree=None)


def test_another_issuer_name_over_a_good_signature_is_a_mismatch() -> None:
    """RFC 5280 section 6.1.3 (a)(4)."""
    ca = pki.ca()
    (reason,) = chain_reasons(knock_of(ca.device().issuer(("CN", "Fac\ntory")), ca), pki.NOW)
    assert reason.code == "chain.name-mismatch"
    assert reason.message == (
        "the certificate's issuer is 'CN=Fac\\0atory', the subject of its CA is 'CN=Factory A,O=OKIDA,C=TR'"
    )


# Key identifiers


def test_a_wrong_authority_key_identifier_decides_nothing() -> None:
    """RFC 5280 section 4.2.1.1: it helps to find a CA, and this one is known."""
    ca = pki.ca()
    leaf = ca.device().identifiers(authority=b"of another CA")
    assert chain_of(leaf, ca) == ChainFacts(signature_valid=True, names_equal=True, key_identifiers_agree=False)
    assert codes(leaf, ca) == []


def test_key_identifiers_are_compared_only_where_both_are_there() -> None:
    ca, without = pki.ca(), pki.make(pki.ca_draft().basic_constraints(ca=True))
    assert chain_of(ca.device(), ca).key_identifiers_agree is None
    assert chain_of(without.device().identifiers(), without).key_identifiers_agree is None
    assert chain_of(ca.device().identifiers(), ca).key_identifiers_agree is True


# What the CA itself gives as reasons

SIGNING = pki.ca_draft().basic_constraints(ca=True)


@pytest.mark.parametrize(
    ("draft", "expected"),
    [
        pytest.param(SIGNING, [], id="no keyUsage (RFC 5280 4.2.1.3)"),
        pytest.param(pki.ca_draft().basic_constraints(ca=True, critical=False), [], id="not critical"),
        pytest.param(SIGNING.key_usage("keyCertSign"), [], id="keyUsage with keyCertSign"),
        pytest.param(SIGNING.key_usage("cRLSign"), ["chain.ca-not-a-ca"], id="keyUsage without keyCertSign"),
        pytest.param(pki.ca_draft().v1(), ["chain.ca-not-a-ca"], id="version 1"),
        pytest.param(pki.ca_draft().basic_constraints(ca=False), ["chain.ca-not-a-ca"], id="CA:FALSE"),
        pytest.param(
            pki.ca_draft().key_usage("cRLSign"),
            ["chain.ca-not-a-ca"] * 2,
            id="neither basicConstraints nor keyCertSign",
        ),
        pytest.param(
            SIGNING.extension("nameConstraints", pki.sequence(), critical=True),
            ["chain.name-constraints"],
            id="name constraints (RFC 5280 4.2.1.10)",
        ),
        pytest.param(
            SIGNING.valid(not_after=pki.NOW - timedelta(seconds=1)), ["chain.ca-expired"], id="a second too old"
        ),
        pytest.param(SIGNING.valid(not_after=pki.NOW), [], id="in its last second (RFC 5280 4.1.2.5)"),
        pytest.param(SIGNING.valid(not_before=pki.NOW), [], id="in its first second"),
        pytest.param(
            SIGNING.valid(not_before=pki.NOW + timedelta(seconds=1)), ["chain.ca-expired"], id="a second too young"
        ),
    ],
)
def test_whether_the_ca_may_issue(draft: pki.CertificateDraft, expected: list[str]) -> None:
    ca = pki.make(draft)
    assert codes(ca.device(), ca) == expected


def test_an_inactive_ca_holds_its_devices() -> None:
    ca = pki.ca()
    (reason,) = chain_reasons(knock_of(ca.device(), ca, "INACTIVE"), pki.NOW)
    assert (reason.code, reason.message) == ("chain.ca-inactive", f"the CA {ca.id[:12]}… is INACTIVE")


def test_a_ca_that_is_gone_is_the_only_reason() -> None:
    ca = pki.ca()
    knock = replace(knock_of(ca.device(), ca), ca=None, chain=None)
    (reason,) = chain_reasons(knock, pki.NOW)
    assert reason.code == "chain.ca-missing"
    assert reason.message == f"AWS IoT no longer holds the CA {ca.id[:12]}… that registered the certificate"


def test_a_ca_that_is_there_and_cannot_be_read_is_not_called_gone() -> None:
    ca = pki.ca()
    knock = replace(knock_of(ca.device(), ca), ca=None, chain=None, ca_problem="it has a damaged bit string")
    (reason,) = chain_reasons(knock, pki.NOW)
    assert reason.code == "chain.ca-unreadable"
    assert reason.message == (
        f"AWS IoT holds the CA {ca.id[:12]}… that registered the certificate, but here it is not read: "
        "it has a damaged bit string"
    )


@pytest.mark.parametrize("number", [0, -5])
def test_a_ca_whose_serial_number_is_not_positive_holds_its_devices_unless_the_floor_admits_any(number: int) -> None:
    """RFC 5280 section 4.1.2.2."""
    ca = pki.make(pki.ca_draft().basic_constraints(ca=True).serial(number))
    (reason,) = chain_reasons(knock_of(ca.device(), ca), pki.NOW)
    assert reason.code == "chain.ca-serial-number"
    assert "only `certificate: {serial_numbers: any}` in the rules file, or a new certificate" in reason.message
    assert chain_reasons(knock_of(ca.device(), ca), pki.NOW, Floor(serial_numbers="any")) == ()


def test_every_reason_is_given_at_once() -> None:
    draft = pki.ca_draft().valid(not_after=pki.NOT_BEFORE).extension("nameConstraints", b"")
    ca = pki.make(draft.key_usage("cRLSign"))
    leaf = ca.device().signed_by(pki.key()).issuer(("CN", "another"))
    assert codes(leaf, ca, status="INACTIVE") == [
        "chain.bad-signature",
        "chain.name-mismatch",
        "chain.ca-inactive",
        "chain.ca-expired",
        "chain.ca-not-a-ca",
        "chain.ca-not-a-ca",
        "chain.name-constraints",
    ]


def test_messages_are_single_short_lines_and_codes_are_documented() -> None:
    ca = pki.make(pki.ca_draft().subject(*[("CN", "x" * 1000 + "\n")] * 6).valid(not_after=pki.NOT_BEFORE))
    leaf = ca.device().signed_by(pki.key()).issuer(*[("OU", "y\r\n" * 300)] * 12)
    reasons = chain_reasons(knock_of(leaf, ca), datetime(2027, 1, 1, tzinfo=UTC))
    assert len(reasons) == 4
    for each in reasons:
        assert each.code in CODES
        assert "\n" not in each.message
        assert len(each.message) < 400


@pytest.mark.parametrize("kind", ["P-224", "P-256", "P-384", "P-521", "secp256k1", "brainpoolP256r1"])
def test_the_twin_of_a_certificate_is_as_valid_and_each_is_the_others_twin(kind: str) -> None:
    """SEC 1 section 4.1.4: with (r, s), (r, n - s) is a signature as well."""
    ca = pki.ca("Factory EC", kind=kind)
    authority, leaf = read_ca(ca.der, status="ACTIVE"), ca.usual_device().issue()
    reading = read_certificate(leaf.der)
    other = other_form(authority.key, reading.signature)
    assert other is not None
    twin = replace(reading, signature=other)
    assert verify_chain(twin, authority).signature_valid
    assert other_form(authority.key, other) == reading.signature


def test_an_rsa_signature_has_one_form() -> None:
    ca = pki.ca("Factory RSA", kind="RSA-2048")
    found = verify_chain(read_certificate(ca.usual_device().issue().der), read_ca(ca.der, status="ACTIVE"))
    assert found.twin_sha256 is None


# One certificate, one id: nothing outside what is signed can be written in another way


def with_signature(leaf: pki.Issued, signature: bytes, unused: int = 0) -> pki.Issued:
    """The same certificate with another signature."""
    signed, algorithm, _ = der.children(der.only(leaf.der, der.SEQUENCE))
    bits = pki.tlv(0x03, bytes((unused,)), signature)
    return pki.Issued(pki.sequence(der.element(*signed), der.element(*algorithm), bits), leaf.key)


def beginning_with_zero(ca: pki.CA, *, pss: bool) -> tuple[pki.Issued, bytes]:
    """A device's certificate whose signature begins with a zero octet, as one in 256 does; and the signature."""
    for serial in count(1):
        leaf = ca.usual_device().serial(serial).signed_with("sha256", pss=pss).issue()
        signature = read_certificate(leaf.der).signature
        if signature[0] == 0:
            return leaf, signature
    raise AssertionError


@pytest.mark.parametrize("pss", [True, False])
@pytest.mark.parametrize("kind", ["RSA-1024", "RSA-1025"])
def test_an_rsa_signature_has_exactly_the_octets_of_the_modulus(kind: str, pss: bool) -> None:
    """RFC 8017 sections 8.1.2 and 8.2.2, step 1. OpenSSL takes a PSS signature without the zeros it begins with."""
    ca = pki.ca("Factory RSA", kind=kind)
    leaf, signature = beginning_with_zero(ca, pss=pss)
    assert chain_of(leaf, ca).signature_valid
    for other in (signature[1:], b"\x00" + signature, signature + b"\x00", b"\x00\x00" + signature[1:]):
        assert not chain_of(with_signature(leaf, other), ca).signature_valid


@pytest.mark.parametrize("pss", [True, False])
def test_an_rsa_signature_is_below_the_modulus(pss: bool) -> None:
    """RFC 8017 section 5.2.2: s + n is s to whoever does not look."""
    ca = pki.ca("Factory RSA", kind="RSA-1024")
    leaf = ca.usual_device().signed_with("sha256", pss=pss).issue()
    key = ca.key.public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    signature = int.from_bytes(read_certificate(leaf.der).signature) + key.public_numbers().n
    other = signature.to_bytes(128 if signature < 1 << 1024 else 129)
    assert not chain_of(with_signature(leaf, other), ca).signature_valid


@pytest.mark.parametrize("kind", ["P-256", "P-521"])
def test_an_ecdsa_signature_has_one_der(kind: str) -> None:
    """X.690 section 8.3.2: integers without padding; numbers below the order, above zero (SEC 1 section 4.1.4)."""
    ca = pki.ca("Factory EC", kind=kind)
    leaf = ca.usual_device().issue()
    r, s = decode_dss_signature(read_certificate(leaf.der).signature)
    key = ca.key.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    n, ri, si = key.curve.group_order, pki.integer(r), pki.integer(s)
    padded_r, padded_s = pki.tlv(0x02, b"\x00", ri[2:]), pki.tlv(0x02, b"\x00", si[2:])
    sound = pki.sequence(ri, si)
    assert chain_of(with_signature(leaf, sound), ca).signature_valid
    others = [
        pki.sequence(padded_r, si),
        pki.sequence(ri, padded_s),
        pki.sequence(ri, si, pki.integer(0)),
        sound + b"\x00",
        b"\x30\x82" + (len(ri) + len(si)).to_bytes(2) + ri + si,
        pki.sequence(pki.integer(r + n), si),
        pki.sequence(ri, pki.integer(s + n)),
        pki.sequence(ri, pki.integer(-s)),
        pki.sequence(pki.integer(r - n), si),
    ]
    for other in others:
        assert not chain_of(with_signature(leaf, other), ca).signature_valid


@pytest.mark.parametrize(("kind", "order"), [("Ed25519", _ORDER_25519), ("Ed448", _ORDER_448)])
def test_an_edwards_signature_is_below_the_order(kind: str, order: int) -> None:
    """RFC 8032 sections 5.1.7 and 5.2.7: S + L is S to whoever does not look."""
    ca = pki.ca(kind=kind)
    leaf = ca.device().issue()
    signature = read_certificate(leaf.der).signature
    half = len(signature) // 2
    number = int.from_bytes(signature[half:], "little") + order
    other = signature[:half] + number.to_bytes(half, "little")
    assert not chain_of(with_signature(leaf, other), ca).signature_valid


@pytest.mark.parametrize("kind", ["RSA-1024", "P-256", "Ed25519"])
def test_no_octet_outside_what_is_signed_can_be_another(kind: str) -> None:
    """Every octet, its every bit, and one octet more or fewer at each place: unreadable, or not valid."""
    ca = pki.ca(kind=kind)
    authority, leaf = read_ca(ca.der, status="ACTIVE"), ca.usual_device().issue().der
    signed = read_certificate(leaf).signed
    at = leaf.index(signed)
    outside = [*range(at), *range(at + len(signed), len(leaf) + 1)]
    for place in outside:
        changed = [leaf[:place] + b"\x00" + leaf[place:], leaf[:place] + leaf[place + 1 :]]
        if place < len(leaf):
            changed += [leaf[:place] + bytes((leaf[place] ^ 1 << bit,)) + leaf[place + 1 :] for bit in range(8)]
        for other in changed:
            if other == leaf:
                continue
            try:
                reading = read_certificate(other)
            except Unreadable:
                continue
            assert not verify_chain(reading, authority).signature_valid, f"octet {place} of {len(leaf)}"


@pytest.mark.parametrize("which", ["outer", "signature"])
def test_a_length_written_longer_than_it_needs_is_unreadable(which: str) -> None:
    """X.690 section 10.1; the indefinite form is not DER either."""
    ca = pki.ca()
    signed, algorithm, bits = der.children(der.only(ca.usual_device().issue().der, der.SEQUENCE))
    inner = der.element(*signed) + der.element(*algorithm)
    whole = inner + der.element(*bits)
    for size in (3, 4, 5):
        if which == "outer":
            long = b"\x30" + bytes((0x80 | size,)) + len(whole).to_bytes(size) + whole
        else:
            long = pki.sequence(inner, b"\x03" + bytes((0x80 | size,)) + len(bits[1]).to_bytes(size) + bits[1])
        with pytest.raises(Unreadable):
            read_certificate(long)
    with pytest.raises(Unreadable):
        read_certificate(b"\x30\x80" + whole + b"\x00\x00")
