"""One key has one digest, however a certificate writes the key; and a row that has another of its digests finds it."""

import hashlib
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from testkit import pki

from jitr.devicelists.rows import ListRow, Membership, device_keys, membership_in, rows_by_key
from jitr.errors import Unreadable
from jitr.facts import CertificateFacts, Knock
from jitr.x509 import der
from jitr.x509.certificate import read_certificate

CA = pki.ca("Factory A")
RSA_ENCRYPTION, RSASSA_PSS = "1.2.840.113549.1.1.1", "1.2.840.113549.1.1.10"
EC_KEYS = ("P-256", "P-384", "P-521", "secp256k1", "brainpoolP256r1")


def digest(info: bytes) -> str:
    return hashlib.sha256(info).hexdigest()


def facts_of(info: bytes, kind: str = "P-256") -> CertificateFacts:
    return read_certificate(CA.device(kind=kind).public_key(info).issue().der).facts


def points(kind: str) -> dict[str, bytes]:
    """The SubjectPublicKeyInfos of one key: its point whole, compressed, and in the hybrid form of SEC 1."""
    public = pki.key(kind, "a device").public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    whole = public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    forms = {
        "whole": whole,
        "compressed": public.public_bytes(Encoding.X962, PublicFormat.CompressedPoint),
        "hybrid": bytes((0x06 | whole[-1] & 1,)) + whole[1:],
    }
    algorithm, _ = der.children(der.only(pki.public_key(pki.key(kind, "a device")), der.SEQUENCE))
    start = der.element(*algorithm)
    return {name: pki.sequence(start, pki.bit_string(point)) for name, point in forms.items()}


@pytest.mark.parametrize("kind", EC_KEYS)
@pytest.mark.parametrize("form", ["compressed", "hybrid"])
def test_a_point_has_one_digest_however_it_is_written(kind: str, form: str) -> None:
    """SEC 1 section 2.3.3: RFC 5480 section 2.2 lets a certificate have the point compressed."""
    forms = points(kind)
    assert forms["whole"] == pki.public_key(pki.key(kind, "a device"))
    found = facts_of(forms[form], kind)
    assert found.public_key_sha256 == facts_of(forms["whole"], kind).public_key_sha256 == digest(forms["whole"])
    assert found.written_key_sha256 == digest(forms[form])


def rsa_forms() -> Iterator[bytes]:
    """One RSA key, as certificates have been seen to write it."""
    key = pki.key("RSA-2048", "a device").public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    numbers = key.public_numbers()
    modulus, exponent = pki.integer(numbers.n), pki.integer(numbers.e)
    plain = pki.sequence(modulus, exponent)
    yield pki.sequence(pki.sequence(pki.oid(RSA_ENCRYPTION)), pki.bit_string(plain))
    yield pki.sequence(pki.sequence(pki.oid(RSA_ENCRYPTION), pki.sequence()), pki.bit_string(plain))
    yield pki.sequence(pki.sequence(pki.oid(RSASSA_PSS)), pki.bit_string(plain))
    yield pki.sequence(pki.sequence(pki.oid(RSASSA_PSS), pki.sequence()), pki.bit_string(plain))
    padded = pki.sequence(pki.tlv(0x02, b"\x00" + numbers.n.to_bytes(257)), exponent)
    unsigned = pki.sequence(pki.tlv(0x02, numbers.n.to_bytes(256)), exponent)
    for each in (padded, unsigned, pki.sequence(modulus, pki.tlv(0x02, b"\x00\x00\x01\x00\x01"))):
        yield pki.sequence(pki.sequence(pki.oid(RSA_ENCRYPTION), pki.NULL), pki.bit_string(each))


@pytest.mark.parametrize("form", range(7))
def test_an_rsa_key_has_one_digest_whatever_its_parameters_and_its_padding(form: int) -> None:
    """RFC 3279 section 2.3.1: rsaEncryption with NULL, and DER's shortest integers."""
    info, usual = list(rsa_forms())[form], pki.public_key(pki.key("RSA-2048", "a device"))
    found = facts_of(info, "RSA-2048")
    assert found.public_key_sha256 == digest(usual)
    assert found.written_key_sha256 == digest(info)
    assert found.key == facts_of(usual, "RSA-2048").key


