"""What an attacker's certificate leads to: one row an attack, from bytes to reason codes, by the code that decides.

The rules let every device of the CA in: whatever keeps these out is not a rule.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from testkit import pki
from testkit.knocks import allow, rules
from testkit.pki import NOW, sequence, tlv

from jitr.decision.chain import verify_chain
from jitr.decision.decide import decide
from jitr.errors import Unreadable
from jitr.facts import Knock
from jitr.reasons import CODES, Verdict
from jitr.rules.model import Grant
from jitr.x509.certificate import read_ca, read_certificate
from jitr.x509.rsa import weakness

FACTORY = pki.ca("Factory A")
NAMESAKE = pki.make(pki.ca_draft("Factory A", kind="P-384").basic_constraints(ca=True))
GRANT = Grant(iot_policies=("Sensor",), thing="{common_name}", attributes={"name": "{common_name}"})


def decided(data: bytes, ca: pki.CA = FACTORY) -> tuple[Verdict, list[str]]:
    """The verdict, and its reason codes."""
    try:
        reading = read_certificate(data)
    except Unreadable as error:
        return Verdict.HOLD, [error.code]
    issuer = read_ca(ca.pem, status="ACTIVE")
    knock = Knock(reading.facts, ca.id, issuer.facts, verify_chain(reading, issuer), frozenset({"factory-a"}))
    decision = decide(knock, rules(allow(grant=GRANT)), {}, NOW, NOW)
    for reason in decision.reasons:
        assert "\n" not in reason.message
        assert "\x00" not in reason.message
        assert len(reason.message) < 1500
    return decision.verdict, [each.code for each in decision.reasons]


def device(name: str = "snr-0001") -> pki.CertificateDraft:
    return FACTORY.usual_device(name)


def rsa_key(exponent: int, modulus: int | None = None) -> bytes:
    """A SubjectPublicKeyInfo with any numbers in it."""
    found = pki.key("RSA-2048", "a device").public_key()
    assert isinstance(found, rsa.RSAPublicKey)
    numbers = sequence(pki.integer(modulus or found.public_numbers().n), pki.integer(exponent))
    return sequence(sequence(pki.oid("1.2.840.113549.1.1.1"), pki.NULL), pki.bit_string(numbers))


def roca_modulus() -> int:
    """Two numbers made as the chips made their primes; the fingerprint asks no more."""
    primorial = 1
    for prime in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101,
                  103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167):  # fmt: skip
        primorial *= prime
    one = (1 << 1000) // primorial * primorial + pow(65537, 7, primorial)
    other = (1 << 1010) // primorial * primorial + pow(65537, 1234, primorial)
    return one * other


def unsigned(draft: pki.CertificateDraft) -> bytes:
    """With a signature that has nothing in it."""
    algorithm = pki.signature_algorithm(draft.signer, draft.hash_name, pss=False)
    return sequence(draft.signed(), algorithm, pki.bit_string(b""))


def names(count: int) -> Iterable[x509.GeneralName]:
    return (x509.DNSName(f"a{each}.example") for each in range(count))


@dataclass(frozen=True)
class Attack:
    name: str
    certificate: pki.CertificateDraft | bytes
    verdict: Verdict
    codes: list[str]
    ca: pki.CA = FACTORY


HOLD, REJECT, ADMIT = Verdict.HOLD, Verdict.REJECT, Verdict.ADMIT
TOO_LARGE, UNREADABLE = ["certificate.too-large"], ["certificate.unreadable"]
PAST = datetime(2026, 2, 1, tzinfo=UTC)
FORGER = pki.key("P-256", "a forger")
SHA_1 = pki.signature_algorithm(FACTORY.key, "sha1", pss=False)
END_OF_TIME = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)  # RFC 5280 section 4.1.2.5
SERVER = FACTORY.device().basic_constraints(ca=False).extended_key_usage("serverAuth")
CA_1 = pki.ca_draft("Factory A").basic_constraints(ca=False)
EXPIRED = pki.ca_draft("Factory A").basic_constraints(ca=True).valid(not_after=PAST)

ATTACKS = [
    Attack("an honest device", device(), ADMIT, ["allow.rule"]),
    # whose certificate it is
    Attack("same subject, other key", NAMESAKE.usual_device(), REJECT, ["chain.bad-signature"]),
    Attack(
        "lying AKI over a wrong key",
        NAMESAKE.device().identifiers(authority=pki.key_identifier(FACTORY.key)),
        REJECT,
        ["chain.bad-signature"],
    ),
    Attack("another issuer's name", device().issuer(("CN", "Factory B")), REJECT, ["chain.name-mismatch"]),
    Attack("a leaf that is a CA", FACTORY.device().basic_constraints(ca=True), REJECT, ["certificate.is-ca"]),
    Attack("a CA without CA:TRUE", device(), HOLD, ["chain.ca-not-a-ca"], pki.make(CA_1)),
    Attack("an expired CA over a valid leaf", device(), HOLD, ["chain.ca-expired"], pki.make(EXPIRED)),
    Attack("an expired leaf", device().valid(not_after=PAST), REJECT, ["certificate.expired"]),
    Attack(
        "a leaf that is not valid yet",
        device().valid(datetime(2026, 4, 1, tzinfo=UTC)),
        HOLD,
        ["certificate.not-yet-valid"],
    ),
    Attack(
        "an expired CA over an expired leaf",
        device().valid(not_after=PAST),
        REJECT,
        ["certificate.expired", "chain.ca-expired"],
        pki.make(EXPIRED),
    ),
    Attack(
        "lying AKI over the right key: a warning, for the key decides",
        FACTORY.device().identifiers(authority=b"\x01" * 20),
        ADMIT,
        ["allow.rule"],
    ),
    Attack("a forger under the CA's name", device().signed_by(FORGER), REJECT, ["chain.bad-signature"]),
    Attack(
        "the CA's own certificate",
        FACTORY.der,
        REJECT,
        ["certificate.is-ca", "grant.attribute", "grant.thing-name"],  # there is a space in its name
    ),
    Attack("a signature of no octets", unsigned(device()), REJECT, ["chain.bad-signature"]),
    Attack("two algorithms", device().claiming(SHA_1), HOLD, UNREADABLE),
    Attack("a server's certificate", SERVER, HOLD, ["certificate.no-client-auth"]),
    # what is in it
    Attack(
        "an unknown critical extension",
        device().extension("1.2.3.4", b"", critical=True),
        HOLD,
        ["certificate.critical-extension"],
    ),
    Attack(
        "two unknown critical extensions",
        device().extension("1.2.3.4", b"", critical=True).extension("1.2.3.5", b"", critical=True),
        HOLD,
        ["certificate.critical-extension"],
    ),
    Attack("SHA-1", device().signed_with("sha1"), HOLD, ["certificate.signature-hash"]),
    Attack("SHA-224", device().signed_with("sha224"), HOLD, ["certificate.signature-hash"]),
    Attack("RSA-1024", device().key("RSA-1024"), HOLD, ["certificate.key"]),
    Attack("RSA with exponent 1", device().public_key(rsa_key(1)), HOLD, ["certificate.key"]),
    Attack("RSA with exponent 3", device().public_key(rsa_key(3)), HOLD, ["certificate.key"]),
    Attack("RSA with an even exponent", device().public_key(rsa_key(65538)), HOLD, ["certificate.key"]),
    Attack("RSA with a negative exponent", device().public_key(rsa_key(-3)), HOLD, ["certificate.key"]),
    Attack("RSA with an even modulus", device().public_key(rsa_key(65537, 1 << 2047)), HOLD, ["certificate.key"]),
    Attack("RSA like ROCA", device().public_key(rsa_key(65537, roca_modulus())), HOLD, ["certificate.key"]),
    Attack("secp256k1", device().key("secp256k1"), HOLD, ["certificate.key"]),
    Attack("P-224", device().key("P-224"), HOLD, ["certificate.key"]),
    Attack("brainpoolP256r1", device().key("brainpoolP256r1"), HOLD, ["certificate.key"]),
    Attack("Ed25519", device().key("Ed25519"), HOLD, ["certificate.key"]),
    Attack("Ed448", device().key("Ed448"), HOLD, ["certificate.key"]),
    # numbers and times
    Attack("a negative serial number", device().serial(-5), HOLD, ["certificate.serial-number"]),
    Attack("serial number 0", device().serial(0), HOLD, ["certificate.serial-number"]),
    Attack("a serial number of 21 octets", device().serial(1 << 160), ADMIT, ["allow.rule"]),
    Attack("a serial number of 33 octets", device().serial(1 << 256), HOLD, TOO_LARGE),
    *(
        Attack(
            f"time {text!r}",
            device().but(validity=sequence(tlv(tag, text), tlv(0x17, b"360101000000Z"))),
            HOLD,
            UNREADABLE,
        )
        for tag, text in (
            (0x17, b"2601010000Z"),
            (0x17, b"260101000000+0000"),
            (0x18, b"20260101000000.5Z"),
            (0x18, b"20260101240000Z"),
            (0x17, b"260230000000Z"),
            (0x04, b"260101000000Z"),
            (0x17, b""),
            (0x17, b"2601010000000Z"),
            (0x17, b"260101000000z"),
            (0x17, b"260101000060Z"),
            (0x17, b"-60101000000Z"),
            (0x17, b"26010100000\x00Z"),
            (0x18, b"00000101000000Z"),
            (0x18, b"20260101000000"),
            (0x18, b"20260101000000+0100"),
            (0x18, "２０２６0101000000Z".encode()),
        )
    ),
    Attack(
        "its times are the wrong way round",
        device().valid(datetime(2035, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)),
        REJECT,
        ["certificate.expired", "certificate.not-yet-valid"],
    ),
    Attack(
        "the end of time",
        device().valid(not_after=datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ADMIT,
        ["allow.rule"],
    ),
    Attack(
        "GeneralizedTime before 2050",
        device().but(validity=sequence(tlv(0x18, b"20260101000000Z"), tlv(0x17, b"360101000000Z"))),
        ADMIT,
        ["allow.rule"],
    ),
    # size
    Attack("a megabyte", device().extension("1.2.3.4", b"x" * 1_000_000), HOLD, TOO_LARGE),
    Attack("ten thousand alternative names", device().alternative_names(*names(10_000)), HOLD, TOO_LARGE),
    Attack("101 alternative names", device().alternative_names(*names(101)), HOLD, TOO_LARGE),
    Attack(
        "a hundred extensions",
        device().but(extensions=tuple(pki.Extension(f"1.2.3.{each}", b"") for each in range(100))),
        HOLD,
        TOO_LARGE,
    ),
    # names
    *(
        Attack(f"a name with {what}", device(name), HOLD, ["grant.attribute", "grant.thing-name"])
        for what, name in (
            ("NUL", "snr-0001\x00.evil"),
            ("newline", "snr-0001\nsnr-0002"),
            ("an escape sequence", "snr\x1b[2J"),
            ("right-to-left override", "snr-\u202e1000"),
            ("a homograph", "snr-\u0430001"),
        )
    ),
    *(
        Attack(f"a name with {what}", device(name), HOLD, [*codes, "grant.policy-variable", "grant.thing-name"])
        for what, name, codes in (
            ("a variable", "${iot:ClientId}", ["grant.attribute"]),
            ("a wildcard", "snr*", ["grant.attribute"]),
            ("a topic's wildcard for one level", "+", ["grant.attribute"]),
            ("a topic's wildcard", "#", []),
            ("a topic's slash", "a/b", []),
        )
    ),
    *(Attack(f"a name with {what}", device(name), HOLD, ["grant.thing-name"]) for what, name in (("a formula", "=1"),)),
    Attack("a name of 300 characters", device("s" * 300), HOLD, ["grant.thing-name"]),
    Attack("a name of 2,000 characters", device("s" * 2000), HOLD, TOO_LARGE),
    Attack("a name twice", device().subject(("CN", "snr-0001"), ("CN", "snr-0002")), HOLD, ["grant.template-missing"]),
    Attack("no name", device().subject(), HOLD, ["grant.template-missing"]),
    Attack("an empty name", device(""), HOLD, ["grant.thing-name"]),
]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_each_attack_has_its_reason_code(attack: Attack) -> None:
    data = attack.certificate if isinstance(attack.certificate, bytes) else attack.certificate.issue().der
    verdict, codes = decided(data, attack.ca)
    assert (verdict, set(codes)) == (attack.verdict, set(attack.codes))
    assert set(codes) <= set(CODES)


def test_md5_is_refused_by_the_floor() -> None:
    """Nobody signs with it here any more: a certificate that names it verifies by nothing either."""
    algorithm = sequence(pki.oid("1.2.840.113549.1.1.4"), pki.NULL)
    _, codes = decided(device().but(algorithm=algorithm).issue().der)
    assert codes == ["chain.bad-signature", "certificate.signature-hash"]


def test_a_good_rsa_key_is_not_taken_for_a_weak_one() -> None:
    """The fingerprint takes one random key in some hundred million for one of that chip's."""
    for each in range(3):
        found = pki.key("RSA-2048", f"honest {each}").public_key()
        assert isinstance(found, rsa.RSAPublicKey)
        assert weakness(found.public_numbers().n, found.public_numbers().e) is None