@pytest.mark.parametrize("kind", ["RSA-2048", "P-256", "Ed25519"])
def test_a_key_in_the_usual_form_has_no_other_digest(kind: str) -> None:
    usual = pki.public_key(pki.key(kind, "a device"))
    found = facts_of(usual, kind)
    assert (found.public_key_sha256, found.written_key_sha256) == (digest(usual), None)
    assert "written_key_sha256" not in found.to_json()


@pytest.mark.parametrize("kind", ["RSA-2048", "P-256", "Ed25519"])
@pytest.mark.parametrize("unused", range(1, 8))
def test_a_key_that_ends_within_an_octet_is_unreadable(kind: str, unused: int) -> None:
    """RFC 5480 section 2.2, RFC 8410 section 4: a key is whole octets. Else one would have eight digests."""
    info = pki.public_key(pki.key(kind, "a device"))
    size = 32 if kind == "Ed25519" else 65 if kind == "P-256" else 270
    at = len(info) - size - 1
    assert info[at] == 0
    with pytest.raises(Unreadable, match="its public key is damaged: it ends in the middle of an octet"):
        facts_of(info[:at] + bytes((unused,)) + info[at + 1 :], kind)


@pytest.mark.parametrize("point", [b"\x02" + b"\xff" * 32, b"\x02", b"\x04", b"\x05" + b"\x01" * 64, b""])
def test_what_is_no_point_of_its_curve_is_known_as_it_is_written(point: bytes) -> None:
    """Nobody has such a key, so nobody finishes a handshake by it."""
    info = pki.sequence(
        pki.sequence(pki.oid("1.2.840.10045.2.1"), pki.oid("1.2.840.10045.3.1.7")), pki.bit_string(point)
    )
    assert facts_of(info).public_key_sha256 == digest(info)


# --- rows


def place(info: bytes, row: ListRow) -> Membership | None:
    facts = facts_of(info)
    knock = Knock(facts, CA.id, ca=None, chain=None, aliases=frozenset({"factory-a"}))
    return membership_in(knock, rows_by_key([row]), pki.NOW)


def test_a_row_finds_a_key_by_its_canonical_digest_and_by_the_one_its_certificate_writes() -> None:
    forms = points("P-256")
    for row in (
        ListRow(public_key_sha256=digest(forms["whole"])),
        ListRow(public_key_sha256=digest(forms["compressed"]), common_name="snr-0001"),
    ):
        assert place(forms["compressed"], row) == Membership(row)


def test_a_row_with_the_digest_of_the_compressed_point_finds_the_key_for_deny_rules_only() -> None:
    """Whoever was recalled by it does not come back with the point whole; it lets in only who writes the key so."""
    forms = points("P-256")
    by_key = ListRow(public_key_sha256=digest(forms["compressed"]))
    by_name = ListRow(public_key_sha256=digest(forms["compressed"]), common_name="snr-0001")
    for row in (by_key, by_name):
        found = place(forms["whole"], row)
        assert found is not None
        assert found.row == row
        assert f"give {digest(forms['whole'])}" in str(found.ambiguous)


def test_recorded_facts_keep_both_digests_of_a_key() -> None:
    forms = points("P-256")
    facts = facts_of(forms["compressed"])
    again = CertificateFacts.from_json(facts.to_json())
    keys = [
        [str(key) for key in device_keys(Knock(each, CA.id, None, None)) if key.kind == "public_key_sha256"]
        for each in (facts, again)
    ]
    assert keys[0] == keys[1] == [f"public_key_sha256#{digest(forms[form])}" for form in ("whole", "compressed")]


def test_facts_recorded_by_an_earlier_version_are_read() -> None:
    """They have one digest, of the key as its certificate writes it."""
    data = facts_of(points("P-256")["whole"]).to_json()
    assert CertificateFacts.from_json(data).written_key_sha256 is None
